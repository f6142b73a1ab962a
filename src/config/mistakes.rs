//! What is wrong with a configuration: all of it, not just what comes first.

use crate::config::document::Node;
use crate::config::spelling::did_you_mean;
use crate::error::{Error, Result};

/// So many mistakes are told; whoever has more has something else to mend first.
const MOST: usize = 16;

/// Collects mistakes, each of which begins with the full key that it is about.
#[derive(Debug, Default)]
pub(super) struct Mistakes {
    told: Vec<String>,
    more: usize,
}

impl Mistakes {
    /// A mistake in words that follow the key.
    pub(super) fn add(&mut self, key: &str, problem: impl std::fmt::Display) {
        if self.told.len() < MOST {
            self.told.push(format!("{} {problem}", shorten(key, 200)));
        } else {
            self.more += 1;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.told.is_empty()
    }

    /// One error that tells them all.
    pub(super) fn into_result(self) -> Result<()> {
        if self.told.len() < 2 {
            return self.told.into_iter().next().map_or(Ok(()), |only| Err(Error::invalid(only)));
        }
        let numbered = self.told.iter().enumerate().map(|(at, mistake)| format!("({}) {mistake}", at + 1));
        let list = numbered.collect::<Vec<_>>().join("; ");
        let count = self.told.len() + self.more;
        let rest = if self.more > 0 { "; …" } else { "" };
        Err(Error::invalid(format!("the configuration has {count} mistakes: {list}{rest}")))
    }
}

/// A value that is not what its key takes: what was found, what is allowed, and what may have been meant.
pub(super) fn not_allowed(found: &Node, allowed: &str, meant: Option<&str>) -> String {
    format!("is {}, but has to be {allowed}{}", describe(found), did_you_mean(meant))
}

/// What a value is, as far as it may be shown.
pub(super) fn describe(node: &Node) -> String {
    match node {
        Node::Null => "empty".into(),
        Node::Bool(value) => format!("the boolean {value}"),
        Node::Number(number) => format!("the number {number}"),
        Node::Text(text) => format!("the text '{}'", shorten(text, 80)),
        Node::Secret(_) => "a text with a secret in it".into(),
        Node::List(_) => "a list".into(),
        Node::Map(_) => "a map".into(),
    }
}

/// Text that was not written by us, on one line, without what moves a terminal's cursor.
fn shorten(text: &str, most: usize) -> String {
    let mut shown: String = text.chars().take(most).flat_map(printable).collect();
    if text.chars().nth(most).is_some() {
        shown.push('…');
    }
    shown
}

fn printable(char: char) -> impl Iterator<Item = char> {
    let escaped = char.is_control().then(|| char.escape_default());
    let plain = escaped.is_none().then_some(char);
    escaped.into_iter().flatten().chain(plain)
}
