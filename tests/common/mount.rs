//! Small file systems of their own, where the machine lets the test have them.

#![allow(dead_code, reason = "each test program uses its part")]
#![allow(clippy::unwrap_used, reason = "a helper of a test fails as the test does")]

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// Where it is mounted, in its place.
const NAME: &str = "mounted";

#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// ext4 in a file, mounted through a loop device.
    Ext4,
    /// Memory, with an end.
    Tmpfs,
}

/// A mounted file system, gone when dropped.
#[derive(Debug)]
pub(crate) struct Mount {
    place: TempDir,
}

fn run(program: &str, args: &[&OsStr]) -> Result<(), String> {
    let output = Command::new(program).args(args).output();
    let output = output.map_err(|error| format!("there is no {program} to be run: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("{program} failed: {}", said.trim())) }
}

/// Mounts it below this place.
fn mount(place: &Path, kind: Kind, bytes: u64) -> Result<(), String> {
    let (dir, image) = (place.join(NAME), place.join("image"));
    match kind {
        Kind::Ext4 => {
            File::create(&image).unwrap().set_len(bytes).unwrap();
            run("mkfs.ext4", &["-q".as_ref(), "-F".as_ref(), "-m".as_ref(), "0".as_ref(), image.as_ref()])?;
            run("mount", &["-o".as_ref(), "loop".as_ref(), image.as_ref(), dir.as_ref()])
        }
        Kind::Tmpfs => {
            let size = format!("size={bytes}");
            let args = ["-t", "tmpfs", "-o", &size, "tmpfs"].map(OsStr::new);
            run("mount", &[&args[..], &[dir.as_ref()]].concat())
        }
    }
}

impl Mount {
    /// Nothing, loudly, if this machine has no such thing: that takes root, `mount`, and for ext4 `mkfs.ext4` and
    /// a free loop device.
    pub(crate) fn new(kind: Kind, bytes: u64) -> Option<Self> {
        let place = TempDir::new().unwrap();
        std::fs::create_dir(place.path().join(NAME)).unwrap();
        match mount(place.path(), kind, bytes) {
            Ok(()) => Some(Self { place }),
            Err(why) => {
                let what = format!("SKIPPED: no {kind:?} could be mounted, which takes root: {why}");
                let _ = writeln!(std::io::stderr(), "{what}");
                None
            }
        }
    }

    pub(crate) fn dir(&self) -> std::path::PathBuf {
        self.place.path().join(NAME)
    }

    /// From now on nothing can be written to it.
    pub(crate) fn make_read_only(&self) {
        run("mount", &["-o".as_ref(), "remount,ro".as_ref(), self.dir().as_ref()]).unwrap();
    }

    /// Takes all the space that is left, as others may.
    pub(crate) fn fill(&self) -> Ballast {
        let path = self.dir().join("ballast");
        let mut file = File::create(&path).unwrap();
        let mut block = vec![1; 1 << 20];
        while !block.is_empty() {
            if file.write_all(&block).and_then(|()| file.sync_data()).is_err() {
                block.truncate(block.len() / 2);
            }
        }
        Ballast(path)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // What is still mapped keeps it, but not its name.
        let dir = self.dir();
        if let Err(why) = run("umount", &["-l".as_ref(), dir.as_ref()]) {
            let _ = writeln!(std::io::stderr(), "{} stays mounted: {why}", Path::display(&dir));
        }
    }
}

/// A file that fills a disk, gone when dropped.
#[derive(Debug)]
pub(crate) struct Ballast(std::path::PathBuf);

impl Drop for Ballast {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
