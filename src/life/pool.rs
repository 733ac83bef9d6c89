//! Worktrees that are ready before they are asked for: taken for an agent, made for the next one, and given up.

use super::{House, Result, work, worktree};
use crate::a2a::record;
use crate::git::pool::Taken;
use crate::git::pool_make::{self, Order, Outcome};
use crate::git::settings::ForWorktrees;
use crate::git::{self, CommitId, GitEnv};
use crate::model::agent::Agent;
use crate::model::ids::{AgentId, Project};
use crate::model::place::Place;
use crate::tools::{file, lock};
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use uuid::Uuid;

/// How long one piece of work is put off for others at most.
const GIVE_WAY: Duration = Duration::from_secs(30);

/// Fills the worktree of `agent` with one that is ready, if there is one for it.
pub(super) fn take(
    house: &House,
    agent: &Agent,
    env: &GitEnv,
    worktree: &git::Worktree,
    known: Option<&ForWorktrees>,
    stop: &AtomicBool,
) -> Result<Taken> {
    let limits = house.settings.pool;
    if limits.number == 0 {
        return Ok(Taken::No(None));
    }
    let pool = house.settings.places.pool(&agent.spec.project);
    Ok(git::pool::take(env, worktree, &pool, &agent.spec.id.to_string(), known, stop)?)
}

/// Makes ready what the next agent will want that is started where `agent` was: as many worktrees as are allowed, at the commit that its
/// checkout is at now. What is of no use any more is deleted first.
pub fn make(house: &House, agent: &Agent) -> Result<Outcome> {
    let (limits, project) = (house.settings.pool, &agent.spec.project);
    let Some(worktree) = worktree(agent).filter(|_| agent.spec.place == Place::NewBranch) else {
        return Ok(Outcome::None("it works in no worktree of its own".to_owned()));
    };
    let env = house.git()?;
    // The commit that it began at, if the checkout is gone.
    let here = git::Repository::discover(&env, &agent.spec.checkout)?;
    let here = here.filter(|repository| repository.common_dir() == agent.spec.common_dir);
    let head = here.map(|repository| repository.head()).transpose()?;
    let Some(commit) = head.and_then(|h| h.commit().cloned()).or_else(|| CommitId::parse(&agent.spec.base))
    else {
        return Ok(Outcome::None("there is no commit".to_owned()));
    };
    let sources = work::sources(agent);
    // Whoever fills a worktree that an agent waits for comes first.
    let filling = house.settings.places.filling();
    let give_way = || drop(lock::exclusive(&filling, GIVE_WAY));
    let order =
        Order { worktree: &worktree, commit: &commit, sources: &sources, limits, give_way: &give_way };
    let pool = house.settings.places.pool(project);
    file::make_dirs(&pool)?;
    // What this one took, and did not use, it needs no more.
    let is_used = |owner: &str| owner != agent.spec.id.to_string() && is_used(house, project, owner);
    Ok(pool_make::make(&env, &pool, &order, &is_used)?)
}

/// Deletes what is of no use in any pool, also in those of repositories that are gone; and all of them, if none is allowed any more.
pub fn clear(house: &House) -> Result<()> {
    let places = &house.settings.places;
    for name in file::names(&places.pools())?.unwrap_or_default() {
        let Some(project) = name.to_str().map(|name| Project(name.to_owned())) else { continue };
        let is_used = |owner: &str| is_used(house, &project, owner);
        pool_make::clear(&places.pool(&project), house.settings.pool.number == 0, &is_used)?;
    }
    file::remove_empty_dir(&places.pools())?;
    Ok(())
}

/// Whether the agent `owner` may just be filling its worktree: it has a keeper, and is not ready.
fn is_used(house: &House, project: &Project, owner: &str) -> bool {
    let Ok(id) = Uuid::parse_str(owner).map(AgentId) else { return false };
    let record = house.settings.places.record(project, id);
    let kept = matches!(lock::probe(&record.keeper_lock()), Ok(Some(lock::Held::Yes(_))) | Err(_));
    // Looked at in this order: one that is ready by then does not begin again.
    kept && record::load(&record).map_or(true, |agent| agent.is_some_and(|agent| !agent.ready))
}
