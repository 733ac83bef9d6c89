//! Making the worktree of an agent again that is gone, from what was saved of it last.

use super::{House, Result, work};
use crate::a2a::record::Pen;
use crate::git::restore::{self, Target};
use crate::git::{CommitId, Repository};
use crate::model::entry::{Entry, HeadAt, Spec};
use crate::model::places::Record;
use crate::tools::file;
use std::path::Path;

/// The repository of an agent. The checkout that its `run` was called in may be a worktree that is gone.
pub(super) fn repository(house: &House, spec: &Spec) -> Result<Repository> {
    let env = house.git()?;
    let main = spec.common_dir.parent().unwrap_or(Path::new("/"));
    let dir = if file::is_dir(&spec.checkout)? { &spec.checkout } else { main };
    Ok(Repository::require(&env, dir)?)
}

/// Makes the worktree that the agent's record names, with HEAD at `head` and the agent's branch at `tip`, and puts it on
/// record. The caller holds the lock of the project. Doing it again is harmless until somebody has worked there.
pub(super) fn remake(
    repository: &Repository,
    pen: &mut Pen,
    record: &Record,
    head: &HeadAt,
    tip: Option<&str>,
) -> Result<()> {
    let spec = pen.agent.spec.clone();
    let config = work::git_config(record)?;
    let own_tip = tip.and_then(CommitId::parse);
    if let Some(own_tip) = &own_tip {
        restore::branch(repository, &spec.branch, own_tip)?;
    }
    let saved = pen.agent.rescues.iter().rev().find_map(|r| r.commit.as_deref()).and_then(CommitId::parse);
    let head_tip = head.commit.as_deref().and_then(CommitId::parse);
    // Without a record of where HEAD was it goes to the agent's branch, and without that to where it began.
    let at = head_tip.clone().or_else(|| own_tip.clone()).or_else(|| CommitId::parse(&spec.base));
    let target = Target {
        branch: head.branch.clone(),
        tip: if head.branch.as_ref() == Some(&spec.branch) { at.clone() } else { head_tip },
    };
    if let Some(parent) = spec.worktree.parent() {
        file::make_dirs(parent)?;
    }
    let make =
        |target: &Target| restore::restore(repository, &config, &spec.worktree, target, saved.as_ref());
    let worktree = make(&target).or_else(|error| {
        // A branch that the agent had gone to is not ours: it may have moved, or be checked out elsewhere by now.
        let elsewhere = target.branch.as_ref() != Some(&spec.branch);
        if elsewhere {
            make(&Target { branch: None, tip: at.clone() }).map_err(|_| error)
        } else {
            Err(error)
        }
    })?;
    Ok(pen.write(Entry::WorktreeMade { path: worktree.path, admin_dir: worktree.admin_dir })?)
}
