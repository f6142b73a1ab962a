//! References to secrets in a text: `${secrets:NAME}`, alone or with other text around it.

use crate::config::secrets::{Secret, SecretStore};
use crate::key::Printable;

const START: &str = "${secrets:";

/// The text with its secrets put in; `None` if it refers to none. What a secret holds is not looked at again.
/// The error says what is wrong, in words that follow the name of a key.
pub(in crate::config) fn resolve(text: &str, store: &dyn SecretStore) -> Result<Option<Secret>, String> {
    if !text.contains(START) {
        return Ok(None);
    }
    let parts = split(text)?.into_iter().map(|part| match part {
        Part::Text(text) => Ok(Secret::new(text)),
        Part::Name(name) => secret(name, store),
    });
    let parts = parts.collect::<Result<Vec<_>, _>>()?;
    // As long as it gets: a string that grew would leave copies behind.
    let mut whole = String::with_capacity(parts.iter().map(|part| part.expose().len()).sum());
    parts.iter().for_each(|part| whole.push_str(part.expose()));
    Ok(Some(Secret::new(whole)))
}

enum Part<'a> {
    Text(&'a str),
    Name(&'a str),
}

fn split(text: &str) -> Result<Vec<Part<'_>>, String> {
    let (mut parts, mut rest) = (Vec::new(), text);
    while let Some((before, after)) = rest.split_once(START) {
        let Some((name, behind)) = after.split_once('}') else {
            return Err(format!("refers to a secret with '{START}', but there is no '}}' behind its name"));
        };
        if name.trim().is_empty() {
            return Err(format!("refers to a secret without a name; write {START}NAME}}"));
        }
        parts.push(Part::Text(before));
        parts.push(Part::Name(name.trim()));
        rest = behind;
    }
    parts.push(Part::Text(rest));
    Ok(parts)
}

fn secret(name: &str, store: &dyn SecretStore) -> Result<Secret, String> {
    let shown = Printable(name.as_bytes());
    match store.get(name) {
        Ok(Some(secret)) if !secret.expose().is_empty() => Ok(secret),
        Ok(Some(_)) => Err(format!("refers to the secret '{shown}', which is empty; give it a value")),
        Ok(None) => Err(format!("refers to the secret '{shown}', which the secret store does not have")),
        Err(error) => Err(format!("refers to the secret '{shown}', which cannot be had: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::secrets::MapSecrets;

    fn secrets() -> MapSecrets {
        MapSecrets::from_iter([("a", "first"), ("b-c", "second"), ("empty", ""), ("again", "${secrets:a}")])
    }

    #[test]
    fn references_are_replaced_wherever_they_stand() {
        let cases = [
            ("${secrets:a}", "first"),
            ("x${secrets:a}y", "xfirsty"),
            ("${secrets:a}/${secrets:b-c}", "first/second"),
            ("${secrets: a }", "first"),
            ("${secrets:again}", "${secrets:a}"),
            ("${x}${secrets:a}}", "${x}first}"),
        ];
        for (text, expected) in cases {
            assert_eq!(resolve(text, &secrets()).unwrap().unwrap().expose(), expected, "{text}");
        }
        for plain in ["", "secrets:a", "${env:a}", "$secrets:a}", "${SECRETS:a}"] {
            assert_eq!(resolve(plain, &secrets()), Ok(None), "{plain}");
        }
    }

    #[test]
    fn what_cannot_be_resolved_names_the_secret_and_shows_none() {
        let cases = [
            ("${secrets:a}${secrets:gone}", "'gone'"),
            ("${secrets:a}${secrets:empty}", "'empty', which is empty"),
            ("${secrets:a}${secrets:}", "without a name"),
            ("${secrets:a}${secrets:b", "no '}'"),
        ];
        for (text, expected) in cases {
            let problem = resolve(text, &secrets()).unwrap_err();
            assert!(problem.contains(expected) && !problem.contains("first"), "{text}: {problem}");
        }
    }
}
