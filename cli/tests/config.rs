//! `--config`: where the store is and how it is opened, from a file.

mod common;

use common::Place;

const MESH: &str = "\
# A gateway's configuration, of which the storage is ours.
providers:
  openai.llm.v1: {api_key: '${secrets:NOT_OURS}'}
storage:
  persistence: {sync_policy: immediate}
  siltstone:
    path: kept
    max_snapshot_age: 1h
    retention:
      - {prefix: logs/, max_age: 30d, max_bytes: 50GB}
";

#[test]
fn every_command_finds_the_store_that_the_configuration_names() {
    let place = Place::new();
    place.file("mesh.yaml", MESH);
    place.file("record.jsonl", "{\"a\":1}\n");
    let with = |args: &[&str]| place.run([args, &["--config", "mesh.yaml"]].concat());
    let kept = place.path("kept");
    place.feed(&["put", "state/a", "--config", "mesh.yaml"], "v").ok();
    assert!(kept.join("CURRENT").exists() && !place.store().exists());
    assert_eq!(with(&["get", "state/a"]).ok().out(), "v");
    assert_eq!(with(&["retain"]).ok().out(), "logs/\t30d 50GB\n");
    let captured = with(&["capture", "record.jsonl"]).ok();
    assert!(
        captured.out().contains("--config mesh.yaml\n") && captured.out().contains("kept weighs"),
        "{}",
        captured.out()
    );
    for args in [
        &["list"][..],
        &["scan"],
        &["tail"],
        &["stats"],
        &["verify"],
        &["stat", "state/a"],
        &["exists", "state/a"],
        &["checkpoint", "backup"],
        &["delete", "state/a"],
    ] {
        with(args).ok();
    }
    assert!(!place.store().exists());
    assert_eq!(place.run(["retain", "--store", "backup"]).ok().out(), "logs/\t30d 50GB\n");
}

#[test]
fn the_command_line_wins() {
    let place = Place::new();
    place.file("mesh.json", r#"{"storage": {"path": "kept", "sync_policy": "in-memory"}}"#);
    let put = |more: &[&str]| place.feed(&[&["put", "k", "--config", "mesh.json"], more].concat(), "v");
    assert!(put(&[]).err.contains("nothing was kept: sync policy in-memory"));
    assert!(!place.path("kept").exists());
    put(&["--sync", "immediate"]).ok();
    assert!(place.path("kept").exists());
    put(&["--sync-interval", "5s", "--store", "other"]).ok();
    assert!(place.path("other").exists());
    // What only reads is never in memory.
    assert_eq!(place.run(["get", "k", "--config", "mesh.json"]).ok().out(), "v");
    place.run(["delete", "k", "--config", "mesh.json"]).fails(2, &["in-memory", "another policy"]);
    place
        .feed(&["put", "k", "--config", "mesh.json", "--sync", "immediate", "--sync-interval", "5s"], "v")
        .fails(2, &["--sync-interval"]);
}

#[test]
fn a_configuration_that_names_no_place_leaves_the_programs_own() {
    let place = Place::new();
    place.file("mesh.yaml", "storage: {connector: siltstone}\n");
    place.feed(&["put", "k", "--config", "mesh.yaml"], "v").ok();
    assert!(place.store().exists());
}

#[test]
fn what_is_wrong_with_the_file_is_told_with_its_name() {
    let place = Place::new();
    let told = |text: &str, expected: &[&str]| {
        let file = place.file("mesh.yaml", text);
        let file = file.to_str().unwrap();
        let run = place.run(["list", "--config", file]);
        run.fails(2, &[&[file], expected].concat());
    };
    told(
        "storage: {sync_polcy: periodic}",
        &["storage.sync_polcy is unknown", "did you mean 'storage.sync_policy'?"],
    );
    told(
        "storage: {path: '${secrets:SILTSTONE_TEST_UNSET}'}",
        &["storage.path refers to the secret 'SILTSTONE_TEST_UNSET'"],
    );
    told("storage: [", &["YAML", "line 1"]);
    told("", &["empty"]);
    told("storage: {connector: modelmesh.memory.v1}", &["storage.connector", "siltstone.siltstone.v1"]);
    place.file("mesh.yaml", "storage: {path: nowhere}");
    place.run(["list", "--config", "mesh.yaml"]).fails(2, &["there is no store in 'nowhere'"]);
    place.file("mesh.yaml", "storage: {compression: true}");
    let put = ["put", "k", "mesh.yaml", "--config", "mesh.yaml"];
    place.run(put).ok();
    place.run(["list", "--config", "none.yaml"]).fails(2, &["none.yaml"]);
}

/// As a shell gives it with `--config <(…)`, so that what decrypts it leaves no file behind.
#[test]
fn a_configuration_may_come_through_a_pipe() {
    let place = Place::new();
    let listed = place.feed(&["list", "--config", "/dev/stdin"], "storage: {path: nowhere}");
    listed.fails(2, &["there is no store in 'nowhere'"]);
}

#[test]
fn rules_of_a_configuration_are_changed_there() {
    let place = Place::new();
    place.file("mesh.yaml", MESH);
    place.feed(&["put", "k", "--config", "mesh.yaml"], "v").ok();
    place
        .run(["retain", "logs/", "7d", "--config", "mesh.yaml"])
        .fails(2, &["mesh.yaml", "change them there"]);
    place.run(["retain", "logs/", "7d", "--store", "kept"]).ok();
    place.run(["delete", "none", "--config", "mesh.yaml"]);
    assert_eq!(place.run(["retain", "--store", "kept"]).ok().out(), "logs/\t30d 50GB\n");
}

#[test]
fn secrets_come_from_the_environment() {
    let place = Place::new();
    place.file("mesh.yaml", "storage: {path: '${secrets:SILTSTONE_TEST_DIR}/data'}\n");
    let output = place
        .command(["put", "k", "mesh.yaml", "--config", "mesh.yaml"])
        .env("SILTSTONE_TEST_DIR", "hidden")
        .output();
    assert!(output.unwrap().status.success());
    assert!(place.path("hidden/data").exists());
}

#[test]
fn metadata_is_written_in_the_format_that_is_asked_for() {
    let place = Place::new();
    place.file("mesh.yaml", "storage: {format: yaml, path: store}\n");
    place.file(
        "state.json",
        r#"{"s": {"data": "MQ==", "metadata": {"by": "router"}, "timestamp": "2026-01-31T09:30:00"}}"#,
    );
    let forms: [(&[&str], &[u8]); 4] = [
        (&[], br#"{"by":"router"}"#),
        (&["--config", "mesh.yaml"], b"---\nby: router\n"),
        (&["--config", "mesh.yaml", "--format", "json"], br#"{"by":"router"}"#),
        (&["--format", "msgpack"], b"\x81\xa2by\xa6router"),
    ];
    for (args, written) in forms {
        place.feed(&[&["put", "p", "--meta", "by=router"], args].concat(), "v").ok();
        place.run([&["import", "state.json"], args].concat()).ok();
        for key in ["p", "s"] {
            assert_eq!(place.kept_metadata(key), written, "{key} {args:?}");
            assert_eq!(place.run(["get", key, "--meta"]).ok().out(), "{\"by\":\"router\"}\n");
        }
    }
    // An export brings its own.
    let exported = place.run(["export"]).ok();
    place.feed(&["import", "-", "--format", "yaml"], &exported.out).ok();
    assert_eq!(place.kept_metadata("p"), b"\x81\xa2by\xa6router");
    place.run(["list", "--format", "jsn"]).fails(2, &["--format", "json, yaml, msgpack"]);
}
