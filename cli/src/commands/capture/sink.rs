//! Writing what was captured, many lines at a time where many are there.

use siltstone::{Batch, PutOptions, Store};

use crate::exit::Result;

/// A value of this length is worth no copy: it is written alone.
const ALONE: usize = 64 << 10;

pub(crate) struct Sink<'s> {
    store: &'s Store,
    options: PutOptions,
    batch: Batch,
    written: u64,
}

impl<'s> Sink<'s> {
    pub(crate) fn new(store: &'s Store) -> Self {
        let options = PutOptions::new().content_type("application/json");
        Self { store, options, batch: Batch::new(), written: 0 }
    }

    /// Adds an entry. It is in the store after the next [`Sink::write`].
    pub(crate) fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        if value.len() < ALONE {
            self.batch.put_with(key, value, &self.options);
            return Ok(());
        }
        self.write()?;
        self.store.put_with(key, value, &self.options)?;
        self.written += 1;
        Ok(())
    }

    pub(crate) fn write(&mut self) -> Result<()> {
        let len = self.batch.len() as u64;
        self.store.write(std::mem::take(&mut self.batch))?;
        self.written += len;
        Ok(())
    }

    /// How many entries the store has taken.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }
}
