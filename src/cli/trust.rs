//! `trust`: what a repository asks for, whole and harmless to look at; and the question, where there is somebody to answer it.

use super::print::{self, Screen};
use super::{args, exit};
use crate::life::House;
use crate::model::project_file::{FILE, TrustReport};
use crate::model::text::{Shown, whole};
use crate::ops::Result;
use crate::ops::trust::{Deed, trust};
use crate::rules::project_file::asks;
use crate::rules::wording::Tone;
use crate::tools::terminal;
use std::io;

pub(super) fn trusted(house: &House, asked: &args::Trust, json: bool, screen: &mut Screen) -> Result<u8> {
    let deed = match asked {
        args::Trust { revoke: true, .. } => Deed::Revoke,
        args::Trust { show: true, .. } => Deed::Show,
        args::Trust { .. } => Deed::Allow,
    };
    let report = trust(house, deed)?;
    if json {
        screen.json(&report);
        return Ok(exit::OK);
    }
    if deed == Deed::Revoke {
        if report.revoked == 0 {
            screen.line("Nothing was allowed here.");
        } else {
            screen.toned(Tone::Good, "Nothing is allowed here any more; ai_orch run asks again.");
            screen.line(
                "The teardowns of agents that are there already are still run; without them: ai_orch clean --no-teardown SESSION",
            );
        }
        return Ok(exit::OK);
    }
    let Some(_) = &report.asks else {
        screen.line(&format!(
            "There is no {} here, and nothing to allow.",
            Shown(&report.file.to_string_lossy())
        ));
        return Ok(exit::OK);
    };
    show(screen, &report);
    match (&report.hash, report.allowed, deed) {
        (None, ..) => screen.line("Nothing of this has to be allowed."),
        (Some(_), _, Deed::Allow) => {
            screen.toned(
                Tone::Good,
                "Allowed in this repository, until it changes. Take it back: ai_orch trust --revoke",
            );
        }
        (Some(_), true, _) => screen.toned(Tone::Good, "This is allowed."),
        (Some(_), false, _) => screen.toned(Tone::Note, "This is not allowed. Allow it: ai_orch trust"),
    }
    Ok(exit::OK)
}

/// What the file asks for, with every line of every command.
fn show(screen: &mut Screen, report: &TrustReport) {
    screen.line(&format!("{} asks for:", Shown(&report.file.to_string_lossy())));
    let rows = report.asks.iter().flat_map(asks).flat_map(|(key, value)| {
        let lines: Vec<String> = value.trim_end_matches('\n').split('\n').map(whole).collect();
        lines.into_iter().map(move |line| (key, line)).collect::<Vec<_>>()
    });
    screen.fields(&rows.collect::<Vec<_>>());
}

/// Asks the person at the terminal. Anything but yes is no.
pub(super) fn ask(screen: &mut Screen, report: &TrustReport) -> bool {
    show(screen, report);
    screen.line("The commands run as you, and are not kept from anything that you can do.");
    // Only who has seen the question can answer it.
    terminal::forget_typed(io::stdin());
    screen.bytes(format!("Allow this until {FILE} changes? [y/N] ").as_bytes());
    let mut typed = String::new();
    match io::stdin().read_line(&mut typed) {
        Ok(_) => matches!(typed.trim().to_lowercase().as_str(), "y" | "yes"),
        Err(error) => {
            print::note(&format!("the answer could not be read: {error}"));
            false
        }
    }
}
