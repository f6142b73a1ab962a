//! What every handle and every background thread of one open store share.

use std::any::Any;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{Condvar, Mutex, ReentrantMutex, RwLock};

use crate::entry::ValueHome;
use crate::error::{Error, ErrorKind, Result};
use crate::log::Position;
use crate::manifest::Manifest;
use crate::options::{Options, Packing, SyncPolicy};
use crate::reserve::Reserve;
use crate::store::admit::Waiting;
use crate::store::background::Background;
use crate::store::compact::Compacting;
use crate::store::durability::{Durability, Written};
use crate::store::observe::Meters;
use crate::store::pace::Pace;
use crate::store::readers::Readers;
use crate::store::relief::Relief;
use crate::store::replayed::Leftovers;
use crate::store::stats::Recovery;
use crate::store::view::View;
use crate::store::write::Writer;
use crate::vfs::{LockGuard, Vfs};

pub(crate) struct Shared {
    /// With the key, if the store is sealed.
    pub(crate) vfs: Arc<dyn Vfs>,
    /// The same without: for others.
    pub(crate) outside: Arc<dyn Vfs>,
    pub(crate) dir: PathBuf,
    pub(crate) options: Options,
    pub(crate) packing: Packing,
    /// Taken before `manifest`, which is taken before `view`.
    pub(crate) writer: Mutex<Writer>,
    /// Told when a flush ended, well or not.
    pub(crate) flushed: Condvar,
    /// The same for futures.
    pub(crate) waiting: Waiting,
    pub(crate) pace: Pace,
    pub(crate) reserve: Arc<Reserve>,
    pub(crate) relief: Relief,
    pub(crate) manifest: Arc<Mutex<Manifest>>,
    view: RwLock<Arc<View>>,
    /// The newest sequence number that readers see.
    visible: AtomicU64,
    pub(crate) durability: Arc<Durability>,
    pub(crate) background: Background,
    pub(crate) meters: Arc<Meters>,
    pub(crate) readers: Arc<Readers>,
    pub(crate) next_segment: AtomicU64,
    pub(crate) closed: AtomicBool,
    /// Held while the store is closed.
    pub(crate) closing: ReentrantMutex<()>,
    /// Whether nobody writes, so that there is time to make the store small.
    pub(crate) resting: AtomicBool,
    pub(crate) compaction: Compacting,
    pub(crate) recovery: Recovery,
    pub(crate) leftovers: Mutex<Leftovers>,
    /// Files with a value that could not be moved, for it can no longer be read.
    pub(crate) damaged: Mutex<BTreeSet<ValueHome>>,
    pub(crate) lock: Mutex<Option<Box<dyn LockGuard>>>,
    /// See [`Store::companion`](crate::store::Store).
    pub(crate) companion: OnceLock<Box<dyn Any + Send + Sync>>,
}

/// What an open found, ready to be shared.
pub(crate) struct Parts {
    pub(crate) vfs: Arc<dyn Vfs>,
    pub(crate) dir: PathBuf,
    pub(crate) options: Options,
    pub(crate) writer: Writer,
    pub(crate) manifest: Arc<Mutex<Manifest>>,
    pub(crate) reserve: Arc<Reserve>,
    pub(crate) view: View,
    pub(crate) durable: Position,
    pub(crate) next_segment: u64,
    pub(crate) recovery: Recovery,
    pub(crate) leftovers: Leftovers,
}

impl Shared {
    pub(crate) fn new(parts: Parts, lock: Box<dyn LockGuard>, outside: Arc<dyn Vfs>) -> Self {
        let (vfs, options) = (&parts.vfs, &parts.options);
        let immediate = options.sync_policy == SyncPolicy::Immediate;
        let meters = Meters::new(vfs.clone(), immediate, options.on_event.clone());
        Self {
            meters: Arc::new(meters),
            readers: Arc::new(Readers::new(vfs.clone(), options.max_snapshot_age)),
            visible: AtomicU64::new(parts.writer.seq()),
            vfs: parts.vfs,
            outside,
            dir: parts.dir,
            packing: options.packing.clone().of_at_least(options.sizes.pack_limit as u64),
            options: parts.options,
            writer: Mutex::new(parts.writer),
            flushed: Condvar::new(),
            pace: Pace::default(),
            waiting: Waiting::default(),
            reserve: parts.reserve,
            relief: Relief::default(),
            manifest: parts.manifest,
            view: RwLock::new(Arc::new(parts.view)),
            durability: Arc::new(Durability::new(parts.durable)),
            background: Background::default(),
            next_segment: AtomicU64::new(parts.next_segment),
            closed: AtomicBool::new(false),
            closing: ReentrantMutex::new(()),
            resting: AtomicBool::new(false),
            compaction: Compacting::default(),
            recovery: parts.recovery,
            leftovers: Mutex::new(parts.leftovers),
            damaged: Mutex::default(),
            lock: Mutex::new(Some(lock)),
            companion: OnceLock::new(),
        }
    }

    /// Gives the lock back, for the store to be opened once more.
    pub(crate) fn into_lock(self) -> Result<Box<dyn LockGuard>> {
        self.lock
            .into_inner()
            .ok_or_else(|| Error::new(ErrorKind::Closed, "the store was closed; open it again"))
    }

    #[inline]
    pub(crate) fn view(&self) -> Arc<View> {
        self.view.read().clone()
    }

    /// Publishes a changed view; changes happen one after the other.
    pub(crate) fn change_view<R>(&self, change: impl FnOnce(&mut View) -> R) -> R {
        let mut view = self.view.write();
        let mut next = View::clone(&view);
        let result = change(&mut next);
        *view = Arc::new(next);
        result
    }

    /// A view, and the sequence number to read it at, in the order that makes them fit.
    #[inline]
    pub(crate) fn snapshot(&self) -> Result<(Arc<View>, u64)> {
        self.check_open()?;
        let view = self.view();
        Ok((view, self.visible.load(Ordering::Acquire)))
    }

    #[inline]
    pub(crate) fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Closed, "the store is closed; open it again"));
        }
        Ok(())
    }

    #[inline]
    pub(crate) fn show(&self, seq: u64) {
        self.visible.fetch_max(seq, Ordering::Release);
    }

    pub(crate) fn visible(&self) -> u64 {
        self.visible.load(Ordering::Acquire)
    }

    pub(crate) fn is_immediate(&self) -> bool {
        self.options.sync_policy == SyncPolicy::Immediate
    }

    /// Waits until everything up to here is durable, syncing if nobody else does.
    pub(crate) fn wait_durable(&self, position: Position) -> Result<()> {
        let timer = self.meters.sync_begins();
        let begin = || {
            timer.begin();
            self.writer.lock().written()
        };
        let done = |written: &Written| {
            timer.end();
            self.note_synced(written);
        };
        self.durability.wait(position, begin, done)
    }

    fn note_synced(&self, written: &Written) {
        self.writer.lock().forget_synced(written.position);
        self.show(written.seq);
    }

    /// A boundary: everything written so far becomes durable.
    pub(crate) fn sync_all(&self) -> Result<()> {
        let position = self.writer.lock().position();
        self.wait_durable(position)
    }
}
