//! What a plain scalar means: YAML 1.2's core schema.

use serde_json::{Number, Value as Json};

/// What a scalar without quotes and tag is; the reason if JSON has no such value.
pub(crate) fn resolve(text: &str) -> Result<Json, &'static str> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Json::Null),
        "true" | "True" | "TRUE" => return Ok(Json::Bool(true)),
        "false" | "False" | "FALSE" => return Ok(Json::Bool(false)),
        _ => {}
    }
    if is_float(text) {
        return number(text).ok_or("it is a number too large for a float");
    }
    if let Some(value) = in_base(text, "0x", 16).or_else(|| in_base(text, "0o", 8)) {
        return value.map(Json::from).ok_or("it is a number too large for 64 bits");
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Err("it is a float that is no number");
    }
    Ok(Json::String(text.into()))
}

fn in_base(text: &str, mark: &str, base: u32) -> Option<Option<u64>> {
    let digits = text.strip_prefix(mark)?;
    let plain = !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(base));
    plain.then(|| u64::from_str_radix(digits, base).ok())
}

/// Whether it is a whole number or a float in decimals: `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`.
fn is_float(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mantissa = digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty());
    let exponent = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    mantissa && exponent
}

fn number(text: &str) -> Option<Json> {
    if let Ok(value) = text.parse::<u64>() {
        return Some(value.into());
    }
    if let Ok(value) = text.parse::<i64>() {
        return Some(value.into());
    }
    text.parse::<f64>().ok().and_then(Number::from_f64).map(Json::Number)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_core_schema() {
        let is = |text: &str, value: Json| assert_eq!(resolve(text), Ok(value), "{text}");
        for null in ["", "~", "null", "Null", "NULL"] {
            is(null, Json::Null);
        }
        is("True", json!(true));
        is("FALSE", json!(false));
        is("12", json!(12));
        is("-12", json!(-12));
        is("+12", json!(12));
        is("007", json!(7));
        is("0x1F", json!(31));
        is("0o17", json!(15));
        is("18446744073709551615", json!(u64::MAX));
        is("-9223372036854775808", json!(i64::MIN));
        is("18446744073709551616", json!(18446744073709551616.0));
        is(".5", json!(0.5));
        is("5.", json!(5.0));
        is("-1.5e3", json!(-1500.0));
        is("1e3", json!(1000.0));
        for text in [
            "yes",
            "No",
            "on",
            "tRUE",
            "nULL",
            "1_000",
            "1.2.3",
            "0x",
            "0xg",
            "-",
            "+",
            ".",
            "e5",
            "1e",
            "1e+",
            "inf",
            "nan",
            "-0x1",
            "2026-01-31",
            "1:30",
        ] {
            is(text, json!(text));
        }
        for wrong in [".inf", "-.Inf", "+.INF", ".nan", "1e999", "0x10000000000000000"] {
            resolve(wrong).unwrap_err();
        }
    }
}
