//! `list`: every agent, as it is. Writes nothing.

use super::Result;
use crate::a2a::identity::Who;
use crate::a2a::unread::Counter;
use crate::a2a::{look, names};
use crate::git::Repository;
use crate::life::House;
use crate::model::agent::State;
use crate::model::ids::{Party, Project, Session};
use crate::model::report::{AgentReport, ForYou, ListReport, Remark, VERSION};
use crate::rules::naming;
use crate::rules::tree::tree;
use crate::tmux;
use std::collections::HashSet;
use std::thread;

/// Every agent; with `here`, those of the repository that the working directory is in.
pub fn list(house: &House, here: bool) -> Result<ListReport> {
    let project = if here { Some(project_here(house)?) } else { None };
    all(house, project.as_ref())
}

/// Every agent; with `project`, those of that one.
pub(super) fn all(house: &House, project: Option<&Project>) -> Result<ListReport> {
    let mut agents = Vec::new();
    let mut unreadable = Vec::new();
    thread::scope(|scope| -> Result<()> {
        let mut sessions = None;
        for named in names::all(&house.settings.places)? {
            if project.is_some_and(|p| *p != named.project) {
                continue;
            }
            match look::look(&house.settings.places, &named) {
                Ok(Some(report)) => {
                    // tmux answers while the others are looked at; it is not asked for agents that have ended.
                    if live(&report) && sessions.is_none() {
                        sessions = thread::Builder::new().spawn_scoped(scope, || house.tmux.sessions()).ok();
                    }
                    agents.push(report);
                }
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
        if agents.iter().any(live) {
            let told = sessions.and_then(|asked| asked.join().ok());
            let told = told.unwrap_or_else(|| house.tmux.sessions());
            // The session of an agent that began while others were looked at may be younger than the answer.
            let complete = matches!(&told, Ok(Some(names)) if missing(&agents, names).next().is_none());
            told_by_tmux(&mut agents, &if complete { told } else { house.tmux.sessions() });
        }
        Ok(())
    })?;
    for (named, error) in unreadable {
        agents.push(look::unreadable(&house.settings.places, &named, &error));
    }
    let mut counter = Counter::new(&house.settings.places);
    for agent in &mut agents {
        // An inbox that cannot be read is told of by whoever reads it.
        agent.unread = counter.count(&agent.project, &Party::Worker(agent.session.clone())).ok();
    }
    let for_you = for_you(house, &mut counter, project)?;
    Ok(ListReport { v: VERSION, agents, for_you })
}

/// What waits for the person, if it is the person who asks.
fn for_you(house: &House, counter: &mut Counter<'_>, project: Option<&Project>) -> Result<Vec<ForYou>> {
    if !matches!(house.who(), Ok(Who::Person)) {
        return Ok(Vec::new());
    }
    let waiting = match project {
        Some(project) => vec![(project.clone(), counter.count(project, &Party::User).unwrap_or(0))],
        None => counter.for_person()?,
    };
    let mut waiting: Vec<_> = waiting.into_iter().filter(|(_, unread)| *unread > 0).collect();
    // Looked for only if there is something to say: outside of any repository there is no "here".
    let here = if waiting.is_empty() { None } else { project.cloned().or_else(|| project_here(house).ok()) };
    let told = waiting.drain(..).map(|(project, unread)| ForYou {
        here: here.as_ref() == Some(&project),
        project,
        unread,
    });
    Ok(told.collect())
}

/// Puts each agent behind the one that started it; how far each is below a root.
pub fn as_tree(report: &mut ListReport) -> Vec<usize> {
    let rows: Vec<_> = report.agents.iter().map(|agent| (agent.id, agent.parent)).collect();
    let places = tree(&rows);
    let mut agents: Vec<_> = std::mem::take(&mut report.agents).into_iter().map(Some).collect();
    report.agents.extend(places.iter().filter_map(|place| agents.get_mut(place.row)?.take()));
    places.iter().map(|place| place.depth).collect()
}

/// The repository of the working directory.
pub(super) fn project_here(house: &House) -> Result<Project> {
    let repository = Repository::require(&house.git_to_look()?, &house.settings.working_dir)?;
    Ok(naming::project_for(repository.common_dir()))
}

/// Whether the agent must have a session.
pub(super) fn live(agent: &AgentReport) -> bool {
    !agent.state.is_final() && !matches!(agent.state, State::Interrupted | State::Unknown | State::Starting)
}

/// An agent whose keeper lives must have a session; says where tmux knows none, or says nothing.
fn told_by_tmux(agents: &mut [AgentReport], sessions: &tmux::Result<Option<Vec<String>>>) {
    match sessions {
        Ok(names) => {
            let names = names.as_deref().unwrap_or_default();
            let gone: HashSet<Session> = missing(agents, names).map(|a| a.session.clone()).collect();
            for agent in agents.iter_mut().filter(|a| gone.contains(&a.session)) {
                agent.remarks.push(Remark::SessionGone);
            }
        }
        Err(error) => {
            for agent in agents.iter_mut().filter(|a| live(a)) {
                agent.remarks.push(Remark::TmuxUnknown { why: error.to_string() });
            }
        }
    }
}

/// The agents that must have a session and have none among `names`.
fn missing<'a>(agents: &'a [AgentReport], names: &[String]) -> impl Iterator<Item = &'a AgentReport> {
    let names: HashSet<String> = names.iter().cloned().collect();
    agents.iter().filter(move |a| live(a) && !names.contains(a.session.as_str()))
}
