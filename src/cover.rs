//! Covers: deleted ranges of keys. What a cover hides is dropped by whole files or by merges, and until then
//! by whoever reads.

use std::sync::Arc;

use bincode::{Decode, Encode};

/// Of the keys from `start` on and before `end`, every version older than `before` is deleted.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Cover {
    pub(crate) start: Vec<u8>,
    /// `None`: to the last key.
    pub(crate) end: Option<Vec<u8>>,
    pub(crate) before: u64,
    /// The number of the operation that deleted them; `before`, unless it spared what was written last.
    pub(crate) seq: u64,
}

impl Cover {
    /// Whether all of a range lies in it.
    pub(crate) fn contains(&self, start: &[u8], end: Option<&[u8]>) -> bool {
        let ends_later = match (self.end.as_deref(), end) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(end), Some(other)) => end >= other,
        };
        *self.start <= *start && ends_later
    }
}

/// A range of keys that a source leaves out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) start: Vec<u8>,
    pub(crate) end: Option<Vec<u8>>,
}

impl Gap {
    /// Whether all keys from `first` on lie in it that are before `end` and not behind `last`.
    pub(crate) fn hides(&self, first: &[u8], end: Option<&[u8]>, last: &[u8]) -> bool {
        let beyond = |own: &[u8]| last < own || end.is_some_and(|end| end <= own);
        *self.start <= *first && self.end.as_deref().is_none_or(beyond)
    }
}

/// All covers of a view, cut where one begins or ends, so that one lookup finds all that lie over a key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Covers {
    all: Vec<Arc<Cover>>,
    /// By key; they do not overlap.
    spans: Vec<Span>,
}

#[derive(Clone, Debug)]
struct Span {
    start: Vec<u8>,
    end: Option<Vec<u8>>,
    /// Of the covers over it, what they are before and their own numbers.
    over: Vec<(u64, u64)>,
}

impl Span {
    /// A reader at this number sees no version older than this.
    fn hidden_before(&self, at: u64) -> u64 {
        let seen = self.over.iter().filter(|(_, seq)| *seq <= at);
        seen.map(|(before, _)| *before).max().unwrap_or(0)
    }
}

impl Covers {
    pub(crate) fn new(mut all: Vec<Arc<Cover>>) -> Self {
        all.sort_by(|a, b| a.start.cmp(&b.start));
        let mut bounds: Vec<&[u8]> = all.iter().flat_map(|cover| bounds(cover)).collect();
        bounds.sort_unstable();
        bounds.dedup();
        let ends = bounds.iter().skip(1).map(|end| Some(*end)).chain([None]);
        // Those that begin from bound to bound, and those of them that have not ended.
        let (mut coming, mut over) = (all.iter().peekable(), Vec::new());
        let mut spans = Vec::new();
        for (start, end) in bounds.iter().zip(ends) {
            over.retain(|cover: &&Arc<Cover>| cover.end.as_deref().is_none_or(|end| end > *start));
            while let Some(cover) = coming.next_if(|cover| cover.start == *start) {
                over.push(cover);
            }
            if !over.is_empty() {
                let over = over.iter().map(|cover| (cover.before, cover.seq)).collect();
                spans.push(Span { start: start.to_vec(), end: end.map(<[u8]>::to_vec), over });
            }
        }
        Self { spans, all }
    }

    /// These and one more.
    pub(crate) fn with(&self, more: &[Arc<Cover>]) -> Self {
        Self::new(self.all.iter().chain(more).cloned().collect())
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Cover>> {
        self.all.iter()
    }

    /// Whether a version of this key, and so every older one, is hidden from a reader at the number `at`.
    #[inline]
    pub(crate) fn hide(&self, key: &[u8], seq: u64, at: u64) -> bool {
        !self.is_empty() && self.hides(key, seq, at)
    }

    fn hides(&self, key: &[u8], seq: u64, at: u64) -> bool {
        let after = self.spans.partition_point(|span| *span.start <= *key);
        let span = after.checked_sub(1).and_then(|at| self.spans.get(at));
        let span = span.filter(|span| span.end.as_deref().is_none_or(|end| key < end));
        span.is_some_and(|span| seq < span.hidden_before(at))
    }

    /// The ranges between these keys, in order, in which all that is not newer than `newest` is hidden from a
    /// reader at the number `at`.
    pub(crate) fn gaps(&self, (first, last): (&[u8], Option<&[u8]>), newest: u64, at: u64) -> Vec<Gap> {
        let mut gaps: Vec<Gap> = Vec::new();
        let from = self.spans.partition_point(|span| span.end.as_deref().is_some_and(|end| end <= first));
        let near =
            self.spans.iter().skip(from).take_while(|span| last.is_none_or(|last| *span.start <= *last));
        for span in near.filter(|span| newest < span.hidden_before(at)) {
            match gaps.last_mut() {
                Some(gap) if gap.end.as_ref() == Some(&span.start) => gap.end.clone_from(&span.end),
                _ => gaps.push(Gap { start: span.start.clone(), end: span.end.clone() }),
            }
        }
        gaps
    }
}

fn bounds(cover: &Cover) -> impl Iterator<Item = &[u8]> {
    std::iter::once(&*cover.start).chain(cover.end.as_deref())
}

/// Without those that a newer one makes needless to whoever sees all.
pub(crate) fn outermost(covers: Vec<Arc<Cover>>) -> Vec<Arc<Cover>> {
    let is_needed = |cover: &Arc<Cover>| {
        !covers.iter().any(|other| {
            other.seq > cover.seq
                && other.before >= cover.before
                && other.contains(&cover.start, cover.end.as_deref())
        })
    };
    covers.iter().filter(|cover| is_needed(cover)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn holds(cover: &Cover, key: &[u8]) -> bool {
        *cover.start <= *key && cover.end.as_deref().is_none_or(|end| key < end)
    }

    fn any_cover() -> impl Strategy<Value = Arc<Cover>> {
        (0u8..8, proptest::option::of(0u8..8), 1u64..9, 0u64..3).prop_map(|(start, end, seq, spared)| {
            let end = end.map(|end| vec![end.max(start + 1)]);
            Arc::new(Cover { start: vec![start], end, before: seq.saturating_sub(spared), seq })
        })
    }

    proptest! {
        #[test]
        fn a_lookup_says_what_the_covers_say_one_by_one(
            all in proptest::collection::vec(any_cover(), 0..6), key in 0u8..10, seq in 0u64..10, at in 0u64..10,
        ) {
            let expected = all.iter().any(|cover| holds(cover, &[key]) && seq < cover.before && cover.seq <= at);
            let covers = Covers::new(all);
            prop_assert_eq!(covers.hide(&[key], seq, at), expected);
            let gap = covers.gaps((&[0], Some(&[10])), seq, at).into_iter().any(|gap| {
                gap.start <= vec![key] && gap.end.is_none_or(|end| vec![key] < end)
            });
            prop_assert_eq!(gap, expected);
        }

        #[test]
        fn the_outermost_hide_what_all_hide_from_who_sees_all(
            all in proptest::collection::vec(any_cover(), 0..6), key in 0u8..10, seq in 0u64..10,
        ) {
            let hidden = Covers::new(all.clone()).hide(&[key], seq, u64::MAX);
            prop_assert_eq!(Covers::new(outermost(all)).hide(&[key], seq, u64::MAX), hidden);
        }
    }
}
