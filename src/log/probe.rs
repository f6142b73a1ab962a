//! Looking at a log that somebody else may be writing: how far does it hold whole frames by now?
//!
//! Whole frames never change. What lies behind the last one may change at any moment, and be cut off; so it
//! is looked at in copies only, and never through a mapping.

use std::io;
use std::ops::Range;

use crc32fast::Hasher;

use crate::codec::{Malformed, Reader};
use crate::log::LogFile;
use crate::log::frame::{Action, FRAME_HEAD, Frame};
use crate::log::header::{HEADER_LEN, Header, HeaderError};
use crate::log::seal::Lens;

/// How much is read at first: mostly there is nothing new.
const GLANCE: u64 = 4 << 10;

/// How much is read at a time from then on.
const STEP: u64 = 1 << 20;

/// Whether the writer has moved to this log: the file has its header.
pub(crate) fn has_header(log: &LogFile) -> io::Result<bool> {
    let mut bytes = [0; HEADER_LEN];
    if log.file()?.len()? < HEADER_LEN as u64 {
        return Ok(false);
    }
    log.file()?.read_exact_at(&mut bytes, 0)?;
    Ok(match Header::decode(&bytes) {
        Ok(header) => header.id == log.id,
        // Whoever replays it says so.
        Err(HeaderError::Version(_)) => true,
        Err(HeaderError::Unused | HeaderError::Damaged) => false,
    })
}

/// The end of the whole frames that follow offset `from` of a log with a header, in its first `limit` bytes.
/// Stops early after about a megabyte: whoever wants more asks again from there.
pub(crate) fn whole_frames(log: &LogFile, from: u64, limit: u64) -> io::Result<u64> {
    let from = from.max(HEADER_LEN as u64);
    let header = header(log)?;
    let mut window = Window { log, lens: log.lens_of(&header), limit, start: from, bytes: Vec::new() };
    let mut end = from;
    while end - from < STEP
        && let Some(next) = window.frame_end(end)?
    {
        end = next;
    }
    Ok(end)
}

/// The least and the greatest key of those whose values are damaged in the frame at this offset, if its table
/// can be read.
pub(crate) fn torn_keys(log: &LogFile, at: u64) -> Option<(Vec<u8>, Vec<u8>)> {
    let Ok(file) = log.file() else {
        let place = |at: u64| usize::try_from(at).ok();
        let bytes = log.mapping.bytes().get(place(at)?..)?;
        let lens = log.lens();
        let frame = Frame::decode(bytes, &lens, at).ok()?;
        let checksum = |range: Range<u64>| {
            let bytes = log.mapping.get(place(range.start)?..place(range.end)?)?;
            lens.checksum(&range, bytes).ok()
        };
        return damaged_keys(&frame, checksum);
    };
    let (limit, header) = (file.len().ok()?, header(log).ok()?);
    let mut window = Window { log, lens: log.lens_of(&header), limit, start: at, bytes: Vec::new() };
    let table = window.table(at).ok()??;
    let frame = Frame::decode(window.within(&table)?, &window.lens, at).ok()?;
    damaged_keys(&frame, |range| window.checksum(range).ok())
}

fn damaged_keys(
    frame: &Frame<'_>,
    checksum: impl Fn(Range<u64>) -> Option<u32>,
) -> Option<(Vec<u8>, Vec<u8>)> {
    let damaged = frame.ops().map_while(Result::ok).filter(|op| match op.action {
        Action::Put { meta_len, value_len, crc, offset, .. } => {
            let len = frame.payload_len(meta_len, value_len);
            let end = len.and_then(|len| offset.checked_add(len));
            end.and_then(|end| checksum(offset..end)) != Some(crc)
        }
        Action::Delete | Action::DeleteRange { .. } => false,
    });
    let keys = damaged.map(|op| op.key).fold(None, |keys: Option<(&[u8], &[u8])>, key| {
        Some(keys.map_or((key, key), |(low, high)| (low.min(key), high.max(key))))
    });
    keys.map(|(low, high)| (low.to_vec(), high.to_vec()))
}

/// A copy of some of the log's bytes.
struct Window<'a> {
    log: &'a LogFile,
    lens: Lens<'a>,
    /// Nothing is read from here on.
    limit: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl Window<'_> {
    /// Where the frame at this offset ends, if it is a whole one.
    fn frame_end(&mut self, at: u64) -> io::Result<Option<u64>> {
        let Some(table) = self.table(at)? else { return Ok(None) };
        let bytes = self.within(&table).unwrap_or_default();
        let Ok(frame) = Frame::decode(bytes, &self.lens, at) else { return Ok(None) };
        match frame.verify_by(|range| self.checksum(range)) {
            Ok(end) => Ok(Some(end)),
            Err(Unverified::Malformed) => Ok(None),
            Err(Unverified::Io(error)) => Err(error),
        }
    }

    /// Copies what claims to be the head and the table of a frame; where they lie.
    fn table(&mut self, at: u64) -> io::Result<Option<Range<u64>>> {
        let head = self.copied(at, FRAME_HEAD as u64)?;
        let table_len = head.get(4..).and_then(|rest| Reader::new(rest).u32().ok()).unwrap_or(0);
        let len = FRAME_HEAD as u64 + u64::from(table_len);
        if table_len == 0 || len > self.limit - at {
            return Ok(None);
        }
        self.copied(at, len)?;
        Ok(Some(at..at + len))
    }

    /// The bytes from this offset on: as many as asked for or more, or as many as there are.
    fn copied(&mut self, at: u64, len: u64) -> io::Result<&[u8]> {
        let left = self.limit.saturating_sub(at);
        let range = at..at + len.min(left);
        if self.within(&range).is_none() {
            let ahead = if self.bytes.is_empty() { GLANCE } else { STEP };
            let count = len.max(ahead).min(left);
            self.bytes.resize(usize::try_from(count).map_err(io::Error::other)?, 0);
            self.start = at;
            self.log.file()?.read_exact_at(&mut self.bytes, at)?;
        }
        Ok(self.within(&range).unwrap_or_default())
    }

    fn within(&self, range: &Range<u64>) -> Option<&[u8]> {
        let place = |at: u64| usize::try_from(at.checked_sub(self.start)?).ok();
        self.bytes.get(place(range.start)?..place(range.end)?)
    }

    /// The checksum of a payload, which may be far longer than what is worth keeping.
    fn checksum(&self, range: Range<u64>) -> Result<u32, Unverified> {
        if let Some(bytes) = self.within(&range) {
            return Ok(self.lens.checksum(&range, bytes)?);
        }
        if range.end > self.limit {
            return Err(Unverified::Malformed);
        }
        if self.lens.is_sealed() {
            return self.sealed_checksum(&range);
        }
        let mut hasher = Hasher::new();
        let mut piece = vec![0; (range.end - range.start).min(STEP) as usize];
        let mut at = range.start;
        while at < range.end {
            piece.truncate((range.end - at).min(STEP) as usize);
            self.log.file()?.read_exact_at(&mut piece, at)?;
            hasher.update(&piece);
            at += piece.len() as u64;
        }
        Ok(hasher.finalize())
    }

    /// What is sealed opens as a whole.
    fn sealed_checksum(&self, range: &Range<u64>) -> Result<u32, Unverified> {
        let len = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
        let mut bytes = vec![0; len];
        self.log.file()?.read_exact_at(&mut bytes, range.start)?;
        Ok(self.lens.checksum(range, &bytes)?)
    }
}

/// The header of a log, where something is to be opened with it.
fn header(log: &LogFile) -> io::Result<[u8; HEADER_LEN]> {
    let mut bytes = [0; HEADER_LEN];
    match (log.payloads(), log.mapping.bytes().first_chunk()) {
        (None, _) => {}
        (Some(_), Some(mapped)) => bytes = *mapped,
        (Some(_), None) => log.file()?.read_exact_at(&mut bytes, 0)?,
    }
    Ok(bytes)
}

/// Why a frame is not a whole one as far as can be seen.
enum Unverified {
    Malformed,
    Io(io::Error),
}

impl From<Malformed> for Unverified {
    fn from(Malformed: Malformed) -> Self {
        Self::Malformed
    }
}

impl From<io::Error> for Unverified {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::batch::{Batch, Op, PutOptions};
    use crate::log::{LogId, Position, TableBuilder};
    use crate::vfs::{MemVfs, Vfs};

    const ID: LogId = LogId { number: 1, salt: 77 };

    fn append(log: &mut Vec<u8>, ops: &[Op<'_>]) -> u64 {
        let mut builder = TableBuilder::default();
        ops.iter().for_each(|op| builder.add(op));
        log.extend_from_slice(builder.finish(ID, log.len() as u64, 1, 0, None));
        for put in ops.iter().filter_map(Op::value) {
            log.extend_from_slice(put.meta);
            log.extend_from_slice(put.value);
        }
        log.len() as u64
    }

    /// A log of three frames, the second of several megabytes, and where each ends.
    fn example() -> (Vec<u8>, Vec<u64>) {
        let header = Header { id: ID, previous_end: 0, durable: Position::default(), base_time: 0 };
        let mut log = header.encode().to_vec();
        let plain = PutOptions::new();
        let put = |key, value| Op::put(key, value, &plain).unwrap();
        let mut ends = vec![append(&mut log, &[put(b"a", b"1")])];
        let mut batch = Batch::new();
        batch.put("b", vec![7; 3 << 20]).delete("a").put("c", "");
        ends.push(append(&mut log, &batch.ops().unwrap()));
        ends.push(append(&mut log, &[put(b"d", &[9; 9000])]));
        (log, ends)
    }

    fn log(bytes: &[u8], id: LogId) -> LogFile {
        let file = MemVfs::new().create(Path::new("log")).unwrap();
        file.write_all_at(bytes, 0).unwrap();
        LogFile::new(&MemVfs::new(), id, file.map(0).unwrap(), Some(file))
    }

    fn end(bytes: &[u8], from: u64) -> u64 {
        let log = log(bytes, ID);
        let mut end = from;
        loop {
            let next = whole_frames(&log, end, bytes.len() as u64).unwrap();
            if next == end {
                return end;
            }
            end = next;
        }
    }

    #[test]
    fn whole_frames_are_found_however_much_of_the_next_is_there() {
        let (bytes, ends) = example();
        assert_eq!(end(&bytes, 0), ends[2]);
        assert_eq!(end(&bytes, ends[0]), ends[2]);
        let starts = [64, ends[0], ends[1]];
        for (start, whole) in starts.into_iter().zip(&ends) {
            for missing in [1, 2, 5000, whole - start - 9, whole - start - 5, whole - start] {
                let cut = whole.saturating_sub(missing).max(start) as usize;
                // Cut off, or not yet stored.
                assert_eq!(end(&bytes[..cut], 0), start, "{cut} of {whole}");
                let mut torn = bytes.clone();
                torn[cut..].fill(0);
                assert_eq!(end(&torn, 0), start, "{cut} of {whole}");
            }
        }
    }

    #[test]
    fn a_header_is_told_from_none_and_from_another_logs() {
        let (bytes, _) = example();
        let has = |bytes: &[u8], id| has_header(&log(bytes, id)).unwrap();
        assert!(has(&bytes, ID));
        assert!(!has(&bytes, LogId { salt: ID.salt ^ 1, ..ID }));
        assert!(!has(&[0; 4096], ID));
        assert!(!has(&bytes[..63], ID));
    }
}
