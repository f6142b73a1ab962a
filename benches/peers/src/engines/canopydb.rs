//! canopydb: a B+ tree with a write-ahead log, in Rust.

use canopydb::{Database, DbOptions, EnvOptions, Error, ReadTransaction, Tree};

use super::Kind;
use super::newest::{Newest, wrote};
use crate::engine::{About, CACHE, Engine, Fault, Promise, Result, Setup, WRITE_BUFFER};

pub(crate) const KIND: Kind = Kind {
    about: About {
        id: "canopydb",
        name: "canopydb",
        version: || super::locked("canopydb"),
        lsm: false,
        setup: "512 MiB page cache, 64 MiB checkpoints, page checksums on; one transaction a put, concurrent ones where \
                commits are synced; a thread keeps its read transaction until something was written",
        docs: "https://docs.rs/canopydb/latest/canopydb/struct.DbOptions.html",
        kill: "every acknowledged put: each is written to the log",
        outlives_kill: true,
        power: "every acknowledged put: commits are synced",
        outlives_power: true,
    },
    open,
};

const ENTRIES: &[u8] = b"entries";

thread_local! {
    static READER: Newest<ReadTransaction> = const { Newest::new() };
}

struct Canopy {
    database: Database,
    sync: bool,
}

fn open(setup: &Setup) -> Result<Box<dyn Engine>> {
    let mut env = EnvOptions::new(&setup.dir);
    env.page_cache_size = CACHE;
    env.use_checksums = true;
    let mut options = DbOptions::new();
    options.checkpoint_target_size = WRITE_BUFFER;
    let database = Database::with_options(env, options)?;
    let txn = database.begin_write()?;
    txn.get_or_create_tree(ENTRIES)?;
    txn.commit()?;
    Ok(Box::new(Canopy { database, sync: setup.promise == Promise::Power }))
}

impl Canopy {
    /// Where commits are synced, transactions run at once, and one that another has got in the way of is tried
    /// again. Committing without a sync and calling `Database::sync` afterwards would let more of them share one, but
    /// 0.2.5 returns from it at once, before anything is durable, while another thread's is under way.
    fn write(&self, write: impl Fn(&mut Tree<'_>) -> std::result::Result<(), Error>) -> Result<()> {
        READER.with(Newest::forget);
        let attempt = || {
            let txn = self.database.begin_write_with(self.sync)?;
            write(&mut txn.get_or_create_tree(ENTRIES)?)?;
            txn.commit_with(self.sync)
        };
        while match attempt() {
            Err(Error::WriteConflict) => true,
            done => done.map(|_| false)?,
        } {}
        wrote();
        Ok(())
    }

    fn read<T>(&self, read: impl FnOnce(&Tree<'_>) -> std::result::Result<T, Error>) -> Result<T> {
        let make = || -> Result<_> { Ok(self.database.begin_read()?) };
        READER.with(|reader| {
            reader.read(make, |txn| {
                let tree = txn.get_tree(ENTRIES)?;
                Ok(read(&tree.ok_or_else(|| Fault::from("canopydb has lost its tree"))?)?)
            })
        })
    }
}

impl Engine for Canopy {
    fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.write(|tree| tree.insert(key, value))
    }

    fn append_batch(&self, entries: &[(&[u8], &[u8])]) -> Result<()> {
        self.write(|tree| entries.iter().try_for_each(|(key, value)| tree.insert(key, value)))
    }

    fn get(&self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        self.read(|tree| Ok(tree.get(key)?.map(|value| see(&value)).is_some()))
    }

    fn size(&self, key: &[u8]) -> Result<Option<u64>> {
        self.read(|tree| Ok(tree.get(key)?.map(|value| value.len() as u64)))
    }

    fn exists(&self, key: &[u8]) -> Result<bool> {
        self.read(|tree| Ok(tree.get(key)?.is_some()))
    }

    fn list(&self, prefix: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<()> {
        self.read(|tree| {
            let keys = if prefix.is_empty() { tree.keys() } else { tree.prefix_keys(&prefix) };
            for key in keys? {
                see(&key?);
            }
            Ok(())
        })
    }

    fn scan(&self, prefix: &[u8], see: &mut dyn FnMut(&[u8], &[u8])) -> Result<()> {
        self.read(|tree| {
            let entries = if prefix.is_empty() { tree.iter() } else { tree.prefix(&prefix) };
            for entry in entries? {
                let (key, value) = entry?;
                see(&key, &value);
            }
            Ok(())
        })
    }

    fn scan_from(&self, start: &[u8], count: usize, see: &mut dyn FnMut(&[u8], &[u8])) -> Result<()> {
        self.read(|tree| {
            for entry in tree.range(start..)?.take(count) {
                let (key, value) = entry?;
                see(&key, &value);
            }
            Ok(())
        })
    }

    fn delete_range(&self, start: &[u8], end: &[u8]) -> Result<()> {
        self.write(|tree| tree.delete_range(start..end))
    }

    fn close(self: Box<Self>) -> Result<()> {
        READER.with(Newest::forget);
        self.database.checkpoint()?;
        Ok(self.database.sync()?)
    }
}
