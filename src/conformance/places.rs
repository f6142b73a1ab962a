//! Clauses about storages that are closed, shared, or opened again.

use serde_json::json;

use crate::conformance::desk::{Checked, Desk, ensure, get, put, refused};
use crate::connector::StorageEntry;
use crate::error::ErrorKind;

pub(super) async fn close_twice(desk: &Desk<'_>) -> Checked {
    let made = desk.fresh()?;
    put(made.storage(), "k", b"1").await?;
    made.close()?;
    made.close()
}

pub(super) async fn close_refuses(desk: &Desk<'_>) -> Checked {
    let made = desk.fresh()?;
    let storage = made.storage();
    put(storage, "k", b"1").await?;
    let lock = storage.acquire("k", None).await?;
    made.close()?;
    let closed = ErrorKind::Closed;
    refused(storage.load("k").await, closed, "load")?;
    refused(storage.save("k", &StorageEntry::new("k", "2")).await, closed, "save")?;
    refused(storage.list(None).await, closed, "list")?;
    refused(storage.delete("k").await, closed, "delete")?;
    refused(storage.stat("k").await, closed, "stat")?;
    refused(storage.exists("k").await, closed, "exists")?;
    refused(storage.acquire("k", Some(0.0)).await, closed, "acquire")?;
    refused(storage.release(&lock).await, closed, "release")?;
    refused(storage.is_locked("k").await, closed, "is_locked")?;
    Ok(())
}

pub(super) async fn close_releases(desk: &Desk<'_>) -> Checked {
    let place = desk.lasting_place()?;
    let (first, second) = (desk.at(place)?, desk.at(place)?);
    first.storage().acquire("k", None).await?;
    second.storage().acquire("other", None).await?;
    first.close()?;
    ensure!(!second.storage().is_locked("k").await?, "its lock was still held");
    ensure!(second.storage().is_locked("other").await?, "another's lock was released too");
    Ok(())
}

pub(super) async fn shared_entries(desk: &Desk<'_>) -> Checked {
    let place = desk.lasting_place()?;
    let (first, second) = (desk.at(place)?, desk.at(place)?);
    put(first.storage(), "a", b"1").await?;
    put(second.storage(), "b", b"2").await?;
    for made in [&first, &second] {
        let found = made.storage().list(None).await?;
        ensure!(found == ["a", "b"], "one of them saw the keys {found:?}");
        ensure!(get(made.storage(), "a").await?.data == b"1", "one of them saw other data");
    }
    ensure!(second.storage().delete("a").await?, "the other's entry could not be deleted");
    ensure!(!first.storage().exists("a").await?, "what the other deleted was still there");
    Ok(())
}

pub(super) async fn shared_locks(desk: &Desk<'_>) -> Checked {
    let place = desk.lasting_place()?;
    let (first, second) = (desk.at(place)?, desk.at(place)?);
    let lock = first.storage().acquire("k", None).await?;
    ensure!(second.storage().is_locked("k").await?, "the other did not see the lock");
    refused(
        second.storage().acquire("k", Some(0.0)).await,
        ErrorKind::Timeout,
        "a lock that the other holds",
    )?;
    first.storage().release(&lock).await?;
    second.storage().acquire("k", Some(0.0)).await?;
    Ok(())
}

pub(super) async fn kept(desk: &Desk<'_>) -> Checked {
    let place = desk.lasting_place()?;
    let mut made = desk.at(place)?;
    let saved =
        StorageEntry::new("k", vec![7; 1000]).with("content_type", "a/b").with("list", json!([1, 0.1]));
    made.storage().save("k", &saved).await?;
    put(made.storage(), "overwritten", b"old").await?;
    put(made.storage(), "overwritten", b"new").await?;
    put(made.storage(), "deleted", b"1").await?;
    made.storage().delete("deleted").await?;
    let before = made.storage().stat("k").await?;
    for round in 1..=2 {
        made = desk.reopen(made, place)?;
        let found = made.storage().list(None).await?;
        ensure!(found == ["k", "overwritten"], "opened {round} times again, it had the keys {found:?}");
        let found = get(made.storage(), "k").await?;
        ensure!(found == saved, "there was {found:?}");
        ensure!(get(made.storage(), "overwritten").await?.data == b"new", "the older data was there");
        let stat = made.storage().stat("k").await?;
        ensure!(stat == before, "the stat changed from {before:?} to {stat:?}");
    }
    Ok(())
}
