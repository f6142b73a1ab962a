//! What a process has cost: bytes it wrote, memory, CPU time, as the kernel counts them; and what lies on disk.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::engine::Result;

/// A number after a name in a file of `/proc/self`; 0 if it is not there.
fn proc_number(file: &str, name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/self/{file}")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.trim_start_matches(':').split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Anonymous memory in bytes: what is the process's own, without file pages that it has mapped.
fn anonymous() -> u64 {
    proc_number("status", "RssAnon") * 1024
}

/// User and system time of all threads, those that have ended too.
fn cpu_seconds() -> f64 {
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name of the program, in brackets, may hold anything.
    let after = text.rsplit(')').next().unwrap_or_default();
    let ticks: u64 =
        after.split_whitespace().skip(11).take(2).filter_map(|word| word.parse::<u64>().ok()).sum();
    ticks as f64 / rustix::param::clock_ticks_per_second() as f64
}

/// Bytes that were sent towards the disk. The kernel counts a page when it is made dirty, so that what was
/// overwritten before it reached the disk counts again only if it had been written out in between.
fn written() -> u64 {
    proc_number("io", "write_bytes").saturating_sub(proc_number("io", "cancelled_write_bytes"))
}

/// Samples the peak of anonymous memory until it is dropped.
struct Peak {
    peak: Arc<AtomicU64>,
    done: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Peak {
    const INTERVAL: Duration = Duration::from_millis(20);

    fn start() -> Self {
        let (peak, done) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (to, until) = (peak.clone(), done.clone());
        let thread = std::thread::spawn(move || {
            while !until.load(Ordering::Relaxed) {
                to.fetch_max(anonymous(), Ordering::Relaxed);
                std::thread::park_timeout(Self::INTERVAL);
            }
        });
        Self { peak, done, thread: Some(thread) }
    }

    fn end(mut self) -> u64 {
        self.done.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
        self.peak.load(Ordering::Relaxed).max(anonymous())
    }
}

/// A measurement under way. Starts before the engine is opened; what the work itself holds by then, keys and
/// records, is not counted.
pub(crate) struct Meter {
    anonymous: u64,
    cpu: f64,
    written: u64,
    peak: Peak,
}

/// What it came to.
#[derive(Clone, Copy)]
pub(crate) struct Costs {
    pub(crate) written: u64,
    /// The peak, in bytes.
    pub(crate) anonymous: u64,
    pub(crate) cpu_seconds: f64,
    /// Bytes of disk that the store's files take.
    pub(crate) disk: u64,
}

impl Meter {
    pub(crate) fn start() -> Self {
        Self { anonymous: anonymous(), cpu: cpu_seconds(), written: written(), peak: Peak::start() }
    }

    /// To be called when the engine is closed: what it has left to the page cache is synced first.
    pub(crate) fn end(self, dir: &Path) -> Result<Costs> {
        for file in files(dir)? {
            fs::File::open(file)?.sync_all()?;
        }
        Ok(Costs {
            cpu_seconds: cpu_seconds() - self.cpu,
            anonymous: self.peak.end().saturating_sub(self.anonymous),
            written: written() - self.written,
            disk: weigh(dir)?,
        })
    }
}

fn files(dir: &Path) -> Result<Vec<std::path::PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.extend(files(&entry.path())?);
        } else {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Bytes of disk that the files below a directory take.
pub(crate) fn weigh(dir: &Path) -> Result<u64> {
    let blocks = |file: std::path::PathBuf| Ok(fs::metadata(file)?.blocks() * 512);
    files(dir)?.into_iter().map(blocks).sum()
}
