//! Bytes for keys, from the system: never from a place, for that of a test gives what it is told.

use std::io;

/// Fills the buffer with bytes that nobody can guess.
#[cfg(feature = "encryption")]
pub(crate) fn entropy(bytes: &mut [u8]) -> io::Result<()> {
    getrandom::fill(bytes).map_err(io::Error::other)
}

/// Nobody asks where there are no keys.
#[cfg(not(feature = "encryption"))]
pub(crate) fn entropy(_bytes: &mut [u8]) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
