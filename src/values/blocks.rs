//! The blocks that were read last, for whoever reads their neighbours next: a scan would else decompress a block once
//! for each of its values.

use parking_lot::Mutex;

use crate::codec::Malformed;
use crate::values::block::{Block, BlockId, TARGET};

/// How many blocks are kept: 256 KiB.
const SLOTS: usize = 16;

/// A block, decompressed.
#[derive(Debug, Default)]
struct Slot {
    id: Option<BlockId>,
    bytes: Vec<u8>,
}

/// Decompressed blocks of one store. No reader waits for another: whoever finds a slot taken does without.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    slots: [Mutex<Slot>; SLOTS],
}

impl Blocks {
    /// What `take` makes of the bytes of a block.
    pub(super) fn with<R>(
        &self,
        block: &Block<'_>,
        take: impl FnOnce(&[u8]) -> Option<R>,
    ) -> Result<R, Malformed> {
        let slot = self.slots.get(slot(block.id)).filter(|_| block.raw <= TARGET);
        let Some(mut slot) = slot.and_then(Mutex::try_lock) else {
            return take(block.unpack(&mut Vec::new())?).ok_or(Malformed);
        };
        let slot = &mut *slot;
        if slot.id != Some(block.id) {
            // Until it is whole it is no block.
            slot.id = None;
            block.unpack(&mut slot.bytes)?;
            slot.id = Some(block.id);
        }
        slot.bytes.get(..block.raw).and_then(take).ok_or(Malformed)
    }
}

/// Neighbours have slots of their own, mostly.
fn slot(id: BlockId) -> usize {
    let mixed = (id.salt ^ id.offset).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 32) as usize % SLOTS
}
