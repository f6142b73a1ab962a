//! Looking at a store that another process is writing.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails as the test does")]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::process::Child;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use common::{Place, signal};

fn send(capture: &mut Child, text: &str) {
    capture.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
}

/// A `tail -f`, and its lines as they come.
struct Tail {
    child: Child,
    lines: Receiver<String>,
}

impl Tail {
    fn start(place: &Place, args: &[&str]) -> Self {
        let mut child = place.command(["tail", "-f"]).args(args).spawn().unwrap();
        let (sender, lines) = channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || out.lines().try_for_each(|line| sender.send(line.unwrap())));
        Self { child, lines }
    }

    #[track_caller]
    fn next(&self) -> String {
        self.lines.recv_timeout(Duration::from_secs(120)).unwrap()
    }

    /// It ends well, and says nothing more.
    #[track_caller]
    fn ends(mut self) {
        assert!(self.child.wait().unwrap().success());
        assert_eq!(self.lines.iter().collect::<Vec<_>>(), [""; 0]);
        let mut complaints = String::new();
        self.child.stderr.unwrap().read_to_string(&mut complaints).unwrap();
        assert_eq!(complaints, "");
    }
}

/// What only looks, or links and copies, works beside a process that has the store open; what changes it does not.
#[test]
fn another_process_is_looked_at_and_backed_up_while_it_writes() {
    for policy in ["sync-on-boundary", "periodic", "immediate"] {
        let place = Place::new();
        let mut capture = place.start_capture(&["--sync", policy, "--key-field", "id"]);
        let mut ids: Vec<String> = Vec::new();
        for round in 0..3 {
            for id in 0..200 {
                let line = format!("{{\"id\":\"{round}-{id:03}\"}}");
                send(&mut capture, &format!("{line}\n"));
                ids.push(line);
            }
            place.wait_for(ids.last().unwrap().as_bytes());
            let copy = format!("copy-{round}");
            let made = place.run(["checkpoint", &copy, "--json"]).json();
            assert!(made["copied"].as_u64().unwrap() > 0, "{policy}: {made}");
            let copied = place.run(["scan", "--values", "--store", &copy]).ok();
            assert_eq!(copied.lines(), ids, "{policy}");
            assert_eq!(place.run(["verify", &copy, "--json"]).json()["problems"], serde_json::json!([]));
            place.feed(&["put", "more", "--store", &copy], "1").ok();
        }
        assert_eq!(place.run(["retain"]).ok().out(), "");
        let owner = format!("in use by process {}", capture.id());
        place.run(["retain", "logs/", "7d"]).fails(2, &[&owner]);
        place.run(["compact"]).fails(2, &[&owner]);
        drop(capture.stdin.take());
        assert!(capture.wait().unwrap().success());
        assert_eq!(place.run(["scan", "--values"]).ok().lines(), ids, "{policy}");
    }
}

#[test]
fn each_line_of_another_process_is_seen_as_it_comes() {
    for policy in ["sync-on-boundary", "periodic", "immediate"] {
        let place = Place::new();
        let mut capture = place.start_capture(&["--sync", policy, "--key-field", "id"]);
        send(&mut capture, "{\"id\":\"m\"}\n{\"id\":\"n\"}\n");
        place.wait_for(b"{\"id\":\"n\"}");
        let tail = Tail::start(&place, &["-n", "1", "--values", "logs/"]);
        assert_eq!(tail.next(), "{\"id\":\"n\"}", "{policy}");
        // In the order of their coming, whatever their keys are, and once more when written over.
        for id in ["z", "a", "y", "b", "a"] {
            let line = format!("{{\"id\":\"{id}\"}}");
            send(&mut capture, &format!("{line}\n"));
            assert_eq!(tail.next(), line, "{policy}");
        }
        // The next process that writes it is followed too.
        drop(capture.stdin.take());
        assert!(capture.wait_with_output().unwrap().status.success());
        place.feed(&["put", "other"], "not asked for").ok();
        place.feed(&["put", "logs/1"], "one").ok();
        assert_eq!(tail.next(), "one", "{policy}");
        signal(&tail.child, "INT");
        tail.ends();
    }
}

#[test]
fn many_lines_come_all_and_in_order() {
    let place = Place::new();
    let mut capture = place.start_capture(&[]);
    send(&mut capture, "0\n");
    place.wait_for(b"0");
    let tail = Tail::start(&place, &["-n", "0", "--values"]);
    let first = 1;
    // Until the tail has begun: from there on nothing is missing.
    let mut number = first;
    let seen = loop {
        send(&mut capture, &format!("{number}\n"));
        number += 1;
        match tail.lines.recv_timeout(Duration::from_millis(1)) {
            Ok(line) => break line.parse::<u64>().unwrap(),
            Err(_) => assert!(number < 100_000),
        }
    };
    let text: String = (number..number + 20_000).map(|number| format!("{number}\n")).collect();
    send(&mut capture, &text);
    for expected in seen + 1..number + 20_000 {
        assert_eq!(tail.next(), expected.to_string());
    }
    signal(&tail.child, "TERM");
    tail.ends();
    capture.kill().unwrap();
    capture.wait().unwrap();
}

#[test]
fn a_reader_that_goes_away_ends_it_though_nothing_comes() {
    let place = Place::new();
    place.feed(&["put", "key"], "value").ok();
    let mut tail = place.command(["tail", "-f"]).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(tail.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "key\n");
    let run = tail.wait_with_output().unwrap();
    assert_eq!((run.status.code(), &*run.stderr), (Some(0), &b""[..]));
}

#[test]
fn the_last_ones_are_printed_as_asked_for() {
    let place = Place::new();
    for number in 0..15 {
        place.feed(&["put", &format!("logs/{number:02}")], format!("{number}")).ok();
    }
    place.feed(&["put", "z"], "last").ok();
    let tail = |args: &[&str]| place.run([&["tail"], args].concat()).ok();
    assert_eq!(tail(&["logs/"]).lines().len(), 10);
    assert_eq!(tail(&["logs/", "-n", "2"]).out(), "logs/13\nlogs/14\n");
    assert_eq!(tail(&["-n", "1", "--values"]).out(), "last\n");
    assert_eq!(tail(&["-n", "1", "--json", "--values"]).json()["value"], "last");
    assert!(tail(&["-n", "1", "--long"]).out().ends_with("  z\n"));
    assert_eq!(tail(&["nothing/"]).out(), "");
    Place::new().run(["tail"]).fails(2, &["there is no store"]);
    place.run(["tail", "--long", "--values"]).fails(2, &["--long", "--values"]);
}

#[test]
fn what_only_reads_works_on_a_store_in_use() {
    let place = Place::new();
    let mut capture = place.start_capture(&["--key-field", "id"]);
    send(&mut capture, "{\"id\":\"a\"}\n");
    place.wait_for(b"{\"id\":\"a\"}");
    assert_eq!(place.run(["list"]).ok().out(), "logs/request/a\n");
    assert_eq!(place.run(["scan", "--values"]).ok().out(), "{\"id\":\"a\"}\n");
    assert_eq!(place.run(["get", "logs/request/a"]).ok().out(), "{\"id\":\"a\"}");
    assert_eq!(place.run(["stat", "logs/request/a", "--json"]).json()["size"], 10);
    place.run(["exists", "logs/request/a"]).ok();
    assert_eq!(place.run(["exists", "logs/request/b"]).status, Some(1));
    assert_eq!(place.run(["stats", "--json"]).json()["sequence"], 1);
    let owner = format!("process {}", capture.id());
    place.run(["delete", "logs/request/a"]).fails(2, &[&owner]);
    drop(capture.stdin.take());
    assert!(capture.wait().unwrap().success(), "the writer did not notice");
}
