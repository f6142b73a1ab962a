//! The footer: where the parts of a segment lie. Its length, and the place of its last three fields, are
//! the same in all versions of the format.
//!
//! ```text
//! footer = blocks_len:u64 (at:u64 len:u64){filter, index, properties} version:u32 crc:u32 magic:"SILTSEG\0"
//! ```

use std::ops::Range;

use crate::codec::{Malformed, Reader};
use crate::segment::{seal, unseal};

const MAGIC: &[u8; 8] = b"SILTSEG\0";
const VERSION: u32 = 1;
pub(super) const FOOTER_LEN: usize = 72;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Footer {
    /// Blocks lie at the start of the file.
    pub(super) blocks: u64,
    pub(super) filter: Range<u64>,
    pub(super) index: Range<u64>,
    pub(super) properties: Range<u64>,
}

/// Why a footer cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    Malformed,
    /// Written by a newer version of this program.
    Newer(u32),
}

impl From<Malformed> for Unusable {
    fn from(Malformed: Malformed) -> Self {
        Self::Malformed
    }
}

impl Footer {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        self.to_bytes_as(VERSION)
    }

    fn to_bytes_as(&self, version: u32) -> Vec<u8> {
        let mut out = Vec::with_capacity(FOOTER_LEN);
        out.extend_from_slice(&self.blocks.to_le_bytes());
        for part in [&self.filter, &self.index, &self.properties] {
            out.extend_from_slice(&part.start.to_le_bytes());
            out.extend_from_slice(&part.end.saturating_sub(part.start).to_le_bytes());
        }
        out.extend_from_slice(&version.to_le_bytes());
        seal(&mut out, 0);
        out.extend_from_slice(MAGIC);
        out
    }

    /// Reads the footer at the end of a whole file, and checks that the parts lie before it.
    pub(super) fn of(file: &[u8]) -> Result<Self, Unusable> {
        let (before, footer) = file.split_last_chunk::<FOOTER_LEN>().ok_or(Malformed)?;
        let body = unseal(footer.strip_suffix(MAGIC).ok_or(Malformed)?)?;
        let reader = &mut Reader::new(body);
        let limit = before.len() as u64;
        let blocks = reader.u64()?;
        let (filter, index) = (part(reader, limit), part(reader, limit));
        let properties = part(reader, limit);
        match reader.u32()? {
            VERSION if blocks <= limit => {
                Ok(Self { blocks, filter: filter?, index: index?, properties: properties? })
            }
            version if version > VERSION => Err(Unusable::Newer(version)),
            _ => Err(Unusable::Malformed),
        }
    }
}

fn part(reader: &mut Reader<'_>, limit: u64) -> Result<Range<u64>, Malformed> {
    let (at, len) = (reader.u64()?, reader.u64()?);
    let end = at.checked_add(len).filter(|end| *end <= limit).ok_or(Malformed)?;
    Ok(at..end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_newer_version_is_named() {
        let footer = Footer { blocks: u64::MAX, ..Footer::default() };
        assert_eq!(Footer::of(&footer.to_bytes_as(VERSION + 7)), Err(Unusable::Newer(VERSION + 7)));
        assert_eq!(Footer::of(&Footer::default().to_bytes_as(0)), Err(Unusable::Malformed));
    }

    proptest! {
        #[test]
        fn footers_come_back_if_their_parts_fit(blocks in 0u64..50, starts: [u8; 3], lens: [u8; 3]) {
            let part = |at: usize| u64::from(starts[at])..u64::from(starts[at]) + u64::from(lens[at]);
            let footer = Footer { blocks, filter: part(0), index: part(1), properties: part(2) };
            let fits = (0..3).all(|at| part(at).end <= 300);
            let file = [vec![0; 300], footer.to_bytes()].concat();
            prop_assert_eq!(Footer::of(&file), if fits { Ok(footer) } else { Err(Unusable::Malformed) });
        }

        #[test]
        fn any_bytes_are_refused_or_read(mut bytes in proptest::collection::vec(any::<u8>(), 60), signed: bool) {
            if signed {
                seal(&mut bytes, 0);
                bytes.extend_from_slice(MAGIC);
            }
            let _ = Footer::of(&bytes);
        }
    }
}
