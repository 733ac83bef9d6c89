//! `events`: JSON, one object a line, for programs; on a terminal one aligned line each.

use super::follow::interrupted;
use super::print::Screen;
use super::{args, exit};
use crate::life::House;
use crate::model::feed::{EventLine, Kind};
use crate::ops::{self, Result};
use std::cell::Cell;

pub(super) fn tell(house: &House, asked: args::Events, json: bool, screen: &mut Screen) -> Result<u8> {
    let code = Cell::new(exit::LEFT);
    let json = json || !screen.terminal;
    let show = |line: &EventLine| {
        if json {
            screen.json(line);
        } else {
            screen.line(&in_words(line));
        }
        !screen.closed
    };
    let told = ops::events::events(house, asked.since, asked.follow, show, interrupted(&code));
    let left = ops::runtime()?.block_on(told)?;
    Ok(if left && !screen.closed { code.get() } else { exit::OK })
}

/// One line for a person: when (UTC), what, and what became of it. Nothing in it was written by anybody but us.
fn in_words(line: &EventLine) -> String {
    let at = line.at.to_string();
    let time = at.get(11..19).unwrap_or(&at);
    let (kind, subject, says) = match &line.kind {
        Kind::Task { id, rev, state, owner, generation } => {
            let owner = owner.as_ref().map(|o| format!(" by {o}, claim {generation}")).unwrap_or_default();
            ("task", id.to_string(), format!("{state}{owner}, revision {rev}"))
        }
        Kind::Message { inbox, seq, from, .. } => {
            ("message", inbox.to_string(), format!("from {from}, number {seq}"))
        }
        Kind::Agent { session, state } => ("agent", session.to_string(), state.to_string()),
        Kind::Reservation { by, rev, released } => {
            let what = if *released { "gave files back" } else { "reserved files" };
            ("files", by.to_string(), format!("{what}, record {rev}"))
        }
        Kind::Gap => ("gap", String::new(), "what happened before is not kept".to_owned()),
    };
    format!("{time}  {kind:7}  {subject:36}  {says}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_for_people_are_aligned() {
        let line = |rest: &str| -> String {
            let head = r#"{"v":1,"cursor":"00ff12ab-000001:7","at":"2026-11-20T10:00:00.123Z","#;
            in_words(&serde_json::from_str(&format!("{head}{rest}}}")).unwrap())
        };
        let id = "01a1f8a1-3531-72e3-8e2e-ea70f421d1eb";
        let lines = [
            line(r#""kind":"agent","session":"fix","state":"working""#),
            line(&format!(r#""kind":"message","inbox":"fix","seq":3,"id":"{id}","from":"user""#)),
            line(&format!(
                r#""kind":"task","id":"{id}","rev":2,"state":"TASK_STATE_WORKING","owner":"fix","generation":1"#
            )),
            line(&format!(
                r#""kind":"task","id":"{id}","rev":3,"state":"TASK_STATE_COMPLETED","generation":1"#
            )),
            line(r#""kind":"reservation","by":"fix","rev":4,"released":false"#),
            line(r#""kind":"gap""#),
        ];
        insta::assert_snapshot!(lines.join("\n"), @"
        10:00:00  agent    fix                                   working
        10:00:00  message  fix                                   from user, number 3
        10:00:00  task     01a1f8a1-3531-72e3-8e2e-ea70f421d1eb  working by fix, claim 1, revision 2
        10:00:00  task     01a1f8a1-3531-72e3-8e2e-ea70f421d1eb  completed, revision 3
        10:00:00  files    fix                                   reserved files, record 4
        10:00:00  gap                                            what happened before is not kept
        ");
    }
}
