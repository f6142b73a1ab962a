//! Secrets in a file of `NAME=value` lines.

use std::collections::BTreeMap;
use std::path::Path;

use zeroize::Zeroizing;

use crate::config::file;
use crate::config::secrets::{Secret, SecretStore};
use crate::error::{Error, Result};

/// The secrets in a dotenv file, read once.
///
/// A line is `NAME=value`, with `export` before it or not; a value may stand in single quotes, where nothing
/// is special, or in double quotes, where `\n`, `\t`, `\r`, `\"`, `\$` and `\\` are; outside of quotes ` #`
/// begins a comment. Of two lines for one name the later one counts. Nothing is put into the environment.
///
/// ```
/// use siltstone::{DotenvSecrets, SecretStore};
/// let secrets = DotenvSecrets::parse("export TOKEN='a b' # for the store\n")?;
/// assert_eq!(secrets.get("TOKEN")?.unwrap().expose(), "a b");
/// # Ok::<(), siltstone::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct DotenvSecrets(BTreeMap<String, Secret>);

impl DotenvSecrets {
    /// Reads a file, of at most 1 MiB.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::ErrorKind::Io) if the file cannot be read, else as for [`DotenvSecrets::parse`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::parse(&Zeroizing::new(file::read(path)?))
            .map_err(|error| Error::invalid(format!("{}: {error}", path.display())))
    }

    /// Reads the text of such a file.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) for a line that is neither empty, nor a comment, nor
    /// `NAME=value`. The message tells the line's number, not what is in it.
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut secrets = BTreeMap::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, value) = assignment(line).ok_or_else(|| {
                Error::invalid(format!("line {} is not NAME=value, or a quote is not closed", number + 1))
            })?;
            secrets.insert(name.to_owned(), value);
        }
        Ok(Self(secrets))
    }
}

impl SecretStore for DotenvSecrets {
    fn get(&self, name: &str) -> Result<Option<Secret>> {
        Ok(self.0.get(name).cloned())
    }
}

fn assignment(line: &str) -> Option<(&str, Secret)> {
    let (name, value) = line.split_once('=')?;
    let name = name.trim();
    let exported = name.strip_prefix("export").filter(|rest| rest.starts_with([' ', '\t']));
    let name = exported.unwrap_or(name).trim();
    if name.is_empty() || name.contains([' ', '\t', '\'', '"']) {
        return None;
    }
    Some((name, value_of(value.trim())?))
}

fn value_of(value: &str) -> Option<Secret> {
    if let Some(quoted) = value.strip_prefix('\'') {
        let (text, rest) = quoted.split_once('\'')?;
        return is_comment(rest).then(|| Secret::new(text));
    }
    if let Some(quoted) = value.strip_prefix('"') {
        return double_quoted(quoted);
    }
    if value.starts_with('#') {
        return Some(Secret::new(""));
    }
    let end = [" #", "\t#"].iter().filter_map(|comment| value.find(comment)).min();
    Some(Secret::new(value[..end.unwrap_or(value.len())].trim_end()))
}

fn double_quoted(quoted: &str) -> Option<Secret> {
    let mut text = Zeroizing::new(String::with_capacity(quoted.len()));
    let mut chars = quoted.chars();
    loop {
        match chars.next()? {
            '"' => break,
            '\\' => text.push(match chars.next()? {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                char @ ('"' | '\\' | '$') => char,
                _ => return None,
            }),
            char => text.push(char),
        }
    }
    is_comment(chars.as_str()).then_some(Secret(text))
}

/// Whether nothing but a comment follows a closing quote.
fn is_comment(rest: &str) -> bool {
    let comment = rest.trim_start();
    comment.is_empty() || (comment.starts_with('#') && comment.len() < rest.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_form_of_a_line() {
        let cases = [
            ("A=b", "b"),
            ("  A = b  ", "b"),
            ("export A=b", "b"),
            ("A=", ""),
            ("A=# nothing", ""),
            ("A=b#c", "b#c"),
            ("A=b # c", "b"),
            ("A=b\t# c", "b"),
            ("A=b=c", "b=c"),
            ("A='b # c' # d", "b # c"),
            (r"A='b\n'", r"b\n"),
            (r#"A="b\n\"\\\$ # c""#, "b\n\"\\$ # c"),
            ("\u{feff}A=b\r\n", "b"),
            ("A=x\n# A=y\n\nA=z", "z"),
        ];
        for (line, value) in cases {
            let secrets = DotenvSecrets::parse(line).unwrap();
            assert_eq!(secrets.get("A").unwrap().unwrap().expose(), value, "{line}");
        }
    }

    #[test]
    fn a_bad_line_is_told_by_its_number_only() {
        for line in [
            "hunter2",
            "=hunter2",
            "A='hunter2",
            "A=\"hunter2",
            "A='hunter2'3",
            r#"A="hunter2\q""#,
            "A b=hunter2",
        ] {
            let error = DotenvSecrets::parse(&format!("# first\n{line}\n")).unwrap_err().to_string();
            assert!(error.contains("line 2") && !error.contains("hunter2"), "{line}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "([A-Z='\"\\\\# \n]|export ){0,40}|\\PC{0,40}") {
            let _ = DotenvSecrets::parse(&text);
        }
    }
}
