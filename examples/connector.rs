//! The storage interface: save, load, list, stat, and a lock, on whatever executor there is.
//!
//! ```sh
//! cargo run --example connector
//! ```

use std::time::Duration;

use siltstone::{
    ConnectorOptions, Inventory, Locking, Options, Persistence, Result, SiltstoneStorage, StatQuery,
    StorageEntry, SyncPolicy,
};

fn main() -> Result<()> {
    let dir = std::env::temp_dir().join(format!("siltstone-example-{}", std::process::id()));
    let storage = ConnectorOptions::new()
        .engine(Options::new().sync_policy(SyncPolicy::Immediate))
        .lock_timeout(Some(Duration::from_secs(30)))
        .lease(Some(Duration::from_secs(60)))
        .open(&dir)?;
    let done = pollster::block_on(run(&storage));
    storage.close()?;
    // The store of an example is nobody's.
    let _ = std::fs::remove_dir_all(&dir);
    done
}

async fn run(storage: &SiltstoneStorage) -> Result<()> {
    for (model, failures) in [("small", 0), ("large", 3)] {
        let key = format!("state/{model}");
        let state = format!(r#"{{"model":"{model}","failures":{failures}}}"#);
        let entry =
            StorageEntry::new(&key, state).with("content_type", "application/json").with("version", 1);
        storage.save(&key, &entry).await?; // durable when it returns
    }

    for key in storage.list(Some("state/")).await? {
        if let Some(stat) = storage.stat(&key).await? {
            println!("{key}: {} bytes, saved {}", stat.size, stat.last_modified_rfc3339());
        }
    }

    // Read, change and write as one, as far as all who do it hold the lock.
    let lock = storage.acquire("state/large", None).await?;
    if let Some(mut entry) = storage.load("state/large").await? {
        entry.data = br#"{"model":"large","failures":0}"#.to_vec();
        storage.save("state/large", &entry).await?;
        println!("{}: {}", entry.key, String::from_utf8_lossy(&entry.data));
    }
    storage.release(&lock).await?;

    println!("deleted: {}", storage.delete("state/small").await?);
    Ok(())
}
