//! The numbers as text for Prometheus. What files tell is written down for any store, what a process has done
//! only for one that this process has open.

use crate::metrics::Exposition;
use crate::store::observe::metrics::{Metrics, ReadMetrics};
use crate::store::readers::ReaderStats;
use crate::store::stats::{Recovery, Stats};

impl Stats {
    /// What the store's files tell, as text in Prometheus' exposition format, version 0.0.4: gauges of what there is,
    /// and counters of what was ever written and made, named `siltstone_…`, in bytes and seconds. It goes well with a
    /// collector that reads text files.
    ///
    /// For all that an open store knows of itself see [`Metrics::to_prometheus`].
    ///
    /// ```
    /// let store = siltstone::Store::in_memory()?;
    /// store.put("a", "1")?;
    /// assert!(store.stats().to_prometheus().contains("siltstone_sequence_total 1\n"));
    /// # Ok::<(), siltstone::Error>(())
    /// ```
    pub fn to_prometheus(&self) -> String {
        let mut out = Exposition::default();
        files(&mut out, self);
        out.finish()
    }
}

impl Metrics {
    /// All of it as text in Prometheus' exposition format, version 0.0.4, for the host's own `/metrics`: counters,
    /// gauges and histograms, named `siltstone_…`, in bytes and seconds.
    pub fn to_prometheus(&self) -> String {
        let mut out = Exposition::default();
        files(&mut out, &self.stats);
        writes(&mut out, self);
        reads(&mut out, &self.reads);
        behind(&mut out, self);
        readers(&mut out, &self.stats.readers);
        process(&mut out, self);
        out.finish()
    }
}

fn files(out: &mut Exposition, stats: &Stats) {
    out.counter("sequence_total", "Operations written since the store was made.", stats.sequence);
    let flushed = stats.sequence.saturating_sub(stats.unflushed_operations);
    out.counter("flushed_operations_total", "Operations that flushes have put into segments.", flushed);
    let help = "Operations that wait in the logs for a flush.";
    out.gauge("unflushed_operations", help, stats.unflushed_operations);
    out.counter("logs_made_total", "Logs that were ever made.", stats.logs_made);
    let help = "Segments and value files that flushes and merges have ever begun.";
    out.counter("files_made_total", help, stats.files_made);
    let levels = || stats.levels.iter().enumerate();
    let segments = levels().map(|(number, level)| (number, level.segments));
    out.gauges("segments", "Segments, by level.", "level", segments);
    let bytes = levels().map(|(number, level)| (number, level.bytes));
    out.gauges("segment_bytes", "Length of the segments, by level.", "level", bytes);
    let entries = levels().map(|(number, level)| (number, level.entries));
    out.gauges("entries", "Entries in segments, deletions and old versions included.", "level", entries);
    out.gauge("logs", "Logs.", stats.logs);
    out.gauge("log_bytes", "Bytes written to the logs that are there.", stats.log_bytes);
    out.gauge("value_files", "Value files.", stats.value_files);
    out.gauge("value_file_bytes", "Length of the value files.", stats.value_bytes);
    out.gauge(
        "value_file_unpacked_bytes",
        "Bytes of values and metadata in the value files, before they were compressed.",
        stats.value_bytes_unpacked,
    );
    out.gauge("disk_bytes", "Length of all segments, logs and value files.", stats.disk_bytes);
    out.gauge("live_bytes", "Bytes of values that segments refer to, where it is known.", stats.live_bytes);
    out.gauge(
        "dead_bytes",
        "Bytes of values that no segment refers to, where it is known.",
        stats.dead_bytes,
    );
    out.gauge(
        "reclaimable_bytes",
        "Bytes that moving the live values would give back.",
        stats.reclaimable_bytes,
    );
    let help = "Deleted ranges of keys of which something is left to be dropped.";
    out.gauge("deleted_ranges", help, stats.deleted_ranges);
    recovery(out, &stats.recovery);
}

fn recovery(out: &mut Exposition, recovery: &Recovery) {
    out.gauge("recovery_batches", "Batches that the last open replayed.", recovery.frames);
    out.gauge("recovery_operations", "Operations that the last open replayed.", recovery.entries);
    out.gauge("recovery_bytes", "Bytes of log that the last open replayed.", recovery.bytes);
    let help = "Batches behind a hole that the last open dropped.";
    out.gauge("recovery_dropped_batches", help, recovery.dropped_frames);
    let help = "Bytes behind the last good batch that the last open dropped.";
    out.gauge("recovery_dropped_bytes", help, recovery.dropped_bytes);
}

fn writes(out: &mut Exposition, metrics: &Metrics) {
    let writes = &metrics.writes;
    out.counter("puts_total", "Values that were put.", writes.puts);
    out.counter("deletes_total", "Keys that were deleted.", writes.deletes);
    out.counter("range_deletes_total", "Ranges of keys that were deleted.", writes.range_deletes);
    out.counter("batches_total", "Batches that were written, single writes included.", writes.batches);
    out.counter("written_bytes_total", "Bytes of keys, metadata and values written.", writes.bytes);
    out.counter("log_written_bytes_total", "Bytes that were appended to logs.", writes.log_bytes);
    let help = "Time until a write returned; a sample of the writes unless the policy is immediate.";
    out.histogram("write_duration_seconds", help, &writes.took);
    out.histogram("sync_duration_seconds", "Time that a sync took.", &metrics.syncs.took);
    out.counter("sync_waits_total", "Waits until something was durable.", metrics.syncs.waits);
    let waits = &metrics.backpressure;
    let help = "Time that a writer was slowed down, because flushes fell behind.";
    out.histogram("write_slowed_seconds", help, &waits.slowed);
    let help = "Time that a writer was stopped until a flush was done.";
    out.histogram("write_stopped_seconds", help, &waits.stopped);
}

fn reads(out: &mut Exposition, reads: &ReadMetrics) {
    let calls = [
        ("get", reads.gets),
        ("stat", reads.stats),
        ("exists", reads.exists),
        ("list", reads.lists),
        ("scan", reads.scans),
    ];
    out.counters("reads_total", "Reads, by call.", "call", calls);
    let hits = [("get", reads.get_hits), ("stat", reads.stat_hits), ("exists", reads.exists_hits)];
    out.counters("read_hits_total", "Reads of a key that found an entry, by call.", "call", hits);
}

fn behind(out: &mut Exposition, metrics: &Metrics) {
    let (flushes, merges) = (&metrics.flushes, &metrics.merges);
    out.histogram("flush_duration_seconds", "Time that a flush took.", &flushes.took);
    out.counter("flush_written_bytes_total", "Bytes that flushes wrote.", flushes.written_bytes);
    out.histogram("merge_duration_seconds", "Time that a merge took.", &merges.took);
    out.counter("merge_read_bytes_total", "Bytes that merges read.", merges.read_bytes);
    out.counter("merge_written_bytes_total", "Bytes that merges wrote.", merges.written_bytes);
    out.counter("moved_values_total", "Values that merges moved to value files.", merges.moved_values);
    out.counter("moved_bytes_total", "Bytes of value files that merges wrote.", merges.moved_bytes);
    let help = "Segments that changed their level without being rewritten.";
    out.counter("moved_segments_total", help, merges.moved_segments);
    out.histogram("checkpoint_duration_seconds", "Time that a checkpoint took.", &metrics.checkpoints);
    out.counter("verifications_total", "Verifications.", metrics.verifications);
}

fn readers(out: &mut Exposition, readers: &ReaderStats) {
    let open = [("snapshot", readers.snapshots), ("iterator", readers.iterators)];
    out.gauges("readers", "Snapshots and iterators that are held.", "kind", open);
    let help = "Age of the oldest snapshot or iterator; zero if there is none.";
    out.gauge("oldest_reader_age_seconds", help, readers.oldest_age.unwrap_or_default());
    out.gauge("reader_kept_files", "Removed files that readers keep.", readers.kept_files);
    out.gauge(
        "reader_kept_file_bytes",
        "Length of removed files that readers keep.",
        readers.kept_file_bytes,
    );
    let help = "Memory of flushed memtables that readers keep.";
    out.gauge("reader_kept_memtable_bytes", help, readers.kept_memtable_bytes);
    out.counter("readers_cut_off_total", "Readers that were too old and cut off.", readers.cut_off);
}

fn process(out: &mut Exposition, metrics: &Metrics) {
    out.gauge("memtable_bytes", "Memory that memtables hold.", metrics.stats.memtable_bytes);
    out.gauge("frozen_memtables", "Memtables that wait for their flush.", metrics.stats.frozen_memtables);
    out.gauge("open_duration_seconds", "Time that opening the store took.", metrics.open_took);
    let errors = &metrics.errors;
    let kinds = [
        ("no_space", errors.no_space),
        ("poisoned", errors.poisoned),
        ("io", errors.io),
        ("corruption", errors.corruption),
        ("background", errors.background),
    ];
    out.counters("errors_total", "Errors that are not the caller's, by kind.", "kind", kinds);
    out.counter("events_missed_total", "Events that the hook was too slow for.", metrics.events.missed);
    out.counter("event_hook_panics_total", "Panics of the hook for events.", metrics.events.panics);
}
