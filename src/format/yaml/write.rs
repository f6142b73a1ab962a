//! A value as YAML, in block style.
//!
//! A string stands without quotes only where no reader, of YAML 1.1 either, could take it for anything else.
//! In quotes it is written on one line, with JSON's escapes.

use std::fmt::Write;

use serde_json::{Map, Number, Value as Json};

/// From here on a name is marked with `?`: readers look no further than 1,024 characters for its colon.
const LONG_NAME: usize = 128;

/// The value, known not to be too deep.
pub(in crate::format) fn write(value: &Json) -> String {
    let mut out = String::new();
    match value {
        Json::Array(items) if !items.is_empty() => array(&mut out, items, 0),
        Json::Object(fields) if !fields.is_empty() => object(&mut out, fields, 0),
        other => {
            scalar(&mut out, other);
            out.push('\n');
        }
    }
    out
}

/// The first item begins where the text is; the others on lines of their own.
fn array(out: &mut String, items: &[Json], indent: usize) {
    for (index, item) in items.iter().enumerate() {
        margin(out, if index == 0 { 0 } else { indent });
        out.push('-');
        match item {
            Json::Array(items) if !items.is_empty() => {
                out.push(' ');
                array(out, items, indent + 2);
            }
            Json::Object(fields) if !fields.is_empty() => {
                out.push(' ');
                object(out, fields, indent + 2);
            }
            other => line(out, other),
        }
    }
}

fn object(out: &mut String, fields: &Map<String, Json>, indent: usize) {
    for (index, (name, field)) in fields.iter().enumerate() {
        margin(out, if index == 0 { 0 } else { indent });
        if name.len() < LONG_NAME {
            text(out, name);
        } else {
            out.push_str("? ");
            text(out, name);
            out.push('\n');
            margin(out, indent);
        }
        out.push(':');
        match field {
            Json::Array(items) if !items.is_empty() => {
                out.push('\n');
                margin(out, indent + 2);
                array(out, items, indent + 2);
            }
            Json::Object(fields) if !fields.is_empty() => {
                out.push('\n');
                margin(out, indent + 2);
                object(out, fields, indent + 2);
            }
            other => line(out, other),
        }
    }
}

fn margin(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}

fn line(out: &mut String, value: &Json) {
    out.push(' ');
    scalar(out, value);
    out.push('\n');
}

fn scalar(out: &mut String, value: &Json) {
    match value {
        Json::Null => out.push_str("null"),
        Json::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Json::Number(value) => number(out, value),
        Json::String(value) => text(out, value),
        Json::Array(_) => out.push_str("[]"),
        Json::Object(_) => out.push_str("{}"),
    }
}

/// YAML 1.1 takes only what has a point, and a sign in its exponent, for a float.
fn number(out: &mut String, number: &Number) {
    let digits = number.to_string();
    let Some((mantissa, exponent)) = digits.split_once(['e', 'E']) else { return out.push_str(&digits) };
    let point = if mantissa.contains('.') { "" } else { ".0" };
    let sign = if exponent.starts_with(['+', '-']) { "" } else { "+" };
    // Writing to a string cannot fail.
    let _ = write!(out, "{mantissa}{point}e{sign}{exponent}");
}

fn text(out: &mut String, text: &str) {
    if is_plain(text) {
        out.push_str(text);
    } else {
        quoted(out, text);
    }
}

fn is_plain(text: &str) -> bool {
    const WORDS: [&str; 9] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"];
    let first = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    let rest = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte));
    first && rest && !WORDS.iter().any(|word| word.eq_ignore_ascii_case(text))
}

fn quoted(out: &mut String, text: &str) {
    out.push('"');
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            _ if is_hidden(char) => {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(char));
            }
            _ => out.push(char),
        }
    }
    out.push('"');
}

/// What YAML does not let stand for itself, or takes for the end of a line.
fn is_hidden(char: char) -> bool {
    char.is_control() || matches!(char, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}
