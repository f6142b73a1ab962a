//! Metadata, as the interface has it and as the engine keeps it.
//!
//! The engine keeps a content type apart from the metadata, so that `stat` can tell it without reading
//! anything more. What it can keep there (a string that is not empty and not too long) is left out of the
//! metadata's bytes, and put back when they are read. The bytes tell by themselves in which format they are.

use std::borrow::Cow;

use serde_json::Value as Json;

use crate::batch::{MAX_CONTENT_TYPE_LEN, PutOptions};
use crate::error::{Error, Result};
use crate::format::{MAX_DEPTH, Metadata, SerializationFormat, decode_metadata, encode_metadata, fits};
use crate::key::Printable;

/// Where metadata says what its entry's data is.
pub(crate) const CONTENT_TYPE: &str = "content_type";

/// What data is of which nobody said anything.
const UNKNOWN: &str = "application/octet-stream";

/// How the engine keeps this metadata, for those who put an entry of the storage interface into a
/// [`Store`](crate::Store) by its own calls.
///
/// ```
/// use siltstone::{SerializationFormat, Store, StorageEntry, put_options};
/// let entry = StorageEntry::new("state/a", "{}").with("content_type", "application/json").with("by", "router");
/// let options = put_options("state/a", &entry.metadata, SerializationFormat::Json)?;
/// let store = Store::in_memory()?;
/// store.put_with("state/a", &entry.data, &options)?;
/// assert_eq!(store.stat("state/a")?.unwrap().content_type(), Some("application/json"));
/// assert_eq!(store.get("state/a")?.unwrap().metadata(), br#"{"by":"router"}"#);
/// # Ok::<(), siltstone::Error>(())
/// ```
///
/// # Errors
///
/// [`Invalid`](crate::ErrorKind::Invalid) if it is nested too deep to be read back;
/// [`Unsupported`](crate::ErrorKind::Unsupported) if the crate was built without the format.
pub fn put_options(key: &str, metadata: &Metadata, format: SerializationFormat) -> Result<PutOptions> {
    if let Some((name, _)) = metadata.iter().find(|(_, value)| !fits(value, MAX_DEPTH - 1)) {
        let key = Printable(key.as_bytes());
        let problem = format!("it is nested deeper than {MAX_DEPTH} levels");
        return Err(Error::invalid(format!("metadata '{name}' of key '{key}' cannot be kept: {problem}")));
    }
    let content_type = content_type(metadata);
    let mut rest = Cow::Borrowed(metadata);
    if content_type.is_some() {
        rest.to_mut().remove(CONTENT_TYPE);
    }
    let bytes = encode_metadata(format, &rest)?;
    Ok(PutOptions::new().content_type(content_type.unwrap_or_default()).metadata(bytes))
}

/// The content type that the engine can keep, if one was given.
fn content_type(metadata: &Metadata) -> Option<&str> {
    let given = metadata.get(CONTENT_TYPE).and_then(Json::as_str);
    given.filter(|given| (1..=MAX_CONTENT_TYPE_LEN).contains(&given.len()))
}

/// The metadata of an entry, of which this content type and these bytes are kept.
pub(crate) fn decode(key: &str, content_type: Option<&str>, bytes: &[u8]) -> Result<Metadata> {
    let mut metadata = decode_metadata(bytes).map_err(|error| {
        let key = Printable(key.as_bytes());
        let message = format!("the metadata of key '{key}' is no object ({error}); read it through Store");
        Error::new(error.kind(), message)
    })?;
    if let Some(content_type) = content_type {
        metadata.insert(CONTENT_TYPE.into(), content_type.into());
    }
    Ok(metadata)
}

/// What `stat` tells of the data.
pub(crate) fn media_type(content_type: Option<&str>) -> String {
    content_type.unwrap_or(UNKNOWN).to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::store::Store;

    const FORMATS: [SerializationFormat; 3] =
        [SerializationFormat::Json, SerializationFormat::Yaml, SerializationFormat::MsgPack];

    fn encode(key: &str, metadata: &Metadata) -> Result<PutOptions> {
        put_options(key, metadata, SerializationFormat::Json)
    }

    fn back_in(format: SerializationFormat, metadata: &Metadata) -> Metadata {
        let store = Store::in_memory().unwrap();
        store.put_with("k", "", &put_options("k", metadata, format).unwrap()).unwrap();
        let value = store.get("k").unwrap().unwrap();
        decode("k", value.stat().content_type(), value.metadata()).unwrap()
    }

    fn back(metadata: &Metadata) -> Metadata {
        back_in(SerializationFormat::Json, metadata)
    }

    fn object(value: Json) -> Metadata {
        value.as_object().unwrap().clone()
    }

    fn kept(metadata: &Json) -> PutOptions {
        encode("k", &object(metadata.clone())).unwrap()
    }

    #[test]
    fn the_engine_keeps_a_content_type_that_can_be_one() {
        let plain = PutOptions::new();
        assert_eq!(kept(&json!({})), plain);
        assert_eq!(kept(&json!({"content_type": "a/b"})), plain.clone().content_type("a/b"));
        let both = json!({"z": 1, "content_type": "a/b", "a": [true]});
        assert_eq!(kept(&both), plain.clone().content_type("a/b").metadata(r#"{"a":[true],"z":1}"#));
        let longest = "x".repeat(255);
        assert_eq!(kept(&json!({"content_type": longest})), plain.clone().content_type(longest));
        for other in [json!(""), json!("x".repeat(256)), json!("é".repeat(128)), json!(5), json!(null)] {
            let metadata = json!({"content_type": other});
            assert_eq!(kept(&metadata), plain.clone().metadata(metadata.to_string()));
            assert_eq!(back(&object(metadata.clone())), object(metadata));
        }
    }

    #[test]
    fn what_is_nested_too_deep_to_be_read_back_is_refused() {
        let nested = |depth| (1..depth).fold(json!([]), |inner, _| json!([inner]));
        let deepest = object(json!({"m": nested(MAX_DEPTH - 1)}));
        assert_eq!(back(&deepest), deepest);
        let error = encode("k", &object(json!({"m": nested(MAX_DEPTH)}))).unwrap_err().to_string();
        assert!(error.contains("'m'") && error.contains("'k'") && error.contains("127"), "{error}");
        let objects = (1..MAX_DEPTH).fold(json!({}), |inner, _| json!({"o": inner}));
        assert_eq!(back(&object(objects.clone())), object(objects.clone()));
        encode("k", &object(json!({"o": objects}))).unwrap_err();
    }

    fn values() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            any::<u64>().prop_map(Json::from),
            any::<f64>().prop_map(Json::from),
            any::<String>().prop_map(Json::from),
        ];
        leaf.prop_recursive(4, 32, 8, |inner| {
            let name = any::<String>();
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Json::from),
                prop::collection::btree_map(name, inner, 0..8)
                    .prop_map(|fields| Json::Object(fields.into_iter().collect())),
            ]
        })
    }

    fn names() -> impl Strategy<Value = String> {
        prop_oneof![Just(CONTENT_TYPE.to_owned()), any::<String>()]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn metadata_comes_back_as_it_was(fields in prop::collection::btree_map(names(), values(), 0..4)) {
            let metadata: Metadata = fields.into_iter().collect();
            for format in FORMATS {
                prop_assert_eq!(back_in(format, &metadata), metadata.clone());
            }
        }
    }
}
