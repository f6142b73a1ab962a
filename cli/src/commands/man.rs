//! `siltstone man`: the manual pages.

use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory, ValueHint};

use crate::exit::{Failure, Result, Status};
use crate::output::Output;

/// Print the manual page, or write the pages of all commands into a directory
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  siltstone man | man -l -
  siltstone man ~/.local/share/man/man1")]
pub(crate) struct Man {
    /// Where the pages go: siltstone.1, siltstone-capture.1 and so on
    #[arg(value_hint = ValueHint::DirPath)]
    dir: Option<PathBuf>,
}

impl Man {
    pub(crate) fn run(self) -> Result<Status> {
        let command = super::Cli::command();
        match self.dir {
            Some(dir) => write_pages(command, &dir).map_err(|error| {
                let dir = dir.display();
                Failure::new(format!("cannot write the pages into '{dir}': {error}; name a directory"))
            })?,
            None => print_page(command)?,
        }
        Ok(Status::Done)
    }
}

fn write_pages(command: clap::Command, dir: &Path) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    clap_mangen::generate_to(command, dir)
}

fn print_page(command: clap::Command) -> Result<()> {
    let mut page = Vec::new();
    let rendered = clap_mangen::Man::new(command).render(&mut page);
    rendered.map_err(|error| Failure::new(format!("cannot render the page: {error}; report this")))?;
    let mut out = Output::new();
    out.bytes(&page)?;
    out.finish()
}
