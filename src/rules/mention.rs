//! Pull requests that a text names: by whole words and numbers, and never more than what it says.

/// The numbers of the pull requests that `text` names, each once, in its order: `PR 12`, `PR #12`, `pull request #12`, or an address
/// that ends in `/pull/12`. "The PR" names none, and neither does `#12`, which may be an issue.
///
/// ```
/// use ai_orch::rules::mention::pull_requests;
/// assert_eq!(pull_requests("fix PR #123 and what pull request 7 broke"), [123, 7]);
/// assert!(pull_requests("fix the PR, and sprint 12").is_empty());
/// ```
pub fn pull_requests(text: &str) -> Vec<u64> {
    let words: Vec<&str> = text.split_whitespace().map(bare).collect();
    let mut found = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let before = |back: usize| at.checked_sub(back).and_then(|at| words.get(at)).copied().unwrap_or("");
        let is = |word: &str, wanted: &str| word.eq_ignore_ascii_case(wanted);
        let named = is(before(1), "PR")
            || (is(before(2), "pull") && is(before(1), "request"))
            || is(before(1), "pull-request");
        let glued = word.get(..2).filter(|pr| is(pr, "PR")).and_then(|_| word.get(2..)?.strip_prefix('#'));
        let number = match (address(word), glued) {
            (Some(number), _) => Some(number),
            (None, Some(digits)) => number(digits),
            (None, None) if named => number(word.strip_prefix('#').unwrap_or(word)),
            (None, None) => None,
        };
        found.extend(number.filter(|number| !found.contains(number)));
    }
    found
}

/// A word without the signs around it.
fn bare(word: &str) -> &str {
    word.trim_start_matches(['(', '[', '<', '"', '\'', '`', '*', '_'])
        .trim_end_matches([')', ']', '>', '"', '\'', '`', '*', '_', '.', ',', ';', ':', '!', '?'])
}

/// The number at the end of the address of a pull request.
fn address(word: &str) -> Option<u64> {
    let rest = word.strip_prefix("https://").or_else(|| word.strip_prefix("http://"))?;
    let (_, behind) = rest.split_once("/pull/")?;
    number(behind.split(['/', '#', '?']).next()?)
}

/// A whole number as forges give them: from 1, with no sign and no zero in front.
fn number(digits: &str) -> Option<u64> {
    let plain = !digits.starts_with('0') && digits.len() <= 9 && digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_what_is_said() {
        for (text, wanted) in [
            ("fix PR #123", vec![123]),
            ("fix pr 123.", vec![123]),
            ("(PR#5), \"pull request #6\" and pull-request 7!", vec![5, 6, 7]),
            ("see https://github.com/o/r/pull/9/files#diff and http://h/o/r/pull/10", vec![9, 10]),
            ("PR 4, then PR 4 again", vec![4]),
            ("fix the PR", vec![]),
            ("the PR has 12 comments", vec![]),
            ("issue #12, or 12 pull requests", vec![]),
            ("PR 12a, PR #1.5, PR -3, PR 007, PR 1234567890", vec![]),
            ("sprint 12, APR 12, PRs 12, http://h/pulls/12", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(pull_requests(text), wanted, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_number_stands_in_the_text(text in "\\PC{0,60}|(PR|pull request|#)? ?#?[0-9]{0,10}\\PC{0,5}") {
            for number in pull_requests(&text) {
                prop_assert!(text.contains(&number.to_string()));
            }
        }
    }
}
