//! A place whose operations are written down, and fail when a test says so.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use parking_lot::Mutex;

use crate::vfs::{Access, File, LockGuard, MapWriter, Mapping, Vfs};

/// How an operation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// With an input/output error, and nothing done.
    IoError,
    /// With [`io::ErrorKind::StorageFull`], and nothing done.
    NoSpace,
    /// With an input/output error, after half of the bytes of a write.
    ShortWrite,
    /// With [`io::ErrorKind::Unsupported`], as where there is no such operation.
    Unsupported,
    /// As a sync fails: with an input/output error, and nothing known to be durable.
    SyncFailed,
}

impl Fault {
    fn error(self) -> io::Error {
        let (kind, message) = match self {
            Self::IoError => (io::ErrorKind::Other, "injected input/output error"),
            Self::NoSpace => (io::ErrorKind::StorageFull, "injected: no space left"),
            Self::ShortWrite => (io::ErrorKind::Other, "injected error in the middle of a write"),
            Self::Unsupported => (io::ErrorKind::Unsupported, "injected: there is no such operation"),
            Self::SyncFailed => (io::ErrorKind::Other, "injected failure to sync"),
        };
        io::Error::new(kind, message)
    }
}

/// What is counted, written down and made to fail: whatever may change something, or need space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OperationKind {
    /// [`Vfs::create_dir_all`]
    CreateDir,
    /// [`Vfs::create`]
    Create,
    /// [`Vfs::remove`]
    Remove,
    /// [`Vfs::rename`]
    Rename,
    /// [`Vfs::link`]
    Link,
    /// [`Vfs::sync_dir`]
    SyncDir,
    /// [`File::write_all_at`]
    Write,
    /// [`File::allocate`]
    Allocate,
    /// [`File::set_len`]
    SetLen,
    /// [`File::sync`], and [`File::sync_range`], which has a range.
    Sync,
    /// [`File::map`]
    Map,
    /// [`File::map_append`]
    MapAppend,
}

impl OperationKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::CreateDir => "create-dir",
            Self::Create => "create",
            Self::Remove => "remove",
            Self::Rename => "rename",
            Self::Link => "link",
            Self::SyncDir => "sync-dir",
            Self::Write => "write",
            Self::Allocate => "allocate",
            Self::SetLen => "set-len",
            Self::Sync => "sync",
            Self::Map => "map",
            Self::MapAppend => "map-append",
        }
    }
}

/// One operation of the trace. As text: `sync 000001.log`, `write MANIFEST-000002 0+64`, `sync-dir .`,
/// `rename a -> b`, `link a -> b`, and a `!` at the end if it was made to fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// What was done.
    pub kind: OperationKind,
    /// To which file, without its directory; `.` for a directory.
    pub name: String,
    /// The new name, of a rename or a link.
    pub target: Option<String>,
    /// From which byte on; where a mapping's unpublished part starts.
    pub offset: u64,
    /// How many bytes, or the length asked for.
    pub len: u64,
    /// How it was made to fail.
    pub fault: Option<Fault>,
}

impl Operation {
    fn new(kind: OperationKind, name: String) -> Self {
        Self { kind, name, target: None, offset: 0, len: 0, fault: None }
    }

    fn on_dir(kind: OperationKind) -> Self {
        Self::new(kind, ".".to_owned())
    }

    fn at(self, offset: u64, len: u64) -> Self {
        Self { offset, len, ..self }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.as_str(), self.name)?;
        if let Some(target) = &self.target {
            write!(f, " -> {target}")?;
        }
        match self.kind {
            OperationKind::Sync if self.len == 0 => {}
            OperationKind::Write | OperationKind::MapAppend | OperationKind::Sync => {
                write!(f, " {}+{}", self.offset, self.len)?
            }
            OperationKind::Allocate | OperationKind::SetLen | OperationKind::Map => {
                write!(f, " {}", self.len)?;
            }
            _ => {}
        }
        if self.fault.is_some() { f.write_str(" !") } else { Ok(()) }
    }
}

/// Which operation fails, and how.
#[derive(Clone, Debug)]
pub struct Injection {
    fault: Fault,
    after: usize,
    sticky: bool,
    kind: Option<OperationKind>,
    suffix: String,
    spent: bool,
}

impl Injection {
    /// The first operation from now on fails in this way.
    pub fn new(fault: Fault) -> Self {
        Self { fault, after: 0, sticky: false, kind: None, suffix: String::new(), spent: false }
    }

    /// The first so many operations that would fail do not.
    pub fn after(self, count: usize) -> Self {
        Self { after: count, ..self }
    }

    /// All later ones fail too.
    pub fn sticky(self) -> Self {
        Self { sticky: true, ..self }
    }

    /// Only operations of this kind count and fail.
    pub fn kind(self, kind: OperationKind) -> Self {
        Self { kind: Some(kind), ..self }
    }

    /// Only operations on files whose name (old or new) ends like this count and fail.
    pub fn suffix(self, suffix: impl Into<String>) -> Self {
        Self { suffix: suffix.into(), ..self }
    }

    fn hits(&mut self, operation: &Operation) -> Option<Fault> {
        let ends = |name: &String| name.ends_with(&self.suffix);
        let named = ends(&operation.name) || operation.target.as_ref().is_some_and(ends);
        if self.spent || !named || self.kind.is_some_and(|kind| kind != operation.kind) {
            return None;
        }
        if self.after > 0 {
            self.after -= 1;
            return None;
        }
        self.spent = !self.sticky;
        Some(self.fault)
    }
}

/// Called after each operation that succeeded, with its place in the trace.
type Hook = Arc<dyn Fn(usize, &Operation) + Send + Sync>;

/// Another place, with a trace of its operations, and errors where they are injected. Clones share both.
/// What is stored through a mapping is no operation.
#[derive(Clone, Debug)]
pub struct FaultVfs {
    inner: Arc<dyn Vfs>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    trace: Vec<Operation>,
    injections: Vec<Injection>,
    /// What cannot be read: of files whose names end like this, these bytes.
    spoiled: Vec<(String, Range<u64>)>,
    hook: Option<Hook>,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("State");
        shown.field("operations", &self.trace.len()).field("injections", &self.injections);
        shown.finish_non_exhaustive()
    }
}

impl State {
    fn begin(&mut self, mut operation: Operation) -> (usize, Operation) {
        // Each injection counts for itself, so all of them are asked.
        let hits = self.injections.iter_mut().map(|injection| injection.hits(&operation));
        let fault = hits.fold(None, Option::or);
        operation.fault = fault;
        self.trace.push(operation.clone());
        (self.trace.len() - 1, operation)
    }
}

impl Shared {
    /// Writes the operation down, then does it or fails. `half` is done before a short write fails.
    fn run<T>(
        &self,
        operation: Operation,
        half: impl FnOnce(),
        action: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        let (index, operation) = self.state.lock().begin(operation);
        if let Some(fault) = operation.fault {
            if fault == Fault::ShortWrite {
                half();
            }
            return Err(fault.error());
        }
        let done = action()?;
        // Called without the lock: a hook may look at the trace, or use the place.
        let hook = self.state.lock().hook.clone();
        if let Some(hook) = hook {
            hook(index, &operation);
        }
        Ok(done)
    }
}

impl FaultVfs {
    /// Wraps another place. Nothing fails until something is injected.
    pub fn new(inner: Arc<dyn Vfs>) -> Self {
        Self { inner, shared: Arc::default() }
    }

    /// Makes operations fail, besides those that were injected before.
    pub fn inject(&self, injection: Injection) {
        self.shared.state.lock().injections.push(injection);
    }

    /// Makes reads of these bytes fail, in files whose names end like this, as those of a bad sector do. Of mappings
    /// nothing fails.
    pub fn spoil(&self, suffix: impl Into<String>, bytes: Range<u64>) {
        self.shared.state.lock().spoiled.push((suffix.into(), bytes));
    }

    /// Nothing fails any more.
    pub fn heal(&self) {
        let mut state = self.shared.state.lock();
        state.injections.clear();
        state.spoiled.clear();
    }

    /// Calls this after each operation that succeeded, with its place in the trace, on the thread that
    /// did it. A hook that itself does operations here is called for them too.
    pub fn on_operation(&self, hook: impl Fn(usize, &Operation) + Send + Sync + 'static) {
        self.shared.state.lock().hook = Some(Arc::new(hook));
    }

    /// All operations so far, those that failed too.
    pub fn trace(&self) -> Vec<Operation> {
        self.shared.state.lock().trace.clone()
    }

    /// How many operations there were so far.
    pub fn operations(&self) -> usize {
        self.shared.state.lock().trace.len()
    }

    fn run<T>(&self, operation: Operation, action: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.shared.run(operation, || (), action)
    }

    fn wrap(&self, path: &Path, inner: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(FaultFile { name: name(path), inner, shared: Arc::clone(&self.shared) })
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

impl Vfs for FaultVfs {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.run(Operation::on_dir(OperationKind::CreateDir), || self.inner.create_dir_all(dir))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.inner.list(dir)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let operation = Operation::new(OperationKind::Create, name(path));
        Ok(self.wrap(path, self.run(operation, || self.inner.create(path))?))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(self.wrap(path, self.inner.open(path)?))
    }

    fn open_to_read(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(self.wrap(path, self.inner.open_to_read(path)?))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.run(Operation::new(OperationKind::Remove, name(path)), || self.inner.remove(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut operation = Operation::new(OperationKind::Rename, name(from));
        operation.target = Some(name(to));
        self.run(operation, || self.inner.rename(from, to))
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut operation = Operation::new(OperationKind::Link, name(from));
        operation.target = Some(name(to));
        self.run(operation, || self.inner.link(from, to))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.run(Operation::on_dir(OperationKind::SyncDir), || self.inner.sync_dir(dir))
    }

    fn lock(&self, path: &Path) -> io::Result<Result<Box<dyn LockGuard>, Option<u32>>> {
        self.inner.lock(path)
    }

    fn free_space(&self, dir: &Path) -> io::Result<Option<u64>> {
        self.inner.free_space(dir)
    }

    fn now(&self) -> u64 {
        self.inner.now()
    }

    fn elapsed(&self) -> Duration {
        self.inner.elapsed()
    }

    fn alarm(&self, after: Duration) -> Receiver<Instant> {
        self.inner.alarm(after)
    }

    fn pause(&self, time: Duration) {
        self.inner.pause(time);
    }

    fn random(&self) -> u64 {
        self.inner.random()
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        self.inner.canonical(path)
    }
}

#[derive(Debug)]
struct FaultFile {
    name: String,
    inner: Arc<dyn File>,
    shared: Arc<Shared>,
}

impl FaultFile {
    fn operation(&self, kind: OperationKind, offset: u64, len: u64) -> Operation {
        Operation::new(kind, self.name.clone()).at(offset, len)
    }

    fn run<T>(
        &self,
        kind: OperationKind,
        (offset, len): (u64, u64),
        action: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        self.shared.run(self.operation(kind, offset, len), || (), action)
    }
}

impl File for FaultFile {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset.saturating_add(buffer.len() as u64);
        let is_hit = |(suffix, bytes): &(String, Range<u64>)| {
            self.name.ends_with(suffix) && bytes.start < end && offset < bytes.end
        };
        if self.shared.state.lock().spoiled.iter().any(is_hit) {
            return Err(Fault::IoError.error());
        }
        self.inner.read_exact_at(buffer, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let operation = self.operation(OperationKind::Write, offset, bytes.len() as u64);
        let half = || {
            let (first, _) = bytes.split_at(bytes.len() / 2);
            // The write fails in any case.
            let _ = self.inner.write_all_at(first, offset);
        };
        self.shared.run(operation, half, || self.inner.write_all_at(bytes, offset))
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.run(OperationKind::Allocate, (0, len), || self.inner.allocate(len))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.run(OperationKind::SetLen, (0, len), || self.inner.set_len(len))
    }

    fn sync(&self) -> io::Result<()> {
        self.run(OperationKind::Sync, (0, 0), || self.inner.sync())
    }

    fn sync_range(&self, range: Range<u64>) -> io::Result<()> {
        let place = (range.start, range.end.saturating_sub(range.start));
        self.run(OperationKind::Sync, place, || self.inner.sync_range(range))
    }

    fn map(&self, len: usize) -> io::Result<Arc<Mapping>> {
        self.run(OperationKind::Map, (0, len as u64), || self.inner.map(len))
    }

    fn map_append(&self, len: usize, start: usize, access: Access) -> io::Result<MapWriter> {
        let place = (start as u64, len.saturating_sub(start) as u64);
        self.run(OperationKind::MapAppend, place, || self.inner.map_append(len, start, access))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vfs::MemVfs;

    fn vfs() -> FaultVfs {
        FaultVfs::new(Arc::new(MemVfs::new()))
    }

    fn create(vfs: &FaultVfs, name: &str) -> Arc<dyn File> {
        vfs.create(Path::new(name)).unwrap()
    }

    #[test]
    fn the_trace_tells_what_was_done() {
        let vfs = vfs();
        vfs.create_dir_all(Path::new("db")).unwrap();
        let file = create(&vfs, "db/000001.log");
        file.allocate(4096).unwrap();
        file.write_all_at(b"abcd", 8).unwrap();
        file.sync().unwrap();
        file.map_append(4096, 12, Access::Write).unwrap();
        file.set_len(12).unwrap();
        file.map(12).unwrap();
        vfs.sync_dir(Path::new("db")).unwrap();
        vfs.rename(Path::new("db/000001.log"), Path::new("db/000002.log")).unwrap();
        vfs.link(Path::new("db/000002.log"), Path::new("db/second")).unwrap();
        vfs.open(Path::new("db/000002.log")).unwrap();
        vfs.inject(Injection::new(Fault::IoError));
        vfs.remove(Path::new("db/000002.log")).unwrap_err();
        vfs.remove(Path::new("db/000002.log")).unwrap();
        let lines: Vec<String> = vfs.trace().iter().map(Operation::to_string).collect();
        let expected = [
            "create-dir .",
            "create 000001.log",
            "allocate 000001.log 4096",
            "write 000001.log 8+4",
            "sync 000001.log",
            "map-append 000001.log 12+4084",
            "set-len 000001.log 12",
            "map 000001.log 12",
            "sync-dir .",
            "rename 000001.log -> 000002.log",
            "link 000002.log -> second",
            "remove 000002.log !",
            "remove 000002.log",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn the_nth_operation_fails_once() {
        let vfs = vfs();
        let file = create(&vfs, "f");
        vfs.inject(Injection::new(Fault::NoSpace).after(1));
        file.write_all_at(b"a", 0).unwrap();
        let error = file.write_all_at(b"b", 0).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        file.write_all_at(b"", 0).unwrap();
        let mut seen = [0];
        file.read_exact_at(&mut seen, 0).unwrap();
        assert_eq!(&seen, b"a");
    }

    #[test]
    fn a_sticky_fault_stays_until_healed_and_only_where_it_belongs() {
        let vfs = vfs();
        let (log, other) = (create(&vfs, "1.log"), create(&vfs, "1.seg"));
        let broken = Injection::new(Fault::SyncFailed).kind(OperationKind::Sync).suffix(".log");
        vfs.inject(broken.sticky());
        log.write_all_at(b"a", 0).unwrap();
        other.sync().unwrap();
        assert!(log.sync().unwrap_err().to_string().contains("sync"));
        assert!(log.sync().is_err());
        vfs.heal();
        log.sync().unwrap();
    }

    #[test]
    fn a_short_write_leaves_half() {
        let vfs = vfs();
        let file = create(&vfs, "f");
        vfs.inject(Injection::new(Fault::ShortWrite).kind(OperationKind::Write));
        file.sync().unwrap();
        file.write_all_at(b"abcdef", 0).unwrap_err();
        assert_eq!(file.len().unwrap(), 3);
    }

    #[test]
    fn a_rename_is_found_by_its_new_name() {
        let vfs = vfs();
        create(&vfs, "a");
        vfs.inject(Injection::new(Fault::IoError).suffix("CURRENT"));
        assert!(vfs.rename(Path::new("a"), Path::new("CURRENT")).is_err());
    }

    #[test]
    fn the_hook_sees_what_succeeded_and_may_use_the_place() {
        let vfs = vfs();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (inside, list) = (vfs.clone(), Arc::clone(&seen));
        vfs.on_operation(move |index, operation| {
            assert!(inside.operations() > index);
            list.lock().push((index, operation.kind));
        });
        let file = create(&vfs, "f");
        vfs.inject(Injection::new(Fault::IoError));
        file.sync().unwrap_err();
        file.sync().unwrap();
        let expected = [(0, OperationKind::Create), (2, OperationKind::Sync)];
        assert_eq!(*seen.lock(), expected);
        // The hook holds the place that holds the hook.
        vfs.on_operation(|_, _| ());
    }
}
