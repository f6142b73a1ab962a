//! Encryption at rest: keys, and sealing pieces of files with them.
//!
//! What a user gives is an [`EncryptionKey`]. It opens the store's keyring, in which there is a random *store key*;
//! from that each file has a key of its own. Above this module there are only two things: a [`Vault`], which is a
//! store key, and a [`Sealer`], which is the key of one file. Without the feature `encryption` there can be neither,
//! so all that would seal compiles to nothing.

mod key;
mod keyring;

#[cfg(feature = "encryption")]
mod sealer;
#[cfg(feature = "encryption")]
mod vault;

#[cfg(not(feature = "encryption"))]
mod absent;

pub use key::EncryptionKey;
pub(crate) use keyring::{KEYRING, KEYRING_LEN, Keyring, NoKeyring};

#[cfg(all(test, feature = "encryption"))]
pub(crate) use sealer::witness;
#[cfg(feature = "encryption")]
pub use vault::Vault;
#[cfg(feature = "encryption")]
pub(crate) use {sealer::Sealer, vault::FileKind};

#[cfg(not(feature = "encryption"))]
pub use absent::Vault;
#[cfg(not(feature = "encryption"))]
pub(crate) use absent::{FileKind, Sealer};

/// How much longer a piece is when it is sealed: its tag, of 128 bits.
pub(crate) const OVERHEAD: usize = 16;

/// How long a piece of so many bytes is when it is sealed, if anything is.
#[inline]
pub(crate) fn sealed_len(len: u64, is_sealed: bool) -> Option<u64> {
    if is_sealed && len > 0 { len.checked_add(OVERHEAD as u64) } else { Some(len) }
}
