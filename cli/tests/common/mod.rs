//! What the tests share: running the real program on a store of its own.

#![allow(dead_code, reason = "each test program uses its part")]
#![allow(clippy::unwrap_used, reason = "a helper of a test fails as the test does")]

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use tempfile::TempDir;

/// A directory with a store in it, once something was put there.
pub(crate) struct Place {
    dir: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { dir: TempDir::new().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.path("store")
    }

    /// A file with this content.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// The program, to be run on the store.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_siltstone"));
        command.args(args).env("SILTSTONE_STORE", self.store()).current_dir(self.dir.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Run {
        self.command(args).output().unwrap().into()
    }

    /// Runs it with this on standard input.
    pub(crate) fn feed(&self, args: &[&str], input: impl AsRef<[u8]>) -> Run {
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().unwrap();
        // One that sees its mistake at once has ended before it is fed.
        let fed = child.stdin.take().unwrap().write_all(input.as_ref());
        assert!(fed.is_ok() || !child.wait().unwrap().success());
        child.wait_with_output().unwrap().into()
    }

    /// Starts a capture of standard input, which stays open.
    pub(crate) fn start_capture(&self, args: &[&str]) -> Child {
        self.command(["capture", "-"]).args(args).stdin(Stdio::piped()).spawn().unwrap()
    }

    /// Waits until these bytes are in a log. Logs are mapped, so that is when they were written to it.
    pub(crate) fn wait_for(&self, bytes: &[u8]) {
        let deadline = Instant::now() + Duration::from_secs(120);
        while !self.logs().any(|log| log.windows(bytes.len()).any(|window| window == bytes)) {
            assert!(Instant::now() < deadline, "not in any log: {}", String::from_utf8_lossy(bytes));
            std::thread::yield_now();
        }
    }

    /// What the store keeps as an entry's metadata, byte for byte.
    pub(crate) fn kept_metadata(&self, key: &str) -> Vec<u8> {
        let store = siltstone::ReadOnlyStore::open(self.store()).unwrap();
        store.get(key).unwrap().unwrap().metadata().to_vec()
    }

    fn logs(&self) -> impl Iterator<Item = Vec<u8>> {
        let files = fs::read_dir(self.store()).into_iter().flatten().flatten().map(|file| file.path());
        files.filter(|path| path.extension().is_some_and(|name| name == "log")).flat_map(fs::read)
    }
}

/// How a run ended.
pub(crate) struct Run {
    pub(crate) status: Option<i32>,
    pub(crate) out: Vec<u8>,
    pub(crate) err: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        let err = String::from_utf8(output.stderr).unwrap();
        Self { status: output.status.code(), out: output.stdout, err }
    }
}

impl Run {
    pub(crate) fn out(&self) -> &str {
        std::str::from_utf8(&self.out).unwrap()
    }

    pub(crate) fn lines(&self) -> Vec<&str> {
        self.out().lines().collect()
    }

    /// It ended well and had nothing to complain of; what it printed.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!((self.status, &*self.err), (Some(0), ""), "{}", String::from_utf8_lossy(&self.out));
        self
    }

    /// It ended well with one JSON object.
    #[track_caller]
    pub(crate) fn json(self) -> Json {
        let run = self.ok();
        assert_eq!(run.lines().len(), 1, "{}", run.out());
        serde_json::from_str(run.out()).unwrap()
    }

    /// It failed with this status, and one line on stderr that has all of these words.
    #[track_caller]
    pub(crate) fn fails(self, status: i32, words: &[&str]) {
        assert_eq!(self.status, Some(status), "{}", self.err);
        assert_eq!(self.err.lines().count(), 1, "{}", self.err);
        for word in words {
            assert!(self.err.contains(word), "'{word}' is not in: {}", self.err);
        }
    }
}

/// Sends a signal as a shell does.
pub(crate) fn signal(child: &Child, name: &str) {
    let kill = format!("kill -{name} {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
}

/// The sample that the project ships.
pub(crate) fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name)
}
