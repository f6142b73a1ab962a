//! Wrong use, told in one line.

use std::process::ExitCode;

use clap::error::ErrorKind;

use crate::exit::complain;

/// Prints help and version as they are, and every mistake as one line.
pub(crate) fn report(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // Nobody may be reading it to its end.
            let _ = error.print();
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            complain("no command was given; 'siltstone --help' lists them");
            ExitCode::from(2)
        }
        _ => {
            complain(format!("{}; see 'siltstone {}--help'", one_line(&error.to_string()), command()));
            ExitCode::from(2)
        }
    }
}

/// What clap says of the mistake, without its general advice.
fn one_line(message: &str) -> String {
    let told = message.strip_prefix("error: ").unwrap_or(message);
    let told = told.lines().take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"));
    let lines: Vec<&str> = told.map(str::trim).collect();
    let paragraphs = lines.split(|line| line.is_empty()).filter(|lines| !lines.is_empty());
    paragraphs.map(|lines| lines.join(" ")).collect::<Vec<_>>().join("; ")
}

/// The command that was meant, if it is one, followed by a blank.
fn command() -> String {
    let known = <crate::commands::Cli as clap::CommandFactory>::command();
    let given = std::env::args().skip(1).find(|arg| known.find_subcommand(arg).is_some());
    given.map(|name| name + " ").unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_one_line_without_advice() {
        let message = "error: invalid value 'x' for '--limit <N>': no number\n\n  tip: use one\n\nUsage: a b\n\nFor more information, try '--help'.\n";
        assert_eq!(one_line(message), "invalid value 'x' for '--limit <N>': no number; tip: use one");
    }
}
