//! A configuration's text as a tree, whatever it was written in.
//!
//! Unlike `serde_json::Value`, the tree keeps keys that are given twice, so that they can be told, and is
//! bounded: its depth, and how many nodes and bytes it has once YAML's aliases are spelled out.

mod json;
#[cfg(feature = "yaml")]
mod yaml;

use serde_json::{Map, Number, Value as Json};

use crate::config::secrets::Secret;
use crate::error::{Error, Result};

/// A longer text is no configuration.
pub(super) const MAX_TEXT: usize = 1 << 20;

/// So many lists and maps lie in each other at most.
const MAX_DEPTH: usize = 64;

const MAX_NODES: usize = 1 << 16;

/// A value, and what is in it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    /// A text that a secret is in. It is never shown.
    Secret(Secret),
    List(Vec<Node>),
    /// In the order of the text; a key may be there twice.
    Map(Vec<(String, Node)>),
}

impl Node {
    /// How many nodes it has, and how many bytes of text are in them.
    #[cfg(feature = "yaml")]
    fn weight(&self) -> (usize, usize) {
        let sum = |(nodes, bytes): (usize, usize), (more, longer)| (nodes + more, bytes + longer);
        match self {
            Self::Text(text) => (1, text.len()),
            Self::List(items) => items.iter().map(Self::weight).fold((1, 0), sum),
            Self::Map(entries) => {
                entries.iter().map(|(key, value)| sum((0, key.len()), value.weight())).fold((1, 0), sum)
            }
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Secret(_) => (1, 0),
        }
    }
}

/// What a tree may still grow by.
struct Budget {
    nodes: usize,
    bytes: usize,
}

impl Budget {
    fn new() -> Self {
        Self { nodes: MAX_NODES, bytes: 2 * MAX_TEXT }
    }

    fn spend(&mut self, nodes: usize, bytes: usize) -> Result<(), String> {
        let left = self.nodes.checked_sub(nodes).zip(self.bytes.checked_sub(bytes));
        let (nodes, bytes) = left.ok_or_else(|| {
            let most = 2 * MAX_TEXT;
            format!("it is larger than a configuration may be: {MAX_NODES} values, {most} bytes of text")
        })?;
        (self.nodes, self.bytes) = (nodes, bytes);
        Ok(())
    }

    fn check_depth(depth: usize) -> Result<(), String> {
        if depth <= MAX_DEPTH { Ok(()) } else { Err(format!("it is nested deeper than {MAX_DEPTH} levels")) }
    }
}

/// Reads a JSON text.
pub(super) fn from_json(text: &str) -> Result<Node> {
    check_len(text)?;
    json::parse(text).map_err(|problem| Error::invalid(format!("the configuration is no JSON: {problem}")))
}

/// Reads a YAML text.
#[cfg(feature = "yaml")]
pub(super) fn from_yaml(text: &str) -> Result<Node> {
    check_len(text)?;
    yaml::parse(text)
        .map_err(|problem| Error::invalid(format!("the configuration cannot be read as YAML: {problem}")))
}

/// Says how YAML can be read.
#[cfg(not(feature = "yaml"))]
pub(super) fn from_yaml(_text: &str) -> Result<Node> {
    let message = "a configuration in YAML needs siltstone's feature 'yaml', which was left out when this program was built; turn it on, or write JSON";
    Err(Error::new(crate::error::ErrorKind::Unsupported, message))
}

fn check_len(text: &str) -> Result<()> {
    if text.len() <= MAX_TEXT {
        return Ok(());
    }
    Err(Error::invalid(format!("the configuration is longer than {MAX_TEXT} bytes; shorten it")))
}

/// Takes over a map.
pub(super) fn from_map(map: &Map<String, Json>) -> Result<Node> {
    let mut budget = Budget::new();
    let node = object(map, &mut budget, 1);
    node.map_err(|problem| Error::invalid(format!("the configuration cannot be taken over: {problem}")))
}

fn object(map: &Map<String, Json>, budget: &mut Budget, depth: usize) -> Result<Node, String> {
    Budget::check_depth(depth)?;
    budget.spend(1, map.keys().map(String::len).sum())?;
    let entries = map.iter().map(|(key, value)| Ok((key.clone(), value_node(value, budget, depth)?)));
    Ok(Node::Map(entries.collect::<Result<_, String>>()?))
}

fn value_node(value: &Json, budget: &mut Budget, depth: usize) -> Result<Node, String> {
    match value {
        Json::Object(map) => return object(map, budget, depth + 1),
        Json::Array(items) => {
            Budget::check_depth(depth + 1)?;
            budget.spend(1, 0)?;
            let items = items.iter().map(|item| value_node(item, budget, depth + 1));
            return Ok(Node::List(items.collect::<Result<_, _>>()?));
        }
        Json::String(text) => budget.spend(1, text.len())?,
        Json::Null | Json::Bool(_) | Json::Number(_) => budget.spend(1, 0)?,
    }
    Ok(match value {
        Json::Bool(value) => Node::Bool(*value),
        Json::Number(number) => Node::Number(number.clone()),
        Json::String(text) => Node::Text(text.clone()),
        _ => Node::Null,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn text(node: &Node) -> Json {
        match node {
            Node::Null => Json::Null,
            Node::Bool(value) => Json::Bool(*value),
            Node::Number(number) => Json::Number(number.clone()),
            Node::Text(text) => Json::String(text.clone()),
            Node::Secret(_) => panic!("no secret was resolved"),
            Node::List(items) => items.iter().map(text).collect(),
            Node::Map(entries) => {
                Json::Object(entries.iter().map(|(key, value)| (key.clone(), text(value))).collect())
            }
        }
    }

    fn same(expected: &Json, written: &str) {
        assert_eq!(text(&from_json(&expected.to_string()).unwrap()), *expected);
        assert_eq!(text(&from_map(expected.as_object().unwrap()).unwrap()), *expected);
        #[cfg(feature = "yaml")]
        assert_eq!(text(&from_yaml(written).unwrap()), *expected, "{written}");
        let _ = written;
    }

    #[test]
    fn one_tree_whatever_it_was_written_in() {
        same(&json!({"a": {"b": [1, -2, 0.5, true, null, "x"]}}), "a: {b: [1, -2, 0.5, true, ~, x]}");
        same(&json!({"a": "10s", "b": ""}), "# a comment\na: 10s\nb: ''\n");
        same(&json!({"n": 18_446_744_073_709_551_615_u64}), "n: 18446744073709551615");
        same(&json!({}), "{}");
    }

    #[test]
    fn keys_that_are_given_twice_are_kept() {
        let twice = Node::Map(vec![("a".into(), Node::Null), ("a".into(), Node::Bool(true))]);
        assert_eq!(from_json(r#"{"a": null, "a": true}"#).unwrap(), twice);
        #[cfg(feature = "yaml")]
        assert_eq!(from_yaml("a: ~\na: true").unwrap(), twice);
    }

    #[test]
    fn what_is_too_much_is_refused() {
        let error = |result: Result<Node>| result.unwrap_err().to_string();
        let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
        assert!(error(from_json(&deep)).contains("64 levels"));
        let deep = (0..65).fold(json!(1), |inner, _| json!({ "a": inner }));
        assert!(error(from_map(deep.as_object().unwrap())).contains("64 levels"));
        let bottomless = "[".repeat(500_000);
        from_json(&bottomless).unwrap_err();
        let many = format!("[{}1]", "1,".repeat(70_000));
        assert!(error(from_json(&many)).contains("65536 values"));
        let long = format!("\"{}\"", "x".repeat(MAX_TEXT));
        assert!(error(from_json(&long)).contains("1048576 bytes"));
        #[cfg(feature = "yaml")]
        {
            assert!(error(from_yaml(&many)).contains("65536 values"));
            assert!(error(from_yaml(&long)).contains("1048576 bytes"));
            from_yaml(&bottomless).unwrap_err();
            from_yaml(&"- ".repeat(300_000)).unwrap_err();
        }
    }

    proptest! {
        #[test]
        fn any_json_text_is_a_tree_or_is_refused(text in "[\\[\\]{}:,\"a0. \n-]{0,40}|\\PC{0,40}") {
            if let Ok(node) = from_json(&text) {
                prop_assert_eq!(super::tests::text(&node), text.parse::<Json>().unwrap());
            }
        }
    }
}
