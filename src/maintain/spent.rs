//! Which segments can go as whole files: pure arithmetic.

use std::sync::Arc;

use crate::cover::Covers;
use crate::manifest::{LEVELS, Version};
use crate::retention::{Rule, Rules};
use crate::segment::{Properties, Segment};

/// The segments of which a reader at the number `seq` sees nothing, for it lies in deleted ranges.
pub(crate) fn covered(version: &Version, covers: &Covers, seq: u64) -> Vec<Arc<Segment>> {
    let is_covered = |segment: &Arc<Segment>| {
        let properties = segment.properties();
        let (first, last) = (&properties.first_key, &properties.last_key);
        segment.gaps(covers, seq).iter().any(|gap| gap.hides(first, None, last))
    };
    if covers.is_empty() {
        return Vec::new();
    }
    version.segments().map(|(_, segment)| segment).filter(|segment| is_covered(segment)).cloned().collect()
}

/// When all of a segment will have ended, by the expiry of its entries or by a rule for all its keys.
pub(crate) fn end(properties: &Properties, rules: &Rules) -> Option<u64> {
    let expiry = (properties.expiring == properties.entries).then_some(properties.last_expiry);
    let ends = for_all(properties, rules).filter_map(|rule| rule.end(properties.last_modified));
    ends.chain(expiry).min()
}

/// The rules that apply to all keys of a segment.
fn for_all<'a>(properties: &'a Properties, rules: &'a Rules) -> impl Iterator<Item = &'a Rule> {
    let keys = [&properties.first_key, &properties.last_key];
    rules.0.iter().filter(move |rule| keys.iter().all(|key| key.starts_with(&rule.prefix)))
}

/// The segments of which all has ended by now. One stays as long as there is something older of its keys that does
/// not go with it, and would be seen again.
pub(crate) fn ended(version: &Version, now: u64) -> Vec<Arc<Segment>> {
    let mut ended: Vec<Arc<Segment>> = Vec::new();
    for level in (0..LEVELS).rev() {
        // Level 0 has the newest first.
        for segment in version.levels[level].iter().rev() {
            let has_ended = end(segment.properties(), &version.rules).is_some_and(|end| end <= now);
            if has_ended && older(version, level, segment).all(|other| goes(&ended, other)) {
                ended.push(segment.clone());
            }
        }
    }
    ended
}

fn goes(ended: &[Arc<Segment>], segment: &Segment) -> bool {
    ended.iter().any(|other| other.number() == segment.number())
}

/// The segments that overlap this one and may hold older versions of its keys.
fn older<'a>(
    version: &'a Version,
    level: usize,
    segment: &'a Segment,
) -> impl Iterator<Item = &'a Arc<Segment>> {
    let properties = segment.properties();
    version
        .segments()
        .filter(move |(at, other)| {
            let is_older = *at > level || level == 0 && other.properties().last_seq < properties.first_seq;
            let overlaps = other.overlaps(&properties.first_key, &properties.last_key);
            is_older && other.number() != segment.number() && overlaps
        })
        .map(|(_, other)| other)
}

/// About which part of a segment, in parts of 256, has ended by now, if it ends evenly over time.
pub(crate) fn share_ended(properties: &Properties, rules: &Rules, now: u64) -> u64 {
    let share = |first: u64, last: u64, entries: u64| {
        let (past, all) = (now.saturating_sub(first), (last - first.min(last)).max(1));
        let share = u128::from(past.min(all)) * u128::from(entries) * 256 / u128::from(all);
        u64::try_from(share).unwrap_or(u64::MAX) / properties.entries.max(1)
    };
    let expired = if properties.expiring == 0 || properties.first_expiry > now {
        0
    } else {
        share(properties.first_expiry, properties.last_expiry, properties.expiring)
    };
    let puts = properties.entries - properties.tombstones;
    let past = for_all(properties, rules).filter_map(|rule| {
        let (first, last) = (rule.end(properties.first_modified)?, rule.end(properties.last_modified)?);
        (puts > 0 && first <= now).then(|| share(first, last, puts))
    });
    past.max().unwrap_or(0).max(expired)
}
