//! Which files of values are worth emptying: pure arithmetic.

use std::collections::{BTreeMap, BTreeSet};

use crate::entry::ValueHome;
use crate::manifest::{State, Version};
use crate::options::Sizes;

/// The bytes of values that were put into each complete log and each value file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Space {
    pub(crate) filled: BTreeMap<ValueHome, u64>,
    /// Where the disk is full: how many bytes are left to move values into.
    pub(crate) room: Option<u64>,
}

impl Space {
    /// What was put into the logs whose entries all lie in segments, and into the value files.
    pub(crate) fn of(state: &State) -> Self {
        let logs = state.logs.values().filter(|log| state.is_flushed(log));
        let logs = logs.map(|log| (ValueHome::Log(log.number), log.filled));
        let values = state.values.values().map(|file| (ValueHome::Moved(file.number), file.filled));
        Self { filled: logs.chain(values).collect(), room: None }
    }

    /// How many of those bytes segments refer to, and how many they do not.
    pub(crate) fn live_and_dead(&self, version: &Version) -> (u64, u64) {
        let live = version.live_bytes();
        self.filled.iter().fold((0, 0), |(all_live, all_dead), (home, filled)| {
            let live = live.get(home).copied().unwrap_or(0);
            (all_live + live, all_dead + filled.saturating_sub(live))
        })
    }

    /// The files whose values shall move: those of which a fifth or more is dead, once in all of them so
    /// much is dead that it is a quarter of what lives, and a slack. Then what is left of dead values is
    /// less than that again. A fifth and a quarter, or what else [`Sizes::dead_part`] says.
    pub(crate) fn victims(&self, version: &Version, sizes: &Sizes) -> BTreeSet<ValueHome> {
        if let Some(room) = self.room {
            return self.best_that_fits(version, room).into_iter().collect();
        }
        let (all_live, all_dead) = self.live_and_dead(version);
        let part = sizes.dead_part.max(1);
        if all_dead <= (all_live / part).saturating_add(sizes.dead_slack) {
            return BTreeSet::new();
        }
        self.partly_dead(&version.live_bytes(), part + 1)
    }

    /// The files of which one byte in so many, or more, is dead.
    pub(crate) fn partly_dead(&self, live: &BTreeMap<ValueHome, u64>, part: u64) -> BTreeSet<ValueHome> {
        let is_dead = |(home, filled): &(&ValueHome, &u64)| {
            let live = live.get(home).copied().unwrap_or(0);
            **filled > live && filled.saturating_sub(live) >= *filled / part
        };
        self.filled.iter().filter(is_dead).map(|(home, _)| *home).collect()
    }

    /// The file that gives most space back, of those with a fifth dead whose living values have room, and what is
    /// written besides them too.
    fn best_that_fits(&self, version: &Version, room: u64) -> Option<ValueHome> {
        let live = version.live_bytes();
        let files = self.filled.iter().filter_map(|(home, filled)| {
            let live = live.get(home).copied().unwrap_or(0);
            let dead = filled.saturating_sub(live);
            (dead > 0 && dead >= filled / 5 && live <= room / 2).then_some((dead, *home))
        });
        files.max().map(|(_, home)| home)
    }
}
