//! The secret stores that need no file.

use std::collections::BTreeMap;

use crate::config::secrets::{Secret, SecretStore};
use crate::error::{Error, Result};

/// The secrets in the process's environment, one a variable.
///
/// ```
/// use siltstone::{EnvSecrets, SecretStore};
/// assert!(EnvSecrets.get("PATH")?.is_some());
/// # Ok::<(), siltstone::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct EnvSecrets;

impl SecretStore for EnvSecrets {
    fn get(&self, name: &str) -> Result<Option<Secret>> {
        let Some(value) = std::env::var_os(name) else { return Ok(None) };
        let text = value.into_string();
        text.map(|text| Some(Secret::new(text))).map_err(|_| {
            Error::invalid(format!("the environment variable '{name}' is not UTF-8; set it anew"))
        })
    }
}

/// Secrets that the program has at hand.
///
/// ```
/// use siltstone::{MapSecrets, SecretStore};
/// let secrets = MapSecrets::from_iter([("token", "abc")]);
/// assert_eq!(secrets.get("token")?.unwrap().expose(), "abc");
/// assert_eq!(format!("{secrets:?}"), r#"MapSecrets({"token": Secret(…)})"#);
/// # Ok::<(), siltstone::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct MapSecrets(BTreeMap<String, Secret>);

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for MapSecrets {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(secrets: I) -> Self {
        Self(secrets.into_iter().map(|(name, secret)| (name.into(), Secret::new(secret))).collect())
    }
}

impl SecretStore for MapSecrets {
    fn get(&self, name: &str) -> Result<Option<Secret>> {
        Ok(self.0.get(name).cloned())
    }
}
