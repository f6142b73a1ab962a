//! `siltstone stats`: what the store holds, and where.

use clap::Args;
use indicatif::{DecimalBytes, HumanCount};
use serde_json::{Value as Json, json};
use siltstone::{LevelStats, Recovery, Stats};

use crate::exit::{Result, Status};
use crate::home::{Home, Weight};
use crate::output::Output;

/// Show segments by level, logs, live, dead and reclaimable bytes, the sequence, and what recovery found
///
/// What recovery found is what this very command replayed to look at the store.
///
/// --prometheus prints what the files tell, in Prometheus' text format: gauges, and counters of what was written since
/// the store was made. What a process has done with the store (reads, latencies, syncs, stalls, errors) only that
/// process can tell: a gateway serves the text of Store::metrics().to_prometheus(), which has all of this, too.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  siltstone stats
  siltstone stats --json
  siltstone stats --prometheus > siltstone.prom.new && mv siltstone.prom.new siltstone.prom

The last one is for a collector that reads text files: it never finds half a file.")]
pub(crate) struct StatsOf {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Print what the files tell in Prometheus' text format
    #[arg(long, conflicts_with = "json")]
    prometheus: bool,
}

impl StatsOf {
    pub(crate) fn run(self, home: &Home) -> Result<Status> {
        let store = home.look()?;
        let (stats, weight) = (store.stats(), home.weight());
        let mut out = Output::new();
        if self.prometheus {
            out.bytes(stats.to_prometheus().as_bytes())?;
        } else if self.json {
            out.json(&object(home, &stats, weight))?;
        } else {
            out.bytes(described(home, &stats, weight).as_bytes())?;
        }
        out.finish()?;
        Ok(Status::Done)
    }
}

fn object(home: &Home, stats: &Stats, weight: Weight) -> Json {
    let level = |(number, level): (usize, &LevelStats)| json!({ "level": number, "segments": level.segments, "bytes": level.bytes, "entries": level.entries });
    let Recovery { frames, entries, bytes, dropped_frames, dropped_bytes, .. } = stats.recovery;
    json!({
        "store": home.dir().display().to_string(),
        "sequence": stats.sequence,
        "unflushed_operations": stats.unflushed_operations,
        "logs_made": stats.logs_made,
        "files_made": stats.files_made,
        "levels": stats.levels.iter().enumerate().map(level).collect::<Vec<_>>(),
        "logs": stats.logs,
        "log_bytes": stats.log_bytes,
        "value_files": stats.value_files,
        "value_bytes": stats.value_bytes,
        "value_bytes_unpacked": stats.value_bytes_unpacked,
        "live_bytes": stats.live_bytes,
        "dead_bytes": stats.dead_bytes,
        "reclaimable_bytes": stats.reclaimable_bytes,
        "memtable_bytes": stats.memtable_bytes,
        "disk_bytes": weight.bytes,
        "files": weight.files,
        "recovery": {
            "frames": frames,
            "entries": entries,
            "bytes": bytes,
            "dropped_frames": dropped_frames,
            "dropped_bytes": dropped_bytes,
        },
        "background_error": stats.background_error,
    })
}

fn described(home: &Home, stats: &Stats, weight: Weight) -> String {
    let mut lines = vec![
        ("store", home.dir().display().to_string()),
        ("on disk", format!("{} in {}", DecimalBytes(weight.bytes), count(weight.files, "file"))),
        ("sequence", sequence_line(stats)),
    ];
    let levels = stats.levels.iter().enumerate().filter(|(_, level)| level.segments > 0);
    lines.extend(levels.map(|(number, level)| ("segments", level_line(number, level))));
    if stats.levels.iter().all(|level| level.segments == 0) {
        lines.push(("segments", "none".into()));
    }
    lines.push(("logs", logs_line(stats)));
    lines.push(("values", values_line(stats)));
    lines.push(("recovery", recovery_line(&stats.recovery)));
    lines.extend(stats.background_error.iter().map(|error| ("last error", error.clone())));
    lines.into_iter().map(|(name, text)| format!("{name:<10}  {text}\n")).collect()
}

fn sequence_line(stats: &Stats) -> String {
    let (all, waiting) = (HumanCount(stats.sequence), HumanCount(stats.unflushed_operations));
    format!("{all} operations, of which {waiting} wait in the logs for a flush")
}

fn level_line(number: usize, level: &LevelStats) -> String {
    let segments = count(level.segments as u64, "segment");
    let (entries, bytes) = (HumanCount(level.entries), DecimalBytes(level.bytes));
    format!("level {number}: {segments}, entries {entries}, {bytes}")
}

fn logs_line(stats: &Stats) -> String {
    let logs = count(stats.logs as u64, "log");
    let values = count(stats.value_files as u64, "value file");
    let (log_bytes, value_bytes) = (DecimalBytes(stats.log_bytes), DecimalBytes(stats.value_bytes));
    let unpacked = match stats.value_bytes_unpacked {
        bytes if bytes > stats.value_bytes => {
            format!(", {} before they were compressed", DecimalBytes(bytes))
        }
        _ => String::new(),
    };
    format!("{logs}, {log_bytes}; {values}, {value_bytes}{unpacked}")
}

fn values_line(stats: &Stats) -> String {
    let (live, dead) = (DecimalBytes(stats.live_bytes), DecimalBytes(stats.dead_bytes));
    let reclaimable = DecimalBytes(stats.reclaimable_bytes);
    format!(
        "{live} live, {dead} dead, {reclaimable} reclaimable, in logs that are flushed and in value files"
    )
}

fn recovery_line(recovery: &Recovery) -> String {
    if *recovery == Recovery::default() {
        return "nothing to replay".into();
    }
    let (entries, bytes) = (HumanCount(recovery.entries), DecimalBytes(recovery.bytes));
    let batches = HumanCount(recovery.frames);
    let replayed = format!("replayed {entries} operations in {batches} batches, {bytes}");
    let (frames, dropped) = (HumanCount(recovery.dropped_frames), DecimalBytes(recovery.dropped_bytes));
    format!("{replayed}; dropped {frames} batches behind a hole, {dropped}")
}

fn count(number: u64, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {thing}{plural}", HumanCount(number))
}
