//! An entry as a line of JSON, of which nothing is lost: what `export` prints and `import` reads.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use siltstone::{Item, PutOptions, base64, from_rfc3339, rfc3339};

use crate::exit::Result;

/// Bytes are text where they are UTF-8, and base64 where they are not.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Line<'a> {
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    key: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_base64: Option<String>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    value: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
    /// Where the metadata is JSON as the storage interface writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Map<String, Json>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata_base64: Option<String>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    content_type: Option<Cow<'a, str>>,
    /// For people: a store gives its own time to what it takes in.
    modified: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
}

/// What a line says is to be stored.
#[derive(Debug, PartialEq)]
pub(crate) struct Stored<'a> {
    pub(crate) key: Cow<'a, [u8]>,
    pub(crate) value: Cow<'a, [u8]>,
    pub(crate) options: PutOptions,
}

/// Prints an entry by way of its line.
pub(crate) fn print<R>(item: &Item, print: impl FnOnce(&Line<'_>) -> Result<R>) -> Result<R> {
    let value = item.value()?;
    let (key, key_base64) = text_or_base64(item.key());
    let (text, value_base64) = text_or_base64(&value);
    let metadata = plain_object(value.metadata());
    let opaque = metadata.is_none() && !value.metadata().is_empty();
    print(&Line {
        key,
        key_base64,
        value: text,
        value_base64,
        metadata,
        metadata_base64: opaque.then(|| base64::encode(value.metadata())),
        content_type: item.stat().content_type().map(Cow::Borrowed),
        modified: Some(rfc3339(item.stat().modified())),
        expires: item.stat().expires().map(rfc3339),
    })
}

fn text_or_base64(bytes: &[u8]) -> (Option<Cow<'_, str>>, Option<String>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (Some(text.into()), None),
        Err(_) => (None, Some(base64::encode(bytes))),
    }
}

/// The object that these bytes are, if writing it brings back these very bytes.
fn plain_object(bytes: &[u8]) -> Option<Map<String, Json>> {
    let object: Map<String, Json> = serde_json::from_slice(bytes).ok()?;
    (serde_json::to_vec(&object).ok()? == bytes).then_some(object)
}

impl<'a> Line<'a> {
    /// Whether these bytes begin as lines of an export do.
    pub(crate) fn begins(bytes: &'a [u8]) -> bool {
        serde_json::from_slice(bytes).is_ok_and(|line: Self| line.key.is_some() || line.key_base64.is_some())
    }

    /// What it says, or what is wrong with it.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Stored<'a>, String> {
        let line: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let mut options = PutOptions::new().metadata(line.metadata_bytes()?);
        if let Some(content_type) = line.content_type {
            options = options.content_type(content_type);
        }
        if let Some(expires) = &line.expires {
            options = options.expires_at(from_rfc3339(expires).ok_or("its 'expires' is no time")?);
        }
        let key = bytes_of("key", line.key, line.key_base64.as_deref())?;
        let value = bytes_of("value", line.value, line.value_base64.as_deref())?;
        Ok(Stored { key, value, options })
    }

    fn metadata_bytes(&self) -> Result<Vec<u8>, String> {
        match (&self.metadata, &self.metadata_base64) {
            (None, None) => Ok(Vec::new()),
            (Some(metadata), None) => serde_json::to_vec(metadata).map_err(|error| error.to_string()),
            (None, Some(text)) => decoded("metadata", text),
            (Some(_), Some(_)) => Err("it has its metadata twice".into()),
        }
    }
}

fn bytes_of<'a>(
    name: &str,
    text: Option<Cow<'a, str>>,
    base64: Option<&str>,
) -> Result<Cow<'a, [u8]>, String> {
    match (text, base64) {
        (Some(Cow::Borrowed(text)), None) => Ok(text.as_bytes().into()),
        (Some(Cow::Owned(text)), None) => Ok(text.into_bytes().into()),
        (None, Some(text)) => decoded(name, text).map(Cow::Owned),
        (Some(_), Some(_)) => Err(format!("it has its {name} twice")),
        (None, None) => Err(format!("it has no '{name}'")),
    }
}

fn decoded(name: &str, text: &str) -> Result<Vec<u8>, String> {
    base64::decode(text).ok_or_else(|| format!("its '{name}_base64' is no base64"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_line_is_told() {
        for (line, told) in [
            ("{", "EOF"),
            ("{}", "no 'key'"),
            (r#"{"key":"k"}"#, "no 'value'"),
            (r#"{"key":"k","value":"","vallue":""}"#, "vallue"),
            (r#"{"key":"k","key_base64":"","value":""}"#, "key twice"),
            (r#"{"key":"k","value_base64":"x"}"#, "value_base64"),
            (r#"{"key":"k","value":"","metadata":[]}"#, "expected a map"),
            (r#"{"key":"k","value":"","metadata":{},"metadata_base64":""}"#, "twice"),
            (r#"{"key":"k","value":"","expires":"soon"}"#, "expires"),
        ] {
            let error = Line::read(line.as_bytes()).unwrap_err();
            assert!(error.contains(told), "{line}: {error}");
        }
    }

    #[test]
    fn only_metadata_that_comes_back_byte_for_byte_is_written_as_an_object() {
        assert!(plain_object(br#"{"a":[1,2.5],"b":null}"#).is_some());
        for other in [&b""[..], b"[]", br#"{ "a":1}"#, br#"{"b":1,"a":2}"#, b"---\na: 1\n", b"\x81\xa1a\x01"]
        {
            assert!(plain_object(other).is_none(), "{other:?}");
        }
    }
}
