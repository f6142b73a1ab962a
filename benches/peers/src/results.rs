//! Everything that a run has found out, as `results.json` holds it, and what follows from it.

use serde::{Deserialize, Serialize};

use crate::engine::Promise;
use crate::engines::{self, OURS};
use crate::figures::{Outcome, Tail};
use crate::machine::Machine;
use crate::rows::{Aim, Row};

#[derive(Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) made: String,
    pub(crate) quick: bool,
    pub(crate) rounds: u32,
    pub(crate) machine: Machine,
    pub(crate) engines: Vec<EngineInfo>,
    pub(crate) works: Vec<(String, String)>,
    pub(crate) rows: Vec<Row>,
    pub(crate) outcomes: Vec<Outcome>,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct EngineInfo {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) lsm: bool,
    pub(crate) setup: String,
    pub(crate) docs: String,
    pub(crate) kill: String,
    pub(crate) outlives_kill: bool,
    pub(crate) power: String,
    pub(crate) outlives_power: bool,
}

impl EngineInfo {
    pub(crate) fn of(kind: &engines::Kind) -> Self {
        let about = &kind.about;
        Self {
            id: about.id.into(),
            name: about.name.into(),
            version: (about.version)(),
            lsm: about.lsm,
            setup: about.setup.into(),
            docs: about.docs.into(),
            kill: about.kill.into(),
            outlives_kill: about.outlives_kill,
            power: about.power.into(),
            outlives_power: about.outlives_power,
        }
    }

    pub(crate) fn ours(&self) -> bool {
        self.id == OURS
    }

    /// Whether a put outlives what it has to in a row.
    pub(crate) fn keeps(&self, promise: Option<Promise>) -> bool {
        match promise {
            Some(Promise::Kill) => self.outlives_kill,
            Some(Promise::Power) => self.outlives_power,
            None => true,
        }
    }
}

/// A row of one engine over all rounds: the median; of the longest operations the longest.
#[derive(Clone, Copy)]
pub(crate) struct Cell {
    pub(crate) value: f64,
    pub(crate) tail: Option<Tail>,
}

/// How Siltstone stands in a row.
pub(crate) struct Standing {
    /// To the best of the peers that promise the same, more than 1 if ahead; none without such a peer.
    pub(crate) ratio: Option<f64>,
    pub(crate) verdict: Verdict,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Reached,
    Short,
    Behind,
    Told,
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.get(values.len().checked_sub(1)? / 2)?, values.get(values.len() / 2)?);
    Some((low + high) / 2.0)
}

impl Results {
    pub(crate) fn cell(&self, row: &Row, engine: &EngineInfo) -> Option<Cell> {
        let outcomes = self.outcomes.iter().filter(|outcome| outcome.engine == engine.id);
        let figures: Vec<_> =
            outcomes.flat_map(|outcome| &outcome.figures).filter(|figure| figure.row == row.id).collect();
        let tails: Vec<Tail> = figures.iter().filter_map(|figure| figure.tail).collect();
        let of = |take: fn(&Tail) -> f64| median(tails.iter().map(take).collect());
        let longest = tails.iter().map(|tail| tail.longest).fold(0.0, f64::max);
        let tail = || {
            let (p50, p99, p999) = (of(|tail| tail.p50)?, of(|tail| tail.p99)?, of(|tail| tail.p999)?);
            Some(Tail { p50, p99, p999, longest })
        };
        let value = median(figures.iter().map(|figure| figure.value).collect())?;
        Some(Cell { value, tail: tail() })
    }

    /// The rows that something was measured for.
    pub(crate) fn measured(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| self.engines.iter().any(|engine| self.cell(row, engine).is_some()))
    }

    pub(crate) fn standing(&self, row: &Row) -> Standing {
        let ours = self.engines.iter().find(|engine| engine.ours()).and_then(|engine| self.cell(row, engine));
        let rivals = self.engines.iter().filter(|engine| !engine.ours() && engine.keeps(row.promise));
        let rivals = rivals.filter(|engine| row.aim != Aim::AheadOfLsm || engine.lsm);
        let values = rivals.filter_map(|engine| Some(self.cell(row, engine)?.value));
        let best = values.reduce(if row.lower { f64::min } else { f64::max });
        let ratio = match (ours, best) {
            (Some(ours), Some(best)) if row.lower => Some(best / ours.value),
            (Some(ours), Some(best)) => Some(ours.value / best),
            _ => None,
        };
        Standing { ratio, verdict: verdict(row.aim, ratio, ours.map(|cell| cell.value)) }
    }

    /// What went wrong: figures that could not be had, and promises that were broken.
    pub(crate) fn troubles(&self) -> Vec<String> {
        let name = |id: &str| self.engines.iter().find(|engine| engine.id == id);
        let mut troubles = Vec::new();
        for outcome in &self.outcomes {
            let place = format!(
                "{} in {} ({}), round {}",
                outcome.engine, outcome.work, outcome.stage, outcome.round
            );
            if let Some(failed) = &outcome.failed {
                troubles.push(format!("{place}: {failed}"));
            }
            let promised = name(&outcome.engine).is_some_and(|engine| engine.outlives_kill);
            match outcome.lost {
                Some(lost) if lost > 0 && promised => {
                    troubles
                        .push(format!("{place}: {lost} acknowledged puts were lost, against its promise"));
                }
                _ => {}
            }
        }
        troubles
    }

    /// Acknowledged puts that kills took, in all rounds.
    pub(crate) fn lost(&self, engine: &EngineInfo) -> Option<u64> {
        let outcomes = self.outcomes.iter().filter(|outcome| outcome.engine == engine.id);
        outcomes.filter_map(|outcome| outcome.lost).reduce(|all, lost| all + lost)
    }
}

fn verdict(aim: Aim, ratio: Option<f64>, ours: Option<f64>) -> Verdict {
    let held = |reached: bool, ahead: bool| match (reached, ahead) {
        (true, _) => Verdict::Reached,
        (false, true) => Verdict::Short,
        (false, false) => Verdict::Behind,
    };
    match (aim, ratio, ours) {
        (Aim::None, ..) | (_, _, None) => Verdict::Told,
        (Aim::AtMost(most), ratio, Some(ours)) => held(ours <= most, ratio.is_some_and(|ratio| ratio >= 1.0)),
        (_, None, _) => Verdict::Told,
        (Aim::Times(times), Some(ratio), _) => held(ratio >= times, ratio >= 1.0),
        (Aim::AheadOfLsm, Some(ratio), _) => held(ratio > 1.0, ratio >= 1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::{EngineInfo, Results, Verdict, median};
    use crate::engine::Promise;
    use crate::engines;
    use crate::figures::{Figure, Outcome};
    use crate::machine::Machine;
    use crate::rows::{self, Row};

    /// What engines measured in a row, one outcome for each figure.
    fn results(figures: &[(&str, &str, f64)]) -> Results {
        let outcome = |(engine, row, value): &(&str, &str, f64)| Outcome {
            engine: (*engine).into(),
            figures: vec![Figure { row: (*row).into(), value: *value, tail: None }],
            ..Outcome::default()
        };
        Results {
            made: String::new(),
            quick: true,
            rounds: 1,
            machine: Machine::look(std::path::Path::new(".")),
            engines: engines::ALL.iter().map(EngineInfo::of).collect(),
            works: Vec::new(),
            rows: rows::all(),
            outcomes: figures.iter().map(outcome).collect(),
        }
    }

    fn row(id: &str) -> Row {
        rows::all().into_iter().find(|row| row.id == id).unwrap()
    }

    #[test]
    fn the_median_of_two_lies_between_them() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0]), Some(2.0));
        assert_eq!(median(vec![9.0, 1.0, 2.0]), Some(2.0));
    }

    #[test]
    fn a_put_is_compared_with_those_that_promise_the_same() {
        assert_eq!(row("capture").promise, Some(Promise::Kill));
        let figures = [("siltstone", "capture", 50.0), ("lmdb", "capture", 10.0), ("redb", "capture", 100.0)];
        let standing = results(&figures).standing(&row("capture"));
        assert_eq!(standing.ratio, Some(5.0));
        assert!(standing.verdict == Verdict::Reached);
        let gets = [("siltstone", "get", 50.0), ("lmdb", "get", 10.0), ("redb", "get", 100.0)];
        let standing = results(&gets).standing(&row("get"));
        assert_eq!(standing.ratio, Some(0.5));
        assert!(standing.verdict == Verdict::Behind);
    }

    #[test]
    fn of_costs_less_is_better_and_memory_is_held_against_lsm_trees() {
        let id = "capture.memory";
        let figures = [("siltstone", id, 20.0), ("lmdb", id, 1.0), ("fjall", id, 60.0)];
        let standing = results(&figures).standing(&row(id));
        assert_eq!(standing.ratio, Some(3.0));
        assert!(standing.verdict == Verdict::Reached);
    }

    #[test]
    fn a_lost_put_is_trouble_where_it_breaks_a_promise() {
        let lost = |engine: &str, lost| {
            let mut results = results(&[(engine, "recovery", 1.0)]);
            results.outcomes[0].lost = Some(lost);
            results.troubles().len()
        };
        assert_eq!([lost("siltstone", 0), lost("siltstone", 1), lost("redb", 1)], [0, 1, 0]);
    }

    #[test]
    fn each_row_is_named_once() {
        let mut ids: Vec<String> = rows::all().into_iter().map(|row| row.id).collect();
        let count = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), count);
    }
}
