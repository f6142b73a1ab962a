//! `--encryption-key` and `siltstone rekey`.

mod common;

use common::Place;

const OLD: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

#[test]
fn every_command_takes_the_key_and_none_works_without() {
    let place = Place::new();
    let key = place.file("store.key", format!("{OLD}\n"));
    let source = format!("file:{}", key.display());
    let with = |args: &[&str]| place.run([args, &["--encryption-key", &source]].concat());
    place.file("record.jsonl", "{\"model\":\"a\"}\n");
    place.file("value", "a value that nobody reads");
    with(&["put", "state/a", "value"]).ok();
    let captured = with(&["capture", "record.jsonl"]).ok();
    assert!(captured.out().contains(&format!("--encryption-key {source}")), "{}", captured.out());
    assert_eq!(with(&["get", "state/a"]).ok().out(), "a value that nobody reads");
    for args in [
        &["list"][..],
        &["scan"],
        &["tail"],
        &["stat", "state/a"],
        &["exists", "state/a"],
        &["stats"],
        &["export"],
        &["retain"],
        &["compact"],
        &["verify"],
        &["checkpoint", "copy"],
        &["repair"],
    ] {
        let ran = with(args);
        assert_eq!(ran.status, Some(0), "{args:?}: {}", ran.err);
    }
    for dir in [place.store(), place.path("copy"), place.path("store.repaired")] {
        assert_eq!(with(&["get", "state/a", "--store", dir.to_str().unwrap()]).ok().out().len(), 25);
        for file in std::fs::read_dir(&dir).unwrap().flatten() {
            let bytes = std::fs::read(file.path()).unwrap();
            for word in [&b"nobody reads"[..], b"state/a", b"model"] {
                assert!(!bytes.windows(word.len()).any(|found| found == word), "{:?}", file.path());
            }
        }
    }
    for args in [&["list"][..], &["verify"], &["compact"], &["repair", "--into", "x"], &["put", "b", "value"]]
    {
        place.run(args).fails(2, &["is encrypted; give its key", "--encryption-key"]);
    }
}

#[test]
fn a_key_is_never_given_on_the_command_line_nor_told() {
    let place = Place::new();
    let wrong = place.run(["list", "--encryption-key", OLD]);
    assert_eq!(wrong.status, Some(2));
    assert!(wrong.err.contains("env:NAME, or file:PATH"), "{}", wrong.err);
    assert!(!wrong.err.contains(OLD), "{}", wrong.err);
    let wrong = place.run(["rekey", "--encryption-key", "env:A", "--new-key", OLD]);
    assert!(wrong.status == Some(2) && !wrong.err.contains(OLD), "{}", wrong.err);
    // It has no end, and is given up after a while.
    place.run(["list", "--encryption-key", "file:/dev/zero"]).fails(2, &["file:/dev/zero", "longer than"]);
    place.run(["list", "--encryption-key", "env:NOT_SET_AT_ALL"]).fails(2, &["env:NOT_SET_AT_ALL"]);
    place.run(["list", "--encryption-key", "file:nowhere"]).fails(2, &["file:nowhere"]);
    place.file("empty.key", "\n");
    place.run(["list", "--encryption-key", "file:empty.key"]).fails(2, &["file:empty.key", "is empty"]);
}

#[test]
fn rekey_has_another_key_open_the_store() {
    let place = Place::new();
    let run = |args: &[&str], key: &str| {
        let mut command = place.command(args);
        command.env("STORE_KEY", key).env("NEW_KEY", "a passphrase");
        common::Run::from(command.args(["--encryption-key", "env:STORE_KEY"]).output().unwrap())
    };
    place.file("value", "1");
    run(&["put", "a", "value"], OLD).ok();
    let told = run(&["rekey", "--new-key", "env:NEW_KEY"], OLD).ok();
    assert!(told.out().contains("opens with the new key"), "{}", told.out());
    run(&["get", "a"], OLD).fails(2, &["is not that of the store", "a passphrase"]);
    assert_eq!(run(&["get", "a"], "a passphrase").ok().out(), "1");
    assert_eq!(run(&["verify"], "a passphrase").status, Some(0));

    let plain = Place::new();
    plain.file("value", "1");
    plain.run(["put", "a", "value"]).ok();
    plain.file("new.key", OLD);
    plain.run(["rekey", "--new-key", "file:new.key"]).fails(2, &["is not encrypted"]);
}

#[test]
fn a_configuration_names_the_key() {
    let place = Place::new();
    let mesh = "storage:\n  persistence: {sync_policy: immediate, encryption: true, encryption_key: '${secrets:STORE_KEY}'}\n  siltstone: {path: kept}\n";
    place.file("mesh.yaml", mesh);
    place.file("value", "1");
    let run = |args: &[&str]| {
        let mut command = place.command(args);
        common::Run::from(command.env("STORE_KEY", OLD).args(["--config", "mesh.yaml"]).output().unwrap())
    };
    run(&["put", "a", "value"]).ok();
    assert_eq!(run(&["get", "a"]).ok().out(), "1");
    place.run(["get", "a", "--store", "kept"]).fails(2, &["is encrypted"]);
}
