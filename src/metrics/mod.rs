//! What measures the store: counters, histograms, the text that monitoring reads, and what the host is told
//! as it happens. Nothing here knows what a store is.

mod counter;
mod event;
mod histogram;
mod prometheus;
mod striped;

pub(crate) use counter::Counter;
pub use event::Event;
pub(crate) use event::Hook;
pub use histogram::Histogram;
pub(crate) use histogram::Recorder;
pub(crate) use prometheus::Exposition;
pub(crate) use striped::{Striped, own_slot, sampled};
