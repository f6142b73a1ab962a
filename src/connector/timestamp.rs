//! Moments as text, in UTC.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const MICROS: u64 = 1_000_000;
const DAY: u64 = 86_400;

/// The last microsecond of the year 9999, the last year that RFC 3339 can write.
const LAST: u64 = 253_402_300_799 * MICROS + 999_999;

/// A moment as RFC 3339 has it, in UTC to the microsecond.
///
/// What lies before 1970 or after 9999 is written as the first or the last moment of that span.
///
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
/// let moment = UNIX_EPOCH + Duration::from_micros(1_767_225_599_000_001);
/// assert_eq!(siltstone::rfc3339(moment), "2025-12-31T23:59:59.000001Z");
/// ```
pub fn rfc3339(moment: SystemTime) -> String {
    let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
    let micros = u64::try_from(since.as_micros()).unwrap_or(LAST).min(LAST);
    let seconds = micros / MICROS;
    let (year, month, day) = civil(seconds / DAY);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let micros = micros % MICROS;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}

/// The moment that a text in the form of RFC 3339 or of ISO 8601 says, to the microsecond; without an offset,
/// in UTC. `None` if it says none, or one before 1970.
///
/// ```
/// use siltstone::{from_rfc3339, rfc3339};
/// let moment = |text| from_rfc3339(text).map(rfc3339);
/// assert_eq!(moment("2026-01-31T10:30:00+01:00").unwrap(), "2026-01-31T09:30:00.000000Z");
/// assert_eq!(moment("2026-01-31T09:30:00.25").unwrap(), "2026-01-31T09:30:00.250000Z");
/// assert_eq!(moment("2026-02-30T09:30:00Z"), None);
/// ```
pub fn from_rfc3339(text: &str) -> Option<SystemTime> {
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let (time, offset) = split_offset(time)?;
    let (time, micros) = match time.split_once('.') {
        Some((time, fraction)) => (time, fraction_micros(fraction)?),
        None => (time, 0),
    };
    let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let days = days(year, month, day)?;
    let seconds = i64::try_from(days * DAY + hour * 3600 + minute * 60 + second).ok()? - offset;
    Some(UNIX_EPOCH + Duration::from_micros(u64::try_from(seconds).ok()? * MICROS + micros))
}

/// Three numbers of so many digits each.
fn numbers(text: &str, mark: char, digits: [usize; 3]) -> Option<[u64; 3]> {
    let parts: Vec<&str> = text.split(mark).collect();
    let parts: [&str; 3] = parts.try_into().ok()?;
    let mut found = [0; 3];
    for ((part, digits), number) in parts.into_iter().zip(digits).zip(&mut found) {
        if part.len() != digits || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *number = part.parse().ok()?;
    }
    Some(found)
}

/// The time, and how many seconds it is ahead of UTC.
fn split_offset(time: &str) -> Option<(&str, i64)> {
    if let Some(time) = time.strip_suffix(['Z', 'z']) {
        return Some((time, 0));
    }
    let Some(at) = time.rfind(['+', '-']) else { return Some((time, 0)) };
    let (time, offset) = (time.get(..at)?, time.get(at..)?);
    let [hour, minute, _] = numbers(&format!("{}:00", offset.get(1..)?), ':', [2, 2, 2])?;
    if hour > 23 || minute > 59 {
        return None;
    }
    let seconds = i64::try_from(hour * 3600 + minute * 60).ok()?;
    Some((time, if offset.starts_with('-') { -seconds } else { seconds }))
}

/// What lies behind the microseconds is left out.
fn fraction_micros(fraction: &str) -> Option<u64> {
    if !(1..=9).contains(&fraction.len()) || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits: String = fraction.chars().chain("000000".chars()).take(6).collect();
    digits.parse().ok()
}

/// How many days after 1970-01-01 this day is, if there is such a day: the inverse of [`civil`].
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    let year_from_march = year.checked_sub(u64::from(month < 3))?;
    let (era, year_of_era) = (year_from_march / 400, year_from_march % 400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day.checked_sub(1)?;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = (era * 146_097 + day_of_era).checked_sub(719_468)?;
    (civil(days) == (year, month, day)).then_some(days)
}

/// Year, month and day, so many days after 1970-01-01: `civil_from_days` of Howard Hinnant's
/// "chrono-Compatible Low-Level Date Algorithms", for days that are not negative.
///
/// It counts years from the first of March, so that a leap day comes last, and in eras of 400 years, which
/// all have the same number of days.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let leap_days = day_of_era / 1_460 - day_of_era / 36_524 + day_of_era / 146_096;
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let next_year = month_from_march >= 10;
    let month = if next_year { month_from_march - 9 } else { month_from_march + 3 };
    (era * 400 + year_of_era + u64::from(next_year), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(seconds: u64, micros: u64) -> String {
        rfc3339(UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_micros(micros))
    }

    #[test]
    fn known_moments() {
        assert_eq!(text(0, 0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(text(951_782_400, 0), "2000-02-29T00:00:00.000000Z");
        assert_eq!(text(951_868_799, 999_999), "2000-02-29T23:59:59.999999Z");
        assert_eq!(text(1_000_000_000, 42), "2001-09-09T01:46:40.000042Z");
        assert_eq!(text(4_107_542_399, 0), "2100-02-28T23:59:59.000000Z");
        assert_eq!(text(4_107_542_400, 0), "2100-03-01T00:00:00.000000Z");
    }

    #[test]
    fn what_cannot_be_written_is_written_as_the_nearest() {
        assert_eq!(rfc3339(UNIX_EPOCH - Duration::from_secs(1)), "1970-01-01T00:00:00.000000Z");
        assert_eq!(text(253_402_300_799, 999_999), "9999-12-31T23:59:59.999999Z");
        assert_eq!(text(253_402_300_800, 0), "9999-12-31T23:59:59.999999Z");
    }

    #[test]
    fn texts_are_read() {
        let read = |text: &str| from_rfc3339(text).map(rfc3339);
        for written in
            ["1970-01-01T00:00:00.000000Z", "2000-02-29T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"]
        {
            assert_eq!(read(written).as_deref(), Some(written));
        }
        for (text, moment) in [
            ("2026-01-31T09:30:00", "2026-01-31T09:30:00.000000Z"),
            ("2026-01-31 09:30:00.123456789", "2026-01-31T09:30:00.123456Z"),
            ("2026-01-31T00:30:00.5+01:30", "2026-01-30T23:00:00.500000Z"),
            ("2026-12-31T23:30:00-01:00", "2027-01-01T00:30:00.000000Z"),
        ] {
            assert_eq!(read(text).as_deref(), Some(moment), "{text}");
        }
        for wrong in [
            "",
            "T",
            "2026-01-31",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+00:01",
            "2025-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-01-31T24:00:00Z",
            "2026-01-31T09:30Z",
            "2026-1-31T09:30:00Z",
            "2026-01-31T09:30:00.Z",
            "2026-01-31T09:30:00+1:00",
            "+026-01-31T09:30:00Z",
            "2026-01-31T09:30:00é",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let leap =
            |year: u64| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..=LAST / MICROS / DAY {
            assert_eq!(civil(days), (year, month, day));
            assert_eq!(super::days(year, month, day), Some(days));
            let length = match month {
                2 if leap(year) => 29,
                2 => 28,
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > length {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
        assert_eq!((year, month, day), (10_000, 1, 1));
    }
}
