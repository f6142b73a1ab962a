//! A manifest's header and records, as bytes. Where the store is sealed, so is each record.

use crate::bounded;
use crate::codec::{Malformed, Reader, salted_crc};
use crate::crypto::{FileKind, Sealer, Vault};
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{Edit, State, name};

const MAGIC: &[u8; 8] = b"SILTMAN\0";
/// Of one whose records are sealed.
const SEALED_MAGIC: &[u8; 8] = b"SILTMANS";
const VERSION: u32 = 1;
pub(super) const HEADER_LEN: usize = 32;
const RECORD_HEAD: usize = 8;

/// What a manifest's records are written and read with.
#[derive(Debug)]
pub(super) struct Scribe {
    salt: u64,
    sealer: Option<Sealer>,
}

impl Scribe {
    /// For a new manifest, and its header.
    pub(super) fn new(number: u64, salt: u64, vault: Option<&Vault>) -> (Self, [u8; HEADER_LEN]) {
        let mut bytes = [0; HEADER_LEN];
        bytes[..8].copy_from_slice(if vault.is_some() { SEALED_MAGIC } else { MAGIC });
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..20].copy_from_slice(&number.to_le_bytes());
        bytes[20..28].copy_from_slice(&salt.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..28]);
        bytes[28..].copy_from_slice(&crc.to_le_bytes());
        (Self::of(&bytes, salt, vault), bytes)
    }

    fn of(header: &[u8], salt: u64, vault: Option<&Vault>) -> Self {
        // The key comes from the header: if a byte of that is changed, nothing opens.
        let sealer = vault.map(|vault| vault.sealer(FileKind::Manifest, &[header]));
        Self { salt, sealer }
    }

    /// The record for this place. The same place is never written to twice: after an error a new manifest is begun.
    pub(super) fn record(&self, at: u64, edit: &Edit) -> Result<Vec<u8>> {
        let body = bounded::encode(edit);
        let mut record = vec![0; RECORD_HEAD];
        match &self.sealer {
            None => record.extend_from_slice(&body),
            Some(sealer) => sealer.seal(at, b"", &[&body], &mut record)?,
        }
        let len = (record.len() - RECORD_HEAD) as u32;
        record[4..8].copy_from_slice(&len.to_le_bytes());
        let crc = salted_crc(self.salt, at, &record[4..]);
        record[..4].copy_from_slice(&crc.to_le_bytes());
        Ok(record)
    }

    /// The record at this place, and where it ends.
    fn read(&self, bytes: &[u8], at: usize) -> Result<(Edit, usize), Malformed> {
        let rest = bytes.get(at..).ok_or(Malformed)?;
        let reader = &mut Reader::new(rest);
        let crc = reader.u32()?;
        let len = usize::try_from(reader.u32()?).map_err(|_| Malformed)?;
        let body = reader.take(len)?;
        let checked = rest.get(4..RECORD_HEAD + len).ok_or(Malformed)?;
        if salted_crc(self.salt, at as u64, checked) != crc {
            return Err(Malformed);
        }
        let edit = match &self.sealer {
            None => bounded::decode(body)?,
            Some(sealer) => bounded::decode(&sealer.open(at as u64, b"", body)?)?,
        };
        Ok((edit, at + RECORD_HEAD + len))
    }

    /// Whether there is a record somewhere behind this place.
    fn is_followed(&self, bytes: &[u8], at: usize) -> bool {
        // Any four bytes may pass for a record's length. What takes more than this to look through was made to
        // mislead, and that is damage too.
        let mut budget = bytes.len().saturating_mul(8);
        (at + 1..bytes.len()).any(|later| {
            let claimed = bytes.get(later + 4..).and_then(|rest| Reader::new(rest).u32().ok());
            let claimed = claimed.map_or(0, |len| len as usize);
            let fits = claimed <= bytes.len() - later;
            budget = budget.saturating_sub(if fits { claimed } else { 0 });
            budget == 0 || self.read(bytes, later).is_ok()
        })
    }
}

/// Why the records of a manifest cannot be read.
enum Unreadable {
    Damaged,
    /// Written by a newer version of this program.
    Newer(u32),
    /// Sealed, and there is no key.
    Sealed,
    /// Not sealed, and there is a key.
    Plain,
}

impl From<Malformed> for Unreadable {
    fn from(Malformed: Malformed) -> Self {
        Self::Damaged
    }
}

fn open(bytes: &[u8], number: u64, vault: Option<&Vault>) -> Result<Scribe, Unreadable> {
    let header = bytes.get(..HEADER_LEN).ok_or(Malformed)?;
    let (body, crc) = header.split_last_chunk::<4>().ok_or(Malformed)?;
    let reader = &mut Reader::new(body);
    let magic = reader.take(8)?;
    let (version, found, salt) = (reader.u32()?, reader.u64()?, reader.u64()?);
    let is_sealed = magic == SEALED_MAGIC;
    if (magic != MAGIC && !is_sealed) || crc32fast::hash(body) != u32::from_le_bytes(*crc) {
        return Err(Unreadable::Damaged);
    }
    match (version > VERSION, is_sealed, vault) {
        (true, ..) => Err(Unreadable::Newer(version)),
        _ if found != number => Err(Unreadable::Damaged),
        (_, true, None) => Err(Unreadable::Sealed),
        (_, false, Some(_)) => Err(Unreadable::Plain),
        _ => Ok(Scribe::of(header, salt, vault)),
    }
}

/// Whether a manifest says that its records are sealed; `None` if it says nothing.
pub(crate) fn is_sealed(header: &[u8]) -> Option<bool> {
    match header.first_chunk()? {
        MAGIC => Some(false),
        SEALED_MAGIC => Some(true),
        _ => None,
    }
}

/// Adds up the records of a manifest's bytes.
pub(super) fn replay(bytes: &[u8], number: u64, vault: Option<&Vault>) -> Result<State> {
    Ok(replay_to_end(bytes, number, vault)?.0)
}

/// The same, and where the last record ends.
pub(super) fn replay_to_end(bytes: &[u8], number: u64, vault: Option<&Vault>) -> Result<(State, usize)> {
    let scribe = open(bytes, number, vault).map_err(|problem| problem.tell(number))?;
    let mut state = State::new();
    let mut at = HEADER_LEN;
    while let Ok((edit, end)) = scribe.read(bytes, at) {
        if !state.apply(&edit) {
            return Err(damaged(number, at));
        }
        at = end;
    }
    // The first record was durable before CURRENT named the file. Behind the last one there may be what
    // is left of a torn write, but no record: those were durable.
    let is_damaged = at == HEADER_LEN || scribe.is_followed(bytes, at);
    if is_damaged { Err(damaged(number, at)) } else { Ok((state, at)) }
}

/// What the records up to the first damaged one add up to, and whether there is any.
pub(super) fn replay_prefix(bytes: &[u8], number: u64, vault: Option<&Vault>) -> (State, bool) {
    let mut state = State::new();
    let mut at = HEADER_LEN;
    let Ok(scribe) = open(bytes, number, vault) else { return (state, false) };
    while let Ok((edit, end)) = scribe.read(bytes, at) {
        let mut next = state.clone();
        if !next.apply(&edit) {
            break;
        }
        (state, at) = (next, end);
    }
    (state, at > HEADER_LEN)
}

fn damaged(number: u64, at: usize) -> Error {
    let name = name(number);
    Error::corruption(format!("{name} is damaged at offset {at}; restore it from a backup"))
}

impl Unreadable {
    fn tell(&self, number: u64) -> Error {
        let name = name(number);
        match self {
            Self::Damaged => damaged(number, 0),
            Self::Newer(version) => {
                let message = format!("{name} has format version {version}; open it with a newer Siltstone");
                Error::new(ErrorKind::Unsupported, message)
            }
            Self::Sealed => Error::invalid(format!("{name} is encrypted; give the store's key")),
            Self::Plain => Error::invalid(format!("{name} is not encrypted; leave the key out")),
        }
    }
}
