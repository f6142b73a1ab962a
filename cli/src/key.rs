//! `--encryption-key`: where a key is. Never the key itself: command lines are seen by others, and kept.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use siltstone::{EncryptionKey, Secret};

use crate::exit::{Failure, Result};

/// Where a key is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeySource {
    Env(String),
    File(PathBuf),
}

impl FromStr for KeySource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("env", name)) if !name.is_empty() => Ok(Self::Env(name.to_owned())),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.into())),
            // What was given may be the key.
            _ => Err("say where the key is: env:NAME, or file:PATH".to_owned()),
        }
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

impl KeySource {
    /// The key that is there: 64 hexadecimal digits, or a passphrase. The newline at the end of a file is no part of it.
    pub(crate) fn read(&self) -> Result<EncryptionKey> {
        let failed = |why: &dyn fmt::Display| Failure::new(format!("cannot read the key from {self}: {why}"));
        let secret = match self {
            Self::Env(name) => std::env::var(name).map_err(|error| failed(&error)),
            Self::File(path) => std::fs::read_to_string(path).map_err(|error| failed(&error)),
        };
        let secret = Secret::new(secret?);
        let key = EncryptionKey::from_hex_or_passphrase(secret.expose().trim_end_matches(['\r', '\n']));
        key.map_err(|error| failed(&error))
    }
}
