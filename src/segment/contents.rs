//! The parts of a segment's file, plain or opened.
//!
//! ```text
//! sealed segment = (len:u32 sealed(block))* padding sealed(filter) sealed(index) sealed(properties) mark footer
//! mark           = salt:u64 tag:16 bytes
//! ```
//! `len` is that of the sealed block, and with it a block is found where the index is lost; the places in the index
//! and the footer are those of all that is there for a part. The key comes from the segment's number and the salt. The
//! tag authenticates the footer. Each part lies at an offset of its own, which nothing else of the file is sealed
//! at; a file that could not be written is removed, and the next one has another salt.

use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;

use crate::codec::{Malformed, Reader};
use crate::crypto::{FileKind, OVERHEAD, Sealer, Vault};
use crate::error::Result as Outcome;
use crate::segment::footer::{FOOTER_LEN, Footer, Unusable};
use crate::segment::{number, unseal};

const SALT_LEN: usize = 8;
const MARK_LEN: usize = SALT_LEN + OVERHEAD;
/// What stands before a sealed block.
const LENGTH: usize = 4;

/// The key of a segment, and the salt that it came from.
#[derive(Debug)]
pub(super) struct Seal {
    pub(super) salt: u64,
    sealer: Sealer,
}

impl Seal {
    pub(super) fn new(vault: &Vault, path: &Path, salt: u64) -> Self {
        let name = path.file_name().and_then(|name| name.to_str());
        Self::of(vault, name.and_then(number).unwrap_or(0), salt)
    }

    fn of(vault: &Vault, number: u64, salt: u64) -> Self {
        let identity = [number.to_le_bytes(), salt.to_le_bytes()];
        Self { salt, sealer: vault.sealer(FileKind::Segment, &[&identity[0], &identity[1]]) }
    }

    /// The key of a whole file, from the salt in it.
    fn of_file(vault: &Vault, number: u64, file: &[u8]) -> Result<Self, Malformed> {
        let at = file.len().checked_sub(FOOTER_LEN + MARK_LEN).ok_or(Malformed)?;
        let salt = file.get(at..).and_then(|mark| mark.first_chunk()).ok_or(Malformed)?;
        Ok(Self::of(vault, number, u64::from_le_bytes(*salt)))
    }

    /// Appends a block, which goes to this place of the file.
    pub(super) fn block(&self, at: u64, block: &[u8], out: &mut Vec<u8>) -> Outcome<()> {
        let len = (block.len() + OVERHEAD) as u32;
        out.extend_from_slice(&len.to_le_bytes());
        self.sealer.seal(at, b"", &[block], out)
    }

    /// Any other part, for this place.
    pub(super) fn part(&self, at: u64, part: &[u8]) -> Outcome<Vec<u8>> {
        let mut sealed = Vec::new();
        self.sealer.seal(at, b"", &[part], &mut sealed)?;
        Ok(sealed)
    }

    /// What stands before this footer, at this place.
    pub(super) fn mark(&self, at: u64, footer: &[u8]) -> Outcome<Vec<u8>> {
        let mut mark = self.salt.to_le_bytes().to_vec();
        self.sealer.seal(at, footer, &[], &mut mark)?;
        Ok(mark)
    }

    pub(super) fn open_block(&self, file: &[u8], span: &Range<usize>) -> Result<Vec<u8>, Malformed> {
        let (len, sealed) =
            file.get(span.clone()).and_then(|bytes| bytes.split_first_chunk()).ok_or(Malformed)?;
        if u32::from_le_bytes(*len) as usize != sealed.len() {
            return Err(Malformed);
        }
        self.sealer.open(span.start as u64, b"", sealed)
    }

    /// A part that ends with a checksum, without that.
    pub(super) fn open_part(&self, file: &[u8], range: &Range<usize>) -> Result<Vec<u8>, Malformed> {
        let sealed = file.get(range.clone()).ok_or(Malformed)?;
        let mut part = self.sealer.open(range.start as u64, b"", sealed)?;
        let len = unseal(&part)?.len();
        part.truncate(len);
        Ok(part)
    }

    fn check_mark(&self, file: &[u8]) -> Result<(), Malformed> {
        let (before, footer) = file.split_last_chunk::<FOOTER_LEN>().ok_or(Malformed)?;
        let (before, tag) = before.split_last_chunk::<OVERHEAD>().ok_or(Malformed)?;
        let at = before.len().checked_sub(SALT_LEN).ok_or(Malformed)?;
        self.sealer.open(at as u64, footer, tag).map(drop)
    }
}

/// The footer of a whole file, once all that vouches for it was asked; and the file's key, if it is sealed.
pub(super) fn end_of(
    file: &[u8],
    number: u64,
    vault: Option<&Vault>,
) -> Result<(Footer, Option<Seal>), Unusable> {
    let footer = Footer::of(file)?;
    let seal = vault.map(|vault| Seal::of_file(vault, number, file)).transpose()?;
    if let Some(seal) = &seal {
        seal.check_mark(file)?;
    }
    Ok((footer, seal))
}

/// A segment's file, of which parts may be damaged, its end too.
#[derive(Debug)]
pub(crate) struct Contents<'a> {
    pub(super) file: &'a [u8],
    seal: Option<Seal>,
    pub(super) footer: Result<Footer, Unusable>,
}

impl<'a> Contents<'a> {
    /// The file of this number. Its salt may be known from elsewhere.
    pub(crate) fn new(file: &'a [u8], number: u64, vault: Option<&Vault>, salt: Option<u64>) -> Self {
        let (footer, found) = match end_of(file, number, vault) {
            Ok((footer, seal)) => (Ok(footer), seal),
            Err(unusable) => (Err(unusable), None),
        };
        let known = || vault.zip(salt).map(|(vault, salt)| Seal::of(vault, number, salt));
        let told = || vault.and_then(|vault| Seal::of_file(vault, number, file).ok());
        match found {
            Some(seal) if salt.is_some_and(|salt| salt != seal.salt) => {
                // Another file under this name.
                Self { file, seal: known(), footer: Err(Unusable::Malformed) }
            }
            Some(seal) => Self { file, seal: Some(seal), footer },
            None => Self { file, seal: known().or_else(told), footer },
        }
    }

    /// A part that ends with a checksum, without that.
    pub(super) fn part(&self, range: &Range<u64>) -> Result<Cow<'a, [u8]>, Malformed> {
        let place = |at: u64| usize::try_from(at).map_err(|_| Malformed);
        let range = place(range.start)?..place(range.end)?;
        match &self.seal {
            None => unseal(self.file.get(range).ok_or(Malformed)?).map(Cow::Borrowed),
            Some(seal) => seal.open_part(self.file, &range).map(Cow::Owned),
        }
    }

    /// A block as it was written, its checksum not yet checked.
    pub(super) fn block(&self, span: Range<usize>) -> Cow<'a, [u8]> {
        match &self.seal {
            None => Cow::Borrowed(self.file.get(span).unwrap_or_default()),
            Some(seal) => Cow::Owned(seal.open_block(self.file, &span).unwrap_or_default()),
        }
    }

    pub(super) fn is_sealed(&self) -> bool {
        self.seal.is_some()
    }

    /// How long a part of so many bytes is in the file.
    pub(super) fn part_len(&self, len: usize) -> usize {
        if self.is_sealed() { len + OVERHEAD } else { len }
    }

    /// How long what claims to be a sealed block at the start of this range is, if it is one.
    pub(super) fn sealed_block_len(&self, range: &Range<usize>) -> Option<usize> {
        let seal = self.seal.as_ref()?;
        let len = Reader::new(self.file.get(range.clone())?).u32().ok()? as usize;
        let end = range.start.checked_add(LENGTH)?.checked_add(len).filter(|end| *end <= range.end)?;
        let opened = seal.open_block(self.file, &(range.start..end));
        opened.is_ok().then_some(end - range.start)
    }
}
