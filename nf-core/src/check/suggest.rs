//! "Did you mean": the closest of the allowed words.

/// The word of `known` that `word` was probably meant to be, if one is close enough: at most one
/// edit for each three characters (insert, delete, replace, or swap of neighbours), case ignored.
pub fn closest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    /// Longer input is no typing mistake, and the comparison takes quadratic time.
    const LONGEST: usize = 64;
    let simple = |s: &str| -> Vec<char> {
        s.chars()
            .map(|c| {
                if c == '-' || c == ' ' {
                    '_'
                } else {
                    c.to_ascii_lowercase()
                }
            })
            .collect()
    };
    let word = simple(word);
    if word.is_empty() || word.len() > LONGEST {
        return None;
    }
    known
        .into_iter()
        .map(|candidate| (distance(&word, &simple(candidate)), candidate))
        .filter(|(edits, candidate)| *edits <= word.len().max(candidate.len()).div_ceil(3))
        .filter(|(edits, candidate)| *edits < candidate.len())
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// Optimal string alignment distance.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = Vec::with_capacity(b.len() + 1);
        row.push(i + 1);
        for (j, y) in b.iter().enumerate() {
            let replaced = last[j] + usize::from(x != y);
            let mut best = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

/// Words for a message: `"a", "b" or "c"`.
pub fn list<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = words.into_iter().map(|word| format!("{word:?}")).collect();
    match quoted.as_slice() {
        [] => "nothing".to_owned(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_mistakes_are_recognised() {
        let known = [
            "interface",
            "mac",
            "name",
            "rx_descriptors",
            "tx_descriptors",
        ];
        assert_eq!(closest("interfce", known), Some("interface"));
        assert_eq!(closest("nmae", known), Some("name"));
        assert_eq!(closest("Interface", known), Some("interface"));
        assert_eq!(closest("rx-descriptor", known), Some("rx_descriptors"));
        assert_eq!(closest("address", known), None);
        assert_eq!(closest("", known), None);
        assert_eq!(closest("x", ["y"]), None);
        assert_eq!(closest(&"interface".repeat(100), known), None);
    }

    #[test]
    fn words_in_a_row() {
        assert_eq!(list([]), "nothing");
        assert_eq!(list(["a"]), "\"a\"");
        assert_eq!(list(["a", "b", "c"]), "\"a\", \"b\" or \"c\"");
    }
}
