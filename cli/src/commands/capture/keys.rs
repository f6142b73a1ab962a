//! The keys of captured lines.

use clap::ValueEnum;
use siltstone::{MAX_KEY_LEN, Store};
use ulid::{Generator, ULID_LEN};

use crate::exit::{Failure, Result};

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyKind {
    /// A unique id that begins with the time, in the order of the lines
    Ulid,
    /// Twenty decimal digits, counting on from the greatest that is there
    Seq,
}

/// As many digits as the greatest number has: then the order of the bytes is that of the numbers.
const DIGITS: usize = 20;

/// Makes the key of one line after the other.
pub(crate) struct Keys {
    /// The prefix, and behind it what was made last.
    key: Vec<u8>,
    prefix_len: usize,
    source: Source,
}

enum Source {
    Ulid(Generator),
    /// The number that was given last.
    Seq(u64),
}

impl Keys {
    pub(crate) fn new(store: &Store, prefix: &[u8], kind: KeyKind) -> Result<Self> {
        if prefix.len() + ULID_LEN.max(DIGITS) > MAX_KEY_LEN {
            return Err(Failure::new(format!(
                "--prefix is too long for keys of at most {MAX_KEY_LEN} bytes; shorten it"
            )));
        }
        let source = match kind {
            KeyKind::Ulid => Source::Ulid(Generator::new()),
            KeyKind::Seq => Source::Seq(greatest(store, prefix)?),
        };
        Ok(Self { key: prefix.to_vec(), prefix_len: prefix.len(), source })
    }

    /// The next key: the prefix, and the line's own part or the next one that we make.
    pub(crate) fn next(&mut self, own: Option<&str>) -> Result<&[u8]> {
        self.key.truncate(self.prefix_len);
        match (own, &mut self.source) {
            (Some(own), _) => self.key.extend_from_slice(own.as_bytes()),
            (None, Source::Ulid(generator)) => {
                let ulid = generator.generate().unwrap_or_else(|full| full.commit_overflow_increment());
                self.key.extend_from_slice(ulid.array_to_str(&mut [0; ULID_LEN]).as_bytes());
            }
            (None, Source::Seq(last)) => {
                *last = last.checked_add(1).ok_or_else(|| {
                    Failure::new(
                        "the sequence numbers under this prefix are used up; choose another --prefix",
                    )
                })?;
                self.key.extend_from_slice(format!("{last:0DIGITS$}").as_bytes());
            }
        }
        Ok(&self.key)
    }
}

/// The greatest sequence number under the prefix; zero if there is none.
fn greatest(store: &Store, prefix: &[u8]) -> Result<u64> {
    // Everything after the prefix and a digit: `:` follows `9`.
    let mut end = [prefix, b":"].concat();
    loop {
        let Some(item) = store.scan(prefix..&end)?.next_back().transpose()? else {
            return Ok(0);
        };
        let rest = item.key().get(prefix.len()..).unwrap_or_default();
        if let Some(number) = number(rest) {
            return Ok(number);
        }
        end = before(prefix, rest);
    }
}

fn number(rest: &[u8]) -> Option<u64> {
    let digits = rest.len() == DIGITS && rest.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(rest).ok().filter(|_| digits)?.parse().ok()
}

/// Before which key to look on, if the rest of this one is no number. A whole run of other keys that share
/// their digits (ULIDs, say) is passed at once.
fn before(prefix: &[u8], rest: &[u8]) -> Vec<u8> {
    let digits = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
    let head = rest.get(..digits).unwrap_or_default();
    match rest.get(digits) {
        // Letters sort behind all digits, so the numbers with these digits are before `:`.
        Some(byte) if *byte > b':' && digits < DIGITS => [prefix, head, b":"].concat(),
        _ => [prefix, rest].concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(keys: &[&str]) -> Store {
        let store = Store::in_memory().unwrap();
        for key in keys {
            store.put(key, "").unwrap();
        }
        store
    }

    fn next(store: &Store, prefix: &str) -> String {
        let mut keys = Keys::new(store, prefix.as_bytes(), KeyKind::Seq).unwrap();
        String::from_utf8(keys.next(None).unwrap().to_vec()).unwrap()
    }

    #[test]
    fn numbers_go_on_from_the_greatest() {
        assert_eq!(next(&store(&[]), "a/"), "a/00000000000000000001");
        let there = store(&[
            "a/00000000000000000041",
            "a/00000000000000000041/more",
            "a/000000000000000000410",
            "a/00000000000000000041:",
            "a/0000000000000000005",
            "a/01ARZ3NDEKTSV4RRFFQ69G5FAV",
            "a/01ARZ3NDEKTSV4RRFFQ69G5FAW",
            "a/9",
            "a/99999999999999999999",
            "a/x",
            "b/00000000000000000099",
        ]);
        assert_eq!(next(&there, "a/"), "a/00000000000000000042");
        assert_eq!(next(&there, ""), "00000000000000000001");
    }

    #[test]
    fn a_run_of_other_keys_is_passed_at_once() {
        assert_eq!(before(b"a/", b"01ARZ3"), b"a/01:");
        assert_eq!(before(b"a/", b"9"), b"a/9");
        assert_eq!(before(b"a/", b"01/x"), b"a/01/x");
        assert_eq!(before(b"a/", b"1:"), b"a/1:");
    }

    #[test]
    fn numbers_end() {
        let store = store(&["18446744073709551615"]);
        let mut keys = Keys::new(&store, b"", KeyKind::Seq).unwrap();
        assert!(keys.next(None).is_err());
    }

    #[test]
    fn ulids_ascend() {
        let mut keys = Keys::new(&store(&[]), b"p/", KeyKind::Ulid).unwrap();
        let mut last = Vec::new();
        for _ in 0..10_000 {
            let key = keys.next(None).unwrap().to_vec();
            assert!(key > last && key.len() == 28 && key.starts_with(b"p/"));
            last = key;
        }
    }
}
