//! Spans of time as people write them: `500ms`, `10s`, `5m`, `1h`, `7d`, or a bare number of seconds.

use std::time::Duration;

use crate::config::number::Decimal;
use crate::error::{Error, Result};

/// The units, with how many nanoseconds they have.
const UNITS: [(&str, u128); 5] = [
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

/// What a span of time looks like, for messages.
pub(crate) const DURATION: &str = "a number and ms, s, m, h or d, such as 500ms or 5m";

/// Reads a span of time: a number and `ms`, `s`, `m`, `h` or `d`; without a unit, seconds. Exact down to the
/// nanosecond.
///
/// ```
/// use std::time::Duration;
/// assert_eq!(siltstone::parse_duration("500ms")?, Duration::from_millis(500));
/// assert_eq!(siltstone::parse_duration("7d")?, Duration::from_secs(7 * 86_400));
/// assert_eq!(siltstone::parse_duration("0.25")?, Duration::from_millis(250));
/// # Ok::<(), siltstone::Error>(())
/// ```
///
/// # Errors
///
/// [`Invalid`](crate::ErrorKind::Invalid) if it is none, or longer than a [`Duration`] can be.
pub fn parse_duration(text: &str) -> Result<Duration> {
    let (number, unit) = Decimal::split(text);
    let unit = if unit.is_empty() { "s" } else { unit };
    let nanos = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, nanos)| *nanos);
    let (Some(number), Some(nanos)) = (number, nanos) else {
        return Err(Error::invalid(format!("it is no span of time; give {DURATION}")));
    };
    number.times(nanos).and_then(from_nanos).ok_or_else(too_long)
}

/// A span of so many seconds.
pub(crate) fn from_seconds(seconds: &serde_json::Number) -> Result<Duration> {
    if let Some(whole) = seconds.as_u64() {
        return Ok(Duration::from_secs(whole));
    }
    let seconds = seconds.as_f64().unwrap_or(f64::NAN);
    if seconds < 0.0 {
        return Err(Error::invalid("it is less than nothing"));
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| too_long())
}

fn too_long() -> Error {
    Error::invalid("it is longer than a span of time can be")
}

fn from_nanos(nanos: u128) -> Option<Duration> {
    const SECOND: u128 = 1_000_000_000;
    let seconds = u64::try_from(nanos / SECOND).ok()?;
    Some(Duration::new(seconds, (nanos % SECOND) as u32))
}

/// The shortest text that [`parse_duration`] reads back: `300s` as `5m`.
///
/// ```
/// use std::time::Duration;
/// assert_eq!(siltstone::show_duration(Duration::from_secs(300)), "5m");
/// assert_eq!(siltstone::show_duration(Duration::from_millis(1_500)), "1500ms");
/// ```
pub fn show_duration(span: Duration) -> String {
    let nanos = span.as_nanos();
    let whole = UNITS.iter().rev().find(|(_, unit)| nanos > 0 && nanos.is_multiple_of(*unit));
    match whole {
        Some((name, unit)) => format!("{}{name}", nanos / unit),
        None if nanos == 0 => "0s".into(),
        None => format!("{}.{:06}ms", nanos / 1_000_000, nanos % 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_unit() {
        let expected = [
            ("500ms", Duration::from_millis(500)),
            ("10s", Duration::from_secs(10)),
            ("5m", Duration::from_secs(300)),
            ("1h", Duration::from_secs(3600)),
            ("7d", Duration::from_secs(7 * 86_400)),
            ("1.5h", Duration::from_secs(5400)),
            ("300", Duration::from_secs(300)),
            ("0.25", Duration::from_millis(250)),
            ("0.000001ms", Duration::from_nanos(1)),
            ("0", Duration::ZERO),
        ];
        for (text, span) in expected {
            assert_eq!(parse_duration(text).unwrap(), span, "{text}");
        }
    }

    #[test]
    fn what_is_no_span_is_told() {
        let wrong = [
            "", "s", "abc", "5 m", "5x", "-1s", "+1s", "1.2.3", "1e3", ".5s", "5.s", "5S", "5sec", "٣s",
            "1_000s", "∞",
        ];
        for text in wrong {
            assert!(parse_duration(text).unwrap_err().to_string().contains("500ms"), "{text}");
        }
        for text in ["99999999999999999999d", "1000000000000000d", &"9".repeat(500)] {
            assert!(parse_duration(text).unwrap_err().to_string().contains("longer"), "{text}");
        }
    }

    #[test]
    fn seconds_are_numbers() {
        let number = |text: &str| from_seconds(&text.parse().unwrap());
        assert_eq!(number("300").unwrap(), Duration::from_secs(300));
        assert_eq!(number("0.5").unwrap(), Duration::from_millis(500));
        assert_eq!(number("18446744073709551615").unwrap(), Duration::from_secs(u64::MAX));
        for wrong in ["-1", "-0.5", "1e300"] {
            number(wrong).unwrap_err();
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(seconds: u64, nanos in 0..1_000_000_000_u32, whole: bool) {
            let span = Duration::new(seconds, if whole { 0 } else { nanos });
            prop_assert_eq!(parse_duration(&show_duration(span)).unwrap(), span);
        }

        #[test]
        fn a_number_of_units_is_exact(number in 0..1_u64 << 40, unit in 0..UNITS.len()) {
            let (name, nanos) = UNITS[unit];
            let span = parse_duration(&format!("{number}{name}")).unwrap();
            prop_assert_eq!(span.as_nanos(), u128::from(number) * nanos);
        }

        #[test]
        fn any_text_is_a_span_or_is_not(text in "[0-9.msdh -]{0,12}|.{0,12}") {
            if let Ok(span) = parse_duration(&text) {
                prop_assert!(text.starts_with(|c: char| c.is_ascii_digit()), "{} {:?}", text, span);
            }
        }
    }
}
