//! `diff`: a patch for a program, a coloured one for a person, or numbers.

use super::print::{self, Screen};
use super::{args, exit};
use crate::life::House;
use crate::model::text::Shown;
use crate::ops::{self, Error, Result};
use crate::tools::terminal;
use std::io;

pub(super) fn difference(house: &House, diff: &args::Diff, json: bool, screen: &mut Screen) -> Result<u8> {
    if let Some(tool) = &diff.tool {
        return in_tool(house, &diff.session, Some(tool.as_str()).filter(|tool| !tool.is_empty()), screen);
    }
    let found = ops::diff::diff(house, &diff.session)?;
    if json {
        screen.json(&found.report);
        return Ok(exit::OK);
    }
    if diff.stat {
        for file in &found.report.files {
            let lines = file
                .insertions
                .zip(file.deletions)
                .map_or_else(|| "binary".to_owned(), |(i, d)| format!("+{i} -{d}"));
            screen.line(&format!("{:9} {lines:>12}  {}", file.status, file.path));
        }
        let c = &found.report.changes;
        screen.line(&format!("{} commits, {} files, +{} -{}", c.commits, c.files, c.insertions, c.deletions));
    } else if screen.terminal {
        let mut binary = false;
        for line in String::from_utf8_lossy(&found.patch).lines() {
            // Base 85 is for git apply, not for people.
            binary = (binary || line == "GIT binary patch") && !line.starts_with("diff --git ");
            if binary && line != "GIT binary patch" {
                continue;
            }
            let tone = match line.as_bytes().first() {
                Some(b'+') => "32",
                Some(b'-') => "31",
                Some(b'@') => "36",
                _ => "",
            };
            screen.painted(tone, &Shown(line).to_string());
        }
    } else {
        screen.bytes(&found.patch);
    }
    for note in &found.report.notes {
        print::note(note);
    }
    if found.report.changes.is_empty() {
        print::note("no changes");
    }
    Ok(exit::OK)
}

/// In the tool of that name, or in the one that the user has set, which may want a terminal.
fn in_tool(house: &House, session: &str, tool: Option<&str>, screen: &Screen) -> Result<u8> {
    if tool.is_none() && !(screen.terminal && terminal::is_terminal(io::stdin())) {
        let what = "diff --tool without a name needs a terminal";
        return Err(Error::usage(
            what,
            format!("name one that needs none: ai_orch diff {} --tool=meld", Shown(session)),
        ));
    }
    if !ops::diff::open_tool(house, session, tool)? {
        print::note("no changes");
    }
    Ok(exit::OK)
}
