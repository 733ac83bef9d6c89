//! Which class of failure a CLI's own words mean.

use crate::model::failure::{Class, Trouble};
use crate::model::profile::FailureRule;

/// The class of `trouble`, of a CLI that ended with `exit` (if it did, and by an exit code).
///
/// The profile's rules come first, in their order; then the HTTP status; then texts that many programs use. What none
/// of these knows is a crash if the CLI ended with a failing exit code, else unknown.
pub fn classify(rules: &[FailureRule], trouble: &Trouble, exit: Option<i32>) -> Class {
    recognise(rules, trouble, exit).unwrap_or(match exit {
        Some(code) if code != 0 => Class::Crash,
        _ => Class::Unknown,
    })
}

/// As [`classify`], but `None` where nothing knows.
pub fn recognise(rules: &[FailureRule], trouble: &Trouble, exit: Option<i32>) -> Option<Class> {
    let message = plain(&trouble.message);
    rules
        .iter()
        .find(|rule| matches(rule, &message, trouble, exit))
        .map(|rule| rule.class)
        .or_else(|| trouble.status.and_then(by_status))
        .or_else(|| by_text(&message))
}

fn matches(rule: &FailureRule, message: &str, trouble: &Trouble, exit: Option<i32>) -> bool {
    let texts = rule.text.is_empty() || rule.text.iter().any(|text| message.contains(&plain(text)));
    let statuses = rule.status.is_empty() || trouble.status.is_some_and(|s| rule.status.contains(&s));
    let codes = rule.code.is_empty()
        || trouble.code.as_deref().is_some_and(|c| rule.code.iter().any(|r| r.eq_ignore_ascii_case(c)));
    let exits = rule.exit.is_empty() || exit.is_some_and(|e| rule.exit.contains(&e));
    let says_nothing =
        rule.text.is_empty() && rule.status.is_empty() && rule.code.is_empty() && rule.exit.is_empty();
    texts && statuses && codes && exits && !says_nothing
}

/// Lower case, and with the apostrophe that people type.
fn plain(text: &str) -> String {
    text.to_lowercase().replace(['\u{2019}', '\u{2bc}'], "'")
}

const fn by_status(status: u16) -> Option<Class> {
    match status {
        401 | 403 | 407 => Some(Class::Auth),
        402 => Some(Class::Quota),
        404 => Some(Class::Model),
        408 => Some(Class::Network),
        413 => Some(Class::Context),
        429 => Some(Class::RateLimit),
        500..=599 => Some(Class::Overloaded),
        _ => None,
    }
}

/// In this order: a text of an earlier line wins.
const COMMON: [(Class, &[&str]); 8] = [
    (Class::Crash, &["disk quota exceeded", "no space left on device"]),
    (
        Class::Quota,
        &[
            "quota exceeded",
            "insufficient_quota",
            "exceeded your current quota",
            "usage limit",
            "credit balance",
            "out of credits",
            "spending limit",
        ],
    ),
    (Class::RateLimit, &["rate limit", "rate-limit", "rate_limit", "too many requests"]),
    (
        Class::Auth,
        &[
            "unauthorized",
            "invalid api key",
            "incorrect api key",
            "not logged in",
            "authentication failed",
            "please log in",
        ],
    ),
    (Class::Model, &["model not found", "model_not_found", "no such model", "unknown model"]),
    (Class::Context, &["context window", "context length", "context_length", "prompt is too long"]),
    (
        Class::Overloaded,
        &["overloaded", "at capacity", "high demand", "service unavailable", "internal server error"],
    ),
    (
        Class::Network,
        &[
            "connection refused",
            "connection reset",
            "econnrefused",
            "econnreset",
            "enotfound",
            "eai_again",
            "etimedout",
            "network is unreachable",
            "could not resolve host",
            "fetch failed",
            "tls handshake",
        ],
    ),
];

fn by_text(message: &str) -> Option<Class> {
    COMMON.iter().find(|(_, texts)| texts.iter().any(|t| message.contains(t))).map(|(class, _)| *class)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(class: Class) -> FailureRule {
        FailureRule { class, text: vec![], status: vec![], code: vec![], exit: vec![] }
    }

    fn said(message: &str) -> Trouble {
        Trouble { message: message.into(), ..Trouble::default() }
    }

    #[test]
    fn all_conditions_of_a_rule_must_hold_and_the_first_rule_wins() {
        let rules = [
            FailureRule { text: vec!["You've Hit".into()], status: vec![429], ..rule(Class::Quota) },
            FailureRule { code: vec!["Slow".into()], ..rule(Class::RateLimit) },
            FailureRule { exit: vec![41], ..rule(Class::Auth) },
            rule(Class::Guard),
        ];
        let limit = Trouble { status: Some(429), ..said("you\u{2019}ve hit your limit") };
        assert_eq!(classify(&rules, &limit, Some(1)), Class::Quota);
        assert_eq!(classify(&rules, &Trouble { status: Some(400), ..limit.clone() }, None), Class::Unknown);
        assert_eq!(classify(&rules, &Trouble { code: Some("slow".into()), ..limit }, None), Class::Quota);
        assert_eq!(
            classify(&rules, &Trouble { code: Some("slow".into()), ..said("") }, None),
            Class::RateLimit
        );
        assert_eq!(classify(&rules, &said(""), Some(41)), Class::Auth);
        assert_eq!(
            classify(&rules, &said(""), Some(42)),
            Class::Crash,
            "a rule without conditions never holds"
        );
    }

    #[test]
    fn without_rules_status_then_text_then_exit_code_decide() {
        for (status, message, exit, class) in [
            (Some(401), "quota exceeded", None, Class::Auth),
            (Some(529), "", None, Class::Overloaded),
            (Some(400), "Rate limit reached", None, Class::RateLimit),
            (None, "write: Disk quota exceeded", Some(1), Class::Crash),
            (None, "Quota exceeded", Some(1), Class::Quota),
            (None, "connect ECONNREFUSED 127.0.0.1:1", None, Class::Network),
            (None, "whatever", Some(3), Class::Crash),
            (None, "whatever", Some(0), Class::Unknown),
            (None, "whatever", None, Class::Unknown),
        ] {
            let trouble = Trouble { status, ..said(message) };
            assert_eq!(classify(&[], &trouble, exit), class, "{status:?} {message} {exit:?}");
        }
    }
}
