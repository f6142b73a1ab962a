//! What clauses are written with: connectors without their type, verdicts, and a look at a future.

use std::cell::Cell;
use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

use crate::conformance::harness::Harness;
use crate::connector::{BoxFuture, Locking, StorageConnector, StorageEntry};
use crate::error::{Error, ErrorKind, Result};

/// Why a clause did not pass.
pub(super) enum Verdict {
    Failed(String),
    Skipped(&'static str),
}

impl From<Error> for Verdict {
    fn from(error: Error) -> Self {
        Self::Failed(format!("there was an error of kind '{}': {error}", error.kind()))
    }
}

pub(super) type Checked<T = ()> = Result<T, Verdict>;

/// Unless this holds, the clause failed, and this is what was there instead.
macro_rules! ensure {
    ($holds:expr, $($instead:tt)+) => {
        if !$holds {
            return Err($crate::conformance::desk::Verdict::Failed(format!($($instead)+)));
        }
    };
}
pub(super) use ensure;

/// Unless this is an error of this kind, the clause failed.
pub(super) fn refused<T>(done: Result<T>, kind: ErrorKind, what: &str) -> Checked<Error> {
    match done {
        Err(error) if error.kind() == kind => Ok(error),
        Err(error) => {
            let found = error.kind();
            Err(Verdict::Failed(format!("{what} was refused as '{found}', not '{kind}': {error}")))
        }
        Ok(_) => Err(Verdict::Failed(format!("{what} was not refused"))),
    }
}

/// A connector with all that the contract is about.
pub(super) trait Full: StorageConnector + Locking {}

impl<T: StorageConnector + Locking> Full for T {}

/// A connector that was made for a clause.
pub(super) trait Made {
    fn storage(&self) -> &dyn Full;

    fn close(&self) -> Checked;
}

struct Of<'h, 'a, C> {
    connector: C,
    harness: &'h Harness<'a, C>,
}

impl<C: Full> Made for Of<'_, '_, C> {
    fn storage(&self) -> &dyn Full {
        &self.connector
    }

    fn close(&self) -> Checked {
        let no_way = Verdict::Skipped("no way to close a connector was given");
        let close = self.harness.close.as_ref().ok_or(no_way)?;
        Ok(close(&self.connector)?)
    }
}

/// What makes connectors, whatever their type.
trait Maker {
    fn at(&self, place: u32) -> Checked<Box<dyn Made + '_>>;

    fn unlocked(&self) -> Checked<Box<dyn Made + '_>>;

    fn leased(&self) -> Checked<Box<dyn Made + '_>>;

    fn has_places(&self) -> bool;
}

fn of<'h, C: Full>(harness: &'h Harness<'_, C>, made: Result<C>) -> Checked<Box<dyn Made + 'h>> {
    match made {
        Ok(connector) => Ok(Box::new(Of { connector, harness })),
        Err(error) => Err(Verdict::Failed(format!("no connector could be made: {error}"))),
    }
}

impl<C: Full> Maker for Harness<'_, C> {
    fn at(&self, place: u32) -> Checked<Box<dyn Made + '_>> {
        of(self, (self.open)(place))
    }

    fn unlocked(&self) -> Checked<Box<dyn Made + '_>> {
        let none = Verdict::Skipped("no connector with locking disabled was given");
        of(self, self.unlocked.as_ref().ok_or(none)?())
    }

    fn leased(&self) -> Checked<Box<dyn Made + '_>> {
        let none = Verdict::Skipped("no connector with leases was given");
        of(self, self.leased.as_ref().ok_or(none)?())
    }

    fn has_places(&self) -> bool {
        self.places
    }
}

/// Where clauses get their connectors.
pub(super) struct Desk<'h> {
    maker: &'h dyn Maker,
    next: Cell<u32>,
}

impl<'h> Desk<'h> {
    pub(super) fn new<C: Full>(harness: &'h Harness<'_, C>) -> Self {
        Self { maker: harness, next: Cell::new(0) }
    }

    /// A connector on an empty storage.
    pub(super) fn fresh(&self) -> Checked<Box<dyn Made + '_>> {
        self.maker.at(self.place())
    }

    /// The number of an empty storage.
    fn place(&self) -> u32 {
        let place = self.next.get();
        self.next.set(place + 1);
        place
    }

    /// The number of an empty storage that can be opened more than once.
    pub(super) fn lasting_place(&self) -> Checked<u32> {
        let none = Verdict::Skipped("each connector has a storage of its own");
        if self.maker.has_places() { Ok(self.place()) } else { Err(none) }
    }

    pub(super) fn at(&self, place: u32) -> Checked<Box<dyn Made + '_>> {
        self.maker.at(place)
    }

    /// Closes and drops a connector and opens its storage again.
    pub(super) fn reopen<'a>(&'a self, made: Box<dyn Made + 'a>, place: u32) -> Checked<Box<dyn Made + 'a>> {
        match made.close() {
            Ok(()) | Err(Verdict::Skipped(_)) => {}
            Err(failed) => return Err(failed),
        }
        drop(made);
        self.maker.at(place)
    }

    pub(super) fn unlocked(&self) -> Checked<Box<dyn Made + '_>> {
        self.maker.unlocked()
    }

    pub(super) fn leased(&self) -> Checked<Box<dyn Made + '_>> {
        self.maker.leased()
    }
}

/// Saves these bytes without metadata.
pub(super) async fn put(storage: &dyn Full, key: &str, data: &[u8]) -> Checked {
    Ok(storage.save(key, &StorageEntry::new(key, data)).await?)
}

/// The entry with this key, which has to be there.
pub(super) async fn get(storage: &dyn Full, key: &str) -> Checked<StorageEntry> {
    let missing = || Verdict::Failed(format!("key {key:?} was saved and is not there"));
    storage.load(key).await?.ok_or_else(missing)
}

/// Polls once; what came of it, if it is done.
pub(super) fn poll<T>(future: &mut BoxFuture<'_, T>) -> Option<T> {
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => Some(done),
        Poll::Pending => None,
    }
}

/// All futures at once; what came of each, in their order.
pub(super) async fn together<T>(mut futures: Vec<BoxFuture<'_, T>>) -> Vec<T> {
    let mut done: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    poll_fn(|context| {
        for (future, done) in futures.iter_mut().zip(&mut done).filter(|(_, done)| done.is_none()) {
            if let Poll::Ready(ready) = future.as_mut().poll(context) {
                *done = Some(ready);
            }
        }
        if done.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}
