//! Spans of time as an option has them: `500ms`, `10s`, `5m`, `1h`, `7d`, or a bare number of seconds.

use std::time::Duration;

const UNITS: [(&str, f64); 5] = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0), ("d", 86_400.0)];

/// Reads a span of time that is longer than none.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let advice = "give a number and ms, s, m, h or d, such as 500ms or 5m";
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let unit = if unit.is_empty() { "s" } else { unit };
    let seconds = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, seconds)| *seconds);
    let number = number.parse::<f64>().ok();
    let (Some(number), Some(seconds)) = (number, seconds) else {
        return Err(format!("it is no span of time; {advice}"));
    };
    match Duration::try_from_secs_f64(number * seconds) {
        Ok(span) if !span.is_zero() => Ok(span),
        Ok(_) => Err(format!("it must be longer than nothing; {advice}")),
        Err(_) => Err(format!("it is too long; {advice}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit() {
        let expected = [
            ("500ms", Duration::from_millis(500)),
            ("10s", Duration::from_secs(10)),
            ("5m", Duration::from_secs(300)),
            ("1h", Duration::from_secs(3600)),
            ("7d", Duration::from_secs(7 * 86_400)),
            ("300", Duration::from_secs(300)),
            ("0.25", Duration::from_millis(250)),
        ];
        for (text, span) in expected {
            assert_eq!(parse(text), Ok(span), "{text}");
        }
    }

    #[test]
    fn what_is_no_span_is_told() {
        for text in ["", "s", "abc", "5 m", "5x", "-1s", "1.2.3", "1e3", "0", "0ms", "99999999999999999999d"]
        {
            assert!(parse(text).unwrap_err().contains("500ms"), "{text}");
        }
    }
}
