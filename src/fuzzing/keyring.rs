//! Keyrings.

use crate::crypto::Keyring;

/// Any bytes as a keyring, then as one whose checksum holds: what is read is written back as it was.
pub fn keyring(data: &[u8]) {
    read(data);
    let head = b"SILTKEY\0\x01\0\0\0";
    let mut whole = [head, data].concat();
    let crc = crc32fast::hash(&whole).to_le_bytes();
    whole.extend_from_slice(&crc);
    read(&whole);
}

fn read(bytes: &[u8]) {
    if let Ok(keyring) = Keyring::decode(bytes) {
        assert_eq!(keyring.encode(), bytes);
    }
}
