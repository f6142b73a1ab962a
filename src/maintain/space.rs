//! Which files of values are worth emptying: pure arithmetic.

use std::collections::{BTreeMap, BTreeSet};

use crate::entry::ValueHome;
use crate::manifest::Version;

/// The bytes of values that were put into each complete log and each value file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Space {
    pub(crate) filled: BTreeMap<ValueHome, u64>,
}

impl Space {
    /// The files whose values shall move: those of which a fifth or more is dead, once in all of them so
    /// much is dead that it is a quarter of what lives, and this slack. Then what is left of dead values is
    /// less than that again.
    pub(crate) fn victims(&self, version: &Version, slack: u64) -> BTreeSet<ValueHome> {
        let live = version.live_bytes();
        let dead =
            |home: &ValueHome, filled: u64| filled.saturating_sub(live.get(home).copied().unwrap_or(0));
        let all_live: u64 = self.filled.keys().filter_map(|home| live.get(home)).sum();
        let all_dead: u64 = self.filled.iter().map(|(home, filled)| dead(home, *filled)).sum();
        if all_dead <= (all_live / 4).saturating_add(slack) {
            return BTreeSet::new();
        }
        let mostly = |(home, filled): &(&ValueHome, &u64)| dead(home, **filled) >= **filled / 5;
        self.filled.iter().filter(mostly).map(|(home, _)| *home).collect()
    }
}
