//! Log space before it is needed: a helper thread creates the next log while the writer fills this
//! one, and makes the pages ahead of the writer ready, so that a put meets neither file system nor page
//! fault. The thread starts when there is first something for it to do.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use crate::error::{Error, ErrorKind, Result};
use crate::log::appender::{Appender, Extent};
use crate::log::header::{HEADER_LEN, LogId};
use crate::reserve::{Reserve, Share};
use crate::vfs::{Access, File, Mapping, Vfs};

/// How far ahead of the writer pages are made ready, and how many bytes at a time. At a gigabyte a second
/// this is 8 ms, for which the helper may be kept from a processor.
const AHEAD: usize = 8 << 20;
const STEP: usize = 1 << 20;

/// So many first pages the writer may as well fault in itself: a small store needs no helper.
const SMALL: usize = 256 << 10;

/// Records a new log of this length in the manifest, durably, before anything is written to it.
pub(crate) type Register = Box<dyn Fn(LogId, u64) -> Result<()> + Send + Sync>;

/// What a write may take of a disk that is nearly full.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grant {
    /// So many bytes stay free, for flushes, which give space back.
    pub(crate) headroom: u64,
    /// It may take them all the same, and then some of the reserve: a delete, which leads to space.
    pub(crate) urgent: bool,
}

/// What is free is used up by no fewer logs than this.
const PARTS: u64 = 8;

/// Where an urgent write gets a log of its own, that has this much more than it needs, for those to follow.
const URGENT: usize = 4 << 10;

type Pages = (Arc<Mapping>, Range<usize>);

#[derive(Debug)]
enum Job {
    Create { number: u64, extent: Extent, headroom: u64 },
    Extend { file: Arc<dyn File>, len: u64, growth: u64, headroom: u64 },
    Populate(Pages),
}

/// Where logs come from.
pub(crate) struct Space {
    maker: Arc<Maker>,
    /// What the first log of an open store reserves, and what a log holds.
    first: usize,
    full: usize,
    helper: Option<Helper>,
    /// Whether the helper was asked for the next log.
    asked: bool,
}

struct Helper {
    jobs: Sender<Job>,
    made: Receiver<Result<Appender>>,
    thread: JoinHandle<()>,
}

struct Maker {
    vfs: Arc<dyn Vfs>,
    dir: PathBuf,
    access: Access,
    register: Register,
    reserve: Arc<Reserve>,
    /// The log registered last, or tried to be: should that have failed, the manifest on disk may name it all
    /// the same.
    registered: AtomicU64,
}

impl Maker {
    /// An error unless a log may have so much more.
    fn check(&self, doing: &str, number: u64, growth: u64, headroom: u64) -> Result<()> {
        let doing = format_args!("cannot {doing} log {}", crate::log::name(number));
        self.reserve.check(doing, growth.saturating_add(headroom))
    }

    /// Creates a log if that leaves as much as shall stay free.
    fn create_beside(&self, number: u64, extent: Extent, headroom: u64) -> Result<Appender> {
        self.check("create", number, extent.reserved as u64, headroom)?;
        self.reserve.fill()?;
        self.create(number, extent)
    }

    fn create(&self, number: u64, extent: Extent) -> Result<Appender> {
        let id = LogId { number, salt: self.vfs.random() };
        let known = self.registered.load(Ordering::Relaxed) == number;
        let appender = Appender::create(&*self.vfs, &self.dir, id, extent, self.access, known)?;
        let durable =
            appender.log().file().and_then(|file| file.sync()).and_then(|()| self.vfs.sync_dir(&self.dir));
        durable.map_err(|error| Error::io(format!("cannot sync new log {number}"), error))?;
        // Should this fail, the file stays, and a second attempt takes it over.
        self.registered.store(number, Ordering::Relaxed);
        (self.register)(id, extent.reserved as u64)?;
        Ok(appender)
    }
}

impl Space {
    pub(crate) fn new(
        vfs: Arc<dyn Vfs>,
        dir: PathBuf,
        access: Access,
        (first, full): (usize, usize),
        (register, reserve): (Register, Arc<Reserve>),
    ) -> Self {
        let registered = AtomicU64::new(0);
        let maker = Arc::new(Maker { vfs, dir, access, register, reserve, registered });
        Self { maker, first, full, helper: None, asked: false }
    }

    /// The next log, with room for a frame of `need` bytes besides its header.
    pub(crate) fn next(&mut self, number: u64, need: u64, grant: Grant) -> Result<Appender> {
        let need = usize::try_from(need)
            .ok()
            .and_then(|need| need.checked_add(HEADER_LEN))
            .ok_or_else(|| Error::invalid("the batch is larger than this machine can address"))?;
        let made = if std::mem::take(&mut self.asked) {
            self.helper.as_ref().and_then(|helper| helper.made.recv().ok())
        } else {
            None
        };
        let mut appender = match made {
            // Of the smaller first size there may still be space.
            Some(Err(error)) if error.kind() != ErrorKind::NoSpace => return Err(error),
            Some(Ok(made)) => made,
            _ => self.create(number, need, grant)?,
        };
        if appender.capacity() < need {
            appender.grow(need)?;
        }
        Ok(appender)
    }

    fn create(&self, number: u64, need: usize, grant: Grant) -> Result<Appender> {
        let maker = &self.maker;
        let extent = Extent { reserved: self.first, capacity: self.capacity().max(need) };
        let created = maker.create_beside(number, extent, grant.headroom);
        match created {
            Err(error) if grant.urgent && error.kind() == ErrorKind::NoSpace => {
                let reserved = need.saturating_add(URGENT).next_multiple_of(URGENT).min(self.first.max(need));
                maker.reserve.with(Share::Deletes, || maker.create(number, Extent { reserved, ..extent }))
            }
            created => created,
        }
    }

    /// Makes sure that `len` more bytes have space, so that a full disk is an error now and not a signal
    /// later. Mostly the helper was here before.
    pub(crate) fn make_room(&self, appender: &Appender, len: usize, grant: Grant) -> Result<()> {
        let maker = &self.maker;
        let (number, backed) = (appender.log().id.number, appender.backed());
        let end = appender.offset() + len;
        let some = end.saturating_add(self.first).min(appender.capacity());
        let mut allocated = Ok(());
        // As much as will soon be wanted, else less.
        for space in [appender.next_space().max(end), some, end] {
            // The helper may have been here just now.
            let growth = space.saturating_sub(backed) as u64;
            allocated = maker
                .check("reserve space for", number, growth, grant.headroom)
                .and_then(|()| maker.reserve.fill())
                .and_then(|()| appender.allocate(space));
            if allocated.is_ok() {
                return Ok(());
            }
        }
        match allocated {
            Err(error) if grant.urgent && error.kind() == ErrorKind::NoSpace => {
                maker.reserve.with(Share::Deletes, || appender.allocate(end))
            }
            allocated => allocated,
        }
    }

    /// Called after each append: asks for what will be needed soon. `headroom` as in [`Grant`].
    #[inline]
    pub(crate) fn look_ahead(&mut self, appender: &mut Appender, headroom: impl Fn() -> u64) {
        if !self.asked && appender.offset() > appender.capacity() / 2 {
            self.ask_next(appender, headroom());
        }
        let backed = appender.backed() as u64;
        if let Some((file, len)) = appender.space_wanted() {
            self.send(Job::Extend { file, len, growth: len - backed, headroom: headroom() });
        }
        if appender.offset() > SMALL
            && let Some(pages) = appender.pages_wanted(AHEAD, STEP)
        {
            self.send(Job::Populate(pages));
        }
    }

    /// How large a log may get: less on a disk that is nearly full, for a log that is mostly dead gives its space
    /// back only when what lives in it has been moved.
    fn capacity(&self) -> usize {
        let part = self.maker.reserve.free().map_or(u64::MAX, |free| free / PARTS);
        usize::try_from(part).unwrap_or(usize::MAX).clamp(self.first.min(self.full), self.full)
    }

    fn ask_next(&mut self, appender: &Appender, headroom: u64) {
        // A log that is half full will be followed: it begins with more space than the first one.
        let capacity = self.capacity();
        let extent = Extent { reserved: self.first.max(capacity / 4), capacity };
        let number = appender.log().id.number + 1;
        self.asked = self.send(Job::Create { number, extent, headroom });
    }

    /// Hands the job over; false if there is no helper to be had, and the writer helps itself.
    fn send(&mut self, job: Job) -> bool {
        if self.helper.is_none() {
            self.helper = Helper::start(&self.maker);
        }
        self.helper.as_ref().is_some_and(|helper| helper.jobs.send(job).is_ok())
    }

    /// Ends the helper; the number of a log that was made and never used, for the caller to drop.
    pub(crate) fn stop(&mut self) -> Option<u64> {
        let Helper { jobs, made, thread } = self.helper.take()?;
        let unused = std::mem::take(&mut self.asked).then(|| made.recv().ok()?.ok()).flatten();
        drop(jobs);
        let _ = thread.join();
        unused.map(|appender| appender.log().id.number)
    }
}

impl Helper {
    fn start(maker: &Arc<Maker>) -> Option<Self> {
        let (jobs, inbox) = unbounded();
        let (outbox, made) = bounded(1);
        let maker = maker.clone();
        let thread = std::thread::Builder::new().name("siltstone-space".into());
        let thread = thread.spawn(move || run(&maker, &inbox, &outbox)).ok()?;
        Some(Self { jobs, made, thread })
    }
}

fn run(maker: &Maker, inbox: &Receiver<Job>, outbox: &Sender<Result<Appender>>) {
    for job in inbox {
        match job {
            // Space that cannot be had now is asked for again by the writer, who can tell why it fails.
            Job::Extend { file, len, growth, headroom } => {
                if maker.reserve.check("reserve space for a log", growth.saturating_add(headroom)).is_ok() {
                    let _ = file.allocate(len);
                }
            }
            Job::Create { number, extent, headroom } => {
                let mut made = maker.create_beside(number, extent, headroom);
                // The pages that the writer asks for as soon as it moves to this log.
                let first = made.as_mut().ok().and_then(|appender| appender.pages_wanted(0, AHEAD));
                if outbox.send(made).is_err() {
                    return;
                }
                first.into_iter().for_each(populate);
            }
            Job::Populate(pages) => populate(pages),
        }
    }
}

fn populate((mapping, range): Pages) {
    // Pages that could not be made ready fault in the writer: slower, not wrong.
    let _ = mapping.populate(range);
}

impl Drop for Space {
    fn drop(&mut self) {
        self.stop();
    }
}
