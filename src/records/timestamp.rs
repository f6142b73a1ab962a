//! Moments as records have them.

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use serde_core::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value as Json;

use crate::batch::{micros, moment};
use crate::connector::{from_rfc3339, rfc3339};
use crate::error::{Error, Result};

/// A moment in UTC, to the microsecond, from 1970 to 9999.
///
/// It is written as the library writes it (Python's `isoformat`): `2026-01-31T09:30:00.250000+00:00`, and
/// without the fraction if that is zero. It is read from the forms of RFC 3339 and ISO 8601 with any offset, and
/// from a number, of seconds since 1970. A text without an offset is taken to be in UTC: such a text does not
/// tell whose local time it may have meant.
///
/// ```
/// use siltstone::records::Timestamp;
/// let moment: Timestamp = "2026-01-31T10:30:00.25+01:00".parse()?;
/// assert_eq!(moment.to_string(), "2026-01-31T09:30:00.250000+00:00");
/// assert_eq!(moment, "2026-01-31 09:30:00.25".parse()?);
/// assert!(moment < std::time::SystemTime::now().into());
/// # Ok::<(), siltstone::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    micros: u64,
}

impl Timestamp {
    /// The last moment that there is: the end of the year 9999.
    pub(super) const LAST: Self = Self { micros: 253_402_300_799_999_999 };

    /// The same width for all moments, in the order of time.
    pub(super) fn sortable(self) -> String {
        rfc3339(self.into())
    }

    /// Reads what [`Timestamp::sortable`] wrote, and nothing else.
    pub(super) fn from_sortable(text: &str) -> Option<Self> {
        let found: Self = from_rfc3339(text)?.into();
        (found.sortable() == text).then_some(found)
    }

    /// The moment before, if there is one.
    pub(super) fn before(self) -> Option<Self> {
        self.micros.checked_sub(1).map(|micros| Self { micros })
    }

    fn from_seconds(seconds: f64) -> Option<Self> {
        let micros = (seconds * 1e6).round();
        let known = (0.0..=Self::LAST.micros as f64).contains(&micros);
        known.then_some(Self { micros: micros as u64 })
    }
}

impl From<SystemTime> for Timestamp {
    /// What lies before 1970 or after 9999 is the first or the last moment of that span.
    fn from(moment: SystemTime) -> Self {
        Self { micros: micros(moment).min(Self::LAST.micros) }
    }
}

impl From<Timestamp> for SystemTime {
    fn from(timestamp: Timestamp) -> Self {
        moment(timestamp.micros)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.sortable();
        let text = text.trim_end_matches('Z');
        write!(f, "{}+00:00", text.strip_suffix(".000000").unwrap_or(text))
    }
}

impl FromStr for Timestamp {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        from_rfc3339(text).map(Self::from).ok_or_else(|| {
            let wanted = "write one from 1970 to 9999 as 2026-01-31T09:30:00Z";
            Error::invalid(format!("'{text}' is no moment; {wanted}"))
        })
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Json::deserialize(deserializer)?;
        match &value {
            Json::String(text) => text.parse().map_err(de::Error::custom),
            other => {
                let moment = other.as_f64().and_then(Self::from_seconds);
                moment.ok_or_else(|| de::Error::custom(format!("{other} is no moment")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: Json) -> Option<Timestamp> {
        serde_json::from_value(value).ok()
    }

    #[test]
    fn texts_and_numbers_are_moments() {
        let moment = Timestamp { micros: 1_769_851_800_250_000 };
        for value in [
            json!("2026-01-31T09:30:00.250000+00:00"),
            json!("2026-01-31T09:30:00.25Z"),
            json!("2026-01-31T09:30:00.25"),
            json!("2026-01-31T14:30:00.25+05:00"),
            json!(1_769_851_800.25),
        ] {
            assert_eq!(read(value.clone()), Some(moment), "{value}");
        }
        assert_eq!(serde_json::to_value(moment).unwrap(), json!("2026-01-31T09:30:00.250000+00:00"));
        let whole = Timestamp { micros: 0 };
        assert_eq!(serde_json::to_value(whole).unwrap(), json!("1970-01-01T00:00:00+00:00"));
        for wrong in [json!("yesterday"), json!(-1), json!(1e18), json!(null), json!(true), json!([1])] {
            assert_eq!(read(wrong.clone()), None, "{wrong}");
        }
    }

    #[test]
    fn every_moment_comes_back() {
        for moment in [Timestamp::default(), Timestamp { micros: 1_769_851_800_000_001 }, Timestamp::LAST] {
            assert_eq!(moment.to_string().parse::<Timestamp>().unwrap(), moment);
            assert_eq!(Timestamp::from_sortable(&moment.sortable()), Some(moment));
            assert_eq!(Timestamp::from(SystemTime::from(moment)), moment);
        }
        assert_eq!(Timestamp::from_sortable("2026-01-31T09:30:00Z"), None);
    }
}
