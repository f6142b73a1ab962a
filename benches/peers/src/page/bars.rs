//! A bar chart for each row: as long as what was measured, ours in colour.

use std::fmt::Write;

use super::{class, escape, who};
use crate::results::{EngineInfo, Results};
use crate::rows::{Aim, Row};
use crate::show;
use crate::table;

pub(crate) fn sections(results: &Results) -> String {
    let mut html = String::new();
    let mut section = "";
    for row in results.measured() {
        if row.section != section {
            html += if section.is_empty() { "" } else { "</div>\n</section>\n" };
            section = &row.section;
            let _ = writeln!(html, "<section>\n<h2>{}</h2>\n<div class=\"cards\">", escape(section));
        }
        html += &card(results, row);
    }
    html + if section.is_empty() { "" } else { "</div>\n</section>\n" }
}

fn card(results: &Results, row: &Row) -> String {
    let standing = results.standing(row);
    let aim = match row.aim {
        Aim::None => String::new(),
        aim => format!("<small>aim {}</small>", escape(&table::aim(aim))),
    };
    let badge = standing.ratio.map(|ratio| {
        let against = if row.aim == Aim::AheadOfLsm { "the best LSM" } else { "the best peer" };
        let (class, times) = (class(standing.verdict), show::times(ratio));
        format!("<span class=\"badge {class}\" title=\"to {against}\">{times}</span>")
    });
    let values = results.engines.iter().filter_map(|engine| Some((engine, results.cell(row, engine)?.value)));
    let mut values: Vec<(&EngineInfo, f64)> = values.collect();
    values.sort_by(|a, b| if row.lower { a.1.total_cmp(&b.1) } else { b.1.total_cmp(&a.1) });
    let longest = values.iter().map(|(_, value)| *value).fold(f64::MIN_POSITIVE, f64::max);
    let bars: String = values.iter().map(|(engine, value)| bar(row, engine, (*value, longest))).collect();
    let better = if row.lower { ", less is better" } else { "" };
    format!(
        "<article class=\"card\">\n<h3>{} <i>{}{better}</i></h3>\n<p class=\"ratio\">{} {aim}</p>\n{bars}</article>\n",
        escape(&row.title),
        escape(&row.unit),
        badge.unwrap_or_default(),
    )
}

fn bar(row: &Row, engine: &EngineInfo, (value, longest): (f64, f64)) -> String {
    let weaker = if engine.keeps(row.promise) { "" } else { " weaker" };
    format!(
        "<div class=\"bar {}{weaker}\" data-engine=\"{}\"><b>{}</b><span><i style=\"width:{:.2}%\"></i></span>\
         <em>{}</em></div>\n",
        who(engine),
        escape(&engine.id),
        escape(&engine.name),
        value / longest * 100.0,
        show::number(value),
    )
}
