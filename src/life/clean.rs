//! Taking away what an ended agent worked in: saved first, so that it can come back.
//!
//! The worktree is saved, moved aside, and saved again if somebody wrote meanwhile; only then its files go. Each step
//! finds itself done, so that whoever is cut off is followed by somebody who calls `clean` again.

use super::{House, Result, fence, undo, work, worktree};
use crate::a2a::names::{self, Named};
use crate::a2a::record::{self, Pen};
use crate::a2a::{board, cleaned};
use crate::git::changes::NestedKind;
use crate::git::remove::{self, BranchFate};
use crate::git::{self, CommitId, GitEnv, Worktree, rescue};
use crate::model::agent::{Agent, Removal};
use crate::model::entry::{Entry, HeadAt};
use crate::model::ids::Session;
use crate::model::text::Shown;
use crate::rules::clean::{Plan, Why, plan};
use crate::tools::{file, lock};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long to wait for others who add a worktree to the same repository.
const LOCK_LIMIT: Duration = Duration::from_mins(2);
/// Ignored files and directories up to this size, in bytes, are saved as well. Larger ones are what a build makes.
const IGNORED_MAX: u64 = 10 << 20;

/// Why an agent stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What it is does not allow it.
    #[error("{session} {}", reason(*.why))]
    Refused {
        /// The agent.
        session: Session,
        /// Why not.
        why: Why,
    },
    /// Somebody keeps it.
    #[error("{session} is at work")]
    AtWork {
        /// The agent.
        session: Session,
    },
    /// Processes of it go on.
    #[error("{session} has ended, but process {pid} of it still runs")]
    StillRunning {
        /// The agent.
        session: Session,
        /// One of them.
        pid: i32,
    },
    /// Its repository is gone, so there is nothing to save the worktree in.
    #[error("the repository of {session} is gone ({}), and its worktree cannot be saved without it", Shown(&.common_dir.to_string_lossy()))]
    NoRepository {
        /// The agent.
        session: Session,
        /// Where the repository was.
        common_dir: PathBuf,
        /// The worktree.
        worktree: PathBuf,
    },
    /// The worktree holds what no commit can hold.
    #[error("the worktree of {session} holds what cannot be saved: {}", Shown(.what))]
    CannotSave {
        /// The agent.
        session: Session,
        /// What.
        what: String,
        /// The worktree.
        worktree: PathBuf,
    },
}

const fn reason(why: Why) -> &'static str {
    match why {
        Why::NotEnded => "has not ended",
        Why::Newer => "was last kept by a newer ai_orch, which may know what this one does not",
    }
}

impl Error {
    /// A word that does not change, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused { why: Why::Newer, .. } => "newer_record",
            Self::Refused { .. } => "not_cleanable",
            Self::AtWork { .. } | Self::StillRunning { .. } => "still_runs",
            Self::NoRepository { .. } => "repository_gone",
            Self::CannotSave { .. } => "cannot_save",
        }
    }

    /// What to type next.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Refused { session, why: Why::NotEnded } => {
                format!("let it go on: ai_orch resume {session}; or end it: ai_orch kill {session}")
            }
            Self::Refused { why: Why::Newer, .. } => "use the newer ai_orch".to_owned(),
            Self::AtWork { session } | Self::StillRunning { session, .. } => {
                format!("ai_orch kill {session}")
            }
            Self::NoRepository { worktree, .. } => {
                format!(
                    "move away what you need of {}, remove it, and clean again",
                    Shown(&worktree.to_string_lossy())
                )
            }
            Self::CannotSave { worktree, .. } => {
                format!("move it out of {}, and clean again", Shown(&worktree.to_string_lossy()))
            }
        })
    }
}

/// What was done, or would be.
#[derive(Debug, Clone, Default)]
pub struct Cleaned {
    /// What the worktree took on disk, in bytes.
    pub freed: u64,
    /// What became of the branch; `None` if there never was one.
    pub branch: Option<BranchFate>,
    /// The ref that the worktree is saved under.
    pub saved: Option<String>,
    /// Ignored files and directories that are not saved because of their size, with it.
    pub not_kept: Vec<(PathBuf, u64)>,
}

/// Where the worktree of an agent is, if there is anything of it.
#[derive(Debug)]
struct There {
    env: GitEnv,
    worktree: Worktree,
    base: CommitId,
}

/// What `clean` would do with the agent. Changes nothing but refs of ours: what it would save is saved.
pub fn outlook(house: &House, named: &Named) -> Result<Cleaned> {
    let agent = require(named)?;
    let held = lock::probe(&named.record.keeper_lock())?;
    if matches!(held, Some(lock::Held::Yes(_))) && agent.conclusion.is_none() {
        return Err(Error::AtWork { session: named.session.clone() }.into());
    }
    let mut cleaned = Cleaned::default();
    if let Plan::Refuse(why) = plan(&agent) {
        return Err(Error::Refused { session: named.session.clone(), why }.into());
    }
    still_running(&agent)?;
    let Some(there) = there(house, &agent)? else { return Ok(cleaned) };
    if file::is_dir(&there.worktree.path)? {
        let saved = save(&there, &agent, &named.record)?;
        cleaned.saved = saved.as_ref().map(|s| s.name.clone());
        cleaned.not_kept = saved.map(|s| s.not_kept).unwrap_or_default();
        cleaned.freed = git::worktree::size(&there.worktree.path)?;
    }
    let prefix = &house.settings.branch_prefix;
    let common = &there.worktree.common_dir;
    let own = Some(there.worktree.path.as_path());
    let fate = remove::fate(&there.env, common, &agent.spec.branch, &there.base, &MERGED_INTO, prefix, own)?;
    cleaned.branch = Some(fate);
    Ok(cleaned)
}

/// Besides other branches: where the user's own checkout is, on a branch or not.
const MERGED_INTO: [&str; 1] = ["HEAD"];

/// Takes away the worktree of the agent, its branch if nothing is lost by that, its session and its name.
pub fn clean(house: &House, named: &Named) -> Result<Cleaned> {
    let _alone = record::hold(&named.record)?;
    let Some(held) = record::try_take(&named.record)? else {
        return Err(Error::AtWork { session: named.session.clone() }.into());
    };
    let mut pen = Pen::open(&named.record, &held)?;
    let cleaned = match plan(&pen.agent) {
        Plan::Refuse(why) => return Err(Error::Refused { session: named.session.clone(), why }.into()),
        Plan::Clean => take_away(house, named, &mut pen)?,
        Plan::Return => {
            undo::come_back(house, &mut pen, &named.record)?;
            take_away(house, named, &mut pen)?
        }
        Plan::Finish => Cleaned::default(),
    };
    give_back(house, named)?;
    Ok(cleaned)
}

/// Finishes the removal of a worktree that was cut off, for whoever wants it back.
pub(super) fn finish(house: &House, named: &Named, pen: &mut Pen) -> Result<()> {
    take_away(house, named, pen)?;
    give_back(house, named)
}

fn take_away(house: &House, named: &Named, pen: &mut Pen) -> Result<Cleaned> {
    still_running(&pen.agent)?;
    let mut cleaned = Cleaned::default();
    let Some(there) = there(house, &pen.agent)? else {
        pen.write(Entry::Cleaned { tip: None, branch_deleted: false })?;
        return Ok(cleaned);
    };
    let trash = house.settings.places.trash(pen.agent.spec.id);
    let in_place = file::is_dir(&there.worktree.path)?;
    let first = if in_place { save(&there, &pen.agent, &named.record)? } else { None };
    note(pen, first.as_ref())?;
    if pen.agent.removal.is_none() {
        let head = head_of(&there.env, &there.worktree);
        pen.write(Entry::Cleaning { trash: trash.clone(), head })?;
    }
    if in_place {
        cleaned.freed = git::worktree::size(&there.worktree.path)?;
        file::make_dirs(trash.parent().unwrap_or(&trash))?;
        // Of an earlier removal that was cut off before its end; what is in place now is newer.
        discard(&trash)?;
        remove::move_aside(&there.worktree, &trash)?;
    }
    let mut last = first;
    // Git's entry is taken away after this; where that has begun before, all is saved, and cannot be looked at any more.
    if file::is_dir(&trash)? && git::worktree::is_known(&there.worktree)? {
        let aside = There { worktree: Worktree { path: trash.clone(), ..there.worktree.clone() }, ..there };
        let again = save(&aside, &pen.agent, &named.record)?;
        if again.as_ref().map(|s| &s.commit) != last.as_ref().map(|s| &s.commit) {
            note(pen, again.as_ref())?;
        }
        last = again;
    }
    if let Some(saved) = last {
        cleaned.saved = Some(saved.name);
        cleaned.not_kept = saved.not_kept;
    }
    let fate = take_git_away(house, &pen.agent)?;
    let (tip, branch_deleted) = match &fate {
        Some(BranchFate::Deleted { tip }) => (Some(tip.clone()), true),
        Some(BranchFate::Kept { tip, .. }) => (Some(tip.clone()), false),
        Some(BranchFate::Gone) | None => (None, false),
    };
    pen.write(Entry::Cleaned { tip: tip.map(|t| t.as_str().to_owned()), branch_deleted })?;
    cleaned.branch = fate;
    Ok(cleaned)
}

/// Removes git's own entry of the worktree, and the branch if nothing is lost by that.
fn take_git_away(house: &House, agent: &Agent) -> Result<Option<BranchFate>> {
    let Some(there) = there(house, agent)? else { return Ok(None) };
    let _guard = lock::exclusive(&house.settings.places.project_lock(&agent.spec.project), LOCK_LIMIT)?;
    let (env, common, branch) = (&there.env, &there.worktree.common_dir, &agent.spec.branch);
    remove::admin(&there.worktree)?;
    let prefix = &house.settings.branch_prefix;
    // Also what nothing else holds any more by the time somebody wants it back.
    if let Some((_, tip, _)) = rescue::list(env, common, &format!("refs/heads/{branch}"))?.first() {
        let name = format!("{}/branch/{}", rescues_of(agent), tip.as_str());
        rescue::keep(env, common, &name, tip)?;
    }
    Ok(Some(remove::branch(env, common, branch, &there.base, &MERGED_INTO, prefix)?))
}

/// Gives back the name, the session and the files of an agent whose worktree is away.
fn give_back(house: &House, named: &Named) -> Result<()> {
    let places = &house.settings.places;
    cleaned::add(places, &named.project, named.id)?;
    house.tmux.kill_session(&named.session)?;
    house.tmux.end_with(&named.session)?;
    file::remove(&named.record.env())?;
    board::remove(places, &named.project, &named.session, named.id)?;
    if names::find(places, &named.session)?.is_some_and(|owner| owner.id == named.id) {
        names::free(places, &named.session)?;
    }
    discard(&places.trash(named.id))
}

/// Deletes what is left of removals that were cut off behind their last entry.
pub fn empty_trash(house: &House) -> Result<()> {
    let places = &house.settings.places;
    for cleaned in cleaned::all(places)? {
        let trash = places.trash(cleaned.id);
        if !file::is_dir(&trash)? {
            continue;
        }
        let Some(_held) = record::try_take(&cleaned.record)? else { continue };
        let gone =
            cleaned.agent()?.is_some_and(|a| matches!(a.removal, Some(Removal::Cleaned { .. }) | None));
        if gone {
            discard(&trash)?;
        }
    }
    Ok(())
}

fn discard(trash: &Path) -> Result<()> {
    Ok(remove::tree(trash)?)
}

fn require(named: &Named) -> Result<Agent> {
    Ok(record::load(&named.record)?
        .ok_or_else(|| crate::a2a::Error::NoAgent { name: named.session.to_string(), near: Vec::new() })?)
}

fn still_running(agent: &Agent) -> Result<()> {
    match fence::left_running(agent)?.first() {
        Some(process) => {
            Err(Error::StillRunning { session: agent.spec.session.clone(), pid: process.pid }.into())
        }
        None => Ok(()),
    }
}

/// The worktree of the agent with all that is needed to work on it; `None` if nothing of it can be there.
fn there(house: &House, agent: &Agent) -> Result<Option<There>> {
    let common_dir = &agent.spec.common_dir;
    let env = house.git()?;
    if !file::is_dir(common_dir)? {
        let path = &agent.spec.worktree;
        if file::ownership(path)?.is_some() {
            let (session, common_dir, worktree) =
                (agent.spec.session.clone(), common_dir.clone(), path.clone());
            return Err(Error::NoRepository { session, common_dir, worktree }.into());
        }
        return Ok(None);
    }
    let Some(base) = CommitId::parse(&agent.spec.base) else { return Ok(None) };
    let worktree = if let Some(worktree) = worktree(agent) {
        Some(worktree)
    } else {
        // Its creation was cut off before the worktree was on record, or failed.
        let spec = &agent.spec;
        let _guard = lock::exclusive(&house.settings.places.project_lock(&spec.project), LOCK_LIMIT)?;
        git::worktree::repair_add(&env, &spec.common_dir, &spec.worktree, &spec.branch, &base)?
    };
    Ok(worktree.map(|worktree| There { env, worktree, base }))
}

/// Where the refs lie that the worktrees of the agent are saved under.
pub fn rescues_of(agent: &Agent) -> String {
    format!("refs/ai_orch/rescue/{}", agent.spec.id)
}

/// Saves the worktree. Fails if it holds anything that no commit can hold.
fn save(
    there: &There,
    agent: &Agent,
    record: &crate::model::places::Record,
) -> Result<Option<rescue::Saved>> {
    let config = work::git_config(record)?;
    let name = format!("{}/removal", rescues_of(agent));
    let message = format!("{}\n\nSaved by ai_orch before the worktree was removed.\n", agent.spec.title);
    let (env, worktree) = (&there.env, &there.worktree);
    let saved = rescue::save(env, worktree, &config, &name, &message, Some(IGNORED_MAX))?;
    if let Some(what) = saved.as_ref().and_then(|saved| not_held(&saved.left)) {
        let (session, worktree) = (agent.spec.session.clone(), worktree.path.clone());
        return Err(Error::CannotSave { session, what, worktree }.into());
    }
    Ok(saved)
}

/// What a commit does not hold, in words.
fn not_held(left: &git::changes::Left) -> Option<String> {
    if let Some(nested) = left.nested.iter().find(|n| n.kind != NestedKind::WithoutCommits) {
        let path = nested.path.to_string_lossy();
        return Some(match nested.kind {
            NestedKind::Submodule => format!("the checked-out submodule {path}"),
            NestedKind::WithCommits | NestedKind::WithoutCommits => {
                format!("{path}, a repository with commits of its own")
            }
        });
    }
    left.unsaved.first().map(|path| path.to_string_lossy().into_owned())
}

fn note(pen: &mut Pen, saved: Option<&rescue::Saved>) -> Result<()> {
    let Some(saved) = saved else { return Ok(()) };
    let n = pen.agent.last_attempt().map_or(0, |a| a.n);
    let (name, commit) = (Some(saved.name.clone()), Some(saved.commit.as_str().to_owned()));
    Ok(pen.write(Entry::Rescued { n, removal: true, name, commit, why: None })?)
}

/// Where HEAD is. Of a worktree that git does not know any more nothing can be found out, and its branch has to do.
pub(super) fn head_of(env: &GitEnv, worktree: &Worktree) -> HeadAt {
    match git::worktree::head(env, worktree) {
        Ok(head) => HeadAt {
            branch: head.branch().map(str::to_owned),
            commit: head.commit().map(|c| c.as_str().to_owned()),
        },
        Err(error) => {
            tracing::warn!(%error, "could not find out where HEAD was");
            HeadAt { branch: Some(worktree.branch.clone()), commit: None }
        }
    }
}
