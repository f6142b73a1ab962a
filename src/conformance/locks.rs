//! Clauses about locks.

use crate::conformance::desk::{Checked, Desk, ensure, get, poll, put, refused};
use crate::connector::LockHandle;
use crate::error::ErrorKind;

pub(super) async fn save_ignores(desk: &Desk<'_>) -> Checked {
    let made = desk.fresh()?;
    made.storage().acquire("k", None).await?;
    put(made.storage(), "k", b"1").await?;
    ensure!(get(made.storage(), "k").await?.data == b"1", "the save did nothing");
    ensure!(made.storage().delete("k").await?, "the delete did nothing");
    Ok(())
}

pub(super) async fn delete_leaves(desk: &Desk<'_>) -> Checked {
    let made = desk.fresh()?;
    put(made.storage(), "k", b"1").await?;
    made.storage().acquire("k", None).await?;
    made.storage().delete("k").await?;
    ensure!(made.storage().is_locked("k").await?, "the lock was free after the delete");
    Ok(())
}

pub(super) async fn no_key(desk: &Desk<'_>) -> Checked {
    let made = desk.fresh()?;
    for key in ["k", "", "a/../b", "🦀\0"] {
        let lock = made.storage().acquire(key, Some(0.0)).await?;
        ensure!(made.storage().is_locked(key).await?, "key {key:?} was not locked");
        ensure!(!made.storage().exists(key).await?, "there was an entry {key:?}");
        made.storage().release(&lock).await?;
    }
    let keys = made.storage().list(None).await?;
    ensure!(keys.is_empty(), "locks left the keys {keys:?}");
    Ok(())
}

pub(super) async fn is_locked(desk: &Desk<'_>) -> Checked {
    let made = desk.fresh()?;
    ensure!(!made.storage().is_locked("k").await?, "it was true before acquire");
    let lock = made.storage().acquire("k", Some(5.0)).await?;
    ensure!(made.storage().is_locked("k").await?, "it was false after acquire");
    made.storage().release(&lock).await?;
    ensure!(!made.storage().is_locked("k").await?, "it was true after release");
    Ok(())
}

pub(super) async fn handle(desk: &Desk<'_>) -> Checked {
    let made = desk.fresh()?;
    let mut ids = std::collections::BTreeSet::new();
    for key in ["a", "a", "b"] {
        let lock = made.storage().acquire(key, Some(1.0)).await?;
        ensure!(lock.key == key, "the key was {:?}", lock.key);
        ensure!(ids.insert(lock.lock_id.clone()), "the id {:?} came twice", lock.lock_id);
        let LockHandle { acquired_at, expires_at, .. } = &lock;
        let ends_later = expires_at.is_none_or(|end| end > *acquired_at);
        ensure!(ends_later, "it was acquired at {acquired_at:?} and expires at {expires_at:?}");
        made.storage().release(&lock).await?;
    }
    Ok(())
}

pub(super) async fn excludes(desk: &Desk<'_>) -> Checked {
    let made = desk.fresh()?;
    let held = made.storage().acquire("k", None).await?;
    for _ in 0..2 {
        let second = made.storage().acquire("k", Some(0.0)).await;
        refused(second, ErrorKind::Timeout, "to acquire a lock that is held")?;
    }
    made.storage().release(&held).await?;
    made.storage().acquire("k", Some(0.0)).await?;
    Ok(())
}

pub(super) async fn one_key(desk: &Desk<'_>) -> Checked {
    let made = desk.fresh()?;
    made.storage().acquire("a", None).await?;
    for key in ["", "A", "a/b", "ab"] {
        ensure!(!made.storage().is_locked(key).await?, "key {key:?} was locked as well");
        made.storage().acquire(key, Some(0.0)).await?;
    }
    Ok(())
}

pub(super) async fn zero(desk: &Desk<'_>) -> Checked {
    let made = desk.fresh()?;
    for timeout in [0.0, -1.0, f64::NEG_INFINITY] {
        let lock = made.storage().acquire("k", Some(timeout)).await?;
        ensure!(made.storage().is_locked("k").await?, "with {timeout} the lock was free at once");
        let second = made.storage().acquire("k", Some(timeout)).await;
        refused(second, ErrorKind::Timeout, "a second try")?;
        made.storage().release(&lock).await?;
    }
    Ok(())
}

pub(super) async fn nan(desk: &Desk<'_>) -> Checked {
    let made = desk.fresh()?;
    refused(made.storage().acquire("k", Some(f64::NAN)).await, ErrorKind::Invalid, "a timeout of NaN")?;
    ensure!(!made.storage().is_locked("k").await?, "the lock was acquired all the same");
    Ok(())
}

pub(super) async fn times_out(desk: &Desk<'_>) -> Checked {
    let made = desk.fresh()?;
    let held = made.storage().acquire("k", None).await?;
    let wait = made.storage().acquire("k", Some(0.01)).await;
    refused(wait, ErrorKind::Timeout, "to wait for a lock that stays held")?;
    ensure!(made.storage().is_locked("k").await?, "the wait took the lock from its holder");
    made.storage().release(&held).await?;
    ensure!(!made.storage().is_locked("k").await?, "the wait that ended got the lock later");
    Ok(())
}

pub(super) async fn ends_by_release(desk: &Desk<'_>) -> Checked {
    let made = desk.fresh()?;
    let held = made.storage().acquire("k", None).await?;
    let mut wait = made.storage().acquire("k", None);
    let early = poll(&mut wait);
    ensure!(early.is_none(), "it ended while the lock was held");
    made.storage().release(&held).await?;
    let next = wait.await?;
    ensure!(next.lock_id != held.lock_id, "it got the handle of the holder before");
    ensure!(made.storage().is_locked("k").await?, "it got a lock that is not held");
    Ok(())
}

pub(super) async fn first_come(desk: &Desk<'_>) -> Checked {
    let made = desk.fresh()?;
    let held = made.storage().acquire("k", None).await?;
    let (mut first, mut second) = (made.storage().acquire("k", None), made.storage().acquire("k", None));
    let early = [poll(&mut first), poll(&mut second)];
    ensure!(early.iter().all(Option::is_none), "a wait ended while the lock was held");
    made.storage().release(&held).await?;
    let late = made.storage().acquire("k", Some(0.0)).await;
    refused(late, ErrorKind::Timeout, "who comes while others wait")?;
    let overtook = poll(&mut second);
    ensure!(overtook.is_none(), "the second got it first");
    let lock = first.await?;
    made.storage().release(&lock).await?;
    second.await?;
    Ok(())
}

pub(super) async fn dropped_wait(desk: &Desk<'_>) -> Checked {
    let made = desk.fresh()?;
    let held = made.storage().acquire("k", None).await?;
    let mut wait = made.storage().acquire("k", None);
    let early = poll(&mut wait);
    ensure!(early.is_none(), "it ended while the lock was held");
    drop(wait);
    made.storage().release(&held).await?;
    ensure!(!made.storage().is_locked("k").await?, "it got the lock, and nobody can release it");
    Ok(())
}

pub(super) async fn release_once(desk: &Desk<'_>) -> Checked {
    let made = desk.fresh()?;
    let old = made.storage().acquire("k", None).await?;
    made.storage().release(&old).await?;
    made.storage().release(&old).await?;
    let held = made.storage().acquire("k", Some(0.0)).await?;
    made.storage().release(&old).await?;
    ensure!(made.storage().is_locked("k").await?, "the old handle released the lock of the new one");
    made.storage().release(&held).await?;
    Ok(())
}

pub(super) async fn release_forged(desk: &Desk<'_>) -> Checked {
    let made = desk.fresh()?;
    let held = made.storage().acquire("k", None).await?;
    for forged in [
        LockHandle { lock_id: "forged".into(), ..held.clone() },
        LockHandle { lock_id: String::new(), ..held.clone() },
        LockHandle { key: "other".into(), lock_id: "0".into(), ..held.clone() },
    ] {
        made.storage().release(&forged).await?;
        ensure!(made.storage().is_locked("k").await?, "{forged:?} released it");
    }
    Ok(())
}

pub(super) async fn lease_ends(desk: &Desk<'_>) -> Checked {
    let made = desk.leased()?;
    let old = made.storage().acquire("k", None).await?;
    ensure!(old.expires_at.is_some(), "the handle does not tell when the lease ends");
    // It waits for much longer than the lease, and gets it at the lease's end.
    let next = made.storage().acquire("k", Some(3600.0)).await?;
    ensure!(next.lock_id != old.lock_id, "it got the handle of the holder before");
    made.storage().release(&old).await?;
    // That one's lease may have ended meanwhile, but then nobody else holds it.
    made.storage().release(&next).await?;
    ensure!(!made.storage().is_locked("k").await?, "after its release it was held");
    Ok(())
}

pub(super) async fn disabled(desk: &Desk<'_>) -> Checked {
    let made = desk.unlocked()?;
    let acquired = made.storage().acquire("k", Some(0.0)).await;
    let error = refused(acquired, ErrorKind::Invalid, "to acquire a lock")?;
    let said = error.to_string().contains("Locking is disabled in configuration");
    ensure!(said, "the error did not say so: {error}");
    ensure!(!made.storage().is_locked("k").await?, "is_locked was true");
    let other = desk.fresh()?;
    let handle = other.storage().acquire("k", None).await?;
    made.storage().release(&handle).await?;
    put(made.storage(), "k", b"1").await?;
    get(made.storage(), "k").await?;
    Ok(())
}
