//! What an agent CLI is asked: the task, byte for byte, and behind it only what it cannot know.

use crate::model::delivery::{Delivery, PullRequest};
use crate::model::entry::Changes;
use crate::model::failure::Failure;
use crate::model::guard::Guards;
use crate::model::ids::{RoleName, Session};
use crate::rules::guard;
use std::fmt::Write;

/// A file given with `--context`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ContextFile {
    /// Its name, for the reader.
    pub name: String,
    /// What is in it.
    pub text: String,
}

/// What an earlier attempt came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Before {
    /// The agent CLI.
    pub cli: String,
    /// How it ended.
    pub how: How,
    /// The end of what it said.
    pub answer: String,
}

/// How an earlier attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// It did what it was asked.
    Done,
    /// It failed.
    Failed(Failure),
    /// Its keeper went away, or somebody stopped it.
    Interrupted,
}

/// What lies in the worktree when the next CLI takes over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// The totals; `None` if they could not be found out.
    pub changes: Option<Changes>,
    /// The commits since the base, newest first: short id and subject.
    pub commits: Vec<String>,
    /// The files that differ, one line each.
    pub files: Vec<String>,
}

/// What the validation command said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The command.
    pub command: String,
    /// How it ended, in words.
    pub how: String,
    /// The end of its output.
    pub output: String,
}

/// The prompt of a first attempt. Without context files it is the task, unchanged.
pub fn first(task: &str, context: &[ContextFile]) -> String {
    format!("{task}{}", context_section(context))
}

/// The files of `--context`, to stand behind a task; empty if there are none.
pub fn context_section(context: &[ContextFile]) -> String {
    let mut text = String::new();
    for file in context {
        let fence = fence_for(&file.text);
        write!(text, "\n\nContext file {}:\n\n{fence}\n{}", file.name, file.text).ok();
        if !file.text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(&fence);
        text.push('\n');
    }
    text
}

/// Backticks enough that nothing in `text` can end the block early.
fn fence_for(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    "`".repeat(longest.max(2) + 1)
}

/// What the attempts before did, for the CLI that takes over from them.
///
/// `earlier` are the tasks of the rounds before this one; what was done for them is the ground this one stands on.
pub fn brief(earlier: &[String], before: &[Before], found: &Found) -> String {
    let mut text = String::from(if earlier.is_empty() {
        "Work on this task has begun: this worktree is as the attempts before you left it. Go on from there; do not \
         start over, and do not undo what is right.\n"
    } else {
        "This task comes on top of earlier ones: this worktree is as the work on them left it. Go on from there; do not \
         start over, and do not undo what is right.\n"
    });
    for task in earlier {
        let fence = fence_for(task);
        write!(text, "\nAn earlier task here:\n\n{fence}\n{}\n{fence}\n", task.trim_end()).ok();
    }
    for attempt in before {
        let how = match &attempt.how {
            How::Failed(failure) => {
                format!("{} stopped ({}): {}", attempt.cli, failure.class, failure.message.trim())
            }
            How::Interrupted => format!("{} was interrupted.", attempt.cli),
            How::Done => format!("{} did what it was asked.", attempt.cli),
        };
        write!(text, "\n- {how}").ok();
        if !attempt.answer.trim().is_empty() {
            write!(
                text,
                "\n  It last said: {}",
                last_lines(attempt.answer.trim(), 600).replace('\n', "\n  ")
            )
            .ok();
        }
    }
    text.push('\n');
    match &found.changes {
        None => {
            text.push_str("\nWhat it changed could not be found out; look with git status and git log.\n");
        }
        Some(changes) if changes.is_empty() => text.push_str("\nNothing has been changed so far.\n"),
        Some(changes) => {
            let uncommitted = if changes.uncommitted { ", part of it uncommitted" } else { "" };
            let Changes { commits, files, insertions, deletions, .. } = changes;
            writeln!(text, "\nSo far: {commits} commits, {files} files changed (+{insertions} -{deletions}){uncommitted}.").ok();
            for line in found.commits.iter().take(20).chain(found.files.iter().take(50)) {
                writeln!(text, "  {line}").ok();
            }
        }
    }
    text
}

/// The prompt of an attempt that takes over from earlier ones.
pub fn handover(task: &str, context: &[ContextFile], brief: &str) -> String {
    format!("{}\n\n---\n\n{brief}", first(task, context))
}

/// What an agent is told of the others, to stand behind everything else. One line: every attempt pays for it.
pub fn company(session: &Session, role: Option<&RoleName>, may_start: bool, guards: &Guards) -> String {
    let role = role.map(|role| format!(" with the role {role}")).unwrap_or_default();
    let start = if may_start { " You may start agents: spawn_task, or `ai_orch task spawn`." } else { "" };
    let forbidden = match guard::may_not(guards, false) {
        words if words.is_empty() => String::new(),
        words => format!(" You may not {}.", words.join(", or ")),
    };
    format!(
        "\n\n[ai_orch] You are the agent {session}{role}. Other agents and the person who started you can send you messages \
         and tasks: use the tools of the MCP server ai_orch, or see `ai_orch guide`.{start}{forbidden}\n"
    )
}

/// What an agent is told whose result goes on, to stand behind what it is told of the others: else it would see to that itself.
pub fn goes_on(deliver: Option<&Delivery>, pull: Option<&PullRequest>) -> String {
    let into = match (deliver, pull) {
        (None, _) => return String::new(),
        (Some(_), Some(pull)) => format!("into the pull request {}", pull.url),
        (Some(_), None) => "into a pull request".to_owned(),
    };
    format!(
        "[ai_orch] When you are done, what is on your branch is brought {into} for you: do not push it yourself.\n"
    )
}

/// What a CLI is told when the validation failed, in the conversation that knows the task.
pub fn repair(verdict: &Verdict) -> String {
    let fence = fence_for(&verdict.output);
    format!(
        "The work is checked with this command, run in the worktree:\n\n    {}\n\nIt {}. The end of its output:\n\n\
         {fence}\n{}\n{fence}\n\nMend what it found, so that the command succeeds. Do not change or weaken the check \
         itself.\n",
        verdict.command,
        verdict.how,
        verdict.output.trim_end()
    )
}

/// What a CLI is told when its keeper went away, in the conversation that knows the task.
pub fn resume(verdict: Option<&Verdict>) -> String {
    let mut text = String::from(
        "Your work on this task was interrupted from outside. The files are as you left them. Look at what is done (git \
         status, git diff), and go on from there until the task is done; do not do again what is done.\n",
    );
    if let Some(verdict) = verdict {
        write!(text, "\n{}", repair(verdict)).ok();
    }
    text
}

/// The end of `text`, at most about `bytes` of it, from the beginning of a line where possible.
pub fn last_lines(text: &str, bytes: usize) -> &str {
    if text.len() <= bytes {
        return text;
    }
    let mut at = text.len() - bytes;
    while !text.is_char_boundary(at) {
        at += 1;
    }
    let cut = text.get(at..).unwrap_or(text);
    match cut.find('\n') {
        Some(end) if end + 1 < cut.len() && end < bytes / 2 => cut.get(end + 1..).unwrap_or(cut),
        _ => cut,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::failure::Class;
    use proptest::prelude::*;

    #[test]
    fn a_task_without_context_is_the_prompt() {
        let task = "-x #{a} $(b) `c`\n\u{1b}[31m\r\n;";
        assert_eq!(first(task, &[]), task);
    }

    #[test]
    fn a_brief_tells_who_why_and_what() {
        let text = brief(
            &[],
            &[Before {
                cli: "gemini".into(),
                how: How::Failed(Failure::new(Class::Quota, "no quota left")),
                answer: "I was at step 2".into(),
            }],
            &Found {
                changes: Some(Changes {
                    commits: 1,
                    files: 2,
                    insertions: 3,
                    deletions: 4,
                    uncommitted: true,
                    tip: None,
                    elsewhere: None,
                }),
                commits: vec!["abc1234 begin".into()],
                files: vec!["M src/a.rs".into()],
            },
        );
        for part in [
            "gemini stopped (quota): no quota left",
            "I was at step 2",
            "1 commits, 2 files",
            "abc1234 begin",
            "M src/a.rs",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn an_agent_is_told_its_name_and_role_in_one_line() {
        let (session, role) = ("fix".parse().unwrap(), "reviewer".parse().unwrap());
        let text = company(&session, Some(&role), false, &Guards::default());
        assert!(text.contains("the agent fix with the role reviewer."), "{text}");
        assert_eq!(text.trim().lines().count(), 1);
        assert!(
            company(&session, None, false, &Guards::default()).contains("the agent fix.")
                && !text.contains("spawn_task")
        );
        let guards = Guards { no_push: true, no_new_branch: true, ..Guards::default() };
        let text = company(&session, None, true, &guards);
        assert!(text.contains("spawn_task") && text.trim().lines().count() == 1, "{text}");
        assert!(text.contains("You may not push, or make, rename or delete a branch."), "{text}");
    }

    proptest! {
        #[test]
        fn the_task_comes_first_and_unchanged(task in any::<String>(), body in any::<String>()) {
            let prompt = handover(&task, &[ContextFile { name: "f".into(), text: body.clone() }], "brief");
            prop_assert!(prompt.starts_with(&task));
            prop_assert!(prompt.contains(&body));
        }

        #[test]
        fn a_context_file_cannot_end_its_block(body in "[`a\n]{0,40}") {
            let fence = fence_for(&body);
            prop_assert!(!body.contains(&fence));
        }

        #[test]
        fn the_end_is_an_end(text in any::<String>(), bytes in 0usize..100) {
            let end = last_lines(&text, bytes);
            prop_assert!(text.ends_with(end));
            prop_assert!(end.len() <= bytes);
        }
    }
}
