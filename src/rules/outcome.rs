//! How an attempt went.
//!
//! Promises: an exit code of 0 proves nothing for a CLI that speaks JSON, only its own word that it finished well does;
//! and that word is not enough either when it was not allowed to do its work, or did none. Every failure gets a class
//! and one calm line.

use super::classify::recognise;
use super::heard::Heard;
use crate::model::failure::{Class, Failure, Trouble};
use crate::model::profile::{FailureRule, Format, Permissions, TaskKind};
use std::time::Duration;

/// How the process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// With this exit code.
    Exited(i32),
    /// By this signal.
    Signaled(i32),
    /// It never ran: our launcher says why.
    NotStarted(String),
    /// It is gone, and nobody saw how (a keeper took over after a crash).
    Unseen,
}

/// Why we stopped an attempt.
#[derive(Debug, Clone, PartialEq)]
pub enum StopCause {
    /// The time that the user allowed is over.
    Timeout(Duration),
    /// It only retried, and there is another CLI to try.
    GaveUp(Trouble),
    /// It printed nothing for this long.
    Stalled(Duration),
    /// A person or an agent asked for it.
    Killed,
    /// The keeper had to go: its terminal, the tmux server or the machine went away.
    Interrupted,
    /// The money is spent.
    Budget {
        /// US dollars spent.
        spent_usd: f64,
        /// US dollars allowed.
        allowed_usd: f64,
    },
    /// It had said that it was finished, but did not end.
    Lingered,
}

/// Everything that is known when the process has ended and its output was read to the end.
#[derive(Debug, Clone)]
pub struct AttemptFacts<'a> {
    /// What the task text was to the CLI.
    pub task: TaskKind,
    /// The format that was read ([`Format::Auto`]: none was recognised).
    pub format: Format,
    /// How much it was allowed to do.
    pub permissions: Permissions,
    /// How it ended.
    pub end: End,
    /// Why we stopped it, if we did.
    pub stop: Option<StopCause>,
    /// What it said.
    pub heard: &'a Heard,
    /// Whether the worktree or the branch changed; `None` if that could not be found out.
    pub changed: Option<bool>,
    /// The last lines of its standard error.
    pub stderr: &'a [String],
    /// The profile's rules.
    pub rules: &'a [FailureRule],
}

/// How an attempt went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It did its task, as far as it knows.
    Done,
    /// It did not, and this is why.
    Failed(Failure),
    /// A person or an agent stopped it: no failure, and no other CLI is tried.
    Killed,
    /// It was cut off, and can be gone on with.
    Interrupted,
}

/// The longest message of a failure, in characters.
const LONGEST: usize = 300;

/// How many of the last lines on standard error are looked at.
const LOOKED_AT: usize = 20;

/// How the attempt went.
pub fn outcome(facts: &AttemptFacts<'_>) -> Outcome {
    let finished_well = facts.heard.finished.as_ref().is_some_and(|f| f.ok);
    match &facts.stop {
        Some(StopCause::Killed) => return Outcome::Killed,
        Some(StopCause::Interrupted) => return Outcome::Interrupted,
        // It was ready before our stop reached it. (gemini exits with 0 on TERM, but says nothing then.)
        Some(_) if finished_well && facts.end == End::Exited(0) => {}
        None | Some(StopCause::Lingered) => {}
        Some(cause) => return failed(stopped(facts, cause)),
    }
    let lingered = facts.stop == Some(StopCause::Lingered);
    match &facts.end {
        End::NotStarted(why) => {
            return failed(Failure::new(Class::MissingCli, format!("could not be started: {why}")));
        }
        End::Unseen if !finished_well => {
            return failed(
                said_so(facts).unwrap_or_else(|| Failure::new(Class::Unknown, "nobody saw how it ended")),
            );
        }
        _ => {}
    }
    if matches!(facts.format, Format::Text | Format::Auto) && facts.heard.finished.is_none() {
        return plain_text(facts);
    }
    if let Some(failure) = said_so(facts) {
        return failed(failure);
    }
    if facts.heard.finished.is_none() {
        return failed(silent(facts));
    }
    match facts.end {
        End::Exited(code) if code != 0 && !lingered => failed(Failure::new(
            Class::Crash,
            with_last_line(&format!("said that it was done, but ended with exit code {code}"), facts),
        )),
        End::Signaled(signal) if !lingered => failed(Failure::new(
            Class::Crash,
            format!("said that it was done, but was ended by signal {}", signal_name(signal)),
        )),
        _ => done_or_not(facts),
    }
}

/// Failed, with a message of one line that is not too long.
fn failed(mut failure: Failure) -> Outcome {
    failure.message = one_line(&failure.message);
    Outcome::Failed(failure)
}

/// It says that it is done. Did it do anything?
fn done_or_not(facts: &AttemptFacts<'_>) -> Outcome {
    if facts.task == TaskKind::Script || facts.changed != Some(false) {
        return Outcome::Done;
    }
    let heard = facts.heard;
    // With read permissions a change is not what was asked for, an answer is.
    let answer_is_enough = facts.permissions == Permissions::Read && heard.answered;
    if !heard.denied.is_empty() && !answer_is_enough {
        return failed(Failure::new(
            Class::Refused,
            format!("changed nothing, because it was not allowed to use {}", heard.denied.join(", ")),
        ));
    }
    if heard.answered {
        Outcome::Done
    } else {
        failed(Failure::new(Class::Empty, "ended without an answer and without a change"))
    }
}

/// An agent that prints text: its exit code is its word.
fn plain_text(facts: &AttemptFacts<'_>) -> Outcome {
    match facts.end {
        End::Exited(0) => done_or_not(facts),
        _ => failed(silent(facts)),
    }
}

/// The failure that the CLI itself reported.
fn said_so(facts: &AttemptFacts<'_>) -> Option<Failure> {
    let finished = facts.heard.finished.as_ref().filter(|f| !f.ok)?;
    let trouble = finished.trouble.clone().unwrap_or_default();
    let exit = match facts.end {
        End::Exited(code) => Some(code),
        _ => None,
    };
    // It said how it went, so what nobody recognises is unknown, not a crash.
    let class = recognise(facts.rules, &trouble, exit)
        .or_else(|| facts.heard.retrying.as_ref().and_then(|r| recognise(facts.rules, r, None)))
        .unwrap_or(Class::Unknown);
    let message = match (trouble.message.trim().is_empty(), trouble.code, trouble.status) {
        (false, _, _) => trouble.message,
        (true, Some(code), _) => format!("failed: {}", code.replace('_', " ")),
        (true, None, Some(status)) => format!("failed with HTTP status {status}"),
        (true, None, None) => with_last_line("failed without saying why", facts),
    };
    Some(Failure { class, message, resets_at: trouble.resets_at })
}

/// It ended without a word about how it went: what else is known?
fn silent(facts: &AttemptFacts<'_>) -> Failure {
    let how = match &facts.end {
        End::Exited(0) => "ended with exit code 0, but without a result".to_owned(),
        End::Exited(code) => format!("ended with exit code {code}"),
        End::Signaled(signal) => format!("was ended by signal {}", signal_name(*signal)),
        End::NotStarted(_) | End::Unseen => "ended".to_owned(),
    };
    if matches!(facts.end, End::Signaled(_)) {
        return Failure::new(Class::Crash, with_last_line(&how, facts));
    }
    // The last line that means something, then the exit code alone, then the trouble it was in.
    for line in facts.stderr.iter().rev().filter(|l| !l.trim().is_empty()).take(LOOKED_AT) {
        let trouble = Trouble { message: line.clone(), ..Trouble::default() };
        if let Some(class) = recognise(facts.rules, &trouble, None) {
            return Failure::new(class, format!("{}: {how}", line.trim()));
        }
    }
    let exit = if let End::Exited(code) = facts.end { Some(code) } else { None };
    if let Some(class) = recognise(facts.rules, &Trouble::default(), exit) {
        return Failure::new(class, with_last_line(&how, facts));
    }
    if let Some(trouble) = &facts.heard.retrying
        && let Some(class) = recognise(facts.rules, trouble, exit)
    {
        return Failure::new(class, format!("{how} while retrying: {}", trouble.message));
    }
    Failure::new(Class::Crash, with_last_line(&how, facts))
}

fn stopped(facts: &AttemptFacts<'_>, cause: &StopCause) -> Failure {
    let meanwhile = |how: String| match &facts.heard.retrying {
        Some(trouble) => format!("{how}; it was retrying: {}", trouble.message),
        None => how,
    };
    match cause {
        StopCause::Timeout(allowed) => {
            Failure::new(Class::Timeout, meanwhile(format!("not done within {}", span(*allowed))))
        }
        StopCause::Stalled(silent) => {
            Failure::new(Class::Stalled, meanwhile(format!("printed nothing for {}", span(*silent))))
        }
        StopCause::GaveUp(trouble) => Failure {
            class: recognise(facts.rules, trouble, None).unwrap_or(Class::Unknown),
            message: format!("only retried, so the next agent CLI gets its turn: {}", trouble.message),
            resets_at: trouble.resets_at,
        },
        StopCause::Budget { spent_usd, allowed_usd } => Failure::new(
            Class::Budget,
            format!("spent {spent_usd:.2} of {allowed_usd:.2} US dollars allowed"),
        ),
        StopCause::Killed | StopCause::Interrupted | StopCause::Lingered => {
            Failure::new(Class::Interrupted, "was stopped")
        }
    }
}

/// `90 s`, `5 min`, `2 h`: the largest unit that says it exactly.
fn span(duration: Duration) -> String {
    match duration.as_secs() {
        0 => format!("{} ms", duration.as_millis()),
        s if s % 3600 == 0 => format!("{} h", s / 3600),
        s if s % 60 == 0 => format!("{} min", s / 60),
        s => format!("{s} s"),
    }
}

fn with_last_line(how: &str, facts: &AttemptFacts<'_>) -> String {
    match facts.stderr.iter().rev().find(|l| !l.trim().is_empty()) {
        Some(line) => format!("{how}: {}", line.trim()),
        None => how.to_owned(),
    }
}

/// `text` on one line of at most [`LONGEST`] characters.
fn one_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST - 1) {
        Some((end, _)) if line.chars().nth(LONGEST).is_some() => {
            format!("{}…", line.get(..end).unwrap_or_default())
        }
        _ => line,
    }
}

fn signal_name(signal: i32) -> String {
    let name = match signal {
        1 => "HUP",
        2 => "INT",
        3 => "QUIT",
        4 => "ILL",
        6 => "ABRT",
        7 => "BUS",
        8 => "FPE",
        9 => "KILL, as when memory is short",
        11 => "SEGV",
        13 => "PIPE",
        14 => "ALRM",
        15 => "TERM",
        24 => "XCPU",
        25 => "XFSZ",
        31 => "SYS",
        _ => return signal.to_string(),
    };
    format!("{signal} ({name})")
}

#[cfg(test)]
#[path = "outcome_tests.rs"]
mod tests;
