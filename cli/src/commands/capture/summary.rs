//! What a capture says at its end.

use std::ffi::OsStr;

use indicatif::{DecimalBytes, HumanCount};
use serde_json::{Value as Json, json};

use crate::commands::capture::intake::Counts;
use crate::exit::Result;
use crate::home::Home;
use crate::output::Output;
use crate::text::shell_word;

pub(crate) struct Summary<'a> {
    pub(crate) counts: Counts,
    /// From the first byte read to the last one durable.
    pub(crate) seconds: f64,
    pub(crate) interrupted: bool,
    /// The number of the line that the interrupt cut short.
    pub(crate) unfinished: Option<u64>,
    /// Whether anything is left now that the store is closed.
    pub(crate) kept: bool,
    pub(crate) prefix: &'a OsStr,
    pub(crate) home: &'a Home,
}

impl Summary<'_> {
    pub(crate) fn print(&self, json: bool) -> Result<()> {
        let mut out = Output::new();
        if json {
            out.json(&self.object())?;
        } else {
            out.bytes(self.text().as_bytes())?;
        }
        out.finish()
    }

    fn a_second(&self, count: u64) -> u64 {
        (count as f64 / self.seconds.max(1e-6)) as u64
    }

    fn disk_bytes(&self) -> u64 {
        if self.kept { self.home.weight().bytes } else { 0 }
    }

    fn object(&self) -> Json {
        let Counts { records, bytes, skipped } = self.counts;
        json!({
            "records": records,
            "bytes": bytes,
            "skipped": skipped,
            "seconds": self.seconds,
            "records_per_second": self.a_second(records),
            "disk_bytes": self.disk_bytes(),
            "store": self.home.dir().display().to_string(),
            "prefix": self.prefix.to_string_lossy(),
            "interrupted": self.interrupted,
            "unfinished_line": self.unfinished,
        })
    }

    fn text(&self) -> String {
        let mut text = self.interruption();
        text += &self.captured();
        match self.counts.skipped {
            0 => {}
            1 => text += "skipped   1 bad line\n",
            more => text += &format!("skipped   {} bad lines\n", HumanCount(more)),
        }
        text += &self.store();
        if self.kept && self.counts.records > 0 {
            text += &self.next();
        }
        text
    }

    fn interruption(&self) -> String {
        match (self.interrupted, self.unfinished) {
            (false, _) => String::new(),
            (true, None) => "interrupted: all lines that were read are stored and synced\n".into(),
            (true, Some(line)) => format!(
                "interrupted: all lines that were read are stored and synced; line {line} was cut short and is not stored\n"
            ),
        }
    }

    fn captured(&self) -> String {
        let Counts { records, bytes, .. } = self.counts;
        format!(
            "captured  {} records, {}, in {:.3} s: {} records/s, {}/s\n",
            HumanCount(records),
            DecimalBytes(bytes),
            self.seconds,
            HumanCount(self.a_second(records)),
            DecimalBytes(self.a_second(bytes)),
        )
    }

    fn store(&self) -> String {
        if !self.kept {
            return "store     none: sync policy in-memory ends with the program\n".into();
        }
        format!(
            "store     {} weighs {} on disk\n",
            self.home.dir().display(),
            DecimalBytes(self.disk_bytes())
        )
    }

    /// Commands that work as they stand here.
    fn next(&self) -> String {
        let program = std::env::args().next().unwrap_or_else(|| "siltstone".into());
        let prefix = self.prefix.to_string_lossy();
        let arguments = self.home.arguments().into_iter();
        let place: String = arguments
            .map(|(option, value)| format!(" {option} {}", shell_word(&value.to_string_lossy())))
            .collect();
        let command = |rest: &str| {
            let words = format!("{} {rest}", shell_word(&program));
            if prefix.is_empty() {
                format!("{words}{place}\n")
            } else {
                format!("{words} {}{place}\n", shell_word(&prefix))
            }
        };
        format!("try next  {}          {}", command("list --long"), command("scan --values --limit 3"))
    }
}
