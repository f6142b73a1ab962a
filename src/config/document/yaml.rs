//! YAML as a tree: one document of maps, lists and scalars, by the core schema of YAML 1.2.
//!
//! Aliases are spelled out, each paid for from the budget before it is, so that a text of a few lines cannot
//! grow into gigabytes. The parser gives events and keeps no tree; nothing here calls itself, but for copies
//! of what is at most as deep as allowed.

use std::collections::BTreeMap;

use granit_parser::{Event, Parser, ScalarStyle, Span, Tag};
use serde_json::Value as Json;

use crate::config::document::{Budget, MAX_DEPTH, Node};

/// The line and what is wrong there.
type Result<T, E = String> = std::result::Result<T, E>;

pub(super) fn parse(text: &str) -> Result<Node> {
    let mut options = granit_parser::options! {
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    options.set_emit_comments(false);
    let mut tree = Tree { open: Vec::new(), anchors: BTreeMap::new(), budget: Budget::new(), root: None };
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|error| error.to_string())?;
        tree.take(event).map_err(|problem| format!("{problem} (line {})", line(&span)))?;
    }
    Ok(tree.root.unwrap_or(Node::Null))
}

fn line(span: &Span) -> usize {
    span.start.line()
}

/// A list or map whose end was not yet seen, and the number of its anchor, or zero.
struct Open {
    node: Node,
    /// The key of a map whose value comes next.
    key: Option<String>,
    anchor: usize,
}

struct Tree {
    open: Vec<Open>,
    anchors: BTreeMap<usize, Node>,
    budget: Budget,
    root: Option<Node>,
}

impl Tree {
    fn take(&mut self, event: Event<'_>) -> Result<()> {
        match event {
            Event::DocumentStart(..) if self.root.is_some() => {
                Err("a second document begins; a configuration is one document".into())
            }
            Event::Scalar(text, style, anchor, tag) => self.scalar(&text, style, anchor, tag.as_deref()),
            Event::SequenceStart(_, anchor, tag) => {
                self.begin(Node::List(Vec::new()), anchor, tag.as_deref())
            }
            Event::MappingStart(_, anchor, tag) => self.begin(Node::Map(Vec::new()), anchor, tag.as_deref()),
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => self.alias(anchor),
            _ => Ok(()),
        }
    }

    /// Whether what comes next is the key of a map.
    fn wants_key(&self) -> bool {
        self.open.last().is_some_and(|open| matches!(open.node, Node::Map(_)) && open.key.is_none())
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, anchor: usize, tag: Option<&Tag>) -> Result<()> {
        let plain = style == ScalarStyle::Plain;
        self.budget.spend(1, text.len())?;
        if self.wants_key() {
            if plain && text == "<<" {
                return Err("'<<' merges no maps here; write the keys out".into());
            }
            return self.key(text.to_owned(), anchor);
        }
        let node = match tag {
            None if plain => resolve(text),
            None => Node::Text(text.to_owned()),
            Some(tag) if tag.is_yaml_core_schema_tag("str") => Node::Text(text.to_owned()),
            Some(tag) => return Err(unknown(tag)),
        };
        self.put(node, anchor)
    }

    fn key(&mut self, key: String, anchor: usize) -> Result<()> {
        if anchor != 0 {
            self.anchors.insert(anchor, Node::Text(key.clone()));
        }
        if let Some(open) = self.open.last_mut() {
            open.key = Some(key);
        }
        Ok(())
    }

    fn begin(&mut self, node: Node, anchor: usize, tag: Option<&Tag>) -> Result<()> {
        if self.wants_key() {
            return Err("a list or a map cannot be a key; give it a name".into());
        }
        let core = |tag: &&Tag| tag.is_yaml_core_schema_tag("map") || tag.is_yaml_core_schema_tag("seq");
        if let Some(tag) = tag.filter(|tag| !core(tag)) {
            return Err(unknown(tag));
        }
        self.budget.spend(1, 0)?;
        self.open.push(Open { node, key: None, anchor });
        Budget::check_depth(self.open.len())
    }

    fn end(&mut self) -> Result<()> {
        self.open.pop().map_or(Ok(()), |done| self.put(done.node, done.anchor))
    }

    fn alias(&mut self, anchor: usize) -> Result<()> {
        let Some(node) = self.anchors.get(&anchor) else {
            return Err("an alias stands in what it stands for; write it out".into());
        };
        let (nodes, bytes) = node.weight();
        self.budget.spend(nodes, bytes)?;
        Budget::check_depth(self.open.len() + depth(node))?;
        let node = node.clone();
        match node {
            Node::Text(key) if self.wants_key() => self.key(key, 0),
            _ if self.wants_key() => Err("what this alias stands for cannot be a key; write it out".into()),
            node => self.put(node, 0),
        }
    }

    /// Puts a finished value where it belongs, and keeps a copy if aliases may name it.
    fn put(&mut self, node: Node, anchor: usize) -> Result<()> {
        if anchor != 0 {
            let (nodes, bytes) = node.weight();
            self.budget.spend(nodes, bytes)?;
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut() {
            Some(Open { node: Node::Map(entries), key, .. }) => {
                entries.push((key.take().unwrap_or_default(), node));
            }
            Some(Open { node: Node::List(items), .. }) => items.push(node),
            _ => self.root = Some(node),
        }
        Ok(())
    }
}

fn unknown(tag: &Tag) -> String {
    format!("the tag '{tag}' says nothing here; leave it out")
}

fn depth(node: &Node) -> usize {
    match node {
        Node::List(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Node::Map(entries) => 1 + entries.iter().map(|(_, value)| depth(value)).max().unwrap_or(0),
        _ => 0,
    }
}

/// What a plain scalar means, by the core schema. A number that no value of JSON stands for is text, for whoever
/// expects another to refuse.
fn resolve(text: &str) -> Node {
    match crate::format::scalar(text) {
        Ok(Json::Null) => Node::Null,
        Ok(Json::Bool(value)) => Node::Bool(value),
        Ok(Json::Number(number)) => Node::Number(number),
        _ => Node::Text(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Number;

    use super::*;

    fn text(text: &str) -> Node {
        Node::Text(text.into())
    }

    #[test]
    fn scalars_mean_what_the_core_schema_says() {
        for (written, number) in [("12", 12), ("+12", 12), ("0x1F", 31), ("0o17", 15), ("010", 10)] {
            assert_eq!(resolve(written), Node::Number(number.into()), "{written}");
        }
        for (written, number) in [(".5", 0.5), ("5.", 5.0), ("-1.5e3", -1500.0), ("1E2", 100.0)] {
            assert_eq!(resolve(written), Node::Number(Number::from_f64(number).unwrap()), "{written}");
        }
        let words = [
            "yes", "no", "on", "tRue", "10s", "7d", "1_000", "1:30", ".inf", "-.INF", ".nan", "inf", "nan",
            "+", "-", ".", "e5", "0x", "0o9", "0x+1", "1e999", "--1", "a",
        ];
        for word in words {
            assert_eq!(resolve(word), text(word), "{word}");
        }
        assert_eq!(parse("'12'").unwrap(), text("12"));
        assert_eq!(parse("!!str 12").unwrap(), text("12"));
        assert_eq!(parse("|\n  a\n  b\n").unwrap(), text("a\nb\n"));
        assert_eq!(parse("").unwrap(), Node::Null);
    }

    #[test]
    fn an_alias_is_spelled_out() {
        let item = Node::Map(vec![("k".into(), text("v"))]);
        let expected = Node::Map(vec![("a".into(), item.clone()), ("b".into(), item)]);
        assert_eq!(parse("a: &x {k: v}\nb: *x\n").unwrap(), expected);
        let named = Node::Map(vec![("name".into(), text("v")), ("b".into(), text("name"))]);
        assert_eq!(parse("&x name: v\nb: *x\n").unwrap(), named);
    }

    #[test]
    fn what_no_configuration_needs_is_refused_with_its_line() {
        let cases = [
            ("a: 1\n---\nb: 2\n", "second document"),
            ("a: &x [*x]", "stands in what it stands for"),
            ("a: *x", "anchor"),
            ("a: 1\n<<: {b: 2}", "'<<'"),
            ("a: !secret x", "secret"),
            ("? [a]\n: b", "cannot be a key"),
            ("a: [1", "line 1"),
            ("a: !!map {b: !other [1]}", "other"),
        ];
        for (written, expected) in cases {
            let problem = parse(written).unwrap_err();
            assert!(problem.contains(expected) && problem.contains("line"), "{written}: {problem}");
        }
    }

    #[test]
    fn aliases_cannot_grow_without_end() {
        let laughs = |levels: usize, first: &str| {
            let level = |n: usize| format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 10].join(","));
            format!("a0: &a0 {first}\n{}", (1..levels).map(level).collect::<String>())
        };
        assert!(parse(&laughs(3, "x")).is_ok());
        assert!(parse(&laughs(9, "x")).unwrap_err().contains("larger"));
        assert!(parse(&laughs(4, &"x".repeat(100_000))).unwrap_err().contains("larger"));
        let chain = |n: usize| format!("a{n}: &a{n} [*a{}]\n", n - 1);
        let deep = format!("a0: &a0 []\n{}", (1..100).map(chain).collect::<String>());
        assert!(parse(&deep).unwrap_err().contains("nested deeper"));
        // Each anchor keeps a copy, and the copies lie in each other.
        let nested = (0..60).map(|n| format!("&n{n} [")).collect::<String>() + &"1,".repeat(5000);
        assert!(parse(&(nested + &"]".repeat(60))).unwrap_err().contains("larger"));
    }

    proptest! {
        #[test]
        fn any_text_is_a_tree_or_is_refused(
            text in "([a-c&*!?|>'\"#%@`:,\\[\\]{}<\n -]|: |- |\n  |---|&a |\\*a|!!str ){0,40}|\\PC{0,40}"
        ) {
            let _ = parse(&text);
        }

        #[test]
        fn what_json_says_yaml_says(items in prop::collection::vec(("[a-z]{1,5}", any::<i64>(), "[ -~]{0,9}"), 0..5)) {
            let map: serde_json::Map<_, _> = items
                .into_iter()
                .flat_map(|(key, number, text)| [(key.clone(), number.into()), (key + "s", text.into())])
                .collect();
            let json = serde_json::Value::Object(map).to_string();
            prop_assert_eq!(parse(&json), crate::config::document::json::parse(&json));
        }
    }
}
