//! SIGKILL of a real child at any moment, again and again on the same store: everything that the child
//! acknowledged is there, with the right values, and nothing that was never written.
//!
//! The child is this test program, run again for the ignored test `child`. It tells each acknowledged
//! write through its standard output; what is in that pipe when it dies was acknowledged.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper of a test fails as the test does"
)]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use common::{Change, Held, Model, apply, batch, dump};
use siltstone::{ErrorKind, Options, Sizes, Store, SyncPolicy};

/// How often each policy's child is killed.
const KILLS: usize = 60;

const POLICIES: [SyncPolicy; 3] = [SyncPolicy::SyncOnBoundary, SyncPolicy::Periodic, SyncPolicy::Immediate];

/// Each thread of a child writes keys of its own.
const THREADS: usize = 3;

/// A child closes its store, and opens it again, after so many writes of its first thread.
const REOPEN: usize = 100;

/// One write of a thread: overwrites, deletes and batches, values of all sizes.
fn write(thread: usize, index: usize) -> Vec<Change> {
    let key = |step: usize| format!("{thread}/{:02}", (index * 7 + step) % 41).into_bytes();
    let len = [0, 9, 300, 70, 23, 2_000, 130][index % 7];
    let held = Held {
        value: format!("{thread}.{index} ").into_bytes().repeat(len / 4 + 1),
        metadata: if index.is_multiple_of(3) { b"{}".to_vec() } else { Vec::new() },
        content_type: index.is_multiple_of(2).then(|| "text/plain".to_owned()),
        expires: 0,
    };
    match index % 6 {
        0 => vec![Change::Put(key(0), held.clone()), Change::Delete(key(1)), Change::Put(key(2), held)],
        5 if index.is_multiple_of(5) => vec![Change::DeletePrefix(format!("{thread}/1").into_bytes())],
        5 => vec![Change::Delete(key(3))],
        _ => vec![Change::Put(key(4), held)],
    }
}

/// With small sizes there is a rotation, a flush or a merge every few writes; with the usual ones, hardly any.
fn options(policy: SyncPolicy, small: bool) -> Options {
    let sizes = if small { small_sizes() } else { Sizes::default() };
    common::options_of(policy, sizes).sync_interval(std::time::Duration::from_millis(5))
}

/// Small, but not so small that the test waits for syncs most of its time.
fn small_sizes() -> Sizes {
    Sizes {
        dead_slack: 4 << 10,
        inline_limit: 64,
        first_log: 2 << 10,
        full_log: 16 << 10,
        memtable: 8 << 10,
        segment: 4 << 10,
        level0_segments: 2,
        level1: 8 << 10,
        fold_limit: 4 << 10,
        ..Sizes::default()
    }
}

fn tell(line: &str) {
    // One write for a line, so that the lines of several threads stay whole.
    let line = format!("{line}\n");
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes()).and_then(|()| out.flush()).unwrap();
}

#[test]
#[ignore = "the child of the other tests"]
fn child() {
    let Ok(task) = std::env::var("SILTSTONE_CHILD") else { return };
    let mut task = task.split('|');
    let (policy, small, dir) = (task.next().unwrap(), task.next().unwrap(), task.next().unwrap());
    let policy: SyncPolicy = policy.parse().unwrap();
    let mut next: Vec<usize> = task.map(|start| start.parse().unwrap()).collect();
    // The test harness leaves its own line unfinished.
    tell("");
    loop {
        tell("opening");
        let store = options(policy, small == "small").open(dir).unwrap();
        tell("open");
        if next.is_empty() {
            // Holds the store until it is killed, or until its parent is gone.
            let _ = std::io::stdin().read_line(&mut String::new());
            return;
        }
        std::thread::scope(|scope| {
            for (thread, next) in next.iter_mut().enumerate() {
                let store = store.clone();
                scope.spawn(move || work(&store, thread, next));
            }
        });
        tell("closing");
        store.close().unwrap();
    }
}

fn work(store: &Store, thread: usize, next: &mut usize) {
    for _ in 0..REOPEN {
        store.write(batch(&write(thread, *next))).unwrap();
        *next += 1;
        tell(&format!("done {thread}"));
        if (*next).is_multiple_of(40) {
            store.flush().unwrap();
        }
    }
}

fn spawn(policy: SyncPolicy, small: bool, dir: &Path, next: &[usize]) -> Child {
    let size = if small { "small" } else { "usual" };
    let mut task = format!("{policy}|{size}|{}", dir.display());
    next.iter().for_each(|next| task.push_str(&format!("|{next}")));
    let mut command = Command::new(std::env::current_exe().unwrap());
    // Its name has the modules in it that this file is part of.
    let child = module_path!().split_once("::").map_or("child".into(), |(_, path)| format!("{path}::child"));
    command.args(["--exact", &child, "--ignored", "--nocapture"]).env("SILTSTONE_CHILD", task);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap()
}

/// A moment to kill at: after so many lines like this one.
struct Moment {
    line: &'static str,
    count: usize,
}

/// Any moment while writing, mostly; some while opening, some while closing.
fn moment(random: &mut u64) -> Moment {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    let number = (*random >> 8) as usize;
    match number % 8 {
        0 => Moment { line: "opening", count: 1 + number / 8 % 2 },
        1 => Moment { line: "open", count: 1 },
        2 => Moment { line: "closing", count: 1 + number / 8 % 2 },
        3 => Moment { line: "done", count: 1 + number / 8 % 5 },
        _ => Moment { line: "done", count: 1 + number / 8 % 300 },
    }
}

/// Lets the child run up to the moment, kills it, and counts what each thread acknowledged.
fn run_and_kill(mut child: Child, moment: &Moment) -> [usize; THREADS] {
    let (mut acknowledged, mut left) = ([0; THREADS], moment.count);
    let mut killed = false;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if let Some(thread) = line.strip_prefix("done ") {
            acknowledged[thread.parse::<usize>().unwrap()] += 1;
        }
        let matches = line.split(' ').next() == Some(moment.line);
        left -= usize::from(matches && left > 0);
        if left == 0 && !killed {
            child.kill().unwrap();
            killed = true;
        }
    }
    let status = child.wait().unwrap();
    assert!(killed && status.code().is_none(), "the child ended by itself: {status}");
    acknowledged
}

/// What the writes of one thread came to, one after the other.
struct Written {
    thread: usize,
    count: usize,
    model: Model,
}

impl Written {
    /// Goes forward to what was acknowledged, and one further if the write that the kill met is there.
    fn follow(&mut self, acknowledged: usize, found: &Model, moment: &str) {
        let before = self.count;
        self.advance(acknowledged);
        if self.is(found) {
            return;
        }
        self.advance(1);
        let thread = self.thread;
        assert!(
            self.is(found),
            "{moment}: thread {thread} wrote {before} before and {acknowledged} now; that is not what is there"
        );
    }

    fn advance(&mut self, writes: usize) {
        for _ in 0..writes {
            apply(&mut self.model, &write(self.thread, self.count));
            self.count += 1;
        }
    }

    fn is(&self, found: &Model) -> bool {
        let prefix = format!("{}/", self.thread).into_bytes();
        let own = found.iter().filter(|(key, _)| key.starts_with(&prefix));
        own.eq(self.model.iter())
    }
}

fn kill_again_and_again(policy: SyncPolicy) {
    let seed = std::env::var("SILTSTONE_SEED").map_or(0x5117_5703, |seed| seed.parse().unwrap());
    let mut random: u64 = seed;
    let dir = tempfile::tempdir().unwrap();
    let mut threads: Vec<Written> =
        (0..THREADS).map(|thread| Written { thread, count: 0, model: Model::new() }).collect();
    let mut acknowledged_in_all = 0;
    for kill in 0..KILLS {
        let small = kill % 4 != 3;
        let next: Vec<usize> = threads.iter().map(|written| written.count).collect();
        let moment = moment(&mut random);
        let acknowledged = run_and_kill(spawn(policy, small, dir.path(), &next), &moment);
        let what = format!("{policy}, seed {seed}, kill {kill} at {} {}", moment.line, moment.count);
        // A lock that outlived its owner would be an error here.
        let store = options(policy, small).open(dir.path()).unwrap_or_else(|error| panic!("{what}: {error}"));
        let found = dump(&store).unwrap_or_else(|error| panic!("{what}: {error}"));
        for (written, acknowledged) in threads.iter_mut().zip(acknowledged) {
            written.follow(acknowledged, &found, &what);
        }
        acknowledged_in_all += acknowledged.iter().sum::<usize>();
        store.close().unwrap_or_else(|error| panic!("{what}: {error}"));
    }
    common::tell(format_args!(
        "{policy}: {KILLS} kills, {acknowledged_in_all} acknowledged writes, seed {seed}"
    ));
    assert!(acknowledged_in_all > 5 * KILLS, "the children did too little to prove anything");
}

#[test]
fn killed_under_sync_on_boundary() {
    kill_again_and_again(SyncPolicy::SyncOnBoundary);
}

#[test]
fn killed_under_periodic() {
    kill_again_and_again(SyncPolicy::Periodic);
}

#[test]
fn killed_under_immediate() {
    kill_again_and_again(SyncPolicy::Immediate);
}

#[test]
fn the_owner_is_named_while_it_lives_and_no_longer() {
    for policy in POLICIES {
        let dir = tempfile::tempdir().unwrap();
        let mut child = spawn(policy, false, dir.path(), &[]);
        let pid = child.id().to_string();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap() == "open"), "the child did not open the store");
        let error = common::engine().open(dir.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
        assert!(error.to_string().contains(&pid), "{error} does not name process {pid}");
        child.kill().unwrap();
        child.wait().unwrap();
        common::engine().open(dir.path()).unwrap().close().unwrap();
    }
}
