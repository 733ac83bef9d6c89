//! `undo`: what can come back, and what came.

use super::print::{self, Screen};
use super::{args, exit};
use crate::life::House;
use crate::model::ids::Session;
use crate::model::text::{Shown, columns};
use crate::ops::{self, Result};
use crate::rules::wording::{self, Tone};
use crate::tools::clock;
use std::time::Duration;

pub(super) fn undo(house: &House, asked: &args::Undo, json: bool, screen: &mut Screen) -> Result<u8> {
    if asked.list {
        let report = ops::undo::list(house)?;
        screen.answer(json, &report, |screen, report| {
            if report.agents.is_empty() {
                screen.line("Nothing was cleaned that could come back.");
            }
            let repeated =
                |name: &Session| report.agents.iter().filter(|agent| agent.session == *name).count() > 1;
            let width = report.agents.iter().map(|a| columns(a.session.as_str())).max().unwrap_or(0);
            for agent in &report.agents {
                let age = Duration::from_millis(clock::now().millis_since(agent.cleaned));
                let pad = " ".repeat(width - columns(agent.session.as_str()));
                let age = wording::duration(age);
                // Where a name tells too little, the id tells which.
                let id = if repeated(&agent.session) { format!("  {}", agent.id) } else { String::new() };
                let title = Shown(&agent.title);
                screen.line(&format!("{}{pad}  {age:>7} ago  {title}{id}", agent.session));
            }
        });
        return Ok(exit::OK);
    }
    let report = ops::undo::undo(house, asked.session.as_deref())?;
    screen.answer(json, &report, |screen, report| {
        let session = &report.session;
        if report.restored {
            let place = report.worktree.to_string_lossy();
            let head = report.head.clone().unwrap_or_else(|| format!("branch {}", report.branch));
            let text = format!("{session} is back: {} in {}", Shown(&head), Shown(&place));
            screen.toned(Tone::Good, &text);
            for note in &report.notes {
                print::note(note);
            }
        } else {
            screen.toned(Tone::Note, &format!("{session} was not cleaned: nothing to bring back"));
        }
    });
    Ok(exit::OK)
}
