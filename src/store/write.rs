//! The write path: table, log, memtable, visible. One writer at a time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::batch::{Change, Op};
use crate::cover::Cover;
use crate::crypto::OVERHEAD;
use crate::entry::{Entry, Place, Pointer, ValueHome};
use crate::error::{Error, ErrorKind, Result};
use crate::log::{Action, Appender, Frame, FrameOp, Grant, LogFile, Position, Space, TableBuilder};
use crate::memtable::{ChunkPool, Memtable, MemtableCursor, MemtableWriter, memtable};
use crate::options::Sizes;
use crate::store::admit::{MAX_FROZEN, Manner};
use crate::store::durability::Written;
use crate::store::pace::STEP;
use crate::store::relief::Hope;
use crate::store::room::Gauge;
use crate::store::shared::Shared;
use crate::store::view::Frozen;
use crate::values::Blocks;

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
    /// Where the log before the next one ended.
    previous_end: u64,
    next_log: u64,
    tables: Tables,
    /// The memtable's size when it was last looked at whether to slow down.
    paced: usize,
    /// In which step of the log it was last looked at whether flushes or merges fall behind.
    paced_log: u64,
    /// What it is to wait for them, and did not yet: a shorter wait than a timer's costs more than it gives.
    pub(crate) debt: Duration,
    pub(crate) hope: Hope,
    builder: TableBuilder,
}

/// The memtable in use and what goes into it: the same for a write and for a replay.
pub(crate) struct Tables {
    pool: Arc<ChunkPool>,
    pub(crate) iterators: Arc<Gauge>,
    pub(crate) blocks: Arc<Blocks>,
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
        let (entry, blocks) = (Vec::new(), Arc::default());
        Self { pool, iterators, blocks, table, seq, time, filled, covers, logged: 0, inline_limit, entry }
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
                let pointer = Pointer { home: ValueHome::Log(log.id.number), offset, within: None, crc };
                let len = u64::from(meta_len) + u64::from(value_len);
                *self.filled.entry(log.id.number).or_default() += len;
                let payload;
                let place = if len < self.inline_limit as u64 {
                    payload = log.payload(&pointer, len)?;
                    Place::Inline(&payload)
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
        let logged = std::mem::take(&mut self.logged);
        let open = self.filled.split_off(&end.log);
        let mut filled = std::mem::replace(&mut self.filled, open);
        filled.extend(self.filled.get(&end.log).map(|bytes| (end.log, *bytes)));
        let covers = std::mem::take(&mut self.covers);
        let table = full.table().clone();
        Frozen { table, end, log_ended: false, seq: self.seq, time: self.time, logged, filled, covers }
    }
}

impl Writer {
    pub(crate) fn new(space: Space, tables: Tables, ended_at: Position, next_log: u64) -> Self {
        Self {
            space,
            log: None,
            unsynced: Vec::new(),
            ended_at,
            previous_end: ended_at.offset,
            next_log,
            tables,
            paced: 0,
            paced_log: 0,
            debt: Duration::ZERO,
            hope: Hope::default(),
            builder: TableBuilder::default(),
        }
    }

    pub(crate) fn seq(&self) -> u64 {
        self.tables.seq
    }

    /// Bytes of memory that memtables take, those that readers hold among them.
    pub(crate) fn memory_used(&self) -> usize {
        self.tables.pool.used()
    }

    /// Whether the memtable has grown enough to be flushed.
    pub(crate) fn is_due(&self, sizes: &Sizes) -> bool {
        self.tables.is_due(sizes)
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

    /// How much log is not known to be complete, or not flushed, in bytes.
    pub(crate) fn open_bytes(&self) -> u64 {
        let in_use = self.log.as_ref().map_or(0, |log| log.offset() as u64);
        in_use.max(self.tables.logged)
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
        self.previous_end = self.ended_at.offset;
        let log = ended.log().clone();
        self.unsynced.push(log.clone());
        Some(log)
    }

    /// Ends the log in use, so that it need not stay once it is flushed; the end of all that was written, if
    /// there is anything that a flush up to there would change.
    pub(crate) fn end_for_good(&mut self) -> Option<Position> {
        let ended = self.end_log();
        if ended.is_none() && self.is_flushed(self.tables.table.table()) {
            return None;
        }
        // Behind all logs that are there: the next frame's log is one that is not in use yet.
        self.ended_at = Position { log: self.next_log, offset: 0 };
        Some(self.ended_at)
    }

    /// Memory of the memtable in use, in bytes.
    pub(crate) fn table_bytes(&self) -> usize {
        self.tables.table.table().bytes()
    }

    /// Whether the memtable's memory is another than when growth was last noted.
    pub(crate) fn has_grown(&self) -> bool {
        self.table_bytes() != self.paced
    }

    /// By how many steps the log has grown since this was last asked.
    pub(crate) fn steps_logged(&mut self) -> u64 {
        let step = self.tables.logged / STEP;
        let before = std::mem::replace(&mut self.paced_log, step);
        // It begins anew with each memtable.
        step.checked_sub(before).unwrap_or(step)
    }

    pub(crate) fn note_growth(&mut self) {
        self.paced = self.table_bytes();
    }
}

impl Shared {
    /// Writes operations as one frame and shows them, unless the policy has them wait for their sync.
    pub(crate) fn commit(self: &Arc<Self>, ops: &[Op<'_>], manner: Manner) -> Result<Position> {
        self.check_memory(ops)?;
        let mut writer = self.admit(manner, ops.iter().all(|op| op.value().is_none()))?;
        if ops.is_empty() {
            return Ok(writer.position());
        }
        self.append_with_relief(&mut writer, ops, manner)
    }

    /// Deletes the key if there is anything to delete.
    pub(crate) fn commit_delete(self: &Arc<Self>, key: &[u8], manner: Manner) -> Result<(bool, Position)> {
        let op = Op::delete(key)?;
        let mut writer = self.admit(manner, true)?;
        let (view, now) = (self.view(), self.vfs.now());
        let rules = &view.version.rules;
        let is_live = |entry: &Entry<'_>| entry.is_live(now) && !rules.is_past(key, entry.modified, now);
        let live = view.find(key, u64::MAX, |entry, _| Ok(is_live(&entry)))?.unwrap_or(false);
        if live {
            return Ok((true, self.append_with_relief(&mut writer, &[op], manner)?));
        }
        Ok((false, writer.position()))
    }

    /// Appends one frame. An urgent one may take space that is held back.
    #[inline]
    pub(crate) fn append(
        self: &Arc<Self>,
        writer: &mut Writer,
        ops: &[Op<'_>],
        urgent: bool,
    ) -> Result<Position> {
        self.part(writer, ops);
        writer.builder.clear();
        for op in ops {
            writer.builder.add(op);
        }
        let overhead = if self.vfs.vault().is_some() { OVERHEAD } else { 0 };
        let limit = writer.builder.frame_limit(overhead).ok_or_else(|| {
            Error::invalid("the keys of the batch are longer than the limit of 4294967255 bytes; split it")
        })?;
        let time = self.vfs.now().max(writer.tables.time);
        let table_bytes = writer.table_bytes();
        let log = match writer.log.take() {
            Some(log) if log.has_room(limit) => log,
            full => self.rotate(writer, full, (limit, time), self.grant(table_bytes, urgent))?,
        };
        // Put back whatever happens: a failed append left the log as it was.
        let log = writer.log.insert(log);
        if log.lacks_space(limit) {
            let room = writer.space.make_room(log, limit as usize, self.grant(table_bytes, urgent));
            room.map_err(|error| self.reserve.explain(error, limit))?;
            self.relief.has_space(urgent);
        }
        let seq = writer.tables.seq + 1;
        let durable = if self.is_immediate() { log.news(self.durability.durable()) } else { None };
        let (id, offset) = (log.log().id, log.offset());
        let frame_time = time - log.base_time();
        let head = writer.builder.finish(id, offset as u64, seq, frame_time, durable);
        let head_len = head.len();
        let frame = parse(head, (offset + head_len + overhead) as u64, overhead > 0)?;
        log.append(head, ops)?;
        let covered = writer.tables.covers.len();
        writer.tables.apply(log.log(), log.base_time(), &frame)?;
        let covers = writer.tables.covers.get(covered..).unwrap_or_default();
        if !covers.is_empty() {
            self.change_view(|view| view.covers = Arc::new(view.covers.with(covers)));
        }
        self.meters.wrote(ops, (log.offset() - offset) as u64);
        writer.space.look_ahead(log, || self.grant(table_bytes, urgent).headroom);
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
            writer.hope = Hope::default();
            let _ = self.nudge();
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
            // The delete tells if the thread cannot be had.
            let _ = self.nudge();
        }
    }

    /// Moves to the next log, which has room for a frame of at most so many bytes, written at this time.
    fn rotate(
        &self,
        writer: &mut Writer,
        full: Option<Appender>,
        (limit, time): (u64, u64),
        grant: Grant,
    ) -> Result<Appender> {
        let before = full.as_ref().map_or(writer.previous_end, |full| full.position().offset);
        let next = writer.space.next(writer.next_log, limit, grant).and_then(|mut next| {
            next.activate(before, self.durability.durable(), time)?;
            Ok(next)
        });
        let next = match next {
            Ok(next) => next,
            Err(error) => {
                writer.log = full;
                return Err(self.reserve.explain(error, limit));
            }
        };
        self.relief.has_space(grant.urgent);
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
        // The frame is written: what keeps the thread from starting is told to those who wait for it.
        let _ = self.nudge();
    }

    /// Has the background thread look after the store, once there is something that it can do when it rests.
    fn note_log(self: &Arc<Self>, writer: &Writer, written: u64) {
        let (limit, logged) = (self.options.sizes.fold_limit as u64, writer.tables.logged);
        if logged >= limit && logged - written.min(logged) < limit {
            let _ = self.nudge();
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
        let mut first = false;
        self.tell_flushed(|| first = !self.closed.swap(true, Ordering::AcqRel));
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

fn parse(head: &[u8], payload_start: u64, is_sealed: bool) -> Result<Frame<'_>> {
    let table = head.get(crate::log::FRAME_HEAD..).unwrap_or_default();
    Frame::parse(table, payload_start, is_sealed)
        .map_err(|_| Error::new(ErrorKind::Corruption, "a frame could not be built; report this"))
}
