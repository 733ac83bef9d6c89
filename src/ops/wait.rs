//! `wait`: until agents are where somebody wants them, without polling.

use super::Result;
use super::follow::{News, follow};
use crate::a2a::{look, names};
use crate::life::House;
use crate::model::agent::State;
use crate::model::report::{VERSION, WaitReport};
use crate::model::request::Wait;
use crate::tools::clock;

/// Waits until every agent is in one of the wanted states, or can no longer come there, or the time is over.
pub async fn wait(house: &House, request: &Wait) -> Result<WaitReport> {
    let places = &house.settings.places;
    let mut agents = Vec::new();
    for name in &request.sessions {
        agents.push(names::require(places, name)?);
    }
    let deadline = request.timeout.and_then(|t| clock::tick().checked_add(t));
    let reached = |state: State| {
        if request.until.is_empty() { state.is_final() } else { request.until.contains(&state) }
    };
    let mut timed_out = false;
    let mut missed = Vec::new();
    for named in &agents {
        let mut there = false;
        let followed = follow(
            house,
            named,
            false,
            None,
            |news| {
                if let News::State(report) = news {
                    there = reached(report.state);
                }
                !there
            },
            clock::at(deadline),
        )
        .await?;
        if !there {
            missed.push(named.session.clone());
        }
        timed_out |= !there && followed.is_some_and(|f| f.left);
    }
    let mut reports = Vec::new();
    for named in &agents {
        reports.extend(look::look(places, named)?);
    }
    Ok(WaitReport { v: VERSION, timed_out, missed, agents: reports })
}
