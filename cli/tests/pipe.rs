//! Capturing a pipe that stays open: lines are stored as they come, and signals end it well.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails as the test does")]

mod common;

use std::io::Write;
use std::process::Child;

use common::{Place, Run, signal};
use serde_json::json;

fn send(child: &mut Child, text: &str) {
    child.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
}

/// Waits for the end without closing the pipe first: it is not the pipe's end that ends the child.
fn finish(mut child: Child) -> Run {
    let pipe = child.stdin.take();
    let run = Run::from(child.wait_with_output().unwrap());
    drop(pipe);
    run
}

#[test]
fn a_killed_capture_has_every_line_that_came() {
    for policy in ["sync-on-boundary", "periodic", "immediate"] {
        let place = Place::new();
        let mut child = place.start_capture(&["--sync", policy]);
        // A line is stored before the next one is looked at. So when the next one is in the log, though
        // the pipe is open and silent, this one is stored.
        for number in 0..10 {
            let line = format!("{{\"number\":\"{policy} {number}\"}}");
            send(&mut child, &format!("{line}\n"));
            place.wait_for(line.as_bytes());
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let values = place.run(["scan", "--values"]).ok();
        let numbers: Vec<&str> = values.lines();
        assert!(numbers.len() >= 9, "{policy}: {numbers:?}");
        for (number, line) in numbers.iter().enumerate() {
            assert_eq!(*line, format!("{{\"number\":\"{policy} {number}\"}}"));
        }
    }
}

#[test]
fn csv_rows_are_stored_as_they_come_too() {
    let place = Place::new();
    let mut child = place.start_capture(&["--format", "csv"]);
    send(&mut child, "name,number\n");
    for number in 0..3 {
        send(&mut child, &format!("row-{number},{number}\n"));
        place.wait_for(format!("{{\"name\":\"row-{number}\",\"number\":{number}}}").as_bytes());
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(place.run(["list"]).ok().lines().len() >= 2);
}

#[test]
fn a_signal_ends_a_capture_whose_pipe_is_silent() {
    for name in ["INT", "TERM"] {
        let place = Place::new();
        let mut child = place.start_capture(&[]);
        // One write to a pipe of less than a page arrives as a whole.
        send(&mut child, "{\"line\":1}\n{\"line\":2}\n{\"cut\":");
        place.wait_for(b"{\"line\":2}");
        signal(&child, name);
        let run = finish(child).ok();
        for word in ["interrupted", "synced", "line 3 was cut short", "captured  2 records"] {
            assert!(run.out().contains(word), "{name}: {}", run.out());
        }
        assert_eq!(place.run(["scan", "--values"]).ok().out(), "{\"line\":1}\n{\"line\":2}\n");
        let recovery = &place.run(["stats", "--json"]).json()["recovery"];
        assert_eq!(recovery["entries"], 0, "{name}: it was closed well");
    }
}

#[test]
fn an_interrupted_capture_still_tells_of_bad_lines() {
    let place = Place::new();
    let mut child = place.start_capture(&["--json"]);
    send(&mut child, "bad\n{\"line\":2}\n");
    place.wait_for(b"{\"line\":2}");
    signal(&child, "TERM");
    let run = finish(child);
    assert_eq!(run.status, Some(3));
    let summary: serde_json::Value = serde_json::from_str(run.out()).unwrap();
    assert_eq!((&summary["interrupted"], &summary["unfinished_line"]), (&json!(true), &json!(null)));
    assert_eq!((&summary["records"], &summary["skipped"]), (&json!(1), &json!(1)));
}

#[test]
fn an_unfinished_line_counts_when_the_pipe_ends() {
    let place = Place::new();
    let mut child = place.start_capture(&[]);
    send(&mut child, "1\n2");
    drop(child.stdin.take());
    let run = Run::from(child.wait_with_output().unwrap()).ok();
    assert!(run.out().contains("captured  2 records"), "{}", run.out());
}

#[test]
fn a_capture_that_cannot_close_its_store_tells_what_is_in_it() {
    let place = Place::new();
    let mut child = place.start_capture(&[]);
    send(&mut child, "{\"line\":1}\n");
    place.wait_for(b"{\"line\":1}");
    std::fs::rename(place.store(), place.path("moved")).unwrap();
    drop(child.stdin.take());
    Run::from(child.wait_with_output().unwrap()).fails(2, &["cannot", "records stored before that: 1"]);
    std::fs::rename(place.path("moved"), place.store()).unwrap();
    assert_eq!(place.run(["scan", "--values"]).ok().out(), "{\"line\":1}\n");
}

#[test]
fn a_store_in_use_names_its_owner() {
    let place = Place::new();
    let mut child = place.start_capture(&[]);
    send(&mut child, "{\"line\":1}\n");
    place.wait_for(b"{\"line\":1}");
    let owner = format!("process {}", child.id());
    place.feed(&["put", "k"], "v").fails(2, &[&owner, "stop it"]);
    place.feed(&["capture"], "{}\n").fails(2, &[&owner]);
    // A crash leaves no stale lock.
    child.kill().unwrap();
    child.wait().unwrap();
    place.feed(&["put", "k"], "v").ok();
}

#[test]
fn a_signal_reaches_a_capture_that_waits_for_a_named_pipe() {
    let place = Place::new();
    let pipe = place.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let child = place.command(["capture".as_ref(), pipe.as_os_str()]).spawn().unwrap();
    wait_for_handler(&child);
    signal(&child, "INT");
    finish(child).fails(2, &["interrupted", "nothing was stored"]);
    assert!(!place.store().exists());
}

/// Waits until the child catches SIGINT.
fn wait_for_handler(child: &Child) {
    let caught = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap_or("0").trim();
        u64::from_str_radix(mask, 16).unwrap_or(0) & 0b10 != 0
    };
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(120);
    while !caught() {
        assert!(std::time::Instant::now() < deadline, "the child catches no signal");
        std::thread::yield_now();
    }
}
