//! A connector that breaks one clause of the contract.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use pollster::block_on;
use siltstone::{
    BoxFuture, ConnectorOptions, EntryMetadata, Error, ErrorKind, Inventory, LockHandle, Locking,
    Persistence, Result, SiltstoneStorage, StatQuery, StorageEntry, Store,
};

/// Breaks the clause of this name, as upstream's connectors do or as somebody might.
pub(crate) struct Wrong {
    clause: &'static str,
    inner: SiltstoneStorage,
    closed: AtomicUsize,
    released: AtomicUsize,
    held: Mutex<Option<LockHandle>>,
}

fn refused(kind: ErrorKind) -> Error {
    Error::new(kind, "wrong on purpose")
}

fn handle(key: &str, id: &str) -> LockHandle {
    LockHandle { key: key.into(), lock_id: id.into(), acquired_at: UNIX_EPOCH, expires_at: None }
}

impl Wrong {
    pub(crate) fn new(clause: &'static str, options: ConnectorOptions, store: Store) -> Result<Self> {
        let inner = match clause {
            // Every connector by itself, as upstream's.
            "place.shared-entries" => options.in_memory()?,
            "lock.disabled" => options.locking(true).over(store)?,
            "lock.lease-ends" => options.lease(None).over(store)?,
            _ => options.over(store)?,
        };
        let count = AtomicUsize::default;
        Ok(Self { clause, inner, closed: count(), released: count(), held: Mutex::default() })
    }

    fn is(&self, clause: &str) -> bool {
        self.clause == clause
    }

    pub(crate) fn close(&self) -> Result<()> {
        if self.closed.fetch_add(1, Ordering::SeqCst) > 0 && self.is("close.twice") {
            return Err(refused(ErrorKind::Closed));
        }
        if self.is("close.refuses") || self.is("close.releases") {
            return Ok(());
        }
        self.inner.close()
    }

    /// The key that is really used.
    fn key(&self, key: &str) -> String {
        match self.clause {
            "save.any-key" => key.replace("..", "").replace('/', "_"),
            _ => key.to_owned(),
        }
    }

    async fn read(&self, key: &str) -> Result<Option<StorageEntry>> {
        let found = self.inner.load(&self.key(key)).await?;
        Ok(match self.clause {
            "load.absent-is-none" => Some(found.unwrap_or_default()),
            "load.key-argument-wins" => found.map(|found| StorageEntry { key: "test-key".into(), ..found }),
            "load.changes-nothing" => found.map(|found| found.with("_loaded", true)),
            "save.any-key" => found.map(|found| StorageEntry { key: key.to_owned(), ..found }),
            _ => found,
        })
    }

    /// What is saved in place of the entry.
    async fn changed(&self, key: &str, entry: &StorageEntry) -> Result<StorageEntry> {
        let mut entry = entry.clone();
        match self.clause {
            "save.replaces-all" => {
                let mut metadata = self.inner.load(key).await?.unwrap_or_default().metadata;
                metadata.append(&mut entry.metadata);
                entry.metadata = metadata;
            }
            "save.any-data" => entry.data = String::from_utf8_lossy(&entry.data).into_owned().into_bytes(),
            "save.any-metadata" => {
                entry.metadata.remove("");
            }
            _ => {}
        }
        Ok(entry)
    }

    async fn write(&self, key: &str, entry: &StorageEntry) -> Result<()> {
        let entry = self.changed(key, entry).await?;
        match self.clause {
            "save.all-or-nothing" if entry.metadata.contains_key("deep") => {
                self.inner.delete(key).await?;
                Err(refused(ErrorKind::Invalid))
            }
            "save.many-at-once" if key.ends_with('7') => Ok(()),
            "save.ignores-locks" if self.inner.is_locked(key).await? => Err(refused(ErrorKind::Busy)),
            _ => self.inner.save(&self.key(key), &entry).await,
        }
    }

    async fn find(&self, key: &str) -> Result<Option<EntryMetadata>> {
        let found = self.inner.stat(&self.key(key)).await?;
        let Some(mut found) = found else {
            let none =
                EntryMetadata { key: key.into(), size: 0, last_modified: UNIX_EPOCH, content_type: None };
            return Ok(self.is("stat.absent-is-none").then_some(none));
        };
        match self.clause {
            "stat.size-of-the-data" => found.size += 1,
            "stat.content-type" => found.content_type = Some("json".into()),
            "stat.time-of-the-save" => found.last_modified = UNIX_EPOCH + Duration::from_secs(1_000_000_000),
            _ => {}
        }
        Ok(Some(found))
    }

    async fn keys(&self, prefix: Option<&str>) -> Result<Vec<String>> {
        let mut keys = match self.clause {
            // As LIKE does.
            "list.prefix-is-literal" => {
                let like = prefix.unwrap_or_default().to_lowercase().replace('_', "");
                let all = self.inner.list(None).await?;
                all.into_iter().filter(|key| key.to_lowercase().starts_with(&like)).collect()
            }
            _ => self.inner.list(prefix).await?,
        };
        match self.clause {
            "list.all" => keys.retain(|key| !key.is_empty()),
            "list.order" => keys.sort_by_key(|key| key.encode_utf16().collect::<Vec<u16>>()),
            "list.not-the-deleted" if keys == ["a", "c"] => keys.push("b".into()),
            _ => {}
        }
        Ok(keys)
    }

    async fn remove(&self, key: &str) -> Result<bool> {
        match self.clause {
            "delete.tells-what-was" => self.inner.delete(key).await.map(|_| true),
            "delete.removes" => self.inner.exists(key).await,
            "delete.that-key-only" => {
                for key in self.inner.list(Some(key)).await? {
                    self.inner.delete(&key).await?;
                }
                Ok(true)
            }
            "delete.leaves-the-lock" => {
                let held = self.held.lock().unwrap().take();
                if let Some(held) = held {
                    self.inner.release(&held).await?;
                }
                self.inner.delete(key).await
            }
            "place.kept" if key == "deleted" => Ok(true),
            _ => self.inner.delete(&self.key(key)).await,
        }
    }

    async fn lock(&self, key: &str, timeout: Option<f64>) -> Result<LockHandle> {
        let lowered = key.to_lowercase();
        let key = if self.is("lock.one-key") { &lowered } else { key };
        match self.clause {
            "lock.key-need-not-exist" if !self.inner.exists(key).await? => Err(refused(ErrorKind::Invalid)),
            "lock.is-locked" => Ok(handle(key, "never held")),
            "lock.handle" => {
                let held = self.inner.acquire(key, timeout).await?;
                Ok(LockHandle { expires_at: Some(held.acquired_at), ..held })
            }
            "lock.excludes" if self.inner.is_locked(key).await? => Ok(handle(key, "again")),
            "lock.zero-tries-once" if timeout == Some(-1.0) => {
                let held = self.inner.acquire(key, timeout).await?;
                self.inner.release(&held).await?;
                Ok(held)
            }
            "delete.leaves-the-lock" => {
                let held = self.inner.acquire(key, timeout).await?;
                *self.held.lock().unwrap() = Some(held.clone());
                Ok(held)
            }
            "lock.nan-is-refused" if timeout.is_some_and(f64::is_nan) => {
                self.inner.acquire(key, Some(0.0)).await
            }
            "lock.wait-times-out" if timeout == Some(0.01) => self.inner.acquire(key, None).await,
            "lock.wait-ends-by-release" if timeout.is_none() => self.inner.acquire(key, Some(0.0)).await,
            "lock.first-come" if self.inner.is_locked(key).await? => std::future::pending().await,
            "place.shared-locks" => {
                let own = format!("{key} of {self:p}");
                let held = self.inner.acquire(&own, timeout).await?;
                Ok(LockHandle { key: key.into(), ..held })
            }
            _ => self.inner.acquire(key, timeout).await,
        }
    }

    async fn unlock(&self, lock: &LockHandle) -> Result<()> {
        match self.clause {
            "lock.release-once" if self.released.fetch_add(1, Ordering::SeqCst) > 0 => {
                Err(refused(ErrorKind::Invalid))
            }
            "lock.dropped-wait" => {
                self.inner.release(lock).await?;
                // A wait that was dropped gets it, and is not there any more.
                self.inner.acquire(&lock.key, None).await.map(drop)
            }
            "lock.release-forged" if lock.lock_id == "forged" => Err(refused(ErrorKind::Invalid)),
            _ => self.inner.release(lock).await,
        }
    }
}

impl Persistence for Wrong {
    fn load<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<StorageEntry>>> {
        Box::pin(self.read(key))
    }

    fn save<'a>(&'a self, key: &'a str, entry: &'a StorageEntry) -> BoxFuture<'a, Result<()>> {
        if self.is("save.not-before-polled") {
            let done = block_on(self.inner.save(key, entry));
            return Box::pin(async { done });
        }
        Box::pin(self.write(key, entry))
    }
}

impl Inventory for Wrong {
    fn list<'a>(&'a self, prefix: Option<&'a str>) -> BoxFuture<'a, Result<Vec<String>>> {
        Box::pin(self.keys(prefix))
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<bool>> {
        Box::pin(self.remove(key))
    }
}

impl StatQuery for Wrong {
    fn stat<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<EntryMetadata>>> {
        Box::pin(self.find(key))
    }

    #[expect(clippy::panic, reason = "that is what is wrong with it")]
    fn exists<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<bool>> {
        if self.is("exists.tells") {
            panic!("no idea");
        }
        Box::pin(self.inner.exists(key))
    }
}

impl Locking for Wrong {
    fn acquire<'a>(&'a self, key: &'a str, timeout: Option<f64>) -> BoxFuture<'a, Result<LockHandle>> {
        Box::pin(self.lock(key, timeout))
    }

    fn release<'a>(&'a self, lock: &'a LockHandle) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.unlock(lock))
    }

    fn is_locked<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            if self.is("place.shared-locks") {
                return self.inner.is_locked(&format!("{key} of {self:p}")).await;
            }
            self.inner.is_locked(key).await
        })
    }
}
