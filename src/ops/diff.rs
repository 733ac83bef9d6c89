//! `diff`: what an agent changed, committed or not.

use super::{Error, Result};
use crate::a2a::names::{self, Named};
use crate::a2a::record;
use crate::a2a::reservations::Reservations;
use crate::git::{self, CommitId, Worktree};
use crate::life::{self, House};
use crate::model::agent::Agent;
use crate::model::ids::Party;
use crate::model::report::{CommitLine, DiffReport, FileChange, VERSION};
use crate::model::text::Shown;
use crate::rules::{reservations, wording};
use crate::tools::file;

/// How much of a patch is shown, in bytes.
const PATCH_MAX: usize = 64 << 20;

/// What an agent changed.
#[derive(Debug, Clone)]
pub struct Diff {
    /// For programs; its patch is the one below as text.
    pub report: DiffReport,
    /// The patch, byte for byte.
    pub patch: Vec<u8>,
}

/// Where the changes of an agent are, proved to be there.
struct Changed {
    named: Named,
    agent: Agent,
    worktree: Worktree,
    base: CommitId,
}

fn find(house: &House, name: &str) -> Result<Changed> {
    let named = names::require_by_prefix(&house.settings.places, name)?;
    let agent = record::load(&named.record)?
        .ok_or_else(|| crate::a2a::Error::NoAgent { name: name.to_owned(), near: Vec::new() })?;
    let spec = &agent.spec;
    if !spec.place.is_in_repository() {
        let what = format!("{} works in no repository, so there is nothing to compare with", spec.session);
        return Err(Error::usage(what, format!("what it did: ai_orch logs {}", spec.session)));
    }
    let worktree = life::worktree(&agent).ok_or_else(|| git::Error::NotOurWorktree {
        path: spec.worktree.clone(),
        what: "it was never made".to_owned(),
    })?;
    let base = CommitId::parse(&spec.base)
        .ok_or_else(|| git::Error::Answer { doing: "read the base commit", answer: spec.base.clone() })?;
    for (what, path) in [("repository", &spec.common_dir), ("worktree", &worktree.path)] {
        if !file::is_dir(path)? {
            return Err(Error::Gone {
                session: spec.session.to_string(),
                what,
                path: path.clone(),
                base: spec.base.clone(),
                branch: spec.branch.clone(),
            });
        }
    }
    Ok(Changed { named, agent, worktree, base })
}

/// Shows in `tool`, else in the user's own difftool, what the agent has changed since its base, and waits until that is closed. What it
/// is given are copies. False: nothing is changed, and nothing was started.
///
/// # Errors
/// If the tool could not be started, or failed.
pub fn open_tool(house: &House, name: &str, tool: Option<&str>) -> Result<bool> {
    let Changed { agent, worktree, base, .. } = find(house, name)?;
    let brought = life::work::brought(house, &agent, &worktree)?;
    let opened = git::difftool::open(&house.git()?, &worktree, &base, &brought, tool);
    Ok(opened.map_err(life::Error::from)?)
}

/// What the agent whose name is `name`, or the only one whose name begins so, has changed since its base.
pub fn diff(house: &House, name: &str) -> Result<Diff> {
    let Changed { named, agent, worktree, base } = find(house, name)?;
    let spec = &agent.spec;
    let env = house.git()?;
    let brought = life::work::brought(house, &agent, &worktree)?;
    let difference = git::history::difference(&env, &worktree, &base, &brought, PATCH_MAX)?;
    let commits = git::history::commits(&env, &worktree, &base, 1000)?;
    let changes = life::work::changes(house, &agent)?.unwrap_or_default();
    let mut notes = Vec::new();
    if difference.truncated {
        notes.push(format!("the patch is longer than {} MiB; see git diff {}", PATCH_MAX >> 20, spec.base));
    }
    if difference.committed_only {
        notes.push("only what is committed is shown".to_owned());
    }
    // As it stands now: what was given back meanwhile is in nobody's way any more.
    let theirs = Reservations::open(&house.settings.places, &named.project)
        .and_then(|all| all.of_others(&Party::Worker(spec.session.clone())));
    match theirs {
        Ok(theirs) => {
            let crossed = reservations::crossed(&theirs, &difference.paths());
            notes.extend(crossed.iter().map(|one| wording::crossed(one, true)));
        }
        Err(error) => notes.push(format!("what others have reserved is not known: {error}")),
    }
    let report = DiffReport {
        v: VERSION,
        session: spec.session.clone(),
        branch: spec.branch.clone(),
        base: spec.base.clone(),
        changes,
        commits: commits
            .iter()
            .map(|c| CommitLine { id: c.id.as_str().to_owned(), subject: c.subject.clone() })
            .collect(),
        files: difference.files.iter().map(change).collect(),
        patch: String::from_utf8_lossy(&difference.patch).into_owned(),
        notes,
    };
    Ok(Diff { report, patch: difference.patch })
}

fn change(file: &git::history::FileDiff) -> FileChange {
    let number = |n: Option<usize>| n.map(|n| u32::try_from(n).unwrap_or(u32::MAX));
    FileChange {
        path: Shown(&file.path.to_string_lossy()).to_string(),
        status: file.status.to_owned(),
        insertions: number(file.insertions),
        deletions: number(file.deletions),
    }
}
