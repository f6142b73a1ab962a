//! `siltstone repair`: save what can be saved of a damaged store.

use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use indicatif::HumanCount;
use serde_json::{Value as Json, json};
use siltstone::{Problem, Repair as Repairing, RepairReport};

use crate::damage::{problem_line, problem_object, reading_bar};
use crate::exit::{Failure, Result, Status};
use crate::home::Home;
use crate::output::Output;

/// Write a whole store out of what is left of a damaged one, and tell what is lost
///
/// Every entry is saved whose checksums hold. The repaired store is written into a directory of its own, and the
/// damaged one stays as it is; or, with --in-place, the repaired one takes its place in one step, and the old
/// files are kept in a directory within it. Nobody may have the store open meanwhile. The exit status is 0 if
/// nothing is lost and 1 if something is.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  siltstone repair                          into ./siltstone-data.repaired
  siltstone repair gateway-data --into /mnt/other-disk/saved
  siltstone repair gateway-data --in-place --json")]
pub(crate) struct Repair {
    /// Another store than --store says
    #[arg(value_hint = ValueHint::DirPath)]
    dir: Option<PathBuf>,

    /// Where to: a directory that is empty or not there yet, outside of the store [default: DIR.repaired]
    #[arg(long, value_name = "COPY", value_hint = ValueHint::DirPath)]
    into: Option<PathBuf>,

    /// Repair the store where it is, and keep the old files in a directory within it
    #[arg(long, conflicts_with = "into")]
    in_place: bool,

    /// Where what was written last is damaged, take an older version, even of what was deleted
    #[arg(long)]
    older: bool,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Repair {
    pub(crate) fn run(self, home: &Home) -> Result<Status> {
        let home = home.or(self.dir);
        let bar = reading_bar();
        let progress = |done, total| {
            bar.set_length(total);
            bar.set_position(done);
        };
        let mut repair = Repairing::new(home.dir()).older_versions(self.older);
        if let Some(key) = home.key()? {
            repair = repair.encryption_key(key);
        }
        let report = if self.in_place {
            repair.in_place(progress)
        } else {
            repair.write_to(self.into.map_or_else(|| beside(home.dir()), Ok)?, progress)
        };
        bar.finish_and_clear();
        let report = report?;
        let mut out = Output::new();
        if self.json {
            out.json(&object(&home, &report))?;
        } else {
            out.bytes(described(&home, &report).as_bytes())?;
        }
        out.finish()?;
        Ok(if report.lost.is_empty() { Status::Done } else { Status::Damaged })
    }
}

/// The directory beside the store that has its name and `.repaired` behind it.
fn beside(dir: &Path) -> Result<PathBuf> {
    let mut name = dir.file_name().map(ToOwned::to_owned).ok_or_else(|| {
        let dir = dir.display();
        Failure::new(format!("'{dir}' has no name to put '.repaired' behind; say where to with --into COPY"))
    })?;
    name.push(".repaired");
    Ok(dir.with_file_name(name))
}

fn object(home: &Home, report: &RepairReport) -> Json {
    let problems = |problems: &[Problem]| problems.iter().map(problem_object).collect::<Vec<_>>();
    json!({
        "damaged": home.dir().display().to_string(),
        "store": report.store.display().to_string(),
        "before": report.before.as_ref().map(|dir| dir.display().to_string()),
        "files": report.files,
        "bytes": report.bytes,
        "entries": report.entries,
        "lost": problems(&report.lost),
        "mended": problems(&report.mended),
        "lost_entries": report.lost_entries,
        "doubtful_entries": report.doubtful_entries,
        "older_entries": report.older_entries,
    })
}

fn described(home: &Home, report: &RepairReport) -> String {
    let count = |number: u64, one: &str, more: &str| match number {
        1 => format!("1 {one}"),
        number => format!("{} {more}", HumanCount(number)),
    };
    let entries = |number| count(number, "entry", "entries");
    let mut text: String = report.mended.iter().map(|problem| problem_line("mended", problem)).collect();
    text.extend(report.lost.iter().map(|problem| problem_line("lost", problem)));
    if report.doubtful_entries > 0 {
        let doubtful = entries(report.doubtful_entries);
        text += &format!("doubtful  {doubtful}, of which something newer may be among what is lost\n");
    }
    if report.older_entries > 0 {
        text +=
            &format!("older     {}, since what was written last is damaged\n", entries(report.older_entries));
    }
    text += &format!("repaired  {}: {}\n", report.store.display(), entries(report.entries));
    text += &match &report.before {
        Some(before) => {
            format!("kept      {}: the old files; remove them once they are not needed\n", before.display())
        }
        None => format!("kept      {}: the damaged store, as it was\n", home.dir().display()),
    };
    text += &match report.lost.len() {
        0 => "result    nothing is lost\n".to_owned(),
        lost => {
            let places = count(lost as u64, "place", "places");
            match report.lost_entries {
                0 => format!(
                    "result    something is or may be lost in {places}; how many entries is not known\n"
                ),
                known => format!(
                    "result    something is lost in {places}: {}, as far as is known\n",
                    entries(known)
                ),
            }
        }
    };
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_copy_lies_beside_the_store() {
        assert_eq!(beside(Path::new("data/store")).unwrap(), Path::new("data/store.repaired"));
        assert_eq!(beside(Path::new("./store/")).unwrap(), Path::new("./store.repaired"));
        assert!(beside(Path::new("..")).is_err());
    }
}
