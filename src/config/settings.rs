//! What each setting does to a configuration.

use crate::config::StorageConfig;
use crate::config::compression;
use crate::config::document::Node;
use crate::config::mistakes::Mistakes;
use crate::config::retention;
use crate::config::table::Setting;
use crate::config::values;
use crate::format::SerializationFormat;
use crate::options::{Options, Preset, SyncPolicy};

const POLICIES: [&str; 4] = ["in-memory", "sync-on-boundary", "periodic", "immediate"];
const FORMATS: [&str; 3] = ["json", "yaml", "msgpack"];

/// The names that stand for a memory limit.
const PRESETS: [(&str, Preset); 3] =
    [("small", Preset::Small), ("standard", Preset::Standard), ("large", Preset::Large)];

/// Sets what a key's value says, or tells why it says nothing.
pub(super) fn set(
    config: &mut StorageConfig,
    setting: Setting,
    node: &Node,
    key: &str,
    mistakes: &mut Mistakes,
) {
    if setting == Setting::Retention {
        let (rules, secret) = retention::rules(node, key, mistakes);
        config.retention = Some(rules);
        config.secretive |= secret;
    } else if setting == Setting::CompressionFor {
        let (rules, secret) = compression::rules(node, key, mistakes);
        config.compression_for = rules;
        config.secretive |= secret;
    } else if let Err(problem) = set_one(config, setting, node) {
        mistakes.add(key, problem);
    }
}

fn set_one(config: &mut StorageConfig, setting: Setting, node: &Node) -> Result<(), String> {
    match setting {
        Setting::Connector => {
            let (id, secret) = connector(node)?;
            config.connector = id;
            config.secretive |= secret;
        }
        Setting::Path => {
            let (path, secret) = values::text(node)?;
            config.path = Some(path.into());
            config.secretive |= secret;
        }
        Setting::SyncPolicy => config.sync_policy = Some(values::name::<SyncPolicy>(node, &POLICIES)?),
        Setting::SyncInterval => config.sync_interval = values::positive(node)?,
        Setting::Format => config.format = values::name::<SerializationFormat>(node, &FORMATS)?,
        Setting::Compression => config.compression = values::boolean(node)?,
        Setting::Encryption => config.encryption = values::boolean(node)?,
        Setting::EncryptionKey => config.encryption_key = Some(values::secret(node)?),
        Setting::Locking => config.locking = values::boolean(node)?,
        Setting::LockTimeout => config.lock_timeout = values::span(node)?,
        Setting::LockTimeoutSeconds => config.lock_timeout = values::seconds(node)?,
        Setting::RetryInterval => config.retry_interval = values::positive(node)?,
        Setting::Memory => config.memory = Some(memory(node)?),
        Setting::MaxSnapshotAge => config.max_snapshot_age = Some(values::positive(node)?),
        Setting::Retention | Setting::CompressionFor => {}
    }
    Ok(())
}

fn memory(node: &Node) -> Result<usize, String> {
    let presets = PRESETS.map(|(name, preset)| (name, preset.memory_limit() as u64));
    let bytes = usize::try_from(values::size(node, &presets)?).unwrap_or(usize::MAX);
    let check = Options::new().memory_limit(bytes).check();
    check.map(|()| bytes).map_err(|error| format!("is no limit that can be kept: {error}"))
}

/// A connector's id or short name, and whether a secret is in it.
pub(super) fn connector(node: &Node) -> Result<(String, bool), String> {
    let (id, secret) = values::text(node)?;
    Ok((id.to_owned(), secret))
}
