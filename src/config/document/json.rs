//! JSON as a tree. Read by hand of serde rather than as a `serde_json::Value`, which drops the first of two
//! values that are given for one key.

use std::fmt;

use serde_core::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

use crate::config::document::{Budget, Node};

pub(super) fn parse(text: &str) -> Result<Node, String> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let seed = Seed { budget: &mut Budget::new(), depth: 0 };
    let node = seed.deserialize(&mut reader).map_err(|error| error.to_string())?;
    reader.end().map_err(|error| error.to_string())?;
    Ok(node)
}

/// Reads one value that lies this deep.
struct Seed<'b> {
    budget: &'b mut Budget,
    depth: usize,
}

impl Seed<'_> {
    fn spend<E: Error>(&mut self, nodes: usize, bytes: usize) -> Result<(), E> {
        self.budget.spend(nodes, bytes).map_err(E::custom)
    }

    fn scalar<E: Error>(mut self, node: Node) -> Result<Node, E> {
        self.spend(1, 0)?;
        Ok(node)
    }

    /// For what lies in a list or a map.
    fn inner<E: Error>(&mut self) -> Result<Seed<'_>, E> {
        let depth = self.depth + 1;
        Budget::check_depth(depth).map_err(E::custom)?;
        Ok(Seed { budget: self.budget, depth })
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        self.scalar(Node::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Node, E> {
        self.scalar(Node::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Node, E> {
        self.scalar(Node::Number(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Node, E> {
        self.scalar(Node::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Node, E> {
        self.scalar(Number::from_f64(value).map_or(Node::Null, Node::Number))
    }

    fn visit_str<E: Error>(mut self, text: &str) -> Result<Node, E> {
        self.spend(1, text.len())?;
        Ok(Node::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Node, A::Error> {
        self.spend(1, 0)?;
        let mut items = Vec::new();
        while let Some(item) = list.next_element_seed(self.inner()?)? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Node, A::Error> {
        self.spend(1, 0)?;
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            self.spend(0, key.len())?;
            let value = map.next_value_seed(self.inner()?)?;
            entries.push((key, value));
        }
        Ok(Node::Map(entries))
    }
}
