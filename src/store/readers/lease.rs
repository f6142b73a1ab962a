//! How a reader holds what it reads: as its own, or lent, if the store has a limit to how old readers may get.
//! What is lent can be taken back from a reader that sleeps.

use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{MappedMutexGuard, Mutex, MutexGuard};

use crate::error::{Error, Result};
use crate::metrics::Counter;
use crate::store::readers::{Kind, Readers, Token};
use crate::store::scan::Walk;
use crate::store::view::View;

pub(crate) enum Held<T> {
    Own(T),
    Lent(Arc<Loan<T>>),
}

impl<T: Clone> Clone for Held<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Own(own) => Self::Own(own.clone()),
            Self::Lent(loan) => Self::Lent(loan.clone()),
        }
    }
}

pub(crate) struct Loan<T> {
    readers: Arc<Readers>,
    since: Duration,
    what: Mutex<Option<T>>,
    /// Whether it is a reader of its own, and not a part of one.
    is_reader: bool,
}

impl<T: Send + 'static> Held<T> {
    /// What a reader that has been there since then shall hold.
    fn new(readers: &Arc<Readers>, since: Duration, what: T, is_reader: bool) -> Self {
        if readers.limit.is_none() {
            return Self::Own(what);
        }
        let loan = Loan { readers: readers.clone(), since, what: Mutex::new(Some(what)), is_reader };
        let loan = Arc::new(loan);
        readers.loans.add(Arc::downgrade(&loan) as Weak<dyn Lent>);
        Self::Lent(loan)
    }
}

impl Held<Arc<View>> {
    pub(crate) fn view(readers: &Arc<Readers>, since: Duration, view: Arc<View>) -> Self {
        Self::new(readers, since, view, true)
    }

    /// What an item holds that comes from this view.
    pub(crate) fn item(view: &Arc<View>, lender: Option<&Lender>) -> Self {
        lender.map_or_else(|| Self::Own(view.clone()), |lender| Self::Lent(lender.clone()))
    }

    /// The view, for as long as it takes to hand it on, and who lent it; unless it was taken back.
    pub(crate) fn get(&self) -> Result<(Arc<View>, Option<Lender>)> {
        match self {
            Self::Own(view) => Ok((view.clone(), None)),
            Self::Lent(loan) => Ok((loan.lock()?.clone(), Some(loan.clone()))),
        }
    }

    /// Reads the view, unless it was taken back.
    #[inline]
    pub(crate) fn with<R>(&self, read: impl FnOnce(&Arc<View>) -> Result<R>) -> Result<R> {
        match self {
            Self::Own(view) => read(view),
            // Others may read it at the same time.
            Self::Lent(_) => read(&self.get()?.0),
        }
    }
}

/// Whoever lent a view, and may take it back.
pub(crate) type Lender = Arc<Loan<Arc<View>>>;

impl<T: Send> Loan<T> {
    /// What was lent, unless it was taken back; and it is, if it was lent for too long.
    fn lock(&self) -> Result<MappedMutexGuard<'_, T>> {
        if !self.readers.is_too_old(self.since)
            && let Ok(what) = MutexGuard::try_map(self.what.lock(), Option::as_mut)
        {
            return Ok(what);
        }
        self.take_back();
        Err(self.readers.too_old(self.since))
    }
}

/// What can be taken back.
trait Lent: Send + Sync {
    fn since(&self) -> Duration;

    /// Whether that cut a reader off.
    fn take_back(&self) -> bool;
}

impl<T: Send> Lent for Loan<T> {
    fn since(&self) -> Duration {
        self.since
    }

    fn take_back(&self) -> bool {
        let taken = self.what.lock().take();
        let cut_off = taken.is_some() && self.is_reader;
        // Files are unmapped, and memory is freed, without a lock.
        drop(taken);
        self.readers.loans.cut_off.add(u64::from(cut_off));
        cut_off
    }
}

/// All that was lent and may not have been given back. Of readers without a limit there is nothing in it.
#[derive(Default)]
pub(super) struct Loans {
    list: Mutex<Vec<Weak<dyn Lent>>>,
    cut_off: Counter,
}

impl Loans {
    fn add(&self, loan: Weak<dyn Lent>) {
        let mut list = self.list.lock();
        if list.len() == list.capacity() {
            list.retain(|loan| loan.strong_count() > 0);
        }
        list.push(loan);
    }

    /// How many readers were ever cut off.
    pub(super) fn count(&self) -> u64 {
        self.cut_off.get()
    }

    /// Takes back what was lent before this time. How many readers that cut off, and since when the oldest of the
    /// others has been there.
    pub(super) fn cut_off(&self, before: Option<Duration>) -> (u64, Option<Duration>) {
        let loans: Vec<_> = self.list.lock().iter().filter_map(Weak::upgrade).collect();
        let is_too_old = |since| before.is_some_and(|before| since < before);
        let (old, young): (Vec<_>, Vec<_>) = loans.into_iter().partition(|loan| is_too_old(loan.since()));
        let cut_off = old.iter().filter(|loan| loan.take_back()).count();
        (cut_off as u64, young.iter().map(|loan| loan.since()).min())
    }
}

/// An iterator's way through a snapshot, in the hands of whoever iterates.
pub(crate) struct Walking {
    /// Nothing if it was cut off before it began.
    walk: Option<Held<Walk>>,
    /// Why it was cut off, as long as that was not said.
    error: Option<Error>,
    is_over: bool,
    _token: Token,
}

impl Walking {
    pub(crate) fn new(readers: &Arc<Readers>, (since, seq): (Duration, u64), walk: Result<Walk>) -> Self {
        let token = Token::new(readers, Kind::Iterator, since, seq);
        let (walk, error) = match walk {
            Ok(walk) => (Some(Held::new(readers, since, walk, false)), None),
            Err(error) => (None, Some(error)),
        };
        Self { walk, error, is_over: false, _token: token }
    }

    /// Goes on with it, or ends with the error that it is too old.
    #[inline]
    pub(crate) fn go<R>(&mut self, step: impl FnOnce(&mut Walk) -> Option<Result<R>>) -> Option<Result<R>> {
        match &mut self.walk {
            Some(Held::Own(walk)) => step(walk),
            _ => self.go_on_loan(step),
        }
    }

    /// The walk itself, unless it is lent and may be taken back.
    #[inline]
    pub(crate) fn own(&mut self) -> Option<&mut Walk> {
        match &mut self.walk {
            Some(Held::Own(walk)) => Some(walk),
            _ => None,
        }
    }

    /// Apart, for the other way must not pay for it.
    #[cold]
    #[inline(never)]
    fn go_on_loan<R>(&mut self, step: impl FnOnce(&mut Walk) -> Option<Result<R>>) -> Option<Result<R>> {
        let Some(Held::Lent(loan)) = &self.walk else { return self.error.take().map(Err) };
        match loan.lock() {
            Ok(mut walk) => step(&mut walk),
            Err(_) if std::mem::replace(&mut self.is_over, true) => None,
            Err(error) => Some(Err(error)),
        }
    }
}
