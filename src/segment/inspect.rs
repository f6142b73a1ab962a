//! Reading all of a segment, to tell what of it is damaged: as far as it can be read, each part for itself.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::ops::Range;

use crate::codec::Malformed;
use crate::entry::Entry;
use crate::segment::block::{Block, RESTART_INTERVAL};
use crate::segment::contents::Contents;
use crate::segment::footer::{Footer, Unusable};
use crate::segment::index::Index;
use crate::segment::properties::{Properties, Summary};
use crate::segment::{filter, key_hash};

/// Is told what a segment holds, and what is damaged.
pub(crate) trait Inspector {
    /// An entry of a block whose checksum held.
    fn entry(&mut self, key: &[u8], seq: u64, entry: &Entry<'_>);

    /// This many bytes were read.
    fn read(&mut self, bytes: u64);

    /// Something is wrong with entries whose keys lie in this range; not known where it is `None`.
    fn damage(&mut self, keys: (Option<&[u8]>, Option<&[u8]>), what: String);
}

/// What a segment says of itself, if that much can be read.
pub(crate) fn properties(contents: &Contents<'_>) -> Option<Properties> {
    let footer = contents.footer.as_ref().ok()?;
    Properties::from_bytes(&contents.part(&footer.properties).ok()?).ok()
}

/// Reads every byte of the file.
pub(crate) fn inspect(contents: &Contents<'_>, inspector: &mut dyn Inspector) {
    let footer = match &contents.footer {
        Ok(footer) => footer,
        Err(Unusable::Malformed) => return inspector.damage((None, None), "the footer is damaged".into()),
        Err(Unusable::Newer(version)) => {
            let what = format!("it has format version {version}; use the newer version that wrote it");
            return inspector.damage((None, None), what);
        }
    };
    let properties = properties(contents);
    let keys = properties.as_ref().map(|all| (&*all.first_key, &*all.last_key));
    let (first, last) = keys.unzip();
    let mut damaged = |what: &str| inspector.damage((first, last), format!("the {what} is damaged"));
    if properties.is_none() {
        damaged("part that holds the properties");
    }
    if !contents.file.get(padding(footer)).is_some_and(|padding| padding.iter().all(|byte| *byte == 0)) {
        damaged("padding behind the blocks");
    }
    let filter = contents.part(&footer.filter).ok();
    if filter.is_none() {
        damaged("filter");
    }
    let index = contents.part(&footer.index);
    let index = index.as_ref().map_err(|Malformed| Malformed);
    let index = index.and_then(|bytes| {
        Index::check(bytes, footer.blocks)?;
        Index::parse(bytes)
    });
    match index {
        Ok(index) => {
            Reading { contents, filter, index, inspector, keys, summary: Summary::default(), whole: true }
                .blocks(properties.as_ref())
        }
        Err(Malformed) => damaged("index"),
    }
}

/// Zeros between the blocks and the filter.
fn padding(footer: &Footer) -> Range<usize> {
    let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
    place(footer.blocks)..place(footer.filter.start)
}

struct Reading<'a, 'i> {
    contents: &'a Contents<'a>,
    filter: Option<Cow<'a, [u8]>>,
    index: Index<'a>,
    inspector: &'i mut dyn Inspector,
    keys: Option<(&'a [u8], &'a [u8])>,
    summary: Summary,
    /// Whether all blocks could be read so far.
    whole: bool,
}

/// The item that was read last.
#[derive(Default)]
struct Last {
    key: Vec<u8>,
    seq: u64,
    any: bool,
}

impl Reading<'_, '_> {
    fn blocks(mut self, properties: Option<&Properties>) {
        let mut last = Last::default();
        let mut first_key = Vec::new();
        for number in 0..self.index.blocks() {
            let Some(span) = self.index.span(number) else { break };
            let (len, had) = (span.len() as u64, last.any);
            let before = number.checked_sub(1).map(|before| self.index.separator(before));
            if let Err(what) = self.block(number, span, &mut last) {
                self.whole = false;
                let first = before.or_else(|| self.keys.map(|(first, _)| first.to_vec()));
                let end = self.index.separator(number);
                self.inspector.damage((first.as_deref(), Some(&end)), what);
            } else if !had {
                first_key = self.first_key(number);
            }
            self.inspector.read(len);
        }
        if let Some(properties) = properties.filter(|_| self.whole) {
            // What merges did, the entries do not tell.
            self.summary.note_packed(properties.packed);
            let found = std::mem::take(&mut self.summary).finish(first_key, last.key, properties.purged);
            if found != *properties {
                let keys = (Some(&*found.first_key), Some(&*found.last_key));
                self.inspector.damage(keys, "its properties are not those of its entries".into());
            }
        }
    }

    fn first_key(&self, number: usize) -> Vec<u8> {
        let bytes = self.index.span(number).map(|span| self.contents.block(span)).unwrap_or_default();
        let block = Block::open(&bytes);
        let key = block.and_then(|block| Ok(block.items.item(block.first()?, block.items.base)?.suffix));
        key.unwrap_or_default().to_vec()
    }

    /// Reads one block; an error says what of it is damaged.
    fn block(&mut self, number: usize, span: Range<usize>, last: &mut Last) -> Result<(), String> {
        let start = span.start;
        let bytes = self.contents.block(span);
        let damaged = |what: &str| format!("the block at byte {start} {what}");
        let block = Block::open(&bytes).map_err(|Malformed| damaged("is damaged"))?;
        let (mut at, mut before) =
            (block.first().map_err(|Malformed| damaged("is damaged"))?, block.items.base);
        let mut count = 0;
        let low = number.checked_sub(1).map(|before| self.index.separator(before));
        while at < block.items.bytes.len() {
            let malformed = |Malformed| damaged("is malformed");
            let item = block.items.item(at, before).map_err(malformed)?;
            if count % RESTART_INTERVAL == 0
                && (item.shared != 0 || block.restart(count / RESTART_INTERVAL) != Ok(at))
            {
                return Err(damaged("has its restarts in other places"));
            }
            let shared = last.key.get(..item.shared).ok_or(Malformed).map_err(malformed)?;
            let key = [shared, item.suffix].concat();
            let order = key.as_slice().cmp(&last.key).then(last.seq.cmp(&item.seq));
            if last.any && order != Ordering::Greater {
                return Err(damaged("holds entries out of order"));
            }
            if low.as_ref().is_some_and(|low| key < *low) {
                return Err(damaged("holds keys that the index places before it"));
            }
            let value = block.items.bytes.get(item.value.clone()).unwrap_or_default();
            let entry = Entry::decode(value).map_err(malformed)?;
            self.item(&key, item.seq, &entry);
            *last = Last { key, seq: item.seq, any: true };
            (at, before, count) = (item.next, item.seq, count + 1);
        }
        if last.key > self.index.separator(number) {
            return Err(damaged("holds keys that the index places behind it"));
        }
        Ok(())
    }

    fn item(&mut self, key: &[u8], seq: u64, entry: &Entry<'_>) {
        self.summary.add(seq, entry);
        if self.filter.as_ref().is_some_and(|filter| !filter::may_contain(filter, key_hash(key))) {
            self.inspector.damage((Some(key), Some(key)), "the filter denies a key that is there".into());
        }
        self.inspector.entry(key, seq, entry);
    }
}
