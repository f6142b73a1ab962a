//! Numbers of bytes as people write them: `500MB`, `50GB`, `1GiB`.

use crate::config::number::Decimal;
use crate::error::{Error, Result};

const UNITS: [(&str, u64); 9] = [
    ("B", 1),
    ("KB", 1000),
    ("kB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// What a size looks like, for messages.
pub(crate) const SIZE: &str = "a number and B, kB, MB, GB, TB, KiB, MiB or GiB, such as 50GB";

/// Reads a number of bytes with its unit.
///
/// ```
/// assert_eq!(siltstone::parse_size("50GB")?, 50_000_000_000);
/// assert_eq!(siltstone::parse_size("0.5GiB")?, 512 << 20);
/// # Ok::<(), siltstone::Error>(())
/// ```
///
/// # Errors
///
/// [`Invalid`](crate::ErrorKind::Invalid) if it is none, or too large for 64 bits.
pub fn parse_size(text: &str) -> Result<u64> {
    let (number, name) = Decimal::split(text);
    let unit = UNITS.iter().find(|(unit, _)| *unit == name).map(|(_, bytes)| *bytes);
    let (Some(number), Some(unit)) = (number, unit) else {
        return Err(Error::invalid(format!("it is no size; give {SIZE}")));
    };
    let bytes = number.times(unit.into()).and_then(|bytes| u64::try_from(bytes).ok());
    bytes.ok_or_else(|| Error::invalid(format!("it is too large; give {SIZE}")))
}

/// The shortest text that [`parse_size`] reads back: 50,000,000,000 bytes as `50GB`.
///
/// ```
/// assert_eq!(siltstone::show_size(50_000_000_000), "50GB");
/// assert_eq!(siltstone::show_size(1 << 30), "1GiB");
/// ```
pub fn show_size(bytes: u64) -> String {
    let fits = |unit: &u64| bytes > 0 && bytes.is_multiple_of(*unit);
    let shortest = UNITS.iter().filter(|(_, unit)| fits(unit)).max_by_key(|(_, unit)| *unit);
    shortest.map_or_else(|| format!("{bytes}B"), |(name, unit)| format!("{}{name}", bytes / unit))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_unit() {
        let expected = [
            ("7B", 7),
            ("1500kB", 1_500_000),
            ("0.5MB", 500_000),
            ("2TB", 2_000_000_000_000),
            ("1KiB", 1024),
        ];
        for (text, bytes) in expected {
            assert_eq!(parse_size(text).unwrap(), bytes, "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_told() {
        for text in ["", "GB", "5", "5 GB", "5XB", "-1B", "1e3B", "99999999999TB"] {
            assert!(parse_size(text).unwrap_err().to_string().contains("50GB"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(bytes: u64, unit in 0..UNITS.len()) {
            let bytes = bytes / UNITS[unit].1 * UNITS[unit].1;
            prop_assert_eq!(parse_size(&show_size(bytes)).unwrap(), bytes);
        }
    }
}
