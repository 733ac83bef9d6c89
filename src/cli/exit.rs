//! The exit codes: one table.

use crate::model::agent::State;
use crate::model::failure::Class;
use crate::model::report::{AgentReport, ErrorBody};

pub(super) const OK: u8 = 0;
pub(super) const FAILED: u8 = 1;
pub(super) const USAGE: u8 = 2;
pub(super) const PARTLY: u8 = 3;
pub(super) const WAITS: u8 = 4;
pub(super) const BUDGET: u8 = 5;
pub(super) const ENVIRONMENT: u8 = 6;
pub(super) const TIME: u8 = 7;
pub(super) const REFUSED: u8 = 8;
pub(super) const BUG: u8 = 70;
pub(super) const LEFT: u8 = 130;
pub(super) const TERMINATED: u8 = 143;

/// The exit code for an error, by its code word. A word that is not in the table is a bug of ours, and says so.
pub(super) fn of_error(code: &str) -> u8 {
    match code {
        // Typed, written in a settings file, or called in a place where it makes no sense.
        "usage"
        | "no_remote"
        | "no_branch_of_its_own"
        | "config"
        | "context"
        | "no_such_base"
        | "agent_cli_unknown"
        | "agent_cli_needs"
        | "profile_syntax"
        | "profile_key"
        | "profile_value"
        | "model_not_taken"
        | "no_budget"
        | "bad_budget"
        | "cannot_resume"
        | "working_directory"
        | "not_a_repository"
        | "bare_repository"
        | "inside_git_dir"
        | "no_commit"
        | "no_such_branch"
        | "not_a_branch"
        | "no_directory"
        | "in_repository"
        | "bad_parts"
        | "no_dependency"
        | "too_large"
        | "bad_message"
        | "message_too_large" => USAGE,
        "no_agent"
        | "no_pull_request"
        | "protected"
        | "ambiguous"
        | "not_you"
        | "not_for_agents"
        | "gone"
        | "squatted"
        | "newer"
        | "no_name"
        | "repository_not_owned"
        | "branch_exists"
        | "branch_checked_out"
        | "not_clean"
        | "checkout_busy"
        | "occupied"
        | "not_mergeable"
        | "merge_cut_off"
        | "no_merge"
        | "branch_name_clash"
        | "branch_name_invalid"
        | "path_taken"
        | "not_our_worktree"
        | "ref_taken"
        | "not_cleanable"
        | "cannot_save"
        | "worktree_locked"
        | "worktree_moved"
        | "worktree_occupied"
        | "repository_gone"
        | "not_resumable"
        | "newer_record"
        | "no_task"
        | "task_exists"
        | "terminal"
        | "not_owner"
        | "not_claimable"
        | "dependencies_open"
        | "wrong_role"
        | "not_yours"
        | "own_task"
        | "name_of_agent"
        | "reserved"
        | "still_runs"
        | "nobody"
        | "too_many_messages"
        | "too_many_hops"
        | "inbox_full"
        | "may_not_start"
        | "too_many_agents"
        | "too_deep"
        | "needs_budget"
        | "too_late"
        | "only_agents"
        | "not_trusted" => REFUSED,
        "interrupted" => LEFT,
        "terminated" => TERMINATED,
        "budget_spent" | "over_budget" => BUDGET,
        "not_started" | "broken_off" | "teardown_failed" | "difftool_failed" | "program_stopped" => FAILED,
        "still_starting" | "merge_at_work" | "raced" | "locked" | "program_timed_out" | "not_killed"
        | "still_running" => TIME,
        // What must be mended on the machine, or on disk.
        "cli_missing" | "tmux_missing" | "tmux_no_answer" | "git_missing" | "program_not_found"
        | "environment" | "tmux" | "session_gone" | "keeper" | "git_failed" | "gh_missing" | "gh_login"
        | "gh_rate_limit" | "gh_failed" | "git_disk" | "remote" | "program_io" | "program_failed"
        | "process" | "lock" | "file" | "file_not_found" | "permission" | "read_only" | "disk_full"
        | "damaged" | "no_port" => ENVIRONMENT,
        _ => BUG,
    }
}

/// The exit code for what an agent came to.
pub(super) fn of_agent(report: &AgentReport) -> u8 {
    match report.state {
        State::Done => OK,
        State::Failed => match report.failure.as_ref().map(|f| f.class) {
            Some(Class::Timeout) => TIME,
            Some(Class::Budget) => BUDGET,
            Some(Class::MissingCli | Class::Delivery) => ENVIRONMENT,
            _ => FAILED,
        },
        State::Waiting => WAITS,
        State::Killed | State::Interrupted | State::Unknown => FAILED,
        State::Queued | State::Starting | State::Working | State::Idle | State::Limited => LEFT,
    }
}

/// The exit code for what was done to several agents, each with the error that it ended with, if one.
pub(super) fn of_errors<'e>(errors: impl IntoIterator<Item = Option<&'e ErrorBody>>) -> u8 {
    of_all(errors.into_iter().map(|error| error.map_or(OK, |e| of_error(&e.code))))
}

/// The exit code for several results: theirs if they agree, else "partly".
pub(super) fn of_all(codes: impl IntoIterator<Item = u8>) -> u8 {
    let mut codes = codes.into_iter();
    let first = codes.next().unwrap_or(OK);
    if codes.all(|c| c == first) { first } else { PARTLY }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    /// The words that `fn code` gives in any file below `dir`.
    fn words(dir: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                words(&path, found);
                continue;
            }
            if path.ends_with("cli/exit.rs") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for (at, _) in text.match_indices("fn code(&self) -> &'static str {") {
                let body = text[at..].split("\n    }\n").next().unwrap();
                found.extend(body.split('"').skip(1).step_by(2).map(str::to_owned));
            }
        }
    }

    #[test]
    fn what_an_agent_came_to_has_its_exit_code() {
        use crate::model::failure::Failure;
        let json = include_str!("../../tests/samples/report.json");
        let mut report: AgentReport = serde_json::from_str(json).unwrap();
        for state in State::ALL {
            report.state = state;
            report.failure = None;
            let code = match state {
                State::Done => 0,
                State::Waiting => 4,
                State::Failed | State::Killed | State::Interrupted | State::Unknown => 1,
                _ => 130,
            };
            assert_eq!(of_agent(&report), code, "{state}");
        }
        report.state = State::Failed;
        for class in Class::ALL {
            report.failure = Some(Failure::new(class, "why"));
            let code = match class {
                Class::Budget => 5,
                Class::MissingCli | Class::Delivery => 6,
                Class::Timeout => 7,
                _ => 1,
            };
            assert_eq!(of_agent(&report), code, "{class}");
        }
        assert_eq!(of_all([1, 1]), 1);
        assert_eq!(of_all([0, 1]), 3);
        assert_eq!(of_all([]), 0);
    }

    #[test]
    fn every_code_word_has_its_exit_code_and_none_is_left_over() {
        let mut found = BTreeSet::new();
        words(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
        assert!(found.len() > 40, "the words are found: {found:?}");
        for word in &found {
            assert_eq!(of_error(word) == BUG, word == "json", "{word}");
        }
        let table = include_str!("exit.rs");
        let table = &table[table.find("match code {").unwrap()..table.find("_ => BUG,").unwrap()];
        for word in table.split('"').skip(1).step_by(2) {
            assert!(found.contains(word), "nothing has the code {word}");
        }
    }
}
