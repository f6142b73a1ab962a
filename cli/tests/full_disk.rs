//! The program on a disk that fills up. Skipped, loudly, where no small file system can be mounted.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails as the test does")]

mod common;
#[path = "../../tests/common/mount.rs"]
mod mount;

use common::Place;
use mount::{Kind, Mount};

#[test]
fn a_capture_ends_with_a_clear_message_and_keeps_what_it_captured() {
    let Some(mount) = Mount::new(Kind::Tmpfs, 12 << 20) else { return };
    let place = Place::new();
    let lines: String =
        (0..40_000).map(|line| format!("{{\"line\":{line},\"text\":\"{line:0400}\"}}\n")).collect();
    let file = place.file("requests.jsonl", lines);
    let store = mount.dir().join("store");
    let at = ["--store".as_ref(), store.as_os_str()];
    let run = |args: &[&str]| place.run(args.iter().map(AsRef::as_ref).chain(at));
    let capture = place.run(["capture".as_ref(), file.as_os_str(), at[0], at[1]]);
    assert_eq!(capture.status, Some(2), "{}", capture.err);
    assert_eq!(capture.err.lines().count(), 1, "{}", capture.err);
    for part in
        ["no space left", "are missing of", "are free on the file system of", "records stored before that: "]
    {
        assert!(capture.err.contains(part), "{part}: {}", capture.err);
    }
    let stored: usize = capture.err.trim().rsplit(' ').next().unwrap().parse().unwrap();
    assert!(stored > 10_000, "{}", capture.err);
    assert_eq!(run(&["list"]).ok().out().lines().count(), stored);
    // Deleting goes on, and makes room.
    let keys: Vec<String> = run(&["list"]).ok().out().lines().map(str::to_owned).collect();
    run(&["delete", &keys[0]]).ok();
    assert_eq!(run(&["list"]).ok().out().lines().count(), stored - 1);
    run(&["delete", "--prefix", "logs/"]).ok();
    let again = place.feed(&["capture", "--store", at[1].to_str().unwrap()], "{\"text\":1}\n".repeat(1_000));
    assert_eq!(again.ok().err, "");
}
