//! JSON, by `serde_json`, within the levels that it reads back.

use serde_core::Serialize;
use serde_core::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::format::{MAX_DEPTH, too_deep};

pub(super) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>> {
    let bytes = serde_json::to_vec(value).map_err(inexpressible)?;
    if depth(&bytes) > MAX_DEPTH { Err(too_deep()) } else { Ok(bytes) }
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    // It goes no deeper than 127 levels.
    serde_json::from_slice(bytes)
        .map_err(|error| Error::invalid(format!("this json is not what was asked for: {error}")))
}

pub(super) fn inexpressible(error: serde_json::Error) -> Error {
    Error::invalid(format!("JSON has no way to express this value: {error}"))
}

/// How many levels of objects and arrays there are in this JSON, which is known to be some.
fn depth(json: &[u8]) -> usize {
    let (mut level, mut deepest) = (0usize, 0);
    let (mut quoted, mut escaped) = (false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => {
                level += 1;
                deepest = deepest.max(level);
            }
            b'}' | b']' if !quoted => level = level.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_in_strings_are_no_levels() {
        assert_eq!(depth(br#""[[[\"[[\\""#), 0);
        assert_eq!(depth(br#"{"[":["]",[{}]],"b":[]}"#), 4);
        assert_eq!(depth(b"[[],[],[[]]]"), 3);
    }
}
