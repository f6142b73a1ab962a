//! Keeping the store in shape: a planner that only thinks, and one merge that does all the work.

mod budget;
mod compact;
mod merge;
mod plan;
mod settle;
mod space;
mod spent;

pub(crate) use budget::{Part, Steps, cutoff};
pub(crate) use compact::Compaction;
pub(crate) use merge::{Fate, Merge, Output, Rehome};
pub(crate) use plan::{Claim, Packs, Plan, home_level, is_bottom, plan, plan_at_rest};
pub(crate) use settle::Settling;
pub(crate) use space::Space;
pub(crate) use spent::{covered, end, ended};
