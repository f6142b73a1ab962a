//! The secret store that a configuration names itself, in its section `secrets`.
//!
//! | key | of | means |
//! |---|---|---|
//! | `store` | | `modelmesh.env.v1`, the default, or `modelmesh.dotenv.v1` |
//! | `prefix` | environment | what stands before a secret's name there |
//! | `path`, `file_path` | dotenv | the file; `.env` |
//! | `override`, `override_env` | dotenv | whether the file comes before the environment; it does not |
//!
//! All but `store` may stand in `config` within it as well. What else is in the section is the library's own affair.

use crate::config::document::Node;
use crate::config::mistakes::not_allowed;
use crate::config::secrets::{DotenvSecrets, EnvSecrets, Secret, SecretStore};
use crate::error::{Error, Result};

const ENV: &str = "modelmesh.env.v1";
const DOTENV: &str = "modelmesh.dotenv.v1";

/// The store that this configuration names; the environment if it names none.
pub(in crate::config) fn named(root: &Node) -> Result<Box<dyn SecretStore>> {
    let section = find(root, "secrets").unwrap_or(&Node::Null);
    match find(section, "store") {
        None => environment(section),
        Some(Node::Text(store)) if store == ENV => environment(section),
        Some(Node::Text(store)) if store == DOTENV => {
            let file = DotenvSecrets::open(text(section, &["path", "file_path"])?.unwrap_or(".env"))?;
            let overrides = boolean(section, &["override", "override_env"])?;
            Ok(if overrides {
                Box::new(Either(file, EnvSecrets))
            } else {
                Box::new(Either(EnvSecrets, file))
            })
        }
        Some(other) => {
            let allowed = format!("{ENV} or {DOTENV}, unless the program brings a secret store of its own");
            Err(wrong("secrets.store", other, &allowed))
        }
    }
}

fn environment(section: &Node) -> Result<Box<dyn SecretStore>> {
    let prefix = text(section, &["prefix"])?.unwrap_or_default().to_owned();
    Ok(Box::new(Prefixed { prefix }))
}

fn text<'a>(section: &'a Node, names: &[&str]) -> Result<Option<&'a str>> {
    match given(section, names)? {
        None => Ok(None),
        Some((_, Node::Text(text))) => Ok(Some(text)),
        Some((key, other)) => Err(wrong(&key, other, "a text")),
    }
}

fn boolean(section: &Node, names: &[&str]) -> Result<bool> {
    match given(section, names)? {
        None => Ok(false),
        Some((_, Node::Bool(value))) => Ok(*value),
        Some((key, other)) => Err(wrong(&key, other, "true or false")),
    }
}

/// What is given under one of these names, in the section or its `config`, with its whole key.
fn given<'a>(section: &'a Node, names: &[&str]) -> Result<Option<(String, &'a Node)>> {
    let inner = find(section, "config").unwrap_or(&Node::Null);
    let places = [("secrets", section), ("secrets.config", inner)];
    let found = places.iter().flat_map(|(place, node)| {
        names.iter().filter_map(move |name| Some((format!("{place}.{name}"), find(node, name)?)))
    });
    let found: Vec<_> = found.collect();
    if let [(before, _), (key, _), ..] = &*found {
        return Err(Error::invalid(format!("{key} sets the same as {before}; leave one out")));
    }
    Ok(found.into_iter().next())
}

fn find<'a>(node: &'a Node, name: &str) -> Option<&'a Node> {
    let Node::Map(entries) = node else { return None };
    entries.iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

fn wrong(key: &str, found: &Node, allowed: &str) -> Error {
    Error::invalid(format!("{key} {}", not_allowed(found, allowed, None)))
}

/// The environment, where names have this before them.
struct Prefixed {
    prefix: String,
}

impl SecretStore for Prefixed {
    fn get(&self, name: &str) -> Result<Option<Secret>> {
        EnvSecrets.get(&format!("{}{name}", self.prefix))
    }
}

/// The one, and the other for what that does not have.
struct Either<A, B>(A, B);

impl<A: SecretStore, B: SecretStore> SecretStore for Either<A, B> {
    fn get(&self, name: &str) -> Result<Option<Secret>> {
        Ok(match self.0.get(name)? {
            None => self.1.get(name)?,
            found => found,
        })
    }
}
