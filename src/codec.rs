//! Bounds-checked little-endian reading and writing: every decoder of the crate stands on this.
//!
//! Variable-length integers are LEB128 (DWARF 5, section 7.6), at most ten bytes, shortest form only
//! so that one number has one encoding.

/// Bytes that are not what the format says. The caller adds which file, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// No file has a higher number: counting on from there comes to no end.
const HIGHEST: u64 = u64::MAX / 2;

/// The number of a file, read from its name or from what names it.
pub(crate) fn file_number(digits: &str) -> Option<u64> {
    digits.parse().ok().filter(|number| *number <= HIGHEST)
}

/// A cursor over untrusted bytes. Every read says whether the bytes were there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    #[inline]
    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (head, tail) = self.bytes.split_at_checked(len).ok_or(Malformed)?;
        self.bytes = tail;
        Ok(head)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, tail) = self.bytes.split_first_chunk::<N>().ok_or(Malformed)?;
        self.bytes = tail;
        Ok(*head)
    }

    #[inline]
    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    #[inline]
    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    #[inline]
    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64, Malformed> {
        match self.bytes {
            [first, tail @ ..] if *first < 0x80 => {
                self.bytes = tail;
                Ok(u64::from(*first))
            }
            _ => self.long_varint(),
        }
    }

    /// How long one is changes from number to number, so that to branch on each of its bytes would cost more than
    /// to take eight at once.
    #[inline]
    fn long_varint(&mut self) -> Result<u64, Malformed> {
        let Some(word) = self.bytes.first_chunk().copied().map(u64::from_le_bytes) else {
            return self.varint_by_bytes();
        };
        let ends = !word & 0x8080_8080_8080_8080;
        if ends == 0 {
            return self.varint_by_bytes();
        }
        // All bits up to the end of the first byte that has no successor; then seven of each byte, side by side.
        let word = word & (ends ^ (ends - 1)) & 0x7f7f_7f7f_7f7f_7f7f;
        let word = word & 0x007f_007f_007f_007f | word >> 1 & 0x3f80_3f80_3f80_3f80;
        let word = word & 0x0000_3fff_0000_3fff | word >> 2 & 0x0fff_c000_0fff_c000;
        let value = word & 0x0fff_ffff | word >> 4 & 0x00ff_ffff_f000_0000;
        let before_last = ends.trailing_zeros() / 8;
        self.take(before_last as usize + 1)?;
        // It was not one byte, and so the last one has to say something.
        if value >> (7 * before_last) == 0 { Err(Malformed) } else { Ok(value) }
    }

    #[cold]
    fn varint_by_bytes(&mut self) -> Result<u64, Malformed> {
        let mut value = 0u64;
        for index in 0..10 {
            let byte = self.u8()?;
            let part = u64::from(byte & 0x7f);
            if index == 9 && byte > 1 {
                return Err(Malformed);
            }
            value |= part << (7 * index);
            if byte < 0x80 {
                return if byte == 0 && index > 0 { Err(Malformed) } else { Ok(value) };
            }
        }
        Err(Malformed)
    }

    /// A length that must fit what this machine can address.
    #[inline]
    pub(crate) fn length(&mut self) -> Result<usize, Malformed> {
        usize::try_from(self.varint()?).map_err(|_| Malformed)
    }
}

/// Appends the shortest LEB128 form of `value`.
#[inline]
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The checksum of bytes at this offset of a file with this salt: bytes of another file, of another place,
/// or out of a user's value do not pass.
pub(crate) fn salted_crc(salt: u64, offset: u64, bytes: &[u8]) -> u32 {
    // A different start gives the same bytes a different checksum, always: the step is a bijection.
    let mixed = (salt ^ offset.rotate_left(20)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut hasher = crc32fast::Hasher::new_with_initial((mixed >> 32) as u32);
    hasher.update(bytes);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn varints_come_back(value: u64, shift in 0u32..64) {
            let value = value >> shift;
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.varint(), Ok(value));
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn any_bytes_are_read_one_way(bytes in proptest::collection::vec(any::<u8>(), 0..12)) {
            let mut reader = Reader::new(&bytes);
            if let Ok(value) = reader.varint() {
                let mut again = Vec::new();
                put_varint(&mut again, value);
                prop_assert_eq!(&again[..], &bytes[..bytes.len() - reader.remaining()]);
            }
        }
    }
}
