//! The registry: which connector a configuration opens, and what opening one gives.

use std::sync::Mutex;
use std::time::Duration;

use pollster::block_on;
use siltstone::{
    ConnectorRegistry, ErrorKind, FullConnector, MapSecrets, Retention, SiltstoneStorage, StorageConfig,
    StorageEntry, Store, SyncPolicy, open_storage, register_connector,
};

fn scratch(_config: &StorageConfig) -> siltstone::Result<Box<dyn FullConnector>> {
    Ok(Box::new(SiltstoneStorage::in_memory()?))
}

#[test]
fn what_is_opened_by_a_configuration_holds_what_is_saved() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let day = Retention::new().max_age(Duration::from_secs(86_400));
    let config =
        StorageConfig::new().path(&path).sync_policy(SyncPolicy::SyncOnBoundary).retain("logs/", day);
    let storage = open_storage(&config).unwrap();
    let entry = StorageEntry::new("state/a", "{}").with("n", 1);
    block_on(async {
        storage.save("state/a", &entry).await.unwrap();
        assert_eq!(storage.load("state/a").await.unwrap(), Some(entry));
        assert_eq!(storage.stat("state/a").await.unwrap().unwrap().size, 2);
        assert_eq!(storage.list(Some("state/")).await.unwrap(), ["state/a"]);
        let lock = storage.acquire("state/a", Some(0.0)).await.unwrap();
        assert!(storage.is_locked("state/a").await.unwrap());
        storage.release(&lock).await.unwrap();
    });
    storage.flush().unwrap();
    storage.close().unwrap();
    storage.close().unwrap();
    assert_eq!(block_on(storage.load("state/a")).unwrap_err().kind(), ErrorKind::Closed);
    let store = Store::open(&path).unwrap();
    assert!(store.exists("state/a").unwrap());
    assert_eq!(store.retention(), [("logs/".into(), day)]);
}

#[test]
fn a_connector_is_found_by_its_id_in_either_form_or_its_short_name() {
    let mut registry = ConnectorRegistry::new();
    registry.register("acme.scratch.v1", scratch).unwrap();
    for name in
        ["acme.scratch.v1", "storage.acme.scratch.v1", "scratch", "siltstone", "siltstone.siltstone.v1"]
    {
        registry.open(&StorageConfig::new().connector(name)).unwrap().close().unwrap();
    }
    registry.register("other.scratch.v1", scratch).unwrap();
    let told = registry.open(&StorageConfig::new().connector("scratch")).unwrap_err().to_string();
    assert!(told.contains("acme.scratch.v1 or other.scratch.v1"), "{told}");
}

#[test]
fn an_unknown_connector_is_told_with_those_there_are_and_the_nearest() {
    let mut registry = ConnectorRegistry::new();
    registry.register("acme.scratch.v1", scratch).unwrap();
    let told = |name: &str| registry.open(&StorageConfig::new().connector(name)).unwrap_err().to_string();
    for (name, meant) in [
        ("acme.scratch.v2", Some("acme.scratch.v1")),
        ("siltstone.siltston.v1", Some("siltstone.siltstone.v1")),
        ("scrtch", Some("scratch")),
        ("does.not.exist.v9", None),
        ("", None),
    ] {
        let told = told(name);
        assert!(
            told.starts_with(&format!("storage.connector '{name}' is unknown; there are acme.scratch.v1, ")),
            "{told}"
        );
        let question = meant.map(|meant| format!("did you mean '{meant}'?"));
        assert_eq!(told.contains("did you mean"), question.is_some(), "{told}");
        assert!(question.is_none_or(|question| told.ends_with(&question)), "{told}");
    }
}

#[test]
fn an_id_is_taken_once_and_has_to_keep_to_the_pattern() {
    let mut registry = ConnectorRegistry::new();
    registry.register("acme.scratch.v1", scratch).unwrap();
    for (id, expected) in [
        ("acme.scratch.v1", "already"),
        ("storage.acme.scratch.v1", "already"),
        ("siltstone.siltstone.v1", "already"),
        ("scratch", "vendor.name.v1"),
        ("Acme.scratch.v1", "vendor.name.v1"),
    ] {
        let error = registry.register(id, scratch).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    assert_eq!(registry.ids().filter(|id| id.short_name() == "scratch").count(), 1);
}

/// What the constructor of the next test was given.
static SEEN: Mutex<Vec<String>> = Mutex::new(Vec::new());

#[test]
fn a_constructor_gets_its_section_and_may_use_the_registry() {
    register_connector("acme.outer.v1", |config| {
        SEEN.lock().unwrap().push(config.section.map()["url"].as_str().unwrap().to_owned());
        register_connector("acme.inner.v1", scratch)?;
        open_storage(&StorageConfig::new().connector("acme.inner.v1"))
    })
    .unwrap();
    let text = r#"{"storage": {"connector": "acme.outer.v1", "outer": {"url": "db://${secrets:pass}@h"}}}"#;
    let config = StorageConfig::reader(&MapSecrets::from_iter([("pass", "x")])).json(text).unwrap();
    open_storage(&config).unwrap().close().unwrap();
    assert_eq!(*SEEN.lock().unwrap(), ["db://x@h"]);
}

#[test]
fn a_connector_that_a_secret_names_is_not_shown() {
    let secrets = MapSecrets::from_iter([("pass", "hunter2")]);
    let text = r#"{"storage": {"connector": "${secrets:pass}"}}"#;
    let told = open_storage(&StorageConfig::reader(&secrets).json(text).unwrap()).unwrap_err().to_string();
    assert!(told.contains("(hidden)") && !told.contains("hunter2"), "{told}");
}
