//! Clauses about keys: which there can be, and how they are listed.

use crate::conformance::desk::{Checked, Desk, Made, ensure, get, put};

/// In ascending order of their bytes, which is neither that of their UTF-16 units nor that in which they are saved.
const ODD: [&str; 9] = ["", "A_B", "a%", "a_b", "axb", "z", "z\0", "\u{ffff}", "🦀"];

/// Saves entries with these keys, the last one first.
async fn saved<'a>(desk: &'a Desk<'_>, keys: &[&str]) -> Checked<Box<dyn Made + 'a>> {
    let made = desk.fresh()?;
    for key in keys.iter().rev() {
        put(made.storage(), key, b"1").await?;
    }
    Ok(made)
}

pub(super) async fn any_key(desk: &Desk<'_>) -> Checked {
    let long = "k".repeat(200);
    let keys = [
        "", "\0", "a\0b", "a/../b", "../a", "/", ".", "..", "a", "A", "🦀", "e\u{301}", "é", " ", "\n", &long,
    ];
    let made = desk.fresh()?;
    for key in keys {
        put(made.storage(), key, key.as_bytes()).await?;
    }
    for key in keys {
        let found = get(made.storage(), key).await?;
        let same = found.key == key && found.data == key.as_bytes();
        ensure!(same, "under key {key:?} there was {:?}", String::from_utf8_lossy(&found.data));
    }
    Ok(())
}

pub(super) async fn list_all(desk: &Desk<'_>) -> Checked {
    let made = saved(desk, &["a", "a/b", "a", "b", ""]).await?;
    for prefix in [None, Some("")] {
        let mut found = made.storage().list(prefix).await?;
        found.sort();
        ensure!(found == ["", "a", "a/b", "b"], "with the prefix {prefix:?} there was {found:?}");
    }
    Ok(())
}

pub(super) async fn list_order(desk: &Desk<'_>) -> Checked {
    let made = saved(desk, &ODD).await?;
    // A second save is no reason to come later.
    put(made.storage(), "a%", b"2").await?;
    let found = made.storage().list(None).await?;
    ensure!(found == ODD, "they came as {found:?}");
    Ok(())
}

pub(super) async fn prefix_is_literal(desk: &Desk<'_>) -> Checked {
    let made = saved(desk, &ODD).await?;
    for prefix in ["a_", "a%", "z\0", "z", "a", "A", "_", "%", "*", "[", "a_b", "a_b "] {
        let mut found = made.storage().list(Some(prefix)).await?;
        found.sort();
        let expected: Vec<&str> = ODD.into_iter().filter(|key| key.starts_with(prefix)).collect();
        ensure!(found == expected, "for {prefix:?} there was {found:?}");
    }
    Ok(())
}

pub(super) async fn list_without_deleted(desk: &Desk<'_>) -> Checked {
    let made = saved(desk, &["a", "b", "c"]).await?;
    made.storage().delete("b").await?;
    let mut found = made.storage().list(None).await?;
    found.sort();
    ensure!(found == ["a", "c"], "after deleting \"b\" there was {found:?}");
    Ok(())
}

pub(super) async fn delete_one(desk: &Desk<'_>) -> Checked {
    let made = saved(desk, &["a", "a/b", "ab", "A", ""]).await?;
    made.storage().delete("a").await?;
    made.storage().delete("").await?;
    for key in ["a/b", "ab", "A"] {
        ensure!(made.storage().exists(key).await?, "key {key:?} was deleted with it");
    }
    Ok(())
}
