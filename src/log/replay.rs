//! Reading a log from front to back, as far as it holds.

use std::borrow::Borrow;

use crate::error::{Error, Result};
use crate::log::frame::Frame;
use crate::log::header::{HEADER_LEN, Header, HeaderError, LogId};
use crate::log::salvage::Salvaged;
use crate::log::seal::Lens;
use crate::log::{LogFile, Position, name};

/// How far a log could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Replay {
    /// The end of the last good frame; zero if the log was prepared but never used.
    pub(crate) end: u64,
    pub(crate) frames: u64,
    pub(crate) stop: Stop,
    /// The highest position that this log says is durable.
    pub(crate) durable: Position,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Only zeros follow.
    End,
    /// The caller wanted no more: what follows was not looked at.
    Enough,
    /// Something follows that is no frame, and perhaps frames behind it.
    Hole { frames: u64, bytes: u64 },
}

/// Hands every good frame from offset `from` on to `apply`, after what the header says: where the
/// log before ended, and the base time. Last comes where the frame ends; `apply` says whether to go on.
///
/// Stops at the first hole. Damage is told from the trace of a power cut where it can be: a log that the
/// manifest knows to end at `sealed` was durable up to there, and so was what a later frame says was.
pub(crate) fn replay(
    log: &LogFile,
    from: u64,
    sealed: Option<u64>,
    mut apply: impl FnMut(u64, u64, &Frame<'_>, u64) -> Result<bool>,
) -> Result<Replay> {
    let bytes = log.mapping.bytes();
    let limit = sealed.and_then(|sealed| usize::try_from(sealed).ok()).unwrap_or(bytes.len());
    let Some(bytes) = bytes.get(..limit).filter(|bytes| bytes.len() as u64 >= from) else {
        return Err(damaged(log.id, bytes.len() as u64, "the file is shorter than the manifest says"));
    };
    let header = match Header::decode(bytes) {
        Ok(header) if header.id == log.id => header,
        Err(HeaderError::Unused) if sealed.is_none() && tail(bytes, 0).is_none() => {
            return Ok(nothing(Stop::End));
        }
        Err(HeaderError::Version(version)) => return Err(newer(log.id, version)),
        _ if sealed.is_some() => return Err(damaged(log.id, 0, "the header is damaged")),
        _ => return Ok(nothing(behind(&log.lens_of(bytes), bytes, 0).0)),
    };
    let lens = &log.lens_of(bytes);
    let mut replay =
        Replay { end: from.max(HEADER_LEN as u64), frames: 0, stop: Stop::End, durable: header.durable };
    while let Some((frame, end)) = frame_at(lens, bytes, replay.end) {
        replay.note_durable(log.id, frame.durable);
        let more = apply(header.previous_end, header.base_time, &frame, end)?;
        replay.frames += 1;
        replay.end = end;
        if !more {
            return Ok(Replay { stop: Stop::Enough, ..replay });
        }
    }
    let (stop, durable) = behind(lens, bytes, replay.end);
    replay.stop = stop;
    replay.note_durable(log.id, durable);
    let lost = sealed.is_some_and(|sealed| replay.end < sealed);
    if lost || durable > Some(replay.end) {
        return Err(damaged(log.id, replay.end, "what was durable there is no longer readable"));
    }
    Ok(replay)
}

impl Replay {
    fn note_durable(&mut self, id: LogId, offset: Option<u64>) {
        let told = offset.map(|offset| Position { log: id.number, offset });
        self.durable = self.durable.max(told.unwrap_or_default());
    }
}

fn nothing(stop: Stop) -> Replay {
    Replay { end: 0, frames: 0, stop, durable: Position::default() }
}

fn damaged(id: LogId, offset: u64, why: &str) -> Error {
    let name = name(id.number);
    Error::corruption(format!("{name} is damaged at offset {offset}: {why}; restore it from a backup"))
}

fn newer(id: LogId, version: u32) -> Error {
    let name = name(id.number);
    let message = format!("{name} has format version {version}; open the store with a newer Siltstone");
    Error::new(crate::error::ErrorKind::Unsupported, message)
}

fn frame_at<'a>(lens: &Lens<'_>, bytes: &'a [u8], offset: u64) -> Option<(Frame<'a>, u64)> {
    let rest = bytes.get(usize::try_from(offset).ok()?..)?;
    let frame = Frame::decode(rest, lens, offset).ok()?;
    let end = frame.verify(bytes, lens).ok()?;
    Some((frame, end))
}

/// Where the good frames of a log end that follow this offset, whatever lies behind them.
pub(crate) fn good_until(log: &LogFile, from: u64) -> u64 {
    let from = from.max(HEADER_LEN as u64);
    let lens = log.lens();
    let next = |end: &u64| frame_at(&lens, log.mapping.bytes(), *end).map(|(_, end)| end);
    std::iter::successors(Some(from), next).last().unwrap_or(from)
}

/// The rest of the bytes from their first one that is not zero.
fn tail(bytes: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    // Whole chunks first: a log may have tens of megabytes of zeros.
    let chunk = rest.chunks(4096).position(|chunk| chunk.iter().any(|byte| *byte != 0))?;
    let start = chunk * 4096;
    let inner = rest.get(start..)?.iter().position(|byte| *byte != 0)?;
    Some(from + start + inner)
}

/// What lies behind the last good frame: how much is lost, and up to where it says all was durable.
fn behind(lens: &Lens<'_>, bytes: &[u8], end: u64) -> (Stop, Option<u64>) {
    let from = usize::try_from(end).unwrap_or(usize::MAX);
    let Some(first) = tail(bytes, from) else { return (Stop::End, None) };
    let last = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(first);
    let (mut count, mut durable) = (0, None);
    for found in frames(lens, bytes, first.saturating_sub(7).max(from)) {
        count += 1;
        durable = durable.max(found.frame.durable);
    }
    (Stop::Hole { frames: count, bytes: (last + 1 - from) as u64 }, durable)
}

/// Every frame from this offset on whose table is whole, whatever lies between them.
pub(super) fn frames<'a>(
    lens: impl Borrow<Lens<'a>>,
    bytes: &'a [u8],
    from: usize,
) -> impl Iterator<Item = Salvaged<'a>> {
    let last = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    // Any four bytes may pass for a table's length: bounds the work on bytes made to mislead.
    let (mut at, mut budget) = (from, bytes.len().saturating_mul(8));
    std::iter::from_fn(move || {
        while at < last && budget > 0 {
            budget = budget.saturating_sub(Frame::claimed_len(bytes, at));
            let start = at as u64;
            let frame = bytes.get(at..).and_then(|rest| Frame::decode(rest, lens.borrow(), start).ok());
            let Some(frame) = frame else {
                // No frame begins with so many zeros, of which a log may have tens of megabytes.
                let is_zero = bytes.get(at..at + 8).is_some_and(|head| head == [0; 8]);
                let next =
                    if is_zero { tail(bytes, at).map_or(last, |tail| tail.saturating_sub(7)) } else { 0 };
                at = next.max(at + 1);
                continue;
            };
            let end = frame.extent().unwrap_or(start + 1);
            at = usize::try_from(end).unwrap_or(usize::MAX).max(at + 1);
            return Some(Salvaged { frame, end });
        }
        None
    })
}
