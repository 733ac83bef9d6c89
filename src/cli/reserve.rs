//! `reserve`: who changes which files.

use super::print::Screen;
use super::{args, exit};
use crate::life::House;
use crate::model::glob::Glob;
use crate::model::report::VERSION;
use crate::model::reservation::Reserved;
use crate::model::text::Shown;
use crate::model::together::{ReleaseReport, ReservationsReport, ReserveReport};
use crate::ops::Result;
use crate::ops::caller::Caller;
use crate::ops::office::Office;
use crate::ops::reserve::{self, Asked};
use crate::rules::wording::Tone;

pub(super) fn reserve(house: &House, asked: args::Reserve, json: bool, screen: &mut Screen) -> Result<u8> {
    let caller = Caller::of(house)?;
    let office = Office::open(house, &caller)?;
    let op_id = asked.op.op_id;
    if asked.list {
        let report = ReservationsReport { v: VERSION, reservations: reserve::list(&office, &caller)? };
        screen.answer(json, &report, |screen, report| {
            if report.reservations.is_empty() {
                screen.line("Nothing is reserved. Reserve files: ai_orch reserve 'src/parser/**'");
            }
            for one in &report.reservations {
                screen.line(&in_words(one));
            }
        });
    } else if asked.release {
        let report =
            ReleaseReport { v: VERSION, released: reserve::release(&office, &caller, &asked.globs, op_id)? };
        screen.answer(json, &report, |screen, report| {
            let globs: Vec<String> = report.released.iter().map(Glob::to_string).collect();
            if globs.is_empty() {
                screen.line("You had none of that reserved.");
            } else {
                screen.toned(Tone::Good, &format!("given back: {}", globs.join(" ")));
            }
        });
    } else {
        let asked = Asked {
            globs: asked.globs,
            exclusive: asked.exclusive,
            lease: asked.lease,
            why: asked.why,
            op_id,
        };
        let granted = reserve::reserve(&office, &caller, &asked)?;
        let report = ReserveReport { v: VERSION, reserved: granted.reserved, others: granted.others };
        screen.answer(json, &report, |screen, report| {
            for one in &report.reserved {
                screen.toned(Tone::Good, &format!("reserved: {}", in_words(one)));
            }
            for one in &report.others {
                screen.toned(Tone::Note, &format!("as well: {}", in_words(one)));
            }
        });
    }
    Ok(exit::OK)
}

/// One reservation in a line.
fn in_words(one: &Reserved) -> String {
    let Reserved { glob, by, exclusive, why, until, .. } = one;
    let alone = if *exclusive { " alone" } else { "" };
    let until = until.map_or_else(|| "as long as it works".to_owned(), |until| format!("until {until}"));
    let why = why.as_ref().map(|why| format!(": {}", Shown(why))).unwrap_or_default();
    format!("{glob}  by {by}{alone}, {until}{why}")
}
