//! Files in memory: the in-memory sync policy, and what simulations of crashes run on.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::{Mutex, RwLock};

use crate::vfs::disk::{random, wall_clock};
use crate::vfs::mapping::Region;
use crate::vfs::{Access, File, LockGuard, MapWriter, Mapping, Vfs};

/// A file that grows by writing gets room in steps of at least this. Room costs nothing until it is used.
const STEP: usize = 64 << 10;

/// What a disk writes at once, and makes durable at once.
pub(super) const PAGE: usize = 4096;

/// Files in memory. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct MemVfs {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    names: Mutex<Names>,
    /// Read while anything changes, written while a picture of everything is taken.
    still: RwLock<()>,
    clock: Arc<Clock>,
}

#[derive(Debug, Default)]
struct Names {
    dirs: BTreeSet<PathBuf>,
    files: BTreeMap<PathBuf, Arc<Node>>,
    locks: BTreeSet<PathBuf>,
    /// How many bytes all files may take, in whole pages; no end if there is none.
    capacity: Option<u64>,
    /// Only if crashes are to be simulated.
    journal: Option<Journal>,
}

/// What is durable of the names, and what is not yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Journal {
    pub(super) durable: BTreeMap<PathBuf, Arc<Node>>,
    pub(super) pending: Vec<Change>,
}

/// One change of names: it becomes durable whole or not at all.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Create(PathBuf, Arc<Node>),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf, Arc<Node>),
}

impl Change {
    pub(super) fn apply(self, names: &mut BTreeMap<PathBuf, Arc<Node>>) {
        match self {
            Self::Create(path, node) => drop(names.insert(path, node)),
            Self::Remove(path) => drop(names.remove(&path)),
            Self::Rename(from, to, node) => {
                names.remove(&from);
                names.insert(to, node);
            }
        }
    }

    fn is_in(&self, dir: &Path) -> bool {
        let lies_in = |path: &PathBuf| path.parent() == Some(dir);
        match self {
            Self::Create(path, _) | Self::Remove(path) => lies_in(path),
            Self::Rename(from, to, _) => lies_in(from) || lies_in(to),
        }
    }
}

impl Names {
    fn changed(&mut self, change: Change) {
        if let Some(journal) = &mut self.journal {
            journal.pending.push(change);
        }
    }

    fn find(&self, path: &Path) -> io::Result<Arc<Node>> {
        self.files.get(path).cloned().ok_or_else(|| no_such(path))
    }

    /// How many bytes the files take, in whole pages, each once whatever its names.
    fn taken(&self) -> u64 {
        let nodes: BTreeMap<_, _> = self.files.values().map(|node| (Arc::as_ptr(node), node)).collect();
        nodes.values().map(|node| pages(node.content.lock().len)).sum()
    }

    fn free(&self) -> Option<u64> {
        self.capacity.map(|capacity| capacity.saturating_sub(self.taken()))
    }

    fn check_dir(&self, dir: &Path) -> io::Result<()> {
        if dir == Path::new("/") || self.dirs.contains(dir) { Ok(()) } else { Err(no_such(dir)) }
    }

    fn check_parent(&self, path: &Path) -> io::Result<()> {
        self.check_dir(path.parent().ok_or_else(|| no_such(path))?)
    }

    fn create(&mut self, path: PathBuf) -> io::Result<Arc<Node>> {
        let node = Arc::new(Node::new(self.journal.is_some()));
        self.add(path, Arc::clone(&node))?;
        Ok(node)
    }

    /// A name, new itself, for a file that may have others.
    fn add(&mut self, path: PathBuf, node: Arc<Node>) -> io::Result<()> {
        self.check_parent(&path)?;
        if self.files.contains_key(&path) || self.dirs.contains(&path) {
            let message = format!("{} exists", path.display());
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
        }
        self.files.insert(path.clone(), Arc::clone(&node));
        self.changed(Change::Create(path, node));
        Ok(())
    }
}

fn no_such(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{} does not exist in memory", path.display()))
}

/// One spelling for each path. There is no current directory here: relative paths start at the root.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::Normal(name) => normal.push(name),
            Component::ParentDir => drop(normal.pop()),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    normal
}

impl MemVfs {
    /// No files, real clocks.
    pub fn new() -> Self {
        Self::default()
    }

    /// No files, and clocks that stand still until [`advance`](MemVfs::advance) moves them.
    pub fn with_manual_clock(start_micros: u64) -> Self {
        let clock = Arc::new(Clock::manual(start_micros));
        Self { shared: Arc::new(Shared { clock, ..Shared::default() }) }
    }

    /// No files, real clocks, and a record of what is durable, for [`CrashVfs`](super::CrashVfs).
    pub fn crashable() -> Self {
        Self::new().recording()
    }

    /// As [`crashable`](MemVfs::crashable), with clocks as in [`with_manual_clock`](MemVfs::with_manual_clock).
    pub fn crashable_with_manual_clock(start_micros: u64) -> Self {
        Self::with_manual_clock(start_micros).recording()
    }

    /// Lets all files together take this much and no more, or as much as they like. Each takes whole pages of
    /// 4 KiB; one that lost its last name takes nothing. What is too much now stays.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.shared.names.lock().capacity = bytes;
    }

    fn recording(self) -> Self {
        self.shared.names.lock().journal = Some(Journal::default());
        self
    }

    /// Moves the clocks of a manual clock forward, and rings the alarms that are due. Does nothing to
    /// real clocks.
    pub fn advance(&self, by: Duration) {
        self.shared.clock.advance(by);
    }

    /// Sets the wall clock of a manual clock, backwards too, as an operator may.
    pub fn set_now(&self, micros: u64) {
        self.shared.clock.set_now(micros);
    }

    /// Everything that matters to a power cut, at one moment. `None` if it was not recorded.
    pub(super) fn picture(&self) -> Option<Picture> {
        // While this is held nothing is written, synced or renamed. Only mappings publish on, and what
        // they publish is not durable before the next sync.
        let _still = self.shared.still.write();
        let names = self.shared.names.lock();
        let journal = names.journal.clone()?;
        let mut states = BTreeMap::new();
        let pending = journal.pending.iter().filter_map(|change| match change {
            Change::Create(_, node) | Change::Rename(_, _, node) => Some(node),
            Change::Remove(_) => None,
        });
        for node in journal.durable.values().chain(pending) {
            states.entry(Arc::as_ptr(node)).or_insert_with(|| node.state());
        }
        Some(Picture { dirs: names.dirs.clone(), journal, states, clock: Arc::clone(&self.shared.clock) })
    }

    /// A crashable place that holds these files, each with its names, and nothing else, all of it durable.
    pub(super) fn restored(
        dirs: BTreeSet<PathBuf>,
        files: Vec<Survivor>,
        clock: Arc<Clock>,
    ) -> io::Result<Self> {
        let mut durable = BTreeMap::new();
        for Survivor { names, bytes, len } in files {
            let node = Node::new(true);
            node.content.lock().fill(bytes, len)?;
            let node = Arc::new(node);
            durable.extend(names.into_iter().map(|name| (name, Arc::clone(&node))));
        }
        let journal = Some(Journal { durable: durable.clone(), pending: Vec::new() });
        let names = Mutex::new(Names { dirs, files: durable, journal, ..Names::default() });
        Ok(Self { shared: Arc::new(Shared { names, still: RwLock::default(), clock }) })
    }

    fn opened(&self, node: Arc<Node>) -> Arc<dyn File> {
        Arc::new(MemFile { node, shared: Arc::clone(&self.shared) })
    }
}

/// What [`MemVfs::picture`] gives.
pub(super) struct Picture {
    pub(super) dirs: BTreeSet<PathBuf>,
    pub(super) journal: Journal,
    pub(super) states: BTreeMap<*const Node, FileState>,
    pub(super) clock: Arc<Clock>,
}

/// A file that a crash left.
#[derive(Debug, Default)]
pub(super) struct Survivor {
    pub(super) names: Vec<PathBuf>,
    /// What they lack in length are zeros.
    pub(super) bytes: Vec<u8>,
    pub(super) len: usize,
}

/// The bytes of a file now, and those that are durable. What the bytes lack in length are zeros.
#[derive(Clone, Debug, Default)]
pub(super) struct FileState {
    pub(super) bytes: Vec<u8>,
    pub(super) len: usize,
    pub(super) durable_bytes: Vec<u8>,
    pub(super) durable_len: usize,
}

impl Vfs for MemVfs {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let _moving = self.shared.still.read();
        let mut names = self.shared.names.lock();
        let dir = normal(dir);
        let all: Vec<&Path> = dir.ancestors().filter(|dir| dir.parent().is_some()).collect();
        if let Some(file) = all.iter().find(|dir| names.files.contains_key(**dir)) {
            let message = format!("{} is a file", file.display());
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
        }
        names.dirs.extend(all.into_iter().map(Path::to_path_buf));
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let dir = normal(dir);
        let names = self.shared.names.lock();
        names.check_dir(&dir)?;
        // Paths sort by their parts, so all that lies below a directory follows it.
        let below = names.files.range(dir.clone()..).map(|(path, _)| path);
        let inside = below.take_while(|path| path.starts_with(&dir));
        let files = inside.filter(|path| path.parent() == Some(&dir));
        Ok(files.filter_map(|path| path.file_name()?.to_str().map(str::to_owned)).collect())
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let _moving = self.shared.still.read();
        let node = self.shared.names.lock().create(normal(path))?;
        Ok(self.opened(node))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let node = self.shared.names.lock().find(&normal(path))?;
        Ok(self.opened(node))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let _moving = self.shared.still.read();
        let path = normal(path);
        let mut names = self.shared.names.lock();
        let removed = names.files.remove(&path);
        if removed.is_some() {
            names.changed(Change::Remove(path));
            return Ok(());
        }
        Err(no_such(&path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let _moving = self.shared.still.read();
        let (from, to) = (normal(from), normal(to));
        let mut names = self.shared.names.lock();
        let node = names.find(&from)?;
        names.check_parent(&to)?;
        if names.dirs.contains(&to) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        if from != to {
            names.files.remove(&from);
            names.files.insert(to.clone(), Arc::clone(&node));
            names.changed(Change::Rename(from, to, node));
        }
        Ok(())
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let _moving = self.shared.still.read();
        let mut names = self.shared.names.lock();
        let node = names.find(&normal(from))?;
        names.add(normal(to), node)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let _moving = self.shared.still.read();
        let dir = normal(dir);
        let mut names = self.shared.names.lock();
        names.check_dir(&dir)?;
        if let Some(journal) = &mut names.journal {
            let (now, later) = journal.pending.drain(..).partition(|change| change.is_in(&dir));
            journal.pending = later;
            for change in Vec::from_iter::<Vec<Change>>(now) {
                change.apply(&mut journal.durable);
            }
        }
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Result<Box<dyn LockGuard>, Option<u32>>> {
        let _moving = self.shared.still.read();
        let path = normal(path);
        let mut names = self.shared.names.lock();
        if names.locks.contains(&path) {
            return Ok(Err(Some(std::process::id())));
        }
        let node = match names.find(&path) {
            Ok(node) => node,
            Err(_) => names.create(path.clone())?,
        };
        let mut content = node.content.lock();
        content.set_len(0)?;
        content.write(std::process::id().to_string().as_bytes(), 0)?;
        names.locks.insert(path.clone());
        Ok(Ok(Box::new(MemLock { path, shared: Arc::clone(&self.shared) })))
    }

    fn free_space(&self, _dir: &Path) -> io::Result<Option<u64>> {
        Ok(self.shared.names.lock().free())
    }

    fn now(&self) -> u64 {
        self.shared.clock.now()
    }

    fn elapsed(&self) -> Duration {
        self.shared.clock.elapsed()
    }

    fn alarm(&self, after: Duration) -> Receiver<Instant> {
        self.shared.clock.alarm(after)
    }

    fn pause(&self, time: Duration) {
        match &self.shared.clock.manual {
            Some(_) => std::thread::yield_now(),
            None => drop(self.alarm(time).recv_timeout(time)),
        }
    }

    fn random(&self) -> u64 {
        random()
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        Ok(normal(path))
    }
}

#[derive(Debug)]
struct MemLock {
    path: PathBuf,
    shared: Arc<Shared>,
}

impl LockGuard for MemLock {}

impl Drop for MemLock {
    fn drop(&mut self) {
        self.shared.names.lock().locks.remove(&self.path);
    }
}

/// A file, whatever its name.
#[derive(Debug)]
pub(super) struct Node {
    content: Mutex<Content>,
}

impl Node {
    fn new(recorded: bool) -> Self {
        let durable = recorded.then(Durable::default);
        Self { content: Mutex::new(Content { durable, ..Content::default() }) }
    }

    fn state(&self) -> FileState {
        let content = self.content.lock();
        let durable = content.durable.as_ref();
        FileState {
            bytes: content.tail(0),
            len: content.len,
            durable_bytes: durable.map(|durable| durable.bytes.clone()).unwrap_or_default(),
            durable_len: durable.map(|durable| durable.len).unwrap_or_default(),
        }
    }
}

#[derive(Debug, Default)]
struct Content {
    /// Holds at least `len` bytes, if there are any.
    region: Option<Arc<Region>>,
    len: usize,
    durable: Option<Durable>,
}

#[derive(Debug, Default)]
struct Durable {
    bytes: Vec<u8>,
    len: usize,
    /// No byte before this has changed since.
    changed_from: usize,
}

impl Content {
    /// Up to where bytes may be other than zero.
    fn touched(&self) -> usize {
        self.region.as_ref().map_or(0, |region| region.touched()).min(self.len)
    }

    /// The bytes from here to the last one that may be other than zero.
    fn tail(&self, from: usize) -> Vec<u8> {
        let mut bytes = vec![0; self.touched().saturating_sub(from)];
        if let Some(region) = &self.region {
            // A region that is too short has no such bytes, and the buffer is zeros already.
            let _ = region.read(&mut bytes, from);
        }
        bytes
    }

    fn changed(&mut self, from: usize) {
        if let Some(durable) = &mut self.durable {
            durable.changed_from = durable.changed_from.min(from);
        }
    }

    fn room(&self) -> usize {
        self.region.as_ref().map_or(0, |region| region.len())
    }

    /// Moves the bytes to a region of their own with this much room. Mappings keep the old one.
    fn relocate(&mut self, room: usize) -> io::Result<Arc<Region>> {
        let region = Region::new(room)?;
        let mut bytes = self.tail(0);
        bytes.truncate(room);
        if !region.write(&bytes, 0) {
            return Err(io::Error::other("a new region has no room for its bytes"));
        }
        self.region = Some(Arc::clone(&region));
        Ok(region)
    }

    fn write(&mut self, bytes: &[u8], offset: usize) -> io::Result<()> {
        let end = offset.checked_add(bytes.len()).ok_or(io::ErrorKind::FileTooLarge)?;
        if bytes.is_empty() {
            return Ok(());
        }
        if self.room() < end {
            self.relocate(end.max(self.room().saturating_mul(2)).next_multiple_of(STEP))?;
        }
        if self.len < end {
            self.extend(end)?;
        }
        self.changed(offset);
        let Some(region) = &self.region else {
            return Ok(());
        };
        if region.write(bytes, offset) {
            return Ok(());
        }
        if region.stored_to() {
            // Moving away would hide from the file whatever that writer appends next.
            let message = "the file is being appended to through a mapping";
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, message));
        }
        let moved = self.relocate(self.room())?;
        if moved.write(bytes, offset) { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// Lengthens the file; the new bytes are zeros, whatever lay there before the file was cut.
    fn extend(&mut self, len: usize) -> io::Result<()> {
        if self.room() < len {
            self.relocate(len)?;
        } else if let Some(region) = &self.region
            && region.touched() > self.len
            && !region.clear(self.len..len)
        {
            self.relocate(self.room())?;
        }
        self.changed(self.len);
        self.set_end(len);
        Ok(())
    }

    fn set_end(&mut self, len: usize) {
        self.len = len;
        if let Some(region) = &self.region {
            region.back(len);
        }
    }

    fn set_len(&mut self, len: usize) -> io::Result<()> {
        if len > self.len {
            return self.extend(len);
        }
        self.changed(len);
        self.set_end(len);
        if len == 0 {
            self.region = None;
        }
        Ok(())
    }

    fn fill(&mut self, bytes: Vec<u8>, len: usize) -> io::Result<()> {
        self.write(&bytes, 0)?;
        self.set_len(len)?;
        self.sync();
        Ok(())
    }

    fn sync(&mut self) {
        let Some(durable) = &self.durable else { return };
        let from = durable.changed_from.min(durable.bytes.len());
        // Asked before the bytes are copied: what a writer publishes meanwhile may be missing from them.
        let quiet = self.quiet();
        let tail = self.tail(from);
        let len = self.len;
        if let Some(durable) = &mut self.durable {
            durable.bytes.truncate(from);
            durable.bytes.extend_from_slice(&tail);
            durable.len = len;
            durable.changed_from = quiet.min(durable.bytes.len());
        }
    }

    fn sync_range(&mut self, range: Range<usize>) {
        let Some(durable) = &self.durable else { return };
        let changed_from = durable.changed_from;
        let from = range.start / PAGE * PAGE;
        let end = range.end.next_multiple_of(PAGE);
        let quiet = self.quiet();
        let mut pages = self.tail(from);
        pages.truncate(end.saturating_sub(from));
        let len = self.len;
        if let Some(durable) = &mut self.durable {
            let last = from + pages.len();
            durable.bytes.resize(durable.bytes.len().max(last), 0);
            if let Some(old) = durable.bytes.get_mut(from..last) {
                old.copy_from_slice(&pages);
            }
            durable.len = len;
            if changed_from >= from {
                durable.changed_from = quiet.min(last);
            }
        }
    }

    /// Up to where bytes change only with the knowledge of this file, not by a mapping's writer.
    fn quiet(&self) -> usize {
        let written_to = self.region.as_ref().filter(|region| region.stored_to());
        written_to.map_or(usize::MAX, |region| region.frozen())
    }

    fn check_len(&self, len: usize) -> io::Result<()> {
        if len <= self.len {
            return Ok(());
        }
        let message = format!("the file has {} bytes, not {len}", self.len);
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, message))
    }

    /// The region with room for at least `len` bytes, made if there is none yet.
    fn region(&mut self, len: usize) -> io::Result<Arc<Region>> {
        match &self.region {
            Some(region) if region.len() >= len => Ok(Arc::clone(region)),
            _ => self.relocate(len),
        }
    }

    fn map(&mut self, len: usize) -> io::Result<Arc<Mapping>> {
        self.check_len(len)?;
        if let Some(mapping) = self.region(len)?.map(len) {
            return Ok(mapping);
        }
        // A writer is not through with these bytes: show them as they are now.
        let copy = Region::new(len)?;
        let mut bytes = self.tail(0);
        bytes.truncate(len);
        let mapping = if copy.write(&bytes, 0) { copy.map(len) } else { None };
        mapping.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    fn map_append(&mut self, len: usize, start: usize, access: Access) -> io::Result<MapWriter> {
        self.check_len(start)?;
        self.changed(start);
        let backed = self.len;
        if let Some(writer) = self.region(len)?.append(len, backed, start, access) {
            return Ok(writer);
        }
        let moved = self.relocate(self.room())?;
        moved.append(len, backed, start, access).ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }
}

#[derive(Debug)]
struct MemFile {
    node: Arc<Node>,
    shared: Arc<Shared>,
}

impl MemFile {
    fn change<T>(&self, change: impl FnOnce(&mut Content) -> io::Result<T>) -> io::Result<T> {
        let _moving = self.shared.still.read();
        change(&mut self.node.content.lock())
    }

    /// A change that lengthens the file to `end`, if there is space for that.
    fn lengthen<T>(&self, end: usize, change: impl FnOnce(&mut Content) -> io::Result<T>) -> io::Result<T> {
        let _moving = self.shared.still.read();
        let names = self.shared.names.lock();
        let free = names.free();
        // Where space ends this is held until it is done, so that nobody else takes the same.
        let _names = free.is_some().then_some(names);
        let mut content = self.node.content.lock();
        if free.is_some_and(|free| pages(end).saturating_sub(pages(content.len)) > free) {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "the memory's capacity is used up"));
        }
        change(&mut content)
    }
}

/// The pages that a file of this length takes, in bytes.
fn pages(len: usize) -> u64 {
    (len.div_ceil(PAGE) as u64).saturating_mul(PAGE as u64)
}

fn size(size: u64) -> io::Result<usize> {
    usize::try_from(size).map_err(|_| io::ErrorKind::FileTooLarge.into())
}

impl File for MemFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.node.content.lock().len as u64)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let content = self.node.content.lock();
        let offset = size(offset)?;
        let inside = offset.checked_add(buffer.len()).is_some_and(|end| end <= content.len);
        let region = content.region.as_ref().filter(|_| inside);
        let done = buffer.is_empty() || region.is_some_and(|region| region.read(buffer, offset));
        if done { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let offset = size(offset)?;
        self.lengthen(offset.saturating_add(bytes.len()), |content| content.write(bytes, offset))
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let len = size(len)?;
        self.lengthen(len, |content| if len > content.len { content.extend(len) } else { Ok(()) })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = size(len)?;
        self.lengthen(len, |content| content.set_len(len))
    }

    fn sync(&self) -> io::Result<()> {
        self.change(|content| {
            content.sync();
            Ok(())
        })
    }

    fn sync_range(&self, range: Range<u64>) -> io::Result<()> {
        let range = size(range.start)?..size(range.end)?;
        self.change(|content| {
            content.sync_range(range);
            Ok(())
        })
    }

    fn map(&self, len: usize) -> io::Result<Arc<Mapping>> {
        self.change(|content| content.map(len))
    }

    fn map_append(&self, len: usize, start: usize, access: Access) -> io::Result<MapWriter> {
        self.change(|content| content.map_append(len, start, access))
    }
}

/// The system's clocks, or clocks that a test moves.
#[derive(Debug)]
pub(super) struct Clock {
    start: Instant,
    manual: Option<Mutex<ManualClock>>,
}

#[derive(Debug)]
struct ManualClock {
    now: u64,
    elapsed: Duration,
    alarms: Vec<(Duration, Sender<Instant>)>,
}

impl Default for Clock {
    fn default() -> Self {
        Self { start: Instant::now(), manual: None }
    }
}

impl Clock {
    fn manual(now: u64) -> Self {
        let manual = ManualClock { now, elapsed: Duration::ZERO, alarms: Vec::new() };
        Self { manual: Some(Mutex::new(manual)), ..Self::default() }
    }

    fn now(&self) -> u64 {
        self.manual.as_ref().map_or_else(wall_clock, |manual| manual.lock().now)
    }

    fn elapsed(&self) -> Duration {
        self.manual.as_ref().map_or_else(|| self.start.elapsed(), |manual| manual.lock().elapsed)
    }

    fn alarm(&self, after: Duration) -> Receiver<Instant> {
        let Some(manual) = &self.manual else {
            return crossbeam_channel::after(after);
        };
        let (sender, receiver) = bounded(1);
        let mut manual = manual.lock();
        let due = manual.elapsed.saturating_add(after);
        manual.alarms.push((due, sender));
        manual.ring(self.start);
        receiver
    }

    fn advance(&self, by: Duration) {
        if let Some(manual) = &self.manual {
            let mut manual = manual.lock();
            let micros = u64::try_from(by.as_micros()).unwrap_or(u64::MAX);
            manual.now = manual.now.saturating_add(micros);
            manual.elapsed = manual.elapsed.saturating_add(by);
            manual.ring(self.start);
        }
    }

    fn set_now(&self, micros: u64) {
        if let Some(manual) = &self.manual {
            manual.lock().now = micros;
        }
    }
}

impl ManualClock {
    fn ring(&mut self, start: Instant) {
        let elapsed = self.elapsed;
        for (_, sender) in self.alarms.extract_if(.., |(due, _)| *due <= elapsed) {
            // It has room for the one message, and nobody may be waiting any more.
            let _ = sender.try_send(start + elapsed);
        }
    }
}

#[cfg(test)]
mod tests;
