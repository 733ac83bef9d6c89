//! What an agent does, in one line for people: the same words in the pane, in `run`, in `logs` and on the board.

use crate::model::entry::Filled;
use crate::model::event::{Event, Usage};
use crate::model::place::Place;
use crate::model::reservation::Crossed;
use crate::model::text::{Shown, fit};
use std::path::Path;
use std::time::Duration;

/// The longest line of a plain-text agent that is shown, in columns; `logs --raw` has all of it.
const LONGEST: usize = 4000;

/// What kind of line it is; printers choose sign and colour by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// The agent speaks.
    Say,
    /// The agent thinks.
    Think,
    /// A tool begins.
    Tool,
    /// A tool succeeded.
    Good,
    /// Something failed.
    Bad,
    /// Something to know.
    Note,
    /// Output of a plain-text agent.
    Raw,
}

impl Tone {
    /// The sign in front of such a line.
    pub const fn sign(self) -> &'static str {
        match self {
            Self::Say => "●",
            Self::Think => "·",
            Self::Tool => "▸",
            Self::Good => "✓",
            Self::Bad => "✗",
            Self::Note => "!",
            Self::Raw => " ",
        }
    }

    /// The SGR code of its colour; empty for plain text.
    pub const fn colour(self) -> &'static str {
        match self {
            Self::Say | Self::Raw => "",
            Self::Think => "2",
            Self::Tool => "36",
            Self::Good => "32",
            Self::Bad => "31",
            Self::Note => "33",
        }
    }
}

/// What an agent works on.
pub fn works_on(place: Place, branch: &str, dir: &Path) -> String {
    let on = if branch.is_empty() { "on no branch".to_owned() } else { format!("on branch {branch}") };
    match place {
        Place::NewBranch | Place::Branch => on,
        Place::Checkout => format!("{on}, in the checkout {}", dir.display()),
        Place::Directory => format!("in {}, where nothing is committed or saved", dir.display()),
    }
}

/// That files were changed which somebody else has reserved, or had if it is not so `now`; harmless for a terminal.
pub fn crossed(crossed: &Crossed, now: bool) -> String {
    let (files, are) = match (crossed.more, now) {
        (0, true) => (String::new(), "is"),
        (0, false) => (String::new(), "was"),
        (more, true) => (format!(" and {more} more"), "are"),
        (more, false) => (format!(" and {more} more"), "were"),
    };
    let alone = if crossed.exclusive { " for itself alone" } else { "" };
    let why = crossed.why.as_ref().map(|why| format!(" ({})", Shown(why))).unwrap_or_default();
    format!(
        "{}{files} {are} reserved by {}{alone}, as {}{why}",
        Shown(&crossed.path),
        crossed.by,
        crossed.glob
    )
}

/// How a worktree got its files.
pub fn filled(filled: &Filled) -> String {
    let (way, passed_over) = match filled {
        Filled::Copied { files, by_git: 0, pool } => (format!("{files} copied from the checkout"), pool),
        Filled::Copied { files, by_git, pool } => {
            (format!("{files} copied from the checkout, {by_git} by git"), pool)
        }
        Filled::CheckedOut { why, pool } => (format!("all by git: {why}"), pool),
        Filled::Pooled { files, by_git: 0 } => (format!("{files} that were ready"), &None),
        Filled::Pooled { files, by_git } => {
            (format!("{files} that were ready, {by_git} brought up to date by git"), &None)
        }
    };
    match passed_over {
        Some(why) => format!("{way}; what was ready was not used: {why}"),
        None => way,
    }
}

/// The lines that tell of `event`, harmless for a terminal; none for events that say nothing to people.
pub fn lines(event: &Event) -> Vec<(Tone, String)> {
    let one = |tone, text: String| vec![(tone, text)];
    match event {
        Event::Message { text } => many(Tone::Say, text),
        Event::Thinking { text } => many(Tone::Think, text),
        Event::Tool { name, detail } => one(Tone::Tool, join(name, detail)),
        Event::ToolDone { ok: true, .. }
        | Event::Finished { ok: true, .. }
        | Event::Session { .. }
        | Event::Usage(_)
        | Event::Writing => Vec::new(),
        Event::ToolDone { ok: false, detail } => one(Tone::Bad, first_line(detail)),
        Event::Denied { name, detail } => one(Tone::Bad, format!("not allowed: {}", join(name, detail))),
        Event::Retrying(trouble) => one(Tone::Note, format!("tries again: {}", first_line(&trouble.message))),
        Event::Notice { text } => many(Tone::Note, text),
        Event::Finished { ok: false, trouble, .. } => {
            let why = trouble.as_ref().map_or("", |t| t.message.as_str());
            one(Tone::Bad, if why.is_empty() { "ended with an error".to_owned() } else { first_line(why) })
        }
        Event::Line { text } => one(Tone::Raw, fit(text, LONGEST)),
    }
}

/// One line for the board: what the agent does now. `None` for events that change nothing about it.
pub fn activity(event: &Event) -> Option<String> {
    match event {
        Event::Message { text } => Some(first_line(text.trim())),
        Event::Thinking { .. } => Some("thinking".to_owned()),
        Event::Writing => Some("writing".to_owned()),
        Event::Line { text } if text.trim().is_empty() => None,
        Event::Tool { .. } | Event::Denied { .. } | Event::Retrying(_) | Event::Line { .. } => {
            lines(event).into_iter().next().map(|(_, text)| text)
        }
        _ => None,
    }
    .map(|text| crate::model::text::fit(&text, 200))
}

fn many(tone: Tone, text: &str) -> Vec<(Tone, String)> {
    let mut lines: Vec<_> = text.trim_end().lines().map(|l| (tone, Shown(l).to_string())).collect();
    // The sign stands for the whole text; the lines behind the first are its continuation.
    for (tone, _) in lines.iter_mut().skip(1) {
        *tone = Tone::Raw;
    }
    lines
}

fn join(name: &str, detail: &str) -> String {
    let detail = first_line(detail);
    if detail.is_empty() { Shown(name).to_string() } else { format!("{} {detail}", Shown(name)) }
}

fn first_line(text: &str) -> String {
    Shown(text.trim().lines().next().unwrap_or("")).to_string()
}

/// A duration as people say it: `4s`, `3m 20s`, `2h 05m`, `3d 4h`.
pub fn duration(time: Duration) -> String {
    let s = time.as_secs();
    match s {
        0..60 => format!("{s}s"),
        60..3600 => format!("{}m {:02}s", s / 60, s % 60),
        3600..86400 => format!("{}h {:02}m", s / 3600, s % 3600 / 60),
        _ => format!("{}d {}h", s / 86400, s % 86400 / 3600),
    }
}

/// Tokens and cost: `12.3k tokens, $0.42`. A cost that is not known is not shown.
pub fn usage(usage: &Usage) -> String {
    let tokens = format!("{} tokens", count(usage.input_tokens + usage.output_tokens));
    match usage.cost_usd {
        Some(cost) => format!("{tokens}, {}", money(cost)),
        None => tokens,
    }
}

/// A size as people say it: `512 B`, `3.4 MB`, `1.2 GB`.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if n < 1000 {
        return format!("{n} B");
    }
    let (mut tenths, mut unit) = (n / 100, UNITS[0]);
    for next in &UNITS[1..] {
        if tenths < 10_000 {
            break;
        }
        tenths /= 1000;
        unit = next;
    }
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

/// US dollars: `$0.42`; four digits where less than a cent is at stake.
pub fn money(usd: f64) -> String {
    if usd > 0.0 && usd < 0.01 { format!("${usd:.4}") } else { format!("${usd:.2}") }
}

fn count(n: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
    match n {
        0..1000 => n.to_string(),
        1000..1_000_000 => format!("{:.1}k", n as f64 / 1e3),
        _ => format!("{:.1}M", n as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short_and_exact_enough() {
        for (seconds, said) in [(0, "0s"), (59, "59s"), (60, "1m 00s"), (3725, "1h 02m"), (90000, "1d 1h")] {
            assert_eq!(duration(Duration::from_secs(seconds)), said);
        }
    }

    #[test]
    fn how_a_worktree_was_filled_is_one_line() {
        for (way, said) in [
            (Filled::Copied { files: 9, by_git: 0, pool: None }, "9 copied from the checkout"),
            (Filled::Copied { files: 9, by_git: 1, pool: None }, "9 copied from the checkout, 1 by git"),
            (
                Filled::Copied { files: 9, by_git: 0, pool: Some("a.txt was changed".to_owned()) },
                "9 copied from the checkout; what was ready was not used: a.txt was changed",
            ),
            (
                Filled::CheckedOut { why: "it has few files".to_owned(), pool: None },
                "all by git: it has few files",
            ),
            (Filled::Pooled { files: 9, by_git: 0 }, "9 that were ready"),
            (Filled::Pooled { files: 9, by_git: 2 }, "9 that were ready, 2 brought up to date by git"),
        ] {
            assert_eq!(filled(&way), said);
        }
    }

    #[test]
    fn no_event_can_steer_a_terminal() {
        let evil = "\x1b]0;x\x07\u{9b}2J\nsecond\x1b[H".to_owned();
        let events = [
            Event::Message { text: evil.clone() },
            Event::Thinking { text: evil.clone() },
            Event::Tool { name: evil.clone(), detail: evil.clone() },
            Event::ToolDone { ok: false, detail: evil.clone() },
            Event::Denied { name: evil.clone(), detail: evil.clone() },
            Event::Notice { text: evil.clone() },
            Event::Line { text: evil },
        ];
        for event in events {
            let text: String = lines(&event).into_iter().map(|(_, t)| t).chain(activity(&event)).collect();
            assert!(!text.chars().any(char::is_control), "{event:?}: {text:?}");
        }
    }

    #[test]
    fn an_unknown_cost_is_not_called_free() {
        let known = Usage { input_tokens: 1200, output_tokens: 34, cost_usd: Some(0.42) };
        assert_eq!(usage(&known), "1.2k tokens, $0.42");
        assert_eq!(usage(&Usage { cost_usd: None, ..known }), "1.2k tokens");
    }
}
