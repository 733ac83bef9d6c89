//! `attach`: this process becomes the tmux client.

use super::exit;
use super::print::{self, Screen};
use crate::life::House;
use crate::model::report::{RunReport, VERSION};
use crate::model::text::Shown;
use crate::ops::logs::Piece;
use crate::ops::{self, Error, Result};
use crate::rules::wording::{self, Tone};
use std::io;
use std::os::unix::process::CommandExt;

pub(super) fn enter(house: &House, session: Option<String>, json: bool, screen: &mut Screen) -> Result<u8> {
    let session = match session {
        Some(session) => session,
        None => pick(house, screen)?,
    };
    match ops::attach::attach(house, &session)? {
        ops::attach::Attach::Ended(report) => {
            if json {
                let next = print::next_commands(&report);
                screen.json(&RunReport { v: VERSION, agent: *report, notes: Vec::new(), next });
                return Ok(exit::OK);
            }
            let named = ops::logs::find(house, &session)?;
            let lines: Vec<(Tone, String)> = ops::logs::logs(&named)?
                .iter()
                .filter_map(|p| if let Piece::Line(l) = p { Some(wording::lines(&l.event)) } else { None })
                .flatten()
                .collect();
            for (tone, text) in lines.iter().skip(lines.len().saturating_sub(20)) {
                screen.toned(*tone, text);
            }
            print::summary(screen, &report);
            Ok(exit::OK)
        }
        ops::attach::Attach::Become { words } => {
            if !crate::tools::terminal::is_terminal(io::stdin()) || !screen.terminal {
                return Err(Error::Usage {
                    what: "attach needs a terminal".to_owned(),
                    hint: Some(format!("without one: ai_orch logs -f {}", Shown(&session))),
                });
            }
            let mut words = words.into_iter();
            let program = words.next().unwrap_or_default();
            #[expect(
                clippy::disallowed_methods,
                reason = "this process becomes the tmux client; there is nothing to wait for"
            )]
            let error = std::process::Command::new(program).args(words).env_remove("TMUX").exec();
            Err(Error::Usage {
                what: format!("tmux could not be started: {error}"),
                hint: Some("ai_orch doctor".into()),
            })
        }
    }
}

/// Lets a person choose among the agents that run.
fn pick(house: &House, screen: &mut Screen) -> Result<String> {
    let choices = ops::attach::choices(house)?;
    if let [one] = choices.as_slice() {
        return Ok(one.session.to_string());
    }
    let names: Vec<String> = choices.iter().map(|a| a.session.to_string()).collect();
    if !screen.terminal || !crate::tools::terminal::is_terminal(io::stdin()) {
        return Err(Error::usage(
            "attach needs the name of an agent",
            format!("one of: {}", names.join(", ")),
        ));
    }
    for (number, agent) in choices.iter().enumerate() {
        screen.line(&format!(
            "{:3}  {}  {}  {}",
            number + 1,
            agent.session,
            agent.state,
            Shown(&agent.title)
        ));
    }
    screen.bytes(b"Attach to which (number or name)? ");
    let mut typed = String::new();
    io::stdin().read_line(&mut typed).map_err(|e| Error::usage(e.to_string(), "ai_orch attach SESSION"))?;
    let typed = typed.trim();
    let chosen = typed.parse::<usize>().ok().and_then(|n| names.get(n.checked_sub(1)?).cloned());
    match chosen {
        Some(name) => Ok(name),
        None if typed.is_empty() => Err(Error::usage("nothing was chosen", "ai_orch attach SESSION")),
        None => Ok(typed.to_owned()),
    }
}
