//! What a power cut leaves of files in memory.
//!
//! Synced bytes and synced names survive. Whatever else was done survives by chance, each part for
//! itself: every changed 4 KiB page, the length of a file, every creation, removal and rename. That is
//! more than most disks would lose, and no less than any may.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use crate::vfs::MemVfs;
use crate::vfs::memory::{FileState, PAGE, Picture, Survivor};

/// Draws what a power cut could leave at this moment from a [`MemVfs::crashable`]. May be used while others
/// go on writing.
///
/// ```
/// use siltstone::vfs::{CrashVfs, MemVfs, Vfs};
/// let vfs = MemVfs::crashable();
/// vfs.create("kept".as_ref())?;
/// vfs.sync_dir("".as_ref())?;
/// vfs.create("lost".as_ref())?;
/// let left = CrashVfs::new(&vfs).nothing_unsynced()?;
/// assert_eq!(left.list("".as_ref())?, ["kept"]);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct CrashVfs {
    source: MemVfs,
}

impl CrashVfs {
    /// Of the files of this place, which must have been made to be crashable.
    pub fn new(source: &MemVfs) -> Self {
        Self { source: source.clone() }
    }

    /// All that is synced, and nothing else.
    pub fn nothing_unsynced(&self) -> io::Result<MemVfs> {
        self.draw(&mut Chance::never())
    }

    /// All that was done, synced or not: what a killed process leaves.
    pub fn everything(&self) -> io::Result<MemVfs> {
        self.draw(&mut Chance::always())
    }

    /// All that is synced, and by chance some of the rest: nothing, everything, little, half or most. One
    /// seed gives one image.
    pub fn image(&self, seed: u64) -> io::Result<MemVfs> {
        self.draw(&mut Chance::seeded(seed))
    }

    fn draw(&self, chance: &mut Chance) -> io::Result<MemVfs> {
        let picture = self.source.picture().ok_or_else(|| {
            let message = "no record of what is durable: make it with MemVfs::crashable";
            io::Error::new(io::ErrorKind::Unsupported, message)
        })?;
        let Picture { dirs, journal, states, clock } = picture;
        let mut names = journal.durable;
        for change in journal.pending {
            if chance.survives() {
                change.apply(&mut names);
            }
        }
        // A file of two names is drawn once.
        let mut places = BTreeMap::new();
        let mut files: Vec<Survivor> = Vec::new();
        for (path, node) in names {
            let place = *places.entry(Arc::as_ptr(&node)).or_insert(files.len());
            if place == files.len() {
                let state = states.get(&Arc::as_ptr(&node));
                files.push(state.map_or_else(Default::default, |state| survivor(state, chance)));
            }
            files[place].names.push(path);
        }
        MemVfs::restored(dirs, files, clock)
    }
}

/// The bytes and the length that are left of a file.
fn survivor(state: &FileState, chance: &mut Chance) -> Survivor {
    let len = surviving_len(state, chance);
    let end = state.bytes.len().max(state.durable_bytes.len());
    let mut bytes = Vec::with_capacity(end);
    for start in (0..end).step_by(PAGE) {
        let stop = (start + PAGE).min(end);
        let (new, old) = (page(&state.bytes, start, stop), page(&state.durable_bytes, start, stop));
        // Where the file was cut nothing new was written, so if the cut is lost the old bytes are back.
        let written = start < state.len && new != old;
        let kept = if written && chance.survives() { new } else { old };
        bytes.extend_from_slice(kept);
        bytes.resize(stop, 0);
    }
    bytes.truncate(len);
    Survivor { names: Vec::new(), bytes, len }
}

/// As much of a page as the bytes reach.
fn page(bytes: &[u8], start: usize, stop: usize) -> &[u8] {
    let stop = stop.min(bytes.len());
    bytes.get(start.min(stop)..stop).unwrap_or_default()
}

/// The new length, the old one, or a page boundary in between.
fn surviving_len(state: &FileState, chance: &mut Chance) -> usize {
    let (old, new) = (state.durable_len, state.len);
    if old == new || chance.survives() {
        return new;
    }
    let (low, high) = (old.min(new), old.max(new));
    let first = low / PAGE + 1;
    let boundaries = (high.div_ceil(PAGE)).saturating_sub(first);
    if boundaries == 0 || !chance.survives() {
        return old;
    }
    (first + chance.below(boundaries)) * PAGE
}

/// Seeded chance: splitmix64, and how much of 256 survives.
struct Chance {
    state: u64,
    rate: u64,
}

impl Chance {
    fn never() -> Self {
        Self { state: 0, rate: 0 }
    }

    fn always() -> Self {
        Self { state: 0, rate: 256 }
    }

    fn seeded(seed: u64) -> Self {
        let mut chance = Self { state: seed, rate: 0 };
        chance.rate = match chance.next() % 16 {
            0 => 0,
            1 => 256,
            2..5 => 32,
            5..8 => 224,
            _ => 128,
        };
        chance
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn survives(&mut self) -> bool {
        self.next() % 256 < self.rate
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vfs::{Access, File, Vfs};
    use std::collections::BTreeSet;
    use std::path::Path;

    fn create(vfs: &MemVfs, name: &str, bytes: &[u8]) -> Arc<dyn File> {
        let file = vfs.create(Path::new(name)).unwrap();
        file.write_all_at(bytes, 0).unwrap();
        file
    }

    fn sync_dir(vfs: &MemVfs) {
        vfs.sync_dir(Path::new("")).unwrap();
    }

    fn names(vfs: &MemVfs) -> Vec<String> {
        vfs.list(Path::new("")).unwrap()
    }

    fn read(vfs: &MemVfs, name: &str) -> Vec<u8> {
        let file = vfs.open(Path::new(name)).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    }

    #[test]
    fn what_is_synced_survives_and_the_rest_need_not() {
        let vfs = MemVfs::crashable();
        vfs.create_dir_all(Path::new("empty")).unwrap();
        let file = create(&vfs, "a", b"synced");
        file.sync().unwrap();
        sync_dir(&vfs);
        file.write_all_at(b"SY and more", 0).unwrap();
        create(&vfs, "b", b"new").sync().unwrap();
        let crash = CrashVfs::new(&vfs);
        let nothing = crash.nothing_unsynced().unwrap();
        assert_eq!(names(&nothing), ["a"]);
        assert_eq!(read(&nothing, "a"), b"synced");
        assert_eq!(nothing.list(Path::new("empty")).unwrap(), [""; 0]);
        let everything = crash.everything().unwrap();
        assert_eq!(names(&everything), ["a", "b"]);
        assert_eq!(read(&everything, "a"), b"SY and more");
        assert_eq!(read(&everything, "b"), b"new");
        assert_eq!(read(&vfs, "a"), b"SY and more");
    }

    #[test]
    fn an_image_is_durable_and_can_crash_again() {
        let vfs = MemVfs::crashable();
        create(&vfs, "a", b"one");
        let image = CrashVfs::new(&vfs).everything().unwrap();
        image.open(Path::new("a")).unwrap().write_all_at(b"two", 0).unwrap();
        let again = CrashVfs::new(&image).nothing_unsynced().unwrap();
        assert_eq!(read(&again, "a"), b"one");
    }

    #[test]
    fn a_file_that_was_synced_may_lack_its_name_but_never_the_reverse() {
        let vfs = MemVfs::crashable();
        create(&vfs, "a", b"bytes");
        sync_dir(&vfs);
        let left = CrashVfs::new(&vfs).nothing_unsynced().unwrap();
        assert_eq!(read(&left, "a"), b"");
    }

    #[test]
    fn pages_survive_each_for_itself() {
        let vfs = MemVfs::crashable();
        let file = create(&vfs, "a", &[1; 4 * PAGE]);
        file.sync().unwrap();
        sync_dir(&vfs);
        file.write_all_at(&[2; 5 * PAGE], 0).unwrap();
        let crash = CrashVfs::new(&vfs);
        let mut seen = BTreeSet::new();
        for seed in 0..64 {
            let bytes = read(&crash.image(seed).unwrap(), "a");
            assert!(bytes.len() == 4 * PAGE || bytes.len() == 5 * PAGE);
            let pages: Vec<u8> = bytes.chunks(PAGE).map(|page| page[0]).collect();
            assert!(bytes.chunks(PAGE).all(|page| page.iter().all(|byte| *byte == page[0])));
            assert!(pages[..4].iter().all(|page| matches!(page, 1 | 2)));
            assert!(pages.get(4).is_none_or(|page| matches!(page, 0 | 2)));
            assert_eq!(bytes, read(&crash.image(seed).unwrap(), "a"), "seed {seed} gives one image");
            seen.insert(pages);
        }
        assert!(seen.len() > 20, "{} images of 64", seen.len());
    }

    #[test]
    fn lengths_are_old_or_new_or_in_between() {
        let vfs = MemVfs::crashable();
        let file = create(&vfs, "a", &[1; 100]);
        file.sync().unwrap();
        sync_dir(&vfs);
        file.write_all_at(&[2; 3 * PAGE], 100).unwrap();
        let crash = CrashVfs::new(&vfs);
        let lens: BTreeSet<usize> =
            (0..200).map(|seed| read(&crash.image(seed).unwrap(), "a").len()).collect();
        let expected = [100, PAGE, 2 * PAGE, 3 * PAGE, 3 * PAGE + 100];
        assert_eq!(Vec::from_iter(lens), expected);
    }

    #[test]
    fn a_lost_cut_brings_the_old_bytes_back() {
        let vfs = MemVfs::crashable();
        let file = create(&vfs, "a", &[1; 2 * PAGE]);
        file.sync().unwrap();
        sync_dir(&vfs);
        file.set_len(PAGE as u64).unwrap();
        for seed in 0..32 {
            let bytes = read(&CrashVfs::new(&vfs).image(seed).unwrap(), "a");
            assert!(bytes == [1; PAGE] || bytes == [1; 2 * PAGE]);
        }
    }

    #[test]
    fn a_rename_replaces_wholly_or_not_at_all() {
        let vfs = MemVfs::crashable();
        create(&vfs, "CURRENT", b"old").sync().unwrap();
        sync_dir(&vfs);
        create(&vfs, "next", b"new").sync().unwrap();
        vfs.rename(Path::new("next"), Path::new("CURRENT")).unwrap();
        let crash = CrashVfs::new(&vfs);
        let mut seen = BTreeSet::new();
        for seed in 0..64 {
            let left = crash.image(seed).unwrap();
            seen.insert((read(&left, "CURRENT"), names(&left).len()));
        }
        let expected = [(b"new".to_vec(), 1), (b"old".to_vec(), 1), (b"old".to_vec(), 2)];
        assert_eq!(Vec::from_iter(seen), expected);
        sync_dir(&vfs);
        assert_eq!(read(&crash.nothing_unsynced().unwrap(), "CURRENT"), b"new");
    }

    #[test]
    fn a_link_is_a_second_name_of_the_one_file() {
        let vfs = MemVfs::crashable();
        create(&vfs, "a", b"bytes").sync().unwrap();
        sync_dir(&vfs);
        vfs.link(Path::new("a"), Path::new("b")).unwrap();
        let taken = vfs.link(Path::new("a"), Path::new("b")).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
        let seen: BTreeSet<usize> =
            (0..32).map(|seed| names(&CrashVfs::new(&vfs).image(seed).unwrap()).len()).collect();
        assert_eq!(Vec::from_iter(seen), [1, 2], "the second name is durable once its directory is");
        vfs.remove(Path::new("a")).unwrap();
        sync_dir(&vfs);
        vfs.link(Path::new("b"), Path::new("c")).unwrap();
        let left = CrashVfs::new(&vfs).everything().unwrap();
        assert_eq!(read(&left, "b"), b"bytes");
        left.open(Path::new("b")).unwrap().set_len(2).unwrap();
        assert_eq!(read(&left, "c"), b"by", "an image keeps them one file");
    }

    #[test]
    fn a_removal_may_come_undone_until_its_directory_is_synced() {
        let vfs = MemVfs::crashable();
        create(&vfs, "a", b"bytes").sync().unwrap();
        sync_dir(&vfs);
        vfs.remove(Path::new("a")).unwrap();
        let crash = CrashVfs::new(&vfs);
        assert_eq!(read(&crash.nothing_unsynced().unwrap(), "a"), b"bytes");
        assert!(names(&crash.everything().unwrap()).is_empty());
        sync_dir(&vfs);
        assert!(names(&crash.nothing_unsynced().unwrap()).is_empty());
    }

    #[test]
    fn a_mapped_append_is_durable_as_far_as_it_was_published_and_synced() {
        let vfs = MemVfs::crashable();
        let file = create(&vfs, "log", b"");
        file.allocate(100).unwrap();
        sync_dir(&vfs);
        let mut writer = file.map_append(100, 0, Access::Write).unwrap();
        for record in [b"aa", b"bb", b"cc"] {
            writer.spare(2).unwrap().copy_from_slice(record);
            if record != b"cc" {
                assert!(writer.publish(2));
            }
            if record == b"aa" {
                file.sync().unwrap();
            }
        }
        let crash = CrashVfs::new(&vfs);
        assert_eq!(read(&crash.nothing_unsynced().unwrap(), "log")[..6], *b"aa\0\0\0\0");
        assert_eq!(read(&crash.everything().unwrap(), "log")[..6], *b"aabb\0\0");
        file.sync().unwrap();
        let left = crash.nothing_unsynced().unwrap();
        assert_eq!(read(&left, "log")[..6], *b"aabb\0\0");
        assert_eq!(read(&left, "log").len(), 100);
    }

    #[test]
    fn an_image_shows_one_moment_of_a_running_workload() {
        let vfs = MemVfs::crashable();
        let (first, second) = (create(&vfs, "1", &[0]), create(&vfs, "2", &[0]));
        first.sync().unwrap();
        second.sync().unwrap();
        sync_dir(&vfs);
        let writer = std::thread::spawn(move || {
            for round in 1..=200u8 {
                for file in [&first, &second] {
                    file.write_all_at(&[round], 0).unwrap();
                    file.sync().unwrap();
                }
            }
        });
        let crash = CrashVfs::new(&vfs);
        let mut last = 0;
        for seed in 0.. {
            let left = crash.image(seed).unwrap();
            let (first, second) = (read(&left, "1")[0], read(&left, "2")[0]);
            assert!(first == second || first == second + 1, "{first} before {second}");
            assert!(first >= last, "what was synced is lost");
            last = second;
            if second == 200 || writer.is_finished() {
                break;
            }
            std::thread::yield_now();
        }
        writer.join().unwrap();
    }

    #[test]
    fn a_reused_log_shows_new_bytes_where_they_are_synced() {
        let vfs = MemVfs::crashable();
        let file = create(&vfs, "log", b"old bytes");
        file.sync().unwrap();
        sync_dir(&vfs);
        let mut writer = file.map_append(9, 0, Access::Write).unwrap();
        for record in [b"new", b"er "] {
            writer.spare(3).unwrap().copy_from_slice(record);
            assert!(writer.publish(3));
            file.sync().unwrap();
        }
        let left = CrashVfs::new(&vfs).nothing_unsynced().unwrap();
        assert_eq!(read(&left, "log")[..6], *b"newer ");
    }

    #[test]
    fn a_place_without_a_record_is_refused() {
        let error = CrashVfs::new(&MemVfs::new()).image(1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    }
}
