//! How records are encrypted: in a way that a user brings, or under a key.
//!
//! ```text
//! sealed = keyring:93 bytes salt:16 bytes piece      the piece: the record's payload, sealed; the entry's key beside it
//! ```
//! A backend keeps records and nothing else, so each of them has the keyring with it (`crypto::keyring`). A storage goes on
//! with the first keyring that it reads, and makes one where there is none: a passphrase is hashed once, not for each
//! record. The key of a record comes from its salt, which is random, and seals one piece: it has no nonce to use twice.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::codec::{Malformed, Reader};
use crate::crypto::{EncryptionKey, FileKind, KEYRING_LEN, Keyring, Vault};
use crate::error::{Error, Result};
use crate::key::Printable;
use crate::vfs::entropy;

const SALT_LEN: usize = 16;

/// One storage makes one, and a few may have been brought together; more are there to keep whoever reads them busy.
const MOST_KEYRINGS: usize = 16;

type Transform = dyn Fn(&str, &[u8]) -> Result<Vec<u8>> + Send + Sync;

/// How records are encrypted: a function that seals the bytes of a key, and one that opens them again.
#[derive(Clone)]
pub struct Sealing {
    pub(super) seal: Arc<Transform>,
    pub(super) open: Arc<Transform>,
}

impl Sealing {
    /// Both get the key and the bytes. What was sealed for one key has to be refused for another.
    pub fn new(
        seal: impl Fn(&str, &[u8]) -> Result<Vec<u8>> + Send + Sync + 'static,
        open: impl Fn(&str, &[u8]) -> Result<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        Self { seal: Arc::new(seal), open: Arc::new(open) }
    }

    /// Under this key, for one storage.
    pub(super) fn with_key(key: EncryptionKey) -> Self {
        let sealing = Arc::new(Keyed { key, opened: Mutex::default() });
        let opening = sealing.clone();
        Self::new(
            move |key, payload| sealing.seal(key, payload),
            move |key, sealed| opening.open(key, sealed),
        )
    }
}

impl fmt::Debug for Sealing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealing")
    }
}

struct Keyed {
    key: EncryptionKey,
    /// Keyrings as they lie in records, and what is in them.
    opened: Mutex<Vec<(Vec<u8>, Vault)>>,
}

impl Keyed {
    fn seal(&self, key: &str, payload: &[u8]) -> Result<Vec<u8>> {
        let (mut sealed, vault) = self.first()?;
        let mut salt = [0; SALT_LEN];
        random(&mut salt)?;
        sealed.extend_from_slice(&salt);
        vault.sealer(FileKind::Record, &[&salt]).seal(0, key.as_bytes(), &[payload], &mut sealed)?;
        Ok(sealed)
    }

    fn open(&self, key: &str, sealed: &[u8]) -> Result<Vec<u8>> {
        let parts = || {
            let reader = &mut Reader::new(sealed);
            Ok((reader.take(KEYRING_LEN)?, reader.take(SALT_LEN)?, reader.take(reader.remaining())?))
        };
        let (keyring, salt, piece) = parts().map_err(|Malformed| damaged(key))?;
        let sealer = self.vault(key, keyring)?.sealer(FileKind::Record, &[salt]);
        sealer.open(0, key.as_bytes(), piece).map_err(|Malformed| damaged(key))
    }

    /// The keyring to go on with.
    fn first(&self) -> Result<(Vec<u8>, Vault)> {
        let mut opened = self.opened.lock();
        if let Some(first) = opened.first() {
            return Ok(first.clone());
        }
        let (vault, keyring) = Vault::create(&self.key, &random)?;
        opened.push((keyring.encode(), vault.clone()));
        Ok((keyring.encode(), vault))
    }

    /// What is in the keyring of the record of this key.
    fn vault(&self, key: &str, keyring: &[u8]) -> Result<Vault> {
        let mut opened = self.opened.lock();
        if let Some((_, vault)) = opened.iter().find(|(known, _)| *known == keyring) {
            return Ok(vault.clone());
        }
        if opened.len() == MOST_KEYRINGS {
            return Err(damaged(key));
        }
        let found = Keyring::decode(keyring).map_err(|_| damaged(key))?;
        let vault = Vault::unlock(&found, &self.key)?.ok_or_else(|| wrong_key(key, &found))?;
        opened.push((keyring.to_vec(), vault.clone()));
        Ok(vault)
    }
}

fn random(bytes: &mut [u8]) -> Result<()> {
    entropy(bytes).map_err(|error| Error::io("cannot get random bytes from the system", error))
}

fn damaged(key: &str) -> Error {
    let key = Printable(key.as_bytes());
    Error::corruption(format!("the record of key '{key}' is damaged; restore the backend from a backup"))
}

fn wrong_key(key: &str, keyring: &Keyring) -> Error {
    let kind = if keyring.wants_passphrase() { "a passphrase" } else { "64 hexadecimal digits" };
    let key = Printable(key.as_bytes());
    Error::invalid(format!(
        "the encryption key is not that of the record of key '{key}', which is {kind}; give that"
    ))
}

#[cfg(feature = "encryption")]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn sealing(key: &str) -> Sealing {
        Sealing::with_key(EncryptionKey::from_hex_or_passphrase(key).unwrap())
    }

    #[test]
    fn what_was_sealed_opens_with_its_key_for_its_entry_and_as_it_was() {
        for (right, wrong) in [("1d".repeat(32), "2d".repeat(32)), ("open".to_owned(), "shut".to_owned())] {
            let mine = sealing(&right);
            let sealed = (mine.seal)("a", b"payload").unwrap();
            assert_ne!((mine.seal)("a", b"payload").unwrap(), sealed, "no two are sealed alike");
            assert_eq!((mine.open)("a", &sealed).unwrap(), b"payload");
            // Another run of the program, which goes on with the keyring that it found.
            let later = sealing(&right);
            assert_eq!((later.open)("a", &sealed).unwrap(), b"payload");
            assert_eq!((later.seal)("b", b"").unwrap()[..KEYRING_LEN], sealed[..KEYRING_LEN]);
            assert_eq!((later.open)("b", &sealed).unwrap_err().kind(), ErrorKind::Corruption);
            let error = (sealing(&wrong).open)("a", &sealed).unwrap_err();
            assert!(
                error.kind() == ErrorKind::Invalid && error.to_string().contains("is not that of"),
                "{error}"
            );
        }
    }

    #[test]
    fn every_changed_byte_and_every_cut_is_noticed() {
        let mine = sealing(&"3d".repeat(32));
        let sealed = (mine.seal)("a", b"payload").unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            (mine.open)("a", &changed).unwrap_err();
            (mine.open)("a", &sealed[..at]).unwrap_err();
        }
    }

    #[test]
    fn a_storage_does_not_hash_for_ever() {
        let mine = sealing(&"4d".repeat(32));
        let mut kinds = (0..MOST_KEYRINGS + 1).map(|_| {
            let sealed = (sealing(&"4d".repeat(32)).seal)("a", b"payload").unwrap();
            (mine.open)("a", &sealed).map_err(|error| error.kind())
        });
        assert!(kinds.by_ref().take(MOST_KEYRINGS).all(|opened| opened.is_ok()));
        assert_eq!(kinds.next(), Some(Err(ErrorKind::Corruption)));
    }
}
