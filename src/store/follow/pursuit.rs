//! Keeping up with a writer: what recovery does once, done again from where it stopped, without a lock and
//! without a trace.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::Result;
use crate::log::{HEADER_LEN, Position, has_header, whole_frames};
use crate::manifest::{Flushed, FollowedManifest, LogRecord, TRIES, Version, changes_too_fast};
use crate::options::Sizes;
use crate::store::checkpoint::contents;
use crate::store::follow::checkpoint::Moment;
use crate::store::follow::files::{Files, cannot_read};
use crate::store::intake::Intake;
use crate::store::stats::{Recovery, Stats};
use crate::store::strays::Listing;
use crate::store::view::View;
use crate::vfs::Vfs;

/// Memtables go as soon as the writer has flushed all that is in them, so smaller ones go sooner; and who
/// looks for what is new passes over the older ones.
const MEMTABLE: usize = 1 << 20;

pub(super) struct Pursuit {
    dir: PathBuf,
    sizes: Sizes,
    manifest: FollowedManifest,
    files: Files,
    version: Arc<Version>,
    intake: Intake,
    /// Where the oldest memtable begins.
    start: Position,
    /// The log in which the intake began, and what had been put into it before.
    filled_before: (u64, u64),
    /// Whether the manifest says something that was not acted on yet.
    stale: bool,
    /// Whether there is something that no view shows yet.
    news: bool,
}

impl Pursuit {
    pub(super) fn new(vfs: &Arc<dyn Vfs>, dir: &Path, sizes: Sizes) -> Self {
        // Whoever only looks cannot flush: what its owner holds in memory, it must.
        let sizes = Sizes { memtable: sizes.memtable.min(MEMTABLE), memtables: usize::MAX, ..sizes };
        Self {
            dir: dir.into(),
            sizes,
            manifest: FollowedManifest::new(vfs.clone(), dir),
            files: Files::new(vfs.clone(), dir.into()),
            version: Arc::new(Version::default()),
            intake: Intake::new(&sizes, Flushed::default()),
            start: Position::default(),
            filled_before: (0, 0),
            stale: false,
            news: true,
        }
    }

    /// Takes in all that was written before the call. A view and its sequence number, if there is something
    /// that the view before did not show.
    pub(super) fn catch_up(&mut self) -> Result<Option<(Arc<View>, u64)>> {
        self.stale |= self.manifest.refresh()?;
        // What was opened stays open, so that each time there is less to do.
        for _ in 0..TRIES {
            match self.advance() {
                Ok(()) => return Ok(std::mem::take(&mut self.news).then(|| self.view())),
                // The writer says in the manifest what it is about to remove or to cut.
                Err(error) if !self.manifest.refresh()? => return Err(error),
                Err(_) => self.stale = true,
            }
        }
        Err(changes_too_fast(&self.dir))
    }

    /// The first view, if nothing tells that the manifest has lost what it once said.
    pub(super) fn begin(&mut self, vfs: &dyn Vfs) -> Result<(Arc<View>, u64)> {
        self.catch_up()?;
        self.check_strays(vfs)?;
        if self.stale {
            self.catch_up()?;
        }
        self.news = false;
        Ok(self.view())
    }

    /// Refuses if there are files that only a manifest which was damaged since can have known.
    fn check_strays(&mut self, vfs: &dyn Vfs) -> Result<()> {
        if self.strays(&Listing::now(vfs, &self.dir)?).is_ok() {
            return Ok(());
        }
        // They may have come since the manifest was read; then they came before it is read now.
        let dir = self.dir.clone();
        let listing = Listing::before(vfs, &dir)?;
        self.stale |= self.manifest.refresh()?;
        self.strays(&listing)
    }

    fn strays(&self, listing: &Listing<'_>) -> Result<()> {
        listing.strays(self.manifest.state(), self.manifest.number()).map(drop)
    }

    pub(super) fn view(&self) -> (Arc<View>, u64) {
        let Intake { tables, frozen, .. } = &self.intake;
        let view = View::new(tables, frozen.clone(), self.version.clone(), self.files.logs());
        (Arc::new(view), tables.seq)
    }

    /// All that makes up the store, as far as it was taken in. Of the logs, those in use end there.
    pub(super) fn moment(&self) -> Result<Moment> {
        let position = self.intake.end;
        let mut state = self.manifest.state().clone();
        // One that comes later was made ahead, or lies behind a hole.
        state.logs.retain(|number, _| *number <= position.log);
        let lasting = contents(&self.version).collect();
        let mut moment = Moment { position, state, lasting, growing: Vec::new() };
        for number in moment.state.logs.keys().copied().collect::<Vec<_>>() {
            let log = self.files.log(number)?;
            let mapped = log.mapping.published();
            let seen = usize::try_from(position.offset).unwrap_or(usize::MAX).min(mapped);
            let end = if number == position.log { seen } else { mapped };
            moment.log(log, end, self.filled(number));
        }
        Ok(moment)
    }

    /// What was put into a log that has no end yet, as far as it was taken in.
    fn filled(&self, number: u64) -> u64 {
        let (first, before) = self.filled_before;
        let counts = self.intake.frozen.iter().map(|frozen| &frozen.filled);
        let counts = counts.chain([&self.intake.tables.filled]);
        // The later a count was made, the more of the log is in it.
        let taken = counts.filter_map(|count| count.get(&number)).next_back().copied().unwrap_or(0);
        if number == first { before + taken } else { taken }
    }

    /// What the manifest says of the keyring.
    pub(super) fn epoch(&self) -> u64 {
        self.manifest.state().epoch
    }

    /// What was replayed since the memtables were last started anew.
    pub(super) fn recovery(&self) -> Recovery {
        self.intake.recovery
    }

    pub(super) fn stats(&self, view: &View, seq: u64) -> Stats {
        Stats::of(view, self.manifest.state(), seq)
    }

    fn advance(&mut self) -> Result<()> {
        if self.stale {
            self.adopt()?;
            (self.stale, self.news) = (false, true);
        }
        let before = self.intake.end;
        let read = self.read_logs();
        if read.is_err() {
            // Half a log may be in the memtables.
            self.start_anew();
        }
        self.news |= self.intake.end != before;
        read
    }

    /// Has all that is not in segments replayed again.
    fn start_anew(&mut self) {
        let state = self.manifest.state();
        let flushed = state.flushed;
        self.filled_before = (flushed.log, state.logs.get(&flushed.log).map_or(0, |log| log.filled));
        self.intake = Intake::new(&self.sizes, flushed);
        self.start = flushed.position();
    }

    /// Goes over to what the manifest says now.
    fn adopt(&mut self) -> Result<()> {
        let state = self.manifest.state();
        let replaced = self.files.open(state)?;
        let flushed = state.flushed.position();
        // All that was replayed is in segments, or was written over by a backup; or a change of the manifest,
        // though it was seen, has failed.
        if replaced || flushed >= self.intake.end || flushed < self.start {
            self.start_anew();
        }
        let done = self.intake.frozen.iter().take_while(|frozen| frozen.end <= flushed).count();
        if let Some(last) = self.intake.frozen.drain(..done).next_back() {
            self.start = last.end;
        }
        let state = self.manifest.state();
        self.files.retain(state, self.start.log);
        self.version = Arc::new(self.files.version(state));
        Ok(())
    }

    /// Goes on replaying from where the last frame ended.
    fn read_logs(&mut self) -> Result<()> {
        let logs = self.manifest.state().logs.range(self.intake.end.log..);
        let logs: Vec<LogRecord> = logs.map(|(_, record)| *record).collect();
        for (at, record) in logs.iter().enumerate() {
            // Asked before this log is read: once the writer has moved on, nothing more comes here.
            let complete = record.end.is_some()
                || match logs.get(at + 1) {
                    Some(next) => self.is_used(next.number)?,
                    None => false,
                };
            self.read_log(record, complete)?;
            if !complete || self.intake.stopped {
                break;
            }
        }
        // As after a power cut, what lies behind a hole is not shown, unless it was durable.
        self.intake.stopped = false;
        self.intake.check()
    }

    fn is_used(&self, number: u64) -> Result<bool> {
        let log = self.files.log(number)?;
        has_header(log).map_err(|error| cannot_read(log, error))
    }

    fn read_log(&mut self, record: &LogRecord, complete: bool) -> Result<()> {
        let number = record.number;
        if number != self.intake.end.log && !complete && !self.is_used(number)? {
            return Ok(());
        }
        while let Some(end) = self.next_end(record)? {
            let log = self.files.map(number, end)?;
            if self.intake.take(&log, Some(end))?.is_none() {
                return Ok(());
            }
        }
        // A complete log without a frame has a header; what is missing of one with an end is damage.
        let least = record.end.or(complete.then_some(HEADER_LEN as u64));
        if let Some(least) = least
            && (Position { log: number, offset: least }) > self.intake.end
        {
            let log = self.files.map(number, least)?;
            self.intake.take(&log, Some(least))?;
        }
        Ok(())
    }

    /// The end of some more frames, if there are any.
    fn next_end(&self, record: &LogRecord) -> Result<Option<u64>> {
        let log = self.files.log(record.number)?;
        let Position { log: last, offset } = self.intake.end;
        let from = if last == record.number { offset.max(HEADER_LEN as u64) } else { HEADER_LEN as u64 };
        let limit = record.end.map_or_else(|| log.file().and_then(|file| file.len()), Ok);
        let end = limit.and_then(|limit| whole_frames(log, from, limit));
        Ok(Some(end.map_err(|error| cannot_read(log, error))?).filter(|end| *end > from))
    }
}
