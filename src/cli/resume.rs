//! `resume`: which of the words are agents and which is a task, and what came of it.

use super::print::{self, Screen};
use super::{args, exit, run};
use crate::life::House;
use crate::model::ids::Session;
use crate::model::report::{ResumeReport, ResumesReport, VERSION};
use crate::model::request;
use crate::model::text::Shown;
use crate::ops::{self, Error, Result};
use crate::rules::wording::Tone;

fn request(mut asked: args::Resume) -> Result<request::Resume> {
    // No name has a space in it, so such an argument can only be meant as a task.
    let is_task = |word: &String| word.parse::<Session>().is_err() && word.contains(char::is_whitespace);
    let mut task = asked.task;
    if let Some(text) = asked.sessions.pop_if(|last| is_task(last)) {
        if task.is_some() {
            return Err(Error::usage("there are two tasks", "give one, behind the name or with --task"));
        }
        task = Some(text);
    }
    if task.as_deref() == Some("-") {
        task = Some(run::task(&["-".to_owned()])?);
    }
    if task.as_deref().is_some_and(|text| text.trim().is_empty()) {
        return Err(Error::usage("the task is empty", "ai_orch resume NAME 'what to do next'"));
    }
    if asked.sessions.is_empty() && !asked.all {
        return Err(Error::usage("no agent is named", "ai_orch resume NAME 'what to do next'"));
    }
    if task.is_some() && asked.sessions.len() > 1 {
        return Err(Error::usage("a task goes to one agent", "ai_orch resume NAME 'what to do next'"));
    }
    Ok(request::Resume { sessions: asked.sessions, all: asked.all, task, env: run::assignments(&asked.env)? })
}

pub(super) fn go_on(house: &House, asked: args::Resume, json: bool, screen: &mut Screen) -> Result<u8> {
    let reports = ops::resume::resume(house, &request(asked)?)?;
    let code = exit::of_errors(reports.iter().map(|r| r.error.as_ref()));
    if json {
        screen.json(&ResumesReport { v: VERSION, resumed: reports });
    } else if reports.is_empty() {
        screen.line("No agent is interrupted.");
    } else {
        for report in &reports {
            tell(screen, report);
        }
    }
    Ok(code)
}

fn tell(screen: &mut Screen, report: &ResumeReport) {
    let session = Shown(&report.session);
    match &report.error {
        Some(e) => print::error(&e.code, &e.message, e.hint.clone(), exit::of_error(&e.code), false),
        None if report.resumed => {
            screen.toned(Tone::Good, &format!("{session} goes on. Watch it: ai_orch attach {session}"));
        }
        None => screen.toned(Tone::Note, &format!("{session} is at work already")),
    }
    for note in &report.notes {
        print::note(note);
    }
}
