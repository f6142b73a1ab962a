//! The filter: which keys are certainly not in a segment. A blocked Bloom filter (Putze, Sanders and
//! Singler, "Cache-, Hash- and Space-Efficient Bloom Filters", 2007): all bits of a key lie in one
//! cache line.
//!
//! ```text
//! filter = line:64 bytes * crc:u32
//! ```
//! The high bits of a key's hash choose the line, slices of nine bits of the remixed hash the bits in it.

use xxhash_rust::xxh3::xxh3_64;

use crate::segment::seal;

pub(super) const LINE: usize = 64;
const BITS_PER_KEY: usize = 10;
const PROBES: u32 = 6;

/// The hash that filters want. One serves all segments.
#[inline]
pub(crate) fn key_hash(key: &[u8]) -> u64 {
    xxh3_64(key)
}

/// Which of so many lines.
#[inline]
fn line(hash: u64, lines: usize) -> usize {
    ((u128::from(hash) * lines as u128) >> 64) as usize
}

/// Byte and mask of each bit in a line.
#[inline]
fn probes(hash: u64) -> impl Iterator<Item = (usize, u8)> {
    // An odd multiplier spreads the low bits, which did not choose the line, upward.
    let mixed = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = mixed ^ (mixed >> 32);
    (0..PROBES).map(move |probe| {
        let bit = (mixed >> (9 * probe)) & 511;
        ((bit >> 3) as usize, 1 << (bit & 7))
    })
}

/// So many hashes lie side by side.
const CHUNK: usize = 8 << 10;

/// The hashes of the keys of a segment in the making: in chunks, so that they never have to be copied, nor twice
/// as much memory be had as they take.
#[derive(Debug, Default)]
pub(super) struct Hashes {
    full: Vec<Vec<u64>>,
    last: Vec<u64>,
}

impl Hashes {
    pub(super) fn push(&mut self, hash: u64) {
        if self.last.len() == CHUNK {
            self.full.push(std::mem::replace(&mut self.last, Vec::with_capacity(CHUNK)));
        }
        self.last.push(hash);
    }

    pub(super) fn len(&self) -> usize {
        self.full.len() * CHUNK + self.last.len()
    }

    /// The filter of these keys; no lines for no keys.
    pub(super) fn filter(&self) -> Vec<u8> {
        build(self.len(), self.full.iter().chain([&self.last]).flatten())
    }
}

fn lines_for(keys: usize) -> usize {
    (keys * BITS_PER_KEY).div_ceil(8 * LINE)
}

/// How long the filter of so many keys is, with its checksum.
pub(super) fn encoded_len(keys: usize) -> usize {
    lines_for(keys) * LINE + 4
}

fn build<'a>(count: usize, hashes: impl Iterator<Item = &'a u64>) -> Vec<u8> {
    let lines = lines_for(count);
    let mut bytes = Vec::with_capacity(encoded_len(count));
    bytes.resize(lines * LINE, 0);
    let (all, _) = bytes.as_chunks_mut::<LINE>();
    for hash in hashes {
        if let Some(line) = all.get_mut(line(*hash, lines)) {
            for (byte, mask) in probes(*hash) {
                line[byte] |= mask;
            }
        }
    }
    seal(&mut bytes, 0);
    bytes
}

/// Whether a key of this hash may be there, by a filter without its checksum.
#[inline]
pub(super) fn may_contain(bytes: &[u8], hash: u64) -> bool {
    let (lines, _) = bytes.as_chunks::<LINE>();
    let line = lines.get(line(hash, lines.len()));
    line.is_some_and(|line| probes(hash).all(|(byte, mask)| line[byte] & mask != 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::unseal;

    fn build(hashes: &[u64]) -> Vec<u8> {
        let mut collected = Hashes::default();
        hashes.iter().for_each(|hash| collected.push(*hash));
        assert_eq!(collected.len(), hashes.len());
        collected.filter()
    }

    fn hashes(range: std::ops::Range<u32>) -> Vec<u64> {
        range.map(|number| key_hash(format!("logs/{number:08}").as_bytes())).collect()
    }

    #[test]
    fn it_knows_every_key_and_few_others() {
        for count in [1, 2, 50, 51, 52, 1_000, 20_000] {
            let filter = build(&hashes(0..count));
            let filter = unseal(&filter).unwrap();
            assert!(hashes(0..count).iter().all(|hash| may_contain(filter, *hash)));
        }
        let filter = build(&hashes(0..20_000));
        let wrong = hashes(20_000..60_000).iter().filter(|hash| may_contain(&filter, **hash)).count();
        assert!(wrong < 800, "{wrong} of 40000");
    }

    #[test]
    fn no_lines_hold_no_keys() {
        assert_eq!(build(&[]).len(), 4);
        assert!(!may_contain(&[], 7));
    }
}
