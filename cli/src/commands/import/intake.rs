//! Entries on their way into the store, some at a time.

use siltstone::{Batch, PutOptions, SerializationFormat, Store};

use crate::exit::Result;

/// So many bytes are written together.
const TOGETHER: usize = 1 << 20;

pub(super) struct Intake<F> {
    /// In which format metadata is written that does not bring its own.
    pub(super) format: SerializationFormat,
    open: Option<F>,
    store: Option<Store>,
    batch: Batch,
    entries: u64,
}

impl<F: FnOnce() -> Result<Store>> Intake<F> {
    /// The store is opened when it is clear that there is something to store, or nothing wrong.
    pub(super) fn new(format: SerializationFormat, open: F) -> Self {
        Self { format, open: Some(open), store: None, batch: Batch::new(), entries: 0 }
    }

    fn store(&mut self) -> Result<Option<&Store>> {
        if let Some(open) = self.open.take() {
            self.store = Some(open()?);
        }
        Ok(self.store.as_ref())
    }

    pub(super) fn put(&mut self, key: &[u8], value: &[u8], options: &PutOptions) -> Result<()> {
        self.batch.put_with(key, value, options);
        if self.batch.bytes() >= TOGETHER { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<()> {
        let batch = std::mem::take(&mut self.batch);
        if let Some(store) = self.store()? {
            store.write(&batch)?;
        }
        self.entries += batch.len() as u64;
        Ok(())
    }

    /// Stores what came before something went wrong; how many entries that were. Nothing makes no store.
    pub(super) fn stop(self) -> Result<u64> {
        if self.batch.is_empty() && self.store.is_none() { Ok(0) } else { self.finish() }
    }

    /// Stores what is left; how many entries there were.
    pub(super) fn finish(mut self) -> Result<u64> {
        self.write()?;
        if let Some(store) = &self.store {
            store.close()?;
        }
        Ok(self.entries)
    }
}
