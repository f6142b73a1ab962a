//! An entry at rest: a key's stat fields and the place of its value. One encoding serves memtables
//! and segments, so that a flush and a merge copy entries without decoding them.
//!
//! ```text
//! entry     = flags:u8 modified:varint [expires:varint] [content_type] [meta_len:varint] place
//! flags     = bits 0-1: kind (0 tombstone, 1 inline, 2 in a log, 3 in a value file); bit 2: expires; bit 3: content_type;
//!             bit 4: meta_len; bit 5: within, of kind 3 only; bits 6-7: zero
//! place     = tombstone: nothing
//!           | inline:    value_len:varint meta value
//!           | stored:    value_len:varint crc:u32 file:varint offset:varint [within:varint]  (meta and value lie there:
//!                        at the offset; or, with `within`, in the block that begins there, so far behind its start)
//! content_type = code:u8 [len:u8 bytes]   (code 0: spelled out; others: see `CONTENT_TYPES`)
//! ```
//! Times are microseconds since the Unix epoch.

use std::borrow::Cow;

use crate::codec::{Malformed, Reader, put_varint};

/// Content types common enough to be stored as one byte. Only ever extended at the end: codes are on disk.
const CONTENT_TYPES: [&str; 6] = [
    "application/json",
    "application/octet-stream",
    "text/plain",
    "application/msgpack",
    "application/yaml",
    "application/x-ndjson",
];

/// A file that values lie in. Logs and value files are numbered each for themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ValueHome {
    Log(u64),
    /// Where a merge moved them.
    Moved(u64),
}

/// Where the bytes of one value lie in a file: `meta_len` bytes of metadata, then the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pointer {
    pub(crate) home: ValueHome,
    pub(crate) offset: u64,
    /// In a value file: where they begin in the block that begins at the offset, if they are in one.
    pub(crate) within: Option<u32>,
    pub(crate) crc: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place<'a> {
    /// The key was deleted.
    Tombstone,
    /// Metadata, then the value.
    Inline(&'a [u8]),
    /// In another file.
    Stored(Pointer),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    pub(crate) modified: u64,
    /// Zero: never.
    pub(crate) expires: u64,
    /// Empty: none was given.
    pub(crate) content_type: &'a str,
    pub(crate) meta_len: u32,
    pub(crate) value_len: u32,
    pub(crate) place: Place<'a>,
}

const KIND: u8 = 0b11;
const EXPIRES: u8 = 1 << 2;
const CONTENT_TYPE: u8 = 1 << 3;
const META: u8 = 1 << 4;
const WITHIN: u8 = 1 << 5;

impl<'a> Entry<'a> {
    pub(crate) fn tombstone(modified: u64) -> Self {
        let place = Place::Tombstone;
        Self { modified, expires: 0, content_type: "", meta_len: 0, value_len: 0, place }
    }

    pub(crate) fn is_tombstone(&self) -> bool {
        matches!(self.place, Place::Tombstone)
    }

    /// Whether readers may see it at this time: not deleted, not expired.
    pub(crate) fn is_live(&self, now: u64) -> bool {
        !self.is_tombstone() && (self.expires == 0 || now < self.expires)
    }

    /// Whether its value lies in a block of a value file.
    pub(crate) fn is_packed(&self) -> bool {
        matches!(self.place, Place::Stored(Pointer { home: ValueHome::Moved(_), within: Some(_), .. }))
    }

    /// Bytes of metadata and value together.
    pub(crate) fn payload_len(&self) -> u64 {
        u64::from(self.meta_len) + u64::from(self.value_len)
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let kind = match self.place {
            Place::Tombstone => 0,
            Place::Inline(_) => 1,
            Place::Stored(Pointer { home: ValueHome::Log(_), .. }) => 2,
            Place::Stored(Pointer { home: ValueHome::Moved(_), .. }) => 3,
        };
        let flags = kind
            | if self.expires == 0 { 0 } else { EXPIRES }
            | if self.content_type.is_empty() { 0 } else { CONTENT_TYPE }
            | if self.meta_len == 0 { 0 } else { META }
            | if self.is_packed() { WITHIN } else { 0 };
        out.push(flags);
        put_varint(out, self.modified);
        if self.expires != 0 {
            put_varint(out, self.expires);
        }
        if !self.content_type.is_empty() {
            put_content_type(out, self.content_type);
        }
        if self.meta_len != 0 {
            put_varint(out, u64::from(self.meta_len));
        }
        match self.place {
            Place::Tombstone => {}
            Place::Inline(payload) => {
                put_varint(out, u64::from(self.value_len));
                out.extend_from_slice(payload);
            }
            Place::Stored(pointer) => {
                put_varint(out, u64::from(self.value_len));
                out.extend_from_slice(&pointer.crc.to_le_bytes());
                let (ValueHome::Log(file) | ValueHome::Moved(file)) = pointer.home;
                put_varint(out, file);
                put_varint(out, pointer.offset);
                if let Some(within) = pointer.within.filter(|_| self.is_packed()) {
                    put_varint(out, u64::from(within));
                }
            }
        }
    }

    #[inline]
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let reader = &mut Reader::new(bytes);
        let flags = reader.u8()?;
        if flags & !(KIND | EXPIRES | CONTENT_TYPE | META | WITHIN) != 0
            || (flags & WITHIN != 0 && flags & KIND != 3)
        {
            return Err(Malformed);
        }
        let modified = reader.varint()?;
        let expires = if flags & EXPIRES == 0 { 0 } else { reader.varint()? };
        let content_type = if flags & CONTENT_TYPE == 0 { "" } else { content_type(reader)? };
        let meta_len = if flags & META == 0 { 0 } else { length32(reader)? };
        let mut value_len = 0;
        let place = match flags & KIND {
            0 => Place::Tombstone,
            1 => {
                value_len = length32(reader)?;
                let len = usize::try_from(u64::from(meta_len) + u64::from(value_len));
                Place::Inline(reader.take(len.map_err(|_| Malformed)?)?)
            }
            kind => {
                value_len = length32(reader)?;
                let crc = reader.u32()?;
                let file = reader.varint()?;
                let home = if kind == 2 { ValueHome::Log(file) } else { ValueHome::Moved(file) };
                let offset = reader.varint()?;
                let within = if flags & WITHIN == 0 { None } else { Some(length32(reader)?) };
                Place::Stored(Pointer { home, offset, within, crc })
            }
        };
        if !reader.is_empty() {
            return Err(Malformed);
        }
        Ok(Self { modified, expires, content_type, meta_len, value_len, place })
    }
}

/// Whether an encoded entry is deleted or expired at this time. What is malformed is shown, so that
/// whoever decodes it says so.
#[inline]
pub(crate) fn is_hidden(bytes: &[u8], now: u64) -> bool {
    match bytes.first() {
        Some(flags) if flags & KIND == 0 => true,
        Some(flags) if flags & EXPIRES == 0 => false,
        _ => Entry::decode(bytes).is_ok_and(|entry| !entry.is_live(now)),
    }
}

/// A 32-bit length: no metadata and no value is longer than the limits of `batch`.
#[inline]
pub(crate) fn length32(reader: &mut Reader<'_>) -> Result<u32, Malformed> {
    u32::try_from(reader.varint()?).map_err(|_| Malformed)
}

pub(crate) fn put_content_type(out: &mut Vec<u8>, content_type: &str) {
    match CONTENT_TYPES.iter().position(|known| *known == content_type) {
        Some(index) => out.push(index as u8 + 1),
        None => {
            out.push(0);
            out.push(content_type.len() as u8);
            out.extend_from_slice(content_type.as_bytes());
        }
    }
}

pub(crate) fn content_type<'a>(reader: &mut Reader<'a>) -> Result<&'a str, Malformed> {
    match reader.u8()? {
        0 => {
            let len = reader.u8()?;
            std::str::from_utf8(reader.take(usize::from(len))?).map_err(|_| Malformed)
        }
        code => CONTENT_TYPES.get(usize::from(code) - 1).copied().ok_or(Malformed),
    }
}

/// The content type in a form that outlives the entry; the common ones cost no allocation.
pub(crate) fn intern(content_type: &str) -> Cow<'static, str> {
    let known = CONTENT_TYPES.iter().find(|known| **known == content_type);
    match known {
        Some(known) => Cow::Borrowed(known),
        None if content_type.is_empty() => Cow::Borrowed(""),
        None => Cow::Owned(content_type.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_decode_to_what_encodes_to_them_or_to_an_error(
            bytes in proptest::collection::vec(any::<u8>(), 0..60),
        ) {
            if let Ok(entry) = Entry::decode(&bytes) {
                let mut again = Vec::new();
                entry.encode(&mut again);
                prop_assert_eq!(Entry::decode(&again), Ok(entry));
            }
        }

        #[test]
        fn entries_come_back(modified: u64, expires: u64, offset: u64, meta in ".{0,9}", value in ".{0,40}", kind in 0..4, ct in "[a-z/]{0,20}", within: Option<u32>) {
            let payload = format!("{meta}{value}");
            let place = match kind {
                0 => Place::Tombstone,
                1 => Place::Inline(payload.as_bytes()),
                2 => Place::Stored(Pointer { home: ValueHome::Log(7), offset, within: None, crc: 0xdead_beef }),
                _ => Place::Stored(Pointer { home: ValueHome::Moved(offset), offset, within, crc: 0xdead_beef }),
            };
            let value_len = if kind == 0 { 0 } else { value.len() as u32 };
            let entry = Entry {
                modified, expires, content_type: &ct, meta_len: meta.len() as u32, value_len, place,
            };
            let mut bytes = Vec::new();
            entry.encode(&mut bytes);
            prop_assert_eq!(Entry::decode(&bytes), Ok(entry));
        }
    }
}
