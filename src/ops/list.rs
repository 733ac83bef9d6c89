//! `list`: every agent, as it is. Writes nothing.

use super::Result;
use crate::a2a::{look, names};
use crate::git::Repository;
use crate::life::House;
use crate::model::agent::State;
use crate::model::ids::Project;
use crate::model::report::{AgentReport, ListReport, Remark, VERSION};
use crate::rules::naming;

/// Every agent; with `here`, those of the repository that the working directory is in.
pub fn list(house: &House, here: bool) -> Result<ListReport> {
    let project = if here { Some(project_here(house)?) } else { None };
    let mut agents = Vec::new();
    let mut unreadable = Vec::new();
    for named in names::all(&house.settings.places)? {
        if project.as_ref().is_some_and(|p| *p != named.project) {
            continue;
        }
        match look::look(&house.settings.places, &named) {
            Ok(Some(report)) => agents.push(report),
            // Reserved a moment ago, and not yet on record; or never to be, and then it must be seen to be given back.
            Ok(None) => match look::cut_off(&house.settings.places, &named) {
                Ok(false) => {}
                Ok(true) => {
                    let why = crate::rules::replay::Error::Empty;
                    let path = named.record.journal();
                    unreadable.push((named, crate::a2a::Error::Record { path, why }));
                }
                Err(error) => unreadable.push((named, error)),
            },
            Err(error) => unreadable.push((named, error)),
        }
    }
    compare_with_sessions(house, &mut agents);
    for (named, error) in unreadable {
        agents.push(look::unreadable(&house.settings.places, &named, &error));
    }
    Ok(ListReport { v: VERSION, agents })
}

/// The repository of the working directory.
fn project_here(house: &House) -> Result<Project> {
    let repository = Repository::require(&house.git_to_look()?, &house.settings.working_dir)?;
    Ok(naming::project_for(repository.common_dir()))
}

/// An agent whose keeper lives must have a session; says where tmux knows none, or says nothing.
fn compare_with_sessions(house: &House, agents: &mut [AgentReport]) {
    let live = |a: &AgentReport| {
        !a.state.is_final() && !matches!(a.state, State::Interrupted | State::Unknown | State::Starting)
    };
    if !agents.iter().any(live) {
        return;
    }
    let sessions = house.tmux.sessions();
    for agent in agents.iter_mut().filter(|a| live(a)) {
        match &sessions {
            Ok(Some(names)) if names.iter().any(|n| n == agent.session.as_str()) => {}
            Ok(_) => agent.remarks.push(Remark::SessionGone),
            Err(error) => agent.remarks.push(Remark::TmuxUnknown { why: error.to_string() }),
        }
    }
}
