//! Whether a storage connector keeps the contract of the storage interface: one clause after the other, by name.
//!
//! It is for those who write a connector, and runs over this crate's own as well. Give it a way to make
//! connectors, and what else they can do; clauses about what they cannot do are skipped, and say so.
//!
//! ```
//! use siltstone::{ConnectorOptions, SiltstoneStorage};
//! use siltstone::conformance::{Harness, check};
//! # let dir = std::env::temp_dir().join(format!("siltstone-doc-conformance-{}", std::process::id()));
//! # std::fs::create_dir_all(&dir).unwrap();
//! // The storages are told apart by a number: each new one is empty, and can be opened again.
//! let harness = Harness::with_places(|place| SiltstoneStorage::open(dir.join(place.to_string())))
//!     .with_close(SiltstoneStorage::close)
//!     .with_locking_disabled(|| ConnectorOptions::new().locking(false).in_memory());
//! let report = pollster::block_on(check(&harness));
//! assert!(report.is_kept(), "{report}");
//! # std::fs::remove_dir_all(&dir).unwrap();
//! ```
//!
//! A connector that panics or never answers fails the clause, and the next one gets a new connector. One that
//! blocks the thread that polls it cannot be helped. Futures are polled on the caller's thread, within the caller's
//! runtime, if the connector needs one.

mod clauses;
mod desk;
mod entries;
mod harness;
mod keys;
mod locks;
mod places;
mod report;
mod watch;

pub use harness::Harness;
pub use report::{ClauseReport, Outcome, Report};

use crate::conformance::clauses::CLAUSES;
use crate::conformance::desk::{Desk, Verdict};
use crate::conformance::watch::{Stopped, watched};
use crate::connector::{Locking, StorageConnector};

/// Checks the whole contract. It never panics: what goes wrong is in the report.
pub async fn check<C: StorageConnector + Locking>(harness: &Harness<'_, C>) -> Report {
    let desk = Desk::new(harness);
    let mut report = Report::default();
    for clause in CLAUSES {
        let outcome = match watched(harness.limit(), (clause.check)(&desk)).await {
            Ok(Ok(())) => Outcome::Passed,
            Ok(Err(Verdict::Failed(why))) => Outcome::Failed(why),
            Ok(Err(Verdict::Skipped(why))) => Outcome::Skipped(why.to_owned()),
            Err(Stopped::Panicked(message)) => Outcome::Failed(format!("it panicked: {message}")),
            Err(Stopped::TookTooLong) => {
                Outcome::Failed(format!("it did not answer within {:?}", harness.limit()))
            }
        };
        report.add(ClauseReport { name: clause.name, says: clause.says, outcome });
    }
    report
}
