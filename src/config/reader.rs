//! From a configuration's text to its settings.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value as Json};

use crate::config::connector_id::ConnectorId;
use crate::config::document::{self, Node};
use crate::config::file;
use crate::config::mistakes::{Mistakes, not_allowed};
use crate::config::secrets::{EnvSecrets, SecretStore, named, resolve};
use crate::config::section::Section;
use crate::config::spelling::{did_you_mean, nearest};
use crate::config::table::{self, Kind, Setting, Table};
use crate::config::{StorageConfig, settings};
use crate::error::{Error, Result};

/// Reads configurations, with the secrets of one store. See [`StorageConfig::reader`].
#[derive(Clone, Copy)]
pub struct ConfigReader<'a> {
    /// None for the store that the configuration names.
    secrets: Option<&'a dyn SecretStore>,
}

impl<'a> ConfigReader<'a> {
    pub(super) fn new(secrets: Option<&'a dyn SecretStore>) -> Self {
        Self { secrets }
    }

    /// As [`StorageConfig::from_map`].
    ///
    /// # Errors
    ///
    /// The same.
    pub fn map(self, map: &Map<String, Json>) -> Result<StorageConfig> {
        self.tree(document::from_map(map)?)
    }

    /// As [`StorageConfig::from_json`].
    ///
    /// # Errors
    ///
    /// The same.
    pub fn json(self, text: &str) -> Result<StorageConfig> {
        self.tree(document::from_json(check_not_empty(text)?)?)
    }

    /// As [`StorageConfig::from_yaml`].
    ///
    /// # Errors
    ///
    /// The same.
    pub fn yaml(self, text: &str) -> Result<StorageConfig> {
        self.tree(document::from_yaml(check_not_empty(text)?)?)
    }

    /// As [`StorageConfig::from_file`].
    ///
    /// # Errors
    ///
    /// The same.
    pub fn file(self, path: impl AsRef<Path>) -> Result<StorageConfig> {
        let path = path.as_ref();
        let text = file::read(path)?;
        let is_json = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
        let config = if is_json { self.json(&text) } else { self.yaml(&text) };
        config.map_err(|error| Error::new(error.kind(), format!("{}: {error}", path.display())))
    }

    fn tree(self, mut root: Node) -> Result<StorageConfig> {
        let mut mistakes = Mistakes::default();
        tell_twice(&root, "", &mut mistakes);
        self.put_secrets(&mut root, &mut mistakes)?;
        let (config, given) = (StorageConfig::new(), BTreeMap::new());
        let mut walk = Walk { config, given, short_name: short_name(&root), storage_seen: false, mistakes };
        walk.section(&root, "", table::ROOT);
        walk.finish()
    }

    /// Puts secrets where the storage's section refers to them. What other sections refer to is not ours.
    fn put_secrets(self, root: &mut Node, mistakes: &mut Mistakes) -> Result<()> {
        let named = match self.secrets {
            None if refers(root) => Some(named(root)?),
            _ => None,
        };
        let secrets = self.secrets.or(named.as_deref()).unwrap_or(&EnvSecrets);
        let Node::Map(entries) = root else { return Ok(()) };
        for (key, node) in entries.iter_mut().filter(|(key, _)| table::is_storage(key)) {
            put(node, key, secrets, mistakes);
        }
        Ok(())
    }
}

/// An empty file is more likely a slip than a wish for all defaults.
fn check_not_empty(text: &str) -> Result<&str> {
    if text.trim().is_empty() {
        return Err(Error::invalid("the configuration is empty; write {} for the defaults"));
    }
    Ok(text)
}

/// Whether the storage's sections have texts that may refer to secrets.
fn refers(root: &Node) -> bool {
    fn within(node: &Node) -> bool {
        match node {
            Node::Text(text) => text.contains("${secrets:"),
            Node::List(items) => items.iter().any(within),
            Node::Map(entries) => entries.iter().any(|(_, value)| within(value)),
            _ => false,
        }
    }
    let Node::Map(entries) = root else { return false };
    entries.iter().any(|(key, value)| table::is_storage(key) && within(value))
}

fn put(node: &mut Node, key: &str, secrets: &dyn SecretStore, mistakes: &mut Mistakes) {
    match node {
        Node::Text(text) => match resolve(text, secrets) {
            Ok(None) => {}
            Ok(Some(secret)) => *node = Node::Secret(secret),
            Err(problem) => {
                mistakes.add(key, problem);
            }
        },
        Node::List(items) => {
            for (at, item) in items.iter_mut().enumerate() {
                put(item, &format!("{key}[{at}]"), secrets, mistakes);
            }
        }
        Node::Map(entries) => {
            for (name, value) in entries {
                put(value, &format!("{key}.{name}"), secrets, mistakes);
            }
        }
        _ => {}
    }
}

fn tell_twice(node: &Node, key: &str, mistakes: &mut Mistakes) {
    match node {
        Node::List(items) => {
            for (at, item) in items.iter().enumerate() {
                tell_twice(item, &format!("{key}[{at}]"), mistakes);
            }
        }
        Node::Map(entries) => {
            let mut times = BTreeMap::<&str, usize>::new();
            for (name, value) in entries {
                let full = join(key, name);
                let times = times.entry(name).or_default();
                *times += 1;
                if *times == 2 {
                    mistakes.add(&full, "is given twice; leave one out");
                }
                tell_twice(value, &full, mistakes);
            }
        }
        _ => {}
    }
}

/// The name that the configured connector's own section has.
fn short_name(root: &Node) -> Option<String> {
    let Node::Map(entries) = root else { return None };
    let storage = entries.iter().find(|(key, _)| table::is_storage(key)).map(|(_, value)| value);
    let Some(Node::Map(entries)) = storage else { return None };
    let connector = entries.iter().find(|(key, _)| key == "connector").map(|(_, value)| value);
    let (id, _) = settings::connector(connector?).ok()?;
    Some(ConnectorId::short_name_of(&id).to_owned())
}

fn join(key: &str, name: &str) -> String {
    if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") }
}

struct Walk {
    config: StorageConfig,
    /// What was set, and by which key.
    given: BTreeMap<Setting, String>,
    short_name: Option<String>,
    storage_seen: bool,
    mistakes: Mistakes,
}

impl Walk {
    fn section(&mut self, node: &Node, key: &str, table: Table) {
        let entries = match node {
            Node::Map(entries) => entries,
            // A section of which everything is commented out.
            Node::Null => return,
            _ => {
                let whole = if key.is_empty() { "the configuration" } else { key };
                return self.mistakes.add(whole, not_allowed(node, "a map", None));
            }
        };
        for (at, (name, value)) in entries.iter().enumerate() {
            if entries[..at].iter().any(|(before, _)| before == name) {
                continue;
            }
            let full = join(key, name);
            match table::kind(table, name) {
                Some(Kind::Foreign) => {}
                Some(Kind::Section(_)) if table::is_storage(name) && key.is_empty() => {
                    self.storage(value, &full)
                }
                Some(Kind::Section(inner)) => self.section(value, &full, inner),
                Some(Kind::Setting(setting)) => self.setting(setting, value, full),
                None if self.is_connectors_own(key, name) => self.own(value, &full),
                None => self.unknown(key, name, table),
            }
        }
    }

    fn storage(&mut self, value: &Node, key: &str) {
        let Some(Kind::Section(inner)) = table::kind(table::ROOT, key) else { return };
        if self.storage_seen {
            return self.mistakes.add(key, "is given besides storage or its old name, state; leave one out");
        }
        self.storage_seen = true;
        self.section(value, key, inner);
    }

    /// A section for the connector itself, which has its short name.
    fn is_connectors_own(&self, key: &str, name: &str) -> bool {
        table::is_storage(key) && self.short_name.as_deref() == Some(name)
    }

    fn own(&mut self, node: &Node, key: &str) {
        match Section::from_node(node) {
            Some(section) => self.config.section = section,
            None => self.mistakes.add(key, not_allowed(node, "a map", None)),
        }
    }

    fn setting(&mut self, setting: Setting, value: &Node, key: String) {
        if let Some(before) = self.given.get(&setting.what()) {
            let problem = format!("sets the same as {before}; leave one out");
            return self.mistakes.add(&key, problem);
        }
        // A reference that could not be resolved was told already.
        let unresolved = matches!(value, Node::Text(text) if text.contains("${secrets:"));
        if !unresolved {
            settings::set(&mut self.config, setting, value, &key, &mut self.mistakes);
        }
        self.given.insert(setting.what(), key);
    }

    fn unknown(&mut self, key: &str, name: &str, table: Table) {
        let names: Vec<&str> = table::names(table).collect();
        let within =
            if key.is_empty() { table::in_storage(name).map(|name| join("storage", name)) } else { None };
        let meant = within.or_else(|| nearest(name, names.iter().copied()).map(|name| join(key, name)));
        let place = if key.is_empty() { "a configuration" } else { key };
        let allowed = format!("is unknown; {place} takes {}", names.join(", "));
        self.mistakes.add(&join(key, name), allowed + &did_you_mean(meant.as_deref()));
    }

    fn finish(mut self) -> Result<StorageConfig> {
        if self.mistakes.is_empty() {
            let key = |setting| self.given.get(&setting).map_or("encryption", String::as_str);
            let (encryption, given) =
                (key(Setting::Encryption).to_owned(), self.config.encryption_key.is_some());
            match (self.config.encryption, given) {
                (true, false) => self.mistakes.add(
                    &encryption,
                    "is true, but there is no key; give encryption_key: ${secrets:NAME} beside it",
                ),
                (false, true) => {
                    let key = key(Setting::EncryptionKey).to_owned();
                    self.mistakes
                        .add(&key, "is given, but encryption is not true; set it, or leave the key out");
                }
                _ => {}
            }
        }
        self.mistakes.into_result()?;
        Ok(self.config)
    }
}
