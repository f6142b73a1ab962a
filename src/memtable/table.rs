//! What readers share: the list's head, and searches in it.

#![expect(unsafe_code, reason = "follows links, whose levels it knows")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::memtable::arena::{Bump, ChunkPool, Chunks};
use crate::memtable::node::{MAX_HEIGHT, Node, RawNode, Target};

/// The newest entries in order. Readers use it from any thread while its writer inserts.
pub(crate) struct Memtable {
    /// Comes before every item, holds none, and is as high as any. In `chunks`.
    head: RawNode,
    /// Levels in use: a hint where to begin, for levels above are empty or about to be used.
    levels: AtomicUsize,
    len: AtomicUsize,
    chunks: Chunks,
}

impl Memtable {
    /// An empty table, and what its writer allocates with.
    pub(super) fn new(pool: Arc<ChunkPool>) -> (Self, Bump) {
        let chunks = Chunks::new(pool);
        let mut bump = Bump::new();
        let nothing = Target { key: &[], seq: 0 };
        // SAFETY: both are new.
        let head = unsafe { Node::create(&chunks, &mut bump, MAX_HEIGHT, nothing, &[]) }.raw();
        let table = Self { head, levels: AtomicUsize::new(1), len: AtomicUsize::new(0), chunks };
        (table, bump)
    }

    /// The newest version of the key that is not newer than `seq`: its sequence number and its value.
    pub(crate) fn get(&self, key: &[u8], seq: u64) -> Option<(u64, &[u8])> {
        let (_, at) = self.search(Target { key, seq });
        let node = at.filter(|node| node.key() == key)?;
        Some((node.seq(), node.value()))
    }

    /// How many items there are, each version of a key counted.
    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first().is_none()
    }

    /// Memory allocated for items, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.chunks.bytes()
    }

    /// Where its memory is counted, with that of the store's other tables.
    pub(crate) fn pool(&self) -> &Arc<ChunkPool> {
        self.chunks.pool()
    }

    pub(super) fn chunks(&self) -> &Chunks {
        &self.chunks
    }

    #[inline]
    pub(super) fn head(&self) -> Node<'_> {
        // SAFETY: the head is in `self.chunks`, which is never replaced.
        unsafe { Node::revive(self.head) }
    }

    #[inline]
    pub(super) fn levels(&self) -> usize {
        self.levels.load(Ordering::Relaxed)
    }

    /// For the writer, after it linked an item of this height.
    #[inline]
    pub(super) fn count(&self, height: usize) {
        // Only the one writer stores, so no addition is lost.
        self.len.store(self.len() + 1, Ordering::Relaxed);
        if height > self.levels() {
            self.levels.store(height, Ordering::Relaxed);
        }
    }

    pub(super) fn first(&self) -> Option<Node<'_>> {
        // SAFETY: the head has all levels.
        unsafe { self.head().next(0) }
    }

    pub(super) fn last(&self) -> Option<Node<'_>> {
        let mut last = self.head();
        for level in (0..self.levels()).rev() {
            // SAFETY: `last` is the head, or was reached at this level or above.
            while let Some(next) = unsafe { last.next(level) } {
                last = next;
            }
        }
        Some(last).filter(|last| *last != self.head())
    }

    /// The last item before the target.
    pub(super) fn last_before(&self, target: Target<'_>) -> Option<Node<'_>> {
        let (before, _) = self.search(target);
        Some(before).filter(|before| *before != self.head())
    }

    /// The last node before the target, which may be the head, and the first one at or after it.
    #[inline]
    pub(super) fn search(&self, target: Target<'_>) -> (Node<'_>, Option<Node<'_>>) {
        let levels = self.levels();
        // SAFETY: the head has all levels, and `levels` is never more than `MAX_HEIGHT`.
        unsafe { descend(self.head(), None, levels, target, |_, _| {}) }
    }
}

/// Searches the lowest `levels` levels from `before`, which comes before the target. `after` is a node
/// that is known not to, or `None`. Tells `visit` the last node before the target at each level; returns
/// that of level 0 and what comes next there.
///
/// The two are returned together because a node may be inserted between them at any time: to ask the
/// first for its next again could give one that is still before the target.
///
/// # Safety
/// `before` must be as high as `levels`.
#[inline]
pub(super) unsafe fn descend<'a>(
    mut before: Node<'a>,
    mut after: Option<Node<'a>>,
    levels: usize,
    target: Target<'_>,
    mut visit: impl FnMut(usize, Node<'a>),
) -> (Node<'a>, Option<Node<'a>>) {
    for level in (0..levels).rev() {
        loop {
            // SAFETY: `before` is the caller's, or was reached at this level or above.
            let next = unsafe { before.next(level) };
            match next {
                // The same node often ends several levels: it need not be compared again.
                Some(node) if next != after && node.is_before(target) => before = node,
                _ => {
                    after = next;
                    break;
                }
            }
        }
        visit(level, before);
    }
    (before, after)
}
