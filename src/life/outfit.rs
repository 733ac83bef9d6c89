//! What a worktree has beside its files because its repository asks for it: variables, ports, links to the checkout.

use super::{House, Result, worktree};
use crate::a2a::ports;
use crate::a2a::record::Pen;
use crate::git;
use crate::model::agent::Agent;
use crate::model::entry::{Entry, Spec};
use crate::model::project_file::{Links, NotLinked};
use crate::tools::file;
use std::ffi::OsString;

/// The variables that every command in the worktree of `agent` gets: where it works and on what, and its ports. What was given by
/// hand (`--env`) was not taken from the file, and stays.
pub fn variables(agent: &Agent) -> Vec<(String, OsString)> {
    let spec = &agent.spec;
    let mut variables: Vec<(String, OsString)> = vec![
        ("AI_ORCH_WORKTREE".into(), spec.worktree.clone().into()),
        ("AI_ORCH_CHECKOUT".into(), spec.checkout.clone().into()),
        ("AI_ORCH_BRANCH".into(), spec.branch.clone().into()),
        ("AI_ORCH_BASE".into(), spec.base.clone().into()),
    ];
    let ports = agent.outfit.ports.iter();
    variables.extend(ports.map(|port| (port.name.clone(), port.port.to_string().into())));
    variables
}

/// Makes sure that the agent has the ports that are on record for it, or takes them and puts them on record.
pub fn take_ports(house: &House, pen: &mut Pen) -> Result<()> {
    let Some(from) = pen.agent.spec.from_file.as_deref().filter(|from| !from.ports.is_empty()) else {
        return Ok(());
    };
    let (places, spec, had) = (&house.settings.places, &pen.agent.spec, &pen.agent.outfit.ports);
    let ports = ports::take(places, &spec.project, spec.id, &from.ports, had)?;
    if ports != *had {
        pen.note(Entry::PortsTaken { ports })?;
    }
    Ok(())
}

/// Gives the ports of an agent back that has its worktree no more.
pub(super) fn give_ports_back(house: &House, spec: &Spec) -> Result<()> {
    if spec.from_file.as_ref().is_some_and(|from| !from.ports.is_empty()) {
        ports::give_back(&house.settings.places, &spec.project, spec.id)?;
    }
    Ok(())
}

/// Links into the worktree of `agent` what it is to share with the checkout. A checkout that is gone shares nothing.
pub fn link(house: &House, agent: &Agent) -> Result<Links> {
    let spec = &agent.spec;
    let Some(from) = spec.from_file.as_deref() else { return Ok(Links::default()) };
    let env = house.git()?;
    let checkout = if file::is_dir(&spec.checkout)? {
        git::Repository::discover(&env, &spec.checkout)?
            .filter(|found| found.common_dir() == spec.common_dir && found.work_dir() == spec.checkout)
    } else {
        None
    };
    let (Some(checkout), Some(worktree)) = (checkout, worktree(agent)) else {
        let why = "the checkout is gone";
        let gone = |path: &String| NotLinked { path: path.clone(), why: why.to_owned() };
        return Ok(Links { made: Vec::new(), left_out: from.symlink.iter().map(gone).collect() });
    };
    Ok(git::links::make(&env, &checkout, &worktree, &from.symlink)?)
}
