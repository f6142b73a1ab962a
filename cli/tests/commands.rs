//! Every command but capture, run for real.

mod common;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::ffi::OsStrExt;

use common::Place;
use serde_json::json;

/// A store with these keys; each holds its own name.
fn with(keys: &[&str]) -> Place {
    let place = Place::new();
    for key in keys {
        place.feed(&["put", key], key).ok();
    }
    place
}

#[test]
fn what_is_put_is_got_byte_for_byte() {
    let place = Place::new();
    let bytes: Vec<u8> = (0..100_000).map(|i| (i * 7 % 251) as u8).collect();
    let file = place.file("value", &bytes);
    place.run(["put".as_ref(), "from/file".as_ref(), file.as_os_str()]).ok();
    place.feed(&["put", "from/pipe", "-"], &bytes).ok();
    place.feed(&["put", "from/stdin"], &bytes).ok();
    place.feed(&["put", ""], "").ok();
    for key in ["from/file", "from/pipe", "from/stdin"] {
        assert!(place.run(["get", key]).ok().out == bytes, "{key}");
    }
    assert_eq!(place.run(["get", ""]).ok().out, b"");
}

#[test]
fn metadata_is_a_json_object_of_strings() {
    let place = Place::new();
    let args = ["put", "k", "--content-type", "text/plain", "--meta", "tenant=a=b", "--meta", "n=1"];
    place.feed(&args, "v").ok();
    let expected = json!({ "tenant": "a=b", "n": "1", "content_type": "text/plain" });
    assert_eq!(place.run(["get", "k", "--meta"]).json(), expected);
    assert_eq!(place.run(["stat", "k", "--json"]).json()["size"], 1);
    // A put replaces everything.
    place.feed(&["put", "k"], "w").ok();
    assert_eq!(place.run(["get", "k", "--meta"]).json(), json!({}));
    place.feed(&["put", "k", "--meta", "x"], "v").fails(2, &["--meta", "NAME=VALUE"]);
    place.feed(&["put", "k", "--meta", "x=1", "--meta", "x=2"], "v").fails(2, &["--meta", "'x' twice"]);
}

#[test]
fn stat_tells_what_is_known() {
    let place = Place::new();
    place.feed(&["put", "k", "--content-type", "text/plain"], "four").ok();
    let stat = place.run(["stat", "k", "--json"]).json();
    assert_eq!((&stat["key"], &stat["size"]), (&json!("k"), &json!(4)));
    assert_eq!((&stat["content_type"], &stat["expires"]), (&json!("text/plain"), &json!(null)));
    let modified = stat["modified"].as_str().unwrap();
    let shape: String = modified.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "0000-00-00T00:00:00.000000Z");
    let text = place.run(["stat", "k"]).ok();
    for word in ["k", "4", modified, "text/plain", "never"] {
        assert!(text.out().contains(word), "{}", text.out());
    }
}

#[test]
fn what_is_not_there_is_status_1() {
    let place = with(&["a"]);
    place.run(["get", "b"]).fails(1, &["'b'", "siltstone list"]);
    place.run(["get", "b", "--meta"]).fails(1, &["'b'"]);
    place.run(["stat", "b"]).fails(1, &["'b'"]);
    let exists = |key| place.run(["exists", key]);
    assert_eq!((exists("a").status, exists("b").status), (Some(0), Some(1)));
    assert_eq!((exists("b").out, exists("b").err), (vec![], String::new()));
    assert_eq!(place.run(["delete", "b"]).status, Some(1));
    assert_eq!(place.run(["delete", "--prefix", "b"]).status, Some(1));
}

#[test]
fn reading_makes_no_store() {
    let place = Place::new();
    let commands: [&[&str]; 8] = [
        &["get", "k"],
        &["stat", "k"],
        &["exists", "k"],
        &["list"],
        &["scan"],
        &["stats"],
        &["delete", "k"],
        &["delete", "--prefix", "k"],
    ];
    for command in commands {
        place.run(command).fails(2, &["no store in", "--store DIR"]);
    }
    assert!(!place.store().exists());
}

#[test]
fn a_place_that_cannot_hold_a_store_is_told_with_what_to_do() {
    let place = Place::new();
    let file = place.file("file", "content");
    let file = file.to_str().unwrap();
    place.feed(&["put", "k", "--store", file], "v").fails(2, &[file, "in the way"]);
    place.run(["get", "k", "--store", file]).fails(2, &["no store in", file]);
    let under = format!("{file}/store");
    place.feed(&["put", "k", "--store", &under], "v").fails(2, &[&under, "in the way"]);
    assert_eq!(fs::read(file).unwrap(), b"content");
}

#[test]
fn a_store_that_cannot_be_opened_is_not_told_as_none() {
    let place = with(&["k"]);
    fs::rename(place.store().join("CURRENT"), place.path("CURRENT")).unwrap();
    place.run(["get", "k"]).fails(2, &["CURRENT", "missing", "siltstone verify"]);
    // Whoever the tests run as, a directory cannot be read as a file.
    fs::create_dir(place.store().join("CURRENT")).unwrap();
    place.run(["get", "k"]).fails(2, &["CURRENT", "directory", "retry"]);
}

/// So that a gateway which starts at that very moment is not told that its store is in use.
#[test]
fn reading_takes_no_lock_and_changes_no_byte() {
    let place = with(&["a", "b"]);
    let mut capture = place.start_capture(&[]);
    capture.stdin.as_mut().unwrap().write_all(b"{\"n\":1}\n").unwrap();
    place.wait_for(b"{\"n\":1}");
    capture.kill().unwrap();
    capture.wait().unwrap();
    let files = || {
        let files = fs::read_dir(place.store()).unwrap().map(|file| file.unwrap().path());
        files.map(|path| (path.clone(), fs::read(path).unwrap())).collect::<BTreeMap<_, _>>()
    };
    let before = files();
    let commands: [&[&str]; 8] = [
        &["get", "a"],
        &["stat", "a"],
        &["exists", "b"],
        &["list"],
        &["scan", "--values"],
        &["tail"],
        &["stats"],
        &["verify"],
    ];
    for command in commands {
        place.run(command).ok();
        assert!(files() == before, "{command:?}");
    }
    // What only the log of the killed process has is there.
    assert_eq!(place.run(["list"]).ok().lines().len(), 3);
    assert!(place.run(["stats"]).ok().out().contains("replayed 1 operations"));
}

#[test]
fn list_is_in_byte_order_and_its_prefix_literal() {
    let place = with(&["b/2", "b/10", "a_b", "a%", "axb", "é", "z"]);
    assert_eq!(place.run(["list"]).ok().lines(), ["a%", "a_b", "axb", "b/10", "b/2", "z", "é"]);
    assert_eq!(place.run(["list", "a_"]).ok().lines(), ["a_b"]);
    assert_eq!(place.run(["list", "nothing"]).ok().out, b"");
    let long = place.run(["list", "b/", "--long"]).ok();
    assert_eq!(long.lines().len(), 2);
    let columns: Vec<Vec<&str>> = long.lines().iter().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!((columns[0][0], columns[0][2], columns[0][3]), ("4", "-", "b/10"));
    // Aligned: the last column begins where it does in every line.
    let starts: Vec<_> = long.lines().iter().map(|line| line.find("b/")).collect();
    assert_eq!(starts[0], starts[1]);
    let json = place.run(["list", "b/", "--json"]).ok();
    let first: serde_json::Value = serde_json::from_str(json.lines()[0]).unwrap();
    assert_eq!((&first["key"], &first["size"]), (&json!("b/10"), &json!(4)));
}

#[test]
fn scan_takes_prefix_range_direction_and_limit() {
    let place = with(&["a", "b/1", "b/2", "b/3", "c"]);
    let values = |args: &[&str]| {
        let run = place.run([&["scan", "--values"], args].concat()).ok();
        run.lines().join(" ")
    };
    assert_eq!(values(&[]), "a b/1 b/2 b/3 c");
    assert_eq!(values(&["b/"]), "b/1 b/2 b/3");
    assert_eq!(values(&["--from", "b/2"]), "b/2 b/3 c");
    assert_eq!(values(&["--to", "b/2"]), "a b/1");
    assert_eq!(values(&["b/", "--from", "b/2", "--to", "c"]), "b/2 b/3");
    assert_eq!(values(&["b/", "--reverse"]), "b/3 b/2 b/1");
    assert_eq!(values(&["--reverse", "--limit", "2"]), "c b/3");
    assert_eq!(values(&["--limit", "0"]), "");
    assert_eq!(values(&["--from", "c", "--to", "a"]), "");
    let plain = place.run(["scan", "b/"]).ok();
    assert_eq!(plain.out, place.run(["list", "b/", "--long"]).ok().out);
}

#[test]
fn json_records_hold_text_or_base64() {
    let place = Place::new();
    place.feed(&["put", "text", "--meta", "a=b"], "größe\n").ok();
    place.feed(&["put", "bytes"], b"\xff\x00").ok();
    let key = OsStr::from_bytes(b"\xfe!");
    place.run(["put".as_ref(), key, place.file("f", "v").as_os_str()]).ok();
    let run = place.run(["scan", "--values", "--json"]).ok();
    let records: Vec<serde_json::Value> =
        run.lines().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records.len(), 3);
    assert_eq!((&records[0]["value_base64"], &records[0]["value"]), (&json!("/wA="), &json!(null)));
    assert_eq!((&records[1]["value"], &records[1]["metadata"]), (&json!("größe\n"), &json!({ "a": "b" })));
    assert_eq!((&records[2]["key_hex"], &records[2]["key"]), (&json!("fe21"), &json!("\u{fffd}!")));
    assert_eq!(place.run(["get".as_ref(), key]).ok().out, b"v");
    assert_eq!(place.run(["get", "text", "--json"]).json(), records[1]);
    // Without --values there is none.
    let stat = place.run(["scan", "text", "--json"]).json();
    assert_eq!((&stat["size"], &stat["value"]), (&json!(8), &json!(null)));
}

#[test]
fn delete_counts_what_was_there() {
    let keys = ["a", "b", "p/1", "p/2", "p/3", "q"];
    let place = with(&keys);
    assert_eq!(place.run(["delete", "a", "b", "nothing", "a"]).ok().out(), "deleted 2\n");
    let count = ["delete", "--prefix", "p/", "--count", "--json"];
    assert_eq!(place.run(count).json(), json!({ "deleted": 3 }));
    assert_eq!(place.run(["list"]).ok().lines(), ["q"]);
    place.run(["delete", "--prefix", ""]).fails(2, &["--prefix", "every entry"]);
    place.run(["delete"]).fails(2, &["<KEY>", "delete --help"]);
    place.run(["delete", "a", "--prefix", "b"]).fails(2, &["--prefix"]);
    place.run(["delete", "a", "--count"]).fails(2, &["--count"]);
}

#[test]
fn deleting_a_prefix_counts_nothing() {
    let place = with(&["p/1", "p/2", "q"]);
    assert_eq!(place.run(["delete", "--prefix", "p/"]).ok().out(), "deleted all with the prefix 'p/'\n");
    assert_eq!(place.run(["list"]).ok().lines(), ["q"]);
    let again = place.run(["delete", "--prefix", "p/", "--json"]);
    assert_eq!(again.status, Some(1));
    assert_eq!(again.out(), "{\"deleted_prefix\":\"p/\",\"found\":false}\n");
}

#[test]
fn stats_for_prometheus_tell_what_the_files_tell() {
    let place = with(&["a", "b"]);
    let stats = place.run(["stats", "--json"]).json();
    let text = place.run(["stats", "--prometheus"]).ok().out().to_owned();
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("siltstone_{name} ")));
        line.unwrap_or_else(|| panic!("{name}: {text}")).parse::<u64>().unwrap()
    };
    assert_eq!(value("sequence_total"), 2);
    assert_eq!(value("flushed_operations_total") + value("unflushed_operations"), 2);
    for name in ["logs", "unflushed_operations", "log_bytes", "live_bytes", "dead_bytes", "reclaimable_bytes"]
    {
        assert_eq!(stats[name], value(name), "{name}");
    }
    assert!(value("disk_bytes") > 0);
    assert!(text.contains("# TYPE siltstone_sequence_total counter\n"), "{text}");
    // What a process has done that has only looked would say nothing.
    assert!(!text.contains("_puts_total") && !text.contains("histogram"), "{text}");
    place.run(["stats", "--prometheus", "--json"]).fails(2, &["--prometheus", "--json"]);
}

#[test]
fn stats_add_up() {
    let place = with(&["a", "b"]);
    let stats = place.run(["stats", "--json"]).json();
    assert_eq!(stats["sequence"], 2);
    let levels = stats["levels"].as_array().unwrap();
    let entries: u64 = levels.iter().map(|level| level["entries"].as_u64().unwrap()).sum();
    assert_eq!(entries, 2);
    let files = || fs::read_dir(place.store()).unwrap().map(|file| file.unwrap().metadata().unwrap().len());
    assert_eq!(stats["disk_bytes"], files().sum::<u64>());
    assert_eq!(stats["files"], files().count());
    let text = place.run(["stats"]).ok();
    for word in ["sequence", "segments", "logs", "live", "dead", "recovery"] {
        assert!(text.out().contains(word), "{}", text.out());
    }
}

#[test]
fn the_store_is_the_option_then_the_variable_then_the_default() {
    let place = Place::new();
    let file = place.file("f", "v");
    let put = |place: &Place| place.command(["put", "k"]).arg(&file).output().unwrap();
    assert!(put(&place).status.success());
    assert!(place.store().exists());
    // The option may stand on either side of the command.
    let other = place.path("other");
    place.run(["--store".as_ref(), other.as_os_str(), "put".as_ref(), "k".as_ref(), file.as_os_str()]).ok();
    place.run(["exists".as_ref(), "k".as_ref(), "--store".as_ref(), other.as_os_str()]).ok();
    for value in [None, Some("")] {
        let mut command = place.command(["put", "k"]);
        match value {
            Some(value) => command.env("SILTSTONE_STORE", value),
            None => command.env_remove("SILTSTONE_STORE"),
        };
        assert!(command.arg(&file).output().unwrap().status.success());
        fs::remove_dir_all(place.path("siltstone-data")).unwrap();
    }
}

#[test]
fn options_are_checked_before_anything_is_made() {
    let place = Place::new();
    let file = place.file("f", "v");
    let file = file.to_str().unwrap();
    place.run(["put", "k", file, "--sync", "often"]).fails(2, &["--sync", "immediate", "put --help"]);
    place.run(["put", "k", file, "--sync-interval", "5x"]).fails(2, &["--sync-interval", "500ms"]);
    place.run(["put", "k", file, "--sync-interval", "0"]).fails(2, &["--sync-interval", "longer"]);
    let both = ["put", "k", file, "--sync", "immediate", "--sync-interval", "5s"];
    place.run(both).fails(2, &["--sync-interval", "periodic"]);
    place.run(["put", "k", "nowhere"]).fails(2, &["'nowhere'", "check the path"]);
    place.run(["frobnicate"]).fails(2, &["frobnicate", "--help"]);
    place.run([""; 0]).fails(2, &["no command", "--help"]);
    place.run(["list", "--limit", "3"]).fails(2, &["--limit", "list --help"]);
    assert!(!place.store().exists());
    place.run(["put", &"k".repeat(65_537), file]).fails(2, &["65536"]);
}

#[test]
fn every_policy_keeps_what_it_promises_to_the_next_process() {
    let place = Place::new();
    for policy in ["sync-on-boundary", "periodic", "immediate"] {
        place.feed(&["put", policy, "--sync", policy], policy).ok();
        assert_eq!(place.run(["get", policy]).ok().out(), policy);
        place.run(["delete", policy, "--sync", policy]).ok();
    }
    place.feed(&["put", "k", "--sync-interval", "1h"], "v").ok();
    let memory = Place::new();
    let run = memory.feed(&["put", "k", "--sync", "in-memory"], "v");
    assert_eq!(run.status, Some(0));
    assert!(run.err.contains("nothing was kept"));
    assert!(!memory.store().exists(), "in-memory makes no file");
    place.run(["delete", "k", "--sync", "in-memory"]).fails(2, &["in-memory", "another policy"]);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let place = Place::new();
    let lines: String = (0..20_000).map(|i| format!("{{\"number\":{i}}}\n")).collect();
    place.feed(&["capture"], lines).ok();
    for command in [["list", "--long"], ["scan", "--values"]] {
        let mut child = place.command(command).spawn().unwrap();
        let mut line = String::new();
        BufReader::with_capacity(64, child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(!line.is_empty());
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), output.stderr), (Some(0), vec![]));
    }
}

#[test]
fn many_short_runs_leave_few_files() {
    let place = Place::new();
    for i in 0..200 {
        place.feed(&["put", &format!("state/{i}")], "{}").ok();
    }
    let files = fs::read_dir(place.store()).unwrap().count();
    assert!(files <= 30, "{files} files");
    assert_eq!(place.run(["list"]).ok().lines().len(), 200);
}

#[test]
fn rules_are_set_shown_and_taken_back() {
    let place = with(&["logs/1", "state/1"]);
    place.run(["retain"]).ok();
    place.run(["retain", "logs/", "30d", "50GB"]).ok();
    place.run(["retain", "logs/body/", "1ms"]).ok();
    place.feed(&["put", "logs/body/1"], "soon gone").ok();
    assert_eq!(place.run(["retain"]).ok().out(), "logs/\t30d 50GB\nlogs/body/\t1ms\n");
    let rules = place.run(["retain", "--json"]).json();
    assert_eq!(
        rules[0],
        json!({ "prefix": "logs/", "max_age_seconds": 2_592_000.0, "max_bytes": 50_000_000_000u64 })
    );
    // However long this takes, it is longer than a millisecond once another program has run.
    place.run(["get", "logs/body/1"]).fails(1, &["logs/body/1"]);
    place.run(["retain", "logs/body/", "--forever"]).ok();
    place.run(["retain", "logs/", "1B"]).ok();
    assert_eq!(place.run(["list"]).ok().out(), "state/1\n");
    place.run(["retain", "logs/", "soon"]).fails(2, &["'soon'", "30d", "50GB"]);
    place.run(["retain", "logs/", "1d", "2d"]).fails(2, &["'2d'"]);
    place.run(["retain", "logs/"]).fails(2, &["--forever"]);
}
