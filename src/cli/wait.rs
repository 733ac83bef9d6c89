//! `wait`: until agents are where they should be.

use super::follow::interrupted;
use super::print::Screen;
use super::{args, exit};
use crate::life::House;
use crate::model::ids::Session;
use crate::model::request;
use crate::model::text::Shown;
use crate::ops::{self, Result};
use std::cell::Cell;

pub(super) fn wait_for(house: &House, wait: args::Wait, json: bool, screen: &mut Screen) -> Result<u8> {
    let code = Cell::new(exit::LEFT);
    let request = request::Wait { sessions: wait.sessions, until: wait.until, timeout: wait.timeout };
    let report = ops::runtime()?.block_on(async {
        tokio::select! {
            report = ops::wait::wait(house, &request) => report.map(Some),
            () = interrupted(&code) => Ok(None),
        }
    })?;
    let Some(report) = report else { return Ok(code.get()) };
    // Who has only a name, because who began to make it died, comes to no end.
    let unknown = |name: &&Session| !report.agents.iter().any(|agent| agent.session == **name);
    let unknown: Vec<&Session> = report.missed.iter().filter(unknown).collect();
    let code = if report.timed_out {
        exit::TIME
    } else {
        let known = report.agents.iter().map(|agent| match exit::of_agent(agent) {
            code if request.until.is_empty() => code,
            // It was where it should be, whatever became of it since.
            _ if !report.missed.contains(&agent.session) => exit::OK,
            // A good end is no success for who waited for something else.
            exit::OK => exit::FAILED,
            code => code,
        });
        exit::of_all(known.chain(unknown.iter().map(|_| exit::FAILED)))
    };
    if json {
        screen.json(&report);
    } else {
        for agent in &report.agents {
            let why =
                agent.failure.as_ref().map(|f| format!(" ({}): {}", f.class, f.message)).unwrap_or_default();
            screen.line(&Shown(&format!("{}  {}{why}", agent.session, agent.state)).to_string());
        }
        for name in unknown {
            screen.line(&format!("{name}  was never made whole. Remove it: ai_orch kill {name}"));
        }
    }
    Ok(code)
}
