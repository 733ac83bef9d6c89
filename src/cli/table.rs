//! The table of `list`: aligned, and narrower by whole columns where there is little room.

use super::print::{Screen, age, changes, interrupted, plural, remark, state_colour};
use crate::model::agent::State;
use crate::model::report::{AgentReport, ForYou, ListReport};
use crate::model::text::{Shown, columns, fit};
use crate::rules::wording;
use std::time::Duration;

const HEADS: [&str; 9] = ["SESSION", "STATE", "CLI", "AGE", "MAIL", "CHANGES", "COST", "BRANCH", "DOING"];
const STATE: usize = 1;
const DOING: usize = 8;
/// What matters least goes first when the terminal is narrow.
const DROPPED: [usize; 7] = [7, 6, 5, DOING, 3, 4, 2];
/// How much of what an agent does is to be seen at least.
const DOING_LEAST: usize = 12;

/// How ages are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ages {
    /// To the second.
    Exact,
    /// To the minute: a table that stays on the screen is drawn again once in a minute at most.
    Minutes,
}

/// The columns of a table that is drawn again and again: they do not become narrower, so that nothing jumps.
#[derive(Debug, Default)]
pub(super) struct Columns([usize; HEADS.len()]);

/// The lines of the table, each as text, and painted. `depths` says how far each agent is below a root, where they are shown as
/// a tree.
pub(super) fn lines(
    screen: &Screen,
    report: &ListReport,
    depths: &[usize],
    ages: Ages,
    kept: &mut Columns,
) -> Vec<(String, String)> {
    let mut lines = if report.agents.is_empty() {
        vec![plain("No agents. Start one: ai_orch run 'TASK'".to_owned())]
    } else {
        rows(screen, report, depths, ages, kept)
    };
    let stuck = report.agents.iter().filter(|a| a.state == State::Interrupted).count();
    let stuck = (stuck > 0).then(|| interrupted(stuck));
    let below: Vec<String> =
        stuck.into_iter().chain(report.for_you.iter().map(|mail| for_you(mail, report))).collect();
    if !below.is_empty() {
        lines.push(plain(String::new()));
        let room = if screen.terminal { screen.width } else { usize::MAX };
        lines.extend(below.into_iter().map(|line| plain(fit(&line, room))));
    }
    lines
}

fn plain(line: String) -> (String, String) {
    (line.clone(), line)
}

fn for_you(mail: &ForYou, report: &ListReport) -> String {
    let messages = plural(u32::try_from(mail.unread).unwrap_or(u32::MAX), "message");
    let place = if mail.here {
        String::new()
    } else {
        let there = report.agents.iter().find(|agent| agent.project == mail.project);
        let there = there.map(|agent| agent.checkout.to_string_lossy().into_owned());
        format!(" in {}", Shown(&there.unwrap_or_else(|| mail.project.to_string())))
    };
    format!("{} {messages} for you{place}: ai_orch msg read", mail.unread)
}

fn told(age: Duration, ages: Ages) -> String {
    match (ages, age.as_secs() / 60) {
        (Ages::Minutes, 0) => "<1m".to_owned(),
        (Ages::Minutes, minutes @ 1..60) => format!("{minutes}m"),
        _ => wording::duration(age),
    }
}

fn row(a: &AgentReport, depth: usize, ages: Ages) -> [String; HEADS.len()] {
    let why = match (&a.failure, a.state) {
        (Some(f), State::Failed) => vec![f.class.to_string()],
        _ => Vec::new(),
    };
    let notes: Vec<String> = why.into_iter().chain(a.remarks.iter().map(remark)).collect();
    let state =
        if notes.is_empty() { a.state.to_string() } else { format!("{} ({})", a.state, notes.join("; ")) };
    let doing = match (&a.activity, a.state.is_final()) {
        (Some(activity), false) if !activity.text.is_empty() => activity.text.clone(),
        _ => a.title.clone(),
    };
    let cost = a.usage.or(a.activity.as_ref().and_then(|x| x.usage)).and_then(|u| u.cost_usd);
    let mail = match a.unread {
        Some(0) => String::new(),
        Some(unread) => unread.to_string(),
        // Its inbox could not be read.
        None => "?".to_owned(),
    };
    [
        format!("{}{}", "  ".repeat(depth), a.session),
        state,
        Shown(&a.cli).to_string(),
        told(age(a), ages),
        mail,
        a.changes.as_ref().map(changes).unwrap_or_default(),
        cost.map(wording::money).unwrap_or_default(),
        Shown(&a.branch).to_string(),
        Shown(&doing).to_string(),
    ]
}

fn rows(
    screen: &Screen,
    report: &ListReport,
    depths: &[usize],
    ages: Ages,
    kept: &mut Columns,
) -> Vec<(String, String)> {
    let heads = HEADS.map(str::to_owned);
    let depths = depths.iter().copied().chain(std::iter::repeat(0));
    let rows: Vec<_> =
        report.agents.iter().zip(depths).map(|(agent, depth)| row(agent, depth, ages)).collect();
    let mut shown = Vec::new();
    for (i, width) in kept.0.iter_mut().enumerate() {
        let cells = || rows.iter().filter_map(|row| row.get(i));
        // A column that was there stays, if it has become empty too.
        if *width == 0 && cells().all(String::is_empty) {
            continue;
        }
        let head = heads.get(i).map_or(0, |head| columns(head));
        *width = cells().map(|cell| columns(cell)).fold(head.max(*width), usize::max);
        shown.push(i);
    }
    let width = |i: usize| kept.0.get(i).copied().unwrap_or(0);
    let fixed = |shown: &[usize]| -> usize {
        shown.iter().map(|i| if *i == DOING { DOING_LEAST } else { width(*i) } + 2).sum()
    };
    for drop in DROPPED {
        if !screen.terminal || fixed(&shown) <= screen.width {
            break;
        }
        shown.retain(|i| *i != drop);
    }
    let colours: Vec<&str> = report.agents.iter().map(|a| state_colour(a.state)).collect();
    let mut lines = Vec::new();
    for (number, row) in std::iter::once(&heads).chain(&rows).enumerate() {
        let (mut text, mut painted) = (String::new(), String::new());
        for (place, i) in shown.iter().enumerate() {
            let Some(cell) = row.get(*i) else { continue };
            let room = if screen.terminal { screen.width.saturating_sub(columns(&text)) } else { usize::MAX };
            let cell = fit(cell, room);
            let last = place + 1 == shown.len();
            let pad = if last { 0 } else { width(*i).saturating_sub(columns(&cell)) + 2 };
            let colour = match number {
                0 => "2",
                _ if *i == STATE => colours.get(number - 1).copied().unwrap_or(""),
                _ => "",
            };
            let pad = " ".repeat(pad);
            painted.push_str(&screen.paint(colour, &cell));
            painted.push_str(&pad);
            text.push_str(&cell);
            text.push_str(&pad);
        }
        lines.push((text.trim_end().to_owned(), painted.trim_end().to_owned()));
    }
    lines
}
