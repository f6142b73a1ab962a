//! The memtable: the newest entries in order, with one writer and many readers without locks.
//!
//! A skip list (Pugh 1990) whose nodes lie in an arena. Items order by key, ascending, then by
//! sequence number, descending, so that the newest version of a key comes first. Nothing is ever
//! removed or changed once it is linked; all memory goes at once, with the last reader.
//!
//! There is one [`MemtableWriter`] for each table, and `insert` takes it by `&mut`: so writes need no
//! compare-and-swap, only a release store for each link, which a reader's acquire load pairs with.

mod arena;
mod cursor;
mod node;
mod table;
#[cfg(test)]
mod tests;
mod writer;

pub(crate) use arena::ChunkPool;
pub(crate) use cursor::MemtableCursor;
pub(crate) use table::Memtable;
pub(crate) use writer::{MemtableWriter, memtable};
