//! What a store tells its host as it happens.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Error;

/// Something that a store did or met, for the host's own log: see
/// [`Options::on_event`](crate::Options::on_event).
///
/// As text, it is one line for people.
///
/// ```
/// use siltstone::{Event, Options, SyncPolicy};
/// use std::sync::mpsc::channel;
///
/// let (told, events) = channel();
/// let options = Options::new().sync_policy(SyncPolicy::InMemory);
/// let store = options.on_event(move |event| drop(told.send(event.clone()))).open("")?;
/// store.put("a", "1")?;
/// store.close()?;
/// assert!(events.iter().any(|event| matches!(event, Event::FlushEnd { .. })));
/// # Ok::<(), siltstone::Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// The store was opened.
    #[non_exhaustive]
    Opened {
        /// From the call to when it could be used.
        took: Duration,
        /// Operations that were replayed from the logs.
        replayed: u64,
        /// Bytes of log that were replayed.
        replayed_bytes: u64,
        /// Bytes behind the last good batch that were dropped: see [`Recovery`](crate::Recovery).
        dropped_bytes: u64,
    },
    /// A memtable begins to be written to a segment.
    #[non_exhaustive]
    FlushBegin {
        /// Bytes of memory that the memtable holds.
        bytes: u64,
    },
    /// It is written. There is no such event after a flush that failed; a failure is told by itself.
    #[non_exhaustive]
    FlushEnd {
        /// Since it began.
        took: Duration,
        /// How long the new files are, in bytes.
        written_bytes: u64,
    },
    /// Segments begin to be merged.
    #[non_exhaustive]
    MergeBegin {
        /// How many.
        segments: usize,
        /// How long they are, in bytes.
        bytes: u64,
    },
    /// They are merged. There is no such event after a merge that failed, or was given up because the store
    /// closes.
    #[non_exhaustive]
    MergeEnd {
        /// Since it began.
        took: Duration,
        /// How long the new files are, in bytes, those of moved values among them.
        written_bytes: u64,
        /// How many bytes of values it moved out of files that are mostly dead.
        moved_bytes: u64,
    },
    /// A writer has to wait until a flush is done.
    #[non_exhaustive]
    StallBegin {
        /// How many memtables wait for their flush.
        waiting: usize,
    },
    /// It need not wait any longer.
    #[non_exhaustive]
    StallEnd {
        /// Since it began.
        took: Duration,
    },
    /// A sync took 10 milliseconds or longer.
    #[non_exhaustive]
    SlowSync {
        /// Since it began.
        took: Duration,
    },
    /// A checkpoint was made.
    #[non_exhaustive]
    Checkpoint {
        /// Since the call.
        took: Duration,
        /// Files that it shares with the store.
        linked: usize,
        /// Files that were copied.
        copied: usize,
    },
    /// A flush, a merge or a sync failed, and nobody was there to be told.
    #[non_exhaustive]
    BackgroundError {
        /// Why.
        error: Error,
    },
    /// A write was refused because the disk is full. Told once, until a write succeeds.
    #[non_exhaustive]
    SpaceFull {
        /// What the write was told.
        error: Error,
    },
    /// The first write that succeeded after that.
    #[non_exhaustive]
    SpaceResumed {
        /// Since the disk was first found to be full.
        after: Duration,
    },
    /// Readers older than [`Options::max_snapshot_age`](crate::Options::max_snapshot_age) were cut off.
    #[non_exhaustive]
    SnapshotsCutOff {
        /// How many.
        count: u64,
    },
    /// The host is too slow: events before this one were left out.
    #[non_exhaustive]
    Missed {
        /// How many.
        count: u64,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opened { took, replayed, replayed_bytes, dropped_bytes } => write!(
                f,
                "opened in {took:?}: replayed {replayed} operations, {replayed_bytes} bytes, dropped {dropped_bytes} bytes"
            ),
            Self::FlushBegin { bytes } => write!(f, "flush of a memtable of {bytes} bytes begins"),
            Self::FlushEnd { took, written_bytes } => {
                write!(f, "flush ends after {took:?}: wrote {written_bytes} bytes")
            }
            Self::MergeBegin { segments, bytes } => {
                write!(f, "merge of {segments} segments, {bytes} bytes, begins")
            }
            Self::MergeEnd { took, written_bytes, moved_bytes } => write!(
                f,
                "merge ends after {took:?}: wrote {written_bytes} bytes, {moved_bytes} of them values"
            ),
            Self::StallBegin { waiting } => {
                write!(f, "a writer waits for a flush; so do {waiting} memtables")
            }
            Self::StallEnd { took } => write!(f, "the writer goes on after {took:?}"),
            Self::SlowSync { took } => write!(f, "a sync took {took:?}"),
            Self::Checkpoint { took, linked, copied } => {
                write!(f, "checkpoint made in {took:?}: {linked} files linked, {copied} copied")
            }
            Self::BackgroundError { error } => write!(f, "work in the background failed: {error}"),
            Self::SpaceFull { error } => write!(f, "the disk is full: {error}"),
            Self::SpaceResumed { after } => write!(f, "writes go on after {after:?} on a full disk"),
            Self::SnapshotsCutOff { count } => write!(f, "{count} readers were too old, and cut off"),
            Self::Missed { count } => write!(f, "{count} events were left out"),
        }
    }
}

/// Whoever wants to be told.
#[derive(Clone)]
pub(crate) struct Hook(Arc<dyn Fn(&Event) + Send + Sync>);

impl Hook {
    pub(crate) fn new(hook: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hook))
    }

    pub(crate) fn tell(&self, event: &Event) {
        (self.0)(event);
    }

    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hook")
    }
}
