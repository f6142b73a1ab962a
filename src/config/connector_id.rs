//! Connector ids: `vendor.name.v1`.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::key::Printable;

/// The id of a connector: `vendor.name.v1`, in lower case, digits and hyphens. The library's longer form, with
/// the type `storage.` before it, is the same id.
///
/// ```
/// use siltstone::ConnectorId;
/// let id: ConnectorId = "storage.modelmesh.local-file.v1".parse()?;
/// assert_eq!(id.as_str(), "modelmesh.local-file.v1");
/// assert_eq!(id.short_name(), "local-file");
/// assert!("modelmesh.local-file".parse::<ConnectorId>().is_err());
/// # Ok::<(), siltstone::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectorId(String);

impl ConnectorId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name in it, without vendor and version. So is called a connector's own section of a configuration.
    pub fn short_name(&self) -> &str {
        Self::short_name_of(&self.0)
    }

    /// The same of a text that may be a short name alone.
    pub(super) fn short_name_of(text: &str) -> &str {
        let id = without_type(text);
        id.split('.').nth(1).unwrap_or(id)
    }
}

impl FromStr for ConnectorId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let id = without_type(text);
        let parts: Vec<&str> = id.split('.').collect();
        if let [vendor, name, version] = *parts
            && is_name(vendor)
            && is_name(name)
            && is_version(version)
        {
            return Ok(Self(id.to_owned()));
        }
        let shown = Printable(text.as_bytes());
        let message = format!(
            "'{shown}' is no connector id; give vendor.name.v1, in lower case letters, digits and hyphens"
        );
        Err(Error::invalid(message))
    }
}

/// The id without the type that the library's longer form begins with.
fn without_type(text: &str) -> &str {
    text.strip_prefix("storage.").filter(|rest| rest.split('.').count() == 3).unwrap_or(text)
}

fn is_name(part: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !part.is_empty() && !part.starts_with('-') && !part.ends_with('-') && part.bytes().all(fits)
}

fn is_version(part: &str) -> bool {
    let digits = part.strip_prefix('v').unwrap_or_default();
    (1..=9).contains(&digits.len())
        && !digits.starts_with('0')
        && digits.bytes().all(|byte| byte.is_ascii_digit())
}

impl fmt::Display for ConnectorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_keep_to_the_pattern() {
        for id in ["siltstone.siltstone.v1", "modelmesh.local-file.v1", "1password.s3.v12"] {
            assert_eq!(id.parse::<ConnectorId>().unwrap().to_string(), id);
        }
        let wrong = [
            "",
            "a",
            "a.b",
            "a.b.c",
            "a.b.1",
            "a.b.v",
            "a.b.v0",
            "a.b.v01",
            "a.b.v1.2",
            "A.b.v1",
            "a..v1",
            ".b.v1",
            "a b.c.v1",
            "a.-b.v1",
            "a.b-.v1",
            "a.b.v1 ",
            "x.a.b.v1",
            "storage.a.v1x",
            "a.b.v1000000000",
            "a.é.v1",
        ];
        for id in wrong {
            let error = id.parse::<ConnectorId>().unwrap_err().to_string();
            assert!(error.contains(&format!("'{id}'")) && error.contains("vendor.name.v1"), "{error}");
        }
        assert_eq!("storage.storage.v1".parse::<ConnectorId>().unwrap().short_name(), "storage");
    }

    #[test]
    fn short_names() {
        for (text, short) in
            [("local-file", "local-file"), ("a.b.v1", "b"), ("storage.a.b.v1", "b"), ("", "")]
        {
            assert_eq!(ConnectorId::short_name_of(text), short);
        }
    }
}
