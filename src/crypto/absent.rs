//! What stands in the place of keys where they are not compiled in: types that nothing is of.

use std::convert::Infallible;

use crate::codec::Malformed;
use crate::crypto::key::EncryptionKey;
use crate::crypto::keyring::Keyring;
use crate::error::{Error, ErrorKind, Result};

/// A store key: there is none.
#[derive(Clone, Debug)]
pub struct Vault(Infallible);

/// The key of a file: there is none.
#[derive(Debug)]
pub(crate) struct Sealer(Infallible);

#[derive(Clone, Copy, Debug)]
pub(crate) enum FileKind {
    Manifest,
    LogTable,
    LogPayload,
    Segment,
    Values,
    Record,
}

/// Fills a buffer with bytes that nobody can guess.
pub(crate) type Entropy<'a> = &'a dyn Fn(&mut [u8]) -> Result<()>;

fn unsupported<T>() -> Result<T> {
    let message = "an encryption key was given, but this program was built without the feature `encryption` of \
                   siltstone; build it with that, or leave the key out";
    Err(Error::new(ErrorKind::Unsupported, message))
}

impl Vault {
    /// Whether there can be one.
    pub(crate) fn check() -> Result<()> {
        unsupported()
    }

    pub(crate) fn create(_key: &EncryptionKey, _entropy: Entropy<'_>) -> Result<(Self, Keyring)> {
        unsupported()
    }

    pub(crate) fn lock(&self, _key: &EncryptionKey, _epoch: u64, _entropy: Entropy<'_>) -> Result<Keyring> {
        match self.0 {}
    }

    pub(crate) fn unlock(_keyring: &Keyring, _key: &EncryptionKey) -> Result<Option<Self>> {
        unsupported()
    }

    pub(crate) fn sealer(&self, _kind: FileKind, _identity: &[&[u8]]) -> Sealer {
        match self.0 {}
    }
}

impl Sealer {
    pub(crate) fn seal(
        &self,
        _offset: u64,
        _beside: &[u8],
        _pieces: &[&[u8]],
        _out: &mut Vec<u8>,
    ) -> Result<()> {
        match self.0 {}
    }

    pub(crate) fn open(&self, _offset: u64, _beside: &[u8], _sealed: &[u8]) -> Result<Vec<u8>, Malformed> {
        match self.0 {}
    }
}
