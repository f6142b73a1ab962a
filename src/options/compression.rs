//! Which values are compressed, by what their keys begin with.

use std::fmt;
use std::str::FromStr;

use xxhash_rust::xxh3::Xxh3;

use crate::error::{Error, Result};

/// How values lie once they are settled.
///
/// Writes are as fast with compression as without: a value goes into the log as it is. Later, behind the writers,
/// merges move it into a file of blocks that are compressed. What does not shrink lies there as it is. Reads give the
/// same either way, and [`Stat::size`](crate::Stat::size) is the value's length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Compression {
    /// As they were written.
    #[default]
    None,
    /// In blocks of about 16 KiB that are compressed by LZ4.
    Lz4,
}

impl Compression {
    /// Its name: `none` or `lz4`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Lz4 => "lz4",
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Compression {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        [Self::None, Self::Lz4]
            .into_iter()
            .find(|compression| compression.as_str() == name)
            .ok_or_else(|| Error::invalid(format!("compression '{name}' is unknown; use lz4 or none")))
    }
}

/// What is compressed: the rule with the longest prefix of a key decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Packing {
    /// The longest prefix first.
    rules: Vec<(Vec<u8>, Compression)>,
    least: u64,
}

impl Packing {
    /// Sets it for the keys with this prefix.
    pub(crate) fn set(&mut self, prefix: &[u8], compression: Compression) {
        self.rules.retain(|(known, _)| known != prefix);
        self.rules.push((prefix.into(), compression));
        self.rules.sort_by(|(a, _), (b, _)| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    }

    /// The same for values of so many bytes, with their metadata, or more: what is shorter stays in the segments.
    pub(crate) fn of_at_least(self, least: u64) -> Self {
        Self { least, ..self }
    }

    /// The length of the shortest values that are compressed.
    pub(crate) fn least(&self) -> u64 {
        self.least
    }

    /// Whether nothing is compressed.
    pub(crate) fn is_off(&self) -> bool {
        self.rules.iter().all(|(_, compression)| *compression == Compression::None)
    }

    /// Whether a value of this key and of so many bytes is.
    pub(crate) fn packs(&self, key: &[u8], len: u64) -> bool {
        if len < self.least.max(1) {
            return false;
        }
        let rule = self.rules.iter().find(|(prefix, _)| key.starts_with(prefix));
        rule.is_some_and(|(_, compression)| *compression != Compression::None)
    }

    /// Whether those of some key between these two may be.
    pub(crate) fn may_pack(&self, first: &[u8], last: &[u8]) -> bool {
        self.rules.iter().any(|(prefix, compression)| {
            let begins = **prefix <= *last && (*first <= **prefix || first.starts_with(prefix));
            begins && *compression != Compression::None
        })
    }

    /// What tells these rules from others, for a segment to say under which nothing in it was left to be compressed.
    /// Zero: nothing is compressed, and so nothing is said.
    pub(crate) fn fingerprint(&self) -> u64 {
        if self.is_off() {
            return 0;
        }
        let mut hasher = Xxh3::new();
        for (prefix, compression) in &self.rules {
            hasher.update(&(prefix.len() as u64).to_le_bytes());
            hasher.update(prefix);
            hasher.update(compression.as_str().as_bytes());
        }
        hasher.digest().max(1)
    }
}

impl fmt::Display for Packing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_off() {
            return f.write_str("none");
        }
        for (at, (prefix, compression)) in self.rules.iter().rev().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{compression}")?;
            if !prefix.is_empty() {
                write!(f, " for '{}'", String::from_utf8_lossy(prefix))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packing(rules: &[(&str, Compression)]) -> Packing {
        let mut packing = Packing::default();
        rules.iter().for_each(|(prefix, compression)| packing.set(prefix.as_bytes(), *compression));
        packing
    }

    #[test]
    fn the_longest_prefix_decides() {
        use Compression::{Lz4, None};
        let packing = packing(&[("logs/", Lz4), ("", None), ("logs/raw/", None), ("b", Lz4), ("b", None)]);
        let packed =
            ["logs/a", "logs/raw", "logs/raw/1", "a", "b", ""].map(|key| packing.packs(key.as_bytes(), 1));
        assert_eq!(packed, [true, true, false, false, false, false]);
        assert!(!packing.is_off() && packing.fingerprint() != 0);
        assert!(packing.may_pack(b"a", b"z") && packing.may_pack(b"logs/x", b"logs/y"));
        assert!(!packing.may_pack(b"a", b"b") && !packing.may_pack(b"logs0", b"m"));
    }

    #[test]
    fn names_are_read_back() {
        for compression in [Compression::None, Compression::Lz4] {
            assert_eq!(compression.as_str().parse::<Compression>().unwrap(), compression);
        }
        let error = "zstd".parse::<Compression>().unwrap_err();
        assert!(error.to_string().contains("'zstd'") && error.to_string().contains("lz4"));
    }

    proptest! {
        #[test]
        fn the_order_of_rules_makes_no_difference(
            rules in proptest::collection::btree_map("[ab]{0,3}", any::<bool>(), 0..6), key in "[abc]{0,4}",
        ) {
            let rule = |(prefix, packs): (&String, &bool)| {
                (prefix.clone().into_bytes(), if *packs { Compression::Lz4 } else { Compression::None })
            };
            let (mut forward, mut back) = (Packing::default(), Packing::default());
            rules.iter().map(rule).for_each(|(prefix, compression)| forward.set(&prefix, compression));
            rules.iter().rev().map(rule).for_each(|(prefix, compression)| back.set(&prefix, compression));
            prop_assert_eq!(forward.fingerprint(), back.fingerprint());
            let longest = rules.iter().filter(|(prefix, _)| key.starts_with(*prefix)).max_by_key(|(prefix, _)| prefix.len());
            prop_assert_eq!(forward.packs(key.as_bytes(), 9), longest.is_some_and(|(_, packs)| *packs));
            prop_assert!(!forward.packs(key.as_bytes(), 9) || forward.may_pack(key.as_bytes(), key.as_bytes()));
        }
    }
}
