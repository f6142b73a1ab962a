//! The numbers, for whoever asks.

use std::time::Duration;

use crate::metrics::Histogram;
use crate::store::observe::meters::{Meters, SAMPLE};
use crate::store::readers::{Read, Readers};
use crate::store::shared::Shared;
use crate::store::stats::Stats;

/// What an open store has done since it was opened, and what it holds.
///
/// Numbers of one moment, but for those of what goes on meanwhile: they are read one after the other, without
/// stopping anybody. [`to_prometheus`](Metrics::to_prometheus) writes them down for Prometheus.
///
/// ```
/// let store = siltstone::Store::in_memory()?;
/// store.put("a", "1")?;
/// assert!(store.get("a")?.is_some() && store.get("b")?.is_none());
/// let metrics = store.metrics();
/// assert_eq!(metrics.writes.puts, 1);
/// assert_eq!((metrics.reads.gets, metrics.reads.get_hits), (2, 1));
/// assert!(metrics.to_prometheus().contains("siltstone_puts_total 1\n"));
/// # Ok::<(), siltstone::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// What the store holds, and where; what the last open found; what readers keep.
    pub stats: Stats,
    /// How long it took to open the store, with all that was replayed.
    pub open_took: Duration,
    /// Puts, deletes, batches.
    pub writes: WriteMetrics,
    /// Gets and all other reads.
    pub reads: ReadMetrics,
    /// Making logs durable.
    pub syncs: SyncMetrics,
    /// Writing memtables to segments.
    pub flushes: FlushMetrics,
    /// Merging segments, and moving values.
    pub merges: MergeMetrics,
    /// Writers that had to wait because flushes fell behind.
    pub backpressure: BackpressureMetrics,
    /// Checkpoints that were made, and how long each took.
    pub checkpoints: Histogram,
    /// Verifications that were carried through, whatever they found.
    pub verifications: u64,
    /// Errors that were returned, or met in the background.
    pub errors: ErrorMetrics,
    /// What became of events, if there is a hook for them.
    pub events: EventMetrics,
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WriteMetrics {
    /// Values that were put, those in batches among them.
    pub puts: u64,
    /// Keys that were deleted, those in batches among them; one that was not there counts only in a batch.
    pub deletes: u64,
    /// Ranges and prefixes that were deleted, those of retention rules among them.
    pub range_deletes: u64,
    /// Batches: as many as frames in the logs. A put or a delete by itself is one too.
    pub batches: u64,
    /// Bytes of keys, metadata and values that were given.
    pub bytes: u64,
    /// Bytes of log that this took.
    pub log_bytes: u64,
    /// How long a call of [`put`](crate::Store::put), [`delete`](crate::Store::delete) or
    /// [`write`](crate::Store::write) took until it returned successfully, waits included: with
    /// [`SyncPolicy::Immediate`](crate::SyncPolicy::Immediate) until it was durable. Of others see `timed_one_in`.
    pub took: Histogram,
    /// Of so many calls of each thread one is timed: to look at the clock twice takes a tenth of a put.
    pub timed_one_in: u64,
}

/// What was read, through the store and through snapshots. Reads of a key are counted, not timed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReadMetrics {
    /// Calls of `get`.
    pub gets: u64,
    /// Those that found something.
    pub get_hits: u64,
    /// Calls of `stat`.
    pub stats: u64,
    /// Those that found something.
    pub stat_hits: u64,
    /// Calls of `exists`.
    pub exists: u64,
    /// Those that found something.
    pub exists_hits: u64,
    /// Lists that were begun.
    pub lists: u64,
    /// Scans that were begun.
    pub scans: u64,
}

/// What was made durable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SyncMetrics {
    /// How long each sync took that succeeded. Those who wait at the same time share one.
    pub took: Histogram,
    /// How often somebody waited until something was durable: writers with
    /// [`SyncPolicy::Immediate`](crate::SyncPolicy::Immediate), boundaries, flushes, futures.
    pub waits: u64,
}

/// Memtables that were written to segments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FlushMetrics {
    /// How long each flush took.
    pub took: Histogram,
    /// Bytes of segments that flushes wrote.
    pub written_bytes: u64,
}

/// Segments that were merged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MergeMetrics {
    /// How long each merge took, with the flushes in the midst of it.
    pub took: Histogram,
    /// Bytes of segments, and of values that moved, that merges read.
    pub read_bytes: u64,
    /// Bytes of segments and value files that merges wrote.
    pub written_bytes: u64,
    /// Values that were moved out of files that are mostly dead.
    pub moved_values: u64,
    /// Bytes of value files that this took.
    pub moved_bytes: u64,
    /// Segments that went to another level without being rewritten.
    pub moved_segments: u64,
}

/// Writers that had to wait because flushes fell behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackpressureMetrics {
    /// How long each writer waited that was slowed down: a few milliseconds at most.
    pub slowed: Histogram,
    /// How long each writer waited that was stopped until a flush was done.
    pub stopped: Histogram,
}

/// Errors by their [kind](crate::ErrorKind), as far as they are not the caller's: those that calls of the store
/// returned (not those of snapshots and iterators), and those of the background.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ErrorMetrics {
    /// Calls that were refused because the disk was full.
    pub no_space: u64,
    /// Calls that were refused because a sync had failed.
    pub poisoned: u64,
    /// Calls that the operating system failed.
    pub io: u64,
    /// Calls that met bytes that are not what was written.
    pub corruption: u64,
    /// Failures in the background, of flushes, merges and syncs.
    pub background: u64,
}

/// Events for the hook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventMetrics {
    /// Events that were left out, because the hook was too slow.
    pub missed: u64,
    /// How often the hook panicked.
    pub panics: u64,
}

impl Shared {
    pub(crate) fn metrics(&self) -> Metrics {
        let meters = &self.meters;
        Metrics {
            stats: self.stats(),
            open_took: *meters.open_took.lock(),
            writes: writes(meters, self.is_immediate()),
            reads: reads(&self.readers),
            syncs: SyncMetrics { took: meters.syncs.histogram(), waits: meters.sync_waits.get() },
            flushes: FlushMetrics {
                took: meters.flushes.histogram(),
                written_bytes: meters.flush_bytes.get(),
            },
            merges: merges(meters),
            backpressure: BackpressureMetrics {
                slowed: meters.slowed.histogram(),
                stopped: meters.stopped.histogram(),
            },
            checkpoints: meters.checkpoints.histogram(),
            verifications: meters.verifications.get(),
            errors: errors(meters),
            events: EventMetrics { missed: meters.events.missed(), panics: meters.events.panics() },
        }
    }
}

fn writes(meters: &Meters, immediate: bool) -> WriteMetrics {
    WriteMetrics {
        puts: meters.puts.get(),
        deletes: meters.deletes.get(),
        range_deletes: meters.range_deletes.get(),
        batches: meters.batches.get(),
        bytes: meters.write_bytes.get(),
        log_bytes: meters.log_bytes.get(),
        took: meters.writes.histogram(),
        timed_one_in: if immediate { 1 } else { SAMPLE.into() },
    }
}

fn reads(readers: &Readers) -> ReadMetrics {
    let all = |read| readers.hits(read) + readers.misses(read);
    ReadMetrics {
        gets: all(Read::Get),
        get_hits: readers.hits(Read::Get),
        stats: all(Read::Stat),
        stat_hits: readers.hits(Read::Stat),
        exists: all(Read::Exists),
        exists_hits: readers.hits(Read::Exists),
        lists: readers.hits(Read::List),
        scans: readers.hits(Read::Scan),
    }
}

fn merges(meters: &Meters) -> MergeMetrics {
    MergeMetrics {
        took: meters.merges.histogram(),
        read_bytes: meters.merge_read_bytes.get(),
        written_bytes: meters.merge_bytes.get(),
        moved_values: meters.moved_values.get(),
        moved_bytes: meters.moved_bytes.get(),
        moved_segments: meters.moved_segments.get(),
    }
}

fn errors(meters: &Meters) -> ErrorMetrics {
    let errors = &meters.errors;
    ErrorMetrics {
        no_space: errors.no_space.get(),
        poisoned: errors.poisoned.get(),
        io: errors.io.get(),
        corruption: errors.corruption.get(),
        background: errors.background.get(),
    }
}
