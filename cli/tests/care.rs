//! Looking after a store: checkpoints and verifying, run for real.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails as the test does")]

mod common;

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use common::{Place, sample};
use serde_json::json;

fn captured() -> Place {
    let place = Place::new();
    place.run(["capture".as_ref(), sample("requests.jsonl").as_os_str()]).ok();
    place.feed(&["put", "config/router"], vec![b'x'; 5000]).ok();
    place
}

/// The store's first file whose name ends like this.
fn file(place: &Place, suffix: &str) -> PathBuf {
    let files = fs::read_dir(place.store()).unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<PathBuf> = files.filter(|path| path.to_str().unwrap().ends_with(suffix)).collect();
    files.sort();
    files.remove(0)
}

fn damage(path: &PathBuf, offset: usize) -> String {
    let mut bytes = fs::read(path).unwrap();
    bytes[offset] ^= 1;
    fs::write(path, bytes).unwrap();
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn a_checkpoint_is_a_store_of_its_own() {
    let place = captured();
    let made = place.run(["checkpoint", "deep/copy", "--json"]).json();
    assert_eq!((&made["checkpoint"], &made["copied"]), (&json!("deep/copy"), &json!(0)));
    assert!(made["linked"].as_u64().unwrap() > 0 && made["bytes"].as_u64().unwrap() > 100_000, "{made}");
    let all = place.run(["scan", "--values"]).ok().out;
    place.run(["delete", "--prefix", "logs/"]).ok();
    assert!(place.run(["scan", "--values", "--store", "deep/copy"]).ok().out == all);
    assert_eq!(place.run(["verify", "--store", "deep/copy", "--json"]).json()["problems"], json!([]));
    place.run(["checkpoint", "deep/copy"]).fails(2, &["deep/copy", "not empty"]);
    let inside = place.store().join("inside");
    place.run(["checkpoint".as_ref(), inside.as_os_str()]).fails(2, &["in the store itself"]);
    let text = place.run(["checkpoint", "other"]).ok();
    assert!(text.out().contains("other") && text.out().contains("linked"), "{}", text.out());
    place.run(["checkpoint", "x", "--store", "nowhere"]).fails(2, &["no store", "nowhere"]);
}

#[test]
fn verify_says_that_all_is_well() {
    let place = captured();
    let text = place.run(["verify"]).ok();
    assert!(text.out().contains("no problem"), "{}", text.out());
    let report = place.run(["verify", "--json"]).json();
    assert_eq!(report["entries"], json!(4201));
    place.run(["verify", "--store", "nowhere"]).fails(2, &["no store", "nowhere"]);
    assert!(!place.path("nowhere").exists());
}

#[test]
fn a_store_that_another_process_writes_is_verified() {
    let place = Place::new();
    for policy in ["sync-on-boundary", "immediate"] {
        let mut capture = place.start_capture(&["--sync", policy]);
        let mut stdin = capture.stdin.take().unwrap();
        for round in 0..20 {
            let lines: String = (0..500).map(|n| format!("{{\"round\":{round},\"n\":{n}}}\n")).collect();
            stdin.write_all(lines.as_bytes()).unwrap();
            if round > 0 || place.store().exists() {
                assert_eq!(place.run(["verify", "--json"]).json()["problems"], json!([]), "{policy}");
            }
            place.wait_for(format!("{{\"round\":{round},\"n\":499}}").as_bytes());
        }
        drop(stdin);
        assert!(capture.wait().unwrap().success());
    }
    assert_eq!(place.run(["verify", "--json"]).json()["entries"], json!(20_000));
}

#[test]
fn verify_names_the_file_and_its_keys() {
    let place = captured();
    let name = damage(&file(&place, ".seg"), 100);
    let run = place.run(["verify"]);
    assert_eq!((run.status, &*run.err), (Some(1), ""));
    for word in [&*name, "block at byte 0", "keys '", "1 problem", "restore"] {
        assert!(run.out().contains(word), "{word}: {}", run.out());
    }
    let run = place.run(["verify", "--json"]);
    assert_eq!(run.status, Some(1));
    let report: serde_json::Value = serde_json::from_slice(&run.out).unwrap();
    assert_eq!(report["problems"][0]["file"], json!(name));
    assert!(report["problems"][0]["first_key"].is_string(), "{report}");
}

#[test]
fn a_store_that_does_not_open_is_verified_all_the_same() {
    let place = captured();
    let name = damage(&file(&place, "CURRENT"), 0);
    place.run(["list"]).fails(2, &[&name, "damaged", "siltstone verify"]);
    let segment = damage(&file(&place, ".seg"), 100);
    let run = place.run(["verify"]);
    assert_eq!(run.status, Some(1));
    assert!(run.out().contains(&name) && run.out().contains(&segment), "{}", run.out());
}

#[test]
fn a_damaged_store_is_repaired_into_a_copy_or_in_its_place() {
    let place = captured();
    let lost = damage(&file(&place, ".seg"), 100);
    damage(&file(&place, "CURRENT"), 0);
    let before = |place: &Place| fs::read(file(place, "CURRENT")).unwrap();
    let damaged = before(&place);
    place.run(["list"]).fails(2, &["CURRENT", "damaged"]);
    let run = place.run(["repair"]);
    assert_eq!((run.status, &*run.err), (Some(1), ""));
    for word in ["mended    CURRENT", &lost, "lost ", "keys '", "store.repaired", "as it was"] {
        assert!(run.out().contains(word), "{word}: {}", run.out());
    }
    assert_eq!(before(&place), damaged);
    let copy = place.path("store.repaired");
    let verified = place.run(["verify".as_ref(), copy.as_os_str(), "--json".as_ref()]).json();
    assert_eq!(verified["problems"], json!([]));
    let saved = verified["entries"].as_u64().unwrap();
    assert!((4100..4201).contains(&saved), "{saved}");
    place.run(["repair"]).fails(2, &["store.repaired", "not empty"]);
    let run = place.run(["repair", "--into", "saved", "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&run.out).unwrap();
    assert_eq!((&report["entries"], &report["store"]), (&json!(saved), &json!("saved")));
    assert_eq!(report["lost_entries"], json!(4201 - saved));
    assert!(report["lost"][0]["first_key"].is_string(), "{report}");

    let run = place.run(["repair", "--in-place"]);
    assert_eq!(run.status, Some(1));
    assert!(run.out().contains("before-repair"), "{}", run.out());
    let list = place.run(["list"]).ok();
    assert_eq!(list.lines().len() as u64, saved);
    assert_eq!(list.out, place.run(["list", "--store", "saved"]).ok().out);
    assert_eq!(fs::read(place.store().join("before-repair/CURRENT")).unwrap(), damaged);
    // Of a whole store nothing is lost.
    let whole = place.run(["repair", "saved", "--into", "again"]).ok();
    assert!(whole.out().contains("nothing is lost"), "{}", whole.out());
    assert_eq!(place.run(["list", "--store", "again"]).ok().out, list.out);
    place.run(["repair", "nowhere"]).fails(2, &["no store", "nowhere"]);
    place.run(["repair", "--in-place", "--into", "x"]).fails(2, &["--in-place", "--into"]);
}

#[test]
fn a_store_that_is_written_is_not_repaired() {
    let place = Place::new();
    let mut capture = place.start_capture(&[]);
    capture.stdin.as_mut().unwrap().write_all(b"{\"n\":1}\n").unwrap();
    place.wait_for(b"{\"n\":1}");
    place.run(["repair"]).fails(2, &["in use", "process"]);
    drop(capture.stdin.take());
    assert!(capture.wait().unwrap().success());
}

#[test]
fn compact_gives_space_back() {
    let place = captured();
    let keys = place.run(["list", "logs/"]).ok().out().lines().map(str::to_owned).collect::<Vec<_>>();
    for key in &keys[..50] {
        place.run(["delete", key]).ok();
    }
    let compacted = place.run(["compact", "--json"]).json();
    assert!(compacted["bytes"].as_u64().unwrap() > 0 && compacted["bytes_before"].as_u64().unwrap() > 0);
    assert_eq!(place.run(["list", "logs/"]).ok().out().lines().count(), keys.len() - 50);
    assert_eq!(place.run(["stats", "--json"]).json()["dead_bytes"], json!(0));
    let text = place.run(["compact", "--prefix", "config/"]).ok();
    assert!(text.out().contains("on disk"), "{}", text.out());
    let dir = place.store();
    place.run(["compact".as_ref(), dir.as_os_str(), "--store".as_ref(), "nowhere".as_ref()]).ok();
    place.run(["compact", "nowhere"]).fails(2, &["no store", "nowhere"]);
}
