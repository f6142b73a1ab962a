//! The tests of what a store survives once more, with compression: values are moved behind the writers all the time.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper of a test fails as the test does"
)]
#![allow(clippy::duplicate_mod, reason = "each of these brings what tests share")]

#[path = "crash.rs"]
mod crash;
#[path = "faults.rs"]
mod faults;
#[path = "faults_then_crash.rs"]
mod faults_then_crash;
#[path = "full_disk.rs"]
mod full_disk;
#[path = "kill.rs"]
mod kill;
