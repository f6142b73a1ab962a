//! The key of one file: AES-256-GCM.
//!
//! A piece of a file is sealed under the nonce that is its offset in the file. That is safe as long as a key never
//! seals two different pieces at one offset: whoever writes a file sees to that, and tests hold it against a list of
//! all that was ever sealed.

use std::fmt;

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce, Tag};

use crate::codec::Malformed;
use crate::crypto::OVERHEAD;
use crate::error::{Error, Result};

/// Seals and opens the pieces of one file.
pub(crate) struct Sealer {
    cipher: Aes256Gcm,
    #[cfg(test)]
    witness: witness::Witness,
}

impl Sealer {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        Self {
            cipher: Aes256Gcm::new(key.into()),
            #[cfg(test)]
            witness: witness::Witness::of(key),
        }
    }

    /// Appends a piece, sealed, which lies at this offset of the file. `beside` is not in it, but has to be the
    /// same when it is opened.
    pub(crate) fn seal(&self, offset: u64, beside: &[u8], pieces: &[&[u8]], out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        out.reserve(pieces.iter().map(|piece| piece.len()).sum::<usize>() + OVERHEAD);
        pieces.iter().for_each(|piece| out.extend_from_slice(piece));
        let plain = out.get_mut(start..).unwrap_or_default();
        #[cfg(test)]
        self.witness.note(offset, beside, plain);
        let sealed = self.cipher.encrypt_inout_detached(&nonce(offset), beside, plain.into());
        let tag = sealed.map_err(|_| Error::invalid("a piece of more than 64 GiB cannot be sealed"))?;
        out.extend_from_slice(&tag);
        Ok(())
    }

    /// What was sealed at this offset, if that is what these bytes are.
    pub(crate) fn open(&self, offset: u64, beside: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Malformed> {
        let (body, tag) = sealed.split_last_chunk::<OVERHEAD>().ok_or(Malformed)?;
        let mut plain = body.to_vec();
        let (nonce, tag) = (nonce(offset), Tag::from(*tag));
        let opened = self.cipher.decrypt_inout_detached(&nonce, beside, plain.as_mut_slice().into(), &tag);
        opened.map(|()| plain).map_err(|_| Malformed)
    }
}

type NonceSize = aes_gcm::aead::consts::U12;

fn nonce(offset: u64) -> Nonce<NonceSize> {
    let mut nonce = [0; 12];
    nonce[..8].copy_from_slice(&offset.to_le_bytes());
    nonce.into()
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer(…)")
    }
}

/// Remembers, in tests, all that was ever sealed.
#[cfg(test)]
pub(crate) mod witness {
    use std::collections::HashMap;
    use std::collections::hash_map::Entry;

    use parking_lot::Mutex;
    use sha2::{Digest, Sha256};

    type Sum = [u8; 32];

    /// What was sealed under each key and offset.
    static SEEN: Mutex<Option<HashMap<(Sum, u64), Sum>>> = Mutex::new(None);

    pub(super) struct Witness(Sum);

    impl Witness {
        pub(super) fn of(key: &[u8; 32]) -> Self {
            Self(Sha256::digest(key).into())
        }

        pub(super) fn note(&self, offset: u64, beside: &[u8], plain: &[u8]) {
            let sum = Sha256::new().chain_update((beside.len() as u64).to_le_bytes());
            let sum: Sum = sum.chain_update(beside).chain_update(plain).finalize().into();
            let mut seen = SEEN.lock();
            match seen.get_or_insert_default().entry((self.0, offset)) {
                Entry::Vacant(new) => drop(new.insert(sum)),
                Entry::Occupied(old) if *old.get() == sum => {}
                Entry::Occupied(_) => panic!("a nonce was used twice, at offset {offset}"),
            }
        }
    }

    /// How many pieces were sealed so far.
    pub(crate) fn count() -> usize {
        SEEN.lock().as_ref().map_or(0, HashMap::len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// McGrew and Viega, "The Galois/Counter Mode of Operation", test case 14: so the cipher is what it is said
    /// to be.
    #[test]
    fn it_is_aes_256_gcm() {
        let mut sealed = Vec::new();
        Sealer::new(&[0; 32]).seal(0, b"", &[&[0; 16]], &mut sealed).unwrap();
        let expected = "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919";
        let hex: String = sealed.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, expected);
    }

    #[test]
    #[should_panic(expected = "used twice")]
    fn two_pieces_at_one_offset_are_noticed() {
        let sealer = Sealer::new(&[1; 32]);
        sealer.seal(7, b"", &[b"one"], &mut Vec::new()).unwrap();
        let _ = sealer.seal(7, b"", &[b"two"], &mut Vec::new());
    }

    proptest! {
        #[test]
        fn pieces_come_back_and_nothing_else_does(
            key: [u8; 32],
            offset: u64,
            piece in proptest::collection::vec(any::<u8>(), 0..100),
            flip in any::<prop::sample::Index>(),
        ) {
            let sealer = Sealer::new(&key);
            let mut sealed = Vec::new();
            let (head, tail) = piece.split_at(piece.len() / 2);
            sealer.seal(offset, b"beside", &[head, tail], &mut sealed).unwrap();
            prop_assert_eq!(sealed.len(), piece.len() + OVERHEAD);
            prop_assert_eq!(sealer.open(offset, b"beside", &sealed), Ok(piece));
            prop_assert_eq!(sealer.open(offset ^ 1, b"beside", &sealed), Err(Malformed));
            prop_assert_eq!(sealer.open(offset, b"", &sealed), Err(Malformed));
            let bit = flip.index(sealed.len() * 8);
            sealed[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(sealer.open(offset, b"beside", &sealed), Err(Malformed));
        }
    }
}
