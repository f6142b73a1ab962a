//! Capturing files: what is stored, under which keys, and what is told of it.

mod common;

use std::fs;

use common::{Place, sample};
use serde_json::json;

#[test]
fn the_sample_comes_out_as_it_went_in() {
    let place = Place::new();
    let file = sample("requests.jsonl");
    let run = place.run(["capture".as_ref(), file.as_os_str()]).ok();
    for word in ["captured  4,200 records", "records/s", "on disk", "list --long", "scan --values"] {
        assert!(run.out().contains(word), "{}", run.out());
    }
    let scanned = place.run(["scan", "--values"]).ok().out;
    assert!(scanned == fs::read(file).unwrap());
    let stat = place.run(["scan", "logs/request/", "--limit", "1", "--json"]).json();
    assert_eq!(stat["content_type"], "application/json");
    let key = stat["key"].as_str().unwrap();
    assert_eq!(key.len(), "logs/request/".len() + 26);
}

#[test]
fn what_to_try_next_works_as_it_stands() {
    let place = Place::new();
    let store = place.path("my store's");
    let file = sample("requests.csv");
    let capture = ["capture".as_ref(), file.as_os_str(), "--store".as_ref(), store.as_os_str()];
    let run = place.run(capture).ok();
    let next: Vec<&str> = run.out().split("try next").nth(1).unwrap().lines().map(str::trim).collect();
    assert_eq!(next.len(), 2);
    for (command, lines) in next.iter().zip([500, 3]) {
        let output = std::process::Command::new("sh").args(["-c", command]).output().unwrap();
        assert!(output.status.success(), "{command}");
        assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), lines, "{command}");
    }
}

#[test]
fn the_json_summary_is_one_object() {
    let place = Place::new();
    let summary = place.feed(&["capture", "--json", "--prefix", "p/"], "{}\n[1, 2]\n").json();
    assert_eq!((&summary["records"], &summary["bytes"]), (&json!(2), &json!(8)));
    assert_eq!((&summary["skipped"], &summary["interrupted"]), (&json!(0), &json!(false)));
    assert_eq!(summary["prefix"], "p/");
    for field in ["seconds", "records_per_second", "disk_bytes"] {
        assert!(summary[field].as_f64().unwrap() > 0.0, "{field}");
    }
    let files = fs::read_dir(place.store()).unwrap().map(|file| file.unwrap().metadata().unwrap().len());
    assert_eq!(summary["disk_bytes"], files.sum::<u64>());
}

#[test]
fn bad_lines_are_told_skipped_and_counted() {
    let place = Place::new();
    let file = place.file("mixed.jsonl", b"{\"a\":1}\n{bad}\n\n{\"a\":2} \r\n\"\xff\"\n{\"a\":3}");
    let run = place.run(["capture", "mixed.jsonl"]);
    assert_eq!(run.status, Some(3));
    let told: Vec<&str> = run.err.lines().collect();
    assert_eq!(told.len(), 3, "{}", run.err);
    for (line, number) in told.iter().zip([2, 3, 5]) {
        assert!(line.starts_with(&format!("siltstone: mixed.jsonl:{number}: line skipped: ")), "{line}");
    }
    assert!(run.out().contains("skipped   3 bad lines"), "{}", run.out());
    assert_eq!(place.run(["scan", "--values"]).ok().out(), "{\"a\":1}\n{\"a\":2} \r\n{\"a\":3}\n");
    let json = place.run(["capture".as_ref(), file.as_os_str(), "--json".as_ref()]);
    assert_eq!(json.status, Some(3));
    let summary: serde_json::Value = serde_json::from_str(json.out()).unwrap();
    assert_eq!((&summary["records"], &summary["skipped"]), (&json!(3), &json!(3)));
}

#[test]
fn many_bad_lines_are_told_only_at_first() {
    let place = Place::new();
    let run = place.feed(&["capture"], "bad\n".repeat(1000));
    assert_eq!(run.status, Some(3));
    assert_eq!(run.err.lines().count(), 21, "{}", run.err);
    assert!(run.err.lines().last().unwrap().contains("only counted"));
    assert!(run.out().contains("skipped   1,000 bad lines"), "{}", run.out());
}

#[test]
fn keys_from_a_field() {
    let place = Place::new();
    let lines = "{\"id\":\"a/b\",\"n\":1}\n{\"id\":007}\n{\"id\":17}\n{\"no\":1}\n{\"id\":null}\n[]\n{\"id\":17,\"n\":2}\n";
    let long = format!("{{\"id\":\"{}\"}}\n", "x".repeat(65_536));
    let run = place.feed(&["capture", "--key-field", "id", "--prefix", "r/"], format!("{lines}{long}"));
    assert_eq!(run.status, Some(3));
    let numbers: Vec<&str> = run.err.lines().filter_map(|line| line.split(':').nth(2)).collect();
    assert_eq!(numbers, ["2", "4", "5", "6", "8"], "{}", run.err);
    assert_eq!(place.run(["list"]).ok().lines(), ["r/17", "r/a/b"]);
    assert_eq!(place.run(["get", "r/17"]).ok().out(), "{\"id\":17,\"n\":2}");
    place.run(["capture", "--key-field", "id", "--key", "seq"]).fails(2, &["--key-field", "--key"]);
}

#[test]
fn numbers_go_on_where_the_last_run_ended() {
    let place = Place::new();
    place.feed(&["capture", "--key", "seq"], "1\n2\n").ok();
    place.feed(&["capture"], "\"a ulid between them\"\n").ok();
    place.feed(&["capture", "--key", "seq"], "3\n").ok();
    place.feed(&["capture", "--key", "seq", "--prefix", "other/"], "1\n").ok();
    let keys = place.run(["list", "logs/request/0000"]).ok();
    assert_eq!(
        keys.lines(),
        [
            "logs/request/00000000000000000001",
            "logs/request/00000000000000000002",
            "logs/request/00000000000000000003",
        ]
    );
    assert_eq!(place.run(["get", "logs/request/00000000000000000003"]).ok().out(), "3");
    assert_eq!(place.run(["list", "other/"]).ok().lines(), ["other/00000000000000000001"]);
}

#[test]
fn ulids_of_a_later_run_come_later() {
    let place = Place::new();
    for run in 0..5 {
        place.feed(&["capture"], format!("{run}\n{run}\n")).ok();
    }
    let values = place.run(["scan", "--values"]).ok();
    assert_eq!(values.lines(), ["0", "0", "1", "1", "2", "2", "3", "3", "4", "4"]);
}

#[test]
fn csv_rows_become_objects() {
    let place = Place::new();
    place.file("t.csv", "time,tokens,ok,note\r\n2023-11-16,0012,true,\r\n\"a, b\",1.50,no,\"x\"\"y\"\r\n");
    place.run(["capture", "t.csv"]).ok();
    assert_eq!(
        place.run(["scan", "--values"]).ok().lines(),
        [
            r#"{"time":"2023-11-16","tokens":"0012","ok":true,"note":""}"#,
            r#"{"time":"a, b","tokens":1.50,"ok":"no","note":"x\"y"}"#,
        ]
    );
    let piped = Place::new();
    let run = piped.feed(&["capture", "-", "--format", "csv", "--key-field", "id"], "id,n\na,1\nb\nc,3");
    assert_eq!(run.status, Some(3));
    assert!(run.err.starts_with("siltstone: -:3: line skipped: it has 1 field"), "{}", run.err);
    assert_eq!(piped.run(["list"]).ok().lines(), ["logs/request/a", "logs/request/c"]);
    assert_eq!(piped.run(["get", "logs/request/c"]).ok().out(), r#"{"id":"c","n":3}"#);
    piped.feed(&["capture", "--format", "csv"], "a,a\n1,2\n").fails(2, &["header", "'a' appears twice"]);
}

#[test]
fn long_lines_and_short_ones_keep_their_order() {
    let place = Place::new();
    let mut lines = String::new();
    for i in 0..40 {
        let len = if i % 3 == 0 { 300_000 } else { i };
        lines += &format!("\"{}\"\n", "x".repeat(len));
    }
    place.feed(&["capture"], &lines).ok();
    assert!(place.run(["scan", "--values"]).ok().out() == lines);
}

#[test]
fn nothing_comes_from_nothing() {
    let place = Place::new();
    let run = place.run(["capture"]).ok();
    assert!(run.out().contains("captured  0 records"), "{}", run.out());
    assert_eq!(place.run(["list"]).ok().out, b"");
}

#[test]
fn a_file_that_cannot_be_read_leaves_no_store() {
    let place = Place::new();
    place.run(["capture", "nowhere.jsonl"]).fails(2, &["'nowhere.jsonl'", "check the path"]);
    place.run(["capture", "."]).fails(2, &["'.'", "directory"]);
    place
        .run(["capture", "x", "--sync", "immediate", "--sync-interval", "1s"])
        .fails(2, &["--sync-interval"]);
    assert!(!place.store().exists());
}

#[test]
fn every_policy_captures() {
    let lines: String = (0..3000).map(|i| format!("{{\"number\":{i}}}\n")).collect();
    for policy in ["sync-on-boundary", "periodic", "immediate"] {
        let place = Place::new();
        place.feed(&["capture", "--sync", policy], &lines).ok();
        assert!(place.run(["scan", "--values"]).ok().out() == lines, "{policy}");
    }
    let memory = Place::new();
    let run = memory.feed(&["capture", "--sync", "in-memory"], &lines).ok();
    assert!(run.out().contains("captured  3,000 records"), "{}", run.out());
    assert!(run.out().contains("in-memory ends with the program"), "{}", run.out());
    assert!(!memory.store().exists(), "in-memory makes no file");
}

#[test]
fn what_is_compressed_is_small_and_reads_as_it_was() {
    let place = Place::new();
    let models = ["gateway-large", "gateway-small", "gateway-code"];
    let line = |n: usize| {
        let model = models[n * 7 % 3];
        format!(
            r#"{{"type":"log","request_id":"req-{n:08}","tenant":"acme-{}","model_id":"{model}","provider_id":"openai","capability":"chat-completion","delivery_mode":"stream","latency_ms":{},"status_code":200,"tokens_in":{},"tokens_out":{},"cache":"miss","attempt":1,"error":null}}"#,
            n % 40,
            n * 7919 % 5_000,
            n * 31 % 8_000,
            n * 17 % 900
        ) + "\n"
    };
    let lines: String = (0..20_000).map(line).collect();
    place.file("requests.jsonl", &lines);
    let capture = ["capture", "requests.jsonl", "--compression", "lz4", "--json"];
    let summary = place.run(capture).json();
    let disk = summary["disk_bytes"].as_u64().unwrap();
    assert!(disk * 100 <= lines.len() as u64 * 45, "{disk} bytes for {}", lines.len());
    assert!(place.run(["scan", "--values"]).ok().out == lines.as_bytes());
    assert!(place.run(["stats"]).ok().out().contains("before they were compressed"));
    place.run(["verify"]).ok();
    // A store that was captured without is compressed by 'compact'.
    place.run(["capture", "requests.jsonl", "--store", "raw"]).ok();
    let compacted = place.run(["compact", "raw", "--compression", "lz4", "--json"]).json();
    let (before, after) = (compacted["bytes_before"].as_u64().unwrap(), compacted["bytes"].as_u64().unwrap());
    assert!(after * 2 < before, "{before} bytes, then {after}");
    assert!(place.run(["scan", "--values", "--store", "raw"]).ok().out == lines.as_bytes());
    place.run(["capture", "requests.jsonl", "--compression", "zip"]).fails(2, &["zip", "lz4", "none"]);
}
