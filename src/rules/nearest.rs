//! Which known name a person may have meant.

/// The candidates that `word` may have been meant to be, best first, at most three.
///
/// A candidate counts when it begins with `word`, or when few enough single mistakes lie between them: one in up to
/// four letters, two in up to eight, else three.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let word: String = word.to_lowercase().chars().take(64).collect();
    let allowed = match word.chars().count() {
        0 => return Vec::new(),
        1..=4 => 1,
        5..=8 => 2,
        _ => 3,
    };
    let mut found: Vec<(usize, &str)> = candidates
        .into_iter()
        .filter_map(|candidate| {
            let letters = candidate.to_lowercase();
            let mistakes = strsim::osa_distance(&word, &letters);
            let begins = word.len() > 1 && letters.starts_with(&word);
            (mistakes <= allowed || begins).then_some((if begins { 0 } else { mistakes }, candidate))
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    found.truncate(3);
    found.into_iter().map(|(_, name)| name).collect()
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
