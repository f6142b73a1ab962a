//! The part of a configuration that only its connector understands.

use std::fmt;

use serde_json::{Map, Value as Json};

use crate::config::document::Node;

/// A connector's own section, with its secrets in it. `Debug` shows its keys only.
///
/// ```
/// use siltstone::StorageConfig;
/// let text = r#"{"storage": {"connector": "acme.redis.v1", "redis": {"url": "redis://:pass@host"}}}"#;
/// let config = StorageConfig::from_json(text)?;
/// assert_eq!(config.section.map()["url"], "redis://:pass@host");
/// assert!(!format!("{config:?}").contains("pass"));
/// # Ok::<(), siltstone::Error>(())
/// ```
#[derive(Clone, Default, PartialEq)]
pub struct Section(Map<String, Json>);

impl Section {
    /// What is in it; nothing if the configuration had none.
    pub fn map(&self) -> &Map<String, Json> {
        &self.0
    }

    pub(super) fn from_node(node: &Node) -> Option<Self> {
        match node {
            Node::Null => Some(Self::default()),
            Node::Map(entries) => Some(Self(map(entries))),
            _ => None,
        }
    }
}

impl From<Map<String, Json>> for Section {
    fn from(map: Map<String, Json>) -> Self {
        Self(map)
    }
}

fn map(entries: &[(String, Node)]) -> Map<String, Json> {
    entries.iter().map(|(key, value)| (key.clone(), json(value))).collect()
}

fn json(node: &Node) -> Json {
    match node {
        Node::Null => Json::Null,
        Node::Bool(value) => Json::Bool(*value),
        Node::Number(number) => Json::Number(number.clone()),
        Node::Text(text) => Json::String(text.clone()),
        Node::Secret(secret) => Json::String(secret.expose().to_owned()),
        Node::List(items) => items.iter().map(json).collect(),
        Node::Map(entries) => Json::Object(map(entries)),
    }
}

impl fmt::Debug for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
