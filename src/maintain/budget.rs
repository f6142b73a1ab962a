//! How much lies under a prefix, and what has to go so that it is less: pure arithmetic.

/// Some entries under a prefix, by the operations that wrote them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// So many bytes, written between two operations; evenly, for all that is known.
    Rough { first_seq: u64, last_seq: u64, bytes: u64 },
    /// Each entry's operation, in order, and the bytes from it on.
    Exact(Vec<(u64, u64)>),
}

impl Part {
    /// From each entry's operation and bytes.
    pub(crate) fn exact(mut entries: Vec<(u64, u64)>) -> Self {
        entries.sort_unstable();
        let mut since = 0;
        for (_, bytes) in entries.iter_mut().rev() {
            since += *bytes;
            *bytes = since;
        }
        Self::Exact(entries)
    }

    fn last_seq(&self) -> u64 {
        match self {
            Self::Rough { last_seq, .. } => *last_seq,
            Self::Exact(entries) => entries.last().map_or(0, |(seq, _)| *seq),
        }
    }

    /// How many of its bytes were not written before this operation; about, if it is rough.
    fn since(&self, seq: u64) -> u64 {
        match self {
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
        let part = Part::exact(vec![(9, 10), (3, 1), (5, 100)]);
        let since = [0, 3, 4, 5, 6, 9, 10].map(|seq| part.since(seq));
        assert_eq!(since, [111, 111, 110, 110, 10, 10, 0]);
        assert!(!part.is_rough_at(5));
        assert_eq!(cutoff(&[part], 0, 50), Some(6));
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
