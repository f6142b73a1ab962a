//! The list of prefixes for which values are compressed otherwise.

use crate::config::document::Node;
use crate::config::mistakes::{Mistakes, not_allowed};
use crate::config::retention::prefix_of;
use crate::config::spelling::{did_you_mean, nearest};
use crate::config::values;
use crate::options::Compression;

const KEYS: [&str; 2] = ["prefix", "compression"];
const NAMES: [&str; 2] = ["lz4", "none"];

/// Reads the list; what is wrong with it goes to `mistakes`. Tells whether a secret is in a prefix.
pub(super) fn rules(node: &Node, key: &str, mistakes: &mut Mistakes) -> (Vec<(String, Compression)>, bool) {
    let Node::List(items) = node else {
        let allowed = "a list such as {prefix: audio/, compression: none}";
        mistakes.add(key, not_allowed(node, allowed, None));
        return (Vec::new(), false);
    };
    let (mut rules, mut secret) = (Vec::<(String, Compression)>::new(), false);
    for (at, item) in items.iter().enumerate() {
        let key = format!("{key}[{at}]");
        let Some((prefix, is_secret, compression)) = rule(item, &key, mistakes) else { continue };
        secret |= is_secret;
        if rules.iter().any(|(known, _)| *known == prefix) {
            mistakes.add(&key, "is the second one for its prefix; give each prefix one");
        }
        rules.push((prefix, compression));
    }
    (rules, secret)
}

fn rule(node: &Node, key: &str, mistakes: &mut Mistakes) -> Option<(String, bool, Compression)> {
    let Node::Map(entries) = node else {
        mistakes.add(key, not_allowed(node, "such as {prefix: audio/, compression: none}", None));
        return None;
    };
    let (mut prefix, mut compression) = (None, None);
    for (name, value) in entries {
        let set = match name.as_str() {
            "prefix" => prefix_of(value).map(|text| prefix = Some(text)),
            "compression" => values::name(value, &NAMES).map(|how| compression = Some(how)),
            _ => {
                let meant = did_you_mean(nearest(name, KEYS));
                Err(format!("is unknown; it takes {}{meant}", KEYS.join(", ")))
            }
        };
        let _ = set.map_err(|problem| mistakes.add(&format!("{key}.{name}"), problem));
    }
    for missing in KEYS.iter().filter(|wanted| !entries.iter().any(|(name, _)| name == *wanted)) {
        mistakes.add(key, format!("has no {missing}; give it, as in {{prefix: audio/, compression: none}}"));
    }
    prefix.zip(compression).map(|((prefix, secret), compression)| (prefix, secret, compression))
}
