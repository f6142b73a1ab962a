//! The key under a cursor, put together from shared beginnings and suffixes.

use crate::codec::Malformed;

/// A suffix of up to this length is copied as a whole chunk, which takes two instructions instead of
/// a call.
const CHUNK: usize = 16;

/// A key that is followed by room, so that chunks may be copied past its end.
#[derive(Debug, Default)]
pub(super) struct KeyBuffer {
    bytes: Vec<u8>,
    /// The key's length; at most that of `bytes`.
    len: usize,
}

impl KeyBuffer {
    #[inline]
    pub(super) fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    pub(super) fn clear(&mut self) {
        self.len = 0;
    }

    pub(super) fn set(&mut self, key: &[u8]) {
        self.bytes.clear();
        self.append(key);
    }

    /// Keeps the first `shared` bytes; the first `len` of `from` follow them.
    #[inline(always)]
    pub(super) fn replace(&mut self, shared: usize, len: usize, from: &[u8]) -> Result<(), Malformed> {
        if shared > self.len {
            return Err(Malformed);
        }
        if len <= CHUNK
            && let Some(from) = from.first_chunk::<CHUNK>()
            && let Some(to) = self.bytes.get_mut(shared..).and_then(|to| to.first_chunk_mut())
        {
            *to = *from;
            self.len = shared + len;
            return Ok(());
        }
        self.bytes.truncate(shared);
        self.append(from.get(..len).ok_or(Malformed)?);
        Ok(())
    }

    fn append(&mut self, suffix: &[u8]) {
        self.bytes.extend_from_slice(suffix);
        self.len = self.bytes.len();
        self.bytes.resize(self.len + CHUNK, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keys_are_put_together(steps in proptest::collection::vec((0usize..60, 0usize..40, any::<u8>()), 0..30)) {
            let (mut buffer, mut key) = (KeyBuffer::default(), Vec::new());
            for (shared, len, byte) in steps {
                // What follows the suffix in a block is not part of the key.
                let from = [vec![byte; len], vec![!byte; usize::from(byte) % 20]].concat();
                let replaced = buffer.replace(shared, len, &from);
                prop_assert_eq!(replaced.is_ok(), shared <= key.len());
                if replaced.is_ok() {
                    key.truncate(shared);
                    key.resize(shared + len, byte);
                }
                prop_assert_eq!(buffer.as_slice(), &key[..]);
                prop_assert_eq!(buffer.replace(0, len + 20, &from), Err(Malformed));
                buffer.set(&key);
            }
        }
    }
}
