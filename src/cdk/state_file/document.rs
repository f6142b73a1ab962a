//! The state file's content.

use std::fmt;
use std::time::SystemTime;

use serde_core::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::{Map, Value as Json};

use crate::base64;
use crate::batch::{micros, moment};
use crate::cdk::record::{Codec, is_plain};
use crate::cdk::shelf::Held;
use crate::connector::{from_rfc3339, metadata, put_options, rfc3339};
use crate::entry::intern;
use crate::error::{Error, Result};
use crate::format::{MAX_DEPTH, Metadata, SerializationFormat, fits};
use crate::key::Printable;

const DATA: &str = "data";
const METADATA: &str = "metadata";
const TIMESTAMP: &str = "timestamp";
const CRC: &str = "crc32";
const ENCODING: &str = "encoding";
const RECORD: &str = "siltstone.record.v1";

/// The levels of the document, the entry, and the metadata.
const DEPTH_OF_FIELDS: usize = 3;

/// An entry of a state file.
#[derive(Clone, Debug, PartialEq)]
pub struct StateEntry {
    /// The key.
    pub key: String,
    /// The content.
    pub data: Vec<u8>,
    /// The metadata, with the content type if there is one.
    pub metadata: Metadata,
    /// When it was saved, if the file tells.
    pub modified: Option<SystemTime>,
}

/// The entries of a state file, of which these are the bytes, by key.
///
/// ```
/// use siltstone::cdk::state_file;
/// let file = br#"{"state/a": {"data": "MQ==", "metadata": {}, "timestamp": "2026-01-31T09:30:00"}}"#;
/// let entries = state_file::read(file)?;
/// assert_eq!((entries[0].key.as_str(), entries[0].data.as_slice()), ("state/a", &b"1"[..]));
/// # Ok::<(), siltstone::Error>(())
/// ```
///
/// # Errors
///
/// [`Corruption`](crate::ErrorKind::Corruption) if they are no state file, or not what was written;
/// [`Invalid`](crate::ErrorKind::Invalid) if an entry is encrypted.
pub fn read(bytes: &[u8]) -> Result<Vec<StateEntry>> {
    let document = Document::parse(bytes)?;
    let keys = document.keys();
    keys.map(|key| {
        let held = document.held(key, 0)?.unwrap_or_default();
        let metadata = metadata::decode(key, held.content_type(), &held.meta)?;
        let modified = (held.modified > 0).then(|| moment(held.modified));
        Ok(StateEntry { key: key.clone(), data: held.data.into(), metadata, modified })
    })
    .collect()
}

/// A state file as JSON: what was found in it stays as it was found.
#[derive(Debug, Default)]
pub(super) struct Document {
    items: Map<String, Json>,
}

impl Document {
    /// Takes a document in, entries and all.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let items: Items = serde_json::from_slice(bytes).map_err(|error| {
            Error::corruption(format!(
                "it is no state file: {error}; restore it from a backup, or move it away"
            ))
        })?;
        let document = Self { items: items.0 };
        document.keys().try_for_each(|key| document.check(key))?;
        Ok(document)
    }

    pub(super) fn print(&self) -> Result<Vec<u8>> {
        let printed = serde_json::to_vec_pretty(&self.items);
        printed.map_err(|error| Error::invalid(format!("the state cannot be written as JSON: {error}")))
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &String> {
        self.items.iter().filter(|(_, item)| item.is_object()).map(|(key, _)| key)
    }

    fn entry(&self, key: &str) -> Option<Entry<'_>> {
        self.items.get(key).and_then(Json::as_object).map(|fields| Entry { fields })
    }

    fn check(&self, key: &str) -> Result<()> {
        let Some(entry) = self.entry(key) else { return Ok(()) };
        entry.check(key).map_err(|problem| wrong(key, problem))
    }

    /// The entry as a record; `now` is its time if it has none.
    pub(super) fn record(&self, key: &str, now: u64) -> Result<Option<Vec<u8>>> {
        if let Some(entry) = self.entry(key)
            && entry.is_record()
        {
            return entry.data().map(Some).map_err(|problem| wrong(key, problem));
        }
        self.held(key, now)?.map(|held| Codec::default().encode(key, &held)).transpose()
    }

    fn held(&self, key: &str, now: u64) -> Result<Option<Held>> {
        let Some(entry) = self.entry(key) else { return Ok(None) };
        let data = entry.data().map_err(|problem| wrong(key, problem))?;
        if entry.is_record() {
            return Codec::default().decode(key, &data).map(Some);
        }
        let modified = entry.modified().map_err(|problem| wrong(key, problem))?.map_or(now, micros);
        let metadata = entry.metadata().map_err(|problem| wrong(key, problem))?;
        let options = put_options(key, &metadata.cloned().unwrap_or_default(), SerializationFormat::Json)?;
        let (content_type, meta) = options.parts();
        Ok(Some(Held { data: data.into(), meta: meta.into(), content_type: intern(content_type), modified }))
    }

    /// Takes a record in. Fields that are nobody's here stay.
    pub(super) fn put(&mut self, key: &str, record: &[u8]) -> Result<()> {
        let (data, metadata, modified) = match plain(key, record)? {
            Some((held, metadata)) => (base64::encode(&held.data), Some(metadata), Some(held.modified)),
            None => (base64::encode(record), None, None),
        };
        let mut fields = match self.items.remove(key) {
            Some(Json::Object(fields)) => fields,
            _ => Map::new(),
        };
        for known in [TIMESTAMP, ENCODING, CRC] {
            fields.remove(known);
        }
        fields.insert(DATA.into(), data.into());
        if metadata.is_none() {
            fields.insert(ENCODING.into(), RECORD.into());
        }
        fields.insert(METADATA.into(), Json::Object(metadata.unwrap_or_default()));
        if let Some(modified) = modified {
            // As the library writes it: not every version of it reads a `Z`.
            fields.insert(TIMESTAMP.into(), rfc3339(moment(modified)).replace('Z', "+00:00").into());
        }
        let crc = Entry { fields: &fields }.checksum(key);
        fields.insert(CRC.into(), format!("{crc:08x}").into());
        self.items.insert(key.into(), Json::Object(fields));
        Ok(())
    }

    pub(super) fn remove(&mut self, key: &str) {
        if self.items.get(key).is_some_and(Json::is_object) {
            self.items.remove(key);
        }
    }
}

/// What a record holds, if it can be written in the clear.
fn plain(key: &str, record: &[u8]) -> Result<Option<(Held, Metadata)>> {
    if !is_plain(record) {
        return Ok(None);
    }
    let held = Codec::default().decode(key, record)?;
    let metadata = metadata::decode(key, held.content_type(), &held.meta)?;
    let flat = metadata.values().all(|value| fits(value, MAX_DEPTH - DEPTH_OF_FIELDS));
    Ok(flat.then_some((held, metadata)))
}

fn wrong(key: &str, problem: impl fmt::Display) -> Error {
    let key = Printable(key.as_bytes());
    Error::corruption(format!(
        "its entry '{key}' is damaged: {problem}; restore the file from a backup, or mend it"
    ))
}

/// The fields of one entry.
#[derive(Clone, Copy)]
struct Entry<'a> {
    fields: &'a Map<String, Json>,
}

impl<'a> Entry<'a> {
    fn text(self, name: &str) -> Result<Option<&'a str>, String> {
        match self.fields.get(name) {
            None | Some(Json::Null) => Ok(None),
            Some(Json::String(text)) => Ok(Some(text)),
            Some(_) => Err(format!("its '{name}' is no string")),
        }
    }

    fn is_record(self) -> bool {
        self.fields.get(ENCODING).is_some_and(|encoding| encoding == RECORD)
    }

    fn data(self) -> Result<Vec<u8>, String> {
        let data = self.text(DATA)?.ok_or_else(|| format!("it has no '{DATA}'"))?;
        base64::decode(data).ok_or_else(|| format!("its '{DATA}' is no base64"))
    }

    fn metadata(self) -> Result<Option<&'a Metadata>, String> {
        match self.fields.get(METADATA) {
            None | Some(Json::Null) => Ok(None),
            Some(Json::Object(metadata)) => Ok(Some(metadata)),
            Some(_) => Err(format!("its '{METADATA}' is no object")),
        }
    }

    fn modified(self) -> Result<Option<SystemTime>, String> {
        let Some(text) = self.text(TIMESTAMP)? else { return Ok(None) };
        from_rfc3339(text).map(Some).ok_or_else(|| format!("its '{TIMESTAMP}' is no time"))
    }

    fn check(self, key: &str) -> Result<(), String> {
        let crc = self.text(CRC)?;
        if crc.is_some_and(|crc| crc != format!("{:08x}", self.checksum(key))) {
            return Err(format!("it is not what its '{CRC}' says"));
        }
        if let Some(encoding) = self.text(ENCODING)?
            && encoding != RECORD
        {
            return Err(format!("its '{ENCODING}' is unknown; use a newer siltstone"));
        }
        self.metadata()?;
        self.modified()?;
        self.data().map(drop)
    }

    /// Of what the entry means, whatever the types of its fields.
    fn checksum(self, key: &str) -> u32 {
        let text = |name| self.fields.get(name).and_then(Json::as_str).unwrap_or_default();
        let metadata = self.fields.get(METADATA).map(Json::to_string).unwrap_or_default();
        let mut hasher = crc32fast::Hasher::new();
        for part in [key, text(DATA), text(TIMESTAMP), text(ENCODING)] {
            hasher.update(part.as_bytes());
            hasher.update(&[0]);
        }
        hasher.update(metadata.as_bytes());
        hasher.finalize()
    }
}

/// An object in which no name is twice: the second would hide the first.
struct Items(Map<String, Json>);

impl<'de> Deserialize<'de> for Items {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Distinct)
    }
}

struct Distinct;

impl<'de> Visitor<'de> for Distinct {
    type Value = Items;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of entries")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Items, A::Error> {
        let mut items = Map::new();
        while let Some((key, item)) = map.next_entry::<String, Json>()? {
            if items.contains_key(&key) {
                return Err(A::Error::custom(format!("'{key}' is there twice")));
            }
            items.insert(key, item);
        }
        Ok(Items(items))
    }
}
