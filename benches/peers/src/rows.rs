//! The rows of the table: what each is measured in, and where Siltstone means to be.

use serde::{Deserialize, Serialize};

use crate::engine::Promise;

/// Where Siltstone means to be in a row.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Aim {
    /// So many times the best peer.
    Times(f64),
    /// At most so much, whatever the peers do.
    AtMost(f64),
    /// Ahead of each peer that is an LSM tree.
    AheadOfLsm,
    /// Only told.
    None,
}

/// What is measured, once for each engine and round.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) title: String,
    /// The heading that it comes under.
    pub(crate) section: String,
    pub(crate) unit: String,
    /// Whether less is better.
    pub(crate) lower: bool,
    pub(crate) aim: Aim,
    /// What a put has to outlive: peers that do not promise it are shown, but not compared with.
    pub(crate) promise: Option<Promise>,
}

const TIMED: [(&str, &str, &str, &str, f64); 35] = [
    ("Capture", "capture", "capture: puts of 405-byte records in key order", "puts/s", 5.0),
    ("Capture", "batch", "the same in atomic batches of 100", "batches/s", 3.0),
    ("Capture", "list", "list 1,000 keys by prefix", "lists/s", 4.0),
    ("Capture", "scan", "scan 1,000 entries by prefix, with values", "scans/s", 2.0),
    ("Capture", "stat", "size of a random key's value", "stats/s", 3.0),
    ("Capture", "get", "get of a random key", "gets/s", 2.0),
    ("Capture", "exists-absent", "exists, key absent", "calls/s", 2.0),
    ("Capture", "list-all", "list everything", "keys/s", 1.0),
    ("Bodies", "bodies", "bodies: puts of 4 to 256 KiB", "puts/s", 3.0),
    ("Bodies", "bodies-list", "bodies: list everything", "keys/s", 3.0),
    ("Bodies", "bodies-stat", "bodies: size of a random one", "stats/s", 3.0),
    ("Bodies", "bodies-get", "bodies: get of a random one", "gets/s", 3.0),
    ("State", "state-put", "state: overwrites of 10,000 keys, zipfian, 200 bytes", "puts/s", 3.0),
    ("State", "state-get", "state: gets, zipfian", "gets/s", 1.5),
    ("Random", "random-put", "random: puts of 16-byte keys, 100-byte values", "puts/s", 3.0),
    ("Random", "random-get", "random: get", "gets/s", 1.5),
    ("Random", "zipf-get", "random: get, zipfian", "gets/s", 1.5),
    ("Random", "absent-get", "random: get, absent", "gets/s", 1.5),
    ("Random", "full-scan", "random: full scan with values", "entries/s", 1.5),
    ("YCSB", "ycsb-a", "YCSB A: half gets, half puts", "ops/s", 1.5),
    ("YCSB", "ycsb-b", "YCSB B: 95 % gets, 5 % puts", "ops/s", 1.5),
    ("YCSB", "ycsb-c", "YCSB C: gets", "ops/s", 1.5),
    ("YCSB", "ycsb-d", "YCSB D: 95 % gets of the latest, 5 % new keys", "ops/s", 1.5),
    ("YCSB", "ycsb-e", "YCSB E: 95 % scans of 1 to 100, 5 % new keys", "ops/s", 1.5),
    ("YCSB", "ycsb-f", "YCSB F: half gets, half get then put", "ops/s", 1.5),
    ("Durable at once", "immediate-1", "immediate, 1 thread", "puts/s", 1.0),
    ("Durable at once", "immediate-8", "immediate, 8 threads", "puts/s", 2.0),
    ("Durable at once", "immediate-64", "immediate, 64 threads", "puts/s", 4.0),
    ("Durable at once", "in-flight", "immediate, 1,000 in flight on one thread", "puts/s", 1.0),
    ("Mixed", "mixed-put", "mixed: puts while another thread gets", "puts/s", 5.0),
    ("Mixed", "mixed-get", "mixed: gets meanwhile", "gets/s", 1.5),
    ("Retention", "retention", "puts while the oldest tenth is deleted again and again", "puts/s", 5.0),
    ("Recovery", "recovery", "reopen after SIGKILL amid 150,000 puts", "ms", 1.0),
    ("Long", "long", "capture of more than memory holds", "puts/s", 1.0),
    ("Long", "long-synced", "bytes captured and synced", "MB/s", 1.0),
];

/// The works whose costs are told.
const COSTED: [&str; 8] = ["capture", "batch", "bodies", "state", "random", "mixed", "retention", "long"];

/// The rows besides those of costs that are more or less about puts which outlive a kill.
const KILL: [&str; 9] =
    ["capture", "batch", "bodies", "state-put", "random-put", "mixed-put", "retention", "recovery", "long"];
/// Those whose puts outlive a power cut.
const POWER: [&str; 4] = ["immediate-1", "immediate-8", "immediate-64", "in-flight"];

fn row(section: &str, id: &str, title: &str, unit: &str) -> Row {
    let promise = KILL.contains(&id).then_some(Promise::Kill);
    let promise = promise.or(POWER.contains(&id).then_some(Promise::Power));
    let (id, title, section, unit) = (id.into(), title.into(), section.into(), unit.into());
    Row { id, title, section, unit, lower: false, aim: Aim::Times(1.0), promise }
}

/// All rows, in the order in which they are shown.
pub(crate) fn all() -> Vec<Row> {
    let times = |(section, id, title, unit, times): &(&str, &str, &str, &str, f64)| Row {
        aim: Aim::Times(*times),
        ..row(section, id, title, unit)
    };
    let mut rows: Vec<Row> = TIMED.iter().map(times).collect();
    let recovery = rows.iter_mut().filter(|row| row.id == "recovery");
    recovery.for_each(|row| (row.lower, row.aim) = (true, Aim::AheadOfLsm));
    for cost in 0..4 {
        rows.extend(COSTED.iter().map(|work| costs(work)[cost].clone()));
    }
    rows
}

fn costs(work: &str) -> [Row; 4] {
    let cost = |id: &str, section: &str, unit: &str, aim| Row {
        lower: true,
        aim,
        promise: Some(Promise::Kill),
        ..row(section, &format!("{work}.{id}"), work, unit)
    };
    let written = if work == "capture" { Aim::AtMost(1.1) } else { Aim::None };
    [
        cost("written", "Bytes written a byte put", "x", written),
        cost("disk", "Bytes on disk a byte that lives", "x", Aim::None),
        cost("memory", "Peak of anonymous memory", "MB", Aim::AheadOfLsm),
        cost("cpu", "CPU time an operation, reads of the same stage included", "us", Aim::None),
    ]
}
