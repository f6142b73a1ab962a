//! How damage is told, and the bar while it is looked for.

use std::time::Duration;

use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use serde_json::{Value as Json, json};
use siltstone::{Key, Problem};

use crate::text::{hex, printable};

/// Bytes read so far, on a terminal only.
pub(crate) fn reading_bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    if !bar.is_hidden() {
        let template =
            "[{bar:30}] {decimal_bytes}/{decimal_total_bytes}, {decimal_bytes_per_sec}, {eta} left";
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style.progress_chars("=> "));
        bar.enable_steady_tick(Duration::from_millis(200));
    }
    bar
}

/// Keys are text, with the bytes beside it where they are not UTF-8.
pub(crate) fn problem_object(problem: &Problem) -> Json {
    let mut object = json!({ "file": problem.file, "what": problem.what, "places": problem.places });
    for (name, key) in [("first_key", &problem.first_key), ("last_key", &problem.last_key)] {
        object[name] = json!(key.as_ref().map(|key| String::from_utf8_lossy(key)));
        if let Some(key) = key.as_ref().filter(|key| key.as_str().is_none()) {
            object[format!("{name}_hex")] = json!(hex(key));
        }
    }
    object
}

/// A line that begins with this word.
pub(crate) fn problem_line(word: &str, problem: &Problem) -> String {
    let key = |key: &Key| format!("'{}'", printable(key));
    let keys = match (&problem.first_key, &problem.last_key) {
        (Some(first), Some(last)) if first == last => format!("key {}", key(first)),
        (Some(first), Some(last)) => format!("keys {} to {}", key(first), key(last)),
        (Some(first), None) => format!("keys from {} on", key(first)),
        (None, Some(last)) => format!("keys up to {}", key(last)),
        (None, None) => "keys not known".to_owned(),
    };
    let more = match problem.places {
        1 => String::new(),
        places => format!(", and {} more places", HumanCount(places - 1)),
    };
    format!("{word:<9} {}, {keys}: {}{more}\n", problem.file, problem.what)
}
