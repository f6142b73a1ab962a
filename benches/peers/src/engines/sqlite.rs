//! SQLite through rusqlite: a B-tree with a write-ahead log, in C.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, Row, Rows, Statement, params};

use super::Kind;
use crate::engine::{About, CACHE, Engine, Promise, Result, Setup, Shape, WRITE_BUFFER, prefix_end};

pub(crate) const KIND: Kind = Kind {
    about: About {
        id: "sqlite",
        name: "SQLite",
        version: || format!("{}, rusqlite {}", rusqlite::version(), super::locked("rusqlite")),
        lsm: false,
        setup: "write-ahead log, checkpoint at 64 MiB, 512 MiB cache; WITHOUT ROWID, but for bodies, which are read \
                through a memory map; prepared statements and a connection for each thread, writers behind one mutex \
                rather than its busy handler; synchronous=NORMAL, or FULL",
        docs: "https://www.sqlite.org/wal.html, https://www.sqlite.org/withoutrowid.html, https://www.sqlite.org/mmap.html",
        kill: "every acknowledged put",
        outlives_kill: true,
        power: "every acknowledged put (synchronous=FULL)",
        outlives_power: true,
    },
    open,
};

const PAGE: usize = 4096;
/// How much of a file with bodies is read through a memory map, in bytes.
const MAP: usize = 4 << 30;

struct Sqlite {
    file: PathBuf,
    promise: Promise,
    shape: Shape,
    writer: Mutex<()>,
}

/// A thread's connection, open until the process ends, with its statements.
struct Session {
    connection: &'static Connection,
    put: Statement<'static>,
    get: Statement<'static>,
    size: Statement<'static>,
    exists: Statement<'static>,
    list: Statement<'static>,
    scan: Statement<'static>,
    from: Statement<'static>,
    delete: Statement<'static>,
}

thread_local! {
    static SESSION: RefCell<Option<Session>> = const { RefCell::new(None) };
}

fn open(setup: &Setup) -> Result<Box<dyn Engine>> {
    let file = setup.dir.join("sqlite");
    let sqlite = Sqlite { file, promise: setup.promise, shape: setup.shape, writer: Mutex::new(()) };
    sqlite.with(|_| Ok(()))?;
    Ok(Box::new(sqlite))
}

impl Session {
    fn open(file: &Path, promise: Promise, shape: Shape) -> rusqlite::Result<Self> {
        let connection: &'static Connection = Box::leak(Box::new(Connection::open(file)?));
        connection.busy_timeout(Duration::from_secs(60))?;
        let synchronous = if promise == Promise::Power { "FULL" } else { "NORMAL" };
        // Large values are read twice as fast from a memory map; for records it makes no difference.
        let (layout, mapped) = if shape == Shape::Bodies { ("", MAP) } else { ("WITHOUT ROWID", 0) };
        connection.execute_batch(&format!(
            "PRAGMA page_size = {PAGE}; PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous};
             PRAGMA cache_size = -{}; PRAGMA wal_autocheckpoint = {};
             PRAGMA mmap_size = {mapped};
             CREATE TABLE IF NOT EXISTS entries (key BLOB PRIMARY KEY NOT NULL, value BLOB NOT NULL) {layout};",
            CACHE / 1024,
            WRITE_BUFFER / PAGE,
        ))?;
        let bounded = "FROM entries WHERE key >= ?1 AND key < ?2 ORDER BY key";
        Ok(Self {
            connection,
            put: connection.prepare("INSERT OR REPLACE INTO entries VALUES (?1, ?2)")?,
            get: connection.prepare("SELECT value FROM entries WHERE key = ?1")?,
            size: connection.prepare("SELECT length(value) FROM entries WHERE key = ?1")?,
            exists: connection.prepare("SELECT 1 FROM entries WHERE key = ?1")?,
            list: connection.prepare(&format!("SELECT key {bounded}"))?,
            scan: connection.prepare(&format!("SELECT key, value {bounded}"))?,
            from: connection
                .prepare("SELECT key, value FROM entries WHERE key >= ?1 ORDER BY key LIMIT ?2")?,
            delete: connection.prepare("DELETE FROM entries WHERE key >= ?1 AND key < ?2")?,
        })
    }
}

/// An end for a range that has none: no key here begins with so many of these.
const LAST: &[u8] = &[u8::MAX; 64];

fn bytes<'a>(row: &'a Row<'_>, column: usize) -> rusqlite::Result<&'a [u8]> {
    Ok(row.get_ref(column)?.as_blob()?)
}

fn show(mut rows: Rows<'_>, see: &mut dyn FnMut(&[u8], &[u8])) -> rusqlite::Result<()> {
    while let Some(row) = rows.next()? {
        see(bytes(row, 0)?, bytes(row, 1)?);
    }
    Ok(())
}

impl Sqlite {
    fn with<T>(&self, act: impl FnOnce(&mut Session) -> rusqlite::Result<T>) -> Result<T> {
        SESSION.with_borrow_mut(|session| {
            let session = match session {
                Some(session) => session,
                none => none.insert(Session::open(&self.file, self.promise, self.shape)?),
            };
            Ok(act(session)?)
        })
    }

    /// Writers wait for each other here: SQLite's own way is to sleep and try again.
    fn write<T>(&self, act: impl FnOnce(&mut Session) -> rusqlite::Result<T>) -> Result<T> {
        let _alone = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.with(act)
    }
}

impl Engine for Sqlite {
    fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.write(|session| session.put.execute(params![key, value]))?;
        Ok(())
    }

    fn append_batch(&self, entries: &[(&[u8], &[u8])]) -> Result<()> {
        self.write(|session| {
            let txn = session.connection.unchecked_transaction()?;
            for (key, value) in entries {
                session.put.execute(params![key, value])?;
            }
            txn.commit()
        })
    }

    fn get(&self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        self.with(|session| {
            let mut rows = session.get.query([key])?;
            Ok(rows.next()?.map(|row| bytes(row, 0).map(see)).transpose()?.is_some())
        })
    }

    fn size(&self, key: &[u8]) -> Result<Option<u64>> {
        self.with(|session| {
            let mut rows = session.size.query([key])?;
            rows.next()?.map(|row| row.get::<_, i64>(0).map(i64::cast_unsigned)).transpose()
        })
    }

    fn exists(&self, key: &[u8]) -> Result<bool> {
        self.with(|session| session.exists.exists([key]))
    }

    fn list(&self, prefix: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<()> {
        let end = prefix_end(prefix).unwrap_or_else(|| LAST.to_vec());
        self.with(|session| {
            let mut rows = session.list.query(params![prefix, end])?;
            while let Some(row) = rows.next()? {
                see(bytes(row, 0)?);
            }
            Ok(())
        })
    }

    fn scan(&self, prefix: &[u8], see: &mut dyn FnMut(&[u8], &[u8])) -> Result<()> {
        let end = prefix_end(prefix).unwrap_or_else(|| LAST.to_vec());
        self.with(|session| show(session.scan.query(params![prefix, end])?, see))
    }

    fn scan_from(&self, start: &[u8], count: usize, see: &mut dyn FnMut(&[u8], &[u8])) -> Result<()> {
        self.with(|session| show(session.from.query(params![start, count as i64])?, see))
    }

    fn delete_range(&self, start: &[u8], end: &[u8]) -> Result<()> {
        self.write(|session| session.delete.execute(params![start, end]))?;
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.with(|session| session.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)"))
    }
}
