//! The tests of the whole store once more, with a key: what they promise holds of a store that is encrypted as well.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper of a test fails as the test does"
)]
#![allow(clippy::duplicate_mod, reason = "each of these brings what tests share")]

#[path = "checkpoint.rs"]
mod checkpoint;
#[path = "compression.rs"]
mod compression;
#[path = "corruption.rs"]
mod corruption;
#[path = "crash.rs"]
mod crash;
#[path = "faults.rs"]
mod faults;
#[path = "faults_then_crash.rs"]
mod faults_then_crash;
#[path = "follow.rs"]
mod follow;
#[path = "model.rs"]
mod model;
#[path = "repair.rs"]
mod repair;
#[path = "verify.rs"]
mod verify;
