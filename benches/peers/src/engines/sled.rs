//! sled: a lock-free tree on a log, in Rust.

use sled::{Batch, Config, Db, Mode};

use super::Kind;
use crate::engine::{About, CACHE, Engine, Promise, Result, Setup};

pub(crate) const KIND: Kind = Kind {
    about: About {
        id: "sled",
        name: "sled",
        version: || super::locked("sled"),
        lsm: false,
        setup: "512 MiB cache, Mode::HighThroughput; a flush after each put where a power cut is to be outlived; \
                batches by apply_batch; ranges deleted with a batch of removes; flush_async for many in flight",
        docs: "https://docs.rs/sled/0.34/sled/struct.Config.html",
        kill: "all but the last half second (flush_every_ms, its default)",
        outlives_kill: false,
        power: "none for sure: by its word what was flushed, but on Linux it flushes by sync_file_range, which does \
                not make the disk write its cache, nor a file its new length",
        outlives_power: false,
    },
    open,
};

struct Sled {
    db: Db,
    flush: bool,
}

fn open(setup: &Setup) -> Result<Box<dyn Engine>> {
    let config = Config::new().path(&setup.dir).cache_capacity(CACHE as u64).mode(Mode::HighThroughput);
    Ok(Box::new(Sled { db: config.open()?, flush: setup.promise == Promise::Power }))
}

impl Sled {
    fn flushed(&self) -> Result<()> {
        if self.flush {
            self.db.flush()?;
        }
        Ok(())
    }

    fn fly(&self, entries: &[(&[u8], &[u8])]) -> Result<()> {
        let mut flight = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            self.db.insert(key, *value)?;
            flight.push(self.db.flush_async());
        }
        for flushed in flight {
            pollster::block_on(flushed)?;
        }
        Ok(())
    }
}

impl Engine for Sled {
    fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.db.insert(key, value)?;
        self.flushed()
    }

    fn append_batch(&self, entries: &[(&[u8], &[u8])]) -> Result<()> {
        let mut batch = Batch::default();
        for (key, value) in entries {
            batch.insert(*key, *value);
        }
        self.db.apply_batch(batch)?;
        self.flushed()
    }

    fn get(&self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let value = self.db.get(key)?;
        if let Some(value) = &value {
            see(value);
        }
        Ok(value.is_some())
    }

    fn size(&self, key: &[u8]) -> Result<Option<u64>> {
        Ok(self.db.get(key)?.map(|value| value.len() as u64))
    }

    fn exists(&self, key: &[u8]) -> Result<bool> {
        Ok(self.db.contains_key(key)?)
    }

    fn list(&self, prefix: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<()> {
        for key in self.db.scan_prefix(prefix).keys() {
            see(&key?);
        }
        Ok(())
    }

    fn scan(&self, prefix: &[u8], see: &mut dyn FnMut(&[u8], &[u8])) -> Result<()> {
        for entry in self.db.scan_prefix(prefix) {
            let (key, value) = entry?;
            see(&key, &value);
        }
        Ok(())
    }

    fn scan_from(&self, start: &[u8], count: usize, see: &mut dyn FnMut(&[u8], &[u8])) -> Result<()> {
        for entry in self.db.range(start..).take(count) {
            let (key, value) = entry?;
            see(&key, &value);
        }
        Ok(())
    }

    fn delete_range(&self, start: &[u8], end: &[u8]) -> Result<()> {
        let mut batch = Batch::default();
        for key in self.db.range(start..end).keys() {
            batch.remove(key?);
        }
        self.db.apply_batch(batch)?;
        self.flushed()
    }

    fn put_in_flight(&self, entries: &[(&[u8], &[u8])]) -> Option<Result<()>> {
        Some(self.fly(entries))
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.db.flush()?;
        Ok(())
    }
}
