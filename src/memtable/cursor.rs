//! A place in a memtable that moves both ways.

#![expect(unsafe_code, reason = "follows the address of a node of the table that it owns")]

use std::sync::Arc;

use crate::memtable::node::{Node, RawNode, Target};
use crate::memtable::table::Memtable;

/// Walks a memtable in order, and keeps it alive. It sees items that are inserted ahead of it.
pub(crate) struct MemtableCursor {
    table: Arc<Memtable>,
    /// A node of `table`, never its head.
    at: Option<RawNode>,
}

impl MemtableCursor {
    /// At no item yet.
    pub(crate) fn new(table: Arc<Memtable>) -> Self {
        Self { table, at: None }
    }

    pub(crate) fn valid(&self) -> bool {
        self.at.is_some()
    }

    /// The key; empty where there is no item.
    #[inline]
    pub(crate) fn key(&self) -> &[u8] {
        self.node().map_or(&[], Node::key)
    }

    /// The sequence number; zero where there is no item.
    #[inline]
    pub(crate) fn seq(&self) -> u64 {
        self.node().map_or(0, Node::seq)
    }

    /// The value; empty where there is no item.
    #[inline]
    pub(crate) fn value(&self) -> &[u8] {
        self.node().map_or(&[], Node::value)
    }

    pub(crate) fn seek_last(&mut self) {
        self.at = self.table.last().map(Node::raw);
    }

    /// To the first item at or after (key, seq): newer versions of the key come before it.
    pub(crate) fn seek(&mut self, key: &[u8], seq: u64) {
        let (_, at) = self.table.search(Target { key, seq });
        self.at = at.map(Node::raw);
    }

    /// To the last item before (key, seq).
    pub(crate) fn seek_before(&mut self, key: &[u8], seq: u64) {
        self.at = self.table.last_before(Target { key, seq }).map(Node::raw);
    }

    #[inline]
    pub(crate) fn next(&mut self) {
        // SAFETY: every node has level 0.
        self.at = self.node().and_then(|node| unsafe { node.next(0) }).map(Node::raw);
    }

    pub(crate) fn prev(&mut self) {
        let before = self.node().and_then(|node| {
            let target = Target { key: node.key(), seq: node.seq() };
            self.table.last_before(target)
        });
        self.at = before.map(Node::raw);
    }

    #[inline]
    fn node(&self) -> Option<Node<'_>> {
        // SAFETY: `at` is a node of `self.table`, whose chunks live as long as `self`.
        self.at.map(|raw| unsafe { Node::revive(raw) })
    }
}
