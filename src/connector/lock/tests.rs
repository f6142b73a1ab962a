use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, UNIX_EPOCH};

use super::*;
use crate::error::{Error, ErrorKind};
use crate::vfs::MemVfs;

const SECOND: Duration = Duration::from_secs(1);

struct Bench {
    vfs: MemVfs,
    table: LockTable,
    client: LockClient,
}

fn bench() -> Bench {
    let vfs = MemVfs::with_manual_clock(5_000_000);
    let table = LockTable::new(Arc::new(vfs.clone()));
    let client = table.client();
    Bench { vfs, table, client }
}

/// Counts how often it was woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A wait that the test polls by hand.
struct Hand {
    acquire: Acquire,
    count: Arc<Count>,
}

impl Hand {
    fn poll(&mut self) -> Poll<Result<LockHandle>> {
        let waker = Waker::from(self.count.clone());
        pin!(&mut self.acquire).poll(&mut Context::from_waker(&waker))
    }

    fn ready(&mut self) -> LockHandle {
        match self.poll() {
            Poll::Ready(result) => result.unwrap(),
            Poll::Pending => panic!("the lock is not there"),
        }
    }

    fn error(&mut self) -> Error {
        match self.poll() {
            Poll::Ready(result) => result.unwrap_err(),
            Poll::Pending => panic!("it waits on"),
        }
    }

    fn waits(&mut self) -> bool {
        self.poll().is_pending()
    }

    fn woken(&self) -> usize {
        self.count.0.load(Ordering::SeqCst)
    }
}

impl Bench {
    fn hand(&self, timeout: Option<f64>, lease: Option<Duration>) -> Hand {
        let acquire = self.client.acquire("k", timeout, lease).unwrap();
        Hand { acquire, count: Arc::default() }
    }

    /// Polled once, and so in the queue.
    fn waiting(&self, timeout: Option<f64>) -> Hand {
        let mut hand = self.hand(timeout, None);
        assert!(hand.waits());
        hand
    }

    fn take(&self) -> LockHandle {
        self.hand(Some(0.0), None).ready()
    }

    fn lease(&self, lease: Duration) -> LockHandle {
        self.hand(Some(0.0), Some(lease)).ready()
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

#[test]
fn first_come_first_served() {
    let bench = bench();
    let first = bench.take();
    let mut waiting: Vec<Hand> = (0..3).map(|_| bench.waiting(None)).collect();
    bench.client.release(&first);
    let mut late = bench.hand(Some(0.0), None);
    assert_eq!(late.error().kind(), ErrorKind::Timeout);
    for next in 0..3 {
        assert_eq!(waiting[next].woken(), 1);
        assert!(waiting[next + 1..].iter_mut().all(|hand| hand.waits() && hand.woken() == 0));
        let handle = waiting[next].ready();
        bench.client.release(&handle);
    }
    assert!(bench.table.shared.state.lock().is_empty());
}

#[test]
fn a_handle_says_what_was_acquired() {
    let bench = bench();
    let handle = bench.lease(SECOND);
    assert_eq!(handle.key, "k");
    assert_eq!(handle.acquired_at, UNIX_EPOCH + 5 * SECOND);
    assert_eq!(handle.expires_at, Some(UNIX_EPOCH + 6 * SECOND));
    assert!(handle.lock_id.len() == 32 && handle.lock_id.bytes().all(|byte| byte.is_ascii_hexdigit()));
    bench.client.release(&handle);
    let next = bench.take();
    assert_ne!(next.lock_id, handle.lock_id);
    assert_eq!(next.expires_at, None);
}

#[test]
fn keys_do_not_share_locks_and_may_be_empty() {
    let bench = bench();
    let _held = bench.take();
    for key in ["", "K", "k/", "\0"] {
        assert!(!bench.client.is_locked(key));
        let handle = block_on(bench.client.acquire(key, None, None).unwrap()).unwrap();
        assert!(bench.client.is_locked(key));
        bench.client.release(&handle);
        assert!(!bench.client.is_locked(key));
    }
}

#[test]
fn timeouts_mean_what_the_interface_says() {
    let bench = bench();
    let held = bench.take();
    for once in [0.0, -0.0, -1.0, f64::NEG_INFINITY] {
        let error = bench.hand(Some(once), None).error();
        assert_eq!(error.kind(), ErrorKind::Timeout);
    }
    let error = bench.client.acquire("k", Some(f64::NAN), None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let mut patient: Vec<Hand> = [Some(f64::INFINITY), Some(f64::MAX), Some(1e300), Some(1.8e19), None]
        .map(|t| bench.waiting(t))
        .into();
    let mut brief = bench.waiting(Some(1.5));
    assert_eq!(bench.hand(Some(1e-300), None).error().kind(), ErrorKind::Timeout);
    bench.vfs.advance(Duration::from_millis(1499));
    assert!(brief.waits());
    bench.vfs.advance(Duration::from_millis(1));
    let message = brief.error().to_string();
    assert!(message.contains("'k'") && message.contains("1.5 seconds"), "{message}");
    bench.vfs.advance(1_000_000 * SECOND);
    assert!(patient.iter_mut().all(Hand::waits));
    bench.client.release(&held);
    patient[0].ready();
}

#[test]
fn a_lease_ends_when_it_should_and_no_other_clock_matters() {
    let bench = bench();
    bench.lease(SECOND);
    let mut next = bench.waiting(Some(10.0));
    bench.vfs.set_now(u64::MAX / 2);
    bench.vfs.advance(SECOND - Duration::from_micros(1));
    assert!(next.waits());
    bench.vfs.set_now(0);
    bench.vfs.advance(Duration::from_micros(1));
    next.ready();
}

#[test]
fn an_expired_lock_is_not_locked() {
    let bench = bench();
    let expired = bench.lease(SECOND);
    assert!(bench.client.is_locked("k"));
    bench.vfs.advance(SECOND);
    assert!(!bench.client.is_locked("k"));
    assert_eq!(bench.client.renew(&expired, None).unwrap_err().kind(), ErrorKind::Timeout);
    assert!(bench.table.shared.state.lock().is_empty());
    bench.take();
}

#[test]
fn a_waiter_is_woken_when_the_lease_ends() {
    let bench = bench();
    bench.lease(SECOND);
    let waits = bench.client.acquire("k", None, None).unwrap();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(move || block_on(waits));
        bench.vfs.advance(SECOND);
        assert!(waiter.join().unwrap().is_ok());
    });
}

#[test]
fn a_waiter_is_woken_when_its_time_is_up() {
    let bench = bench();
    let _held = bench.take();
    let barrier = Arc::new(Barrier::new(2));
    let waits = bench.client.acquire("k", Some(60.0), None).unwrap();
    let mut hand = Hand { acquire: waits, count: Arc::default() };
    assert!(hand.waits());
    std::thread::scope(|scope| {
        let reached = barrier.clone();
        let waiter = scope.spawn(move || {
            reached.wait();
            block_on(hand.acquire)
        });
        barrier.wait();
        bench.vfs.advance(60 * SECOND);
        assert_eq!(waiter.join().unwrap().unwrap_err().kind(), ErrorKind::Timeout);
    });
}

#[test]
fn leases_and_waits_end_by_the_system_clock_too() {
    let table = LockTable::new(Arc::new(MemVfs::new()));
    let client = table.client();
    let lease = Some(Duration::from_millis(5));
    let acquire = |timeout| block_on(client.acquire("k", timeout, lease).unwrap());
    for _ in 0..3 {
        acquire(None).unwrap();
    }
    acquire(Some(60.0)).unwrap();
    let _held = block_on(client.acquire("other", None, None).unwrap()).unwrap();
    let error = block_on(client.acquire("other", Some(0.001), None).unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
}

#[test]
fn a_renewed_lease_counts_from_now() {
    let bench = bench();
    let handle = bench.lease(SECOND);
    let mut next = bench.waiting(None);
    bench.vfs.advance(SECOND / 2);
    let renewed = bench.client.renew(&handle, Some(SECOND)).unwrap();
    assert_eq!(renewed.lock_id, handle.lock_id);
    assert_eq!(renewed.expires_at, Some(UNIX_EPOCH + 6 * SECOND + SECOND / 2));
    bench.vfs.advance(SECOND * 9 / 10);
    assert!(next.waits());
    assert_eq!(bench.client.renew(&handle, None).unwrap().expires_at, None);
    bench.vfs.advance(100 * SECOND);
    assert!(next.waits());
    bench.client.renew(&renewed, Some(SECOND)).unwrap();
    bench.vfs.advance(SECOND);
    next.ready();
    assert!(bench.client.renew(&handle, Some(SECOND)).is_err());
    assert_eq!(bench.client.renew(&handle, Some(Duration::ZERO)).unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn a_lease_without_end_or_of_no_time() {
    let bench = bench();
    let error = bench.client.acquire("k", None, Some(Duration::ZERO)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(bench.lease(Duration::MAX).expires_at, None);
    bench.vfs.advance(1_000_000 * SECOND);
    assert!(bench.client.is_locked("k"));
}

#[test]
fn a_forged_or_stale_handle_releases_nothing() {
    let bench = bench();
    let stale = bench.lease(SECOND);
    bench.vfs.advance(SECOND);
    let held = bench.take();
    let forged = LockHandle { lock_id: "0".repeat(32), ..held.clone() };
    let moved = LockHandle { key: "other".into(), ..held.clone() };
    for nothing in [&stale, &forged, &moved] {
        bench.client.release(nothing);
        assert!(bench.client.is_locked("k"));
    }
    bench.client.release(&held);
    bench.client.release(&held);
    assert!(!bench.client.is_locked("k"));
}

#[test]
fn a_dropped_wait_leaves_no_trace() {
    let bench = bench();
    let held = bench.take();
    let gone = bench.waiting(Some(1.0));
    let mut next = bench.waiting(Some(2.0));
    drop(bench.hand(None, None));
    drop(gone);
    assert_eq!(bench.table.shared.state.lock().deadlines(), 1);
    bench.client.release(&held);
    bench.client.release(&next.ready());
    assert!(bench.table.shared.state.lock().is_empty());
}

#[test]
fn a_wait_dropped_after_its_grant_passes_it_on() {
    let bench = bench();
    let held = bench.take();
    let gone = bench.waiting(None);
    let mut next = bench.waiting(None);
    bench.client.release(&held);
    assert_eq!((gone.woken(), next.woken()), (1, 0));
    drop(gone);
    assert_eq!(next.woken(), 1);
    drop(next.ready());
    let last = bench.waiting(None);
    drop((next, last));
    assert!(bench.client.is_locked("k"));
}

#[test]
fn a_grant_that_expires_before_it_is_fetched_waits_again() {
    let bench = bench();
    let held = bench.take();
    let mut slow = bench.hand(Some(10.0), Some(SECOND));
    assert!(slow.waits());
    let mut quick = bench.waiting(None);
    bench.client.release(&held);
    bench.vfs.advance(SECOND);
    let quick = quick.ready();
    assert!(slow.waits());
    bench.client.release(&quick);
    let handle = slow.ready();
    assert_eq!(handle.expires_at, Some(handle.acquired_at + SECOND));
    let mut late = bench.hand(Some(1.0), Some(SECOND));
    assert!(late.waits());
    bench.client.release(&handle);
    bench.vfs.advance(SECOND);
    assert_eq!(late.error().kind(), ErrorKind::Timeout);
}

#[test]
fn closing_a_client_releases_what_it_holds_and_ends_its_waits() {
    let bench = bench();
    let other = bench.table.client();
    let held = bench.take();
    let mut own = bench.waiting(Some(5.0));
    let mut next = Hand { acquire: other.acquire("k", Some(5.0), None).unwrap(), count: Arc::default() };
    assert!(next.waits());
    bench.client.close();
    assert_eq!((own.woken(), next.woken()), (1, 1));
    assert_eq!(own.error().kind(), ErrorKind::Closed);
    assert_eq!(bench.hand(None, None).error().kind(), ErrorKind::Closed);
    let handle = next.ready();
    other.release(&held);
    assert!(other.is_locked("k"));
    // Whoever knows the handle may release it.
    bench.client.release(&handle);
    assert!(bench.table.shared.state.lock().is_empty());
    other.acquire("k", None, None).map(block_on).unwrap().unwrap();
    drop(other);
    assert!(bench.table.shared.state.lock().is_empty());
}

#[test]
fn a_lock_is_not_re_entrant() {
    let bench = bench();
    let _held = bench.take();
    assert_eq!(bench.hand(Some(0.0), None).error().kind(), ErrorKind::Timeout);
}

#[test]
fn the_timer_ends_when_there_is_nothing_to_wait_for() {
    let bench = bench();
    let shared = &bench.table.shared;
    bench.take();
    assert!(shared.state.lock().timer.is_none());
    let waits = bench.waiting(Some(1.0));
    assert!(shared.state.lock().timer.is_some());
    drop(waits);
    assert!(shared.tick().is_none());
    assert!(shared.state.lock().timer.is_none());
}

#[test]
fn the_timer_ends_with_its_table() {
    let bench = bench();
    bench.lease(SECOND);
    let (bell, heard) = crossbeam_channel::bounded(1);
    let table = Arc::downgrade(&bench.table.shared);
    std::thread::scope(|scope| {
        scope.spawn(move || timer::run(&table, &heard));
        drop((bench, bell));
    });
}

/// A waker that uses the table: it must not meet its own lock.
struct Busy(Arc<LockClient>, AtomicUsize);

impl Wake for Busy {
    fn wake(self: Arc<Self>) {
        self.1.fetch_add(usize::from(self.0.is_locked("k")), Ordering::SeqCst);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.is_locked("k");
    }
}

#[test]
fn wakers_may_use_the_table() {
    let bench = bench();
    let held = bench.take();
    let client = Arc::new(bench.table.client());
    let busy = Arc::new(Busy(client.clone(), AtomicUsize::new(0)));
    let mut first = bench.hand(None, None).acquire;
    let mut second = bench.hand(None, None).acquire;
    for acquire in [&mut first, &mut second] {
        for _ in 0..2 {
            let waker = Waker::from(Arc::new(Busy(client.clone(), AtomicUsize::new(0))));
            assert!(pin!(&mut *acquire).poll(&mut Context::from_waker(&waker)).is_pending());
        }
    }
    let waker = Waker::from(busy.clone());
    assert!(pin!(&mut first).poll(&mut Context::from_waker(&waker)).is_pending());
    drop(second);
    bench.client.release(&held);
    assert_eq!(busy.1.load(Ordering::SeqCst), 1);
}

#[test]
fn one_holder_at_a_time_whatever_the_threads_do() {
    let table = LockTable::new(Arc::new(MemVfs::new()));
    let (inside, done) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let client = table.client();
            let (inside, done) = (&inside, &done);
            scope.spawn(move || {
                for round in 0..250 {
                    let timeout = if (round + thread) % 3 == 0 { Some(60.0) } else { None };
                    let lease = (round % 2 == 0).then_some(60 * SECOND);
                    let handle = block_on(client.acquire("k", timeout, lease).unwrap()).unwrap();
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                    drop(client.acquire("k", None, None));
                    inside.fetch_sub(1, Ordering::SeqCst);
                    client.release(&handle);
                    done.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
    });
    assert_eq!(done.load(Ordering::SeqCst), 1000);
    assert!(table.shared.state.lock().is_empty());
}
