//! Standard output, buffered, with an end that is no error when the reader has gone.

use std::io::{self, BufWriter, StdoutLock, Write};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;

use crate::exit::{Failure, Result};

pub(crate) struct Output {
    out: BufWriter<StdoutLock<'static>>,
}

impl Output {
    pub(crate) fn new() -> Self {
        Self { out: BufWriter::with_capacity(64 << 10, io::stdout().lock()) }
    }

    /// These bytes and nothing else.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes).map_err(failure)
    }

    /// These bytes as a line.
    pub(crate) fn line(&mut self, line: impl AsRef<[u8]>) -> Result<()> {
        self.bytes(line.as_ref())?;
        self.bytes(b"\n")
    }

    /// One JSON object as a line.
    pub(crate) fn json(&mut self, record: &impl Serialize) -> Result<()> {
        serde_json::to_writer(&mut self.out, record).map_err(|error| failure(error.into()))?;
        self.bytes(b"\n")
    }

    /// What was written so far is out: more may be long in coming.
    pub(crate) fn flush(&mut self) -> Result<()> {
        self.out.flush().map_err(failure)
    }

    /// Everything is out, or the error is known. What is not finished is written out as far as it goes.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.flush()
    }
}

/// Lets some time pass, or less if the reader of standard output goes away meanwhile; whether it has.
pub(crate) fn pause(time: Duration) -> bool {
    let stdout = io::stdout();
    let mut watched = [PollFd::new(&stdout, PollFlags::empty())];
    let time = Timespec { tv_sec: time.as_secs().cast_signed(), tv_nsec: time.subsec_nanos().into() };
    // What is told without being asked for: an error, or that the other end is gone.
    poll(&mut watched, Some(&time)).is_ok_and(|told| told > 0)
}

fn failure(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::OutputClosed,
        _ => Failure::new(format!("cannot write to standard output: {error}; check where it goes")),
    }
}
