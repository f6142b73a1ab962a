//! YAML 1.2 with its core schema, for the values of JSON.
//!
//! The grammar is `granit-parser`'s, and so are the places that errors name. Ours is what becomes of its
//! events (`read`), what a plain scalar means (`scalar`), and how values are written (`write`).

mod read;
mod scalar;
mod write;

pub(super) use crate::format::yaml::read::read;
pub(crate) use crate::format::yaml::scalar::resolve;
pub(super) use crate::format::yaml::write::write;
