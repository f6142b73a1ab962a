//! An entry as a backend keeps it.
//!
//! ```text
//! record  = magic:"\xa7SR" version:u8 flags:u8 crc:u32 payload
//! flags   = bit 0: compressed; bit 1: sealed
//! payload = body; compressed: body_len:varint lz4; sealed: what the seal made of either
//! body    = modified:varint content_type_len:varint content_type meta_len:varint meta data
//! ```
//! `crc` is CRC-32 over the key, a zero byte, `version`, `flags` and `payload`: a record under another key does not
//! pass. Times are microseconds since 1970; metadata tells its format (`format::object`). A record is compressed
//! where that makes it smaller.

use crate::batch::{MAX_CONTENT_TYPE_LEN, MAX_METADATA_LEN, MAX_VALUE_LEN};
use crate::cdk::sealing::Sealing;
use crate::cdk::shelf::Held;
use crate::codec::{Malformed, Reader, put_varint};
use crate::entry::intern;
use crate::error::{Error, ErrorKind, Result};
use crate::key::Printable;

const MAGIC: &[u8] = b"\xa7SR";
const VERSION: u8 = 1;
const COMPRESSED: u8 = 1;
const SEALED: u8 = 2;

/// The longest body: the longest value and metadata, and what stands before them.
const MAX_BODY: usize = MAX_VALUE_LEN + MAX_METADATA_LEN + MAX_CONTENT_TYPE_LEN + 40;

/// LZ4 makes at most this many bytes of one.
const MAX_RATIO: usize = 255;

/// How records are written.
#[derive(Clone, Debug, Default)]
pub(super) struct Codec {
    pub(super) compression: bool,
    pub(super) sealing: Option<Sealing>,
    /// Whether a record that is not sealed is refused.
    pub(super) sealed_only: bool,
}

impl Codec {
    pub(super) fn encode(&self, key: &str, held: &Held) -> Result<Vec<u8>> {
        let (mut flags, mut payload) = (0, body(held));
        if self.compression
            && let Some(smaller) = compress(&payload)
        {
            (flags, payload) = (COMPRESSED, smaller);
        }
        if let Some(sealing) = &self.sealing {
            (flags, payload) = (flags | SEALED, (sealing.seal)(key, &payload)?);
        }
        let crc = checksum(key, VERSION, flags, &payload);
        let mut record = Vec::with_capacity(MAGIC.len() + 6 + payload.len());
        record.extend_from_slice(MAGIC);
        record.extend([VERSION, flags]);
        record.extend(crc.to_le_bytes());
        record.append(&mut payload);
        Ok(record)
    }

    pub(super) fn decode(&self, key: &str, record: &[u8]) -> Result<Held> {
        let (flags, payload) = open(key, record)?;
        let mut payload = std::borrow::Cow::Borrowed(payload);
        if flags & SEALED != 0 {
            let sealing = self.sealing.as_ref().ok_or_else(|| {
                let key = Printable(key.as_bytes());
                Error::invalid(format!(
                    "the record of key '{key}' is encrypted; open it with its encryption key"
                ))
            })?;
            payload = (sealing.open)(key, &payload)?.into();
        } else if self.sealed_only {
            let key = Printable(key.as_bytes());
            return Err(Error::invalid(format!(
                "the record of key '{key}' is not encrypted; leave encryption off, or save the entries into a new place"
            )));
        }
        if flags & COMPRESSED != 0 {
            payload = decompress(&payload).map_err(|Malformed| damaged(key))?.into();
        }
        read_body(&payload).map_err(|Malformed| damaged(key))
    }
}

/// Whether the record holds its entry in the clear, so that it can be written in another form.
pub(super) fn is_plain(record: &[u8]) -> bool {
    record.get(MAGIC.len() + 1) == Some(&0)
}

/// The flags and the payload of a record that is whole.
fn open<'a>(key: &str, record: &'a [u8]) -> Result<(u8, &'a [u8])> {
    let parts = || {
        let reader = &mut Reader::new(record);
        let magic = reader.take(MAGIC.len())?;
        let (version, flags, crc) = (reader.u8()?, reader.u8()?, reader.u32()?);
        Ok((magic, version, flags, crc, reader.take(reader.remaining())?))
    };
    let (magic, version, flags, crc, payload) = parts().map_err(|Malformed| damaged(key))?;
    if magic != MAGIC {
        return Err(damaged(key));
    }
    if version != VERSION {
        let key = Printable(key.as_bytes());
        let message = format!("the record of key '{key}' has version {version}; use a newer siltstone");
        return Err(Error::new(ErrorKind::Unsupported, message));
    }
    if flags & !(COMPRESSED | SEALED) != 0 || crc != checksum(key, version, flags, payload) {
        return Err(damaged(key));
    }
    Ok((flags, payload))
}

fn damaged(key: &str) -> Error {
    let key = Printable(key.as_bytes());
    Error::corruption(format!("the record of key '{key}' is damaged; restore the backend from a backup"))
}

fn checksum(key: &str, version: u8, flags: u8, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key.as_bytes());
    hasher.update(&[0, version, flags]);
    hasher.update(payload);
    hasher.finalize()
}

fn body(held: &Held) -> Vec<u8> {
    let content_type = held.content_type.as_bytes();
    let mut body = Vec::with_capacity(40 + content_type.len() + held.meta.len() + held.data.len());
    put_varint(&mut body, held.modified);
    put_varint(&mut body, content_type.len() as u64);
    body.extend_from_slice(content_type);
    put_varint(&mut body, held.meta.len() as u64);
    body.extend_from_slice(&held.meta);
    body.extend_from_slice(&held.data);
    body
}

fn read_body(body: &[u8]) -> Result<Held, Malformed> {
    let reader = &mut Reader::new(body);
    let modified = reader.varint()?;
    let content_type_len = reader.length()?;
    let content_type = std::str::from_utf8(reader.take(content_type_len)?).map_err(|_| Malformed)?;
    let meta_len = reader.length()?;
    let meta = reader.take(meta_len)?.into();
    let data = reader.take(reader.remaining())?.into();
    Ok(Held { data, meta, content_type: intern(content_type), modified })
}

/// Nothing if it does not get smaller.
fn compress(body: &[u8]) -> Option<Vec<u8>> {
    let mut compressed = Vec::new();
    put_varint(&mut compressed, body.len() as u64);
    compressed.append(&mut lz4_flex::block::compress(body));
    (compressed.len() < body.len()).then_some(compressed)
}

fn decompress(payload: &[u8]) -> Result<Vec<u8>, Malformed> {
    let reader = &mut Reader::new(payload);
    let len = reader.length()?;
    let compressed = reader.take(reader.remaining())?;
    // No forged length makes more memory than its input can have meant.
    if len > MAX_BODY || len / MAX_RATIO > compressed.len() {
        return Err(Malformed);
    }
    let body = lz4_flex::block::decompress(compressed, len).map_err(|_| Malformed)?;
    if body.len() == len { Ok(body) } else { Err(Malformed) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn held(data: &[u8]) -> Held {
        let meta: &[u8] = br#"{"a":1}"#;
        Held {
            data: data.into(),
            meta: meta.into(),
            content_type: "text/plain".into(),
            modified: 1_700_000_000_000_000,
        }
    }

    fn xor() -> Sealing {
        let turn = |key: &str, bytes: &[u8]| {
            let mask = key.bytes().fold(0x55, |mask, byte| mask ^ byte);
            Ok(bytes.iter().map(|byte| byte ^ mask).collect())
        };
        Sealing::new(turn, turn)
    }

    fn codecs() -> [Codec; 4] {
        let codec = |compression, sealing| Codec { compression, sealing, sealed_only: false };
        [codec(false, None), codec(true, None), codec(false, Some(xor())), codec(true, Some(xor()))]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn entries_come_back(data in prop::collection::vec(0u8..4, 0..300), key in ".{0,5}") {
            for codec in codecs() {
                let record = codec.encode(&key, &held(&data)).unwrap();
                prop_assert_eq!(codec.decode(&key, &record).unwrap(), held(&data));
            }
        }

        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..60), flags in 0u8..4) {
            let crc = checksum("k", VERSION, flags, &bytes).to_le_bytes();
            let record = [MAGIC, &[VERSION, flags], &crc, &bytes].concat();
            for codec in codecs() {
                let _ = codec.decode("k", &record);
            }
        }
    }

    #[test]
    fn similar_bytes_shrink_and_garbage_does_not_grow() {
        let plain = Codec::default();
        let codec = Codec { compression: true, ..Codec::default() };
        let similar = held(&br#"{"model":"a","tokens":12}"#.repeat(100));
        assert!(codec.encode("k", &similar).unwrap().len() < plain.encode("k", &similar).unwrap().len() / 10);
        let mut state = 1u64;
        let garbage: Vec<u8> = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 24) as u8
        })
        .take(1000)
        .collect();
        assert_eq!(codec.encode("k", &held(&garbage)).unwrap(), plain.encode("k", &held(&garbage)).unwrap());
    }

    #[test]
    fn every_changed_byte_is_noticed_and_another_key_too() {
        for codec in codecs() {
            let record = codec.encode("k", &held(&[7; 100])).unwrap();
            for at in 0..record.len() {
                let mut changed = record.clone();
                changed[at] ^= 0x20;
                codec.decode("k", &changed).unwrap_err();
                codec.decode("k", &record[..at]).unwrap_err();
            }
            assert_eq!(codec.decode("l", &record).unwrap_err().kind(), ErrorKind::Corruption);
        }
    }

    #[test]
    fn a_forged_length_makes_no_memory() {
        for len in [u64::MAX, 1 << 40, 1 << 30] {
            let mut payload = Vec::new();
            put_varint(&mut payload, len);
            payload.extend([0; 20]);
            assert_eq!(decompress(&payload), Err(Malformed));
        }
    }

    #[test]
    fn what_is_sealed_needs_the_seal() {
        let [plain, _, sealing, _] = codecs();
        let record = sealing.encode("k", &held(b"secret")).unwrap();
        let error = plain.decode("k", &record).unwrap_err();
        assert!(error.kind() == ErrorKind::Invalid && error.to_string().contains("encrypted"), "{error}");
        assert!(!record.windows(6).any(|bytes| bytes == b"secret"));
        let strict = Codec { sealed_only: true, ..sealing };
        assert_eq!(strict.decode("k", &record).unwrap(), held(b"secret"));
        let error = strict.decode("k", &plain.encode("k", &held(b"")).unwrap()).unwrap_err();
        assert!(
            error.kind() == ErrorKind::Invalid && error.to_string().contains("is not encrypted"),
            "{error}"
        );
    }
}
