//! Which records of a log: of what time, and about what.

use std::ops::{Range, RangeInclusive};

use crate::records::escape::escape;
use crate::records::logs::key::{LogKey, log};
use crate::records::timestamp::Timestamp;

/// Which records of a log. Without more, all.
///
/// ```
/// use siltstone::records::LogQuery;
/// let january = LogQuery::new()
///     .since("2026-01-01T00:00:00Z".parse()?)
///     .until("2026-02-01T00:00:00Z".parse()?)
///     .of("openai/gpt-4o");
/// # Ok::<(), siltstone::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogQuery {
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    /// Escaped.
    subject: Option<String>,
}

/// How much of a time tells its hour: `2026-01-31T09`.
const HOUR: usize = 13;

/// Where a time has no digit up to there.
const SEPARATORS: [usize; 3] = [4, 7, 10];

/// Where a time has month, day and hour, of two digits each, and what they are between.
const PARTS: [(usize, u8, u8); 3] = [(5, 1, 12), (8, 1, 31), (11, 0, 23)];

impl LogQuery {
    /// All records.
    pub fn new() -> Self {
        Self::default()
    }

    /// From this moment on.
    pub fn since(mut self, moment: Timestamp) -> Self {
        self.since = Some(moment);
        self
    }

    /// Up to before this moment.
    pub fn until(mut self, moment: Timestamp) -> Self {
        self.until = Some(moment);
        self
    }

    /// About this only: a model, a component, or the scope of statistics.
    pub fn of(mut self, subject: &str) -> Self {
        self.subject = Some(escape(subject).into_owned());
        self
    }

    /// The first and the last moment; none if there is no moment between.
    fn window(&self) -> Option<(Timestamp, Timestamp)> {
        let first = self.since.unwrap_or_default();
        let last = self.until.map_or(Some(Timestamp::LAST), Timestamp::before)?;
        (first <= last).then_some((first, last))
    }

    /// The key, if it is one that is asked for.
    pub(super) fn select(&self, kind: &str, key: &str) -> Option<LogKey> {
        let key = LogKey::parse(key)?;
        let (first, last) = self.window()?;
        let about = self.subject.as_ref().is_none_or(|subject| key.is_about(subject));
        (key.kind() == kind && about && (first..=last).contains(&key.time())).then_some(key)
    }

    /// Between which keys they lie.
    pub(super) fn range(&self, kind: &str) -> Range<String> {
        let log = log(kind);
        // The slash behind a time, and what comes after all slashes.
        let bound = |time: Timestamp, end: char| format!("{log}{}{end}", time.sortable());
        match self.window() {
            Some((first, last)) => bound(first, '/')..bound(last, '0'),
            None => log.clone()..log.clone(),
        }
    }

    /// Prefixes under which they lie, and not much else: nothing but the rest of the first and the last hour. A
    /// connector can list by a prefix only, and a listing of a whole log may be long.
    pub(super) fn prefixes(&self, kind: &str) -> Vec<String> {
        let Some((first, last)) = self.window() else { return Vec::new() };
        let log = log(kind);
        let times = cover(&first.sortable(), &last.sortable(), (self.since.is_none(), self.until.is_none()));
        times.into_iter().map(|time| [&log, &*time].concat()).collect()
    }
}

/// Prefixes of all times between two, both of them whole hours. `open` tells which end is no real one: there,
/// nothing has to be left out.
fn cover(first: &str, last: &str, open: (bool, bool)) -> Vec<String> {
    if open == (true, true) {
        return vec![String::new()];
    }
    let common = first.bytes().zip(last.bytes()).take_while(|(first, last)| first == last).count();
    if common >= HOUR {
        return vec![first[..common].to_owned()];
    }
    let lowest = if open.0 { common + 1 } else { HOUR };
    let highest = if open.1 { common + 1 } else { HOUR };
    let (mut prefixes, first_digits, last_digits) = (Vec::new(), first.as_bytes(), last.as_bytes());
    prefixes.push(first[..lowest].to_owned());
    for at in (common + 1..lowest).rev() {
        with_digits(&mut prefixes, &first[..at], first_digits[at] + 1..=b'9');
    }
    with_digits(&mut prefixes, &first[..common], first_digits[common] + 1..=last_digits[common] - 1);
    for at in common + 1..highest {
        with_digits(&mut prefixes, &last[..at], b'0'..=last_digits[at] - 1);
    }
    prefixes.push(last[..highest].to_owned());
    prefixes
}

/// Adds the prefix with each of these digits behind it that a time can have there.
fn with_digits(prefixes: &mut Vec<String>, prefix: &str, digits: RangeInclusive<u8>) {
    if SEPARATORS.contains(&prefix.len()) {
        return;
    }
    let longer = digits.filter(u8::is_ascii_digit).map(|digit| format!("{prefix}{}", char::from(digit)));
    prefixes.extend(longer.filter(|prefix| can_be(prefix)));
}

/// Whether a time can begin so.
fn can_be(prefix: &str) -> bool {
    PARTS.iter().all(|(at, least, most)| {
        let begun = prefix.get(*at..prefix.len().min(at + 2)).unwrap_or_default();
        let (zeros, nines) = (format!("{begun:0<2}").parse::<u8>(), format!("{begun:9<2}").parse::<u8>());
        zeros.is_ok_and(|lowest| lowest <= *most) && nines.is_ok_and(|highest| highest >= *least)
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use proptest::prelude::*;

    use super::*;

    fn moment(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn window(since: &str, until: &str) -> LogQuery {
        LogQuery::new().since(moment(since)).until(moment(until))
    }

    #[test]
    fn prefixes_are_few_and_narrow() {
        assert_eq!(LogQuery::new().prefixes("event"), ["logs/event/"]);
        let day = window("2026-01-31T00:00:00Z", "2026-02-01T00:00:00Z").prefixes("request");
        assert!(day.iter().all(|prefix| prefix.starts_with("logs/request/2026-01-31T")), "{day:?}");
        let midnight = window("2025-12-31T23:59:00Z", "2026-01-01T00:01:00Z").prefixes("request");
        assert_eq!(midnight.first().unwrap(), "logs/request/2025-12-31T23");
        assert_eq!(midnight.last().unwrap(), "logs/request/2026-01-01T00");
        assert!(midnight.len() < 10, "{midnight:?}");
        let second = window("2026-01-31T09:30:00Z", "2026-01-31T09:30:01Z").prefixes("request");
        assert_eq!(second, ["logs/request/2026-01-31T09:30:00."]);
        let open = LogQuery::new().since(moment("2026-01-31T09:30:00Z")).prefixes("request");
        assert!(open.len() < 50, "{}", open.len());
        assert!(window("2026-01-31T09:30:00Z", "2026-01-31T09:30:00Z").prefixes("request").is_empty());
        assert!(LogQuery::new().until(Timestamp::default()).prefixes("request").is_empty());
    }

    proptest! {
        #[test]
        fn each_time_between_is_under_one_prefix_in_their_order(
            times in proptest::collection::vec(0..253_402_300_800_u64, 3..20),
            open in any::<(bool, bool)>(),
        ) {
            let mut times: Vec<Timestamp> = times.into_iter().map(|seconds| (UNIX_EPOCH + Duration::from_secs(seconds)).into()).collect();
            times.sort();
            let inner = times.get(1..times.len() - 1).unwrap();
            let mut query = LogQuery::new();
            query.since = (!open.0).then_some(inner[0]);
            query.until = (!open.1).then_some(*times.last().unwrap());
            let prefixes = query.prefixes("event");
            prop_assert!(prefixes.is_sorted());
            for time in inner.iter().filter(|time| *time < times.last().unwrap()) {
                let key = format!("logs/event/{}/a/1", time.sortable());
                prop_assert_eq!(prefixes.iter().filter(|prefix| key.starts_with(*prefix)).count(), 1, "{}", key);
                prop_assert!(query.range("event").contains(&key));
                prop_assert!(query.select("event", &key).is_some());
            }
        }
    }
}
