//! What a misspelt name was meant to be.

/// Nothing longer is a slip of a name of ours.
const LONGEST: usize = 64;

/// The one of these names that the given one is most likely a misspelling of: a third of it may differ.
pub(crate) fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let given = fold(given)?;
    let near = known.into_iter().filter_map(|name| {
        let folded = fold(name)?;
        let most = (given.len().max(folded.len()) / 3).max(1);
        let distance = distance(&given, &folded);
        (distance <= most && distance < folded.len()).then_some((distance, name))
    });
    near.min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

/// `, did you mean '…'?`, or nothing.
pub(crate) fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!("; did you mean '{name}'?"))
}

/// Case, and how words are joined, are no difference.
fn fold(name: &str) -> Option<Vec<char>> {
    let fold = |char: char| if matches!(char, '_' | ' ' | '.') { '-' } else { char.to_ascii_lowercase() };
    (name.len() <= LONGEST).then(|| name.trim().chars().map(fold).collect())
}

/// How many characters have to be put in, left out, replaced or swapped with their neighbour.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut row = vec![i + 1];
        for j in 0..b.len() {
            let replaced = above[j] + usize::from(a[i] != b[j]);
            let mut least = replaced.min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn far(a: &str, b: &str) -> usize {
        distance(&a.chars().collect::<Vec<_>>(), &b.chars().collect::<Vec<_>>())
    }

    #[test]
    fn distances() {
        let known =
            [("", "", 0), ("", "abc", 3), ("kitten", "sitting", 3), ("ab", "ba", 1), ("json", "josn", 1)];
        for (a, b, expected) in known {
            assert_eq!((far(a, b), far(b, a)), (expected, expected), "{a} {b}");
        }
    }

    #[test]
    fn what_is_near_is_named_and_what_is_not_is_not() {
        let policies = ["in-memory", "sync-on-boundary", "periodic", "immediate"];
        assert_eq!(nearest("imediate", policies), Some("immediate"));
        assert_eq!(nearest("In_Memory", policies), Some("in-memory"));
        assert_eq!(nearest("sync on boundary", policies), Some("sync-on-boundary"));
        assert_eq!(nearest("every write", policies), None);
        assert_eq!(nearest("", ["a", "bc"]), None);
        assert_eq!(nearest(&"x".repeat(1000), ["x"]), None);
    }

    proptest! {
        #[test]
        fn a_distance_is_one(a in "[a-d]{0,8}", b in "[a-d]{0,8}") {
            let found = far(&a, &b);
            prop_assert_eq!(found, far(&b, &a));
            prop_assert_eq!(found == 0, a == b);
            prop_assert!(found <= a.len().max(b.len()) && found >= a.len().abs_diff(b.len()));
        }
    }
}
