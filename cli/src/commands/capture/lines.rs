//! JSON Lines: a line ends with a newline.

use crate::commands::capture::split::{Each, Line, Split};
use crate::exit::Result;

/// So much memory is kept from one line to the next.
const KEPT: usize = 1 << 20;

pub(crate) struct Lines {
    /// No line may be longer: what comes after that many bytes is not even kept.
    limit: usize,
    /// The number of the line that is being read.
    number: u64,
    /// What has been read of it in earlier chunks.
    begun: Vec<u8>,
    too_long: bool,
}

impl Lines {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, number: 1, begun: Vec::new(), too_long: false }
    }

    /// Keeps the bytes of a line whose end is still to come.
    fn keep(&mut self, bytes: &[u8]) {
        if self.too_long || self.begun.len() + bytes.len() > self.limit {
            self.too_long = true;
            self.begun = Vec::new();
        } else {
            self.begun.extend_from_slice(bytes);
        }
    }

    /// Gives the line that ends with these bytes.
    fn give(&mut self, bytes: &[u8], each: &mut Each<'_>) -> Result<()> {
        let whole = self.begun.is_empty() && !self.too_long;
        if !whole {
            self.keep(bytes);
        }
        let text = if whole { bytes } else { &self.begun };
        let too_long = self.too_long || text.len() > self.limit;
        let text = if too_long { Err(too_long_text(self.limit)) } else { Ok(text) };
        let given = each(Line { number: self.number, text });
        self.number += 1;
        self.begun.clear();
        self.begun.shrink_to(KEPT);
        self.too_long = false;
        given
    }
}

pub(crate) fn too_long_text(limit: usize) -> String {
    format!("it is longer than the limit of {limit} bytes")
}

impl Split for Lines {
    fn feed(&mut self, bytes: &[u8], each: &mut Each<'_>) -> Result<()> {
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', bytes) {
            self.give(bytes.get(start..end).unwrap_or_default(), each)?;
            start = end + 1;
        }
        self.keep(bytes.get(start..).unwrap_or_default());
        Ok(())
    }

    fn end(&mut self, each: &mut Each<'_>) -> Result<()> {
        if self.unfinished().is_some() { self.give(&[], each) } else { Ok(()) }
    }

    fn unfinished(&self) -> Option<u64> {
        (self.too_long || !self.begun.is_empty()).then_some(self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines as they come out, bad ones as `!`.
    fn split(input: &str, chunk: usize, limit: usize) -> Vec<(u64, String)> {
        let mut given = Vec::new();
        let mut each = |line: Line<'_>| {
            let text = line.text.map_or("!".into(), |text| String::from_utf8_lossy(text).into_owned());
            given.push((line.number, text));
            Ok(())
        };
        let mut lines = Lines::new(limit);
        for part in input.as_bytes().chunks(chunk) {
            lines.feed(part, &mut each).unwrap();
        }
        lines.end(&mut each).unwrap();
        given
    }

    fn expected(lines: &[&str]) -> Vec<(u64, String)> {
        (1..).zip(lines.iter().map(|line| line.to_string())).collect()
    }

    #[test]
    fn lines_are_the_same_however_they_arrive() {
        for chunk in 1..20 {
            assert_eq!(split("one\n\nthree\r\nend", chunk, 100), expected(&["one", "", "three\r", "end"]));
            assert_eq!(split("one\n", chunk, 100), expected(&["one"]));
            assert_eq!(split("", chunk, 100), []);
        }
    }

    #[test]
    fn what_is_too_long_is_skipped_to_its_end() {
        for chunk in 1..20 {
            let lines = split("12345\n123456\n1\n1234567890", chunk, 5);
            assert_eq!(lines, expected(&["12345", "!", "1", "!"]));
        }
    }

    #[test]
    fn a_line_that_is_too_long_takes_no_memory() {
        let mut lines = Lines::new(10);
        for _ in 0..100 {
            lines.feed(b"1234567", &mut |_| Ok(())).unwrap();
            assert!(lines.begun.capacity() < 32);
        }
        assert_eq!(lines.unfinished(), Some(1));
    }
}
