//! The works: what is done with each engine.

mod batch;
mod bodies;
mod capture;
mod immediate;
mod long;
mod mixed;
mod random;
mod recovery;
mod retention;
mod state;
mod ycsb;

use crate::bench::Bench;
use crate::engine::Result;

/// A part of a work that has a process of its own; the next finds what it left on disk.
pub(crate) struct Stage {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&mut Bench) -> Result<()>,
    /// Whether it goes on until it is killed, and is so as soon as it says that it has done enough.
    pub(crate) killed: bool,
}

/// What is done with each engine.
pub(crate) struct Work {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) stages: &'static [Stage],
    /// Whether it is only done when it is named.
    pub(crate) named_only: bool,
}

const fn stage(name: &'static str, run: fn(&mut Bench) -> Result<()>) -> Stage {
    Stage { name, run, killed: false }
}

const fn work(name: &'static str, about: &'static str, stages: &'static [Stage]) -> Work {
    Work { name, about, stages, named_only: false }
}

pub(crate) static ALL: &[Work] = &[
    work(
        "capture",
        "1,000,000 puts of request records of about 405 bytes, keys in order; reopened, then read",
        &[stage("write", capture::write), stage("read", capture::read)],
    ),
    work("batch", "the same puts in atomic batches of 100", &[stage("write", batch::write)]),
    work(
        "bodies",
        "20,000 values of 4 to 256 KiB, log-uniform; reopened, then listed, their sizes asked and read",
        &[stage("write", bodies::write), stage("read", bodies::read)],
    ),
    work(
        "state",
        "1,000,000 overwrites of 10,000 keys, zipfian, 200 bytes; then gets",
        &[stage("all", state::all)],
    ),
    work(
        "random",
        "2,000,000 puts of 16-byte random keys with 100 bytes; reopened: gets, a full scan, YCSB A to F",
        &[stage("write", random::write), stage("read", random::read)],
    ),
    work(
        "immediate",
        "puts that are durable when they return: 1, 8, 64 threads; 1,000 in flight on one",
        &[stage("all", immediate::all)],
    ),
    work(
        "mixed",
        "capture at full speed while another thread gets random earlier records",
        &[stage("all", mixed::all)],
    ),
    work(
        "retention",
        "capture where the oldest tenth is deleted whenever 200,000 records are there",
        &[stage("all", retention::all)],
    ),
    work(
        "recovery",
        "killed amid a capture, after 150,000 acknowledged puts; opened, and each of them looked for",
        &[Stage { name: "fill", run: recovery::fill, killed: true }, stage("reopen", recovery::reopen)],
    ),
    Work {
        name: "long",
        about: "capture of 30 GB, so that the page cache no longer hides the disk",
        stages: &[stage("write", long::write)],
        named_only: true,
    },
];

pub(crate) use recovery::acknowledged;

/// The work of that name.
///
/// # Errors
///
/// There is none; the message lists those that there are.
pub(crate) fn find(name: &str) -> Result<&'static Work> {
    let names = || ALL.iter().map(|work| work.name).collect::<Vec<_>>().join(", ");
    ALL.iter()
        .find(|work| work.name == name)
        .ok_or_else(|| format!("there is no work '{name}'; there are {}", names()).into())
}
