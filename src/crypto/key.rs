//! The key that a user gives.

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::error::{Error, Result};

/// What a store is sealed with. Not shown by `Debug`, and wiped from memory when the last copy is dropped.
///
/// ```
/// use siltstone::EncryptionKey;
/// let raw = EncryptionKey::from_hex_or_passphrase(&"0f".repeat(32))?;
/// let passphrase = EncryptionKey::from_hex_or_passphrase("correct horse battery staple")?;
/// assert_eq!(format!("{raw:?} {passphrase:?}"), "EncryptionKey(…) EncryptionKey(…)");
/// # Ok::<(), siltstone::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct EncryptionKey(Arc<Material>);

#[derive(PartialEq, Eq)]
pub(super) enum Material {
    Raw(Zeroizing<[u8; 32]>),
    Passphrase(Zeroizing<String>),
}

impl EncryptionKey {
    /// 64 hexadecimal digits are a key of 256 bits, as it is. Anything else is a passphrase, from which the key is
    /// derived by PBKDF2-HMAC-SHA256 with 600,000 rounds and a random salt each time that a store is opened, which
    /// takes some tens to hundreds of milliseconds.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) if it is empty.
    pub fn from_hex_or_passphrase(key: &str) -> Result<Self> {
        if key.is_empty() {
            return Err(Error::invalid(
                "the encryption key is empty; give 64 hexadecimal digits or a passphrase",
            ));
        }
        let raw = hex(key.as_bytes()).map(Material::Raw);
        Ok(Self(Arc::new(raw.unwrap_or_else(|| Material::Passphrase(Zeroizing::new(key.to_owned()))))))
    }

    #[cfg(feature = "encryption")]
    pub(super) fn material(&self) -> &Material {
        &self.0
    }
}

fn hex(text: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    let mut key = Zeroizing::new([0; 32]);
    let (pairs, rest) = text.as_chunks::<2>();
    if pairs.len() != key.len() || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in key.iter_mut().zip(pairs) {
        let digit = |char: u8| char::from(char).to_digit(16);
        *byte = u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()?;
    }
    Some(key)
}

impl fmt::Debug for EncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EncryptionKey(…)")
    }
}

#[cfg(all(test, feature = "encryption"))]
mod tests {
    use super::*;

    #[test]
    fn sixty_four_hex_digits_are_the_key_itself() {
        let raw = |text: &str| match EncryptionKey::from_hex_or_passphrase(text).unwrap().material() {
            Material::Raw(key) => Some(**key),
            Material::Passphrase(_) => None,
        };
        assert_eq!(raw(&"aB".repeat(32)), Some([0xab; 32]));
        assert_eq!(raw(&"00".repeat(32)), Some([0; 32]));
        for passphrase in ["ab".repeat(31), "ab".repeat(33), "xy".repeat(32), format!("{}a", "ab".repeat(31))]
        {
            assert_eq!(raw(&passphrase), None, "{passphrase}");
        }
        assert!(EncryptionKey::from_hex_or_passphrase("").is_err());
    }
}
