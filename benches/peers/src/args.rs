//! The command line.

use std::path::PathBuf;

use crate::engine::Result;
use crate::engines::{self, Kind};
use crate::works::{self, Work};

pub(crate) const USAGE: &str = "\
peers: Siltstone and other embedded engines over the same work, side by side

    peers run [--quick] [--rows WORK,...] [--engines ENGINE,...] [--rounds N] [--out DIR] [--bytes N]
        Runs the works, each engine in a process of its own, and prints a table. Writes results.json and
        results.html to DIR (target/peers of this package), where the stores lie meanwhile.
        --quick   a tenth of everything, one round
        --rounds  3 unless told; medians are shown
        --bytes   how much the work 'long' captures: 30000000000 unless told
    peers page FILE
        Makes results.html anew, beside a results.json, and prints the table.
    peers list
        Lists works and engines.
";

/// What is to be run.
pub(crate) struct Run {
    pub(crate) quick: bool,
    pub(crate) works: Vec<&'static Work>,
    pub(crate) engines: Vec<&'static Kind>,
    pub(crate) rounds: u32,
    pub(crate) out: PathBuf,
    pub(crate) long_bytes: u64,
}

/// What a child is to do.
pub(crate) struct Child {
    pub(crate) engine: String,
    pub(crate) work: String,
    pub(crate) stage: String,
    pub(crate) dir: PathBuf,
    pub(crate) quick: bool,
    pub(crate) long_bytes: u64,
}

/// Options as they come: a name, and for most a value.
struct Words<'a>(std::slice::Iter<'a, String>);

impl<'a> Words<'a> {
    fn value(&mut self, option: &str) -> Result<&'a str> {
        self.0.next().map(String::as_str).ok_or_else(|| format!("{option} needs a value").into())
    }

    fn number<N: std::str::FromStr>(&mut self, option: &str) -> Result<N> {
        let word = self.value(option)?;
        word.parse().map_err(|_| format!("{option} takes a number, not '{word}'").into())
    }

    fn each<T>(&mut self, option: &str, find: impl Fn(&str) -> Result<T>) -> Result<Vec<T>> {
        self.value(option)?.split(',').map(find).collect()
    }
}

fn unknown<T>(option: &str) -> Result<T> {
    Err(format!("'{option}' is no option of this; see peers --help").into())
}

const LONG_BYTES: u64 = 30_000_000_000;

impl Run {
    pub(crate) fn parse(args: &[String]) -> Result<Self> {
        let mut run = Self {
            quick: false,
            works: works::ALL.iter().filter(|work| !work.named_only).collect(),
            engines: engines::ALL.iter().collect(),
            rounds: 0,
            out: PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/target/peers")),
            long_bytes: LONG_BYTES,
        };
        let mut words = Words(args.iter());
        while let Some(option) = words.0.next() {
            match option.as_str() {
                "--quick" => run.quick = true,
                "--rows" => run.works = words.each(option, works::find)?,
                "--engines" => run.engines = words.each(option, engines::find)?,
                "--rounds" => run.rounds = words.number(option)?,
                "--out" => run.out = PathBuf::from(words.value(option)?),
                "--bytes" => run.long_bytes = words.number(option)?,
                _ => return unknown(option),
            }
        }
        if run.rounds == 0 {
            run.rounds = if run.quick { 1 } else { 3 };
        }
        Ok(run)
    }
}

impl Child {
    pub(crate) fn parse(args: &[String]) -> Result<Self> {
        let mut child = Self {
            engine: String::new(),
            work: String::new(),
            stage: String::new(),
            dir: PathBuf::new(),
            quick: false,
            long_bytes: LONG_BYTES,
        };
        let mut words = Words(args.iter());
        while let Some(option) = words.0.next() {
            match option.as_str() {
                "--engine" => child.engine = words.value(option)?.into(),
                "--work" => child.work = words.value(option)?.into(),
                "--stage" => child.stage = words.value(option)?.into(),
                "--dir" => child.dir = words.value(option)?.into(),
                "--quick" => child.quick = true,
                "--bytes" => child.long_bytes = words.number(option)?,
                _ => return unknown(option),
            }
        }
        Ok(child)
    }

    pub(crate) fn words(&self) -> Vec<String> {
        let options = [("--engine", &self.engine), ("--work", &self.work), ("--stage", &self.stage)];
        let mut words: Vec<String> =
            options.into_iter().flat_map(|(option, value)| [option.to_owned(), value.clone()]).collect();
        words.extend(["--dir".into(), self.dir.to_string_lossy().into_owned()]);
        words.extend(["--bytes".into(), self.long_bytes.to_string()]);
        words.extend(self.quick.then(|| "--quick".into()));
        words
    }
}
