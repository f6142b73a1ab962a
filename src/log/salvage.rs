//! Taking out of a damaged log what is whole: frames behind a hole too, and of a frame whose values are damaged
//! in part, the rest.

use crate::log::frame::Frame;
use crate::log::header::{HEADER_LEN, Header, HeaderError};
use crate::log::replay::frames;
use crate::log::{LogFile, LogId};

/// What is known of a log before its frames are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Head {
    /// Prepared, never written to.
    Unused,
    /// Written by a newer Siltstone.
    Newer,
    /// Frames can be told by this identity. The time that they count from is in the header, if it is whole.
    Known { id: LogId, base_time: Option<u64> },
    /// Nothing tells what a frame is.
    Lost,
}

/// Reads the header of a log of this number, whose salt may be known otherwise.
pub(crate) fn head(bytes: &[u8], number: u64, salt: Option<u64>) -> Head {
    let known = salt.map(|salt| LogId { number, salt });
    match Header::decode(bytes) {
        Ok(header) if header.id == known.unwrap_or(header.id) && header.id.number == number => {
            Head::Known { id: header.id, base_time: Some(header.base_time) }
        }
        Err(HeaderError::Version(_)) => Head::Newer,
        Err(HeaderError::Unused) if bytes.iter().all(|byte| *byte == 0) => Head::Unused,
        _ => known.map_or(Head::Lost, |id| Head::Known { id, base_time: None }),
    }
}

/// A frame whose table is whole, and where it ends. Its values may be damaged.
#[derive(Debug)]
pub(crate) struct Salvaged<'a> {
    pub(crate) frame: Frame<'a>,
    pub(crate) end: u64,
}

/// Whether all values of a frame of this log are whole.
pub(crate) fn is_whole(log: &LogFile, frame: &Frame<'_>) -> bool {
    frame.verify(log.mapping.bytes(), &log.lens()).is_ok()
}

/// Every frame of the log's bytes whose table is whole, in their order.
pub(crate) fn salvage<'a>(log: &'a LogFile) -> impl Iterator<Item = Salvaged<'a>> {
    frames(log.lens(), log.mapping.bytes(), HEADER_LEN)
}
