//! `siltstone retain`: how long entries are kept.

use std::ffi::OsString;

use clap::Args;
use serde_json::{Value, json};
use siltstone::{Key, Retention, Store, parse_size, show_duration, show_size};

use crate::duration;
use crate::exit::{Failure, Result, Status};
use crate::home::Home;
use crate::output::Output;
use crate::record::key_bytes;

/// Set how long the entries with a prefix are kept, or show what is set
///
/// An entry goes when it is older than the age, or when the entries with the prefix take more space than the
/// size and it was written first. Where rules for several prefixes apply, the strictest decides.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  siltstone retain                        show the rules
  siltstone retain logs/ 30d 50GB         a month, and no more than 50 GB
  siltstone retain logs/body/ 7d          a week
  siltstone retain logs/ --forever        take the rule back")]
pub(crate) struct Retain {
    /// What the keys begin with; '' for all
    prefix: Option<OsString>,

    /// An age such as 12h or 30d, a size such as 500MB or 50GB, or both
    #[arg(value_name = "LIMIT", num_args = 0..=2, conflicts_with = "forever")]
    limits: Vec<String>,

    /// Keep everything with this prefix
    #[arg(long, requires = "prefix")]
    forever: bool,

    /// Print one JSON array
    #[arg(long)]
    json: bool,
}

impl Retain {
    pub(crate) fn run(self, home: &Home) -> Result<Status> {
        let rules = match self.prefix {
            None => home.look()?.retention(),
            Some(prefix) => {
                if self.limits.is_empty() && !self.forever {
                    return Err(Failure::new("give an age such as 30d, a size such as 50GB, or --forever"));
                }
                let retention = retention(&self.limits)?;
                if let Some(config) = home.config().filter(|config| config.rules_retention()) {
                    let file = config.file().display();
                    return Err(Failure::new(format!(
                        "the retention rules are those in {file}; change them there"
                    )));
                }
                let store: Store = home.open_as_it_is()?;
                store.retain(key_bytes(prefix), retention)?;
                let rules = store.retention();
                store.close()?;
                rules
            }
        };
        let mut out = Output::new();
        if self.json {
            out.json(&Value::Array(rules.iter().map(as_json).collect()))?;
        } else {
            rules.iter().try_for_each(|rule| out.line(as_text(rule)))?;
        }
        out.finish()?;
        Ok(Status::Done)
    }
}

fn retention(limits: &[String]) -> Result<Retention> {
    let mut retention = Retention::new();
    for limit in limits {
        let is_new = match (duration::parse(limit), parse_size(limit)) {
            (Ok(age), _) => retention.max_age.replace(age).is_none(),
            (_, Ok(bytes)) => retention.max_bytes.replace(bytes).is_none(),
            (Err(_), Err(_)) => {
                return Err(Failure::new(format!(
                    "'{limit}' is neither an age such as 12h or 30d nor a size such as 500MB or 50GB"
                )));
            }
        };
        if !is_new {
            return Err(Failure::new(format!(
                "'{limit}' is the second of its kind; give one age, one size, or both"
            )));
        }
    }
    Ok(retention)
}

fn as_text((prefix, retention): &(Key, Retention)) -> String {
    let age = retention.max_age.map(show_duration);
    let bytes = retention.max_bytes.map(show_size);
    let limits: Vec<_> = age.into_iter().chain(bytes).collect();
    format!("{}\t{}", crate::text::printable(prefix), limits.join(" "))
}

fn as_json((prefix, retention): &(Key, Retention)) -> Value {
    json!({
        "prefix": crate::text::printable(prefix).to_string(),
        "max_age_seconds": retention.max_age.map(|age| age.as_secs_f64()),
        "max_bytes": retention.max_bytes,
    })
}
