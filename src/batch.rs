//! What a write asks for: operations, borrowed for one put or collected in a [`Batch`].

use std::borrow::Cow;
use std::ops::RangeBounds;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::entry::intern;
use crate::error::{Error, Result};
use crate::key;

/// The longest value, in bytes.
pub const MAX_VALUE_LEN: usize = 1 << 30;

/// The longest metadata of one entry, in bytes.
pub const MAX_METADATA_LEN: usize = 16 << 20;

/// The longest content type, in bytes.
pub const MAX_CONTENT_TYPE_LEN: usize = 255;

/// What a put may say besides key and value.
///
/// ```
/// use siltstone::PutOptions;
/// use std::time::{Duration, SystemTime};
/// let store = siltstone::Store::in_memory()?;
/// let options = PutOptions::new()
///     .content_type("application/json")
///     .metadata(r#"{"tenant":"a"}"#)
///     .expires_at(SystemTime::now() + Duration::from_secs(3600));
/// store.put_with("logs/1", "{}", &options)?;
/// assert_eq!(store.stat("logs/1")?.unwrap().content_type(), Some("application/json"));
/// # Ok::<(), siltstone::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PutOptions {
    content_type: String,
    metadata: Vec<u8>,
    expires: u64,
}

impl PutOptions {
    /// No content type, no metadata, no expiry.
    pub fn new() -> Self {
        Self::default()
    }

    /// The value's media type, at most [`MAX_CONTENT_TYPE_LEN`] bytes. Told by `stat`.
    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.content_type = content_type.into();
        self
    }

    /// Bytes kept beside the value, at most [`MAX_METADATA_LEN`]. The engine does not interpret them; the
    /// storage interface and the program keep an object there: see `format::decode_metadata`.
    pub fn metadata(mut self, metadata: impl Into<Vec<u8>>) -> Self {
        self.metadata = metadata.into();
        self
    }

    /// The content type and the metadata.
    pub(crate) fn parts(&self) -> (&str, &[u8]) {
        (&self.content_type, &self.metadata)
    }

    /// From this moment on the entry is hidden, then dropped. A moment before 1970 hides it at once.
    pub fn expires_at(mut self, moment: SystemTime) -> Self {
        self.expires = micros(moment).max(1);
        self
    }
}

/// Microseconds since the Unix epoch; what lies before it is zero.
pub(crate) fn micros(moment: SystemTime) -> u64 {
    let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// The moment these microseconds stand for; the far future where the platform's clock ends.
pub(crate) fn moment(micros: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_micros(micros)).unwrap_or(UNIX_EPOCH)
}

/// One operation, borrowed and checked against the limits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Op<'a> {
    /// The first key of a range.
    pub(crate) key: &'a [u8],
    pub(crate) change: Change<'a>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Change<'a> {
    Put(Put<'a>),
    Delete,
    /// Up to before the key `end`, or to the last one: all versions, or those older than `before`.
    DeleteRange {
        end: Option<&'a [u8]>,
        before: Option<u64>,
    },
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Put<'a> {
    pub(crate) expires: u64,
    pub(crate) content_type: &'a str,
    pub(crate) meta: &'a [u8],
    pub(crate) value: &'a [u8],
}

impl<'a> Op<'a> {
    pub(crate) fn put(key: &'a [u8], value: &'a [u8], options: &'a PutOptions) -> Result<Self> {
        let PutOptions { content_type, metadata, expires } = options;
        Self::checked(key, Change::Put(Put { expires: *expires, content_type, meta: metadata, value }))
    }

    pub(crate) fn delete(key: &'a [u8]) -> Result<Self> {
        Self::checked(key, Change::Delete)
    }

    fn checked(key: &'a [u8], change: Change<'a>) -> Result<Self> {
        match &change {
            Change::Put(put) => key::check(key).and_then(|()| put.check(key))?,
            Change::Delete => key::check(key)?,
            Change::DeleteRange { end, .. } => {
                [Some(key), *end].into_iter().flatten().try_for_each(key::check_bound)?
            }
        }
        Ok(Self { key, change })
    }

    /// What it puts, if it does.
    pub(crate) fn value(&self) -> Option<&Put<'a>> {
        if let Change::Put(put) = &self.change { Some(put) } else { None }
    }
}

impl Put<'_> {
    fn check(&self, key: &[u8]) -> Result<()> {
        let too_long = |what: &str, limit: usize, advice: &str| {
            let key = key::Printable(key);
            Err(Error::invalid(format!(
                "{what} of key '{key}' is longer than the limit of {limit} bytes; {advice} it"
            )))
        };
        if self.content_type.len() > MAX_CONTENT_TYPE_LEN {
            return too_long("the content type", MAX_CONTENT_TYPE_LEN, "shorten");
        }
        if self.meta.len() > MAX_METADATA_LEN {
            return too_long("the metadata", MAX_METADATA_LEN, "shorten");
        }
        if self.value.len() > MAX_VALUE_LEN {
            return too_long("the value", MAX_VALUE_LEN, "split");
        }
        Ok(())
    }
}

/// Operations that happen together or not at all, in their order: the last on a key wins.
///
/// A mistake (a key that is too long) is told when the batch is written, and nothing of it happens.
///
/// ```
/// use siltstone::{Batch, Store};
/// let store = Store::in_memory()?;
/// let mut batch = Batch::new();
/// batch.delete_prefix("state/").put("state/a", "1").put("state/b", "2");
/// store.write(batch)?;
/// assert_eq!(store.list("state/")?.count(), 2);
/// # Ok::<(), siltstone::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Key, metadata and value of each operation, end to end.
    bytes: Vec<u8>,
    ops: Vec<Owned>,
}

/// One operation: where its parts end in the batch's bytes.
#[derive(Clone, Debug)]
struct Owned {
    key: usize,
    change: OwnedChange,
}

#[derive(Clone, Debug)]
enum OwnedChange {
    Put { meta: usize, value: usize, content_type: Cow<'static, str>, expires: u64 },
    Delete,
    DeleteRange { end: Option<usize> },
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a put without options.
    pub fn put(&mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> &mut Self {
        self.put_with(key, value, &PutOptions::default())
    }

    /// Adds a put with options.
    pub fn put_with(
        &mut self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        options: &PutOptions,
    ) -> &mut Self {
        let key = self.append(key.as_ref());
        let meta = self.append(&options.metadata);
        let value = self.append(value.as_ref());
        let (content_type, expires) = (intern(&options.content_type), options.expires);
        self.ops.push(Owned { key, change: OwnedChange::Put { meta, value, content_type, expires } });
        self
    }

    /// Adds a delete.
    pub fn delete(&mut self, key: impl AsRef<[u8]>) -> &mut Self {
        let key = self.append(key.as_ref());
        self.ops.push(Owned { key, change: OwnedChange::Delete });
        self
    }

    /// Adds a delete of all keys that begin with these bytes; of all keys for an empty prefix. Those that the
    /// batch itself put before are among them.
    pub fn delete_prefix(&mut self, prefix: impl AsRef<[u8]>) -> &mut Self {
        let prefix = prefix.as_ref();
        self.delete_between(prefix, key::prefix_end(prefix).as_deref())
    }

    /// Adds a delete of all keys in a range.
    pub fn delete_range<K: AsRef<[u8]>>(&mut self, range: impl RangeBounds<K>) -> &mut Self {
        let (start, end) = key::bounds(&range);
        self.delete_between(&start, end.as_deref())
    }

    fn delete_between(&mut self, start: &[u8], end: Option<&[u8]>) -> &mut Self {
        if end.is_none_or(|end| start < end) {
            let key = self.append(start);
            let end = end.map(|end| self.append(end));
            self.ops.push(Owned { key, change: OwnedChange::DeleteRange { end } });
        }
        self
    }

    /// How many operations it holds.
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// Whether it holds no operation.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// The bytes of its keys, metadata and values.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Forgets the operations and keeps the memory for the next ones.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ops.clear();
    }

    /// Takes bytes in; where they end.
    fn append(&mut self, bytes: &[u8]) -> usize {
        self.bytes.extend_from_slice(bytes);
        self.bytes.len()
    }

    /// The operations, checked.
    pub(crate) fn ops(&self) -> Result<Vec<Op<'_>>> {
        let mut start = 0;
        let mut up_to = |end: usize| {
            let bytes = self.bytes.get(start..end).unwrap_or_default();
            start = end;
            bytes
        };
        let mut ops = Vec::with_capacity(self.ops.len());
        for owned in &self.ops {
            let key = up_to(owned.key);
            let change = match &owned.change {
                OwnedChange::Put { meta, value, content_type, expires } => {
                    let (meta, value) = (up_to(*meta), up_to(*value));
                    Change::Put(Put { expires: *expires, content_type, meta, value })
                }
                OwnedChange::Delete => Change::Delete,
                OwnedChange::DeleteRange { end } => {
                    Change::DeleteRange { end: end.map(&mut up_to), before: None }
                }
            };
            ops.push(Op::checked(key, change)?);
        }
        Ok(ops)
    }
}
