//! The list of retention rules.

use crate::config::document::Node;
use crate::config::mistakes::{Mistakes, not_allowed};
use crate::config::spelling::{did_you_mean, nearest};
use crate::config::values;
use crate::retention::Retention;

const KEYS: [&str; 3] = ["prefix", "max_age", "max_bytes"];

/// Reads the rules; what is wrong with them goes to `mistakes`. Tells whether a secret is in a prefix.
pub(super) fn rules(node: &Node, key: &str, mistakes: &mut Mistakes) -> (Vec<(String, Retention)>, bool) {
    let Node::List(items) = node else {
        mistakes.add(
            key,
            not_allowed(node, "a list of rules such as {prefix: logs/, max_age: 30d, max_bytes: 50GB}", None),
        );
        return (Vec::new(), false);
    };
    let (mut rules, mut secret) = (Vec::<(String, Retention)>::new(), false);
    for (at, item) in items.iter().enumerate() {
        let key = format!("{key}[{at}]");
        let Some((prefix, is_secret, retention)) = rule(item, &key, mistakes) else { continue };
        secret |= is_secret;
        if rules.iter().any(|(known, _)| *known == prefix) {
            mistakes.add(&key, "is the second rule for its prefix; give each prefix one");
        }
        rules.push((prefix, retention));
    }
    (rules, secret)
}

fn rule(node: &Node, key: &str, mistakes: &mut Mistakes) -> Option<(String, bool, Retention)> {
    let Node::Map(entries) = node else {
        mistakes.add(key, not_allowed(node, "a rule such as {prefix: logs/, max_age: 30d}", None));
        return None;
    };
    let (mut prefix, mut retention) = (None, Retention::new());
    for (name, value) in entries {
        let key = format!("{key}.{name}");
        let set = match name.as_str() {
            "prefix" => prefix_of(value).map(|text| prefix = Some(text)),
            "max_age" => values::positive(value).map(|age| retention.max_age = Some(age)),
            "max_bytes" => values::size(value, &[]).map(|bytes| retention.max_bytes = Some(bytes)),
            _ => {
                let meant = did_you_mean(nearest(name, KEYS));
                Err(format!("is unknown; a rule takes {}{meant}", KEYS.join(", ")))
            }
        };
        let _ = set.map_err(|problem| mistakes.add(&key, problem));
    }
    if prefix.is_none() && !entries.iter().any(|(name, _)| name == "prefix") {
        mistakes.add(key, "has no prefix; give what the keys begin with, '' for all");
    }
    if !entries.iter().any(|(name, _)| name.starts_with("max_")) {
        mistakes.add(key, "keeps everything; give it max_age or max_bytes, or leave it out");
    }
    prefix.map(|(prefix, secret)| (prefix, secret, retention))
}

/// Unlike other texts a prefix may be empty: then all keys begin with it.
pub(super) fn prefix_of(node: &Node) -> Result<(String, bool), String> {
    match node {
        Node::Text(text) if text.is_empty() => Ok((String::new(), false)),
        _ => values::text(node).map(|(text, secret)| (text.to_owned(), secret)),
    }
}
