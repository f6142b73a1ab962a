//! How the program ends: its exit status, and its one line on stderr.

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

/// How a command that met no error ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Done,
    /// What was asked for is not there.
    NotFound,
    /// What was verified is not whole, or what was repaired lacks something.
    Damaged,
    /// A capture that left out bad lines.
    Skipped,
}

/// Why a command could not go on.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What is wrong and what to do, in one line.
    Error(String),
    /// Nobody reads our output any more (`| head`): no error, but no reason to go on either.
    OutputClosed,
}

pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self::Error(message.into())
    }

    /// The same failure, with more to say about it.
    pub(crate) fn and(self, more: impl Display) -> Self {
        match self {
            Self::Error(message) => Self::Error(format!("{message}; {more}")),
            Self::OutputClosed => self,
        }
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Error(message) => message,
            Self::OutputClosed => "nobody reads the output any more",
        })
    }
}

impl From<siltstone::Error> for Failure {
    fn from(error: siltstone::Error) -> Self {
        Self::Error(error.to_string())
    }
}

pub(crate) fn code(result: Result<Status>) -> ExitCode {
    match result {
        Ok(Status::Done) | Err(Failure::OutputClosed) => ExitCode::SUCCESS,
        Ok(Status::NotFound | Status::Damaged) => ExitCode::from(1),
        Ok(Status::Skipped) => ExitCode::from(3),
        Err(Failure::Error(message)) => {
            complain(message);
            ExitCode::from(2)
        }
    }
}

/// One line on stderr. Where stderr is closed there is nobody to tell.
pub(crate) fn complain(message: impl Display) {
    let line = message.to_string().replace('\n', " ");
    let _ = writeln!(std::io::stderr(), "siltstone: {line}");
}
