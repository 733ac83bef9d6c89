//! `merge`: what came of each agent's work, as it is settled.

use super::print::Screen;
use super::{args, exit};
use crate::life::House;
use crate::model::merge::{Fate, How, MergeReport, MergedReport};
use crate::model::request;
use crate::model::text::{Shown, lines};
use crate::ops::merge::{self, Told};
use crate::ops::{Error, Result};
use crate::rules::wording::{self, Tone};
use std::time::Duration;

/// How many of the last lines of a test that failed are shown.
const LINES: usize = 12;

pub(super) fn bring_in(house: &House, asked: args::Merge, json: bool, screen: &mut Screen) -> Result<u8> {
    let begins = !(asked.go_on || asked.abort);
    if begins && asked.sessions.len() > 1 && !asked.queue {
        return Err(Error::usage("several agents make a queue", "ai_orch merge --queue SESSION SESSION..."));
    }
    if asked.validate.as_ref().is_some_and(|command| command.trim().is_empty()) {
        return Err(Error::usage(
            "--validate has no command",
            "for example: --validate 'cargo test'; or --no-validate",
        ));
    }
    let how = match (asked.squash, asked.rebase, asked.ff_only) {
        (true, ..) => How::Squash,
        (_, true, _) => How::Rebase,
        (_, _, true) => How::FfOnly,
        _ => How::Merge,
    };
    let request = request::Merge {
        sessions: asked.sessions,
        into: asked.into,
        how,
        validate: asked.validate,
        no_validate: asked.no_validate,
        resolve: asked.resolve,
        limit: asked.timeout,
        go_on: asked.go_on,
        give_up: asked.abort,
    };
    let report = merge::merge(house, &request, |agent, told| {
        if json {
            return;
        }
        match told {
            Told::SettingUp(command) => {
                screen.status(&format!("{}: setting up the merged tree: {}", agent.session, Shown(command)));
            }
            Told::Testing(command) => {
                screen.status(&format!("{}: testing the merged tree: {}", agent.session, Shown(command)));
            }
            Told::Settled => settled(screen, agent),
        }
    })?;
    if json {
        screen.json(&report);
    } else {
        summary(screen, &report);
    }
    Ok(code(&report))
}

/// 0 if everything that was asked for is in, 1 if nothing of it, else "partly".
fn code(report: &MergeReport) -> u8 {
    let one = |agent: &MergedReport| match agent.fate {
        Fate::Merged | Fate::Nothing => exit::OK,
        Fate::LeftOut | Fate::Waits => exit::FAILED,
    };
    exit::of_all(report.agents.iter().map(one))
}

fn settled(screen: &mut Screen, agent: &MergedReport) {
    let session = &agent.session;
    let tested = agent
        .tested
        .as_ref()
        .filter(|test| test.ok)
        .map(|test| format!(", tested in {}", wording::duration(Duration::from_millis(test.ms))));
    match agent.fate {
        Fate::Merged => {
            let commit = agent.commit.as_deref().and_then(|commit| commit.get(..10)).unwrap_or_default();
            screen.toned(Tone::Good, &format!("{session} merged: {commit}{}", tested.unwrap_or_default()));
        }
        Fate::Nothing => {
            screen.toned(Tone::Note, &format!("{session} had nothing that is not there already"));
        }
        Fate::LeftOut => {
            let why = agent.why.as_ref().map(|why| Shown(&why.message).to_string()).unwrap_or_default();
            screen.toned(Tone::Bad, &format!("{session} left out: {why}"));
            for path in &agent.conflicts {
                screen.line(&format!("    {}", Shown(path)));
            }
            if let Some(test) = agent.tested.as_ref().filter(|test| !test.ok) {
                let all: Vec<String> = lines(test.output.trim_end()).collect();
                for line in all.iter().skip(all.len().saturating_sub(LINES)) {
                    screen.line(&format!("    {line}"));
                }
            }
        }
        Fate::Waits => {}
    }
    for note in &agent.notes {
        screen.toned(Tone::Note, &format!("{session}: {note}"));
    }
}

fn summary(screen: &mut Screen, report: &MergeReport) {
    let merged = report.agents.iter().filter(|agent| agent.fate == Fate::Merged).count();
    let into = Shown(&report.into).to_string();
    let tip = report.tip.get(..10).unwrap_or(&report.tip);
    if report.agents.iter().any(|agent| agent.fate == Fate::Waits) {
        screen.toned(
            Tone::Note,
            &format!("given up; {merged} of {} are in {into}, at {tip}", report.agents.len()),
        );
    } else if report.agents.len() > 1 {
        screen.toned(Tone::Note, &format!("{merged} of {} are in {into}, at {tip}", report.agents.len()));
    } else if merged == 0 {
        screen.toned(Tone::Note, &format!("{into} is as it was, at {tip}"));
    }
    for agent in &report.agents {
        let session = &agent.session;
        if agent.asked {
            screen.toned(
                Tone::Note,
                &format!("{session} is asked to resolve it; then: ai_orch wait {session} && ai_orch merge {session}"),
            );
        } else if let Some(hint) = agent.why.as_ref().and_then(|why| why.hint.as_ref()) {
            screen.toned(Tone::Note, &Shown(hint).to_string());
        }
    }
}
