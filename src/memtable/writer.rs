//! The one writer of a memtable.

#![expect(unsafe_code, reason = "follows and sets links, whose levels it knows")]

use std::sync::Arc;

use crate::memtable::arena::{Bump, ChunkPool};
use crate::memtable::node::{MAX_HEIGHT, Node, RawNode, Target};
use crate::memtable::table::{Memtable, descend};

/// An empty memtable, and its writer.
pub(crate) fn memtable(pool: &Arc<ChunkPool>) -> (MemtableWriter, Arc<Memtable>) {
    let (table, bump) = Memtable::new(pool.clone());
    let table = Arc::new(table);
    let splice = [table.head().raw(); MAX_HEIGHT];
    let writer = MemtableWriter { table: Arc::clone(&table), bump, splice, random: SEED };
    (writer, table)
}

/// Any number but zero. Heights do not depend on keys, so a fixed one gives nobody a hold.
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// The only one that inserts into its table.
pub(crate) struct MemtableWriter {
    table: Arc<Memtable>,
    bump: Bump,
    /// At each level, the last node before or at the item inserted last. Searches begin here, so that
    /// keys in ascending order cost one comparison each, wherever in the table they go.
    ///
    /// Invariant: nodes of `table` (the head where none is before), each higher than its level; no one
    /// is before the one of the level above it.
    splice: [RawNode; MAX_HEIGHT],
    random: u64,
}

impl MemtableWriter {
    /// The table that it writes.
    pub(crate) fn table(&self) -> &Arc<Memtable> {
        &self.table
    }

    /// Inserts an item; readers see it, whole, when this returns or a little before. If there is one
    /// with this key and this sequence number, it stays as it is.
    pub(crate) fn insert(&mut self, key: &[u8], seq: u64, value: &[u8]) {
        let item = Target { key, seq };
        if self.locate(item) {
            return;
        }
        let height = self.height();
        let table = &*self.table;
        // SAFETY: `bump` came with `table`, and is used with no other.
        let node = unsafe { Node::create(table.chunks(), &mut self.bump, height, item, value) };
        // From the bottom up: a reader that meets the node at one level finds it at all below.
        for (level, slot) in self.splice.iter_mut().take(height).enumerate() {
            // SAFETY: `splice` holds nodes of `table`, which lives as long as `self`, each higher than
            // its level; `node` is in the same table, and `level` is less than its height.
            unsafe {
                let before = Node::revive(*slot);
                node.set_next(level, before.next(level));
                before.set_next(level, Some(node));
            }
            *slot = node.raw();
        }
        table.count(height);
    }

    /// Sets the splice to the last nodes before the item; tells whether the item is there already.
    #[inline]
    fn locate(&mut self, item: Target<'_>) -> bool {
        let table = &*self.table;
        let (levels, before, after) = self.nearest(table, item);
        let splice = &mut self.splice;
        let visit = |level: usize, before: Node<'_>| {
            if let Some(slot) = splice.get_mut(level) {
                *slot = before.raw();
            }
        };
        // SAFETY: `nearest` returns a node that is at least as high as the levels it returns.
        let (_, after) = unsafe { descend(before, after, levels, item, visit) };
        after.is_some_and(|node| node.is_at(item))
    }

    /// The lowest level whose splice encloses the item, with the two nodes that do; where there is
    /// none, all levels, from the head.
    ///
    /// Splices nest, so if one level's encloses the item, those above it do as well.
    #[inline]
    fn nearest<'a>(&self, table: &'a Memtable, item: Target<'_>) -> (usize, Node<'a>, Option<Node<'a>>) {
        let head = table.head();
        for (level, slot) in self.splice.iter().take(table.levels()).enumerate() {
            // SAFETY: the splice's nodes are in `self.table`, the only table this is called with.
            let before = unsafe { Node::revive(*slot) };
            if before != head && !before.is_before(item) {
                continue;
            }
            // SAFETY: by its invariant the splice's node is higher than its level.
            let after = unsafe { before.next(level) };
            if after.is_none_or(|after| !after.is_before(item)) {
                return (level, before, after);
            }
        }
        (table.levels(), head, None)
    }

    /// One more level for one in four, by xorshift (Marsaglia 2003).
    #[inline]
    fn height(&mut self) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let height = 1 + self.random.trailing_zeros() / 2;
        (height as usize).min(MAX_HEIGHT)
    }
}
