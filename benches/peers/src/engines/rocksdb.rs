//! RocksDB: an LSM tree with a journal, in C++. Behind the feature `rocksdb`, since it takes long to build.

use rocksdb::{
    BlockBasedOptions, Cache, DB, DBCompressionType, Direction, IteratorMode, Options, WriteBatch,
    WriteOptions,
};

use super::Kind;
use crate::engine::{About, CACHE, Engine, Promise, Result, Setup, Shape, WRITE_BUFFER, prefix_end};

pub(crate) const KIND: Kind = Kind {
    about: About {
        id: "rocksdb",
        name: "RocksDB",
        version: || super::locked("librocksdb-sys"),
        lsm: true,
        setup: "64 MiB write buffer, 512 MiB block cache, LZ4, 10-bit bloom filter, blob files for bodies, a background \
                job for each core; DeleteRange",
        docs: "https://github.com/facebook/rocksdb/wiki/Setup-Options-and-Basic-Tuning",
        kill: "every acknowledged put: each is handed to the operating system",
        outlives_kill: true,
        power: "every acknowledged put: WriteOptions::sync",
        outlives_power: true,
    },
    open,
};

struct Rocks {
    db: DB,
    sync: bool,
}

fn open(setup: &Setup) -> Result<Box<dyn Engine>> {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&Cache::new_lru_cache(CACHE));
    table.set_bloom_filter(10.0, false);
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    table.set_block_size(16 << 10);
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_block_based_table_factory(&table);
    options.set_write_buffer_size(WRITE_BUFFER);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_level_compaction_dynamic_level_bytes(true);
    options.set_bytes_per_sync(1 << 20);
    options.increase_parallelism(std::thread::available_parallelism().map_or(2, |cores| cores.get() as i32));
    options.set_enable_blob_files(setup.shape == Shape::Bodies);
    let db = DB::open(&options, &setup.dir)?;
    Ok(Box::new(Rocks { db, sync: setup.promise == Promise::Power }))
}

impl Rocks {
    fn options(&self) -> WriteOptions {
        let mut options = WriteOptions::default();
        options.set_sync(self.sync);
        options
    }

    fn walk(
        &self,
        start: &[u8],
        end: Option<&[u8]>,
        count: usize,
        see: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<()> {
        let mut options = rocksdb::ReadOptions::default();
        if let Some(end) = end {
            options.set_iterate_upper_bound(end);
        }
        for entry in self.db.iterator_opt(IteratorMode::From(start, Direction::Forward), options).take(count)
        {
            let (key, value) = entry?;
            see(&key, &value);
        }
        Ok(())
    }
}

impl Engine for Rocks {
    fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        Ok(self.db.put_opt(key, value, &self.options())?)
    }

    fn append_batch(&self, entries: &[(&[u8], &[u8])]) -> Result<()> {
        let mut batch = WriteBatch::default();
        for (key, value) in entries {
            batch.put(key, value);
        }
        Ok(self.db.write_opt(batch, &self.options())?)
    }

    fn get(&self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let value = self.db.get_pinned(key)?;
        if let Some(value) = &value {
            see(value);
        }
        Ok(value.is_some())
    }

    fn size(&self, key: &[u8]) -> Result<Option<u64>> {
        Ok(self.db.get_pinned(key)?.map(|value| value.len() as u64))
    }

    fn exists(&self, key: &[u8]) -> Result<bool> {
        Ok(self.db.key_may_exist(key) && self.db.get_pinned(key)?.is_some())
    }

    fn list(&self, prefix: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<()> {
        self.scan(prefix, &mut |key, _| see(key))
    }

    fn scan(&self, prefix: &[u8], see: &mut dyn FnMut(&[u8], &[u8])) -> Result<()> {
        self.walk(prefix, prefix_end(prefix).as_deref(), usize::MAX, see)
    }

    fn scan_from(&self, start: &[u8], count: usize, see: &mut dyn FnMut(&[u8], &[u8])) -> Result<()> {
        self.walk(start, None, count, see)
    }

    fn delete_range(&self, start: &[u8], end: &[u8]) -> Result<()> {
        let mut batch = WriteBatch::default();
        batch.delete_range(start, end);
        Ok(self.db.write_opt(batch, &self.options())?)
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.db.flush_wal(true)?)
    }
}
