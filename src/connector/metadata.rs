//! Metadata, as the interface has it and as the engine keeps it.
//!
//! The engine keeps a content type apart from the metadata, so that `stat` can tell it without reading
//! anything more. What it can keep there (a string that is not empty and not too long) is left out of the
//! metadata's bytes, and put back when they are read.

use serde_json::Value as Json;

use crate::batch::{MAX_CONTENT_TYPE_LEN, PutOptions};
use crate::error::{Error, Result};
use crate::format::Metadata;
use crate::key::Printable;
use crate::store::{Stat, Value};

/// Where metadata says what its entry's data is.
const CONTENT_TYPE: &str = "content_type";

/// What data is of which nobody said anything.
const UNKNOWN: &str = "application/octet-stream";

/// So many levels of objects and arrays, the outermost counted, can be read back.
const MAX_DEPTH: usize = 127;

/// How the engine is to keep this metadata.
pub(super) fn encode(key: &str, metadata: &Metadata) -> Result<PutOptions> {
    let content_type = content_type(metadata);
    let mut bytes = Vec::new();
    for (name, value) in metadata {
        if content_type.is_some() && name == CONTENT_TYPE {
            continue;
        }
        bytes.push(if bytes.is_empty() { b'{' } else { b',' });
        write_field(&mut bytes, name, value).map_err(|problem| {
            let key = Printable(key.as_bytes());
            Error::invalid(format!("metadata '{name}' of key '{key}' cannot be kept: {problem}"))
        })?;
    }
    if !bytes.is_empty() {
        bytes.push(b'}');
    }
    Ok(PutOptions::new().content_type(content_type.unwrap_or_default()).metadata(bytes))
}

/// The content type that the engine can keep, if one was given.
fn content_type(metadata: &Metadata) -> Option<&str> {
    let given = metadata.get(CONTENT_TYPE).and_then(Json::as_str);
    given.filter(|given| (1..=MAX_CONTENT_TYPE_LEN).contains(&given.len()))
}

fn write_field(bytes: &mut Vec<u8>, name: &str, value: &Json) -> Result<(), String> {
    if !fits(value, MAX_DEPTH - 1) {
        return Err(format!("it is nested deeper than {MAX_DEPTH} levels"));
    }
    serde_json::to_writer(&mut *bytes, name).map_err(|error| error.to_string())?;
    bytes.push(b':');
    serde_json::to_writer(bytes, value).map_err(|error| error.to_string())
}

fn fits(value: &Json, levels: usize) -> bool {
    match value {
        Json::Array(items) => levels > 0 && items.iter().all(|item| fits(item, levels - 1)),
        Json::Object(fields) => levels > 0 && fields.values().all(|field| fits(field, levels - 1)),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => true,
    }
}

/// The metadata of a stored value.
pub(super) fn decode(key: &str, value: &Value) -> Result<Metadata> {
    let mut metadata = parse(value.metadata()).map_err(|error| {
        let key = Printable(key.as_bytes());
        let message =
            format!("the metadata of key '{key}' is no JSON object ({error}); read it through Store");
        Error::invalid(message)
    })?;
    if let Some(content_type) = value.stat().content_type() {
        metadata.insert(CONTENT_TYPE.into(), content_type.into());
    }
    Ok(metadata)
}

fn parse(bytes: &[u8]) -> serde_json::Result<Metadata> {
    if bytes.is_empty() { Ok(Metadata::new()) } else { serde_json::from_slice(bytes) }
}

/// What `stat` tells of the data.
pub(super) fn media_type(stat: &Stat) -> String {
    stat.content_type().unwrap_or(UNKNOWN).to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::store::Store;

    fn back(metadata: &Metadata) -> Metadata {
        let store = Store::in_memory().unwrap();
        store.put_with("k", "", &encode("k", metadata).unwrap()).unwrap();
        decode("k", &store.get("k").unwrap().unwrap()).unwrap()
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
            prop_assert_eq!(back(&metadata), metadata);
        }
    }
}
