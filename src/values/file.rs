//! A value file as readers see it.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::codec::{Malformed, Reader};
use crate::crypto::{FileKind, Sealer, Vault};
use crate::entry::Pointer;
use crate::error::{Error, ErrorKind, Result};
use crate::values::blocks::Blocks;
use crate::values::payload::{Payload, payload};
use crate::vfs::{Mapping, Vfs};

const MAGIC: &[u8; 8] = b"SILTVAL\0";
const VERSION: u32 = 1;
pub(crate) const HEADER_LEN: usize = 32;

/// Where the salt is in the header.
const SALT: Range<usize> = 20..28;

/// An open value file.
#[derive(Debug)]
pub(crate) struct ValueFile {
    pub(crate) number: u64,
    pub(crate) mapping: Arc<Mapping>,
    /// What it is sealed with, if it is.
    pub(super) sealer: Option<Sealer>,
}

impl ValueFile {
    /// The file of this number, whatever it holds.
    pub(crate) fn new(vfs: &dyn Vfs, number: u64, mapping: Arc<Mapping>) -> Arc<Self> {
        let sealer = vfs.vault().map(|vault| sealer(vault, mapping.bytes()));
        Arc::new(Self { number, mapping, sealer })
    }

    /// Maps the file, which must have this length, and, if it is sealed, this salt, and checks its header.
    pub(crate) fn open(vfs: &dyn Vfs, dir: &Path, number: u64, (len, salt): (u64, u64)) -> Result<Arc<Self>> {
        let file = Self::open_unchecked(vfs, dir, number)?;
        let found = file.mapping.len() as u64;
        if found != len {
            let path = path(dir, number);
            let path = path.display();
            return Err(Error::corruption(format!(
                "{path} has {found} bytes instead of {len}; restore it from a backup"
            )));
        }
        file.check()?;
        if file.key_salt() != salt {
            let path = path(dir, number);
            let path = path.display();
            return Err(Error::corruption(format!(
                "{path} is another file than the manifest means; restore it from a backup"
            )));
        }
        Ok(file)
    }

    /// Maps the file, whatever it holds.
    pub(crate) fn open_unchecked(vfs: &dyn Vfs, dir: &Path, number: u64) -> Result<Arc<Self>> {
        let path = path(dir, number);
        let open = || {
            let file = vfs.open_to_read(&path)?;
            let len = usize::try_from(file.len()?).map_err(std::io::Error::other)?;
            file.map(len)
        };
        let mapping = open().map_err(|error| Error::opening(&path, error))?;
        Ok(Self::new(vfs, number, mapping))
    }

    /// The salt of its key; zero if it is not sealed.
    fn key_salt(&self) -> u64 {
        self.sealer.as_ref().map_or(0, |_| self.salt())
    }

    /// What the checksums of its blocks begin with.
    pub(super) fn salt(&self) -> u64 {
        salt(self.mapping.bytes())
    }

    /// Checks the header.
    pub(crate) fn check(&self) -> Result<()> {
        let name = name(self.number);
        match version(self.mapping.bytes(), self.number) {
            Ok(VERSION) => Ok(()),
            Ok(version) => Err(Error::new(
                ErrorKind::Unsupported,
                format!("{name} has format version {version}; open the store with a newer Siltstone"),
            )),
            Err(Malformed) => {
                Err(Error::corruption(format!("{name}: the header is damaged; restore it from a backup")))
            }
        }
    }

    /// The metadata and value that a pointer means, once their checksum vouched for them.
    pub(crate) fn payload(&self, pointer: &Pointer, len: u64, blocks: &Blocks) -> Result<Payload> {
        payload(self, pointer, len, blocks)
    }
}

pub(super) fn header(number: u64, salt: u64) -> [u8; HEADER_LEN] {
    let mut bytes = [0; HEADER_LEN];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[12..20].copy_from_slice(&number.to_le_bytes());
    bytes[SALT].copy_from_slice(&salt.to_le_bytes());
    let crc = crc32fast::hash(&bytes[..28]);
    bytes[28..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// The key of the file that begins with this header: if a byte of that is changed, nothing opens.
pub(super) fn sealer(vault: &Vault, file: &[u8]) -> Sealer {
    vault.sealer(FileKind::Values, &[file.get(..HEADER_LEN).unwrap_or_default()])
}

/// What the checksums of a file's blocks begin with. If the header is damaged they do not hold, or it is all the same.
fn salt(bytes: &[u8]) -> u64 {
    bytes.get(SALT).and_then(<[u8]>::first_chunk).map_or(0, |salt| u64::from_le_bytes(*salt))
}

fn version(bytes: &[u8], number: u64) -> Result<u32, Malformed> {
    let (body, crc) = bytes.get(..HEADER_LEN).and_then(|all| all.split_last_chunk()).ok_or(Malformed)?;
    let reader = &mut Reader::new(body);
    let ours = reader.take(8)? == MAGIC && crc32fast::hash(body) == u32::from_le_bytes(*crc);
    let (version, found) = (reader.u32()?, reader.u64()?);
    if ours && version >= VERSION && found == number { Ok(version) } else { Err(Malformed) }
}

/// A value file's name.
pub(crate) fn name(number: u64) -> String {
    format!("{number:06}.val")
}

/// The number in a value file's name, if it is one.
pub(crate) fn number(of: &str) -> Option<u64> {
    let number = crate::codec::file_number(of.strip_suffix(".val")?)?;
    (name(number) == of).then_some(number)
}

/// A value file's path in this store.
pub(crate) fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(name(number))
}
