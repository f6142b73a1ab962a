//! `siltstone put`: one value under one key.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use serde_json::{Map, Value as Json};
use siltstone::format::encode_metadata;
use siltstone::{MAX_VALUE_LEN, PutOptions, SerializationFormat};

use crate::exit::{Failure, Result, Status, complain};
use crate::home::Home;
use crate::record::key_bytes;
use crate::sync::SyncArgs;

/// Store a value under a key
///
/// What was under the key before is replaced, metadata and content type included.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  siltstone put config/router router.json --content-type application/json
  date | siltstone put state/last-run
  siltstone put prompts/17 body.bin --meta tenant=acme --meta model=large --sync immediate")]
pub(crate) struct Put {
    /// The key, up to 64 KiB
    key: OsString,

    /// The file that holds the value; '-' or nothing for standard input
    #[arg(value_hint = ValueHint::FilePath)]
    file: Option<PathBuf>,

    /// The value's media type, such as application/json
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,

    /// A metadata field, a string; can be given several times
    #[arg(long, value_name = "K=V", value_parser = field)]
    meta: Vec<(String, String)>,

    #[command(flatten)]
    sync: SyncArgs,
}

fn field(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("there is no '=' in it; give NAME=VALUE")?;
    if name.is_empty() {
        return Err("the name is missing; give NAME=VALUE".into());
    }
    Ok((name.into(), value.into()))
}

impl Put {
    pub(crate) fn run(self, home: &Home) -> Result<Status> {
        let (options, sync) = (self.options(home.format())?, self.sync.resolve(home)?);
        // The value comes first: a file that cannot be read leaves no new store behind.
        let value = read(self.file.as_deref())?;
        let store = home.open_or_create(sync.options)?;
        store.put_with(key_bytes(self.key), value, &options)?;
        store.close()?;
        if sync.keeps_nothing {
            complain("nothing was kept: sync policy in-memory ends with the program");
        }
        Ok(Status::Done)
    }

    fn options(&self, format: SerializationFormat) -> Result<PutOptions> {
        let mut options = PutOptions::new();
        if let Some(content_type) = &self.content_type {
            options = options.content_type(content_type.as_str());
        }
        if self.meta.is_empty() {
            return Ok(options);
        }
        let mut fields = Map::new();
        for (name, value) in &self.meta {
            if fields.insert(name.clone(), Json::String(value.clone())).is_some() {
                return Err(Failure::new(format!("--meta gives '{name}' twice; give it once")));
            }
        }
        Ok(options.metadata(encode_metadata(format, &fields)?))
    }
}

fn read(file: Option<&Path>) -> Result<Vec<u8>> {
    let name = || file.map_or("-".into(), |file| file.display().to_string());
    let unreadable =
        |error: io::Error| Failure::new(format!("cannot read '{}': {error}; check the path", name()));
    let mut value = Vec::new();
    // One byte beyond the limit tells that it is exceeded.
    let most = MAX_VALUE_LEN as u64 + 1;
    match file.filter(|file| *file != Path::new("-")) {
        Some(path) => File::open(path).and_then(|file| file.take(most).read_to_end(&mut value)),
        None => io::stdin().lock().take(most).read_to_end(&mut value),
    }
    .map_err(unreadable)?;
    Ok(value)
}
