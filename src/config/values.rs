//! What a setting's value has to be. Errors are words that follow the key.

use std::str::FromStr;
use std::time::Duration;

use crate::config::document::Node;
use crate::config::duration::{self, DURATION, parse_duration};
use crate::config::mistakes::not_allowed;
use crate::config::secrets::Secret;
use crate::config::size::{SIZE, parse_size};
use crate::config::spelling::nearest;

type Read<T> = Result<T, String>;

/// A text, and whether a secret is in it.
pub(super) fn text(node: &Node) -> Read<(&str, bool)> {
    match plain(node) {
        Some("") | None => Err(not_allowed(node, "a text that is not empty", None)),
        Some(text) => Ok((text, matches!(node, Node::Secret(_)))),
    }
}

fn plain(node: &Node) -> Option<&str> {
    match node {
        Node::Text(text) => Some(text),
        Node::Secret(secret) => Some(secret.expose()),
        _ => None,
    }
}

pub(super) fn secret(node: &Node) -> Read<Secret> {
    match node {
        Node::Secret(secret) => Ok(secret.clone()),
        // What was found may well be the key itself.
        _ => {
            Err("is no reference to a secret; write ${secrets:NAME}, and keep the key in the secret store"
                .into())
        }
    }
}

pub(super) fn boolean(node: &Node) -> Read<bool> {
    let Node::Bool(value) = node else {
        let words = [
            ("true", "true"),
            ("yes", "true"),
            ("on", "true"),
            ("false", "false"),
            ("no", "false"),
            ("off", "false"),
        ];
        let given = if let Node::Text(text) = node { text.to_ascii_lowercase() } else { String::new() };
        let meant = words.iter().find(|(word, _)| *word == given).map(|(_, value)| *value);
        return Err(not_allowed(node, "true or false", meant));
    };
    Ok(*value)
}

/// One of a few names.
pub(super) fn name<T: FromStr>(node: &Node, names: &[&str]) -> Read<T> {
    let known = plain(node).filter(|text| names.contains(text)).and_then(|text| text.parse().ok());
    known.ok_or_else(|| {
        let meant = if let Node::Text(text) = node { nearest(text, names.iter().copied()) } else { None };
        not_allowed(node, &one_of(names), meant)
    })
}

/// `a, b or c`.
pub(super) fn one_of(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [only] => (*only).into(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

pub(super) fn span(node: &Node) -> Read<Duration> {
    let allowed = format!("a span of time: {DURATION}, or a number of seconds");
    let read = match node {
        Node::Number(number) => duration::from_seconds(number),
        _ => match plain(node) {
            Some(text) => parse_duration(text),
            None => return Err(not_allowed(node, &allowed, None)),
        },
    };
    read.map_err(|_| not_allowed(node, &allowed, None))
}

/// A span that is not nothing.
pub(super) fn positive(node: &Node) -> Read<Duration> {
    let span = span(node)?;
    if span.is_zero() {
        Err("is zero, but has to be longer than nothing, such as 10s".into())
    } else {
        Ok(span)
    }
}

pub(super) fn seconds(node: &Node) -> Read<Duration> {
    let Node::Number(number) = node else {
        return Err(not_allowed(node, "a number of seconds", None));
    };
    duration::from_seconds(number).map_err(|_| not_allowed(node, "a number of seconds", None))
}

/// A number of bytes, or one of the names that stand for one.
pub(super) fn size(node: &Node, names: &[(&str, u64)]) -> Read<u64> {
    if let Node::Number(number) = node
        && let Some(bytes) = number.as_u64()
    {
        return Ok(bytes);
    }
    let text = plain(node);
    let named = names.iter().find(|(name, _)| Some(*name) == text).map(|(_, bytes)| *bytes);
    named.or_else(|| parse_size(text?).ok()).ok_or_else(|| {
        let words: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
        let choice = if words.is_empty() { String::new() } else { format!("{}, or ", words.join(", ")) };
        let meant = if let Node::Text(text) = node { nearest(text, words) } else { None };
        not_allowed(node, &format!("{choice}a number of bytes: {SIZE}"), meant)
    })
}
