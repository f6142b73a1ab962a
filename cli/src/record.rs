//! Entries as they are printed: the stat fields as a JSON object or as an aligned line, the value, the
//! metadata.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use serde::Serialize;
use serde_json::{Map, Value as Json};
use siltstone::format::decode_metadata;
use siltstone::{Item, Stat, Value, base64, rfc3339};

use crate::exit::{Failure, Result};
use crate::output::Output;
use crate::text::{hex, printable};

/// The bytes of a key that was given on the command line.
pub(crate) fn key_bytes(key: OsString) -> Vec<u8> {
    key.into_vec()
}

/// An entry as one JSON object.
#[derive(Serialize)]
pub(crate) struct Record<'a> {
    key: String,
    /// Only where the key is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    key_hex: Option<String>,
    size: u64,
    modified: String,
    expires: Option<String>,
    content_type: Option<&'a str>,
    #[serde(flatten)]
    content: Option<Content<'a>>,
}

/// The value and its metadata, for those who ask for them.
#[derive(Serialize)]
struct Content<'a> {
    metadata: Map<String, Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
    /// Instead of `value` where it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
}

impl<'a> Record<'a> {
    pub(crate) fn new(key: &[u8], stat: &'a Stat) -> Self {
        let text = std::str::from_utf8(key);
        Self {
            key: String::from_utf8_lossy(key).into_owned(),
            key_hex: text.is_err().then(|| hex(key)),
            size: stat.size(),
            modified: rfc3339(stat.modified()),
            expires: stat.expires().map(rfc3339),
            content_type: stat.content_type(),
            content: None,
        }
    }

    /// With the value and the metadata.
    pub(crate) fn with_value(self, key: &[u8], value: &'a Value) -> Result<Self> {
        let text = std::str::from_utf8(value).ok();
        let content = Content {
            metadata: metadata(key, value)?,
            value: text,
            value_base64: text.is_none().then(|| base64::encode(value)),
        };
        Ok(Self { content: Some(content), ..self })
    }
}

/// The metadata of an entry; empty if it has none.
pub(crate) fn metadata(key: &[u8], value: &Value) -> Result<Map<String, Json>> {
    let bytes = value.metadata();
    decode_metadata(bytes).map_err(|error| {
        let (key, len) = (printable(key), bytes.len());
        Failure::new(format!(
            "the metadata of '{key}' ({len} bytes) is no object: {error}; read it through the library"
        ))
    })
}

/// An entry as one line of a table: size, modification time, content type, key.
pub(crate) fn long_line(key: &[u8], stat: &Stat) -> String {
    let content_type = stat.content_type().unwrap_or("-");
    format!("{:>10}  {}  {content_type:<24}  {}", stat.size(), rfc3339(stat.modified()), printable(key))
}

/// An entry as a line: its stat fields, its value, or a JSON object of either.
pub(crate) fn print_entry(out: &mut Output, item: &Item, values: bool, json: bool) -> Result<()> {
    let record = || Record::new(item.key(), item.stat());
    match (values, json) {
        (false, false) => out.line(long_line(item.key(), item.stat())),
        (false, true) => out.json(&record()),
        (true, false) => out.line(item.value()?),
        (true, true) => out.json(&record().with_value(item.key(), &item.value()?)?),
    }
}

/// An entry as a person reads it, one field a line.
pub(crate) fn described(key: &[u8], stat: &Stat) -> String {
    let expires = stat.expires().map_or("never".into(), rfc3339);
    format!(
        "key           {}\nsize          {}\nmodified      {}\nexpires       {expires}\ncontent type  {}",
        printable(key),
        stat.size(),
        rfc3339(stat.modified()),
        stat.content_type().unwrap_or("-"),
    )
}
