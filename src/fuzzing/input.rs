//! Choices taken from bytes, and files made of bytes.

use std::path::Path;
use std::sync::Arc;

use crate::vfs::{MemVfs, Vfs};

/// Takes choices from the front of the bytes, damage from their end. An input that is used up chooses zero.
#[derive(Clone, Copy, Debug)]
pub(super) struct Input<'a> {
    bytes: &'a [u8],
}

impl<'a> Input<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.bytes.split_first() else { return 0 };
        self.bytes = rest;
        *first
    }

    /// A number below `limit`.
    pub(super) fn below(&mut self, limit: usize) -> usize {
        (usize::from(self.byte()) << 8 | usize::from(self.byte())) % limit.max(1)
    }

    /// Fewer than `limit` bytes, as many as the next byte says and there are.
    pub(super) fn bytes(&mut self, limit: usize) -> &'a [u8] {
        let len = (usize::from(self.byte()) % limit.max(1)).min(self.bytes.len());
        let (head, rest) = self.bytes.split_at(len);
        self.bytes = rest;
        head
    }

    /// Changes some bytes, or none, or cuts the end off.
    pub(super) fn damage(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..self.byte() % 4 {
            let at = self.below(bytes.len());
            let change = self.byte();
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= change;
            }
        }
        if self.byte() % 8 == 1 {
            bytes.truncate(self.below(bytes.len()));
        }
    }
}

/// All bytes of a file.
pub(super) fn read(vfs: &dyn Vfs, path: &Path) -> Vec<u8> {
    let file = vfs.open(path).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

/// A place that holds these files, in the root.
pub(super) fn place<'a>(files: impl IntoIterator<Item = (&'a Path, &'a [u8])>) -> Arc<dyn Vfs> {
    let vfs = MemVfs::with_manual_clock(0);
    for (path, bytes) in files {
        vfs.create(path).unwrap().write_all_at(bytes, 0).unwrap();
    }
    Arc::new(vfs)
}
