//! Memory for nodes: chunks that grow, cut from the front, freed together.
//!
//! Full-sized chunks of a table that is done go into a pool, for the next one: memory that was used
//! before costs no page faults, which are several times as dear as an insert.
//!
//! The chunks belong to the table, which readers keep alive; the place to cut next belongs to the
//! writer. Readers reach nodes by pointers and never look here, so the list of chunks may have a lock.

#![expect(unsafe_code, reason = "allocates raw memory and frees it")]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

/// What every allocation is aligned to.
pub(super) const ALIGN: usize = 8;

/// A table of a few entries should cost little: tests and idle stores have many of those.
const FIRST_CHUNK: usize = 4 * 1024;
const LARGEST_CHUNK: usize = 1024 * 1024;

/// Chunks that wait for the next table, at most as many as one table is expected to need; and what the tables
/// that are alive take, whoever holds them.
pub(crate) struct ChunkPool {
    chunk_size: usize,
    most: usize,
    /// Nothing is kept for later as long as tables take more than this.
    limit: usize,
    free: Mutex<Vec<Chunk>>,
    used: AtomicUsize,
}

impl ChunkPool {
    /// For tables that are expected to reach `table_size` bytes, and all together not many more than `limit`.
    pub(crate) fn new(table_size: usize, limit: usize) -> Arc<Self> {
        let chunk_size = (table_size / 8).clamp(FIRST_CHUNK, LARGEST_CHUNK);
        let (free, used) = (Mutex::default(), AtomicUsize::new(0));
        Arc::new(Self { chunk_size, most: table_size / chunk_size, limit, free, used })
    }

    /// Bytes of all tables that are alive: also of those that only readers hold.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn take(&self) -> Option<Chunk> {
        self.free.lock().pop()
    }

    fn give_back(&self, chunks: Vec<Chunk>) {
        let bytes: usize = chunks.iter().map(|chunk| chunk.layout.size()).sum();
        let used = self.used.fetch_sub(bytes, Ordering::Relaxed) - bytes;
        let mut free = self.free.lock();
        let spare = self.limit.saturating_sub(used) / self.chunk_size;
        let room = self.most.min(spare).saturating_sub(free.len());
        free.extend(chunks.into_iter().filter(|chunk| chunk.layout.size() == self.chunk_size).take(room));
    }
}

/// The memory of one table.
pub(super) struct Chunks {
    pool: Arc<ChunkPool>,
    list: Mutex<Vec<Chunk>>,
    bytes: AtomicUsize,
}

impl Drop for Chunks {
    fn drop(&mut self) {
        self.pool.give_back(std::mem::take(self.list.get_mut()));
    }
}

struct Chunk {
    start: NonNull<u8>,
    layout: Layout,
}

// SAFETY: a chunk owns its memory as a `Box` would; it gives access to it only through raw pointers,
// whose users must themselves show that they may follow them.
unsafe impl Send for Chunk {}

impl Drop for Chunk {
    fn drop(&mut self) {
        // SAFETY: `start` came from `alloc` with this layout in `Chunk::new`, and only this frees it.
        unsafe { dealloc(self.start.as_ptr(), self.layout) }
    }
}

impl Chunk {
    fn new(size: usize) -> Self {
        let Ok(layout) = Layout::from_size_align(size.max(ALIGN), ALIGN) else {
            // Only lengths that no machine can hold come here.
            handle_alloc_error(Layout::new::<Chunk>())
        };
        // SAFETY: the layout's size is not zero.
        let start = unsafe { alloc(layout) };
        match NonNull::new(start) {
            Some(start) => Self { start, layout },
            None => handle_alloc_error(layout),
        }
    }
}

impl Chunks {
    pub(super) fn new(pool: Arc<ChunkPool>) -> Self {
        Self { pool, list: Mutex::new(Vec::new()), bytes: AtomicUsize::new(0) }
    }

    pub(super) fn pool(&self) -> &Arc<ChunkPool> {
        &self.pool
    }

    /// Bytes in all chunks, used or not.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    fn add(&self, chunk: Chunk) -> NonNull<u8> {
        let start = chunk.start;
        self.bytes.fetch_add(chunk.layout.size(), Ordering::Relaxed);
        self.pool.used.fetch_add(chunk.layout.size(), Ordering::Relaxed);
        self.list.lock().push(chunk);
        start
    }
}

/// Where the writer cuts its next node from.
pub(super) struct Bump {
    free: NonNull<u8>,
    left: usize,
    next_chunk: usize,
}

// SAFETY: the pointer is to memory that no one else has been given yet, and moves with the `Bump`.
unsafe impl Send for Bump {}

impl Bump {
    /// Has nothing to cut from yet.
    pub(super) fn new() -> Self {
        Self { free: NonNull::dangling(), left: 0, next_chunk: FIRST_CHUNK }
    }

    /// Fresh memory of at least this size, aligned to [`ALIGN`], that lives as long as `chunks`.
    ///
    /// The pointer may be used for all of those bytes, and is given to no one else.
    #[inline]
    pub(super) fn allocate(&mut self, chunks: &Chunks, size: usize) -> NonNull<u8> {
        let size = size.checked_next_multiple_of(ALIGN).unwrap_or(usize::MAX);
        if size > self.left {
            return self.allocate_in_new_chunk(chunks, size);
        }
        // SAFETY: just compared.
        unsafe { self.cut(size) }
    }

    #[cold]
    fn allocate_in_new_chunk(&mut self, chunks: &Chunks, size: usize) -> NonNull<u8> {
        if size > self.next_chunk / 4 {
            // Its own chunk: the rest of the present one stays in use.
            return chunks.add(Chunk::new(size));
        }
        let chunk = chunks.pool.take().unwrap_or_else(|| {
            let size = self.next_chunk;
            self.next_chunk = (size * 2).min(chunks.pool.chunk_size);
            Chunk::new(size)
        });
        self.left = chunk.layout.size();
        self.free = chunks.add(chunk);
        // SAFETY: `size` is at most a quarter of a chunk of this table's, and those of the pool are larger still.
        unsafe { self.cut(size) }
    }

    /// The next `size` bytes.
    ///
    /// # Safety
    /// So many bytes must be left.
    #[inline]
    unsafe fn cut(&mut self, size: usize) -> NonNull<u8> {
        let start = self.free;
        // SAFETY: as the caller promises, `size` bytes are left in the chunk behind `free`, so the
        // result is inside it or just past its end.
        self.free = unsafe { start.add(size) };
        self.left -= size;
        start
    }
}
