//! A reader that each thread keeps: engines that read in transactions would otherwise begin one for each get.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts the writes of the one store that this process has open.
static WRITES: AtomicU64 = AtomicU64::new(0);

/// To be called after each write.
pub(crate) fn wrote() {
    WRITES.fetch_add(1, Ordering::Release);
}

/// One thread's reader, with the number of writes that it has seen.
pub(crate) struct Newest<R>(RefCell<Option<(u64, R)>>);

impl<R> Newest<R> {
    pub(crate) const fn new() -> Self {
        Self(RefCell::new(None))
    }

    /// Reads with the kept reader if nothing was written since it was made, with a new one otherwise. The old one
    /// goes before the new one is made: some engines allow a thread one only.
    pub(crate) fn read<T, E>(
        &self,
        make: impl FnOnce() -> Result<R, E>,
        read: impl FnOnce(&R) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut kept = self.0.borrow_mut();
        let writes = WRITES.load(Ordering::Acquire);
        let (_, reader) = match kept.take_if(|(seen, _)| *seen != writes) {
            Some(old) => {
                drop(old);
                kept.insert((writes, make()?))
            }
            None => match &mut *kept {
                Some(reader) => reader,
                none => none.insert((writes, make()?)),
            },
        };
        read(reader)
    }

    /// Lets go of it, so that it keeps no old version alive while this thread writes.
    pub(crate) fn forget(&self) {
        *self.0.borrow_mut() = None;
    }
}
