//! One item of the list: how it lies in memory, and the only code that follows its pointers.
//!
//! ```text
//! link[height-1] … link[1] link[0] | seq key_len value_len | key | value
//!                                  ^ the node's address
//! ```
//! The links lie below the address, so that the key has a fixed place whatever the height, and so
//! that link 0, the header and the head of the key tend to share a cache line. The height need not be
//! kept: a node is only asked for a link of a level at which it was reached.
//!
//! No prefix of the key is cached. The key's first bytes are in the same cache line as a cached copy
//! would be, real keys share longer prefixes than eight bytes, and a smaller node is a faster one.

#![expect(unsafe_code, reason = "nodes are raw memory that threads share")]

use std::cmp::Ordering;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::atomic::{self, AtomicPtr};

use crate::memtable::arena::{ALIGN, Bump, Chunks};

/// A list of a million items, at one in four from level to level, is ten levels high.
pub(super) const MAX_HEIGHT: usize = 12;

#[repr(C)]
pub(super) struct Header {
    seq: u64,
    key_len: usize,
    value_len: usize,
}

type Link = AtomicPtr<Header>;

const _: () = assert!(align_of::<Header>() <= ALIGN && align_of::<Link>() <= ALIGN);

/// The address of a node, to be kept beside the table that the node is in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct RawNode(NonNull<Header>);

// SAFETY: an address by itself does nothing; `Node::revive` says when it may be followed, and what it
// leads to is either never changed or atomic.
unsafe impl Send for RawNode {}
// SAFETY: as above.
unsafe impl Sync for RawNode {}

/// A node of a table that lives for at least `'a`.
///
/// Invariant: `address` leads to a wholly written node made by [`Node::create`], and the chunks that
/// hold it live for `'a`. Its pointer may be used for the whole chunk.
#[derive(Clone, Copy)]
pub(super) struct Node<'a> {
    address: NonNull<Header>,
    chunks: PhantomData<&'a Chunks>,
}

impl PartialEq for Node<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.address == other.address
    }
}

/// A place in the order of a table.
#[derive(Clone, Copy)]
pub(super) struct Target<'k> {
    pub(super) key: &'k [u8],
    pub(super) seq: u64,
}

impl<'a> Node<'a> {
    /// Writes a node into the arena. Its links are null, and nothing links to it yet.
    ///
    /// # Safety
    /// `bump` must not have been used with other chunks: their memory may end before `'a` does.
    pub(super) unsafe fn create(
        chunks: &'a Chunks,
        bump: &mut Bump,
        height: usize,
        item: Target<'_>,
        value: &[u8],
    ) -> Self {
        let key = item.key;
        // A height of `MAX_HEIGHT` at the most: this cannot overflow. The sum of two lengths could,
        // and then no allocation is large enough.
        let links = height.min(MAX_HEIGHT) * size_of::<Link>();
        let before = links.next_multiple_of(ALIGN);
        let fixed = before + size_of::<Header>();
        let size = fixed.saturating_add(key.len()).saturating_add(value.len());
        let start = bump.allocate(chunks, size);
        // SAFETY: `start` leads to at least `size` fresh bytes aligned to `ALIGN`. The links end
        // where the header begins, at `before`, a multiple of `ALIGN`; the header, the key and the
        // value follow without gaps, and all of it adds up to `size`. The memory is new, so it cannot
        // overlap `key` or `value`. Links go down from the header, each as large as its alignment.
        unsafe {
            let address = start.add(before).cast::<Header>();
            for level in 0..links / size_of::<Link>() {
                address.cast::<Link>().sub(level + 1).write(Link::new(ptr::null_mut()));
            }
            let header = Header { seq: item.seq, key_len: key.len(), value_len: value.len() };
            address.write(header);
            let bytes = address.add(1).cast::<u8>();
            ptr::copy_nonoverlapping(key.as_ptr(), bytes.as_ptr(), key.len());
            ptr::copy_nonoverlapping(value.as_ptr(), bytes.add(key.len()).as_ptr(), value.len());
            Self { address, chunks: PhantomData }
        }
    }

    pub(super) fn raw(self) -> RawNode {
        RawNode(self.address)
    }

    /// The node at an address that was kept.
    ///
    /// # Safety
    /// The chunks of the table that the address came from must live for `'a`.
    #[inline]
    pub(super) unsafe fn revive(raw: RawNode) -> Self {
        Self { address: raw.0, chunks: PhantomData }
    }

    #[inline]
    pub(super) fn seq(self) -> u64 {
        // SAFETY: by the type's invariant the header is there; it never changes.
        unsafe { (*self.address.as_ptr()).seq }
    }

    #[inline]
    pub(super) fn key(self) -> &'a [u8] {
        // SAFETY: by the type's invariant `key_len` bytes, written and never changed, follow the
        // header and live for `'a`.
        unsafe {
            let len = (*self.address.as_ptr()).key_len;
            slice::from_raw_parts(self.address.add(1).cast::<u8>().as_ptr(), len)
        }
    }

    #[inline]
    pub(super) fn value(self) -> &'a [u8] {
        // SAFETY: by the type's invariant `value_len` bytes, written and never changed, follow the
        // key and live for `'a`.
        unsafe {
            let Header { key_len, value_len, .. } = *self.address.as_ptr();
            let bytes = self.address.add(1).cast::<u8>();
            slice::from_raw_parts(bytes.add(key_len).as_ptr(), value_len)
        }
    }

    /// Whether the node comes before the target in the order of the table.
    #[inline]
    pub(super) fn is_before(self, target: Target<'_>) -> bool {
        match compare(self.key(), target.key) {
            Ordering::Less => true,
            Ordering::Equal => self.seq() > target.seq,
            Ordering::Greater => false,
        }
    }

    pub(super) fn is_at(self, target: Target<'_>) -> bool {
        self.seq() == target.seq && self.key() == target.key
    }

    /// The next node at this level.
    ///
    /// # Safety
    /// The node must be higher than `level`: made so, or reached by a link of this level or above.
    #[inline]
    pub(super) unsafe fn next(self, level: usize) -> Option<Self> {
        // SAFETY: the caller's promise is passed on.
        let link = unsafe { self.link(level) };
        // Pairs with the release in `set_next`: who sees the node sees all that was written into it.
        let address = NonNull::new(link.load(atomic::Ordering::Acquire))?;
        // Only nodes of the same table are linked, see `set_next`, so it lives as long.
        Some(Self { address, chunks: PhantomData })
    }

    /// Makes `next` the next node at this level, for every reader that looks from now on.
    ///
    /// # Safety
    /// Both nodes must be in the same table, and higher than `level`.
    #[inline]
    pub(super) unsafe fn set_next(self, level: usize, next: Option<Self>) {
        let address = next.map_or(ptr::null_mut(), |next| next.address.as_ptr());
        // SAFETY: the caller's promise is passed on.
        unsafe { self.link(level) }.store(address, atomic::Ordering::Release);
    }

    /// # Safety
    /// The node must be higher than `level`.
    #[inline]
    unsafe fn link(self, level: usize) -> &'a Link {
        // SAFETY: a node higher than `level` has at least `level + 1` written links below its
        // header; after that they are only used as the atomics they are.
        unsafe { self.address.cast::<Link>().sub(level + 1).as_ref() }
    }
}

/// The order of bytes, eight at a time: most keys are too short for a call of `memcmp` to pay.
#[inline]
fn compare(left: &[u8], right: &[u8]) -> Ordering {
    let common = left.len().min(right.len());
    let (Some(left_head), Some(right_head)) = (left.get(..common), right.get(..common)) else {
        return left.cmp(right);
    };
    let (Some(left_last), Some(right_last)) = (left_head.last_chunk(), right_head.last_chunk()) else {
        return left.cmp(right);
    };
    let words = left_head.as_chunks::<8>().0.iter().zip(right_head.as_chunks::<8>().0);
    for (left, right) in words {
        if left != right {
            return u64::from_be_bytes(*left).cmp(&u64::from_be_bytes(*right));
        }
    }
    // The last word overlaps the one before it, which was equal, so it decides by the rest.
    let last = u64::from_be_bytes(*left_last).cmp(&u64::from_be_bytes(*right_last));
    last.then(left.len().cmp(&right.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bytes_compare_as_slices_do(
            left in "[ab]{0,20}", right in "[ab]{0,20}", shared in "[ab]{0,20}",
        ) {
            let (left, right) = (format!("{shared}{left}"), format!("{shared}{right}"));
            prop_assert_eq!(compare(left.as_bytes(), right.as_bytes()), left.cmp(&right));
        }
    }
}
