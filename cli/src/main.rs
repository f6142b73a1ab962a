//! The `siltstone` program: capture, inspect and look after a store.

mod commands;
mod config;
mod damage;
mod duration;
mod exit;
mod exported;
mod home;
mod key;
mod output;
mod record;
mod signals;
mod sync;
mod text;
mod usage;

use std::process::ExitCode;

use clap::Parser;

use crate::commands::Cli;

fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => exit::code(commands::run(cli)),
        Err(error) => usage::report(&error),
    }
}
