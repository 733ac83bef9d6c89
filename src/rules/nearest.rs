//! Which known name a person may have meant.

/// The candidates that `word` may have been meant to be, best first, at most three.
///
/// A candidate counts when it begins with `word`, or when few enough single mistakes lie between them: one in up to
/// four letters, two in up to eight, else three.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let word: Vec<char> = word.to_lowercase().chars().collect();
    let allowed = match word.len() {
        0..=4 => 1,
        5..=8 => 2,
        _ => 3,
    };
    let mut found: Vec<(usize, &str)> = candidates
        .into_iter()
        .filter_map(|candidate| {
            let letters: Vec<char> = candidate.to_lowercase().chars().collect();
            let mistakes = distance(&word, &letters);
            let begins = word.len() > 1 && letters.starts_with(&word);
            (mistakes <= allowed || begins).then_some((if begins { 0 } else { mistakes }, candidate))
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    found.truncate(3);
    found.into_iter().map(|(_, name)| name).collect()
}

/// Single mistakes between two words: a letter too many, too few or wrong, or two neighbours swapped.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = Vec::with_capacity(above.len());
        row.push(i + 1);
        for (j, y) in b.iter().enumerate() {
            let mut best = (above[j] + usize::from(x != y)).min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i - 1] == *y && b[j - 1] == *x {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = above;
        above = row;
    }
    above.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let names = ["claude", "codex", "gemini", "cursor-agent", "sh"];
        for (typed, meant) in [
            ("cluade", vec!["claude"]),
            ("Claud", vec!["claude"]),
            ("cursor", vec!["cursor-agent"]),
            ("gemmini", vec!["gemini"]),
            ("hs", vec!["sh"]),
            ("kubectl", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(nearest(typed, names), meant, "{typed}");
        }
    }
}
