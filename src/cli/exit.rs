//! The exit codes: one table.

use crate::model::agent::State;
use crate::model::failure::Class;
use crate::model::report::AgentReport;

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

/// The exit code for an error, by its code word. A word that is not in the table is a bug of ours, and says so.
pub(super) fn of_error(code: &str) -> u8 {
    match code {
        "usage" | "config" | "context" | "no_such_base" | "unknown_cli" | "profile" | "model_not_taken"
        | "no_budget" | "bad_budget" | "cannot_resume" | "relative_path" => USAGE,
        "no_agent"
        | "ambiguous"
        | "squatted"
        | "no_name"
        | "not_owned"
        | "branch_exists"
        | "branch_name_clash"
        | "branch_name_invalid"
        | "path_taken"
        | "not_our_worktree"
        | "ref_taken" => REFUSED,
        "locked" | "program_timed_out" | "not_killed" => TIME,
        "json" => BUG,
        _ => ENVIRONMENT,
    }
}

/// The exit code for what an agent came to.
pub(super) fn of_agent(report: &AgentReport) -> u8 {
    match report.state {
        State::Done => OK,
        State::Failed => match report.failure.as_ref().map(|f| f.class) {
            Some(Class::Timeout) => TIME,
            Some(Class::Budget) => BUDGET,
            Some(Class::MissingCli) => ENVIRONMENT,
            _ => FAILED,
        },
        State::Waiting => WAITS,
        State::Killed | State::Interrupted | State::Unknown => FAILED,
        State::Queued | State::Starting | State::Working | State::Idle | State::Limited => LEFT,
    }
}

/// The exit code for several results: theirs if they agree, else "partly".
pub(super) fn of_all(codes: impl IntoIterator<Item = u8>) -> u8 {
    let mut codes = codes.into_iter();
    let first = codes.next().unwrap_or(OK);
    if codes.all(|c| c == first) { first } else { PARTLY }
}
