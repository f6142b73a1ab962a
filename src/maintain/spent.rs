//! Which segments can go as whole files: pure arithmetic.

use std::sync::Arc;

use crate::cover::Covers;
use crate::manifest::Version;
use crate::segment::Segment;

/// The segments of which a reader at the number `seq` sees nothing, for it lies in deleted ranges.
pub(crate) fn covered(version: &Version, covers: &Covers, seq: u64) -> Vec<Arc<Segment>> {
    let is_covered = |segment: &Arc<Segment>| {
        let properties = segment.properties();
        let (first, last) = (&*properties.first_key, &*properties.last_key);
        let gaps = covers.gaps((first, Some(last)), properties.last_seq, seq);
        gaps.iter().any(|gap| gap.hides(first, None, last))
    };
    if covers.is_empty() {
        return Vec::new();
    }
    version.segments().map(|(_, segment)| segment).filter(|segment| is_covered(segment)).cloned().collect()
}
