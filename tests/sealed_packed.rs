//! The same for a store that compresses and has a key: blocks are compressed first, and sealed then.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper of a test fails as the test does"
)]
#![allow(clippy::duplicate_mod, reason = "each of these brings what tests share")]

#[path = "crash.rs"]
mod crash;
#[path = "faults_then_crash.rs"]
mod faults_then_crash;
#[path = "full_disk.rs"]
mod full_disk;
#[path = "kill.rs"]
mod kill;
