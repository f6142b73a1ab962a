//! From bytes to entries.

use std::os::unix::ffi::OsStrExt;

use siltstone::{MAX_KEY_LEN, MAX_VALUE_LEN, Store};

use crate::commands::capture::bad_lines::BadLines;
use crate::commands::capture::check::check;
use crate::commands::capture::keys::Keys;
use crate::commands::capture::lines::Lines;
use crate::commands::capture::progress::Progress;
use crate::commands::capture::rows::Rows;
use crate::commands::capture::sink::Sink;
use crate::commands::capture::split::{Line, Split};
use crate::commands::capture::{Capture, Format};
use crate::exit::{Failure, Result};

pub(crate) struct Intake<'a> {
    split: Box<dyn Split>,
    entries: Entries<'a>,
    progress: &'a Progress,
}

/// Where each line goes.
struct Entries<'a> {
    key_field: Option<&'a str>,
    keys: Keys,
    sink: Sink<'a>,
    bad: BadLines<'a>,
    bytes: u64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts {
    pub(crate) records: u64,
    /// Of their values.
    pub(crate) bytes: u64,
    pub(crate) skipped: u64,
}

impl<'a> Intake<'a> {
    pub(crate) fn new(
        store: &'a Store,
        capture: &'a Capture,
        input: &'a str,
        progress: &'a Progress,
    ) -> Result<Self> {
        let split: Box<dyn Split> = match capture.format() {
            Format::Jsonl => Box::new(Lines::new(MAX_VALUE_LEN)),
            Format::Csv => Box::new(Rows::new(MAX_VALUE_LEN)),
        };
        let entries = Entries {
            key_field: capture.key_field.as_deref(),
            keys: Keys::new(store, capture.prefix.as_bytes(), capture.key)?,
            sink: Sink::new(store),
            bad: BadLines::new(input, progress),
            bytes: 0,
        };
        Ok(Self { split, entries, progress })
    }

    /// Stores the lines that end in these bytes.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<()> {
        self.split.feed(bytes, &mut |line| self.entries.take(line))?;
        self.entries.sink.write()?;
        self.progress.advance(bytes.len(), self.entries.sink.written());
        Ok(())
    }

    /// Stores the last line, if nothing ended it but the input's end.
    pub(crate) fn end(&mut self) -> Result<()> {
        self.split.end(&mut |line| self.entries.take(line))?;
        self.entries.sink.write()
    }

    /// The number of a line that was not read to its end.
    pub(crate) fn unfinished(&self) -> Option<u64> {
        self.split.unfinished()
    }

    pub(crate) fn counts(&self) -> Counts {
        let Entries { sink, bad, bytes, .. } = &self.entries;
        Counts { records: sink.written(), bytes: *bytes, skipped: bad.count() }
    }

    /// Adds to a failure what was stored all the same.
    pub(crate) fn explain(&self, failure: Failure) -> Failure {
        match self.entries.sink.written() {
            0 => failure,
            written => failure.and(format!("records stored before that: {written}")),
        }
    }
}

impl Entries<'_> {
    fn take(&mut self, line: Line<'_>) -> Result<()> {
        let checked = line.text.and_then(|text| Ok((text, check(text, self.key_field)?)));
        let (text, own) = match checked {
            Ok(checked) => checked,
            Err(why) => {
                self.bad.add(line.number, &why);
                return Ok(());
            }
        };
        let key = self.keys.next(own.as_deref())?;
        if key.len() > MAX_KEY_LEN {
            self.bad.add(line.number, &format!("its key is longer than the limit of {MAX_KEY_LEN} bytes"));
            return Ok(());
        }
        self.bytes += text.len() as u64;
        self.sink.put(key, text)
    }
}
