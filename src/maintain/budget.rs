//! How much lies under a prefix, and what has to go so that it is less: pure arithmetic.

/// Some entries under a prefix, by the operations that wrote them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// So many bytes, written between two operations; evenly, for all that is known.
    Rough { first_seq: u64, last_seq: u64, bytes: u64 },
    /// Operations, in order, and the bytes from each on.
    Exact(Vec<(u64, u64)>),
    /// What was written up to this operation is told of by another part.
    Known { last_seq: u64 },
}

/// Each time that entries are told of together, it is known to one part in so many when they were written.
const STEPS: usize = 512;

/// Any number of entries, each one's operation and bytes, in little memory: of many, neighbours are told of as if the
/// newest of them had written them all. So no more stays than is told, and no less by some hundredths.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    /// Those of the first are as they came. Each next one holds what twice as many entries made, or nothing: an
    /// entry is joined with others once a level, and so not often.
    levels: Vec<Vec<(u64, u64)>>,
}

impl Steps {
    pub(crate) fn add(&mut self, seq: u64, bytes: u64) {
        let newest = self.level(0);
        newest.push((seq, bytes));
        if newest.len() == 2 * STEPS {
            let full = std::mem::take(newest);
            self.carry(full, 1);
        }
    }

    pub(crate) fn add_all(&mut self, steps: Self) {
        for (level, steps) in steps.levels.into_iter().enumerate() {
            match level {
                0 => steps.into_iter().for_each(|(seq, bytes)| self.add(seq, bytes)),
                _ => self.carry(steps, level),
            }
        }
    }

    /// Puts them into this level, or with what is there into the next one.
    fn carry(&mut self, mut steps: Vec<(u64, u64)>, mut level: usize) {
        if steps.is_empty() {
            return;
        }
        while !self.level(level).is_empty() {
            steps.append(self.level(level));
            steps = join(steps);
            level += 1;
        }
        *self.level(level) = steps;
    }

    fn level(&mut self, level: usize) -> &mut Vec<(u64, u64)> {
        if self.levels.len() <= level {
            self.levels.resize(level + 1, Vec::new());
        }
        &mut self.levels[level]
    }

    pub(crate) fn part(&self) -> Part {
        let mut steps = self.levels.concat();
        steps.sort_unstable();
        let mut since = 0;
        for (_, bytes) in steps.iter_mut().rev() {
            since += *bytes;
            *bytes = since;
        }
        Part::Exact(steps)
    }
}

/// No two neighbours that are a small part of all together: twice [`STEPS`] at most, and one.
fn join(mut steps: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    steps.sort_unstable();
    let most = steps.iter().map(|(_, bytes)| bytes).sum::<u64>() / STEPS as u64;
    steps.dedup_by(|next, step| {
        let joins = step.1 + next.1 <= most;
        if joins {
            *step = (next.0, step.1 + next.1);
        }
        joins
    });
    steps.shrink_to_fit();
    steps
}

impl Part {
    pub(crate) fn last_seq(&self) -> u64 {
        match self {
            Self::Rough { last_seq, .. } | Self::Known { last_seq } => *last_seq,
            Self::Exact(entries) => entries.last().map_or(0, |(seq, _)| *seq),
        }
    }

    /// How many of its bytes were not written before this operation; about, if it is rough.
    fn since(&self, seq: u64) -> u64 {
        match self {
            Self::Known { .. } => 0,
            Self::Rough { last_seq, .. } if seq > *last_seq => 0,
            Self::Rough { first_seq, last_seq, bytes } => {
                let all = u128::from(last_seq - first_seq) + 1;
                let left = u128::from(last_seq - seq.max(*first_seq)) + 1;
                u64::try_from(u128::from(*bytes) * left / all).unwrap_or(*bytes)
            }
            Self::Exact(entries) => {
                let at = entries.partition_point(|(written, _)| *written < seq);
                entries.get(at).map_or(0, |(_, bytes)| *bytes)
            }
        }
    }

    /// Whether it is only roughly known how much of it was written before this operation.
    pub(crate) fn is_rough_at(&self, seq: u64) -> bool {
        matches!(self, Self::Rough { first_seq, last_seq, .. } if (*first_seq + 1..=*last_seq).contains(&seq))
    }
}

/// Everything written before this operation has to go, so that no more than `limit` bytes stay; `None` if nothing
/// has to. What was written before `gone` has gone already.
///
/// Where a little more can go, so that files go as a whole, it does: at most a sixteenth of the limit.
pub(crate) fn cutoff(parts: &[Part], gone: u64, limit: u64) -> Option<u64> {
    let kept = |seq: u64| parts.iter().map(|part| part.since(seq)).sum::<u64>();
    if kept(gone) <= limit {
        return None;
    }
    let (mut low, mut high) = (gone, parts.iter().map(Part::last_seq).max()? + 1);
    // More than the limit is kept from `low` on, and no more from `high` on.
    while high - low > 1 {
        let middle = low.midpoint(high);
        if kept(middle) <= limit { high = middle } else { low = middle }
    }
    let ends = parts.iter().map(|part| part.last_seq() + 1).filter(|end| *end >= high);
    let even = ends.min().filter(|end| kept(*end) >= limit - limit / 16);
    Some(even.unwrap_or(high))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn part(first_seq: u64, last_seq: u64, bytes: u64) -> Part {
        Part::Rough { first_seq, last_seq, bytes }
    }

    #[test]
    fn what_is_oldest_goes() {
        let parts = [part(1, 100, 1000), part(101, 200, 1000), part(201, 300, 1000)];
        assert_eq!(cutoff(&parts, 0, 3000), None);
        assert_eq!(cutoff(&parts, 0, 2000), Some(101));
        assert_eq!(cutoff(&parts, 101, 2000), None);
        assert_eq!(cutoff(&parts, 0, 1500), Some(151));
        assert_eq!(cutoff(&parts, 0, 2050), Some(101), "a whole file rather than most of it");
        assert_eq!(cutoff(&parts, 0, 0), Some(301));
        assert_eq!(cutoff(&[], 0, 0), None);
    }

    #[test]
    fn what_is_known_exactly_is_told_exactly() {
        let mut steps = Steps::default();
        [(9, 10), (3, 1), (5, 100)].into_iter().for_each(|(seq, bytes)| steps.add(seq, bytes));
        let part = steps.part();
        let since = [0, 3, 4, 5, 6, 9, 10].map(|seq| part.since(seq));
        assert_eq!(since, [111, 111, 110, 110, 10, 10, 0]);
        assert!(!part.is_rough_at(5));
        assert_eq!(cutoff(&[part], 0, 50), Some(6));
    }

    #[test]
    fn any_number_of_entries_is_told_in_little_memory() {
        // In order, the other way round, and all over the place.
        const COUNT: u64 = 1_000_003;
        for step in [1, COUNT - 1, 7_919] {
            let entries = || (0..COUNT).map(|index| (index * step % COUNT, 1 + index % 100));
            // In two parts, as if from two segments.
            let (mut steps, mut others) = (Steps::default(), Steps::default());
            entries().take(300_000).for_each(|(seq, bytes)| steps.add(seq, bytes));
            entries().skip(300_000).for_each(|(seq, bytes)| others.add(seq, bytes));
            steps.add_all(others);
            assert!(steps.levels.concat().len() < 12 * 2 * STEPS);
            let (part, all) = (steps.part(), entries().map(|(_, bytes)| bytes).sum::<u64>());
            assert_eq!(part.since(0), all);
            for seq in [1, 10_000, 500_000, 999_999] {
                let exactly = entries().filter(|(at, _)| *at >= seq).map(|(_, bytes)| bytes).sum::<u64>();
                let told = part.since(seq);
                assert!(exactly <= told && told <= exactly + all / 50, "step {step}: {told}, {exactly}");
            }
        }
    }

    proptest! {
        #[test]
        fn never_more_stays_and_seldom_much_less(
            parts in proptest::collection::vec((1u64..500, 0u64..500, 0u64..10_000), 1..9),
            gone in 0u64..300,
            limit in 0u64..30_000,
        ) {
            let parts: Vec<_> =
                parts.into_iter().map(|(first, more, bytes)| part(first, first + more, bytes)).collect();
            let kept = |seq| parts.iter().map(|part| part.since(seq)).sum::<u64>();
            match cutoff(&parts, gone, limit) {
                None => prop_assert!(kept(gone) <= limit),
                Some(seq) => prop_assert!(kept(seq) <= limit && kept(gone) > limit && seq > gone),
            }
        }
    }
}
