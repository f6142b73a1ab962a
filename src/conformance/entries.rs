//! Clauses about entries: load, save, delete, stat and exists.

use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::batch::moment;
use crate::conformance::desk::{Checked, Desk, Verdict, ensure, get, put, together};
use crate::connector::{EntryMetadata, StorageEntry};
use crate::format::Metadata;
use crate::vfs::{DiskVfs, Vfs};

/// How far a storage's clock may be off.
const SKEW: Duration = Duration::from_secs(24 * 3600);

fn entry(data: impl Into<Vec<u8>>, metadata: Json) -> StorageEntry {
    let Json::Object(metadata) = metadata else { return StorageEntry::new("k", data) };
    StorageEntry { metadata, ..StorageEntry::new("k", data) }
}

pub(super) async fn absent(desk: &Desk<'_>) -> Checked {
    let made = desk.fresh()?;
    put(made.storage(), "key", b"1").await?;
    for key in ["", "k", "key2", "KEY"] {
        let found = made.storage().load(key).await?;
        ensure!(found.is_none(), "of key {key:?} there was {found:?}");
    }
    Ok(())
}

pub(super) async fn key_wins(desk: &Desk<'_>) -> Checked {
    let made = desk.fresh()?;
    made.storage().save("k1", &StorageEntry::new("test-key", "data")).await?;
    let found = get(made.storage(), "k1").await?;
    ensure!(found.key == "k1", "the key was {:?}", found.key);
    let other = made.storage().load("test-key").await?;
    ensure!(other.is_none(), "it was under the entry's own key as well");
    Ok(())
}

pub(super) async fn load_changes_nothing(desk: &Desk<'_>) -> Checked {
    let made = desk.fresh()?;
    let saved = entry("data ".repeat(100), json!({"content_type": "text/plain", "version": 1}));
    made.storage().save("k", &saved).await?;
    for round in 1..=3 {
        let found = get(made.storage(), "k").await?;
        ensure!(found == saved, "after {round} loads there was {found:?}");
        made.storage().save("k", &found).await?;
    }
    Ok(())
}

pub(super) async fn replaces(desk: &Desk<'_>) -> Checked {
    let made = desk.fresh()?;
    let first = entry("a long value", json!({"content_type": "text/plain", "tenant": 7}));
    made.storage().save("k", &first).await?;
    let second = entry("short", json!({"other": true}));
    made.storage().save("k", &second).await?;
    let found = get(made.storage(), "k").await?;
    ensure!(found == second, "there was {found:?}");
    Ok(())
}

pub(super) async fn any_data(desk: &Desk<'_>) -> Checked {
    let made = desk.fresh()?;
    let every_byte: Vec<u8> = (0..=255).collect();
    for data in [Vec::new(), vec![0], every_byte.clone(), every_byte.repeat(1000)] {
        put(made.storage(), "k", &data).await?;
        let found = get(made.storage(), "k").await?.data;
        ensure!(found == data, "{} bytes became {} others", data.len(), found.len());
    }
    Ok(())
}

pub(super) async fn any_metadata(desk: &Desk<'_>) -> Checked {
    let made = desk.fresh()?;
    let saved = entry(
        "data",
        json!({
            "": null, "content_type": "application/json; charset=utf-8", "é\"\\\n": "\u{7f}🦀\0",
            "numbers": [0, -1, 0.1, 1e300, 5e-324, u64::MAX, i64::MIN, -6.2946775865611255e-84],
            "nested": {"content_type": "kept as it is", "empty": [{}, []], "true": true},
        }),
    );
    made.storage().save("k", &saved).await?;
    let found = get(made.storage(), "k").await?;
    ensure!(found.metadata == saved.metadata, "there was {:?}", found.metadata);
    let odd = entry("", json!({"content_type": 5}));
    made.storage().save("k", &odd).await?;
    let found = get(made.storage(), "k").await?;
    ensure!(found == odd, "a content_type that is no text became {:?}", found.metadata);
    Ok(())
}

pub(super) async fn all_or_nothing(desk: &Desk<'_>) -> Checked {
    let made = desk.fresh()?;
    let old = entry("old", json!({"version": 1}));
    made.storage().save("k", &old).await?;
    // More than a reader of JSON takes in: to refuse it is as good as to keep it.
    let deep = (0..300).fold(json!(1), |inner, _| json!([inner]));
    let new = entry("new", json!({ "deep": deep }));
    let expected = if made.storage().save("k", &new).await.is_ok() { new } else { old };
    let found = made.storage().load("k").await?;
    let same = found.as_ref() == Some(&expected);
    let found = found.map(|found| String::from_utf8_lossy(&found.data).into_owned());
    ensure!(same, "data and metadata were not both as saved: {found:?}");
    Ok(())
}

pub(super) async fn not_before_polled(desk: &Desk<'_>) -> Checked {
    let made = desk.fresh()?;
    put(made.storage(), "k", b"old").await?;
    drop(made.storage().save("k", &StorageEntry::new("k", "new")));
    drop(made.storage().delete("k"));
    drop(made.storage().acquire("k", None));
    let found = get(made.storage(), "k").await?.data;
    ensure!(found == b"old", "the save happened");
    ensure!(!made.storage().is_locked("k").await?, "the lock was acquired");
    Ok(())
}

pub(super) async fn many_at_once(desk: &Desk<'_>) -> Checked {
    let made = desk.fresh()?;
    let entries: Vec<StorageEntry> =
        (0..32_u8).map(|number| StorageEntry::new(format!("k{number:02}"), vec![number; 100])).collect();
    let saves = entries.iter().map(|entry| made.storage().save(&entry.key, entry)).collect();
    for saved in together(saves).await {
        saved?;
    }
    for entry in &entries {
        let found = get(made.storage(), &entry.key).await?;
        ensure!(found == *entry, "key {:?} has the data of another", entry.key);
    }
    Ok(())
}

pub(super) async fn delete_tells(desk: &Desk<'_>) -> Checked {
    let made = desk.fresh()?;
    ensure!(!made.storage().delete("k").await?, "it was true of a key that nobody saved");
    put(made.storage(), "k", b"").await?;
    ensure!(made.storage().delete("k").await?, "it was false of an entry that was there");
    ensure!(!made.storage().delete("k").await?, "it was true the second time");
    Ok(())
}

pub(super) async fn delete_removes(desk: &Desk<'_>) -> Checked {
    let made = desk.fresh()?;
    put(made.storage(), "k", b"1").await?;
    put(made.storage(), "k", b"2").await?;
    made.storage().delete("k").await?;
    let found = made.storage().load("k").await?;
    ensure!(found.is_none(), "load found {found:?}");
    let found = made.storage().stat("k").await?;
    ensure!(found.is_none(), "stat found {found:?}");
    ensure!(!made.storage().exists("k").await?, "exists was true");
    put(made.storage(), "k", b"3").await?;
    ensure!(get(made.storage(), "k").await?.data == b"3", "it could not be saved again");
    Ok(())
}

pub(super) async fn stat_absent(desk: &Desk<'_>) -> Checked {
    let made = desk.fresh()?;
    put(made.storage(), "key", b"1").await?;
    let found = made.storage().stat("k").await?;
    ensure!(found.is_none(), "there was {found:?}");
    Ok(())
}

/// What a stat tells of this entry once it is saved.
async fn stat(desk: &Desk<'_>, saved: &StorageEntry) -> Checked<EntryMetadata> {
    let made = desk.fresh()?;
    made.storage().save("k", saved).await?;
    let missing = || Verdict::Failed("a saved entry had no stat".into());
    made.storage().stat("k").await?.ok_or_else(missing)
}

pub(super) async fn stat_size(desk: &Desk<'_>) -> Checked {
    for (data, metadata) in [
        (String::new(), json!({})),
        ("é🦀".to_owned(), json!({"m": "x".repeat(500)})),
        ("the same again ".repeat(1000), json!({})),
    ] {
        let saved = entry(data.clone(), metadata);
        let found = stat(desk, &saved).await?;
        ensure!(found.key == "k", "the key was {:?}", found.key);
        ensure!(found.size == data.len() as u64, "it was {} for {} bytes", found.size, data.len());
    }
    Ok(())
}

pub(super) async fn stat_type(desk: &Desk<'_>) -> Checked {
    let octets = "application/octet-stream";
    for (metadata, expected) in [
        (json!({"content_type": "application/json"}), "application/json"),
        (json!({"tenant": "a"}), octets),
        (json!({"content_type": 5}), octets),
    ] {
        let found = stat(desk, &entry("{}", metadata.clone())).await?.content_type;
        ensure!(found.as_deref() == Some(expected), "it was {found:?} for the metadata {metadata}");
    }
    Ok(())
}

pub(super) async fn stat_time(desk: &Desk<'_>) -> Checked {
    let mut own = Metadata::new();
    own.insert("last_modified".into(), json!("2001-09-09T01:46:40Z"));
    let made = desk.fresh()?;
    let now = moment(DiskVfs::new().now());
    let mut before = None;
    for data in ["1", "2", "2"] {
        let saved = StorageEntry { metadata: own.clone(), ..StorageEntry::new("k", data) };
        made.storage().save("k", &saved).await?;
        let found = made.storage().stat("k").await?.map(|stat| stat.last_modified);
        ensure!(found >= before, "it went back, from {before:?} to {found:?}");
        let near = found.is_some_and(|found| now - SKEW < found && found < now + SKEW);
        ensure!(near, "it was {found:?} when it was {now:?}");
        before = found;
    }
    Ok(())
}

pub(super) async fn exists(desk: &Desk<'_>) -> Checked {
    let made = desk.fresh()?;
    ensure!(!made.storage().exists("k").await?, "it was true of a key that nobody saved");
    // The names that every object has in some languages.
    ensure!(!made.storage().exists("toString").await?, "it was true of 'toString'");
    put(made.storage(), "k", b"").await?;
    ensure!(made.storage().exists("k").await?, "it was false of an entry without data");
    Ok(())
}
