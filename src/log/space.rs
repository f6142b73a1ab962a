//! Log space before it is needed: a helper thread creates the next log while the writer fills this
//! one, and makes the pages ahead of the writer ready, so that a put meets neither file system nor page
//! fault. The thread starts when there is first something for it to do.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use crate::error::{Error, Result};
use crate::log::appender::Appender;
use crate::log::header::{HEADER_LEN, LogId};
use crate::vfs::{Access, Mapping, Vfs};

/// How far ahead of the writer pages are made ready, and how many bytes at a time.
const AHEAD: usize = 2 << 20;
const STEP: usize = 1 << 20;

/// A log whose first pages the writer may as well fault in itself.
const SMALL: usize = 256 << 10;

/// Records a new log of this length in the manifest, durably, before anything is written to it.
pub(crate) type Register = Box<dyn Fn(LogId, u64) -> Result<()> + Send + Sync>;

#[derive(Debug)]
enum Job {
    Create { number: u64, capacity: usize },
    Populate(Arc<Mapping>, Range<usize>),
}

/// Where logs come from.
pub(crate) struct Space {
    maker: Arc<Maker>,
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
}

impl Maker {
    fn create(&self, number: u64, capacity: usize) -> Result<Appender> {
        let id = LogId { number, salt: self.vfs.random() };
        let appender = Appender::create(&*self.vfs, &self.dir, id, capacity, self.access)?;
        let durable = appender.log().file.sync().and_then(|()| self.vfs.sync_dir(&self.dir));
        durable.map_err(|error| Error::io(format!("cannot sync new log {number}"), error))?;
        // Should this fail, the manifest on disk may name the log all the same: its file stays, and a
        // second attempt takes it over.
        (self.register)(id, capacity as u64)?;
        Ok(appender)
    }
}

impl Space {
    pub(crate) fn new(
        vfs: Arc<dyn Vfs>,
        dir: PathBuf,
        access: Access,
        (first, full): (usize, usize),
        register: Register,
    ) -> Self {
        let maker = Arc::new(Maker { vfs, dir, access, register });
        Self { maker, first, full, helper: None, asked: false }
    }

    /// The log after `current`, with room for a frame of `need` bytes besides its header.
    pub(crate) fn next(&mut self, number: u64, current: Option<usize>, need: u64) -> Result<Appender> {
        let need = usize::try_from(need)
            .ok()
            .and_then(|need| need.checked_add(HEADER_LEN))
            .ok_or_else(|| Error::invalid("the batch is larger than this machine can address"))?;
        let usual = self.capacity_after(current);
        let made = if std::mem::take(&mut self.asked) {
            self.helper.as_ref().and_then(|helper| helper.made.recv().ok())
        } else {
            None
        };
        let mut appender = match made {
            Some(made) => made?,
            None => self.maker.create(number, usual.max(need))?,
        };
        if appender.capacity() < need {
            appender.grow(need)?;
        }
        Ok(appender)
    }

    fn capacity_after(&self, current: Option<usize>) -> usize {
        current.map_or(self.first, |current| current.saturating_mul(2).clamp(self.first, self.full))
    }

    /// Called after each append: asks for what will be needed soon.
    #[inline]
    pub(crate) fn look_ahead(&mut self, appender: &mut Appender) {
        if !self.asked && appender.offset() > appender.capacity() / 2 {
            self.ask_next(appender);
        }
        if appender.capacity() > SMALL
            && let Some((mapping, range)) = appender.pages_wanted(AHEAD, STEP)
        {
            self.send(Job::Populate(mapping, range));
        }
    }

    fn ask_next(&mut self, appender: &Appender) {
        let capacity = self.capacity_after(Some(appender.capacity()));
        let number = appender.log().id.number + 1;
        self.asked = self.send(Job::Create { number, capacity });
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
            Job::Create { number, capacity } => {
                let made = maker.create(number, capacity);
                if outbox.send(made).is_err() {
                    return;
                }
            }
            // Pages that could not be made ready fault in the writer: slower, not wrong.
            Job::Populate(mapping, range) => {
                let _ = mapping.populate(range);
            }
        }
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        self.stop();
    }
}
