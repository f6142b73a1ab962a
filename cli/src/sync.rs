//! The options of every command that writes: when its writes become durable.

use std::time::Duration;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use siltstone::{Options, SyncPolicy};

use crate::config::FileConfig;
use crate::exit::{Failure, Result};
use crate::home::Home;

#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct SyncArgs {
    /// When what is written becomes durable [default: what --config says, else sync-on-boundary]
    ///
    /// A killed program loses nothing under any policy but in-memory. A power cut takes nothing under
    /// immediate, at most one interval under periodic, and under sync-on-boundary what came after the
    /// last boundary; the end of the command is one.
    #[arg(long, value_name = "POLICY", value_parser = policy_parser())]
    sync: Option<SyncPolicy>,

    /// How often 'periodic' syncs: 500ms, 10s, 5m, 1h, 7d or seconds [default: what --config says, else 300s]
    ///
    /// Given alone it means --sync periodic.
    #[arg(long, value_name = "TIME", value_parser = crate::duration::parse)]
    sync_interval: Option<Duration>,
}

fn policy_parser() -> impl TypedValueParser<Value = SyncPolicy> {
    let policies =
        [SyncPolicy::InMemory, SyncPolicy::SyncOnBoundary, SyncPolicy::Periodic, SyncPolicy::Immediate];
    PossibleValuesParser::new(policies.map(SyncPolicy::as_str)).try_map(|name| name.parse::<SyncPolicy>())
}

/// How the store is opened to be written.
pub(crate) struct Sync {
    pub(crate) options: Options,
    /// Whether nothing of what is written will be there when the program has ended.
    pub(crate) keeps_nothing: bool,
}

impl SyncArgs {
    /// What the command line says, else the configuration, else the default.
    pub(crate) fn resolve(&self, home: &Home) -> Result<Sync> {
        let asked = self.sync.or(self.sync_interval.map(|_| SyncPolicy::Periodic));
        let configured = || home.config().and_then(FileConfig::sync_policy);
        let policy = asked.or_else(configured).unwrap_or(SyncPolicy::SyncOnBoundary);
        let mut options = home.options()?.sync_policy(policy);
        match self.sync_interval {
            None => {}
            Some(interval) if policy == SyncPolicy::Periodic => options = options.sync_interval(interval),
            Some(_) => {
                return Err(Failure::new(format!(
                    "--sync-interval is for --sync periodic, not for {policy}; leave one of them out"
                )));
            }
        }
        Ok(Sync { options, keeps_nothing: policy == SyncPolicy::InMemory })
    }
}
