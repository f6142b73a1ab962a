//! Reading around what cannot be read. A bad sector makes a read fail; met in a mapping, it ends the process by a
//! signal. So whoever expects damage reads a file in this way before it touches a mapping of it.

use std::io;
use std::ops::Range;

use crate::vfs::File;

/// How much is read at a time; no page of memory is larger.
pub(crate) const PIECE: u64 = 64 << 10;

/// How much is given up for one error.
const SECTOR: u64 = 4 << 10;

/// Bytes that cannot be read, and why.
#[derive(Clone, Debug)]
pub(crate) struct Unreadable {
    pub(crate) range: Range<u64>,
    why: String,
}

impl Unreadable {
    /// As it is told of a file.
    pub(crate) fn described(&self) -> String {
        let (count, at) = (self.range.end - self.range.start, self.range.start);
        format!("{count} bytes from byte {at} on cannot be read: {}", self.why)
    }
}

/// Hands on all of the first `len` bytes that can be read, in order, each part with its offset; what cannot be read.
/// `looked_at` is told of as many bytes as were looked at since, whatever became of them.
pub(crate) fn read_around(
    file: &dyn File,
    len: u64,
    mut take: impl FnMut(u64, &[u8]) -> io::Result<()>,
    mut looked_at: impl FnMut(u64),
) -> io::Result<Vec<Unreadable>> {
    let mut found: Vec<Unreadable> = Vec::new();
    let mut buffer = vec![0; PIECE.min(len) as usize];
    let mut at = 0;
    while at < len {
        let end = len.min(at + PIECE);
        buffer.truncate((end - at) as usize);
        match file.read_exact_at(&mut buffer, at) {
            Ok(()) => take(at, &buffer)?,
            // It was cut meanwhile.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(error),
            Err(_) => {
                for start in (at..end).step_by(SECTOR as usize) {
                    let range = start..end.min(start + SECTOR);
                    let sector = &mut buffer[..(range.end - range.start) as usize];
                    match file.read_exact_at(sector, start) {
                        Ok(()) => take(start, sector)?,
                        Err(error) => note(&mut found, range, &error),
                    }
                }
            }
        }
        looked_at(end - at);
        at = end;
    }
    Ok(found)
}

/// Sectors that follow each other are told as one.
fn note(found: &mut Vec<Unreadable>, range: Range<u64>, error: &io::Error) {
    match found.last_mut().filter(|last| last.range.end == range.start) {
        Some(last) => last.range.end = range.end,
        None => found.push(Unreadable { range, why: error.to_string() }),
    }
}

/// The first `len` bytes of a file, with zeros where it cannot be read.
pub(crate) fn read_with_zeros(file: &dyn File, len: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(len).map_err(io::Error::other)?];
    let take = |at: u64, part: &[u8]| {
        let at = at as usize;
        bytes[at..at + part.len()].copy_from_slice(part);
        Ok(())
    };
    read_around(file, len, take, |_| ())?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::vfs::{FaultVfs, MemVfs, Vfs};

    #[test]
    fn all_but_the_sectors_that_fail_is_read() {
        let vfs = FaultVfs::new(Arc::new(MemVfs::new()));
        let file = vfs.create(Path::new("f")).unwrap();
        let bytes: Vec<u8> = (0..200_000u32).map(|index| 1 + (index % 251) as u8).collect();
        file.write_all_at(&bytes, 0).unwrap();
        vfs.spoil("f", 70_000..70_001);
        vfs.spoil("f", 73_727..73_729);
        vfs.spoil("f", 199_999..200_000);
        let mut looked_at = 0;
        let found = read_around(&*file, 200_000, |_, _| Ok(()), |bytes| looked_at += bytes).unwrap();
        let ranges: Vec<_> = found.iter().map(|found| found.range.clone()).collect();
        assert_eq!(ranges, [69_632..77_824, 196_608..200_000]);
        assert!(found[0].described().contains("8192 bytes from byte 69632 on"), "{found:?}");
        assert_eq!(looked_at, 200_000);
        let read = read_with_zeros(&*file, 200_000).unwrap();
        for (at, byte) in read.iter().enumerate() {
            let is_bad = ranges.iter().any(|range| range.contains(&(at as u64)));
            assert_eq!(*byte, if is_bad { 0 } else { bytes[at] }, "{at}");
        }
        vfs.heal();
        assert_eq!(read_with_zeros(&*file, 200_000).unwrap(), bytes);
        assert!(read_around(&*file, 200_001, |_, _| Ok(()), |_| ()).is_err());
        assert!(read_around(&*file, 0, |_, _| Ok(()), |_| ()).unwrap().is_empty());
    }
}
