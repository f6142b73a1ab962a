//! The commands, one file each.

mod capture;
mod checkpoint;
mod compact;
mod completions;
mod delete;
mod exists;
mod export;
mod get;
mod import;
mod list;
mod man;
mod put;
mod rekey;
mod repair;
mod retain;
mod scan;
mod stat;
mod stats;
mod tail;
mod verify;

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Parser, Subcommand, ValueHint};
use siltstone::{Compression, SerializationFormat};

use crate::exit::{Result, Status};
use crate::home::Home;
use crate::key::{KeySource, KeySourceParser};

/// Capture, inspect and look after a siltstone store
#[derive(Parser, Debug)]
#[command(name = "siltstone", version, max_term_width = 100, disable_help_subcommand = true)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Cli {
    /// The store's directory [default: $SILTSTONE_STORE, else ./siltstone-data]
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    store: Option<PathBuf>,

    /// A configuration, in YAML or JSON, that says where the store is and how it is opened
    ///
    /// Options on the command line win over it, and it wins over $SILTSTONE_STORE.
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,

    /// How values are compressed that the command writes, or finds uncompressed: lz4 or none [default: what --config
    /// says, else none]
    ///
    /// They are written as they are, and compressed later, by merges: when the command ends, 256 MiB of them at most;
    /// 'compact' compresses all. Commands that only look read either way.
    #[arg(long, global = true, value_name = "HOW", value_parser = compression_parser())]
    compression: Option<Compression>,

    /// In which format metadata is written, by 'put' and from the library's own state: json, yaml or msgpack [default: what
    /// --config says, else json]
    ///
    /// Each entry tells its own, and all are read. Lines of an export bring theirs with them.
    #[arg(long, global = true, value_name = "FORMAT", value_parser = format_parser())]
    format: Option<String>,

    /// Where the key of an encrypted store is: env:NAME, or file:PATH
    ///
    /// 64 hexadecimal digits are a key of 256 bits, anything else is a passphrase. A store that is new is encrypted with it
    /// from its start. The key in a configuration does the same, and this wins over it.
    #[arg(long, global = true, value_name = "SOURCE", value_parser = KeySourceParser)]
    encryption_key: Option<KeySource>,

    #[command(subcommand)]
    command: Command,
}

fn compression_parser() -> impl TypedValueParser<Value = Compression> {
    let names = [Compression::Lz4, Compression::None].map(Compression::as_str);
    PossibleValuesParser::new(names).try_map(|name| name.parse::<Compression>())
}

/// Names, for 'capture' has an option of this name for what its input is: clap holds both under one, and it writes no
/// metadata.
fn format_parser() -> PossibleValuesParser {
    let formats = [SerializationFormat::Json, SerializationFormat::Yaml, SerializationFormat::MsgPack];
    PossibleValuesParser::new(formats.map(SerializationFormat::as_str))
}

const EXAMPLES: &str = "\
Examples:
  siltstone capture requests.jsonl            store each line as an entry
  tail -f gateway.jsonl | siltstone capture   store lines as they come
  siltstone list logs/request/ --long         what is there, without reading it
  siltstone scan logs/request/ --values       the values, in order
  siltstone tail -f --values                  the last ones, and new ones as they come
  siltstone put config/router router.json     store a file under a key
  siltstone get config/router                 print it
  siltstone retain logs/ 30d 50GB             keep that much of the logs
  siltstone compact --compression lz4         make what is there small
  siltstone compact                           give back the space of what is gone
  siltstone checkpoint backups/monday         another store of all there is now
  siltstone export config/ > config.jsonl     entries as lines, for 'import' elsewhere
  siltstone verify                            is it all as it was written?
  siltstone repair                            if not, save what can be saved
  siltstone rekey --new-key env:NEW_KEY       another key for an encrypted store
  siltstone list --config mesh.yaml           of the store that a configuration names

Exit status:
  0  done
  1  what was asked for is not there, verify found problems, or repair could not save all
  2  wrong use, or an error
  3  a capture that left out bad lines";

#[derive(Subcommand, Debug)]
enum Command {
    Capture(capture::Capture),
    Put(put::Put),
    Get(get::Get),
    Stat(stat::StatKey),
    Exists(exists::Exists),
    Delete(delete::Delete),
    Retain(retain::Retain),
    List(list::List),
    Scan(scan::Scan),
    Tail(tail::Tail),
    Stats(stats::StatsOf),
    Compact(compact::Compact),
    Checkpoint(checkpoint::Checkpoint),
    Export(export::Export),
    Import(import::Import),
    Verify(verify::Verify),
    Repair(repair::Repair),
    Rekey(rekey::Rekey),
    Completions(completions::Completions),
    Man(man::Man),
}

pub(crate) fn run(cli: Cli) -> Result<Status> {
    let format = cli.format.and_then(|name| name.parse().ok());
    let home = match &cli.command {
        // Of no store.
        Command::Completions(_) | Command::Man(_) => Home::new(None, None)?,
        _ => Home::new(cli.store, cli.config.as_deref())?.with(format, cli.compression, cli.encryption_key),
    };
    match cli.command {
        Command::Capture(capture) => capture.run(&home),
        Command::Put(put) => put.run(&home),
        Command::Get(get) => get.run(&home),
        Command::Stat(stat) => stat.run(&home),
        Command::Exists(exists) => exists.run(&home),
        Command::Delete(delete) => delete.run(&home),
        Command::Retain(retain) => retain.run(&home),
        Command::List(list) => list.run(&home),
        Command::Scan(scan) => scan.run(&home),
        Command::Tail(tail) => tail.run(&home),
        Command::Stats(stats) => stats.run(&home),
        Command::Compact(compact) => compact.run(&home),
        Command::Checkpoint(checkpoint) => checkpoint.run(&home),
        Command::Export(export) => export.run(&home),
        Command::Import(import) => import.run(&home),
        Command::Verify(verify) => verify.run(&home),
        Command::Repair(repair) => repair.run(&home),
        Command::Rekey(rekey) => rekey.run(&home),
        Command::Completions(completions) => completions.run(),
        Command::Man(man) => man.run(),
    }
}

/// The end of a command that looked for one key.
fn not_found(key: &[u8], home: &Home) -> Status {
    let (key, dir) = (crate::text::printable(key), home.dir().display());
    crate::exit::complain(format!("there is no entry '{key}' in '{dir}'; 'siltstone list' shows the keys"));
    Status::NotFound
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
