//! CSV: the first row names the columns, each further row becomes one JSON object.

use std::collections::HashSet;

use csv_core::{ReadRecordResult, Reader};
use serde_json::Number;

use crate::commands::capture::lines::too_long_text;
use crate::commands::capture::split::{Each, Line, Split};
use crate::exit::{Failure, Result};

pub(crate) struct Rows {
    reader: Reader,
    row: Row,
    /// The names of the columns, each as it begins a member of an object: `"name":`.
    columns: Option<Vec<String>>,
    /// The object that is being made.
    object: Vec<u8>,
    limit: usize,
    line: u64,
}

/// The row that is being read.
#[derive(Default)]
struct Row {
    /// The line it begins in; none before its first byte.
    line: Option<u64>,
    /// Its fields, one after the other.
    fields: Vec<u8>,
    fields_len: usize,
    /// Where each field ends.
    ends: Vec<usize>,
    ends_len: usize,
    too_long: bool,
}

impl Rows {
    pub(crate) fn new(limit: usize) -> Self {
        Self { reader: Reader::new(), row: Row::new(), columns: None, object: Vec::new(), limit, line: 1 }
    }

    /// Reads on; how many bytes were used, and whether a row came to its end.
    fn read(&mut self, bytes: &[u8]) -> (usize, ReadRecordResult) {
        let row = &mut self.row;
        let fields = row.fields.get_mut(row.fields_len..).unwrap_or_default();
        let ends = row.ends.get_mut(row.ends_len..).unwrap_or_default();
        let (result, used, fields, ends) = self.reader.read_record(bytes, fields, ends);
        row.fields_len += fields;
        row.ends_len += ends;
        let newlines = memchr::memchr_iter(b'\n', bytes.get(..used).unwrap_or_default()).count();
        self.line += newlines as u64;
        match result {
            ReadRecordResult::OutputFull => row.make_room(self.limit),
            ReadRecordResult::OutputEndsFull => row.make_room_for_ends(self.limit),
            ReadRecordResult::InputEmpty | ReadRecordResult::Record | ReadRecordResult::End => {}
        }
        (used, result)
    }

    /// The row has ended: it is the header, or a line.
    fn give(&mut self, each: &mut Each<'_>) -> Result<()> {
        let row = std::mem::take(&mut self.row);
        let number = row.line.unwrap_or(self.line);
        let given = match &self.columns {
            None => columns(&row, number).map(|columns| self.columns = Some(columns)),
            Some(columns) => {
                let made = object(&row, columns, self.limit, &mut self.object);
                each(Line { number, text: made.map(|()| &*self.object) })
            }
        };
        // Its memory serves the next row, unless this one took more than any row may need.
        self.row = match row.too_long {
            true => Row::new(),
            false => Row { fields: row.fields, ends: row.ends, ..Row::default() },
        };
        given
    }
}

impl Row {
    fn new() -> Self {
        Self { fields: vec![0; 4096], ends: vec![0; 64], ..Self::default() }
    }

    fn make_room(&mut self, limit: usize) {
        if self.fields.len() > limit {
            // Read over it to its end, and keep nothing.
            self.too_long = true;
            self.fields_len = 0;
        } else {
            self.fields.resize(self.fields.len() * 2, 0);
        }
    }

    fn make_room_for_ends(&mut self, limit: usize) {
        if self.ends.len() > limit {
            self.too_long = true;
            self.ends_len = 0;
        } else {
            self.ends.resize(self.ends.len() * 2, 0);
        }
    }

    fn texts(&self) -> Result<Vec<&str>, String> {
        let mut start = 0;
        let ends = self.ends.get(..self.ends_len).unwrap_or_default();
        let text = |end: &usize| {
            let field = self.fields.get(start..*end).unwrap_or_default();
            start = *end;
            std::str::from_utf8(field)
        };
        ends.iter().map(text).collect::<Result<_, _>>().map_err(|_| "it is not UTF-8".into())
    }
}

/// The header's names, each as it begins a member.
fn columns(row: &Row, line: u64) -> Result<Vec<String>> {
    let wrong =
        |what: String| Failure::new(format!("the CSV header in line {line}: {what}; mend the header"));
    if row.too_long {
        return Err(wrong("it is too long".into()));
    }
    let names = row.texts().map_err(wrong)?;
    let mut seen = HashSet::new();
    if let Some(name) = names.iter().find(|name| !seen.insert(**name)) {
        return Err(wrong(format!("the column '{name}' appears twice")));
    }
    Ok(names.iter().map(|name| format!("{}:", quoted(name))).collect())
}

/// Writes the row as a JSON object.
fn object(row: &Row, columns: &[String], limit: usize, object: &mut Vec<u8>) -> Result<(), String> {
    object.clear();
    if row.too_long {
        return Err(too_long_text(limit));
    }
    let texts = row.texts()?;
    if texts.len() != columns.len() {
        return Err(format!("it has {} fields, the header has {}", texts.len(), columns.len()));
    }
    for (column, text) in columns.iter().zip(texts) {
        object.push(if object.is_empty() { b'{' } else { b',' });
        object.extend_from_slice(column.as_bytes());
        if is_bare(text) {
            object.extend_from_slice(text.as_bytes());
        } else {
            object.extend_from_slice(quoted(text).as_bytes());
        }
    }
    object.push(b'}');
    if object.len() > limit { Err(too_long_text(limit)) } else { Ok(()) }
}

/// Whether JSON takes this text as it is: for a number, or for true or false.
fn is_bare(text: &str) -> bool {
    match text.as_bytes().first() {
        Some(b'-' | b'0'..=b'9') => {
            // A blank may follow a JSON number, but then the field is more than the number.
            !text.ends_with(|c: char| !c.is_ascii_digit()) && serde_json::from_str::<Number>(text).is_ok()
        }
        _ => text == "true" || text == "false",
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

impl Split for Rows {
    fn feed(&mut self, mut bytes: &[u8], each: &mut Each<'_>) -> Result<()> {
        while !bytes.is_empty() {
            if self.row.line.is_none() {
                // Empty lines, and the second half of "\r\n", belong to no row.
                let text = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n'));
                let between = bytes.get(..text.unwrap_or(bytes.len())).unwrap_or_default();
                self.line += memchr::memchr_iter(b'\n', between).count() as u64;
                bytes = bytes.get(between.len()..).unwrap_or_default();
                if bytes.is_empty() {
                    return Ok(());
                }
                self.row.line = Some(self.line);
            }
            let (used, result) = self.read(bytes);
            bytes = bytes.get(used..).unwrap_or_default();
            if matches!(result, ReadRecordResult::Record) {
                self.give(each)?;
            }
        }
        Ok(())
    }

    fn end(&mut self, each: &mut Each<'_>) -> Result<()> {
        if self.row.line.is_none() {
            return Ok(());
        }
        loop {
            // No bytes are the sign of the end.
            match self.read(&[]).1 {
                ReadRecordResult::Record => self.give(each)?,
                ReadRecordResult::End => return Ok(()),
                ReadRecordResult::InputEmpty
                | ReadRecordResult::OutputFull
                | ReadRecordResult::OutputEndsFull => {}
            }
        }
    }

    fn unfinished(&self) -> Option<u64> {
        self.row.line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split_chunks(input: &[u8], chunk: usize, limit: usize) -> Result<Vec<(u64, String)>> {
        let mut given = Vec::new();
        let mut each = |line: Line<'_>| {
            let text = line
                .text
                .map_or_else(|why| format!("! {why}"), |text| String::from_utf8_lossy(text).into_owned());
            given.push((line.number, text));
            Ok(())
        };
        let mut rows = Rows::new(limit);
        for part in input.chunks(chunk) {
            rows.feed(part, &mut each)?;
        }
        rows.end(&mut each)?;
        Ok(given)
    }

    fn split(input: &[u8]) -> Vec<(u64, String)> {
        let whole = split_chunks(input, input.len().max(1), 1 << 20).unwrap();
        for chunk in 4..12 {
            assert_eq!(split_chunks(input, chunk, 1 << 20).unwrap(), whole, "in chunks of {chunk}");
        }
        whole
    }

    fn objects(input: &str) -> Vec<String> {
        split(input.as_bytes()).into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn numbers_keep_their_digits_and_the_rest_is_text() {
        let expected = r#"{"a":12345678901234567890123,"b":-0.50,"c":1e9,"d":true}"#;
        assert_eq!(objects("a,b,c,d\n12345678901234567890123,-0.50,1e9,true\n"), [expected]);
        let expected = r#"{"a":"007","b":"","c":"null","d":"1 "}"#;
        assert_eq!(objects("a,b,c,d\n007,,null,1 \n"), [expected]);
        assert_eq!(
            objects("a,b\n2023-11-16 18:17:03.9799600,4808"),
            [r#"{"a":"2023-11-16 18:17:03.9799600","b":4808}"#]
        );
    }

    #[test]
    fn quotes_and_newlines_in_a_field() {
        let rows = split(b"\xef\xbb\xbfa,\"b \"\"c\"\"\"\r\n\"one\ntwo\",\"x, \"\"y\"\"\"\r\n\r\n3,4\r\n");
        assert_eq!(
            rows,
            [
                (2, r#"{"a":"one\ntwo","b \"c\"":"x, \"y\""}"#.to_string()),
                (5, r#"{"a":3,"b \"c\"":4}"#.to_string()),
            ]
        );
    }

    #[test]
    fn a_bad_row_is_told_and_the_next_one_is_read() {
        let rows = split(b"a,b\n1\n1,2,3\n\xff,1\n1,2\n");
        assert_eq!(
            rows,
            [
                (2, "! it has 1 fields, the header has 2".to_string()),
                (3, "! it has 3 fields, the header has 2".to_string()),
                (4, "! it is not UTF-8".to_string()),
                (5, r#"{"a":1,"b":2}"#.to_string()),
            ]
        );
    }

    #[test]
    fn a_row_of_any_length_takes_bounded_memory() {
        let long = format!("a,b\n{},1\n1,2\n", "x".repeat(100_000));
        let rows = split_chunks(long.as_bytes(), 1000, 10_000).unwrap();
        assert_eq!(rows.len(), 2);
        assert!(rows[0].1.starts_with("! it is longer than the limit of 10000 bytes"));
        assert_eq!(rows[1], (3, r#"{"a":1,"b":2}"#.into()));
        let many = format!("a,b\n{}\n1,2\n", ",".repeat(100_000));
        let rows = split_chunks(many.as_bytes(), 1000, 10_000).unwrap();
        assert_eq!(rows[1], (3, r#"{"a":1,"b":2}"#.into()));
    }

    #[test]
    fn nothing_comes_from_nothing() {
        assert_eq!(objects(""), [""; 0]);
        assert_eq!(objects("\n\n"), [""; 0]);
        assert_eq!(objects("a,b\n"), [""; 0]);
        assert_eq!(objects("a,b"), [""; 0]);
    }

    #[test]
    fn a_column_may_not_appear_twice() {
        let error = split_chunks(b"a,b,a\n1,2,3\n", 100, 100).unwrap_err();
        assert!(format!("{error:?}").contains("'a' appears twice"));
    }
}
