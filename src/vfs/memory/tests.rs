//! Files in memory behave like files.

use super::*;

fn file(vfs: &MemVfs, name: &str) -> Arc<dyn File> {
    vfs.create(Path::new(name)).unwrap()
}

fn read(file: &Arc<dyn File>) -> Vec<u8> {
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

#[test]
fn bytes_come_back_whoever_opens() {
    let vfs = MemVfs::new();
    let first = file(&vfs, "a");
    first.write_all_at(b"world", 6).unwrap();
    first.write_all_at(b"hello", 0).unwrap();
    let second = vfs.clone().open(Path::new("/a")).unwrap();
    assert_eq!(read(&second), b"hello\0world");
    let error = second.read_exact_at(&mut [0; 2], 10).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    assert!(second.write_all_at(b"x", u64::MAX).is_err());
}

#[test]
fn names_behave_as_on_disk() {
    let vfs = MemVfs::new();
    vfs.create_dir_all(Path::new("db/sub")).unwrap();
    for missing in ["none/a", "db/none/a"] {
        let error = vfs.create(Path::new(missing)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
    for name in ["db/b", "db/a", "db/sub/c", "db-a", "d"] {
        file(&vfs, name);
    }
    assert_eq!(vfs.list(Path::new("db")).unwrap(), ["a", "b"]);
    assert_eq!(vfs.list(Path::new("./db/sub/")).unwrap(), ["c"]);
    assert_eq!(vfs.list(Path::new("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    let taken = vfs.create(Path::new("db/a")).unwrap_err();
    assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
    assert!(vfs.create_dir_all(Path::new("db/a/x")).is_err());
    vfs.rename(Path::new("db/a"), Path::new("db/b")).unwrap();
    vfs.remove(Path::new("db/b")).unwrap();
    assert_eq!(vfs.remove(Path::new("db/b")).unwrap_err().kind(), io::ErrorKind::NotFound);
    assert!(vfs.rename(Path::new("db/a"), Path::new("db/b")).is_err());
    assert!(vfs.sync_dir(Path::new("none")).is_err());
}

#[test]
fn a_mapping_never_changes() {
    let vfs = MemVfs::new();
    let file = file(&vfs, "a");
    file.write_all_at(b"abcdef", 0).unwrap();
    let mapping = file.map(4).unwrap();
    file.write_all_at(b"X", 1).unwrap();
    file.set_len(2).unwrap();
    file.set_len(6).unwrap();
    assert_eq!(read(&file), b"aX\0\0\0\0");
    file.set_len(0).unwrap();
    file.write_all_at(b"other", 0).unwrap();
    vfs.remove(Path::new("a")).unwrap();
    drop(file);
    assert_eq!(mapping.bytes(), b"abcd");
    assert_eq!(mapping.len(), 4);
}

#[test]
fn bytes_after_a_cut_are_zeros() {
    let vfs = MemVfs::new();
    let file = file(&vfs, "a");
    file.write_all_at(b"abcdef", 0).unwrap();
    file.set_len(2).unwrap();
    file.write_all_at(b"x", 4).unwrap();
    file.allocate(7).unwrap();
    file.allocate(3).unwrap();
    assert_eq!(read(&file), b"ab\0\0x\0\0");
}

#[test]
fn a_mapped_append_is_in_the_file_once_published() {
    let vfs = MemVfs::new();
    let file = file(&vfs, "log");
    file.allocate(1 << 30).unwrap();
    let mut writer = file.map_append(1 << 30, 0, Access::Write).unwrap();
    writer.spare(4).unwrap().copy_from_slice(b"abcd");
    assert!(writer.publish(2));
    file.set_len(4).unwrap();
    assert_eq!(read(&file), b"ab\0\0");
    let busy = file.write_all_at(b"x", 3).unwrap_err();
    assert_eq!(busy.kind(), io::ErrorKind::ResourceBusy);
    assert_eq!(file.map(2).unwrap().bytes(), b"ab");
    assert_eq!(file.map(3).unwrap().bytes(), b"ab\0");
    drop(writer);
    file.set_len(2).unwrap();
    file.set_len(4).unwrap();
    assert_eq!(read(&file), b"ab\0\0");
}

#[test]
fn a_written_append_goes_where_the_mapping_is() {
    let vfs = MemVfs::new();
    let file = file(&vfs, "log");
    file.write_all_at(b"head", 0).unwrap();
    file.allocate(100).unwrap();
    let mut writer = file.map_append(100, 4, Access::Read).unwrap();
    file.write_all_at(b"tail", 4).unwrap();
    assert!(writer.publish(4));
    assert_eq!(writer.mapping().bytes(), b"headtail");
    file.write_all_at(b"HEAD", 0).unwrap();
    assert_eq!(writer.mapping().bytes(), b"headtail");
    assert_eq!(read(&file)[..8], *b"HEADtail");
}

#[test]
fn a_log_gets_more_room_while_its_writer_lives() {
    let vfs = MemVfs::new();
    let file = file(&vfs, "log");
    file.allocate(10).unwrap();
    let mut old = file.map_append(10, 0, Access::Write).unwrap();
    file.allocate(100).unwrap();
    let mut new = file.map_append(100, 0, Access::Write).unwrap();
    old.spare(1).unwrap().copy_from_slice(b"o");
    assert!(old.publish(1));
    new.spare(1).unwrap().copy_from_slice(b"n");
    assert!(new.publish(1));
    assert_eq!(read(&file)[..2], *b"n\0");
    assert!(file.map_append(10, 11, Access::Write).is_err());
}

#[test]
fn a_writer_gets_as_far_as_there_is_space() {
    let vfs = MemVfs::new();
    let file = file(&vfs, "log");
    file.allocate(10).unwrap();
    let mut writer = file.map_append(1000, 0, Access::Write).unwrap();
    assert!(writer.spare(11).is_none());
    writer.spare(10).unwrap().fill(b'a');
    assert!(!writer.publish(11) && writer.publish(10));
    file.allocate(20).unwrap();
    writer.spare(10).unwrap().fill(b'b');
    assert!(writer.publish(10));
    file.set_len(20).unwrap();
    assert!(writer.spare(1).is_none());
    assert_eq!(read(&file), writer.mapping().bytes());
}

#[test]
fn memory_is_given_back() {
    let vfs = MemVfs::new();
    let open = file(&vfs, "a");
    open.write_all_at(&[1; 100], 0).unwrap();
    let mapping = open.map(50).unwrap();
    let node = Arc::downgrade(&vfs.shared.names.lock().files[Path::new("/a")]);
    let region = node.upgrade().unwrap().content.lock().region.as_ref().map(Arc::downgrade).unwrap();
    vfs.remove(Path::new("a")).unwrap();
    drop(open);
    assert!(node.upgrade().is_none());
    assert!(region.upgrade().is_some());
    drop(mapping);
    assert!(region.upgrade().is_none());
}

#[test]
fn one_owner_holds_the_lock() {
    let vfs = MemVfs::new();
    let guard = vfs.lock(Path::new("LOCK")).unwrap().unwrap();
    let other = vfs.clone().lock(Path::new("./LOCK")).unwrap();
    assert_eq!(other.unwrap_err(), Some(std::process::id()));
    assert!(vfs.lock(Path::new("OTHER")).unwrap().is_ok());
    drop(guard);
    assert!(vfs.lock(Path::new("LOCK")).unwrap().is_ok());
    assert!(vfs.lock(Path::new("none/LOCK")).is_err());
}

#[test]
fn manual_clocks_move_when_told() {
    let vfs = MemVfs::with_manual_clock(1_000);
    let soon = vfs.alarm(Duration::from_micros(10));
    let later = vfs.alarm(Duration::from_micros(11));
    vfs.advance(Duration::from_micros(9));
    assert!(soon.try_recv().is_err());
    vfs.advance(Duration::from_micros(1));
    assert!(soon.try_recv().is_ok());
    assert!(later.try_recv().is_err());
    assert_eq!((vfs.now(), vfs.elapsed()), (1_010, Duration::from_micros(10)));
    vfs.set_now(5);
    assert_eq!((vfs.now(), vfs.elapsed()), (5, Duration::from_micros(10)));
    assert!(vfs.alarm(Duration::ZERO).try_recv().is_ok());
}

#[test]
fn real_clocks_are_not_moved() {
    let vfs = MemVfs::new();
    vfs.set_now(5);
    assert!(vfs.now() > 1_577_836_800_000_000);
    assert!(vfs.alarm(Duration::ZERO).recv().is_ok());
}

#[test]
fn paths_have_one_spelling() {
    let vfs = MemVfs::new();
    assert_eq!(vfs.canonical(Path::new("a/./b/../c")).unwrap(), Path::new("/a/c"));
    assert_eq!(vfs.canonical(Path::new("")).unwrap(), Path::new("/"));
}

#[test]
fn capacity_counts_pages_of_named_files_once() {
    let vfs = MemVfs::crashable();
    assert_eq!(vfs.free_space(Path::new("")).unwrap(), None);
    vfs.set_capacity(Some(5 * PAGE as u64));
    let free = || vfs.free_space(Path::new("")).unwrap().unwrap() / PAGE as u64;
    let file = vfs.create(Path::new("a")).unwrap();
    file.write_all_at(b"x", PAGE as u64).unwrap();
    assert_eq!(free(), 3);
    vfs.link(Path::new("a"), Path::new("b")).unwrap();
    assert_eq!(free(), 3);
    let error = file.allocate(6 * PAGE as u64).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!((file.len().unwrap(), free()), (PAGE as u64 + 1, 3));
    file.allocate(5 * PAGE as u64).unwrap();
    let other = vfs.create(Path::new("c")).unwrap();
    assert!(other.write_all_at(b"x", 0).is_err() && other.set_len(1).is_err());
    assert!(other.is_empty().unwrap());
    file.set_len(1).unwrap();
    other.write_all_at(b"x", 0).unwrap();
    assert_eq!(free(), 3);
    for name in ["a", "b"] {
        vfs.remove(Path::new(name)).unwrap();
    }
    assert_eq!(free(), 4);
    vfs.set_capacity(Some(0));
    assert_eq!(free(), 0);
    other.write_all_at(b"y", 0).unwrap();
}
