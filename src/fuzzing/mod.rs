//! What `fuzz/` runs, and the tests below with it: each function takes any bytes whatever, has a decoder
//! read them, and panics if it does what it must not.
//!
//! A decoder refuses bytes or makes something of them; it never panics, and never takes memory that the
//! bytes cannot account for. Bytes that only chance could give a right checksum get one, so that the code
//! behind the checksum is reached. Where it is cheap, a function also has the engine write something that
//! its input chooses, damages it as its input says, and holds what is read against what was written.
//!
//! Compiled for tests and for `cargo fuzz` only.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a fuzz target speaks by panicking; in tests nothing here needs the exemption"
)]

mod block;
mod frame;
mod input;
mod keyring;
mod manifest;
mod segment;
mod values;

pub use block::block;
pub use frame::frame;
pub use keyring::keyring;
pub use manifest::manifest;
pub use segment::segment;
pub use values::values;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Small numbers are lengths, counts and flags more often than large ones.
    fn bytes(limit: usize) -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(prop_oneof![0u8..24, any::<u8>()], 0..limit)
    }

    proptest! {
        #[test]
        fn frames(bytes in bytes(300)) {
            frame(&bytes);
        }

        #[test]
        fn blocks(bytes in bytes(200)) {
            block(&bytes);
        }

        #[test]
        fn segments(bytes in bytes(600)) {
            segment(&bytes);
        }

        #[test]
        fn value_files(bytes in bytes(300)) {
            values(&bytes);
        }

        #[test]
        fn keyrings(bytes in bytes(100)) {
            keyring(&bytes);
        }

        #[test]
        fn manifests(bytes in bytes(300)) {
            manifest(&bytes);
        }
    }
}
