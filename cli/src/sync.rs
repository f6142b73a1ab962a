//! The options of every command that writes: when its writes become durable.

use std::time::Duration;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use siltstone::{Options, SyncPolicy};

use crate::exit::{Failure, Result};

#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct SyncArgs {
    /// When what is written becomes durable
    ///
    /// A killed program loses nothing under any policy but in-memory. A power cut takes nothing under
    /// immediate, at most one interval under periodic, and under sync-on-boundary what came after the
    /// last boundary; the end of the command is one.
    #[arg(long, value_name = "POLICY", value_parser = policy_parser(), default_value = "sync-on-boundary")]
    #[arg(default_value_if("sync_interval", clap::builder::ArgPredicate::IsPresent, "periodic"))]
    sync: SyncPolicy,

    /// How often 'periodic' syncs: 500ms, 10s, 5m, 1h, 7d or seconds [default: 300s]
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

impl SyncArgs {
    pub(crate) fn options(&self) -> Result<Options> {
        let options = Options::new().sync_policy(self.sync);
        match self.sync_interval {
            None => Ok(options),
            Some(interval) if self.sync == SyncPolicy::Periodic => Ok(options.sync_interval(interval)),
            Some(_) => Err(Failure::new(format!(
                "--sync-interval is for --sync periodic, not for {}; leave one of them out",
                self.sync
            ))),
        }
    }

    /// Whether nothing of what is written will be there when the program has ended.
    pub(crate) fn keeps_nothing(&self) -> bool {
        self.sync == SyncPolicy::InMemory
    }
}
