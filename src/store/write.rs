//! The write path: table, log, memtable, visible. One writer at a time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::MutexGuard;

use crate::batch::{Change, Op};
use crate::cover::Cover;
use crate::entry::{Entry, Place, Pointer, ValueHome};
use crate::error::{Error, ErrorKind, Result};
use crate::log::{Action, Appender, Frame, FrameOp, LogFile, Position, Space, TableBuilder};
use crate::memtable::{ChunkPool, Memtable, MemtableCursor, MemtableWriter, memtable};
use crate::options::Sizes;
use crate::store::durability::Written;
use crate::store::room::Gauge;
use crate::store::shared::Shared;
use crate::store::view::Frozen;

/// So many memtables may wait for their flush before writers wait too.
const MAX_FROZEN: usize = 8;

/// From so many on writers are slowed down, so that they need not be stopped.
const SLOW_FROZEN: usize = 4;

/// So many deleted items are soon passed over, and no reason to begin a new memtable.
const PASSED_OVER: usize = 32;

/// A memtable is flushed once so many ranges were deleted, for most of them are done with then.
const MAX_COVERS: usize = 64;

pub(crate) struct Writer {
    space: Space,
    log: Option<Appender>,
    /// Logs that ended and were not synced since.
    unsynced: Vec<LogFile>,
    /// Where the last log ended, as long as there is no other in use: when the store was opened, or since.
    ended_at: Position,
    next_log: u64,
    tables: Tables,
    /// The memtable's size when it was last looked at whether to slow down.
    paced: usize,
    builder: TableBuilder,
}

/// The memtable in use and what goes into it: the same for a write and for a replay.
pub(crate) struct Tables {
    pool: Arc<ChunkPool>,
    pub(crate) iterators: Arc<Gauge>,
    pub(crate) table: MemtableWriter,
    /// The newest sequence number given out.
    pub(crate) seq: u64,
    /// The latest time given out, in microseconds: time never goes backwards.
    pub(crate) time: u64,
    /// How many bytes of metadata and values were put into each log that is not flushed.
    pub(crate) filled: BTreeMap<u64, u64>,
    /// The ranges that were deleted since the memtable was begun.
    pub(crate) covers: Vec<Arc<Cover>>,
    /// How much log was written since then, in bytes.
    pub(crate) logged: u64,
    inline_limit: usize,
    entry: Vec<u8>,
}

impl Tables {
    pub(crate) fn new(sizes: &Sizes, seq: u64, time: u64) -> Self {
        let pool = ChunkPool::new(sizes.memtable, sizes.memtables);
        let iterators = Gauge::new(sizes.iterators);
        let (table, _) = memtable(&pool);
        let (filled, covers, inline_limit) = (BTreeMap::new(), Vec::new(), sizes.inline_limit);
        let entry = Vec::new();
        Self { pool, iterators, table, seq, time, filled, covers, logged: 0, inline_limit, entry }
    }

    /// Whether the memtable is due for a flush: it is full, or refers to much log.
    pub(crate) fn is_due(&self, sizes: &Sizes) -> bool {
        self.table.table().bytes() >= sizes.memtable || self.logged >= sizes.log_per_memtable
    }

    /// Whether there is room for one more full memtable.
    pub(crate) fn has_room(&self, sizes: &Sizes) -> bool {
        self.pool.used().saturating_add(sizes.memtable) <= sizes.memtables
    }

    /// Puts a frame's operations, whose payloads lie in this log, into the memtable.
    pub(crate) fn apply(&mut self, log: &LogFile, base_time: u64, frame: &Frame<'_>) -> Result<()> {
        let time = base_time.saturating_add(frame.time);
        let mut seq = frame.seq;
        for op in frame.ops() {
            let op = op.map_err(|_| {
                let name = crate::log::name(log.id.number);
                Error::corruption(format!("{name}: a frame is malformed; restore it from a backup"))
            })?;
            self.insert(log, time, seq, &op)?;
            seq += 1;
        }
        self.seq = self.seq.max(seq.saturating_sub(1));
        self.time = self.time.max(time);
        Ok(())
    }

    fn insert(&mut self, log: &LogFile, time: u64, seq: u64, op: &FrameOp<'_>) -> Result<()> {
        self.entry.clear();
        match op.action {
            Action::Delete => Entry::tombstone(time).encode(&mut self.entry),
            Action::DeleteRange { end, before } => {
                let (start, end) = (op.key.to_vec(), end.map(<[u8]>::to_vec));
                let before = before.unwrap_or(seq).min(seq);
                self.covers.push(Arc::new(Cover { start, end, before, seq }));
                return Ok(());
            }
            Action::Put { expires, content_type, meta_len, value_len, crc, offset } => {
                let pointer = Pointer { home: ValueHome::Log(log.id.number), offset, crc };
                let len = u64::from(meta_len) + u64::from(value_len);
                *self.filled.entry(log.id.number).or_default() += len;
                let place = if len < self.inline_limit as u64 {
                    Place::Inline(log.payload(&pointer, len)?)
                } else {
                    Place::Stored(pointer)
                };
                let entry = Entry { modified: time, expires, content_type, meta_len, value_len, place };
                entry.encode(&mut self.entry);
            }
        }
        self.table.insert(op.key, seq, &self.entry);
        Ok(())
    }

    /// Starts a new memtable; the old one takes no more writes.
    pub(crate) fn freeze(&mut self, end: Position) -> Frozen {
        let (table, _) = memtable(&self.pool);
        let full = std::mem::replace(&mut self.table, table);
        self.logged = 0;
        let open = self.filled.split_off(&end.log);
        let mut filled = std::mem::replace(&mut self.filled, open);
        filled.extend(self.filled.get(&end.log).map(|bytes| (end.log, *bytes)));
        let covers = std::mem::take(&mut self.covers);
        let table = full.table().clone();
        Frozen { table, end, log_ended: false, seq: self.seq, time: self.time, filled, covers }
    }
}

impl Writer {
    pub(crate) fn new(space: Space, tables: Tables, ended_at: Position, next_log: u64) -> Self {
        Self {
            space,
            log: None,
            unsynced: Vec::new(),
            ended_at,
            next_log,
            tables,
            paced: 0,
            builder: TableBuilder::default(),
        }
    }

    pub(crate) fn seq(&self) -> u64 {
        self.tables.seq
    }

    /// Where the next frame goes, or what comes after all frames.
    pub(crate) fn position(&self) -> Position {
        self.log.as_ref().map_or(self.ended_at, Appender::position)
    }

    /// Whether nothing was written since the last memtable was frozen.
    pub(crate) fn is_flushed(&self, active: &Memtable) -> bool {
        active.is_empty() && self.tables.covers.is_empty()
    }

    /// How many bytes of metadata and values were put into each log that is not flushed.
    pub(crate) fn filled(&self) -> &BTreeMap<u64, u64> {
        &self.tables.filled
    }

    /// Everything written, and what must be synced to make it durable.
    pub(crate) fn written(&self) -> Written {
        let current = self.log.as_ref().map(|log| log.log().clone());
        let logs = self.unsynced.iter().cloned().chain(current).collect();
        Written { position: self.position(), seq: self.seq(), logs }
    }

    pub(crate) fn forget_synced(&mut self, synced: Position) {
        self.unsynced.retain(|log| log.id.number >= synced.log);
    }

    /// Ends the log for good; the number of one that was made ahead and never used.
    pub(crate) fn stop(&mut self) -> (Option<LogFile>, Option<u64>) {
        let unused = self.space.stop();
        (self.end_log(), unused)
    }

    /// How much log was written since the memtable in use began, in bytes.
    pub(crate) fn logged(&self) -> u64 {
        self.tables.logged
    }

    /// Ends the log in use, and the thread that makes logs ahead; the number of one that it had made.
    pub(crate) fn settle(&mut self) -> Option<u64> {
        let (_, unused) = self.stop();
        self.next_log = self.next_log.max(unused.map_or(0, |number| number + 1));
        unused
    }

    /// The number of the next log.
    pub(crate) fn next_log(&self) -> u64 {
        self.next_log
    }

    /// Ends the log in use: it is synced with the others, and the next frame starts a new one.
    pub(crate) fn end_log(&mut self) -> Option<LogFile> {
        let ended = self.log.take()?;
        self.ended_at = ended.position();
        let log = ended.log().clone();
        self.unsynced.push(log.clone());
        Some(log)
    }
}

impl Shared {
    /// Writes operations as one frame and shows them, unless the policy has them wait for their sync.
    pub(crate) fn commit(self: &Arc<Self>, ops: &[Op<'_>]) -> Result<Position> {
        self.check_memory(ops)?;
        let mut writer = self.admit()?;
        if ops.is_empty() {
            return Ok(writer.position());
        }
        self.append(&mut writer, ops)
    }

    /// Writes operations as one frame, unless that would mean waiting for a flush; false if it would.
    pub(crate) fn commit_unless_busy(self: &Arc<Self>, ops: &[Op<'_>]) -> Result<bool> {
        let mut writer = self.writer.lock();
        self.check_open()?;
        self.durability.check()?;
        if self.is_full(&writer) {
            return Ok(false);
        }
        self.append(&mut writer, ops).map(|_| true)
    }

    /// Deletes the key if there is anything to delete.
    pub(crate) fn commit_delete(self: &Arc<Self>, key: &[u8]) -> Result<(bool, Position)> {
        let op = Op::delete(key)?;
        let mut writer = self.admit()?;
        let (view, now) = (self.view(), self.vfs.now());
        let rules = &view.version.rules;
        let is_live = |entry: &Entry<'_>| entry.is_live(now) && !rules.is_past(key, entry.modified, now);
        let live = view.find(key, u64::MAX, |entry, _| Ok(is_live(&entry)))?.unwrap_or(false);
        if live {
            return Ok((true, self.append(&mut writer, &[op])?));
        }
        Ok((false, writer.position()))
    }

    /// The writer, once there is room for what it may write.
    fn admit(self: &Arc<Self>) -> Result<MutexGuard<'_, Writer>> {
        let mut writer = self.writer.lock();
        self.pace(&mut writer);
        let mut stopped = None;
        loop {
            self.check_open()?;
            self.durability.check()?;
            if !self.is_full(&writer) {
                return Ok(writer);
            }
            // A flush that failed is tried again, and the caller is told why it has to wait.
            if let Some(error) = self.background.take_error() {
                self.nudge();
                return Err(error);
            }
            self.nudge();
            stopped.get_or_insert_with(|| self.meters.stops(MAX_FROZEN));
            self.flushed.wait(&mut writer);
        }
    }

    /// Waits for a moment if flushes fall behind: at each step of the memtable's growth, and longer the
    /// further behind they are, but never for a flush to end.
    fn pace(&self, writer: &mut MutexGuard<'_, Writer>) {
        let bytes = writer.tables.table.table().bytes();
        if bytes == writer.paced {
            return;
        }
        writer.paced = bytes;
        let behind = self.behind(writer);
        if behind > 0 {
            let _slowed = self.meters.slows();
            self.flushed.wait_for(writer, Duration::from_micros(500 * behind as u64));
        }
    }

    /// How many memtables too many wait for their flush, by their number or by the memory they take.
    fn behind(&self, writer: &Writer) -> usize {
        let view = self.view();
        if view.frozen.is_empty() {
            return 0;
        }
        let sizes = &self.options.sizes;
        let over = writer.tables.pool.used().saturating_sub(view.memtable_room(sizes) / 2);
        (view.frozen.len() + 1).saturating_sub(SLOW_FROZEN).max(over / sizes.memtable.max(1))
    }

    fn is_full(&self, writer: &Writer) -> bool {
        writer.tables.is_due(&self.options.sizes) && !self.may_freeze(writer)
    }

    /// Whether there is room for one more memtable. There always is for the one in use and one that is being
    /// flushed, whatever readers hold.
    fn may_freeze(&self, writer: &Writer) -> bool {
        let (view, sizes) = (self.view(), &self.options.sizes);
        let used = writer.tables.pool.used().saturating_add(sizes.memtable);
        view.frozen.is_empty() || (view.frozen.len() < MAX_FROZEN && used <= view.memtable_room(sizes))
    }

    fn append(self: &Arc<Self>, writer: &mut Writer, ops: &[Op<'_>]) -> Result<Position> {
        let appended = self.try_append(writer, ops);
        self.meters.note_space(&appended);
        appended
    }

    #[inline]
    fn try_append(self: &Arc<Self>, writer: &mut Writer, ops: &[Op<'_>]) -> Result<Position> {
        self.part(writer, ops);
        writer.builder.clear();
        for op in ops {
            writer.builder.add(op);
        }
        let limit = writer.builder.frame_limit().ok_or_else(|| {
            Error::invalid("the keys of the batch are longer than the limit of 4294967255 bytes; split it")
        })?;
        let time = self.vfs.now().max(writer.tables.time);
        let log = match writer.log.take() {
            Some(log) if log.has_room(limit) => log,
            full => self.rotate(writer, full, limit, time)?,
        };
        // Put back whatever happens: a failed append left the log as it was.
        let log = writer.log.insert(log);
        let seq = writer.tables.seq + 1;
        let durable = if self.is_immediate() { log.news(self.durability.durable()) } else { None };
        let (id, offset) = (log.log().id, log.offset());
        let frame_time = time - log.base_time();
        let head = writer.builder.finish(id, offset as u64, seq, frame_time, durable);
        let head_len = head.len();
        let frame = parse(head, (offset + head_len) as u64)?;
        log.append(head, ops)?;
        let covered = writer.tables.covers.len();
        writer.tables.apply(log.log(), log.base_time(), &frame)?;
        let covers = writer.tables.covers.get(covered..).unwrap_or_default();
        if !covers.is_empty() {
            self.change_view(|view| view.covers = Arc::new(view.covers.with(covers)));
        }
        self.meters.wrote(ops, (log.offset() - offset) as u64);
        writer.space.look_ahead(log);
        let position = log.position();
        writer.tables.logged += position.offset - offset as u64;
        if !self.is_immediate() {
            self.show(writer.tables.seq);
        }
        if ops.len() > 1 {
            // The memory of a large batch is wanted elsewhere.
            writer.builder.clear();
        }
        self.freeze_if_full(writer, position);
        self.note_log(writer, position.offset - offset as u64);
        if writer.tables.covers.len() > covered {
            self.nudge();
        }
        Ok(position)
    }

    /// Begins a new memtable before a range is deleted of which this one holds much: then all of it lies in the
    /// range's gap, and no reader steps over what is deleted.
    fn part(self: &Arc<Self>, writer: &mut Writer, ops: &[Op<'_>]) {
        let table = writer.tables.table.table();
        let is_parted = |op: &Op<'_>| match op.change {
            Change::DeleteRange { end, before: None } => holds_more(table, (op.key, end), PASSED_OVER),
            Change::DeleteRange { before: Some(_), .. } | Change::Put(_) | Change::Delete => false,
        };
        let crowded = writer.tables.covers.len() >= MAX_COVERS;
        if (crowded || ops.iter().any(is_parted)) && self.view().frozen.len() < MAX_FROZEN {
            self.freeze(writer, writer.position());
            self.nudge();
        }
    }

    /// Moves to the next log, which has room for this frame.
    fn rotate(&self, writer: &mut Writer, full: Option<Appender>, limit: u64, time: u64) -> Result<Appender> {
        let before = full.as_ref().map_or(writer.ended_at, Appender::position);
        let next = writer.space.next(writer.next_log, limit).and_then(|mut next| {
            next.activate(before.offset, self.durability.durable(), time)?;
            Ok(next)
        });
        let next = match next {
            Ok(next) => next,
            Err(error) => {
                writer.log = full;
                return Err(error);
            }
        };
        writer.next_log = next.log().id.number + 1;
        writer.unsynced.extend(full.map(|full| full.log().clone()));
        self.change_view(|view| view.logs.push(next.log().clone()));
        Ok(next)
    }

    fn freeze_if_full(self: &Arc<Self>, writer: &mut Writer, end: Position) {
        if !writer.tables.is_due(&self.options.sizes) || !self.may_freeze(writer) {
            return;
        }
        self.freeze(writer, end);
        self.nudge();
    }

    /// Has the background thread look after the store, once there is something that it can do when it rests.
    fn note_log(self: &Arc<Self>, writer: &Writer, written: u64) {
        let (limit, logged) = (self.options.sizes.fold_limit as u64, writer.tables.logged);
        if logged >= limit && logged - written.min(logged) < limit {
            self.nudge();
        }
    }

    /// Hands the memtable over to be flushed.
    pub(crate) fn freeze(&self, writer: &mut Writer, end: Position) {
        let mut frozen = writer.tables.freeze(end);
        frozen.log_ended = writer.log.is_none() && self.view().log(end.log).is_some();
        let active = writer.tables.table.table().clone();
        self.change_view(|view| {
            view.frozen.push(frozen);
            view.active = active;
        });
    }

    /// Marks the store closed, so that no write comes after; false if it was already.
    pub(crate) fn close_writes(&self) -> bool {
        let _writer = self.writer.lock();
        let first = !self.closed.swap(true, Ordering::AcqRel);
        self.flushed.notify_all();
        first
    }
}

/// Whether a memtable holds more items than this in a range.
fn holds_more(table: &Arc<Memtable>, (start, end): (&[u8], Option<&[u8]>), than: usize) -> bool {
    let mut cursor = MemtableCursor::new(table.clone());
    cursor.seek(start, u64::MAX);
    let mut items = 0;
    while cursor.valid() && end.is_none_or(|end| cursor.key() < end) && items <= than {
        items += 1;
        cursor.next();
    }
    items > than
}

fn parse(head: &[u8], payload_start: u64) -> Result<Frame<'_>> {
    let table = head.get(crate::log::FRAME_HEAD..).unwrap_or_default();
    Frame::parse(table, payload_start)
        .map_err(|_| Error::new(ErrorKind::Corruption, "a frame could not be built; report this"))
}
