//! The one place that speaks bincode, behind a bound: what is decoded claims no more memory than the
//! length of its input can account for, and every byte of the input has to be used.

use bincode::config::{Configuration, standard};
use bincode::{Decode, Encode};

use crate::codec::Malformed;

/// A field takes at most this many times the memory of its encoding; the widest of ours take twelve.
const SPREAD: usize = 32;

/// Encodes what [`decode`] gives back.
pub(crate) fn encode<T: Encode>(value: &T) -> Vec<u8> {
    // Writing plain structs to memory cannot fail. Were it to, nothing decodes from no bytes.
    bincode::encode_to_vec(value, standard()).unwrap_or_default()
}

/// Decodes all of `bytes`. The memory it takes is bounded by their number, whatever lengths they state.
pub(crate) fn decode<T: Decode<()>>(bytes: &[u8]) -> Result<T, Malformed> {
    // The bound is part of the decoder's type, so there is one decoder for each class of lengths.
    match bytes.len() {
        0..=0x100 => within::<T, { SPREAD * 0x100 }>(bytes),
        0x101..=0x400 => within::<T, { SPREAD * 0x400 }>(bytes),
        0x401..=0x1000 => within::<T, { SPREAD * 0x1000 }>(bytes),
        0x1001..=0x4000 => within::<T, { SPREAD * 0x4000 }>(bytes),
        0x4001..=0x1_0000 => within::<T, { SPREAD * 0x1_0000 }>(bytes),
        0x1_0001..=0x4_0000 => within::<T, { SPREAD * 0x4_0000 }>(bytes),
        0x4_0001..=0x10_0000 => within::<T, { SPREAD * 0x10_0000 }>(bytes),
        0x10_0001..=0x40_0000 => within::<T, { SPREAD * 0x40_0000 }>(bytes),
        0x40_0001..=0x400_0000 => within::<T, { SPREAD * 0x400_0000 }>(bytes),
        _ => Err(Malformed),
    }
}

fn within<T: Decode<()>, const LIMIT: usize>(bytes: &[u8]) -> Result<T, Malformed> {
    let config: Configuration = standard();
    let decoded = bincode::decode_from_slice(bytes, config.with_limit::<LIMIT>());
    let (value, used) = decoded.map_err(|_| Malformed)?;
    if used == bytes.len() { Ok(value) } else { Err(Malformed) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Sample = (Vec<u8>, Vec<(u64, u64)>, Option<u64>, bool);

    #[test]
    fn a_forged_length_is_refused() {
        let mut bytes = encode(&vec![1u8; 3]);
        bytes.splice(0..1, [253, 0, 0, 0, 0, 1, 0, 0, 0]);
        assert_eq!(decode::<Vec<u8>>(&bytes), Err(Malformed));
        assert_eq!(decode::<Vec<(u64, u64)>>(&bytes), Err(Malformed));
    }

    #[test]
    fn what_spreads_widest_comes_back_at_every_size() {
        for len in [0, 1, 100, 1_000, 10_000, 100_000] {
            let value = vec![(0u64, 0u64, None::<u64>); len];
            assert_eq!(decode(&encode(&value)), Ok(value));
        }
    }

    proptest! {
        #[test]
        fn values_come_back(value: Sample) {
            prop_assert_eq!(decode::<Sample>(&encode(&value)), Ok(value));
        }

        #[test]
        fn nothing_may_follow(value: Sample, more: u8) {
            let mut bytes = encode(&value);
            bytes.push(more);
            prop_assert_eq!(decode::<Sample>(&bytes), Err(Malformed));
        }

        #[test]
        fn any_bytes_decode_or_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = decode::<Sample>(&bytes);
        }
    }
}
