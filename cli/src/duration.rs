//! Spans of time as an option has them.

use std::time::Duration;

/// Reads a span of time that is longer than none: `500ms`, `10s`, `5m`, `1h`, `7d`, or a bare number of seconds.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    match siltstone::parse_duration(text) {
        Ok(span) if span.is_zero() => {
            Err("it must be longer than nothing; give a time such as 500ms or 5m".into())
        }
        read => read.map_err(|error| error.to_string()),
    }
}
