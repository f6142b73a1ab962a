//! redb: a copy-on-write B+ tree in one file, in Rust.

use redb::{Database, Durability, ReadOnlyTable, ReadableDatabase, Table, TableDefinition};

use super::Kind;
use super::newest::{Newest, wrote};
use crate::engine::{About, CACHE, Engine, Promise, Result, Setup, prefix_end};

pub(crate) const KIND: Kind = Kind {
    about: About {
        id: "redb",
        name: "redb",
        version: || super::locked("redb"),
        lsm: false,
        setup: "512 MiB cache; one transaction a put; a thread keeps its read transaction until something was \
                written; ranges deleted with retain_in",
        docs: "https://docs.rs/redb/latest/redb/enum.Durability.html",
        kill: "nothing since the last synced commit (Durability::None): it has no mode between that and a sync",
        outlives_kill: false,
        power: "every acknowledged put (Durability::Immediate)",
        outlives_power: true,
    },
    open,
};

type Bytes = &'static [u8];

const ENTRIES: TableDefinition<Bytes, Bytes> = TableDefinition::new("entries");

thread_local! {
    static READER: Newest<ReadOnlyTable<Bytes, Bytes>> = const { Newest::new() };
}

struct Redb {
    database: Database,
    durability: Durability,
}

fn open(setup: &Setup) -> Result<Box<dyn Engine>> {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE);
    let database = builder.create(setup.dir.join("redb"))?;
    let txn = database.begin_write()?;
    txn.open_table(ENTRIES)?;
    txn.commit()?;
    let durability = match setup.promise {
        Promise::Kill => Durability::None,
        Promise::Power => Durability::Immediate,
    };
    Ok(Box::new(Redb { database, durability }))
}

impl Redb {
    fn write(&self, write: impl FnOnce(&mut Table<'_, Bytes, Bytes>) -> redb::Result<()>) -> Result<()> {
        READER.with(Newest::forget);
        let mut txn = self.database.begin_write()?;
        txn.set_durability(self.durability)?;
        write(&mut txn.open_table(ENTRIES)?)?;
        txn.commit()?;
        wrote();
        Ok(())
    }

    fn read<T>(&self, read: impl FnOnce(&ReadOnlyTable<Bytes, Bytes>) -> redb::Result<T>) -> Result<T> {
        let make = || -> Result<_> { Ok(self.database.begin_read()?.open_table(ENTRIES)?) };
        READER.with(|reader| reader.read(make, |table| Ok(read(table)?)))
    }
}

impl Engine for Redb {
    fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.write(|table| table.insert(key, value).map(drop))
    }

    fn append_batch(&self, entries: &[(&[u8], &[u8])]) -> Result<()> {
        self.write(|table| entries.iter().try_for_each(|(key, value)| table.insert(*key, *value).map(drop)))
    }

    fn get(&self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        self.read(|table| Ok(table.get(key)?.map(|value| see(value.value())).is_some()))
    }

    fn size(&self, key: &[u8]) -> Result<Option<u64>> {
        self.read(|table| Ok(table.get(key)?.map(|value| value.value().len() as u64)))
    }

    fn exists(&self, key: &[u8]) -> Result<bool> {
        self.read(|table| Ok(table.get(key)?.is_some()))
    }

    fn list(&self, prefix: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<()> {
        self.scan(prefix, &mut |key, _| see(key))
    }

    fn scan(&self, prefix: &[u8], see: &mut dyn FnMut(&[u8], &[u8])) -> Result<()> {
        let end = prefix_end(prefix);
        self.read(|table| {
            let entries = match end.as_deref() {
                Some(end) => table.range::<&[u8]>(prefix..end)?,
                None => table.range::<&[u8]>(prefix..)?,
            };
            for entry in entries {
                let (key, value) = entry?;
                see(key.value(), value.value());
            }
            Ok(())
        })
    }

    fn scan_from(&self, start: &[u8], count: usize, see: &mut dyn FnMut(&[u8], &[u8])) -> Result<()> {
        self.read(|table| {
            for entry in table.range::<&[u8]>(start..)?.take(count) {
                let (key, value) = entry?;
                see(key.value(), value.value());
            }
            Ok(())
        })
    }

    fn delete_range(&self, start: &[u8], end: &[u8]) -> Result<()> {
        self.write(|table| table.retain_in::<&[u8], _>(start..end, |_, _| false))
    }

    fn close(self: Box<Self>) -> Result<()> {
        READER.with(Newest::forget);
        // A commit that is synced takes those before it along.
        self.database.begin_write()?.commit()?;
        Ok(self.database.close()?)
    }
}
