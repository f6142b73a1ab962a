//! All ratios on one scale: where Siltstone is ahead, by how much, and where it means to be.

use std::fmt::Write;

use super::{class, escape};
use crate::results::{Results, Verdict};
use crate::rows::{Aim, Row};
use crate::show;

const WIDTH: f64 = 1000.0;
const LEFT: f64 = 430.0;
const RIGHT: f64 = 930.0;
const LINE: f64 = 22.0;
const TOP: f64 = 34.0;
/// The ends of the scale: what lies beyond is drawn there.
const LEAST: f64 = 0.1;
const MOST: f64 = 20.0;

fn x(ratio: f64) -> f64 {
    let share = (ratio.clamp(LEAST, MOST) / LEAST).ln() / (MOST / LEAST).ln();
    LEFT + share * (RIGHT - LEFT)
}

/// The rows that have an aim and a peer to be compared with.
fn compared(results: &Results) -> Vec<(&Row, f64, Verdict)> {
    let compare = |row| {
        let standing = results.standing(row);
        Some((row, standing.ratio.filter(|_| standing.verdict != Verdict::Told)?, standing.verdict))
    };
    results.measured().filter_map(compare).collect()
}

pub(crate) fn section(results: &Results) -> String {
    let rows = compared(results);
    if rows.is_empty() {
        return String::new();
    }
    let height = TOP + rows.len() as f64 * LINE + 8.0;
    let mut svg = String::new();
    for tick in [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0] {
        let (x, class) = (x(tick), if tick == 1.0 { "even" } else { "grid" });
        let _ = write!(
            svg,
            "<line class=\"{class}\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/>\
             <text class=\"tick\" x=\"{x:.1}\" y=\"16\">{tick}×</text>",
            TOP - 10.0,
            height - 8.0
        );
    }
    for (index, row) in rows.iter().enumerate() {
        svg += &line(row, TOP + (index as f64 + 0.5) * LINE);
    }
    let count = |verdict| rows.iter().filter(|row| row.2 == verdict).count();
    format!(
        "<section>\n<h2>Siltstone to the best peer</h2>\n<p>Right of 1× Siltstone is ahead; a tick marks the aim. \
         <span class=\"badge reached\">{} reached</span> <span class=\"badge short\">{} ahead, short of the aim</span> \
         <span class=\"badge behind\">{} behind</span></p>\n<div class=\"wide\"><svg class=\"overview\" \
         viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"ratios\">{svg}</svg></div>\n</section>\n",
        count(Verdict::Reached),
        count(Verdict::Short),
        count(Verdict::Behind),
    )
}

fn line((row, ratio, verdict): &(&Row, f64, Verdict), y: f64) -> String {
    let section = if row.title.contains(' ') { String::new() } else { format!("{}: ", row.section) };
    let label = escape(&format!("{section}{}", row.title));
    let (class, to, even) = (class(*verdict), x(*ratio), x(1.0));
    let aim = match row.aim {
        Aim::Times(times) => {
            let x = x(times);
            let (top, bottom) = (y - 7.0, y + 7.0);
            format!("<line class=\"aim\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top:.1}\" y2=\"{bottom:.1}\"/>")
        }
        _ => String::new(),
    };
    let text = y + 4.0;
    format!(
        "<text class=\"label\" x=\"{:.1}\" y=\"{text:.1}\">{label}</text>{aim}\
         <line class=\"stem {class}\" x1=\"{even:.1}\" x2=\"{to:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
         <circle class=\"{class}\" cx=\"{to:.1}\" cy=\"{y:.1}\" r=\"5\"/>\
         <text class=\"value\" x=\"{:.1}\" y=\"{text:.1}\">{}</text>",
        LEFT - 12.0,
        RIGHT + 12.0,
        show::times(*ratio),
    )
}
