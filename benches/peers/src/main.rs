//! `peers`: Siltstone and the engines that users would otherwise pick, over the same work, side by side.
//!
//! `engine` says what an engine is asked, `engines` has one file for each, `works` one for each work. The parent
//! (`parent`) starts this program again as a child (`child`) for each stage of a work; `results` is what they
//! found out, `table` and `page` show it.

mod args;
mod bench;
mod child;
mod costs;
mod data;
mod engine;
mod engines;
mod figures;
mod machine;
mod page;
mod parent;
mod results;
mod rows;
mod show;
mod table;
mod works;

use std::path::Path;
use std::process::ExitCode;

use engine::Result;
use results::Results;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match act(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(fault) => {
            eprintln!("peers: {fault}");
            ExitCode::FAILURE
        }
    }
}

/// Does what the command line says; whether all went well.
fn act(args: &[String]) -> Result<bool> {
    let (command, rest) = args.split_first().map_or(("--help", args), |(first, rest)| (first.as_str(), rest));
    match command {
        "run" => run(&args::Run::parse(rest)?),
        "stage" => child::run(args::Child::parse(rest)?).map(|()| true),
        "page" => {
            let file = rest.first().ok_or("page needs the path of a results.json")?;
            let results: Results = serde_json::from_str(&std::fs::read_to_string(file)?)?;
            show(&results, Path::new(file).parent().unwrap_or(Path::new(".")))
        }
        "list" => {
            works::ALL.iter().for_each(|work| println!("{:<10} {}", work.name, work.about));
            println!();
            engines::ALL.iter().for_each(|kind| println!("{:<10} {}", kind.about.id, kind.about.name));
            Ok(true)
        }
        "--help" | "-h" | "help" => {
            print!("{}", args::USAGE);
            Ok(true)
        }
        _ => Err(format!("'{command}' is no command; see peers --help").into()),
    }
}

fn run(run: &args::Run) -> Result<bool> {
    let keep = |results: &Results| parent::write(results, &run.out).map(drop);
    let results = parent::run(run, keep)?;
    let right = show(&results, &run.out)?;
    println!("{}", run.out.join("results.json").display());
    Ok(right)
}

/// Prints the table and writes the page; whether all went well.
fn show(results: &Results, dir: &Path) -> Result<bool> {
    let page = dir.join("results.html");
    std::fs::write(&page, page::html(results))?;
    println!("{}", table::text(results));
    println!("{}", page.display());
    Ok(results.troubles().is_empty())
}
