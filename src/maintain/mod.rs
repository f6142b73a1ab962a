//! Keeping the store in shape: a planner that only thinks, and one merge that does all the work.

mod merge;
mod plan;

pub(crate) use merge::{Inliner, Merge, Output};
pub(crate) use plan::{Claim, Plan, home_level, plan};
