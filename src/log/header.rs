//! What stands at the head of a log.
//!
//! ```text
//! log    = header frame* rest
//! header = magic:"SILTLOG\0" version:u32 number:u64 salt:u64 previous_end:u64 durable_log:u64
//!          durable_offset:u64 base_time:u64 crc:u32        (64 bytes; crc over the 60 before it)
//! ```
//! A log is prepared ahead of need, all zeros, and gets its header when the writer moves to it.
//! `previous_end` tells where the log before ended, so that replay notices a hole at its end;
//! `durable` is what was known to be durable then, so that replay can tell damage from a power cut.

use crate::codec::{Malformed, Reader};
use crate::log::Position;

pub(crate) const HEADER_LEN: usize = 64;
const MAGIC: &[u8; 8] = b"SILTLOG\0";
const VERSION: u32 = 1;

/// What tells one log from every other: its number, and random bits that its frames' checksums start
/// from, so that bytes of an earlier file, or bytes that a user put into a value, never pass for a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogId {
    pub(crate) number: u64,
    pub(crate) salt: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) id: LogId,
    pub(super) previous_end: u64,
    pub(super) durable: Position,
    /// Frames give their time as a distance from this.
    pub(super) base_time: u64,
}

impl Header {
    pub(super) fn encode(&self) -> [u8; HEADER_LEN] {
        let fields = [
            self.id.number,
            self.id.salt,
            self.previous_end,
            self.durable.log,
            self.durable.offset,
            self.base_time,
        ];
        let mut bytes = [0; HEADER_LEN];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        for (field, place) in fields.iter().zip(bytes[12..60].chunks_exact_mut(8)) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        let crc = crc32fast::hash(&bytes[..60]);
        bytes[60..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        let bytes = bytes.get(..HEADER_LEN).ok_or(HeaderError::Damaged)?;
        if bytes.iter().all(|byte| *byte == 0) {
            return Err(HeaderError::Unused);
        }
        Self::parse(bytes).map_err(|Malformed| HeaderError::Damaged)?
    }

    fn parse(bytes: &[u8]) -> Result<Result<Self, HeaderError>, Malformed> {
        let (body, crc) = bytes.split_at_checked(HEADER_LEN - 4).ok_or(Malformed)?;
        let reader = &mut Reader::new(body);
        if reader.take(8)? != MAGIC || Reader::new(crc).u32()? != crc32fast::hash(body) {
            return Err(Malformed);
        }
        let version = reader.u32()?;
        if version > VERSION {
            return Ok(Err(HeaderError::Version(version)));
        }
        Ok(Ok(Self {
            id: LogId { number: reader.u64()?, salt: reader.u64()? },
            previous_end: reader.u64()?,
            durable: Position { log: reader.u64()?, offset: reader.u64()? },
            base_time: reader.u64()?,
        }))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeaderError {
    /// Prepared, never written to.
    Unused,
    Damaged,
    /// Written by a newer Siltstone.
    Version(u32),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_comes_back_and_no_flipped_bit_does() {
        let header = Header {
            id: LogId { number: 3, salt: 99 },
            previous_end: 4096,
            durable: Position { log: 2, offset: 64 },
            base_time: 1_700_000_000_000_000,
        };
        let bytes = header.encode();
        assert_eq!(Header::decode(&bytes), Ok(header));
        for bit in 0..HEADER_LEN * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&damaged), Err(HeaderError::Damaged), "bit {bit}");
        }
        assert_eq!(Header::decode(&[0; HEADER_LEN]), Err(HeaderError::Unused));
    }
}
