//! How the connectors to be checked are made.

use std::time::Duration;

use crate::error::Result;

type Make<'a, C> = Box<dyn Fn() -> Result<C> + 'a>;

type Close<'a, C> = Box<dyn Fn(&C) -> Result<()> + 'a>;

/// Makes the connectors of a check: what is given is checked, and no more.
pub struct Harness<'a, C> {
    pub(super) open: Box<dyn Fn(u32) -> Result<C> + 'a>,
    pub(super) places: bool,
    pub(super) unlocked: Option<Make<'a, C>>,
    pub(super) leased: Option<Make<'a, C>>,
    pub(super) close: Option<Close<'a, C>>,
    limit: Duration,
}

impl<'a, C> Harness<'a, C> {
    /// Of connectors each of which has an empty storage of its own, that goes with it.
    pub fn new(make: impl Fn() -> Result<C> + 'a) -> Self {
        Self { places: false, ..Self::with_places(move |_| make()) }
    }

    /// Of connectors on storages that are told apart by a number. A number that is new stands for an empty storage.
    /// One that was there stands for the same storage as before: its connector may be open still, or was closed (if
    /// there is a way to) and dropped.
    pub fn with_places(open: impl Fn(u32) -> Result<C> + 'a) -> Self {
        let limit = Duration::from_secs(10);
        Self { open: Box::new(open), places: true, unlocked: None, leased: None, close: None, limit }
    }

    /// A way to make a connector that was configured with locking disabled.
    pub fn with_locking_disabled(mut self, make: impl Fn() -> Result<C> + 'a) -> Self {
        self.unlocked = Some(Box::new(make));
        self
    }

    /// A way to make a connector whose locks have a short lease: some milliseconds, for the check waits for its end.
    pub fn with_lease(mut self, make: impl Fn() -> Result<C> + 'a) -> Self {
        self.leased = Some(Box::new(make));
        self
    }

    /// How a connector is closed.
    pub fn with_close(mut self, close: impl Fn(&C) -> Result<()> + 'a) -> Self {
        self.close = Some(Box::new(close));
        self
    }

    /// How long a clause may take before it counts as failed. Default: 10 seconds.
    pub fn with_limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    pub(super) fn limit(&self) -> Duration {
        self.limit
    }
}

impl<C> std::fmt::Debug for Harness<'_, C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Harness")
            .field("places", &self.places)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}
