//! How much lies under a prefix, and what has to go so that it is less: pure arithmetic.

/// Some entries under a prefix that were written between two operations, evenly as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) first_seq: u64,
    pub(crate) last_seq: u64,
    pub(crate) bytes: u64,
}

impl Part {
    /// About how many of its bytes were not written before this operation.
    pub(crate) fn since(&self, seq: u64) -> u64 {
        if seq > self.last_seq {
            return 0;
        }
        let all = u128::from(self.last_seq - self.first_seq) + 1;
        let left = u128::from(self.last_seq - seq.max(self.first_seq)) + 1;
        u64::try_from(u128::from(self.bytes) * left / all).unwrap_or(self.bytes)
    }
}

/// Everything written before this operation has to go, so that no more than `limit` bytes stay; `None` if nothing
/// has to.
///
/// Where a little more can go, so that files go as a whole, it does: at most a sixteenth of the limit.
pub(crate) fn cutoff(parts: &[Part], limit: u64) -> Option<u64> {
    let kept = |seq: u64| parts.iter().map(|part| part.since(seq)).sum::<u64>();
    let (mut low, mut high) = (0, parts.iter().map(|part| part.last_seq).max()? + 1);
    if kept(low) <= limit {
        return None;
    }
    // More than the limit is kept from `low` on, and no more from `high` on.
    while high - low > 1 {
        let middle = low.midpoint(high);
        if kept(middle) <= limit { high = middle } else { low = middle }
    }
    let ends = parts.iter().map(|part| part.last_seq + 1).filter(|end| *end >= high);
    let even = ends.min().filter(|end| kept(*end) >= limit - limit / 16);
    Some(even.unwrap_or(high))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn part(first_seq: u64, last_seq: u64, bytes: u64) -> Part {
        Part { first_seq, last_seq, bytes }
    }

    #[test]
    fn what_is_oldest_goes() {
        let parts = [part(1, 100, 1000), part(101, 200, 1000), part(201, 300, 1000)];
        assert_eq!(cutoff(&parts, 3000), None);
        assert_eq!(cutoff(&parts, 2000), Some(101));
        assert_eq!(cutoff(&parts, 1500), Some(151));
        assert_eq!(cutoff(&parts, 2050), Some(101), "a whole file rather than most of it");
        assert_eq!(cutoff(&parts, 0), Some(301));
        assert_eq!(cutoff(&[], 0), None);
    }

    proptest! {
        #[test]
        fn never_more_stays_and_seldom_much_less(
            parts in proptest::collection::vec((1u64..500, 0u64..500, 0u64..10_000), 1..9), limit in 0u64..30_000,
        ) {
            let parts: Vec<_> = parts.into_iter().map(|(first, more, bytes)| part(first, first + more, bytes)).collect();
            let kept = |seq| parts.iter().map(|part| part.since(seq)).sum::<u64>();
            match cutoff(&parts, limit) {
                None => prop_assert!(kept(0) <= limit),
                Some(seq) => prop_assert!(kept(seq) <= limit && kept(0) > limit),
            }
        }
    }
}
