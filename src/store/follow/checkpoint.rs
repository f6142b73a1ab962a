//! A checkpoint of a store that somebody else may be writing.
//!
//! It takes no lock and asks the owner nothing. What is complete is shared, as an owner's own checkpoint does. What is
//! not is copied as far as it was seen to be whole, and then ends there, in the manifest of the checkpoint alone. A
//! log is shared only once its owner has cut it: whoever owns the checkpoint may cut it at its end, and that must not
//! take from the owner what its manifest does not know to be too much.
//!
//! All that is needed was opened before, and stays readable whatever its owner removes meanwhile.

use std::path::Path;

use crate::error::Result;
use crate::log::{LogFile, Position};
use crate::manifest::State;
use crate::store::checkpoint::{Checkpoint, Content, Target};
use crate::store::follow::ReadOnlyStore;

impl ReadOnlyStore {
    /// Makes another store of all that was written before this call, in a directory that is empty or not there yet,
    /// while the owner goes on writing: as [`Store::checkpoint`](crate::Store::checkpoint) does, but without the
    /// owner's help, from another process for example. When it returns the checkpoint is durable, and a store of its
    /// own. It shows what a [`refresh`](ReadOnlyStore::refresh) would show, and refreshes this store, too.
    ///
    /// Where it can it shares files with the store (hard links), and copies the logs that are in use, which are as
    /// long as what a recovery would read; on another file system all is copied. In the store nothing changes.
    ///
    /// ```
    /// use siltstone::{ReadOnlyStore, Store};
    /// # let dir = std::env::temp_dir().join(format!("siltstone-doc-copy-{}", std::process::id()));
    /// # let copy = dir.with_extension("backup");
    /// let writer = Store::open(&dir)?; // mostly in another process
    /// writer.put("a", "1")?;
    ///
    /// ReadOnlyStore::open(&dir)?.checkpoint(&copy)?;
    /// writer.put("a", "2")?;
    /// assert_eq!(&*Store::open(&copy)?.get("a")?.unwrap(), b"1");
    /// # writer.close()?;
    /// # std::fs::remove_dir_all(&dir).unwrap();
    /// # std::fs::remove_dir_all(&copy).unwrap();
    /// # Ok::<(), siltstone::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) if the directory holds a file, or lies in the store;
    /// [`NoSpace`](crate::ErrorKind::NoSpace) and [`Io`](crate::ErrorKind::Io), and then what was made of it is
    /// removed; and as for [`ReadOnlyStore::refresh`].
    pub fn checkpoint(&self, dir: impl AsRef<Path>) -> Result<Checkpoint> {
        let mut target = Target::new(&self.inner.vfs, &self.inner.dir, dir.as_ref())?;
        let made = self.now().and_then(|moment| moment.write(&self.inner.dir, &mut target));
        made.inspect_err(|_| target.clear())
    }

    fn now(&self) -> Result<Moment> {
        let mut pursuit = self.inner.pursuit.lock();
        self.catch_up(&mut pursuit)?;
        pursuit.moment()
    }
}

/// All that makes up a store, as far as it was seen.
pub(super) struct Moment {
    pub(super) position: Position,
    pub(super) state: State,
    /// Files that will never change, but for their owner to remove them.
    pub(super) lasting: Vec<Content>,
    /// Logs whose owner does not know yet where they end.
    pub(super) growing: Vec<Content>,
}

impl Moment {
    /// Adds a log, which ends here unless its owner knows where; `filled` were put into it up to here.
    pub(super) fn log(&mut self, log: &LogFile, end: usize, filled: u64) {
        let Some(record) = self.state.logs.get_mut(&log.id.number) else { return };
        if record.end.is_some() {
            self.lasting.push(Content::of_log(log, log.mapping.published()));
        } else if end > 0 {
            self.growing.push(Content::of_log(log, end));
            (record.end, record.filled) = (Some(end as u64), filled);
        } else {
            // Made ahead, and not used yet.
            self.state.logs.remove(&log.id.number);
        }
    }

    fn write(mut self, store: &Path, target: &mut Target<'_>) -> Result<Checkpoint> {
        // First, for the owner may take any of these names away at any moment.
        for content in std::mem::take(&mut self.lasting) {
            if !target.share(store, &content)? {
                self.growing.push(content);
            }
        }
        self.growing.iter().try_for_each(|content| target.copy(content))?;
        target.finish(&self.state, self.position)
    }
}
