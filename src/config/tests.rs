//! Every key with what it takes and what it does not; the shapes; secrets.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use crate::config::secrets::{MapSecrets, Secret};
use crate::config::{DEFAULT_CONNECTOR, StorageConfig};
use crate::error::{ErrorKind, Result};
use crate::format::SerializationFormat::{Json as AsJson, MsgPack, Yaml};
use crate::options::Compression;
use crate::options::SyncPolicy;
use crate::retention::Retention;

/// What no message may ever show.
const HUSH: &str = "hunter2";

fn secrets() -> MapSecrets {
    MapSecrets::from_iter([("key", HUSH), ("policy", "periodic"), ("span", "7s"), ("empty", "")])
}

/// Reads the same from a map, a JSON text and, in one line and in JSON's notation, a YAML text.
fn read(config: &Json) -> Result<StorageConfig> {
    let secrets = secrets();
    let reader = StorageConfig::reader(&secrets);
    let from_map = reader.map(config.as_object().unwrap());
    let from_json = reader.json(&config.to_string());
    let told = |result: &Result<StorageConfig>| match result {
        Ok(config) => format!("{config:?}"),
        Err(error) => error.to_string(),
    };
    assert_eq!(told(&from_map), told(&from_json));
    #[cfg(feature = "yaml")]
    assert_eq!(told(&from_json), told(&reader.yaml(&config.to_string())));
    assert!(!told(&from_map).contains(HUSH), "{}", told(&from_map));
    from_map
}

/// A configuration in which one key has this value.
fn with(key: &str, value: &Json) -> Json {
    key.rsplit('.').fold(value.clone(), |value, name| json!({ name: value }))
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn the_defaults_are_those_of_the_interface() {
    let config = read(&json!({})).unwrap();
    assert_eq!(config, StorageConfig::new());
    assert_eq!((config.sync_policy, config.sync_interval), (None, seconds(300)));
    assert_eq!((config.format, config.compression, config.encryption), (AsJson, false, false));
    assert_eq!((config.locking, config.lock_timeout, config.retry_interval), (true, seconds(30), seconds(1)));
    let engine = config.engine_options().unwrap();
    assert_eq!((engine.sync_policy, engine.sync_interval), (SyncPolicy::InMemory, seconds(300)));
    for empty in [json!({"storage": null}), json!({"storage": {"persistence": null, "locking": {}}})] {
        assert_eq!(read(&empty).unwrap(), config);
    }
}

#[test]
fn every_key_takes_what_it_should() {
    let base = StorageConfig::new;
    let rule = Retention::new().max_age(seconds(30 * 86_400)).max_bytes(50_000_000_000);
    let cases = [
        ("storage.connector", json!("modelmesh.memory.v1"), base().connector("modelmesh.memory.v1")),
        ("storage.persistence.sync_policy", json!("in-memory"), base().sync_policy(SyncPolicy::InMemory)),
        (
            "storage.persistence.sync_policy",
            json!("sync-on-boundary"),
            base().sync_policy(SyncPolicy::SyncOnBoundary),
        ),
        ("storage.persistence.sync_policy", json!("periodic"), base().sync_policy(SyncPolicy::Periodic)),
        ("storage.persistence.sync_policy", json!("immediate"), base().sync_policy(SyncPolicy::Immediate)),
        (
            "storage.persistence.sync_policy",
            json!("${secrets:policy}"),
            base().sync_policy(SyncPolicy::Periodic),
        ),
        (
            "storage.persistence.sync_interval",
            json!("500ms"),
            base().sync_interval(Duration::from_millis(500)),
        ),
        ("storage.persistence.sync_interval", json!("10s"), base().sync_interval(seconds(10))),
        ("storage.persistence.sync_interval", json!("7d"), base().sync_interval(seconds(7 * 86_400))),
        ("storage.persistence.sync_interval", json!(60), base().sync_interval(seconds(60))),
        ("storage.persistence.sync_interval", json!(0.25), base().sync_interval(Duration::from_millis(250))),
        ("storage.persistence.sync_interval", json!("${secrets:span}"), base().sync_interval(seconds(7))),
        ("storage.persistence.format", json!("json"), base().format(AsJson)),
        ("storage.persistence.format", json!("yaml"), base().format(Yaml)),
        ("storage.persistence.format", json!("msgpack"), base().format(MsgPack)),
        ("storage.persistence.compression", json!(true), base().compression(true)),
        (
            "storage.siltstone.compression_for",
            json!([{"prefix": "audio/", "compression": "none"}, {"prefix": "", "compression": "lz4"}]),
            base().compression_for("audio/", Compression::None).compression_for("", Compression::Lz4),
        ),
        ("storage.persistence.encryption", json!(false), base()),
        ("storage.locking.enabled", json!(false), base().locking(false)),
        ("storage.locking.timeout", json!("5s"), base().lock_timeout(seconds(5))),
        ("storage.locking.timeout", json!(0), base().lock_timeout(Duration::ZERO)),
        ("storage.locking.retry_interval", json!("100ms"), base().retry_interval(Duration::from_millis(100))),
        ("storage.siltstone.path", json!("./data"), base().path("./data")),
        ("storage.siltstone.memory", json!("64MiB"), base().memory(64 << 20)),
        ("storage.siltstone.memory", json!(67_108_864), base().memory(64 << 20)),
        ("storage.siltstone.memory", json!("small"), base().memory(16 << 20)),
        ("storage.siltstone.memory", json!(u64::MAX), base().memory(usize::MAX)),
        ("storage.siltstone.max_snapshot_age", json!("1h"), base().max_snapshot_age(seconds(3600))),
        (
            "storage.siltstone.retention",
            json!([{"prefix": "logs/", "max_age": "30d", "max_bytes": "50GB"}, {"prefix": "", "max_age": 60}]),
            base().retain("logs/", rule).retain("", Retention::new().max_age(seconds(60))),
        ),
        ("storage.siltstone.retention", json!([]), StorageConfig { retention: Some(Vec::new()), ..base() }),
        ("storage.config.locking_enabled", json!(false), base().locking(false)),
        ("storage.config.lock_timeout_seconds", json!(2.5), base().lock_timeout(Duration::from_millis(2500))),
        ("storage.config.file_path", json!("x.json"), base().path("x.json")),
    ];
    for (key, value, expected) in cases {
        // How secret a text is, is no setting.
        let found = StorageConfig { secretive: false, ..read(&with(key, &value)).unwrap() };
        assert_eq!(found, expected, "{key}: {value}");
    }
}

#[test]
fn every_key_refuses_what_it_should_by_its_full_name() {
    let wrong = [
        ("storage.connector", json!(5), "the number 5", "text", ""),
        ("storage.connector", json!(""), "''", "not empty", ""),
        (
            "storage.persistence.sync_policy",
            json!("imediate"),
            "'imediate'",
            "in-memory, sync-on-boundary, periodic or immediate",
            "'immediate'",
        ),
        ("storage.persistence.sync_policy", json!("in_memory"), "'in_memory'", "in-memory, ", "'in-memory'"),
        ("storage.persistence.sync_policy", json!("never"), "'never'", "in-memory, ", ""),
        ("storage.persistence.sync_policy", json!(5), "the number 5", "in-memory, ", ""),
        ("storage.persistence.sync_policy", json!(null), "empty", "in-memory, ", ""),
        ("storage.persistence.sync_policy", json!("${secrets:key}"), "a secret in it", "in-memory, ", ""),
        ("storage.persistence.sync_interval", json!("soon"), "'soon'", "500ms", ""),
        ("storage.persistence.sync_interval", json!("10 s"), "'10 s'", "500ms", ""),
        ("storage.persistence.sync_interval", json!(-1), "-1", "500ms", ""),
        ("storage.persistence.sync_interval", json!(0), "zero", "longer than nothing", ""),
        ("storage.persistence.sync_interval", json!("0ms"), "zero", "longer than nothing", ""),
        ("storage.persistence.sync_interval", json!(true), "the boolean true", "500ms", ""),
        ("storage.persistence.sync_interval", json!("${secrets:key}"), "a secret in it", "500ms", ""),
        ("storage.persistence.format", json!("josn"), "'josn'", "json, yaml or msgpack", "'json'"),
        ("storage.persistence.format", json!(["json"]), "a list", "json, yaml or msgpack", ""),
        ("storage.persistence.compression", json!("yes"), "'yes'", "true or false", "'true'"),
        ("storage.persistence.compression", json!(1), "the number 1", "true or false", ""),
        ("storage.siltstone.compression_for", json!(true), "the boolean true", "{prefix: audio/", ""),
        ("storage.persistence.encryption", json!("off"), "'off'", "true or false", "'false'"),
        ("storage.persistence.encryption", json!(true), "no key", "${secrets:NAME}", ""),
        ("storage.persistence.encryption_key", json!(HUSH), "no reference", "${secrets:NAME}", ""),
        ("storage.persistence.encryption_key", json!("${secrets:key}"), "not true", "set it", ""),
        ("storage.locking.enabled", json!("true"), "'true'", "true or false", "'true'"),
        ("storage.locking.timeout", json!({}), "a map", "500ms", ""),
        ("storage.locking.retry_interval", json!("0s"), "zero", "longer than nothing", ""),
        ("storage.siltstone.path", json!(["a"]), "a list", "a text", ""),
        ("storage.siltstone.memory", json!("lots"), "'lots'", "MiB", ""),
        (
            "storage.siltstone.memory",
            json!("standart"),
            "'standart'",
            "small, standard, large, or",
            "'standard'",
        ),
        ("storage.siltstone.memory", json!(0), "no limit", "at least 8388608", ""),
        ("storage.siltstone.memory", json!("1MB"), "no limit", "at least 8388608", ""),
        ("storage.siltstone.memory", json!(-5), "-5", "MiB", ""),
        ("storage.siltstone.max_snapshot_age", json!("0"), "zero", "longer than nothing", ""),
        ("storage.siltstone.retention", json!({"logs/": "7d"}), "a map", "{prefix: logs/", ""),
        ("storage.config.lock_timeout_seconds", json!("2s"), "'2s'", "a number of seconds", ""),
        ("storage", json!("sqlite"), "'sqlite'", "a map", ""),
        ("storage.locking", json!(true), "the boolean true", "a map", ""),
        ("storage.persistance", json!({}), "unknown", "connector, path, ", "'storage.persistence'"),
        (
            "storage.persistence.sync_polcy",
            json!("x"),
            "unknown",
            "sync_policy, ",
            "'storage.persistence.sync_policy'",
        ),
        (
            "storage.locking.retry-interval",
            json!("1s"),
            "unknown",
            "enabled, ",
            "'storage.locking.retry_interval'",
        ),
        ("storage.siltstone.pth", json!("x"), "unknown", "path, memory", "'storage.siltstone.path'"),
        ("storage.config.formt", json!("x"), "unknown", "format, ", "'storage.config.format'"),
        ("storage.redis", json!({}), "unknown", "connector, ", ""),
        ("storag", json!({}), "unknown", "storage, state", "'storage'"),
        ("persistence", json!({}), "unknown", "storage, state", "'storage.persistence'"),
    ];
    for (key, value, found, allowed, meant) in wrong {
        let error = read(&with(key, &value)).unwrap_err();
        let told = error.to_string();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(told.starts_with(&format!("{key} ")), "{key}: {told}");
        assert!(told.contains(found) && told.contains(allowed), "{key}: {told}");
        let question = format!("did you mean {meant}?");
        assert_eq!(told.contains("did you mean"), !meant.is_empty(), "{key}: {told}");
        assert!(meant.is_empty() || told.ends_with(&question), "{key}: {told}");
    }
}

#[test]
fn rules_of_retention_are_told_by_their_number() {
    let wrong = [
        (json!([5]), "[0] is the number 5"),
        (json!([{"prefix": "a", "max_age": "1d"}, {"max_age": "1d"}]), "[1] has no prefix"),
        (json!([{"prefix": "a"}]), "[0] keeps everything"),
        (json!([{"prefix": 5, "max_age": "1d"}]), "[0].prefix is the number 5"),
        (json!([{"prefix": "a", "max_age": "0s"}]), "[0].max_age is zero"),
        (json!([{"prefix": "a", "max_bytes": "big"}]), "[0].max_bytes is the text 'big'"),
        (json!([{"prefix": "a", "max_agee": "1d", "max_age": "1d"}]), "[0].max_agee is unknown"),
        (json!([{"prefix": "a", "max_age": 1}, {"prefix": "a", "max_age": 2}]), "[1] is the second rule"),
    ];
    for (rules, expected) in wrong {
        let told = read(&with("storage.siltstone.retention", &rules)).unwrap_err().to_string();
        assert_eq!(
            told.strip_prefix("storage.siltstone.retention").map(|rest| rest.starts_with(expected)),
            Some(true),
            "{told}"
        );
    }
}

#[test]
fn four_shapes_say_the_same() {
    let nested = json!({"storage": {
        "connector": "siltstone.siltstone.v1",
        "persistence": {"sync_policy": "periodic", "sync_interval": "60s"},
        "siltstone": {"path": "./mesh"},
    }});
    let flat = json!({"storage": {
        "connector": "siltstone.siltstone.v1", "path": "./mesh", "sync_policy": "periodic", "sync_interval": "60s",
    }});
    let cdk = json!({"storage": {
        "connector": "siltstone.siltstone.v1",
        "config": {"path": "./mesh", "sync_policy": "periodic", "sync_interval": 60},
    }});
    let old = json!({"state": {
        "connector": "siltstone.siltstone.v1", "path": "./mesh", "sync_policy": "periodic", "sync_interval": "60s",
    }});
    let expected =
        StorageConfig::new().path("./mesh").sync_policy(SyncPolicy::Periodic).sync_interval(seconds(60));
    for shape in [nested, flat, cdk, old] {
        assert_eq!(read(&shape).unwrap(), expected, "{shape}");
    }
}

#[test]
fn what_is_given_twice_is_told() {
    let both = json!({"storage": {"sync_policy": "periodic", "persistence": {"sync_policy": "immediate"}}});
    let told = read(&both).unwrap_err().to_string();
    assert!(
        told.contains("storage.persistence.sync_policy") && told.contains("storage.sync_policy"),
        "{told}"
    );
    let both = json!({"storage": {"config": {"lock_timeout_seconds": 1}, "locking": {"timeout": 1}}});
    assert!(read(&both).unwrap_err().to_string().contains("storage.config.lock_timeout_seconds"));
    let told = read(&json!({"storage": {"path": "a"}, "state": {"path": "b"}})).unwrap_err().to_string();
    assert!(told.contains("leave one out"), "{told}");
    for text in [
        r#"{"storage": {"locking": {"timeout": 1, "timeout": 2}}}"#,
        r#"{"pools": [{"a": 1, "a": 1}]}"#,
        r#"{"storage": {}, "storage": {}}"#,
    ] {
        let told = StorageConfig::from_json(text).unwrap_err().to_string();
        assert!(told.ends_with("is given twice; leave one out"), "{told}");
        #[cfg(feature = "yaml")]
        assert_eq!(StorageConfig::from_yaml(text).unwrap_err().to_string(), told);
    }
}

#[test]
fn all_mistakes_are_told_at_once() {
    let config = json!({"storage": {"sync_policy": "x", "locking": {"enabled": 5}, "colour": "red"}});
    let told = read(&config).unwrap_err().to_string();
    assert!(told.starts_with("the configuration has 3 mistakes: (1) "), "{told}");
    for key in ["storage.sync_policy is", "storage.locking.enabled is", "storage.colour is"] {
        assert!(told.contains(key), "{told}");
    }
    let many: serde_json::Map<String, Json> = (0..100).map(|n| (format!("k{n}"), json!(1))).collect();
    let told = StorageConfig::from_map(&many).unwrap_err().to_string();
    assert!(told.contains("100 mistakes") && told.contains("(16)") && !told.contains("(17)"), "{told}");
}

#[test]
fn what_others_wrote_is_shown_on_one_line_and_cut() {
    let told =
        read(&with("storage.sync_policy", &json!(format!("a\n\u{1b}[31m{}", "x".repeat(500))))).unwrap_err();
    let told = told.to_string();
    assert!(told.len() < 400 && !told.contains(['\n', '\u{1b}']), "{told}");
    let key = "k".repeat(500);
    assert!(read(&json!({ key: 1 })).unwrap_err().to_string().len() < 600);
}

#[test]
fn other_parts_of_the_librarys_configuration_are_left_alone() {
    let whole = json!({
        "secrets": {"store": "modelmesh.env.v1"},
        "providers": {"openai.llm.v1": {"api_key": "${secrets:NOT_THERE}"}},
        "models": {}, "pools": {"chat": {"strategy": "x"}}, "observability": {}, "discovery": {},
        "connectors": {"packages": []}, "proxy": {"port": 8080},
        "storage": {"connector": "modelmesh.local-file.v1", "path": "./mesh-state.json"},
    });
    let config = read(&whole).unwrap();
    assert_eq!(config, StorageConfig::new().connector("modelmesh.local-file.v1").path("./mesh-state.json"));
}

#[test]
fn a_connectors_own_section_is_its_own() {
    for (connector, name) in
        [("acme.redis.v1", "redis"), ("storage.acme.redis.v1", "redis"), ("redis", "redis")]
    {
        let config =
            json!({"storage": {"connector": connector, name: {"url": "redis://${secrets:key}@h", "n": [1]}}});
        let config = read(&config).unwrap();
        assert_eq!(Json::Object(config.section.map().clone()), json!({"url": "redis://hunter2@h", "n": [1]}));
    }
    let other = json!({"storage": {"connector": "acme.redis.v1", "postgres": {}}});
    assert!(read(&other).unwrap_err().to_string().starts_with("storage.postgres is unknown"));
    let wrong = json!({"storage": {"connector": "acme.redis.v1", "redis": 5}});
    assert!(read(&wrong).unwrap_err().to_string().starts_with("storage.redis is the number 5"));
}

#[test]
fn secrets_are_put_in_and_never_shown() {
    let config = read(&json!({"storage": {
        "connector": "${secrets:key}",
        "persistence": {"encryption": true, "encryption_key": "${secrets:key}"},
        "siltstone": {"path": "/${secrets:key}/x", "retention": [{"prefix": "${secrets:key}", "max_age": "1d"}]},
    }}));
    let config = config.unwrap();
    assert_eq!(config.encryption_key, Some(Secret::new(HUSH)));
    assert_eq!(config.path.as_deref().unwrap().to_str(), Some("/hunter2/x"));
    assert_eq!(config.retention.as_ref().unwrap()[0].0, HUSH);
    assert!(!format!("{config:?} {config:#?}").contains(HUSH));
}

#[test]
fn a_secret_that_cannot_be_had_is_told_by_key_and_name() {
    let cases = [
        ("storage.siltstone.path", "${secrets:gone}", "'gone'"),
        ("storage.siltstone.path", "/${secrets:empty}/${secrets:key}", "'empty', which is empty"),
        ("storage.persistence.encryption_key", "${secrets:gone}", "'gone'"),
        ("storage.persistence.sync_policy", "${secrets:gone}", "'gone'"),
        ("storage.path", "${secrets:", "no '}'"),
    ];
    for (key, text, expected) in cases {
        let told = read(&with(key, &json!(text))).unwrap_err().to_string();
        assert!(told.starts_with(&format!("{key} refers to ")) && told.contains(expected), "{told}");
    }
    let config = json!({"storage": {"connector": "a.b.v1", "b": {"list": [{"x": "${secrets:gone}"}]}}});
    assert!(
        read(&config).unwrap_err().to_string().starts_with("storage.b.list[0].x refers to the secret 'gone'")
    );
    // With no store given, the environment is asked.
    let config = with("storage.path", &json!("${secrets:SILTSTONE_TEST_NOT_SET}")).to_string();
    let told = StorageConfig::from_json(&config).unwrap_err().to_string();
    assert!(told.contains("'SILTSTONE_TEST_NOT_SET'"), "{told}");
}

#[test]
fn a_configuration_can_name_a_file_of_secrets() {
    let dir = tempfile::tempdir().unwrap();
    let env = dir.path().join(".env");
    std::fs::write(&env, "DIR=/srv\n").unwrap();
    let config =
        |secrets: Json| json!({"secrets": secrets, "storage": {"path": "${secrets:DIR}/x"}}).to_string();
    let dotenv = config(json!({"store": "modelmesh.dotenv.v1", "path": env.to_str().unwrap()}));
    let found = StorageConfig::from_json(&dotenv).unwrap();
    assert_eq!(found.path.unwrap().to_str(), Some("/srv/x"));
    // A store that the program brings wins.
    assert!(StorageConfig::reader(&secrets()).json(&dotenv).unwrap_err().to_string().contains("'DIR'"));
    let told = |secrets| StorageConfig::from_json(&config(secrets)).unwrap_err().to_string();
    assert!(told(json!({"store": "aws.secrets-manager.v1"})).starts_with("secrets.store is the text 'aws"));
    assert!(
        told(json!({"store": "modelmesh.dotenv.v1", "path": 5})).starts_with("secrets.path is the number 5")
    );
    assert!(told(json!({"store": "modelmesh.dotenv.v1", "path": "/not/there"})).contains("/not/there"));
}

/// As the documents of the library's secret stores have them.
#[test]
fn a_named_secret_store_is_told_its_settings() {
    let dir = tempfile::tempdir().unwrap();
    let env = dir.path().join("my.env");
    std::fs::write(&env, "SILTSTONE_TEST_DIR=/srv\nPATH=/of-the-file\n").unwrap();
    let read = |secrets: Json, name: &str| {
        let text =
            json!({"secrets": secrets, "storage": {"path": format!("${{secrets:{name}}}")}}).to_string();
        StorageConfig::from_json(&text).map(|config| config.path.unwrap().into_os_string())
    };
    let dotenv = |config: Json| json!({"store": "modelmesh.dotenv.v1", "config": config});
    for name in ["path", "file_path"] {
        assert_eq!(read(dotenv(json!({name: env})), "SILTSTONE_TEST_DIR").unwrap(), "/srv");
    }
    let path = std::env::var_os("PATH").unwrap();
    assert_eq!(read(dotenv(json!({"path": env})), "PATH").unwrap(), path, "the environment comes first");
    assert_eq!(read(dotenv(json!({"path": env, "override": false})), "PATH").unwrap(), path);
    for name in ["override", "override_env"] {
        assert_eq!(read(dotenv(json!({"path": env, name: true})), "PATH").unwrap(), "/of-the-file");
    }
    for secrets in [json!({"config": {"prefix": "PA"}}), json!({"store": "modelmesh.env.v1", "prefix": "PA"})]
    {
        assert_eq!(read(secrets.clone(), "TH").unwrap(), path);
        assert!(read(secrets, "PATH").unwrap_err().to_string().contains("'PATH'"));
    }
    let told = |secrets| read(secrets, "PATH").unwrap_err().to_string();
    assert!(told(dotenv(json!({"path": 5}))).starts_with("secrets.config.path is the number 5"));
    assert!(
        told(dotenv(json!({"path": env, "override": "no"})))
            .starts_with("secrets.config.override is the text")
    );
    assert!(
        told(json!({"prefix": "A", "config": {"prefix": "B"}}))
            .contains("secrets.config.prefix sets the same")
    );
}

#[test]
fn files_are_read_by_their_names() {
    let dir = tempfile::tempdir().unwrap();
    let error = StorageConfig::from_file("/dev/zero").unwrap_err().to_string();
    assert!(error.contains("longer than"), "{error}");
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let json = write("mesh.JSON", r#"{"storage": {"path": "x"}}"#);
    assert_eq!(StorageConfig::from_file(json).unwrap(), StorageConfig::new().path("x"));
    let yaml = StorageConfig::from_file(write("mesh.yaml", "storage:\n  path: x\n"));
    #[cfg(feature = "yaml")]
    assert_eq!(yaml.unwrap(), StorageConfig::new().path("x"));
    #[cfg(not(feature = "yaml"))]
    assert!(yaml.unwrap_err().to_string().contains("feature 'yaml'"));
    let wrong = [
        (write("a.json", "{"), "no JSON"),
        (write("b.json", " \n"), "empty"),
        (write("c.json", r#"{"storage": {"path": 5}}"#), "storage.path"),
        (dir.path().join("none.json"), "cannot read"),
        (dir.path().to_owned(), "cannot read"),
    ];
    for (path, expected) in wrong {
        let told = StorageConfig::from_file(&path).unwrap_err().to_string();
        assert!(told.contains(path.to_str().unwrap()) && told.contains(expected), "{told}");
    }
    std::fs::write(dir.path().join("raw.json"), b"\xff{}").unwrap();
    assert!(StorageConfig::from_file(dir.path().join("raw.json")).unwrap_err().to_string().contains("UTF-8"));
}

#[test]
fn locking_is_as_configured() {
    let config = StorageConfig::new().locking(false);
    let storage = config.open().unwrap();
    let acquire = |timeout| pollster::block_on(crate::connector::Locking::acquire(&storage, "k", timeout));
    assert_eq!(acquire(None).unwrap_err().to_string(), "Locking is disabled in configuration");
    let config = StorageConfig::new().lock_timeout(Duration::ZERO);
    let storage = config.open().unwrap();
    let acquire = || pollster::block_on(crate::connector::Locking::acquire(&storage, "k", None));
    acquire().unwrap();
    assert_eq!(acquire().unwrap_err().kind(), ErrorKind::Timeout);
}

#[test]
fn retention_is_made_what_the_configuration_says() {
    let store = crate::store::Store::in_memory().unwrap();
    let (day, week) = (Retention::new().max_age(seconds(86_400)), Retention::new().max_age(seconds(604_800)));
    store.retain("old/", day).unwrap();
    StorageConfig::new().apply_retention(&store).unwrap();
    assert_eq!(store.retention().len(), 1);
    StorageConfig::new().retain("a/", day).retain("b/", week).apply_retention(&store).unwrap();
    let rules = |store: &crate::store::Store| {
        store.retention().into_iter().map(|(key, rule)| (key.to_string(), rule)).collect::<Vec<_>>()
    };
    assert_eq!(rules(&store), [("a/".into(), day), ("b/".into(), week)]);
    StorageConfig::new().retain("b/", day).apply_retention(&store).unwrap();
    assert_eq!(rules(&store), [("b/".into(), day)]);
    StorageConfig { retention: Some(Vec::new()), ..StorageConfig::new() }.apply_retention(&store).unwrap();
    assert_eq!(rules(&store), []);
}

#[test]
fn a_store_on_disk_needs_a_path() {
    let told = StorageConfig::new().sync_policy(SyncPolicy::Periodic).open().unwrap_err().to_string();
    assert!(told.starts_with("storage.path is missing"), "{told}");
    assert_eq!(StorageConfig::new().connector, DEFAULT_CONNECTOR);
}

/// Documents of our keys and values, most of them wrong somewhere.
fn documents() -> impl Strategy<Value = Json> {
    let words = [
        "storage",
        "state",
        "persistence",
        "locking",
        "siltstone",
        "config",
        "connector",
        "sync_policy",
        "retention",
        "prefix",
        "max_age",
        "path",
        "encryption_key",
        "timeout",
        "10s",
        "immediate",
        "${secrets:key}",
        "${secrets:",
        "5GB",
    ];
    let word = prop::sample::select(words.to_vec()).prop_map(str::to_owned);
    let leaf = prop_oneof![
        word.clone().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        any::<bool>().prop_map(Json::from),
        Just(Json::Null),
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        let fields = prop::collection::btree_map(word.clone(), inner.clone(), 0..6);
        prop_oneof![
            prop::collection::vec(inner, 0..3).prop_map(Json::from),
            fields.prop_map(|fields| Json::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_document_is_a_configuration_or_is_refused(document in documents()) {
        let document = json!({ "storage": document });
        let _ = read(&document);
    }

    #[test]
    fn any_text_is_a_configuration_or_is_refused(text in "(storage:|persistence:|sync_policy:|[ {}\\[\\]:,\n\"'&*-]|[a-z0-9]){0,60}") {
        let _ = StorageConfig::from_json(&text);
        let _ = StorageConfig::from_yaml(&text);
    }
}

#[test]
fn what_is_wrong_with_a_prefix_of_compression_is_told() {
    let wrong = [
        (json!({"prefix": "a"}), "[0] has no compression"),
        (json!({"compression": "lz4"}), "[0] has no prefix"),
        (json!({"prefix": "a", "compression": "lz"}), "'lz'"),
        (json!({"prefix": "a", "compresion": "lz4", "compression": "lz4"}), "did you mean 'compression'?"),
        (json!("a"), "'a'"),
    ];
    for (rule, what) in wrong {
        let error = read(&with("storage.siltstone.compression_for", &json!([rule]))).unwrap_err().to_string();
        assert!(error.contains("storage.siltstone.compression_for[0]") && error.contains(what), "{error}");
    }
    let twice = json!([{"prefix": "a", "compression": "lz4"}, {"prefix": "a", "compression": "none"}]);
    let error = read(&with("storage.siltstone.compression_for", &twice)).unwrap_err().to_string();
    assert!(error.contains("[1] is the second one"), "{error}");
}
