//! `clean`: what was typed, and what came of it.

use super::print::{self, Screen};
use super::{args, exit};
use crate::life::House;
use crate::model::report::CleanReport;
use crate::model::request;
use crate::model::text::Shown;
use crate::ops::{self, Result};
use crate::rules::wording::{self, Tone};

pub(super) fn clean(house: &House, asked: args::Clean, json: bool, screen: &mut Screen) -> Result<u8> {
    let request = request::Clean {
        sessions: asked.sessions,
        done: asked.done,
        older_than: asked.older_than,
        merged: asked.merged,
        dry_run: asked.dry_run,
        no_teardown: asked.no_teardown,
        rescue: asked.rescue,
    };
    let report = ops::clean::clean(house, &request)?;
    // Broken off at the last one, whatever came before.
    let last = report.cleaned.last().and_then(|r| r.error.as_ref()).map(|e| exit::of_error(&e.code));
    let code = match last {
        Some(code @ (exit::LEFT | exit::TERMINATED)) => code,
        _ => exit::of_errors(report.cleaned.iter().map(|r| r.error.as_ref())),
    };
    if json {
        screen.json(&report);
        return Ok(code);
    }
    for one in &report.cleaned {
        tell(screen, one, report.dry_run);
    }
    let would = if report.dry_run { "would be " } else { "" };
    for one in &report.forgotten {
        let refs = one.refs;
        screen.toned(Tone::Good, &format!("{} {would}forgotten ({refs} saved states)", one.session));
    }
    match report.cleaned.iter().filter(|r| r.cleaned).count() {
        _ if report.dry_run => {}
        0 if report.cleaned.is_empty() && report.forgotten.is_empty() => screen.line("Nothing to clean."),
        0 => {}
        1 => screen.line("Bring it back: ai_orch undo"),
        _ => screen.line("Bring one back: ai_orch undo SESSION"),
    }
    Ok(code)
}

fn tell(screen: &mut Screen, report: &CleanReport, dry_run: bool) {
    let session = Shown(&report.session);
    if let Some(e) = &report.error {
        print::error(&e.code, &e.message, e.hint.clone(), exit::of_error(&e.code), false);
        return;
    }
    let done = if dry_run { "would be cleaned" } else { "cleaned" };
    let branch = match report.branch.as_ref().map(|b| &b.kept_because) {
        None => String::new(),
        Some(None) if dry_run => "; its branch goes too".to_owned(),
        Some(None) => "; its branch is gone too".to_owned(),
        Some(Some(why)) => format!("; its branch stays: {}", Shown(why)),
    };
    screen.toned(Tone::Good, &format!("{session} {done}, {}{branch}", wording::bytes(report.bytes)));
    if let Some(teardown) = &report.torn_down {
        let time = wording::duration(std::time::Duration::from_millis(teardown.ms));
        screen.line(&format!("  its teardown succeeded in {time}"));
    }
    for note in &report.notes {
        print::note(&format!("{session}: {note}"));
    }
    for left in &report.not_kept {
        screen.line(&format!(
            "  not saved, because it is ignored and large: {} ({})",
            Shown(&left.path),
            wording::bytes(left.bytes)
        ));
    }
}
