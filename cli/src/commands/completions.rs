//! `siltstone completions`: what a shell needs to complete our commands.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::exit::{Result, Status};
use crate::output::Output;

/// Print the completions for a shell
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  siltstone completions bash > ~/.local/share/bash-completion/completions/siltstone
  siltstone completions zsh > ~/.zfunc/_siltstone
  siltstone completions fish > ~/.config/fish/completions/siltstone.fish")]
pub(crate) struct Completions {
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self) -> Result<Status> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut super::Cli::command(), "siltstone", &mut script);
        let mut out = Output::new();
        out.bytes(&script)?;
        out.finish()?;
        Ok(Status::Done)
    }
}
