//! Metadata at rest: an object in any of the formats, recognised by its first byte.
//!
//! | first byte | format | why it can be no other |
//! |---|---|---|
//! | `{` or white space | JSON | an object begins so |
//! | `-` | YAML, behind the document's mark `---` and a newline | no JSON object begins so |
//! | 0x80–0x8f, 0xde, 0xdf | MessagePack | its three kinds of maps; neither of the others begins so |
//!
//! Nothing is put around them: what lies there is whole JSON, YAML or MessagePack for any reader.

use serde_json::Value as Json;

use crate::error::{Error, Result};
use crate::format::{Metadata, SerializationFormat, encode, read, write};

const YAML_MARK: &[u8] = b"---\n";

/// Metadata as bytes that tell their format; none if there is no metadata.
///
/// # Errors
///
/// As for [`encode`](crate::format::encode).
pub fn encode_metadata(format: SerializationFormat, metadata: &Metadata) -> Result<Vec<u8>> {
    if metadata.is_empty() {
        return Ok(Vec::new());
    }
    match format {
        SerializationFormat::Json => encode(format, metadata),
        SerializationFormat::MsgPack => write(format, &Json::Object(metadata.clone())),
        SerializationFormat::Yaml => {
            Ok([YAML_MARK, &write(format, &Json::Object(metadata.clone()))?].concat())
        }
    }
}

/// The metadata that these bytes are, whatever format the store that wrote them was opened with.
///
/// ```
/// use siltstone::format::{SerializationFormat, decode_metadata, encode_metadata};
/// let json = decode_metadata(br#"{"tenant":"acme"}"#)?;
/// let yaml = encode_metadata(SerializationFormat::Yaml, &json)?;
/// assert_eq!(yaml, b"---\ntenant: acme\n");
/// assert_eq!(decode_metadata(&yaml)?, json);
/// # Ok::<(), siltstone::Error>(())
/// ```
///
/// # Errors
///
/// [`Invalid`](crate::ErrorKind::Invalid) if they are no object;
/// [`Unsupported`](crate::ErrorKind::Unsupported) if the crate was built without their format.
pub fn decode_metadata(bytes: &[u8]) -> Result<Metadata> {
    let Some(first) = bytes.first() else { return Ok(Metadata::new()) };
    let format = match first {
        b'-' => SerializationFormat::Yaml,
        0x80..=0x8f | 0xde | 0xdf => SerializationFormat::MsgPack,
        _ => SerializationFormat::Json,
    };
    match read(format, bytes)? {
        Json::Object(metadata) => Ok(metadata),
        _ => Err(Error::invalid(format!("this {format} is no object"))),
    }
}
