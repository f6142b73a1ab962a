//! The disk: `std::fs`, and system calls that it lacks.

use std::collections::hash_map::RandomState;
use std::ffi::OsString;
use std::fs::{self, File as StdFile, OpenOptions, TryLockError};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam_channel::Receiver;
use parking_lot::{Mutex, MutexGuard};
use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use crate::vfs::{Access, File, LockGuard, MapWriter, Mapping, Vfs};

/// Where [`Vfs::elapsed`] counts from.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Files of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiskVfs;

impl DiskVfs {
    /// There is one disk.
    pub fn new() -> Self {
        Self
    }
}

/// All of a file, or of what a pipe gives; `None` if it is longer than this.
pub(crate) fn read_at_most(path: &Path, most: usize) -> io::Result<Option<Vec<u8>>> {
    let file = StdFile::open(path)?;
    let len = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    // It is read without being moved: it may be secret.
    let mut bytes = Vec::with_capacity(len.min(most) + 1);
    file.take(most as u64 + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() <= most).then_some(bytes))
}

impl Vfs for DiskVfs {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let missing: Vec<&Path> =
            dir.ancestors().take_while(|path| !is_here(path) && !path.is_dir()).collect();
        fs::create_dir_all(dir)?;
        // A new name lives in its parent, so that is what must be durable, from the top down.
        for path in missing.iter().rev() {
            if let Some(parent) = path.parent() {
                self.sync_dir(parent)?;
            }
        }
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            // A name that is not UTF-8 is none of ours.
            if let (false, Ok(name)) = (entry.file_type()?.is_dir(), entry.file_name().into_string()) {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        Ok(Arc::new(DiskFile::new(file)))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(Arc::new(DiskFile::new(file)))
    }

    fn open_to_read(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(DiskFile::new(StdFile::open(path)?)))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        StdFile::open(if is_here(dir) { Path::new(".") } else { dir })?.sync_all()
    }

    fn lock(&self, path: &Path) -> io::Result<Result<Box<dyn LockGuard>, Option<u32>>> {
        // Not truncated when opened: it may be another owner's, and its content names that owner.
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => {
                match note_owner(&file) {
                    // It is only told to others: the lock is held, and a full disk must not keep anybody out.
                    Err(error) if error.kind() != io::ErrorKind::StorageFull => Err(error),
                    _ => Ok(Ok(Box::new(DiskLock { file }))),
                }
            }
            Err(TryLockError::WouldBlock) => Ok(Err(owner(&mut file))),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn free_space(&self, dir: &Path) -> io::Result<Option<u64>> {
        let found = rustix::fs::statvfs(if is_here(dir) { Path::new(".") } else { dir })?;
        // Where nothing is known of the whole, nothing is of the part.
        let known = found.f_blocks > 0;
        Ok(known.then(|| found.f_bavail.saturating_mul(found.f_frsize)))
    }

    fn now(&self) -> u64 {
        wall_clock()
    }

    fn elapsed(&self) -> Duration {
        START.elapsed()
    }

    fn alarm(&self, after: Duration) -> Receiver<Instant> {
        crossbeam_channel::after(after)
    }

    fn random(&self) -> u64 {
        random()
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        let mut missing: Vec<OsString> = Vec::new();
        let mut existing = std::path::absolute(path)?;
        loop {
            match existing.canonicalize() {
                Ok(found) => {
                    return Ok(missing.iter().rev().fold(found, |path, name| path.join(name)));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let name = existing.file_name().map(OsString::from).ok_or(error)?;
                    missing.push(name);
                    existing.pop();
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// Whether a path is empty: what `parent` gives for a bare name, and means the current directory.
fn is_here(path: &Path) -> bool {
    path.as_os_str().is_empty()
}

/// Writes this process's id into its lock file: over what is there, for that takes no new space.
fn note_owner(file: &StdFile) -> io::Result<()> {
    let text = std::process::id().to_string();
    file.write_all_at(text.as_bytes(), 0)?;
    file.set_len(text.len() as u64)
}

/// The process id in a lock file.
fn owner(file: &mut StdFile) -> Option<u32> {
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// Microseconds since the Unix epoch.
pub(super) fn wall_clock() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// Random bits from the keys that the standard library draws for its hash tables: new ones each time.
pub(super) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// The lock goes with the file handle, and so with the process.
#[derive(Debug)]
struct DiskLock {
    file: StdFile,
}

impl Drop for DiskLock {
    fn drop(&mut self) {
        // Closing alone is not enough: a process that another thread is just starting holds a copy of every
        // handle, and the lock with it, up to the moment its program runs.
        let _ = self.file.unlock();
    }
}

impl LockGuard for DiskLock {}

#[derive(Debug)]
struct DiskFile {
    file: StdFile,
    /// What was mapped through this handle: what those have published must not be written again.
    mappings: Mutex<Vec<Weak<Mapping>>>,
    /// Held while the length changes, so that what is given back is what was had. Taken before `mappings`.
    length: Mutex<()>,
}

impl DiskFile {
    fn new(file: StdFile) -> Self {
        Self { file, mappings: Mutex::default(), length: Mutex::default() }
    }

    /// The mappings made through this handle, kept from becoming more as long as they are borrowed; refuses
    /// if one of them has published the byte at `offset`, which so never changes.
    fn unpublished_from(&self, offset: u64) -> io::Result<MutexGuard<'_, Vec<Weak<Mapping>>>> {
        let mappings = self.mappings.lock();
        let published = living(&mappings).map(|mapping| mapping.published()).max();
        if published.is_some_and(|published| offset < published as u64) {
            let message = format!("bytes from {offset} on are mapped and published");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        Ok(mappings)
    }

    /// A mapping beyond the end of its file would be a signal on first touch, not an error.
    fn check_len(&self, len: usize) -> io::Result<()> {
        let found = self.len()?;
        if found < len as u64 {
            let message = format!("the file has {found} bytes, not {len}");
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
        }
        Ok(())
    }
}

impl File for DiskFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let _mappings = self.unpublished_from(offset)?;
        self.file.write_all_at(bytes, offset)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        if len == 0 {
            return Ok(());
        }
        let _length = self.length.lock();
        let before = self.len()?;
        if let Err(error) = reserve(&self.file, len) {
            // Some file systems keep as much as they had, as a longer file. Nothing was mapped of it.
            if before < len {
                let _ = self.file.set_len(before);
            }
            return Err(error);
        }
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        living(&self.mappings.lock()).for_each(|mapping| mapping.back(len));
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let _length = self.length.lock();
        let mappings = self.unpublished_from(len)?;
        // First, so that no writer touches a byte that is gone.
        let cut = usize::try_from(len).unwrap_or(usize::MAX);
        living(&mappings).for_each(|mapping| mapping.cut(cut));
        self.file.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn sync_range(&self, range: Range<u64>) -> io::Result<()> {
        let mappings: Vec<_> = living(&self.mappings.lock()).collect();
        let (Ok(start), Ok(end)) = (usize::try_from(range.start), usize::try_from(range.end)) else {
            return self.sync();
        };
        let synced = mappings.iter().find_map(|mapping| mapping.sync(start..end));
        synced.unwrap_or_else(|| self.sync())
    }

    fn will_read(&self, range: Range<u64>) {
        let len = std::num::NonZeroU64::new(range.end.saturating_sub(range.start));
        if len.is_some() {
            // Advice: without it the bytes come when they are read.
            let _ = rustix::fs::fadvise(&self.file, range.start, len, rustix::fs::Advice::WillNeed);
        }
    }

    fn map(&self, len: usize) -> io::Result<Arc<Mapping>> {
        self.check_len(len)?;
        let mut mappings = self.mappings.lock();
        let mapping = Mapping::of_file(&self.file, len, len, len, Access::Read)?;
        remember(&mut mappings, &mapping);
        Ok(mapping)
    }

    fn map_append(&self, len: usize, start: usize, access: Access) -> io::Result<MapWriter> {
        let mut mappings = self.unpublished_from(start as u64)?;
        let backed = usize::try_from(self.len()?).unwrap_or(usize::MAX);
        let writer = MapWriter::of_file(&self.file, len, backed, start, access)?;
        remember(&mut mappings, writer.mapping());
        Ok(writer)
    }
}

fn living(mappings: &[Weak<Mapping>]) -> impl Iterator<Item = Arc<Mapping>> {
    mappings.iter().filter_map(Weak::upgrade)
}

fn remember(mappings: &mut Vec<Weak<Mapping>>, mapping: &Arc<Mapping>) {
    mappings.retain(|mapping| mapping.strong_count() > 0);
    mappings.push(Arc::downgrade(mapping));
}

fn reserve(file: &StdFile, len: u64) -> io::Result<()> {
    loop {
        match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, len) {
            Err(Errno::INTR) => continue,
            Err(Errno::OPNOTSUPP) => return write_zeros(file, len),
            done => return Ok(done?),
        }
    }
}

/// Reserves space on a file system that cannot, by writing zeros from the end of the file on.
fn write_zeros(file: &StdFile, len: u64) -> io::Result<()> {
    let zeros = [0; 64 << 10];
    let mut offset = file.metadata()?.len();
    while offset < len {
        let count = (len - offset).min(zeros.len() as u64);
        file.write_all_at(zeros.get(..count as usize).unwrap_or(&zeros), offset)?;
        offset += count;
    }
    Ok(())
}

#[cfg(test)]
#[cfg(not(miri))]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// A directory of this test's own, removed at its end.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new() -> Self {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("siltstone-disk-{}-{number}", std::process::id());
            let dir = std::env::temp_dir().join(name);
            fs::create_dir_all(&dir).unwrap();
            Self(dir)
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.join(name)
        }

        fn file(&self) -> Arc<dyn File> {
            DiskVfs.create(&self.path("file")).unwrap()
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn bytes_come_back() {
        let scratch = Scratch::new();
        let file = scratch.file();
        assert!(file.is_empty().unwrap());
        file.write_all_at(b"world", 6).unwrap();
        file.write_all_at(b"hello ", 0).unwrap();
        file.sync().unwrap();
        DiskVfs.sync_dir(&scratch.0).unwrap();
        let mut seen = [0; 11];
        DiskVfs.open(&scratch.path("file")).unwrap().read_exact_at(&mut seen, 0).unwrap();
        assert_eq!(&seen, b"hello world");
        let error = file.read_exact_at(&mut seen, 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn names_are_created_listed_renamed_and_removed() {
        let scratch = Scratch::new();
        let (a, b) = (scratch.path("a"), scratch.path("b"));
        DiskVfs.create(&a).unwrap().write_all_at(b"a", 0).unwrap();
        assert_eq!(DiskVfs.create(&a).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        DiskVfs.create(&b).unwrap();
        DiskVfs.create_dir_all(&scratch.path("dir")).unwrap();
        DiskVfs.rename(&a, &b).unwrap();
        assert_eq!(DiskVfs.list(&scratch.0).unwrap(), ["b"]);
        assert_eq!(DiskVfs.open(&b).unwrap().len().unwrap(), 1);
        DiskVfs.remove(&b).unwrap();
        for error in [DiskVfs.open(&b).unwrap_err(), DiskVfs.remove(&b).unwrap_err()] {
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
        }
    }

    #[test]
    fn a_linked_file_has_two_names() {
        let scratch = Scratch::new();
        let (a, b) = (scratch.path("a"), scratch.path("b"));
        DiskVfs.create(&a).unwrap().write_all_at(b"one", 0).unwrap();
        DiskVfs.link(&a, &b).unwrap();
        assert_eq!(DiskVfs.link(&a, &b).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        DiskVfs.open(&b).unwrap().write_all_at(b"two", 0).unwrap();
        assert_eq!(fs::read(&a).unwrap(), b"two");
        DiskVfs.remove(&a).unwrap();
        assert_eq!(fs::read(&b).unwrap(), b"two");
        assert_eq!(DiskVfs.link(&a, &b).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn directories_are_made_with_their_parents_and_twice() {
        let scratch = Scratch::new();
        let dir = scratch.path("x/y/z");
        DiskVfs.create_dir_all(&dir).unwrap();
        DiskVfs.create_dir_all(&dir).unwrap();
        DiskVfs.create_dir_all(Path::new("")).unwrap();
        DiskVfs.sync_dir(Path::new("")).unwrap();
        assert!(dir.is_dir());
        assert!(DiskVfs.create_dir_all(&scratch.path("file")).is_ok());
        DiskVfs.create(&scratch.path("plain")).unwrap();
        assert!(DiskVfs.create_dir_all(&scratch.path("plain")).is_err());
    }

    #[test]
    fn space_is_zeros_and_keeps_what_was_there() {
        let scratch = Scratch::new();
        let file = scratch.file();
        file.write_all_at(b"abc", 0).unwrap();
        file.allocate(0).unwrap();
        file.allocate(10_000).unwrap();
        file.allocate(5_000).unwrap();
        assert_eq!(file.len().unwrap(), 10_000);
        file.set_len(10).unwrap();
        write_zeros(&DiskVfs::raw(&scratch), 200_000).unwrap();
        let mapping = file.map(200_000).unwrap();
        assert_eq!(mapping.get(0..5), Some(&b"abc\0\0"[..]));
        assert!(mapping.bytes()[3..].iter().all(|byte| *byte == 0));
    }

    impl DiskVfs {
        fn raw(scratch: &Scratch) -> StdFile {
            OpenOptions::new().write(true).open(scratch.path("file")).unwrap()
        }
    }

    #[test]
    fn a_mapped_append_is_in_the_file_and_outlives_its_name() {
        let scratch = Scratch::new();
        let file = scratch.file();
        file.allocate(8_192).unwrap();
        let mut writer = file.map_append(8_192, 0, Access::Write).unwrap();
        writer.mapping().populate(100..8_192).unwrap();
        writer.spare(5).unwrap().copy_from_slice(b"hello");
        assert!(writer.publish(5));
        let mut seen = [0; 5];
        file.read_exact_at(&mut seen, 0).unwrap();
        assert_eq!(&seen, b"hello");
        file.sync().unwrap();
        file.set_len(5).unwrap();
        let mapping = Arc::clone(writer.mapping());
        DiskVfs.remove(&scratch.path("file")).unwrap();
        drop((file, writer));
        assert_eq!(mapping.bytes(), b"hello");
    }

    #[test]
    fn a_written_append_is_seen_through_the_mapping() {
        let scratch = Scratch::new();
        let file = scratch.file();
        file.allocate(100).unwrap();
        file.write_all_at(b"head", 0).unwrap();
        let mut writer = file.map_append(100, 4, Access::Read).unwrap();
        assert!(writer.spare(1).is_none());
        file.write_all_at(b"tail", 4).unwrap();
        assert_eq!(writer.mapping().bytes(), b"head");
        assert!(writer.publish(4));
        assert_eq!(writer.mapping().bytes(), b"headtail");
    }

    #[test]
    fn published_bytes_are_not_written_again() {
        let scratch = Scratch::new();
        let file = scratch.file();
        file.allocate(100).unwrap();
        let mapping = file.map(50).unwrap();
        let refused = [
            file.write_all_at(b"x", 49).unwrap_err(),
            file.set_len(49).unwrap_err(),
            file.map_append(100, 0, Access::Write).unwrap_err(),
        ];
        assert!(refused.iter().all(|error| error.kind() == io::ErrorKind::InvalidInput));
        file.write_all_at(b"x", 50).unwrap();
        drop(mapping);
        file.write_all_at(b"x", 0).unwrap();
    }

    #[test]
    fn no_mapping_reaches_beyond_its_file() {
        let scratch = Scratch::new();
        let file = scratch.file();
        assert_eq!(file.map(0).unwrap().bytes(), b"");
        assert_eq!(file.map(1).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(file.map_append(10, 1, Access::Read).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn a_writer_gets_as_far_as_there_is_space() {
        let scratch = Scratch::new();
        let file = scratch.file();
        file.allocate(5_000).unwrap();
        let mut writer = file.map_append(1 << 20, 0, Access::Write).unwrap();
        assert!(writer.spare(5_001).is_none());
        writer.spare(5_000).unwrap().fill(b'a');
        assert!(!writer.publish(5_001) && writer.publish(5_000));
        assert!(writer.spare(1).is_none());
        file.allocate(20_000).unwrap();
        writer.spare(15_000).unwrap().fill(b'b');
        assert!(writer.publish(15_000));
        writer.mapping().populate(0..1 << 20).unwrap();
        file.set_len(20_000).unwrap();
        assert!(writer.spare(1).is_none());
        assert_eq!(fs::read(scratch.path("file")).unwrap(), writer.mapping().bytes());
    }

    #[test]
    fn one_owner_holds_the_lock() {
        let scratch = Scratch::new();
        let path = scratch.path("LOCK");
        fs::write(&path, "99999999 left by an owner with a longer number").unwrap();
        let guard = DiskVfs.lock(&path).unwrap().unwrap();
        assert_eq!(DiskVfs.lock(&path).unwrap().unwrap_err(), Some(std::process::id()));
        drop(guard);
        assert_eq!(fs::read_to_string(&path).unwrap(), std::process::id().to_string());
        let _guard = DiskVfs.lock(&path).unwrap().unwrap();
    }

    #[test]
    fn one_place_has_one_canonical_path() {
        let scratch = Scratch::new();
        let real = DiskVfs.canonical(&scratch.0).unwrap();
        let link = scratch.path("link");
        std::os::unix::fs::symlink(&scratch.0, &link).unwrap();
        assert_eq!(DiskVfs.canonical(&link).unwrap(), real);
        assert_eq!(DiskVfs.canonical(&link.join("no/such")).unwrap(), real.join("no/such"));
        assert!(DiskVfs.canonical(Path::new("nothing-of-this-name")).unwrap().is_absolute());
    }

    #[test]
    fn clocks_and_chance() {
        let year_2020 = 1_577_836_800_000_000;
        assert!(DiskVfs.now() > year_2020);
        let before = DiskVfs.elapsed();
        assert!(DiskVfs.elapsed() >= before);
        assert!(DiskVfs.alarm(Duration::ZERO).recv().is_ok());
        assert_ne!(DiskVfs.random(), DiskVfs.random());
    }
}
