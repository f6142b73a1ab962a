//! Frames: one atomic write batch each.
//!
//! ```text
//! frame   = crc:u32 table_len:u32 table payload*
//! table   = head:varint seq:varint time:varint [durable:varint] op*
//! head    = number of operations * 2 + (1 if durable is given)
//! op      = flags:u8 key_len:varint [expires:varint] [content_type] [meta_len:varint]
//!           [value_len:varint crc:u32] key                                       put or delete
//!         | flags:u8 key_len:varint [end_len:varint] [before:varint] key [end]   delete of a range
//! flags   = bits 0-1: 0 delete, 1 put, 2 delete of a range;
//!           of a put, bit 2: expires; bit 3: content_type; bit 4: meta_len; of a range, bit 2: end; bit 3: before
//! payload = meta value                         (of each put, in order; checked by the op's crc)
//! ```
//! `crc` covers `table_len` and the table, and starts from the log's salt and the frame's offset. `seq`
//! is the sequence number of the first operation; `time` is microseconds after the log's base time;
//! `durable`, given when it changed, is the offset in this log up to which everything is durable.

use std::borrow::Cow;
use std::ops::Range;

use crc32fast::Hasher;

use crate::batch::{Change, Op};
use crate::codec::{Malformed, Reader, put_varint, salted_crc};
use crate::entry::{content_type, length32, put_content_type};
use crate::log::header::LogId;
use crate::log::seal::{Lens, payload_len};

pub(crate) const FRAME_HEAD: usize = 8;

/// Memory for a table that is kept for the next one.
const KEPT: usize = 64 << 10;

const DELETE: u8 = 0;
const PUT: u8 = 1;
const DELETE_RANGE: u8 = 2;
/// Of a range.
const END: u8 = 1 << 2;
const BEFORE: u8 = 1 << 3;
const EXPIRES: u8 = 1 << 2;
const CONTENT_TYPE: u8 = 1 << 3;
const META: u8 = 1 << 4;
const KNOWN: u8 = PUT | EXPIRES | CONTENT_TYPE | META;

/// Builds a frame's table, before its place in a log is known, in memory that is used again and again.
#[derive(Debug, Default)]
pub(crate) struct TableBuilder {
    ops: Vec<u8>,
    count: u64,
    payload_len: u64,
    table: Vec<u8>,
}

impl TableBuilder {
    pub(crate) fn clear(&mut self) {
        // One huge batch is no reason to hold its memory for good.
        for bytes in [&mut self.ops, &mut self.table] {
            bytes.clear();
            bytes.shrink_to(KEPT);
        }
        self.count = 0;
        self.payload_len = 0;
    }

    pub(crate) fn add(&mut self, op: &Op<'_>) {
        self.count += 1;
        let out = &mut self.ops;
        let put = match &op.change {
            Change::Put(put) => put,
            Change::Delete => {
                out.push(DELETE);
                put_varint(out, op.key.len() as u64);
                out.extend_from_slice(op.key);
                return;
            }
            Change::DeleteRange { end, before } => return add_range(out, op.key, *end, *before),
        };
        let flags = PUT
            | if put.expires == 0 { 0 } else { EXPIRES }
            | if put.content_type.is_empty() { 0 } else { CONTENT_TYPE }
            | if put.meta.is_empty() { 0 } else { META };
        out.push(flags);
        put_varint(out, op.key.len() as u64);
        if put.expires != 0 {
            put_varint(out, put.expires);
        }
        if !put.content_type.is_empty() {
            put_content_type(out, put.content_type);
        }
        if !put.meta.is_empty() {
            put_varint(out, put.meta.len() as u64);
        }
        put_varint(out, put.value.len() as u64);
        out.extend_from_slice(&payload_crc(put.meta, put.value).to_le_bytes());
        out.extend_from_slice(op.key);
        self.payload_len += (put.meta.len() + put.value.len()) as u64;
    }

    /// The most bytes that the frame can take where each piece takes `overhead` more; refuses tables whose length
    /// has no field.
    pub(crate) fn frame_limit(&self, overhead: usize) -> Option<u64> {
        let table = (self.ops.len() + 40 + overhead) as u64;
        let payloads = self.payload_len + self.count * overhead as u64;
        (table <= u64::from(u32::MAX)).then_some(FRAME_HEAD as u64 + table + payloads)
    }

    /// The frame's head and table, for this place in a log.
    pub(crate) fn finish(
        &mut self,
        id: LogId,
        offset: u64,
        seq: u64,
        time: u64,
        durable: Option<u64>,
    ) -> &[u8] {
        let table = &mut self.table;
        table.clear();
        table.extend_from_slice(&[0; FRAME_HEAD]);
        put_varint(table, self.count * 2 + u64::from(durable.is_some()));
        put_varint(table, seq);
        put_varint(table, time);
        if let Some(durable) = durable {
            put_varint(table, durable);
        }
        table.extend_from_slice(&self.ops);
        let len = (table.len() - FRAME_HEAD) as u32;
        table[4..8].copy_from_slice(&len.to_le_bytes());
        let crc = salted_crc(id.salt, offset, &table[4..]);
        table[..4].copy_from_slice(&crc.to_le_bytes());
        table
    }
}

fn add_range(out: &mut Vec<u8>, start: &[u8], end: Option<&[u8]>, before: Option<u64>) {
    let end_flag = if end.is_some() { END } else { 0 };
    let before_flag = if before.is_some() { BEFORE } else { 0 };
    out.push(DELETE_RANGE | end_flag | before_flag);
    put_varint(out, start.len() as u64);
    if let Some(end) = end {
        put_varint(out, end.len() as u64);
    }
    if let Some(before) = before {
        put_varint(out, before);
    }
    out.extend_from_slice(start);
    out.extend_from_slice(end.unwrap_or_default());
}

fn payload_crc(meta: &[u8], value: &[u8]) -> u32 {
    if meta.is_empty() {
        return crc32fast::hash(value);
    }
    let mut hasher = Hasher::new();
    hasher.update(meta);
    hasher.update(value);
    hasher.finalize()
}

/// A frame whose table's checksum held. Its payloads may still be damaged.
#[derive(Clone, Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) seq: u64,
    /// Microseconds after the log's base time.
    pub(crate) time: u64,
    pub(crate) durable: Option<u64>,
    pub(crate) count: u64,
    /// The table, and where in it the operations begin.
    table: Cow<'a, [u8]>,
    ops_at: usize,
    payload_start: u64,
    is_sealed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameOp<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) action: Action<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action<'a> {
    Delete,
    /// From the key on up to before `end`, or to the last: all versions, or those older than `before`.
    DeleteRange {
        end: Option<&'a [u8]>,
        before: Option<u64>,
    },
    Put {
        expires: u64,
        content_type: &'a str,
        meta_len: u32,
        value_len: u32,
        crc: u32,
        /// Where the payload lies in the log.
        offset: u64,
    },
}

impl<'a> Frame<'a> {
    /// Reads the head and table at the start of `bytes`, which lie at `offset` of the lens's log.
    pub(super) fn decode(bytes: &'a [u8], lens: &Lens<'_>, offset: u64) -> Result<Self, Malformed> {
        let reader = &mut Reader::new(bytes);
        let crc = reader.u32()?;
        let checked = bytes.get(4..).ok_or(Malformed)?;
        let len = usize::try_from(reader.u32()?).map_err(|_| Malformed)?;
        let table = reader.take(len)?;
        if len == 0 || salted_crc(lens.id.salt, offset, checked.get(..4 + len).ok_or(Malformed)?) != crc {
            return Err(Malformed);
        }
        let table = match lens.table(offset, table) {
            None => Cow::Borrowed(table),
            Some(opened) => Cow::Owned(opened?),
        };
        Self::parse(table, offset + (FRAME_HEAD + len) as u64, lens.is_sealed())
    }

    /// What decoding at `offset` would have to look at.
    pub(crate) fn claimed_len(log: &[u8], offset: usize) -> usize {
        let len = log.get(offset + 4..).and_then(|rest| Reader::new(rest).u32().ok());
        let len = len.map_or(0, |len| len as usize);
        if len <= log.len() { len } else { 0 }
    }

    /// Reads a table that this process made or that its checksum vouched for, and which lies in the log as it is or
    /// is sealed there, like the payloads that begin at this offset.
    pub(crate) fn parse(
        table: impl Into<Cow<'a, [u8]>>,
        payload_start: u64,
        is_sealed: bool,
    ) -> Result<Self, Malformed> {
        let table = table.into();
        let reader = &mut Reader::new(&table);
        let head = reader.varint()?;
        let seq = reader.varint()?;
        let time = reader.varint()?;
        let durable = if head & 1 == 0 { None } else { Some(reader.varint()?) };
        let ops_at = table.len() - reader.remaining();
        Ok(Self { seq, time, durable, count: head / 2, table, ops_at, payload_start, is_sealed })
    }

    /// The operations, in order; after the first malformed one nothing more comes.
    pub(crate) fn ops(&self) -> Ops<'_> {
        let ops = self.table.get(self.ops_at..).unwrap_or_default();
        let (left, payload, is_sealed) = (self.count, self.payload_start, self.is_sealed);
        Ops { reader: Reader::new(ops), left, payload, is_sealed }
    }

    /// How long a payload of this frame is in the log.
    pub(super) fn payload_len(&self, meta_len: u32, value_len: u32) -> Option<u64> {
        payload_len(u64::from(meta_len) + u64::from(value_len), self.is_sealed).ok()
    }

    /// Where the frame ends, by what its table says of the lengths of its payloads.
    pub(crate) fn extent(&self) -> Result<u64, Malformed> {
        let mut ops = self.ops();
        ops.try_for_each(|op| op.map(drop))?;
        Ok(ops.payload)
    }

    /// Checks every operation and payload against the log's bytes; the frame's end, if all hold.
    pub(super) fn verify(&self, log: &[u8], lens: &Lens<'_>) -> Result<u64, Malformed> {
        self.verify_by(|range| {
            let place = |at: u64| usize::try_from(at).map_err(|_| Malformed);
            let payload = log.get(place(range.start)?..place(range.end)?).ok_or(Malformed)?;
            lens.checksum(&range, payload)
        })
    }

    /// The same, with the checksum of what lies in a range of the log from somewhere else.
    pub(crate) fn verify_by<E: From<Malformed>>(
        &self,
        mut checksum: impl FnMut(Range<u64>) -> Result<u32, E>,
    ) -> Result<u64, E> {
        let mut ops = self.ops();
        for op in &mut ops {
            let Action::Put { meta_len, value_len, crc, offset, .. } = op?.action else { continue };
            let len = payload_len(u64::from(meta_len) + u64::from(value_len), self.is_sealed)?;
            let end = offset.checked_add(len).ok_or(Malformed)?;
            if checksum(offset..end)? != crc {
                return Err(Malformed.into());
            }
        }
        if ops.reader.is_empty() { Ok(ops.payload) } else { Err(Malformed.into()) }
    }
}

#[derive(Debug)]
pub(crate) struct Ops<'a> {
    reader: Reader<'a>,
    left: u64,
    payload: u64,
    is_sealed: bool,
}

impl<'a> Ops<'a> {
    fn read(&mut self) -> Result<FrameOp<'a>, Malformed> {
        let reader = &mut self.reader;
        let flags = reader.u8()?;
        let key_len = reader.length()?;
        if flags == DELETE {
            return Ok(FrameOp { key: reader.take(key_len)?, action: Action::Delete });
        }
        if flags & !(END | BEFORE) == DELETE_RANGE {
            let end_len = if flags & END == 0 { None } else { Some(reader.length()?) };
            let before = if flags & BEFORE == 0 { None } else { Some(reader.varint()?) };
            let key = reader.take(key_len)?;
            let end = end_len.map(|len| reader.take(len)).transpose()?;
            return Ok(FrameOp { key, action: Action::DeleteRange { end, before } });
        }
        if flags & PUT == 0 || flags & !KNOWN != 0 {
            return Err(Malformed);
        }
        let expires = if flags & EXPIRES == 0 { 0 } else { reader.varint()? };
        let content_type = if flags & CONTENT_TYPE == 0 { "" } else { content_type(reader)? };
        let meta_len = if flags & META == 0 { 0 } else { length32(reader)? };
        let value_len = length32(reader)?;
        let crc = reader.u32()?;
        let key = reader.take(key_len)?;
        let offset = self.payload;
        let len = payload_len(u64::from(meta_len) + u64::from(value_len), self.is_sealed)?;
        self.payload = offset.checked_add(len).ok_or(Malformed)?;
        Ok(FrameOp { key, action: Action::Put { expires, content_type, meta_len, value_len, crc, offset } })
    }
}

impl<'a> Iterator for Ops<'a> {
    type Item = Result<FrameOp<'a>, Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let op = self.read();
        if op.is_err() {
            self.left = 0;
        }
        Some(op)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::PutOptions;
    use proptest::prelude::*;

    const ID: LogId = LogId { number: 1, salt: 0x1234_5678_9abc_def0 };

    const LENS: Lens<'static> = Lens::plain(ID);

    fn sample(offset: u64) -> Vec<u8> {
        let options = PutOptions::new().content_type("application/json").metadata("{}");
        let mut builder = TableBuilder::default();
        builder.add(&Op::put(b"key", b"value", &options).unwrap());
        builder.add(&Op::delete(b"gone").unwrap());
        let change = Change::DeleteRange { end: Some(b"b"), before: Some(3) };
        builder.add(&Op { key: b"a", change });
        let mut bytes = vec![0; offset as usize];
        bytes.extend_from_slice(builder.finish(ID, offset, 7, 11, Some(5)));
        bytes.extend_from_slice(b"{}value");
        bytes
    }

    #[test]
    fn a_frame_comes_back() {
        let bytes = sample(10);
        let frame = Frame::decode(&bytes[10..], &LENS, 10).unwrap();
        assert_eq!((frame.seq, frame.time, frame.durable, frame.count), (7, 11, Some(5), 3));
        assert_eq!(frame.verify(&bytes, &LENS), Ok(bytes.len() as u64));
        let keys: Vec<_> = frame.ops().map(|op| op.unwrap().key).collect();
        let last = frame.ops().last().unwrap().unwrap().action;
        assert_eq!(last, Action::DeleteRange { end: Some(b"b"), before: Some(3) });
        assert_eq!(keys, [&b"key"[..], b"gone", b"a"]);
    }

    #[test]
    fn no_flipped_bit_passes() {
        let bytes = sample(0);
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let verdict = Frame::decode(&damaged, &LENS, 0).and_then(|frame| frame.verify(&damaged, &LENS));
            assert_eq!(verdict, Err(Malformed), "bit {bit}");
        }
    }

    #[test]
    fn a_frame_is_one_only_in_its_log_at_its_offset() {
        let bytes = sample(0);
        assert!(Frame::decode(&bytes, &LENS, 1).is_err());
        assert!(Frame::decode(&bytes, &Lens::plain(LogId { number: 1, salt: 1 }), 0).is_err());
    }

    proptest! {
        #[test]
        fn any_table_is_read_or_refused(table in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(frame) = Frame::parse(&table, 0, false) {
                let _ = frame.verify(&table, &LENS);
                prop_assert!(frame.ops().count() <= table.len() + 1);
            }
        }
    }
}
