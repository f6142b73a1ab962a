//! The table that a run prints.

use crate::results::{Results, Standing, Verdict};
use crate::rows::{Aim, Row};
use crate::show;

/// Lines of cells, the first cell to the left and the others to the right.
fn aligned(lines: &[Vec<String>]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        lines.iter().filter_map(|line| Some(line.get(column)?.chars().count())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let show = |line: &Vec<String>| {
        let cells = line.iter().zip(&widths).enumerate();
        let cells = cells.map(|(column, (cell, width))| {
            let blanks = " ".repeat(width - cell.chars().count());
            if column == 0 { format!("{cell}{blanks}") } else { format!("{blanks}{cell}") }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    lines.iter().map(show).collect()
}

/// The aim of a row, in words.
pub(crate) fn aim(aim: Aim) -> String {
    match aim {
        Aim::Times(times) => format!("{times}×"),
        Aim::AtMost(most) => format!("≤ {most}"),
        Aim::AheadOfLsm => "> LSM".into(),
        Aim::None => String::new(),
    }
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Reached => "reached",
        Verdict::Short => "short",
        Verdict::Behind => "BEHIND",
        Verdict::Told => "",
    }
}

fn heads(results: &Results, first: &str, more: &[&str]) -> Vec<String> {
    let names = results.engines.iter().map(|engine| engine.name.clone());
    std::iter::once(first.to_owned()).chain(names).chain(more.iter().map(|&head| head.to_owned())).collect()
}

fn line(results: &Results, row: &Row) -> Vec<String> {
    let Standing { ratio, verdict: stands } = results.standing(row);
    let cells = results.engines.iter().map(|engine| match results.cell(row, engine) {
        Some(cell) if engine.keeps(row.promise) => show::number(cell.value),
        Some(cell) => format!("({})", show::number(cell.value)),
        None => "–".into(),
    });
    let mut line = vec![format!("{} [{}]", row.title, row.unit)];
    line.extend(cells);
    line.extend([ratio.map(show::times).unwrap_or_default(), aim(row.aim), verdict(stands).into()]);
    line
}

fn tails(results: &Results) -> Vec<Vec<String>> {
    let mut lines =
        vec![["", "", "median", "p99", "p99.9", "longest"].iter().map(|&head| head.into()).collect()];
    for row in results.measured() {
        for engine in &results.engines {
            let Some(tail) = results.cell(row, engine).and_then(|cell| cell.tail) else { continue };
            let quantiles = [tail.p50, tail.p99, tail.p999, tail.longest].map(show::time);
            let mut line = vec![row.id.clone(), engine.name.clone()];
            line.extend(quantiles);
            lines.push(line);
        }
    }
    lines
}

/// All of it, as text.
pub(crate) fn text(results: &Results) -> String {
    let mut lines = Vec::new();
    let mut section = "";
    for row in results.measured() {
        if row.section != section {
            section = &row.section;
            lines.extend((!lines.is_empty()).then(Vec::new));
            lines.push(heads(results, section, &["to best", "aim", ""]));
        }
        lines.push(line(results, row));
    }
    let mut text = aligned(&lines);
    text += "\n(In brackets: puts that are not promised to outlive a kill, or a power cut where they are durable at\n\
             once. They are not compared with.)\n";
    for engine in &results.engines {
        if let Some(lost) = results.lost(engine).filter(|lost| *lost > 0) {
            text += &format!("  {} lost {lost} acknowledged puts to the kills of this run.\n", engine.name);
        }
    }
    text += "\nHow long one operation takes\n";
    text += &aligned(&tails(results));
    let checked: u64 = results.outcomes.iter().map(|outcome| outcome.checked).sum();
    text += &format!("\n{checked} answers were checked.\n");
    for trouble in results.troubles() {
        text += &format!("FAILED  {trouble}\n");
    }
    text
}
