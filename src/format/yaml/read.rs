//! From the parser's events to a value.
//!
//! What aliases repeat is bounded: a document may mean at most `EXPANSION` times what it says.

use std::collections::BTreeMap;

use granit_parser::{Event, Marker, Options, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};
use serde_json::{Map, Value as Json};

use crate::error::{Error, Result};
use crate::format::yaml::scalar::resolve;
use crate::format::{MAX_DEPTH, too_deep};

/// How much larger than its text a document may become by repeating what has an anchor.
const EXPANSION: usize = 16;

/// So much a short document may repeat in any case.
const EXPANSION_SLACK: usize = 4 << 10;

const CORE: &str = "tag:yaml.org,2002:";

pub(in crate::format) fn read(bytes: &[u8]) -> Result<Json> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| Error::invalid(format!("this yaml is not UTF-8 at byte {}", error.valid_up_to())))?;
    let mut options = Options::default();
    options.set_emit_comments(false);
    let parser = Parser::new_from_str_with_options(text, options);
    let budget = text.len() * EXPANSION + EXPANSION_SLACK;
    Reader { parser, anchors: BTreeMap::new(), budget }.document()
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    anchors: BTreeMap<usize, Node>,
    /// What anchors and aliases may still copy.
    budget: usize,
}

/// A value, with what a copy of it costs and how many levels it has.
#[derive(Clone)]
struct Node {
    value: Json,
    weight: usize,
    height: usize,
}

impl Node {
    fn scalar(value: Json) -> Self {
        let weight = 1 + value.as_str().map_or(0, str::len);
        Self { value, weight, height: 0 }
    }
}

fn wrong(marker: &Marker, problem: impl std::fmt::Display) -> Error {
    let (line, column) = (marker.line(), marker.col() + 1);
    Error::invalid(format!("this yaml is not what was asked for: {problem} at line {line} column {column}"))
}

fn refused(error: &ScanError) -> Error {
    wrong(error.marker(), error.info())
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span)> {
        match self.parser.next() {
            Some(event) => event.map_err(|error| refused(&error)),
            None => Err(Error::invalid("this yaml ends too early")),
        }
    }

    fn document(mut self) -> Result<Json> {
        let mut found = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamStart | Event::DocumentEnd => {}
                Event::DocumentStart(..) if found.is_none() => {
                    let (event, span) = self.next()?;
                    found = Some(self.node(event, &span, MAX_DEPTH)?.value);
                }
                Event::StreamEnd => return Ok(found.unwrap_or_default()),
                _ => return Err(wrong(&span.start, "a second document begins")),
            }
        }
    }

    /// The node that begins with this event, of at most so many levels.
    fn node(&mut self, event: Event<'a>, span: &Span, levels: usize) -> Result<Node> {
        let (anchor, node) = match event {
            Event::Alias(anchor) => return self.alias(anchor, span, levels),
            Event::Scalar(text, style, anchor, tag) => {
                (anchor, Node::scalar(scalar(text.into_owned(), style, tag.as_deref(), span)?))
            }
            Event::SequenceStart(_, anchor, tag) => {
                expect(tag.as_deref(), "seq", span)?;
                (anchor, self.sequence(levels.checked_sub(1).ok_or_else(too_deep)?)?)
            }
            Event::MappingStart(_, anchor, tag) => {
                expect(tag.as_deref(), "map", span)?;
                (anchor, self.mapping(levels.checked_sub(1).ok_or_else(too_deep)?)?)
            }
            _ => return Err(wrong(&span.start, "a value is missing")),
        };
        if anchor != 0 {
            self.spend(node.weight, span)?;
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn alias(&mut self, anchor: usize, span: &Span, levels: usize) -> Result<Node> {
        let Some(node) = self.anchors.get(&anchor) else {
            return Err(wrong(&span.start, "an alias stands for what it lies in"));
        };
        let (weight, height) = (node.weight, node.height);
        if height > levels {
            return Err(too_deep());
        }
        self.spend(weight, span)?;
        self.anchors.get(&anchor).cloned().ok_or_else(too_deep)
    }

    fn spend(&mut self, weight: usize, span: &Span) -> Result<()> {
        let left = self.budget.checked_sub(weight);
        self.budget = left.ok_or_else(|| wrong(&span.start, "aliases repeat too much"))?;
        Ok(())
    }

    fn sequence(&mut self, levels: usize) -> Result<Node> {
        let (mut items, mut weight, mut height) = (Vec::new(), 1, 0);
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                return Ok(Node { value: Json::Array(items), weight, height: height + 1 });
            }
            let item = self.node(event, &span, levels)?;
            weight += item.weight;
            height = height.max(item.height);
            items.push(item.value);
        }
    }

    fn mapping(&mut self, levels: usize) -> Result<Node> {
        let (mut fields, mut weight, mut height) = (Map::new(), 1, 0);
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                return Ok(Node { value: Json::Object(fields), weight, height: height + 1 });
            }
            let name = self.name(event, &span)?;
            let (event, at) = self.next()?;
            let field = self.node(event, &at, levels)?;
            weight += field.weight + name.len();
            height = height.max(field.height);
            if fields.contains_key(&name) {
                return Err(wrong(&span.start, format!("'{name}' is there twice")));
            }
            fields.insert(name, field.value);
        }
    }

    /// The name of a field: what it says, whatever it would mean as a value.
    fn name(&mut self, event: Event<'a>, span: &Span) -> Result<String> {
        let plain = match &event {
            Event::Scalar(text, ScalarStyle::Plain, ..) => Some(text.clone().into_owned()),
            _ => None,
        };
        let node = self.node(event, span, 0).map_err(|_| wrong(&span.start, "a name that is no string"))?;
        match (plain, node.value) {
            (Some(name), _) | (None, Json::String(name)) => Ok(name),
            (None, value @ (Json::Number(_) | Json::Bool(_) | Json::Null)) => Ok(value.to_string()),
            _ => Err(wrong(&span.start, "a name that is no string")),
        }
    }
}

/// Collections can have their own core tag, and no other.
fn expect(tag: Option<&Tag>, suffix: &str, span: &Span) -> Result<()> {
    match tag {
        Some(tag) if !is_core(tag, suffix) && !is_bare(tag) => Err(unknown(tag, span)),
        _ => Ok(()),
    }
}

fn scalar(text: String, style: ScalarStyle, tag: Option<&Tag>, span: &Span) -> Result<Json> {
    let plain = style == ScalarStyle::Plain;
    let resolved = |text: &str| resolve(text).map_err(|problem| wrong(&span.start, problem));
    let Some(tag) = tag else { return if plain { resolved(&text) } else { Ok(Json::String(text)) } };
    if is_core(tag, "str") || is_bare(tag) {
        return Ok(Json::String(text));
    }
    let value = resolved(&text)?;
    let fits = match &value {
        Json::Null => is_core(tag, "null"),
        Json::Bool(_) => is_core(tag, "bool"),
        Json::Number(number) => is_core(tag, "float") || (is_core(tag, "int") && !number.is_f64()),
        _ => false,
    };
    if fits { Ok(value) } else { Err(unknown(tag, span)) }
}

fn is_core(tag: &Tag, suffix: &str) -> bool {
    let (handle, own) = (tag.handle(), tag.suffix());
    (handle == CORE && own == suffix) || (handle.is_empty() && own.strip_prefix(CORE) == Some(suffix))
}

/// The tag `!`, which says no more than that a scalar is a string.
fn is_bare(tag: &Tag) -> bool {
    format!("{}{}", tag.handle(), tag.suffix()) == "!"
}

fn unknown(tag: &Tag, span: &Span) -> Error {
    let tag = format!("{}{}", tag.handle(), tag.suffix());
    wrong(&span.start, format!("the tag '{tag}' does not go with what it is on"))
}
