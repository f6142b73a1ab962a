//! fjall: an LSM tree with a journal, in Rust.

use fjall::{Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions, PersistMode};

use super::Kind;
use crate::engine::{About, CACHE, Engine, Promise, Result, Setup, Shape, WRITE_BUFFER};

pub(crate) const KIND: Kind = Kind {
    about: About {
        id: "fjall",
        name: "fjall",
        version: || super::locked("fjall"),
        lsm: true,
        setup: "64 MiB memtable, 512 MiB cache, LZ4 and bloom filters as by default; key-value separation for \
                bodies; batches by WriteBatch; ranges deleted key by key in batches of weak tombstones, for it has no \
                range delete",
        docs: "https://docs.rs/fjall/latest/fjall/struct.KeyspaceCreateOptions.html",
        kill: "every acknowledged put: each is handed to the operating system",
        outlives_kill: true,
        power: "every acknowledged put: persisted with SyncData",
        outlives_power: true,
    },
    open,
};

struct Fjall {
    database: Database,
    entries: Keyspace,
    promise: Promise,
}

fn open(setup: &Setup) -> Result<Box<dyn Engine>> {
    let database = Database::builder(&setup.dir).cache_size(CACHE as u64).open()?;
    let entries = database.keyspace("entries", || {
        let options = KeyspaceCreateOptions::default().max_memtable_size(WRITE_BUFFER as u64);
        let apart = (setup.shape == Shape::Bodies).then(KvSeparationOptions::default);
        options.with_kv_separation(apart)
    })?;
    Ok(Box::new(Fjall { database, entries, promise: setup.promise }))
}

impl Fjall {
    /// How a write is persisted beyond the operating system's buffers, if it has to be.
    fn durability(&self) -> Option<PersistMode> {
        (self.promise == Promise::Power).then_some(PersistMode::SyncData)
    }
}

impl Engine for Fjall {
    fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.entries.insert(key, value)?;
        if let Some(mode) = self.durability() {
            self.database.persist(mode)?;
        }
        Ok(())
    }

    fn append_batch(&self, entries: &[(&[u8], &[u8])]) -> Result<()> {
        let mut batch = self.database.batch().durability(self.durability());
        for (key, value) in entries {
            batch.insert(&self.entries, *key, *value);
        }
        Ok(batch.commit()?)
    }

    fn get(&self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let value = self.entries.get(key)?;
        if let Some(value) = &value {
            see(value);
        }
        Ok(value.is_some())
    }

    fn size(&self, key: &[u8]) -> Result<Option<u64>> {
        Ok(self.entries.size_of(key)?.map(u64::from))
    }

    fn exists(&self, key: &[u8]) -> Result<bool> {
        Ok(self.entries.contains_key(key)?)
    }

    fn list(&self, prefix: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<()> {
        for entry in self.entries.prefix(prefix) {
            see(&entry.key()?);
        }
        Ok(())
    }

    fn scan(&self, prefix: &[u8], see: &mut dyn FnMut(&[u8], &[u8])) -> Result<()> {
        for entry in self.entries.prefix(prefix) {
            let (key, value) = entry.into_inner()?;
            see(&key, &value);
        }
        Ok(())
    }

    fn scan_from(&self, start: &[u8], count: usize, see: &mut dyn FnMut(&[u8], &[u8])) -> Result<()> {
        for entry in self.entries.range(start..).take(count) {
            let (key, value) = entry.into_inner()?;
            see(&key, &value);
        }
        Ok(())
    }

    fn delete_range(&self, start: &[u8], end: &[u8]) -> Result<()> {
        let mut batch = self.database.batch().durability(self.durability());
        for entry in self.entries.range(start..end) {
            batch.remove_weak(&self.entries, entry.key()?);
        }
        Ok(batch.commit()?)
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.database.persist(PersistMode::SyncAll)?)
    }
}
