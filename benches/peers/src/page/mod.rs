//! The page: charts of a run in one file that needs nothing from anywhere.

mod bars;
mod overview;
mod tails;

use std::fmt::Write;

use crate::results::{EngineInfo, Results, Verdict};
use crate::show;
use crate::table;

/// Text as HTML.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The class that colours a verdict.
fn class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Reached => "reached",
        Verdict::Short => "short",
        Verdict::Behind => "behind",
        Verdict::Told => "told",
    }
}

fn who(engine: &EngineInfo) -> &'static str {
    if engine.ours() { "ours" } else { "peer" }
}

/// The whole page.
pub(crate) fn html(results: &Results) -> String {
    let (style, script) = (include_str!("style.css"), include_str!("script.js"));
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Siltstone beside its peers</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n\
         {}{}{}{}{}{}{}</main>\n<script>\n{script}</script>\n</body>\n</html>\n",
        head(results),
        troubles(results),
        overview::section(results),
        bars::sections(results),
        tails::section(results),
        promises(results),
        foot(results),
    )
}

fn head(results: &Results) -> String {
    let machine = &results.machine;
    let buttons: String = results
        .engines
        .iter()
        .map(|engine| {
            let (id, name, who) = (escape(&engine.id), escape(&engine.name), who(engine));
            format!(
                "<button class=\"{who}\" data-engine=\"{id}\">{name} <small>{}</small></button>",
                escape(&engine.version)
            )
        })
        .collect();
    let quick =
        "<p class=\"note\">A quick run: a tenth of everything. Good for a first look, not for a verdict.</p>";
    let rounds = match results.rounds {
        1 => "one round".to_owned(),
        rounds => format!("medians of {rounds} rounds, of the longest operations the longest"),
    };
    let commit =
        if machine.commit.is_empty() { String::new() } else { format!(", commit {}", machine.commit) };
    format!(
        "<header>\n<h1>Siltstone beside its peers</h1>\n\
         <p>{} · {} · {} cores · {} GiB · {} on {} · {}{}</p>\n\
         <p>The same work, keys and values for each engine; each in a process of its own, in turn; {rounds}.</p>\n\
         {}<nav>{buttons}</nav>\n</header>\n",
        escape(&results.made),
        escape(&machine.processor),
        machine.cores,
        machine.memory_gib,
        escape(&machine.file_system),
        escape(&machine.system),
        escape(&machine.compiler),
        escape(&commit),
        if results.quick { quick } else { "" },
    )
}

fn troubles(results: &Results) -> String {
    let items: String =
        results.troubles().iter().map(|trouble| format!("<li>{}</li>", escape(trouble))).collect();
    if items.is_empty() { items } else { format!("<ul class=\"troubles\">{items}</ul>\n") }
}

fn promises(results: &Results) -> String {
    let mut rows = String::new();
    for engine in &results.engines {
        let lost = match results.lost(engine) {
            Some(0) => "none",
            Some(lost) => &format!("{lost} puts"),
            None => "–",
        };
        let docs = engine.docs.split(", ").map(|url| match url.starts_with("http") {
            true => format!("<a href=\"{0}\">{0}</a>", escape(url)),
            false => escape(url),
        });
        let _ = writeln!(
            rows,
            "<tr class=\"{}\"><th>{}</th><td>{}</td><td>{lost}</td><td>{}</td><td>{}<br><small>{}</small></td></tr>",
            who(engine),
            escape(&engine.name),
            escape(&engine.kill),
            escape(&engine.power),
            escape(&engine.setup),
            docs.collect::<Vec<_>>().join("<br>"),
        );
    }
    format!(
        "<section>\n<h2>What is promised, and how each is set up</h2>\n<div class=\"wide\"><table>\n\
         <tr><th></th><th>outlives a kill</th><th>lost to kills in this run</th>\
         <th>outlives a power cut, where puts are durable at once</th><th>set up</th></tr>\n{rows}</table></div>\n\
         <p>An engine whose puts do not outlive what a row asks for is shown hatched there, and Siltstone is not \
         compared with it.</p>\n</section>\n"
    )
}

fn foot(results: &Results) -> String {
    let works: String = results
        .works
        .iter()
        .map(|(name, about)| format!("<dt>{}</dt><dd>{}</dd>", escape(name), escape(about)))
        .collect();
    let checked: u64 = results.outcomes.iter().map(|outcome| outcome.checked).sum();
    format!(
        "<section>\n<h2>The works</h2>\n<dl>{works}</dl>\n\
         <p>{} answers were checked in this run. Figures differ by a third from run to run and machine to machine: \
         compare within one run.</p>\n\
         <details><summary>The same as a table</summary><pre>{}</pre></details>\n</section>\n",
        show::number(checked as f64),
        escape(&table::text(results)),
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(super::escape("<a href=\"x\">&"), "&lt;a href=&quot;x&quot;&gt;&amp;");
    }
}
