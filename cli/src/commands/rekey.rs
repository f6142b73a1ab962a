//! `siltstone rekey`: another key for an encrypted store.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use crate::exit::{Result, Status};
use crate::home::Home;
use crate::key::{KeySource, KeySourceParser};
use crate::output::Output;

/// Have another key open an encrypted store, and the old one no more
///
/// Only what the key opens is written anew, not the data, so it takes a moment whatever the size of the store. Nobody may
/// have the store open meanwhile. Checkpoints and backups that were made before keep the key that they had.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  siltstone rekey --encryption-key env:OLD_KEY --new-key env:NEW_KEY
  siltstone rekey gateway-data --encryption-key file:old.key --new-key file:new.key")]
pub(crate) struct Rekey {
    /// Another store than --store says
    #[arg(value_hint = ValueHint::DirPath)]
    dir: Option<PathBuf>,

    /// Where the new key is: env:NAME, or file:PATH
    #[arg(long, value_name = "SOURCE", value_parser = KeySourceParser)]
    new_key: KeySource,
}

impl Rekey {
    pub(crate) fn run(self, home: &Home) -> Result<Status> {
        let home = &home.or(self.dir);
        let key = self.new_key.read()?;
        let store = home.open_as_it_is()?;
        store.rekey(&key)?;
        store.close()?;
        let mut out = Output::new();
        out.line(format!("rekeyed  {}: from now on it opens with the new key", home.dir().display()))?;
        out.finish()?;
        Ok(Status::Done)
    }
}
