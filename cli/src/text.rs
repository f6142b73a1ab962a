//! Bytes as text: keys for people, hexadecimal for what is not UTF-8.

use std::fmt::Write;

/// A key as a person reads it: control characters and broken UTF-8 cannot upset a terminal.
pub(crate) fn printable(key: &[u8]) -> String {
    let mut text = String::with_capacity(key.len());
    for part in String::from_utf8_lossy(key).chars() {
        if part.is_control() { text.extend(part.escape_default()) } else { text.push(part) }
    }
    text
}

/// A word as a shell takes it for one.
pub(crate) fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,=".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.into();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_cannot_upset_a_terminal() {
        assert_eq!(printable(b"a\x1b[31m\n\xff"), "a\\u{1b}[31m\\n\u{fffd}");
        assert_eq!(printable("größe".as_bytes()), "größe");
    }

    #[test]
    fn shell_words_stay_one_word() {
        assert_eq!(shell_word("logs/request/"), "logs/request/");
        assert_eq!(shell_word("my store"), "'my store'");
        assert_eq!(shell_word("it's"), r"'it'\''s'");
        assert_eq!(shell_word(""), "''");
    }

    #[test]
    fn hexadecimal() {
        assert_eq!(hex(&[0, 10, 255]), "000aff");
    }
}
