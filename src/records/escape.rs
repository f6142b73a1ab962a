//! Names as parts of keys: a `/` in a name must not look like the end of the part.

use std::borrow::Cow;

/// The name with `%` and `/` as `%25` and `%2F`; names without them stay as they are.
pub(super) fn escape(name: &str) -> Cow<'_, str> {
    if name.contains(['%', '/']) {
        Cow::Owned(name.replace('%', "%25").replace('/', "%2F"))
    } else {
        Cow::Borrowed(name)
    }
}

/// The name that [`escape`] made this of; `None` if there is none.
pub(super) fn unescape(part: &str) -> Option<String> {
    let name = part.replace("%2F", "/").replace("%25", "%");
    (escape(&name) == part).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back() {
        for name in ["", "gpt-4o", "openai/gpt-4o", "%", "%2F", "%252F/%", "//", "50%/é"] {
            let part = escape(name);
            assert!(!part.contains('/'));
            assert_eq!(unescape(&part).as_deref(), Some(name), "{part}");
        }
        for wrong in ["a/b", "%", "%2f", "%41"] {
            assert_eq!(unescape(wrong), None, "{wrong}");
        }
    }
}
