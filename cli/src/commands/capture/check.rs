//! Whether a line is JSON, and what its key field says.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Checks a line; the text of the key field, if one is asked for.
pub(crate) fn check<'a>(line: &'a [u8], field: Option<&str>) -> Result<Option<Cow<'a, str>>, String> {
    let text = std::str::from_utf8(line)
        .map_err(|error| format!("it is not UTF-8 from byte {} on", error.valid_up_to() + 1))?;
    if text.trim_ascii().is_empty() {
        return Err("it is blank".into());
    }
    let Some(field) = field else {
        return serde_json::from_str::<IgnoredAny>(text).map(|_| None).map_err(|error| not_json(&error));
    };
    let mut json = serde_json::Deserializer::from_str(text);
    let found = KeyField(field).deserialize(&mut json).and_then(|found| json.end().map(|()| found));
    let raw = found.map_err(|error| not_json(&error))?;
    let raw = raw.ok_or_else(|| format!("it has no field '{field}'"))?.get();
    key_text(raw).map(Some).ok_or_else(|| format!("its field '{field}' is neither a string nor a number"))
}

/// The parser's words. It counts lines too, but it is only ever given one.
fn not_json(error: &serde_json::Error) -> String {
    if error.is_data() {
        return "it is no JSON object".into();
    }
    let text = error.to_string();
    let told = text.split(" at line ").next().unwrap_or(&text);
    format!("it is not JSON: {told} at column {}", error.column())
}

/// A string's text, or a number as it is written.
fn key_text(raw: &str) -> Option<Cow<'_, str>> {
    match raw.as_bytes().first()? {
        b'"' => {
            // Nothing to unescape, nothing to copy.
            let plain = raw.get(1..raw.len() - 1).filter(|text| !text.contains('\\'));
            plain.map(Cow::Borrowed).or_else(|| serde_json::from_str(raw).ok().map(Cow::Owned))
        }
        b'-' | b'0'..=b'9' => Some(Cow::Borrowed(raw)),
        _ => None,
    }
}

/// Finds the field of this name in an object. The last one counts, as it does for most readers of JSON.
struct KeyField<'f>(&'f str);

impl<'de> DeserializeSeed<'de> for KeyField<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for KeyField<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(is_it) = members.next_key_seed(IsName(self.0))? {
            if is_it {
                found = Some(members.next_value()?);
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// Whether a member's name is this one.
struct IsName<'f>(&'f str);

impl<'de> DeserializeSeed<'de> for IsName<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for IsName<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<bool, E> {
        Ok(name == self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(line: &str) -> Result<String, String> {
        check(line.as_bytes(), Some("id")).map(|key| key.unwrap().into_owned())
    }

    #[test]
    fn json_of_any_kind_passes() {
        for line in [r#"{"a":[1,{"b":null}]}"#, "[]", " 1.50 ", "\"text\"", "null", "{}\r", &"[".repeat(500)]
        {
            let closed = format!("{line}{}", "]".repeat(line.matches("[[").count() * 2));
            assert_eq!(check(closed.as_bytes(), None), Ok(None), "{closed}");
        }
    }

    #[test]
    fn what_is_not_json_is_told() {
        for line in ["", " \t", "{", "{\"a\":}", "{}{}", "01", "nul", "{\"a\":1,}", "\"a\nb\""] {
            assert!(check(line.as_bytes(), None).is_err(), "{line}");
            assert!(check(line.as_bytes(), Some("id")).is_err(), "{line}");
        }
        assert_eq!(check(b"\"\xff\"", None), Err("it is not UTF-8 from byte 2 on".into()));
    }

    #[test]
    fn the_key_field_is_a_string_or_a_number_as_written() {
        assert_eq!(key(r#"{"a":1,"id":"x"}"#), Ok("x".into()));
        assert_eq!(key(r#"{"id":"a\"\u00e9\/"}"#), Ok("a\"é/".into()));
        assert_eq!(key(r#"{"id":12345678901234567890123.50}"#), Ok("12345678901234567890123.50".into()));
        assert_eq!(key(r#"{"id": -1e3 }"#), Ok("-1e3".into()));
        assert_eq!(key(r#"{"i\u0064":"escaped"}"#), Ok("escaped".into()));
        assert_eq!(key(r#"{"id":"first","id":"last"}"#), Ok("last".into()));
        assert_eq!(key(r#"{"in":{"id":1},"id":2}"#), Ok("2".into()));
    }

    #[test]
    fn a_line_without_a_usable_key_is_bad() {
        assert_eq!(key(r#"{"in":{"id":1}}"#), Err("it has no field 'id'".into()));
        for line in [r#"{"id":null}"#, r#"{"id":[1]}"#, r#"{"id":true}"#] {
            assert_eq!(key(line), Err("its field 'id' is neither a string nor a number".into()));
        }
        assert_eq!(key("[1]"), Err("it is no JSON object".into()));
        assert_eq!(key("nul"), Err("it is not JSON: EOF while parsing a value at column 3".into()));
    }
}
