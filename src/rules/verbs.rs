//! Whether what was typed is a verb, a task, or a mistake. A typing error must never start a paid agent.

use super::nearest::nearest;

/// Verbs that the design announces and this version does not have.
const ANNOUNCED: [&str; 9] =
    ["answer", "completions", "config", "dash", "dispatcher", "flow", "live", "send", "serve"];

/// Options of `run` that make a command line without a verb a `run`.
const RUN_OPTIONS: [&str; 30] = [
    "--agent-cli",
    "--model",
    "--context",
    "--name",
    "--role",
    "--context-id",
    "--base",
    "--branch",
    "--no-new-branch",
    "--no-worktree",
    "--dir",
    "--with-changes",
    "--copy",
    "--setup",
    "--no-setup",
    "--no-validate",
    "--no-project-file",
    "--trust",
    "--may-start",
    "--depth",
    "--start-budget",
    "--timeout",
    "--permissions",
    "--validate",
    "--repairs",
    "--env",
    "--budget",
    "--no-commit",
    "--detach",
    "-d",
];

/// What a command line without a known verb is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shorthand {
    /// It begins with a verb, or with an option of the program itself.
    Verb,
    /// `run` is meant and left out.
    Run,
    /// It begins with a word that is no verb.
    NotAVerb {
        /// The word.
        word: String,
        /// The verb that is meant, if one is close.
        nearest: Option<String>,
        /// Whether it is a verb of a later version.
        announced: bool,
    },
}

/// Decides what `args` (without the program's name) are, where `verbs` are the known verbs and their aliases.
pub fn shorthand(args: &[String], verbs: &[&str]) -> Shorthand {
    let Some(first) = args.first() else { return Shorthand::Verb };
    if verbs.contains(&first.as_str()) {
        return Shorthand::Verb;
    }
    if first.starts_with('-') && !first.contains(char::is_whitespace) {
        let option = first.split_once('=').map_or(first.as_str(), |(name, _)| name);
        let run = RUN_OPTIONS.contains(&option);
        return if run { Shorthand::Run } else { Shorthand::Verb };
    }
    if first.contains(char::is_whitespace) {
        return Shorthand::Run;
    }
    Shorthand::NotAVerb {
        word: first.clone(),
        nearest: nearest(first, verbs.iter().copied()).first().map(|v| (*v).to_owned()),
        announced: ANNOUNCED.contains(&first.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERBS: [&str; 11] =
        ["run", "list", "ls", "show", "logs", "diff", "attach", "kill", "wait", "doctor", "help"];

    fn of(args: &[&str]) -> Shorthand {
        shorthand(&args.iter().map(|a| (*a).to_owned()).collect::<Vec<_>>(), &VERBS)
    }

    #[test]
    fn tasks_verbs_and_options_are_told_apart() {
        for verb in
            [&["list"][..], &["run", "x"], &["--help"], &["-V"], &[], &["--json", "list"], &["--nonsense"]]
        {
            assert_eq!(of(verb), Shorthand::Verb, "{verb:?}");
        }
        for run in [
            &["fix the bug"][..],
            &["--agent-cli", "claude", "x"],
            &["--agent-cli=claude", "x"],
            &["-d", "x"],
            &["a\nb"],
            &["- x"],
        ] {
            assert_eq!(of(run), Shorthand::Run, "{run:?}");
        }
        for word in ["fix", "lst", "kil", "$(x)", "über", ""] {
            assert!(matches!(of(&[word, "more"]), Shorthand::NotAVerb { .. }), "{word}");
        }
    }

    #[test]
    fn the_nearest_verb_is_named() {
        for (typed, meant) in [
            ("lst", Some("list")),
            ("kil", Some("kill")),
            ("atach", Some("attach")),
            ("banana", None),
            ("LIST", Some("list")),
        ] {
            let Shorthand::NotAVerb { nearest, .. } = of(&[typed]) else { panic!("{typed}") };
            assert_eq!(nearest.as_deref(), meant, "{typed}");
        }
    }

    #[test]
    fn no_single_mistake_in_a_verb_is_a_run() {
        for verb in VERBS {
            for at in 0..=verb.len() {
                for c in "abcdefghijklmnopqrstuvwxyz-".chars() {
                    let (head, tail) = verb.split_at(at);
                    let mut typed = vec![format!("{head}{c}{tail}")];
                    if let Some(rest) = tail.get(1..) {
                        typed.push(format!("{head}{rest}"));
                        typed.push(format!("{head}{c}{rest}"));
                    }
                    for word in typed {
                        let known = VERBS.contains(&word.as_str());
                        assert_ne!(of(&[&word, "x"]), Shorthand::Run, "{word}");
                        assert_eq!(
                            of(&[&word, "x"]) == Shorthand::Verb,
                            known || word.starts_with('-'),
                            "{word}"
                        );
                    }
                }
            }
        }
    }
}
