//! How long single operations take, as dots on a logarithmic scale from nanoseconds to seconds.

use std::fmt::Write;

use super::{escape, who};
use crate::figures::Tail;
use crate::results::{EngineInfo, Results};
use crate::rows::Row;
use crate::show;

const WIDTH: f64 = 560.0;
const LEFT: f64 = 90.0;
const RIGHT: f64 = 545.0;
const LINE: f64 = 20.0;
const TOP: f64 = 26.0;
/// The ends of the scale, in microseconds.
const LEAST: f64 = 0.1;
const MOST: f64 = 1e7;

fn x(micros: f64) -> f64 {
    let share = (micros.clamp(LEAST, MOST) / LEAST).ln() / (MOST / LEAST).ln();
    LEFT + share * (RIGHT - LEFT)
}

pub(crate) fn section(results: &Results) -> String {
    let charts: String = results.measured().filter_map(|row| chart(results, row)).collect();
    if charts.is_empty() {
        return charts;
    }
    format!(
        "<section>\n<h2>How long one operation takes</h2>\n<p>From left to right the median, 99 %, 99.9 % and the \
         longest (ringed), on a logarithmic scale.</p>\n<div class=\"cards tails\">\n{charts}</div>\n</section>\n"
    )
}

fn chart(results: &Results, row: &Row) -> Option<String> {
    let tails = results.engines.iter().filter_map(|engine| Some((engine, results.cell(row, engine)?.tail?)));
    let tails: Vec<(&EngineInfo, Tail)> = tails.collect();
    if tails.is_empty() {
        return None;
    }
    let height = TOP + tails.len() as f64 * LINE + 6.0;
    let mut svg = String::new();
    for power in 0..=8 {
        let micros = LEAST * 10_f64.powi(power);
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"18\" y2=\"{1:.1}\"/>\
             <text class=\"tick\" x=\"{0:.1}\" y=\"12\">{2}</text>",
            x(micros),
            height - 6.0,
            tick(micros),
        );
    }
    for (index, (engine, tail)) in tails.iter().enumerate() {
        svg += &line(engine, tail, TOP + (index as f64 + 0.5) * LINE);
    }
    Some(format!(
        "<article class=\"card\"><h3>{}</h3><svg viewBox=\"0 0 {WIDTH} {height}\">{svg}</svg></article>\n",
        escape(&row.title)
    ))
}

/// A power of ten of a microsecond, without its fraction.
fn tick(micros: f64) -> String {
    show::time(micros).replace(".00", "").replace(".0", "")
}

fn line(engine: &EngineInfo, tail: &Tail, y: f64) -> String {
    let name = escape(&engine.name);
    let told = [("median", tail.p50), ("99 %", tail.p99), ("99.9 %", tail.p999), ("longest", tail.longest)];
    let dots: String = told
        .iter()
        .map(|(what, micros)| {
            let ring = if *what == "longest" { " class=\"ring\"" } else { "" };
            let (x, time) = (x(*micros), show::time(*micros));
            format!("<circle{ring} cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"><title>{name}, {what}: {time}</title></circle>")
        })
        .collect();
    format!(
        "<g class=\"{}\" data-engine=\"{}\"><text class=\"label\" x=\"{:.1}\" y=\"{:.1}\">{name}</text>\
         <line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>{dots}</g>",
        who(engine),
        escape(&engine.id),
        LEFT - 10.0,
        y + 4.0,
        x(tail.p50),
        x(tail.longest),
    )
}
