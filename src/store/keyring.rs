//! The store's keyring: which key a store wants, and making and changing it.
//!
//! A place that is sealed is used through one that has the key ([`SealedVfs`]); all that opens or makes a file is given
//! that place. The keyring is written to a new file, which is synced and takes the old one's name; so there is always
//! a whole one. Each one is numbered by an *epoch*, and the manifest says which one there was at least, so that an older
//! one is told: after a key was changed, the old key must not open the store again.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::crypto::{EncryptionKey, KEYRING, KEYRING_LEN, Keyring, NoKeyring, Vault};
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{CURRENT, Edit};
use crate::store::shared::Shared;
use crate::store::strays::is_data;
use crate::vfs::{SealedVfs, Vfs, entropy};

/// What is renamed to [`KEYRING`] once it is durable.
const KEYRING_NEW: &str = "KEYRING.new";

/// A store's place, and the epoch of its keyring; zero if it has none.
#[derive(Clone, Debug)]
pub(crate) struct Unlocked {
    pub(crate) vfs: Arc<dyn Vfs>,
    pub(crate) epoch: u64,
}

/// For whoever only reads: the store's place with the key that its files are sealed with, if they are.
pub(crate) fn unlock(vfs: &Arc<dyn Vfs>, dir: &Path, key: Option<&EncryptionKey>) -> Result<Unlocked> {
    let plain = || Unlocked { vfs: vfs.clone(), epoch: 0 };
    match (key, read(&**vfs, dir)?) {
        (None, None) => check_plain(&**vfs, dir).map(|()| plain()),
        (None, Some(_)) => Err(Error::invalid(format!(
            "the store '{}' is encrypted; give its key (Options::encryption_key, or --encryption-key)",
            dir.display()
        ))),
        (Some(key), Some(keyring)) => {
            let vault = Vault::unlock(&keyring, key)?.ok_or_else(|| wrong_key(dir, &keyring))?;
            Ok(sealed(vfs, vault, keyring.epoch))
        }
        (Some(_), None) => check_fresh(&**vfs, dir).map(|()| plain()),
    }
}

/// The same for the owner, whose lock is held: makes a keyring for a store to which nothing was ever written.
pub(crate) fn unlock_or_make(
    vfs: &Arc<dyn Vfs>,
    dir: &Path,
    key: Option<&EncryptionKey>,
) -> Result<Unlocked> {
    let unlocked = unlock(vfs, dir, key)?;
    match key {
        Some(key) if unlocked.epoch == 0 => {
            let (vault, keyring) = Vault::create(key, &random)?;
            write(&**vfs, dir, &keyring)?;
            Ok(sealed(vfs, vault, keyring.epoch))
        }
        _ => Ok(unlocked),
    }
}

fn sealed(vfs: &Arc<dyn Vfs>, vault: Vault, epoch: u64) -> Unlocked {
    Unlocked { vfs: Arc::new(SealedVfs::new(vfs.clone(), vault)), epoch }
}

/// Refuses a keyring that is older than the manifest says.
pub(crate) fn check_epoch(dir: &Path, found: u64, least: u64) -> Result<()> {
    if found >= least {
        return Ok(());
    }
    let path = dir.join(KEYRING);
    Err(Error::corruption(format!(
        "{} is an older one (number {found}, and there was number {least}); restore the newest from a backup",
        path.display()
    )))
}

/// Locks the store key with another key, behind all keyrings that there were up to this epoch; the new one's epoch.
fn rekey(vfs: &dyn Vfs, dir: &Path, key: &EncryptionKey, epoch: u64) -> Result<u64> {
    let vault = vfs.vault().ok_or_else(|| {
        let dir = dir.display();
        Error::invalid(format!("the store '{dir}' is not encrypted, so there is no key to be changed"))
    })?;
    // One may be there of which the manifest could not be told.
    let present = read(vfs, dir)?.map_or(0, |keyring| keyring.epoch);
    let keyring = vault.lock(key, epoch.max(present) + 1, &random)?;
    write(vfs, dir, &keyring)?;
    Ok(keyring.epoch)
}

/// Gives another directory, which becomes a store of the same files, a copy of the keyring; whether there is one. It is
/// never a second name for the same file: each store changes its keyring for itself.
pub(crate) fn copy(vfs: &dyn Vfs, from: &Path, to: &Path) -> Result<bool> {
    let Some(keyring) = read(vfs, from)? else { return Ok(false) };
    write(vfs, to, &keyring)?;
    Ok(true)
}

/// Takes back what [`copy`] made.
pub(crate) fn remove(vfs: &dyn Vfs, dir: &Path) {
    for name in [KEYRING, KEYRING_NEW] {
        let _ = vfs.remove(&dir.join(name));
    }
}

impl Shared {
    pub(crate) fn rekey(&self, key: &EncryptionKey) -> Result<()> {
        self.check_open()?;
        let mut manifest = self.manifest.lock();
        let epoch = rekey(&*self.vfs, &self.dir, key, manifest.state().epoch)?;
        manifest.commit(&Edit { epoch: Some(epoch), ..Edit::default() })
    }
}

fn random(bytes: &mut [u8]) -> Result<()> {
    entropy(bytes).map_err(|error| Error::io("cannot get random bytes from the system", error))
}

fn read(vfs: &dyn Vfs, dir: &Path) -> Result<Option<Keyring>> {
    let path = dir.join(KEYRING);
    let read = || {
        let file = vfs.open_to_read(&path)?;
        // One byte more than there should be tells that it is too long.
        let len = file.len()?.min(KEYRING_LEN as u64 + 1);
        let mut bytes = vec![0; usize::try_from(len).map_err(io::Error::other)?];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    };
    let bytes = match read() {
        Ok(bytes) => bytes,
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => return Err(Error::io(format!("cannot read {}", path.display()), error)),
    };
    Keyring::decode(&bytes).map(Some).map_err(|problem| match problem {
        NoKeyring::Damaged => Error::corruption(format!(
            "{} is damaged; restore it from a backup: without it no key opens the store",
            path.display()
        )),
        NoKeyring::Newer(version) => Error::new(
            ErrorKind::Unsupported,
            format!("{} has format version {version}; open the store with a newer Siltstone", path.display()),
        ),
    })
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn write(vfs: &dyn Vfs, dir: &Path, keyring: &Keyring) -> Result<()> {
    let (path, new) = (dir.join(KEYRING), dir.join(KEYRING_NEW));
    let write = || {
        let _ = vfs.remove(&new);
        let file = vfs.create(&new)?;
        file.write_all_at(&keyring.encode(), 0)?;
        file.sync()?;
        vfs.rename(&new, &path)?;
        vfs.sync_dir(dir)
    };
    write().map_err(|error| {
        let _ = vfs.remove(&new);
        Error::io(format!("cannot write {}", path.display()), error)
    })
}

/// A key was given, and there is no keyring: fine as long as there is nothing that it would belong to.
fn check_fresh(vfs: &dyn Vfs, dir: &Path) -> Result<()> {
    let names = names(vfs, dir)?;
    if !names.iter().any(|name| name == CURRENT || is_data(name)) {
        return Ok(());
    }
    if says(vfs, dir, &names, false) {
        return Err(Error::invalid(format!(
            "the store '{}' is not encrypted; leave the key out, or copy its entries into a new store that is",
            dir.display()
        )));
    }
    Err(missing(dir))
}

/// Neither key nor keyring: fine unless a manifest tells that there was one.
fn check_plain(vfs: &dyn Vfs, dir: &Path) -> Result<()> {
    if says(vfs, dir, &names(vfs, dir)?, true) { Err(missing(dir)) } else { Ok(()) }
}

fn names(vfs: &dyn Vfs, dir: &Path) -> Result<Vec<String>> {
    match vfs.list(dir) {
        Err(error) if is_absent(&error) => Ok(Vec::new()),
        listed => listed.map_err(|error| Error::io(format!("cannot list {}", dir.display()), error)),
    }
}

/// Whether a manifest says that it is sealed, or that it is not.
fn says(vfs: &dyn Vfs, dir: &Path, names: &[String], sealed: bool) -> bool {
    names.iter().filter(|name| crate::manifest::number(name).is_some()).any(|name| {
        let mut magic = [0; 8];
        let read = vfs.open_to_read(&dir.join(name)).and_then(|file| file.read_exact_at(&mut magic, 0));
        read.is_ok() && crate::manifest::is_sealed(&magic) == Some(sealed)
    })
}

fn missing(dir: &Path) -> Error {
    let path = dir.join(KEYRING);
    Error::corruption(format!(
        "the store is encrypted, and {} is missing; restore it from a backup: without it no key opens the store",
        path.display()
    ))
}

fn wrong_key(dir: &Path, keyring: &Keyring) -> Error {
    let kind = if keyring.wants_passphrase() { "a passphrase" } else { "64 hexadecimal digits" };
    let dir = dir.display();
    Error::invalid(format!("the encryption key is not that of the store '{dir}', which is {kind}; give that"))
}
