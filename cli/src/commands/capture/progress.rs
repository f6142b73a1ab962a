//! A progress bar, on a terminal only.

use std::time::Duration;

use indicatif::{HumanCount, ProgressBar, ProgressStyle};

use crate::exit::complain;

pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// For an input of this length; one that counts up if it is not known.
    pub(crate) fn new(len: Option<u64>) -> Self {
        let bar = len.map_or_else(ProgressBar::no_length, ProgressBar::new);
        let template = match len {
            Some(_) => {
                "[{bar:30}] {decimal_bytes}/{decimal_total_bytes}, {msg} records, {decimal_bytes_per_sec}, {eta} left"
            }
            None => "{spinner} {decimal_bytes}, {msg} records, {elapsed}",
        };
        if !bar.is_hidden() {
            let style =
                ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            bar.set_style(style.progress_chars("=> "));
            bar.set_message("0");
            bar.enable_steady_tick(Duration::from_millis(200));
        }
        Self { bar }
    }

    pub(crate) fn advance(&self, bytes: usize, records: u64) {
        if !self.bar.is_hidden() {
            self.bar.inc(bytes as u64);
            self.bar.set_message(HumanCount(records).to_string());
        }
    }

    /// A line on stderr that the bar does not draw over.
    pub(crate) fn complain(&self, message: String) {
        self.bar.suspend(|| complain(message));
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
