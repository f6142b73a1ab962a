//! The store key, and the keys of files, which come from it.

use std::fmt;
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::crypto::key::{EncryptionKey, Material};
use crate::crypto::keyring::{Kdf, Keyring, ROUNDS, WRAPPED_LEN};
use crate::crypto::sealer::Sealer;
use crate::error::{Error, Result};

/// Stands before what keys are derived from, so that no other use of the same key gives the same.
const CONTEXT: &[u8] = b"siltstone 1 ";

/// What keys are for: never two for one purpose from the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    Manifest,
    LogTable,
    LogPayload,
    Segment,
    Values,
    /// Of a backend that is no file of the engine's.
    Record,
}

impl FileKind {
    fn as_bytes(self) -> &'static [u8] {
        match self {
            Self::Manifest => b"manifest\0",
            Self::LogTable => b"log table\0",
            Self::LogPayload => b"log payload\0",
            Self::Segment => b"segment\0",
            Self::Values => b"values\0",
            Self::Record => b"record\0",
        }
    }
}

/// A store key: from it every file of the store has its own. Wiped when the last copy is dropped.
#[derive(Clone)]
pub struct Vault(Arc<Zeroizing<[u8; 32]>>);

impl Vault {
    /// The key of a file, which no other file, of this kind or of any time, has the identity of. Its parts are as
    /// long for every file of the kind.
    pub(crate) fn sealer(&self, kind: FileKind, identity: &[&[u8]]) -> Sealer {
        Sealer::new(&derive(&self.0, kind.as_bytes(), identity))
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault(…)")
    }
}

/// HMAC-SHA256 over the context, the purpose, and what the key shall be for.
fn derive(key: &[u8; 32], purpose: &[u8], of: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    // HMAC fills a key up with zeros, to the length of a block of its hash.
    let mut block = Zeroizing::new([0; 64]);
    block[..32].copy_from_slice(key);
    let mut mac = Hmac::<Sha256>::new((&*block).into());
    mac.update(CONTEXT);
    mac.update(purpose);
    of.iter().for_each(|part| mac.update(part));
    Zeroizing::new(mac.finalize().into_bytes().into())
}

/// Fills a buffer with bytes that nobody can guess.
pub(crate) type Entropy<'a> = &'a dyn Fn(&mut [u8]) -> Result<()>;

impl Vault {
    /// Whether there can be one.
    pub(crate) fn check() -> Result<()> {
        Ok(())
    }

    /// A new store key, and the keyring in which it lies.
    pub(crate) fn create(key: &EncryptionKey, entropy: Entropy<'_>) -> Result<(Self, Keyring)> {
        let mut store_key = Zeroizing::new([0; 32]);
        entropy(&mut *store_key)?;
        let vault = Self(Arc::new(store_key));
        let keyring = vault.lock(key, 1, entropy)?;
        Ok((vault, keyring))
    }

    /// A keyring in which the same store key lies under another key.
    pub(crate) fn lock(&self, key: &EncryptionKey, epoch: u64, entropy: Entropy<'_>) -> Result<Keyring> {
        let mut salt = [0; 16];
        entropy(&mut salt)?;
        let kdf = match key.material() {
            Material::Raw(_) => Kdf::Raw,
            Material::Passphrase(_) => Kdf::Pbkdf2 { rounds: ROUNDS },
        };
        let mut keyring = Keyring { kdf, salt, epoch, wrapped: [0; WRAPPED_LEN] };
        let mut wrapped = Vec::new();
        if let Some(lock) = lock_of(&keyring, key) {
            lock.seal(0, b"", &[&**self.0], &mut wrapped)?;
        }
        keyring.wrapped =
            *wrapped.first_chunk().ok_or_else(|| Error::invalid("no key was wrapped; report this"))?;
        Ok(keyring)
    }

    /// The store key in this keyring; `None` if the key is another.
    pub(crate) fn unlock(keyring: &Keyring, key: &EncryptionKey) -> Result<Option<Self>> {
        let Some(lock) = lock_of(keyring, key) else { return Ok(None) };
        let Ok(opened) = lock.open(0, b"", &keyring.wrapped).map(Zeroizing::new) else { return Ok(None) };
        let mut store_key = Zeroizing::new([0; 32]);
        store_key.copy_from_slice(opened.get(..32).unwrap_or(&[0; 32]));
        Ok(Some(Self(Arc::new(store_key))))
    }
}

/// What a keyring's store key is sealed with: no two keyrings have the same, for each has random bits of its own, so
/// that there is nothing that could use up its one nonce. It comes from all that the keyring says: if a byte of that
/// is changed, the lock is another. `None` if it was made for the other kind of key.
fn lock_of(keyring: &Keyring, key: &EncryptionKey) -> Option<Sealer> {
    let mut derived = Zeroizing::new([0; 32]);
    match (key.material(), keyring.kdf) {
        (Material::Raw(raw), Kdf::Raw) => derived.copy_from_slice(&**raw),
        (Material::Passphrase(passphrase), Kdf::Pbkdf2 { rounds }) => {
            pbkdf2::pbkdf2_hmac::<Sha256>(passphrase.as_bytes(), &keyring.salt, rounds, &mut *derived);
        }
        _ => return None,
    }
    Some(Sealer::new(&derive(&derived, b"keyring\0", &[&keyring.head()])))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn key(text: &str) -> EncryptionKey {
        EncryptionKey::from_hex_or_passphrase(text).unwrap()
    }

    /// Other bytes each time.
    fn entropy(from: &Cell<u8>) -> impl Fn(&mut [u8]) -> Result<()> {
        move |bytes: &mut [u8]| {
            from.set(from.get() + 1);
            bytes.fill(from.get());
            Ok(())
        }
    }

    #[test]
    fn a_key_opens_its_own_keyring_and_no_other_does() {
        let (start, keys) =
            (Cell::new(0), [key(&"1f".repeat(32)), key(&"2f".repeat(32)), key("open sesame"), key("shut")]);
        for mine in &keys {
            let (vault, keyring) = Vault::create(mine, &entropy(&start)).unwrap();
            for other in &keys {
                let opened = Vault::unlock(&keyring, other).unwrap();
                assert_eq!(opened.is_some(), other == mine);
                assert!(opened.is_none_or(|opened| **opened.0 == **vault.0));
            }
        }
    }

    #[test]
    fn a_keyring_locked_anew_holds_the_same_store_key() {
        let start = Cell::new(100);
        let (old, new) = (key(&"3f".repeat(32)), key(&"4f".repeat(32)));
        let (vault, _) = Vault::create(&old, &entropy(&start)).unwrap();
        let keyring = vault.lock(&new, 2, &entropy(&start)).unwrap();
        assert_eq!(*Vault::unlock(&keyring, &new).unwrap().unwrap().0, *vault.0);
        assert!(Vault::unlock(&keyring, &old).unwrap().is_none());
        let forged = Keyring { epoch: 3, ..keyring };
        assert!(Vault::unlock(&forged, &new).unwrap().is_none(), "an epoch that was changed opens nothing");
    }

    #[test]
    fn every_kind_and_identity_has_a_key_of_its_own() {
        let vault = Vault(Arc::new(Zeroizing::new([9; 32])));
        let kinds = [
            FileKind::Manifest,
            FileKind::LogTable,
            FileKind::LogPayload,
            FileKind::Segment,
            FileKind::Values,
            FileKind::Record,
        ];
        let keys = kinds
            .iter()
            .flat_map(|kind| [1u64, 2].map(|id| *derive(&vault.0, kind.as_bytes(), &[&id.to_le_bytes()])));
        let distinct: std::collections::BTreeSet<_> = keys.collect();
        assert_eq!(distinct.len(), 2 * kinds.len());
    }
}
