//! The keyring: a file that holds the store key, sealed with what the user's key gives.
//!
//! ```text
//! keyring = head wrapped:48 bytes crc:u32                                  93 bytes; crc over the 89 before
//! head    = magic:"SILTKEY\0" version:u32 kdf:u8 rounds:u32 salt:16 bytes epoch:u64
//! kdf     = 0: the key is raw, and rounds is zero; 1: PBKDF2-HMAC-SHA256 of a passphrase
//! ```
//! The checksum tells a damaged keyring from a wrong key, and nothing more: what authenticates all of it is that the
//! lock comes from the head.

use crate::codec::{Malformed, Reader};

/// The file's name.
pub(crate) const KEYRING: &str = "KEYRING";

const MAGIC: &[u8; 8] = b"SILTKEY\0";
const VERSION: u32 = 1;
const HEAD_LEN: usize = 41;
pub(super) const WRAPPED_LEN: usize = 48;
pub(crate) const KEYRING_LEN: usize = HEAD_LEN + WRAPPED_LEN + 4;

/// How often a passphrase is hashed.
#[cfg(any(test, feature = "encryption"))]
pub(super) const ROUNDS: u32 = 600_000;

/// More would be a keyring that is made to keep whoever reads it busy.
const MOST_ROUNDS: u32 = 100_000_000;

/// A keyring as it lies in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Keyring {
    pub(super) kdf: Kdf,
    pub(super) salt: [u8; 16],
    /// How often it was locked with a key, so that an older one is told.
    pub(crate) epoch: u64,
    pub(super) wrapped: [u8; WRAPPED_LEN],
}

/// How a user's key becomes one of 256 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kdf {
    Raw,
    Pbkdf2 { rounds: u32 },
}

/// Why bytes are no keyring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoKeyring {
    Damaged,
    /// Written by a newer Siltstone.
    Newer(u32),
}

impl From<Malformed> for NoKeyring {
    fn from(Malformed: Malformed) -> Self {
        Self::Damaged
    }
}

impl Keyring {
    pub(super) fn head(&self) -> [u8; HEAD_LEN] {
        let (kind, rounds) = match self.kdf {
            Kdf::Raw => (0, 0),
            Kdf::Pbkdf2 { rounds } => (1, rounds),
        };
        let mut head = [0; HEAD_LEN];
        head[..8].copy_from_slice(MAGIC);
        head[8..12].copy_from_slice(&VERSION.to_le_bytes());
        head[12] = kind;
        head[13..17].copy_from_slice(&rounds.to_le_bytes());
        head[17..33].copy_from_slice(&self.salt);
        head[33..].copy_from_slice(&self.epoch.to_le_bytes());
        head
    }

    /// Whether a passphrase opens it, and not a raw key.
    pub(crate) fn wants_passphrase(&self) -> bool {
        matches!(self.kdf, Kdf::Pbkdf2 { .. })
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = [&self.head()[..], &self.wrapped].concat();
        let crc = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, NoKeyring> {
        let reader = &mut Reader::new(bytes);
        if reader.take(8)? != MAGIC {
            return Err(NoKeyring::Damaged);
        }
        let version = reader.u32()?;
        let (body, crc) = bytes.split_last_chunk::<4>().ok_or(Malformed)?;
        if crc32fast::hash(body) != u32::from_le_bytes(*crc) {
            return Err(NoKeyring::Damaged);
        }
        if version > VERSION {
            return Err(NoKeyring::Newer(version));
        }
        let (kind, rounds) = (reader.u8()?, reader.u32()?);
        let kdf = match (kind, rounds) {
            (0, 0) => Kdf::Raw,
            (1, 1..=MOST_ROUNDS) => Kdf::Pbkdf2 { rounds },
            _ => return Err(NoKeyring::Damaged),
        };
        let salt = *reader.take(16)?.first_chunk().ok_or(Malformed)?;
        let epoch = reader.u64()?;
        let wrapped = *reader.take(WRAPPED_LEN)?.first_chunk().ok_or(Malformed)?;
        let is_whole = version == VERSION && bytes.len() == KEYRING_LEN;
        is_whole.then_some(Self { kdf, salt, epoch, wrapped }).ok_or(NoKeyring::Damaged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample(kdf: Kdf) -> Keyring {
        Keyring { kdf, salt: [3; 16], epoch: 7, wrapped: [5; WRAPPED_LEN] }
    }

    #[test]
    fn keyrings_come_back_and_no_flipped_bit_does() {
        for kdf in [Kdf::Raw, Kdf::Pbkdf2 { rounds: ROUNDS }] {
            let bytes = sample(kdf).encode();
            assert_eq!(bytes.len(), KEYRING_LEN);
            assert_eq!(Keyring::decode(&bytes), Ok(sample(kdf)));
            for bit in 0..bytes.len() * 8 {
                let mut damaged = bytes.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(Keyring::decode(&damaged), Err(NoKeyring::Damaged), "bit {bit}");
            }
        }
    }

    #[test]
    fn rounds_are_bounded_and_newer_versions_named() {
        let too_many = sample(Kdf::Pbkdf2 { rounds: MOST_ROUNDS + 1 });
        assert_eq!(Keyring::decode(&too_many.encode()), Err(NoKeyring::Damaged));
        assert_eq!(Keyring::decode(&sample(Kdf::Pbkdf2 { rounds: 0 }).encode()), Err(NoKeyring::Damaged));
        let mut bytes = sample(Kdf::Raw).encode();
        bytes[8] = 9;
        let end = bytes.len() - 4;
        let crc = crc32fast::hash(&bytes[..end]).to_le_bytes();
        bytes[end..].copy_from_slice(&crc);
        assert_eq!(Keyring::decode(&bytes), Err(NoKeyring::Newer(9)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_one_way(mut bytes in proptest::collection::vec(any::<u8>(), 0..120), signed: bool) {
            if signed && bytes.len() > 16 {
                bytes[..8].copy_from_slice(MAGIC);
                bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
                let end = bytes.len() - 4;
                let crc = crc32fast::hash(&bytes[..end]).to_le_bytes();
                bytes[end..].copy_from_slice(&crc);
            }
            if let Ok(keyring) = Keyring::decode(&bytes) {
                prop_assert_eq!(keyring.encode(), bytes);
            }
        }
    }
}
