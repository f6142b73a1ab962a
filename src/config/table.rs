//! The keys of a configuration, and which setting each of them is.
//!
//! Four shapes are in use. They are places for the same settings, so one table holds them all, and a
//! configuration may even mix them; what it may not do is give a setting twice.
//!
//! | shape | written |
//! |---|---|
//! | nested | `storage: {connector, persistence: {…}, locking: {…}, siltstone: {…}}` |
//! | flat | `storage: {connector, path, sync_policy, sync_interval, …}` |
//! | CDK | `storage: {connector, config: {format, compression, …}}` |
//! | old | `state: {connector, path, sync_policy, …}` |

/// What can be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Setting {
    Connector,
    Path,
    SyncPolicy,
    SyncInterval,
    Format,
    Compression,
    CompressionFor,
    Encryption,
    EncryptionKey,
    Locking,
    LockTimeout,
    LockTimeoutSeconds,
    RetryInterval,
    Memory,
    Retention,
    MaxSnapshotAge,
}

impl Setting {
    /// Two keys that set the same: one in seconds, one in any unit.
    pub(super) fn what(self) -> Self {
        if self == Self::LockTimeoutSeconds { Self::LockTimeout } else { self }
    }
}

/// What a key is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Setting(Setting),
    Section(Table),
    /// Another part of the library's configuration, which is nothing of ours to judge.
    Foreign,
}

pub(super) type Table = &'static [(&'static str, Kind)];

use Kind::{Foreign, Section, Setting as Set};

/// Our own section.
const SILTSTONE: Table = &[
    ("path", Set(Setting::Path)),
    ("memory", Set(Setting::Memory)),
    ("retention", Set(Setting::Retention)),
    ("max_snapshot_age", Set(Setting::MaxSnapshotAge)),
    ("compression_for", Set(Setting::CompressionFor)),
    ("encryption_key", Set(Setting::EncryptionKey)),
];

const PERSISTENCE: Table = &[
    ("sync_policy", Set(Setting::SyncPolicy)),
    ("sync_interval", Set(Setting::SyncInterval)),
    ("format", Set(Setting::Format)),
    ("compression", Set(Setting::Compression)),
    ("encryption", Set(Setting::Encryption)),
    ("encryption_key", Set(Setting::EncryptionKey)),
];

const LOCKING: Table = &[
    ("enabled", Set(Setting::Locking)),
    ("timeout", Set(Setting::LockTimeout)),
    ("retry_interval", Set(Setting::RetryInterval)),
];

/// The connector classes' own names.
const CDK: Table = &[
    ("format", Set(Setting::Format)),
    ("compression", Set(Setting::Compression)),
    ("encryption", Set(Setting::Encryption)),
    ("encryption_key", Set(Setting::EncryptionKey)),
    ("sync_policy", Set(Setting::SyncPolicy)),
    ("sync_interval", Set(Setting::SyncInterval)),
    ("locking_enabled", Set(Setting::Locking)),
    ("lock_timeout_seconds", Set(Setting::LockTimeoutSeconds)),
    ("path", Set(Setting::Path)),
    ("file_path", Set(Setting::Path)),
];

const STORAGE: Table = &[
    ("connector", Set(Setting::Connector)),
    ("path", Set(Setting::Path)),
    ("sync_policy", Set(Setting::SyncPolicy)),
    ("sync_interval", Set(Setting::SyncInterval)),
    ("format", Set(Setting::Format)),
    ("compression", Set(Setting::Compression)),
    ("encryption", Set(Setting::Encryption)),
    ("encryption_key", Set(Setting::EncryptionKey)),
    ("persistence", Section(PERSISTENCE)),
    ("locking", Section(LOCKING)),
    ("config", Section(CDK)),
    ("siltstone", Section(SILTSTONE)),
];

/// A whole configuration. Its other sections are those of the library's reference.
pub(super) const ROOT: Table = &[
    ("storage", Section(STORAGE)),
    ("state", Section(STORAGE)),
    ("secrets", Foreign),
    ("providers", Foreign),
    ("models", Foreign),
    ("pools", Foreign),
    ("observability", Foreign),
    ("discovery", Foreign),
    ("connectors", Foreign),
    ("proxy", Foreign),
];

/// The sections that hold the storage's configuration.
pub(super) fn is_storage(key: &str) -> bool {
    ROOT.iter().any(|(name, kind)| *name == key && matches!(kind, Section(_)))
}

/// Where a key is that was looked for at the top: `persistence` is `storage.persistence`.
pub(super) fn in_storage(key: &str) -> Option<&'static str> {
    STORAGE.iter().map(|(name, _)| *name).find(|name| *name == key)
}

pub(super) fn kind(table: Table, key: &str) -> Option<Kind> {
    table.iter().find(|(name, _)| *name == key).map(|(_, kind)| *kind)
}

pub(super) fn names(table: Table) -> impl Iterator<Item = &'static str> {
    table.iter().map(|(name, _)| *name)
}
