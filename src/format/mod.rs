//! Typed values as bytes: JSON, YAML, MessagePack.
//!
//! All three carry the same values, those of JSON: what one format brings back, the others bring back too.
//! So a store can change its format at any time, and every entry says in which one it is.
//!
//! Decoding is bounded: at most [`MAX_DEPTH`] levels, and memory in proportion to the input. No length that
//! the input claims is believed before as many bytes are there.

mod json;
#[cfg(feature = "msgpack")]
mod msgpack;
mod object;
#[cfg(feature = "yaml")]
mod yaml;

#[cfg(feature = "yaml")]
pub(crate) use yaml::resolve as scalar;

use std::fmt;
use std::str::FromStr;

use serde_core::Serialize;
use serde_core::de::DeserializeOwned;
use serde_json::Value as Json;

use crate::error::{Error, Result};

pub use crate::format::object::{decode_metadata, encode_metadata};

/// What is kept beside an entry's data: a JSON object.
pub type Metadata = serde_json::Map<String, Json>;

/// So many levels of objects and arrays, the outermost counted, can be written and read.
pub const MAX_DEPTH: usize = 127;

/// How structured data is turned into bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SerializationFormat {
    /// JSON.
    #[default]
    Json,
    /// YAML 1.2. Needs the crate's feature `yaml`, which is on by default.
    Yaml,
    /// MessagePack. Needs the crate's feature `msgpack`, which is on by default.
    MsgPack,
}

impl SerializationFormat {
    const ALL: [Self; 3] = [Self::Json, Self::Yaml, Self::MsgPack];

    /// The name in the storage interface: `json`, `yaml`, `msgpack`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Yaml => "yaml",
            Self::MsgPack => "msgpack",
        }
    }

    /// The content type that tells an entry's format.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Yaml => "application/yaml",
            Self::MsgPack => "application/msgpack",
        }
    }

    /// The format that a content type tells, under any of the names that are in use, whatever its case and
    /// its parameters.
    ///
    /// ```
    /// use siltstone::format::SerializationFormat;
    /// let told = |content_type| SerializationFormat::of_content_type(content_type);
    /// assert_eq!(told("application/json; charset=utf-8"), Some(SerializationFormat::Json));
    /// assert_eq!(told("text/yaml"), Some(SerializationFormat::Yaml));
    /// assert_eq!(told("application/octet-stream"), None);
    /// ```
    pub fn of_content_type(content_type: &str) -> Option<Self> {
        let name = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match name.as_str() {
            "application/json" | "text/json" => Some(Self::Json),
            "application/yaml" | "application/x-yaml" | "text/yaml" | "text/x-yaml" => Some(Self::Yaml),
            "application/msgpack" | "application/x-msgpack" | "application/vnd.msgpack" => {
                Some(Self::MsgPack)
            }
            other if other.ends_with("+json") => Some(Self::Json),
            other if other.ends_with("+yaml") => Some(Self::Yaml),
            _ => None,
        }
    }
}

impl fmt::Display for SerializationFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for SerializationFormat {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|format| format.as_str() == name)
            .ok_or_else(|| Error::invalid(format!("format '{name}' is unknown; use json, yaml or msgpack")))
    }
}

/// A value as bytes. Floats that are no numbers become null, as JSON has none; maps have strings for keys.
///
/// ```
/// use siltstone::format::{SerializationFormat, decode, encode};
/// let limits = std::collections::BTreeMap::from([("model-a", 60), ("model-b", 5)]);
/// let yaml = encode(SerializationFormat::Yaml, &limits)?;
/// assert_eq!(yaml, b"model-a: 60\nmodel-b: 5\n");
/// let back: std::collections::BTreeMap<String, u32> = decode(SerializationFormat::Yaml, &yaml)?;
/// assert_eq!(back["model-a"], 60);
/// # Ok::<(), siltstone::Error>(())
/// ```
///
/// # Errors
///
/// [`Invalid`](crate::ErrorKind::Invalid) for a value that JSON cannot express or that is nested deeper than
/// [`MAX_DEPTH`]; [`Unsupported`](crate::ErrorKind::Unsupported) if the crate was built without the format.
pub fn encode<T: Serialize + ?Sized>(format: SerializationFormat, value: &T) -> Result<Vec<u8>> {
    match format {
        SerializationFormat::Json => json::encode(value),
        other => write(other, &serde_json::to_value(value).map_err(json::inexpressible)?),
    }
}

/// The value that these bytes are.
///
/// # Errors
///
/// [`Invalid`](crate::ErrorKind::Invalid) if they are none of this format, or not of this type, with the place where
/// that shows; [`Unsupported`](crate::ErrorKind::Unsupported) if the crate was built without the format.
pub fn decode<T: DeserializeOwned>(format: SerializationFormat, bytes: &[u8]) -> Result<T> {
    match format {
        SerializationFormat::Json => json::decode(bytes),
        other => serde_json::from_value(read(other, bytes)?)
            .map_err(|error| Error::invalid(format!("this {other} is not what was asked for: {error}"))),
    }
}

fn write(format: SerializationFormat, value: &Json) -> Result<Vec<u8>> {
    if !fits(value, MAX_DEPTH) {
        return Err(too_deep());
    }
    match format {
        SerializationFormat::Json => json::encode(value),
        #[cfg(feature = "yaml")]
        SerializationFormat::Yaml => Ok(yaml::write(value).into_bytes()),
        #[cfg(feature = "msgpack")]
        SerializationFormat::MsgPack => Ok(msgpack::write(value)),
        #[cfg(not(all(feature = "yaml", feature = "msgpack")))]
        absent => Err(is_absent(absent)),
    }
}

fn read(format: SerializationFormat, bytes: &[u8]) -> Result<Json> {
    match format {
        SerializationFormat::Json => json::decode(bytes),
        #[cfg(feature = "yaml")]
        SerializationFormat::Yaml => yaml::read(bytes),
        #[cfg(feature = "msgpack")]
        SerializationFormat::MsgPack => msgpack::read(bytes),
        #[cfg(not(all(feature = "yaml", feature = "msgpack")))]
        absent => Err(is_absent(absent)),
    }
}

#[cfg(not(all(feature = "yaml", feature = "msgpack")))]
fn is_absent(format: SerializationFormat) -> Error {
    let message = format!("siltstone was built without the format '{format}'; enable its feature '{format}'");
    Error::new(crate::error::ErrorKind::Unsupported, message)
}

/// Whether a value has at most so many levels.
pub(crate) fn fits(value: &Json, levels: usize) -> bool {
    match value {
        Json::Array(items) => levels > 0 && items.iter().all(|item| fits(item, levels - 1)),
        Json::Object(fields) => levels > 0 && fields.values().all(|field| fits(field, levels - 1)),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => true,
    }
}

fn too_deep() -> Error {
    Error::invalid(format!("it is nested deeper than {MAX_DEPTH} levels; flatten it"))
}

#[cfg(test)]
#[cfg(all(feature = "yaml", feature = "msgpack"))]
mod tests;

#[cfg(test)]
#[cfg(not(feature = "yaml"))]
mod lean {
    use super::*;

    #[test]
    fn a_format_that_was_left_out_is_told_with_its_feature() {
        for error in [
            encode(SerializationFormat::Yaml, &1).unwrap_err(),
            decode::<u8>(SerializationFormat::Yaml, b"1").unwrap_err(),
            decode_metadata(b"---\na: 1\n").unwrap_err(),
        ] {
            assert_eq!(error.kind(), crate::error::ErrorKind::Unsupported);
            assert!(error.to_string().contains("feature 'yaml'"), "{error}");
        }
    }
}
