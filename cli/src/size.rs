//! Numbers of bytes as an option has them: `500MB`, `50GB`, `1GiB`.

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

/// Reads a number of bytes with its unit.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let advice = "give a number and B, kB, MB, GB, TB, KiB, MiB or GiB, such as 50GB";
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, name) = text.split_at(unit_at);
    let unit = UNITS.iter().find(|(unit, _)| *unit == name).map(|(_, bytes)| *bytes as f64);
    let number = number.parse::<f64>().ok();
    let (Some(number), Some(unit)) = (number, unit) else {
        return Err(format!("it is no size; {advice}"));
    };
    let bytes = number * unit;
    if bytes < 1e18 { Ok(bytes as u64) } else { Err(format!("it is too large; {advice}")) }
}

/// The shortest form that [`parse`] reads back.
pub(crate) fn show(bytes: u64) -> String {
    let fits = |unit: &u64| bytes > 0 && bytes.is_multiple_of(*unit);
    let shortest = UNITS.iter().filter(|(_, unit)| fits(unit)).max_by_key(|(_, unit)| *unit);
    shortest.map_or_else(|| format!("{bytes}B"), |(name, unit)| format!("{}{name}", bytes / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_read_back() {
        for (text, bytes) in
            [("50GB", 50_000_000_000), ("1GiB", 1 << 30), ("7B", 7), ("1500kB", 1_500_000), ("0B", 0)]
        {
            assert_eq!((parse(text), show(bytes).as_str()), (Ok(bytes), text));
        }
        assert_eq!(parse("0.5MB"), Ok(500_000));
    }

    #[test]
    fn what_is_no_size_is_told() {
        for text in ["", "GB", "5", "5 GB", "5XB", "-1B", "99999999999TB"] {
            assert!(parse(text).unwrap_err().contains("50GB"), "{text}");
        }
    }
}
