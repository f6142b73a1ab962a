//! Siltstone, with its defaults.

use siltstone::{Batch, Options, Store, SyncPolicy};

use super::Kind;
use crate::engine::{About, Engine, Promise, Result, Setup};

pub(crate) const KIND: Kind = Kind {
    about: About {
        id: super::OURS,
        name: "Siltstone",
        version: || super::locked("siltstone"),
        lsm: true,
        setup: "defaults: 128 MiB of memory in all, no cache of its own; sync-on-boundary, or immediate",
        docs: "README.md of this repository",
        kill: "every acknowledged put",
        outlives_kill: true,
        power: "every acknowledged put",
        outlives_power: true,
    },
    open,
};

struct Siltstone(Store);

fn open(setup: &Setup) -> Result<Box<dyn Engine>> {
    let policy = match setup.promise {
        Promise::Kill => SyncPolicy::SyncOnBoundary,
        Promise::Power => SyncPolicy::Immediate,
    };
    Ok(Box::new(Siltstone(Options::new().sync_policy(policy).open(&setup.dir)?)))
}

impl Engine for Siltstone {
    fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.0.put(key, value)?;
        Ok(())
    }

    fn append_batch(&self, entries: &[(&[u8], &[u8])]) -> Result<()> {
        let mut batch = Batch::new();
        for (key, value) in entries {
            batch.put(key, value);
        }
        self.0.write(&batch)?;
        Ok(())
    }

    fn get(&self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let value = self.0.get(key)?;
        if let Some(value) = &value {
            see(value);
        }
        Ok(value.is_some())
    }

    fn size(&self, key: &[u8]) -> Result<Option<u64>> {
        Ok(self.0.stat(key)?.map(|stat| stat.size()))
    }

    fn exists(&self, key: &[u8]) -> Result<bool> {
        Ok(self.0.exists(key)?)
    }

    fn list(&self, prefix: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<()> {
        let mut list = self.0.list(prefix)?;
        while let Some(key) = list.next_ref() {
            see(key?);
        }
        Ok(())
    }

    fn scan(&self, prefix: &[u8], see: &mut dyn FnMut(&[u8], &[u8])) -> Result<()> {
        let mut scan = self.0.scan_prefix(prefix)?;
        while let Some(item) = scan.next_ref() {
            let item = item?;
            see(item.key(), &item.value()?);
        }
        Ok(())
    }

    fn scan_from(&self, start: &[u8], count: usize, see: &mut dyn FnMut(&[u8], &[u8])) -> Result<()> {
        let mut scan = self.0.scan(start..)?;
        for _ in 0..count {
            let Some(item) = scan.next_ref() else { break };
            let item = item?;
            see(item.key(), &item.value()?);
        }
        Ok(())
    }

    fn delete_range(&self, start: &[u8], end: &[u8]) -> Result<()> {
        self.0.delete_range(start..end)?;
        Ok(())
    }

    fn put_in_flight(&self, entries: &[(&[u8], &[u8])]) -> Option<Result<()>> {
        Some(self.fly(entries))
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.0.close()?)
    }
}

impl Siltstone {
    fn fly(&self, entries: &[(&[u8], &[u8])]) -> Result<()> {
        let mut flight = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let mut batch = Batch::new();
            batch.put(key, value);
            flight.push(self.0.durable(self.0.submit(&batch)?));
        }
        for durable in flight {
            pollster::block_on(durable)?;
        }
        Ok(())
    }
}
