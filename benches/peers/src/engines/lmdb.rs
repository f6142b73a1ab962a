//! LMDB through heed: a copy-on-write B+ tree in a memory map, in C.

use std::ops::Bound;

use heed::types::Bytes;
use heed::{CommitOrAbort, Database, Env, EnvFlags, EnvOpenOptions, PutFlags, RoTxn, RwTxn, WithTls};

use super::Kind;
use super::newest::{Newest, wrote};
use crate::engine::{About, Engine, Promise, Result, Setup, prefix_end};

pub(crate) const KIND: Kind = Kind {
    about: About {
        id: "lmdb",
        name: "LMDB",
        version: || format!("{}, heed {}", lmdb_version(), super::locked("heed")),
        lsm: false,
        setup: "one transaction a put, MDB_APPEND where keys come in order, MDB_NOSYNC with a writable map where a \
                kill is to be outlived; a thread keeps its read transaction until something was written; no write \
                buffer, no cache but the page cache",
        docs: "http://www.lmdb.tech/doc/group__mdb.html",
        kill: "every acknowledged put; without syncs, a power cut may leave a damaged database",
        outlives_kill: true,
        power: "every acknowledged put: each commit is synced",
        outlives_power: true,
    },
    open,
};

fn lmdb_version() -> String {
    let version = heed::lmdb_version();
    format!("{}.{}.{}", version.major, version.minor, version.patch)
}

/// The address space that the map takes, in bytes; the file is as long as what is in it.
const MAP: usize = 128 << 30;

thread_local! {
    static READER: Newest<RoTxn<'static, WithTls>> = const { Newest::new() };
}

struct Lmdb {
    /// Never let go of: the database and the readers of all threads borrow it until the process ends.
    env: &'static Env,
    entries: Database<'static, Bytes, Bytes>,
}

fn open(setup: &Setup) -> Result<Box<dyn Engine>> {
    let mut options = EnvOpenOptions::new();
    options.map_size(MAP);
    let flags = match setup.promise {
        Promise::Kill => EnvFlags::NO_SYNC | EnvFlags::WRITE_MAP,
        Promise::Power => EnvFlags::empty(),
    };
    // SAFETY: nobody else opens the directory while this process runs: each run has one of its own.
    #[allow(unsafe_code, reason = "a memory map of a file is only as safe as the file is left alone")]
    let env: &'static Env = Box::leak(Box::new(unsafe {
        options.flags(flags);
        options.open(&setup.dir)?
    }));
    let txn = env.write_txn()?;
    let made = env.create_databases_and_commit(txn, |opener, txn| {
        opener.create_database(txn, None).map(CommitOrAbort::<_, ()>::Commit)
    });
    let entries = made?.commit().ok_or("LMDB made no database")?;
    Ok(Box::new(Lmdb { env, entries }))
}

impl Lmdb {
    fn write<T>(&self, write: impl FnOnce(&mut RwTxn<'_>) -> heed::Result<T>) -> Result<T> {
        READER.with(Newest::forget);
        let mut txn = self.env.write_txn()?;
        let done = write(&mut txn)?;
        txn.commit()?;
        wrote();
        Ok(done)
    }

    fn read<T>(&self, read: impl FnOnce(&RoTxn<'static, WithTls>) -> heed::Result<T>) -> Result<T> {
        READER.with(|reader| Ok(reader.read(|| self.env.read_txn(), read)?))
    }
}

impl Engine for Lmdb {
    fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.write(|txn| self.entries.put(txn, key, value))
    }

    fn append(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.write(|txn| self.entries.put_with_flags(txn, PutFlags::APPEND, key, value))
    }

    fn append_batch(&self, entries: &[(&[u8], &[u8])]) -> Result<()> {
        let put = |txn: &mut RwTxn<'_>, (key, value): &(&[u8], &[u8])| {
            self.entries.put_with_flags(txn, PutFlags::APPEND, key, value)
        };
        self.write(|txn| entries.iter().try_for_each(|entry| put(txn, entry)))
    }

    fn get(&self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        self.read(|txn| Ok(self.entries.get(txn, key)?.map(see).is_some()))
    }

    fn size(&self, key: &[u8]) -> Result<Option<u64>> {
        self.read(|txn| Ok(self.entries.get(txn, key)?.map(|value| value.len() as u64)))
    }

    fn exists(&self, key: &[u8]) -> Result<bool> {
        self.read(|txn| Ok(self.entries.get(txn, key)?.is_some()))
    }

    fn list(&self, prefix: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<()> {
        self.scan(prefix, &mut |key, _| see(key))
    }

    fn scan(&self, prefix: &[u8], see: &mut dyn FnMut(&[u8], &[u8])) -> Result<()> {
        let end = prefix_end(prefix);
        // The empty key is none to LMDB.
        let start = if prefix.is_empty() { Bound::Unbounded } else { Bound::Included(prefix) };
        let range = (start, end.as_deref().map_or(Bound::Unbounded, Bound::Excluded));
        self.read(|txn| {
            for entry in self.entries.range(txn, &range)? {
                let (key, value) = entry?;
                see(key, value);
            }
            Ok(())
        })
    }

    fn scan_from(&self, start: &[u8], count: usize, see: &mut dyn FnMut(&[u8], &[u8])) -> Result<()> {
        let range = (Bound::Included(start), Bound::Unbounded);
        self.read(|txn| {
            for entry in self.entries.range(txn, &range)?.take(count) {
                let (key, value) = entry?;
                see(key, value);
            }
            Ok(())
        })
    }

    fn delete_range(&self, start: &[u8], end: &[u8]) -> Result<()> {
        let range = (Bound::Included(start), Bound::Excluded(end));
        self.write(|txn| self.entries.delete_range(txn, &range))?;
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<()> {
        READER.with(Newest::forget);
        Ok(self.env.force_sync()?)
    }
}
