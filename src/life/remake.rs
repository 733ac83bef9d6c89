//! Making the worktree of an agent again that is gone, from what was saved of it last.

use super::{House, Result, work};
use crate::a2a::record::Pen;
use crate::git::restore::{self, Target};
use crate::git::{self, CommitId, Repository, rescue};
use crate::model::agent::Agent;
use crate::model::entry::{Entry, HeadAt, Spec};
use crate::model::places::Record;
use crate::tools::file;
use crate::tools::lock::Lock;
use std::path::Path;

/// The repository of an agent, by whatever checkout of it there is. The one that its `run` was called in may be gone, or
/// belong to another repository by now.
pub(super) fn repository(house: &House, spec: &Spec) -> Result<Repository> {
    let env = house.git()?;
    let main = spec.common_dir.parent().unwrap_or(Path::new("/"));
    for dir in [spec.checkout.as_path(), main] {
        if let Ok(Some(found)) = Repository::discover(&env, dir)
            && found.common_dir() == spec.common_dir
        {
            return Ok(found);
        }
    }
    Err(git::Error::NotARepository { dir: main.to_owned() }.into())
}

/// Where HEAD goes, and whether what was saved last belongs there.
struct Wanted {
    target: Target,
    fits: bool,
}

/// The commits that what was saved last belongs to: the one that HEAD was on then, and ours on top of it.
fn known(agent: &Agent, saved_at: Option<CommitId>) -> Vec<CommitId> {
    let last = agent.rescues.iter().rev().find(|r| r.commit.is_some());
    let on_top = agent.commits.iter().filter(|c| last.is_some_and(|r| r.n == c.n && !r.removal));
    let on_top = on_top.filter_map(|c| c.commit.as_deref());
    let at_end = agent.conclusion.as_ref().and_then(|c| c.changes.as_ref()?.tip.as_deref());
    let ours = at_end.into_iter().chain(on_top).filter_map(CommitId::parse);
    ours.chain(saved_at).collect()
}

/// What was on record of HEAD and branch may be nothing at all, and somebody may have worked on the branch meanwhile: then
/// that work counts, and files that were saved before it would undo it.
///
/// A commit that is not there any more is as if it were not on record: nothing held it but the worktree, or somebody removed it.
fn wanted(
    agent: &Agent,
    head: &HeadAt,
    tip: Option<&str>,
    saved_at: Option<CommitId>,
    is_there: impl Fn(&CommitId) -> bool,
) -> Wanted {
    let spec = &agent.spec;
    let mut known = known(agent, saved_at);
    known.retain(|id| is_there(id));
    let there = |id: &str| CommitId::parse(id).filter(|id| is_there(id));
    let (head_tip, own_tip) = (head.commit.as_deref().and_then(there), tip.and_then(there));
    let on_own = head.branch.as_ref() == Some(&spec.branch);
    let elsewhere = agent.conclusion.as_ref().and_then(|c| c.changes.as_ref()?.elsewhere.as_ref());
    let (branch, at) = match (head_tip, own_tip) {
        (_, Some(own)) if on_own && (head.commit.is_some() || elsewhere.is_none()) => {
            (Some(spec.branch.clone()), Some(own))
        }
        (Some(at), _) => (head.branch.clone(), Some(at)),
        // An orphan branch of the agent's: HEAD had no commit.
        (None, _) if head.branch.is_some() && head.commit.is_none() && !on_own => (head.branch.clone(), None),
        (None, _) => {
            let at = known.first().cloned().or_else(|| CommitId::parse(&spec.base));
            (elsewhere.is_none().then(|| spec.branch.clone()), at)
        }
    };
    let fits = at.as_ref().is_none_or(|at| known.contains(at));
    Wanted { target: Target { branch, tip: at }, fits }
}

/// Makes the worktree that the agent's record names, with HEAD at `head` and the agent's branch at `tip`, and puts it on
/// record. `lock` is that of the project. Doing it again is harmless until somebody has worked there. Returns
/// what is not as it was.
pub(super) fn remake(
    repository: &Repository,
    lock: &Lock,
    pen: &mut Pen,
    record: &Record,
    head: &HeadAt,
    tip: Option<&str>,
) -> Result<Option<String>> {
    let spec = pen.agent.spec.clone();
    let config = work::git_config(record)?;
    let last = pen.agent.rescues.iter().rev().find(|r| r.commit.is_some()).cloned();
    let saved = last.as_ref().and_then(|r| r.commit.as_deref()).and_then(CommitId::parse);
    let saved_at = match &saved {
        Some(saved) => rescue::head_of(repository, saved)?,
        None => None,
    };
    let is_there = |id: &CommitId| matches!(repository.resolve(id.as_str()), Ok(Some(_)));
    let Wanted { target, fits } = wanted(&pen.agent, head, tip, saved_at, is_there);
    if let Some(own_tip) = tip.and_then(CommitId::parse).filter(is_there) {
        restore::branch(repository, &spec.branch, &own_tip)?;
    }
    let source = saved.filter(|_| fits);
    if let Some(parent) = spec.worktree.parent() {
        file::make_dirs(parent)?;
    }
    let make = |target: &Target| {
        restore::restore(repository, lock, &config, &spec.worktree, target, source.as_ref())
    };
    let worktree = make(&target).or_else(|error| {
        // A branch that the agent had gone to is not ours: it may have moved, or be checked out elsewhere by now.
        let elsewhere = target.branch.as_ref() != Some(&spec.branch);
        let detached = Target { branch: None, tip: target.tip.clone() };
        if elsewhere { make(&detached).map_err(|_| error) } else { Err(error) }
    })?;
    pen.write(Entry::WorktreeMade { path: worktree.path, admin_dir: worktree.admin_dir })?;
    let passed_over = last.and_then(|r| r.name).filter(|_| !fits);
    Ok(passed_over.map(|name| {
        format!(
            "the branch {} moved on since, so its files are those of the branch; what was saved is {name}",
            spec.branch
        )
    }))
}
