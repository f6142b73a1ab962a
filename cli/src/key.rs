//! `--encryption-key`: where a key is. Never the key itself: command lines are seen by others, and kept.

use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Arg, Command};
use siltstone::{EncryptionKey, Secret};

use crate::exit::{Failure, Result};

/// A longer text is no key.
const LONGEST: usize = 64 << 10;

/// Where a key is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeySource {
    Env(String),
    File(PathBuf),
}

impl KeySource {
    fn of(text: &OsStr) -> Option<Self> {
        let (env, file) = (text.as_bytes().strip_prefix(b"env:"), text.as_bytes().strip_prefix(b"file:"));
        let place = |place: &[u8]| (!place.is_empty()).then(|| OsStr::from_bytes(place).to_owned());
        let file = file.and_then(place).map(|path| Self::File(path.into()));
        file.or_else(|| env.and_then(place)?.into_string().ok().map(Self::Env))
    }
}

/// Reads where a key is. What was given instead may be the key, and is not told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeySourceParser;

impl TypedValueParser for KeySourceParser {
    type Value = KeySource;

    fn parse_ref(&self, _: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<KeySource, clap::Error> {
        KeySource::of(value).ok_or_else(|| {
            let option = arg.map(|arg| format!(" for '{arg}'")).unwrap_or_default();
            let told = format!("invalid value{option}: say where the key is: env:NAME, or file:PATH\n");
            clap::Error::raw(ErrorKind::ValueValidation, told)
        })
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
            Self::Env(name) => std::env::var(name).map(Secret::new).map_err(|error| failed(&error))?,
            Self::File(path) => read(path).map_err(|error| failed(&error))?,
        };
        let key = EncryptionKey::from_hex_or_passphrase(secret.expose().trim_end_matches(['\r', '\n']));
        key.map_err(|error| failed(&error))
    }
}

fn read(path: &Path) -> io::Result<Secret> {
    // As long as it may get: a text that grew would leave copies behind.
    let mut text = String::with_capacity(LONGEST + 1);
    let read = File::open(path)?.take(LONGEST as u64 + 1).read_to_string(&mut text);
    let text = Secret::new(text);
    match read {
        Err(error) => Err(error),
        Ok(len) if len > LONGEST => {
            Err(io::Error::other(format!("it is longer than {LONGEST} bytes; is it the right file?")))
        }
        Ok(_) => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_a_name_or_a_path() {
        let of = |text: &[u8]| KeySource::of(OsStr::from_bytes(text));
        assert_eq!(of(b"env:A:b"), Some(KeySource::Env("A:b".into())));
        assert_eq!(of(b"file:a/\xff"), Some(KeySource::File(OsStr::from_bytes(b"a/\xff").into())));
        for wrong in [&b""[..], b"env:", b"file:", b"A", b"Env:A", b"env:\xff", b"raw:00"] {
            assert_eq!(of(wrong), None, "{wrong:?}");
        }
    }
}
