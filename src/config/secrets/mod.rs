//! Secrets: where they come from, and putting them where a configuration refers to them.
//!
//! A configuration names a secret, `${secrets:NAME}`, and a [`SecretStore`] knows it. No message, and nothing
//! that is printed for debugging, ever holds one; where it was resolved it is kept as a [`Secret`], which is
//! wiped from memory when it is dropped.

mod dotenv;
mod named;
mod reference;
mod stores;

use std::fmt;

use zeroize::Zeroizing;

use crate::error::Result;

pub use crate::config::secrets::dotenv::DotenvSecrets;
pub(super) use crate::config::secrets::named::named;
pub(super) use crate::config::secrets::reference::resolve;
pub use crate::config::secrets::stores::{EnvSecrets, MapSecrets};

/// A secret. It is not shown by `Debug`, and wiped from memory when it is dropped.
///
/// ```
/// use siltstone::Secret;
/// let secret = Secret::new("correct horse");
/// assert_eq!(format!("{secret:?}"), "Secret(…)");
/// assert_eq!(secret.expose(), "correct horse");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a secret over.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(Zeroizing::new(secret.into()))
    }

    /// The secret itself. Whoever asks sees to it that it is not shown.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Knows secrets by their names. Implement it for a keyring, a cloud's secret manager, or what you have.
///
/// ```
/// use siltstone::{Result, Secret, SecretStore, StorageConfig};
///
/// struct Vault;
///
/// impl SecretStore for Vault {
///     fn get(&self, name: &str) -> Result<Option<Secret>> {
///         Ok((name == "store-dir").then(|| Secret::new("/var/lib/gateway")))
///     }
/// }
///
/// let text = r#"{"storage": {"path": "${secrets:store-dir}/state"}}"#;
/// let config = StorageConfig::reader(&Vault).json(text)?;
/// assert_eq!(config.path.unwrap().to_str(), Some("/var/lib/gateway/state"));
/// # Ok::<(), siltstone::Error>(())
/// ```
pub trait SecretStore: Send + Sync {
    /// The secret with this name; `None` if there is none. An empty one is as good as none.
    ///
    /// # Errors
    ///
    /// When the store cannot be asked. The message must not hold a secret.
    fn get(&self, name: &str) -> Result<Option<Secret>>;
}
