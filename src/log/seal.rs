//! What a log is sealed with.
//!
//! ```text
//! sealed frame = crc:u32 table_len:u32 sealed(table) sealed(payload)*           an empty payload is not sealed
//! ```
//! `table_len` is that of the sealed table, and `crc` covers it as it lies there: so a frame that is half written is
//! told without a key. A payload is sealed by itself, for a read needs no more than that.
//!
//! Payloads have a key that comes from the log's number and salt; tables have one that comes from the whole header, so
//! that it is authenticated: if a byte of it is changed, no table opens. Everything is sealed under its offset, and no
//! offset of a log is sealed at twice: a log is appended to by one [`Appender`] only, in whose life an append that
//! failed, and might be repeated with other bytes, is the last one.
//!
//! [`Appender`]: crate::log::Appender

use std::ops::Range;
use std::sync::Arc;

use crate::batch::Op;
use crate::codec::{Malformed, salted_crc};
use crate::crypto::{FileKind, Sealer, Vault, sealed_len};
use crate::error::Result as Outcome;
use crate::log::frame::FRAME_HEAD;
use crate::log::header::{HEADER_LEN, LogId};

/// The key of a log's payloads, and where that of its tables comes from.
#[derive(Debug)]
pub(crate) struct LogSeal {
    vault: Vault,
    pub(crate) payloads: Sealer,
}

impl LogSeal {
    pub(super) fn new(vault: &Vault, id: LogId) -> Self {
        let identity = [id.number.to_le_bytes(), id.salt.to_le_bytes()];
        let payloads = vault.sealer(FileKind::LogPayload, &[&identity[0], &identity[1]]);
        Self { vault: vault.clone(), payloads }
    }

    fn tables(&self, header: &[u8]) -> Sealer {
        self.vault.sealer(FileKind::LogTable, &[header])
    }
}

/// Tells a log's frames from anything else, and opens them.
#[derive(Debug)]
pub(super) struct Lens<'l> {
    pub(super) id: LogId,
    seal: Option<(Sealer, &'l Sealer)>,
}

impl<'l> Lens<'l> {
    /// For the log of this identity, seal and header. Without its header nothing of a sealed log opens.
    pub(super) fn new(id: LogId, seal: Option<&'l LogSeal>, header: &[u8]) -> Self {
        let header = header.get(..HEADER_LEN).unwrap_or_default();
        Self { id, seal: seal.map(|seal| (seal.tables(header), &seal.payloads)) }
    }

    /// For one that is not sealed.
    #[cfg(test)]
    pub(super) const fn plain(id: LogId) -> Self {
        Self { id, seal: None }
    }

    #[inline]
    pub(super) fn is_sealed(&self) -> bool {
        self.seal.is_some()
    }

    /// The table of the frame at this offset, if it had to be opened.
    #[inline]
    pub(super) fn table(&self, offset: u64, sealed: &[u8]) -> Option<Result<Vec<u8>, Malformed>> {
        self.seal.as_ref().map(|(tables, _)| tables.open(offset, b"", sealed))
    }

    /// The checksum of the payload whose bytes are these, and lie in this range of the log.
    #[inline]
    pub(super) fn checksum(&self, range: &Range<u64>, bytes: &[u8]) -> Result<u32, Malformed> {
        match &self.seal {
            Some((_, payloads)) if !bytes.is_empty() => {
                Ok(crc32fast::hash(&payloads.open(range.start, b"", bytes)?))
            }
            _ => Ok(crc32fast::hash(bytes)),
        }
    }
}

/// Seals the frames of one log.
#[derive(Debug)]
pub(super) struct FrameSealer {
    id: LogId,
    tables: Sealer,
    seal: Arc<LogSeal>,
}

impl FrameSealer {
    pub(super) fn new(id: LogId, seal: &Arc<LogSeal>, header: &[u8]) -> Self {
        Self { id, tables: seal.tables(header), seal: seal.clone() }
    }

    /// Makes of a frame's plain head and table, and the operations it is made of, the frame as it goes to this offset.
    pub(super) fn frame(&self, offset: u64, head: &[u8], ops: &[Op<'_>], out: &mut Vec<u8>) -> Outcome<()> {
        out.clear();
        out.extend_from_slice(&[0; FRAME_HEAD]);
        let table = head.get(FRAME_HEAD..).unwrap_or_default();
        self.tables.seal(offset, b"", &[table], out)?;
        let len = (out.len() - FRAME_HEAD) as u32;
        out[4..8].copy_from_slice(&len.to_le_bytes());
        let crc = salted_crc(self.id.salt, offset, &out[4..]);
        out[..4].copy_from_slice(&crc.to_le_bytes());
        for put in ops.iter().filter_map(Op::value) {
            if put.meta.len() + put.value.len() > 0 {
                self.seal.payloads.seal(offset + out.len() as u64, b"", &[put.meta, put.value], out)?;
            }
        }
        Ok(())
    }
}

/// How long a payload of so many bytes is in the log.
#[inline]
pub(super) fn payload_len(len: u64, is_sealed: bool) -> Result<u64, Malformed> {
    sealed_len(len, is_sealed).ok_or(Malformed)
}
