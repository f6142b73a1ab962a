//! What points to a connector is one: a `Box<dyn FullConnector>` from the registry, an `Arc` that tasks share.

use std::sync::Arc;

use crate::connector::interface::{
    BoxFuture, EntryMetadata, Inventory, LockHandle, Locking, Persistence, StatQuery, StorageEntry,
};
use crate::error::Result;
use crate::format::SerializationFormat;

macro_rules! forward {
    ($($pointer:ty),*) => {$(
        impl<T: Persistence + ?Sized> Persistence for $pointer {
            fn load<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<StorageEntry>>> {
                (**self).load(key)
            }

            fn save<'a>(&'a self, key: &'a str, entry: &'a StorageEntry) -> BoxFuture<'a, Result<()>> {
                (**self).save(key, entry)
            }

            fn format(&self) -> SerializationFormat {
                (**self).format()
            }
        }

        impl<T: Inventory + ?Sized> Inventory for $pointer {
            fn list<'a>(&'a self, prefix: Option<&'a str>) -> BoxFuture<'a, Result<Vec<String>>> {
                (**self).list(prefix)
            }

            fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<bool>> {
                (**self).delete(key)
            }
        }

        impl<T: StatQuery + ?Sized> StatQuery for $pointer {
            fn stat<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<EntryMetadata>>> {
                (**self).stat(key)
            }

            fn exists<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<bool>> {
                (**self).exists(key)
            }
        }

        impl<T: Locking + ?Sized> Locking for $pointer {
            fn acquire<'a>(&'a self, key: &'a str, timeout: Option<f64>) -> BoxFuture<'a, Result<LockHandle>> {
                (**self).acquire(key, timeout)
            }

            fn release<'a>(&'a self, lock: &'a LockHandle) -> BoxFuture<'a, Result<()>> {
                (**self).release(lock)
            }

            fn is_locked<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<bool>> {
                (**self).is_locked(key)
            }
        }
    )*};
}

forward!(Box<T>, Arc<T>);
