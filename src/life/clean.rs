//! Taking away what an ended agent worked in: saved first, so that it can come back.
//!
//! The worktree is saved, moved aside, and saved again if somebody wrote meanwhile; only then its files go. Each step
//! finds itself done, so that whoever is cut off is followed by somebody who calls `clean` again.

use super::outfit::give_ports_back;
use super::{House, Result, fence, teardown, undo, work, worktree};
use crate::a2a::names::{self, Named};
use crate::a2a::record::{self, Pen};
use crate::a2a::{board, cleaned, mail, reap};
use crate::git::remove::{self, BranchFate};
use crate::git::witness::Witness;
use crate::git::{self, CommitId, GitEnv, Worktree, rescue};
use crate::model::agent::{Agent, Removal};
use crate::model::entry::{Entry, HeadAt};
use crate::model::ids::{AgentId, Party, Session};
use crate::model::project_file::TornDown;
use crate::model::text::{Shown, whole};
use crate::rules::clean::{Plan, Why, plan};
use crate::tools::{clock, file, lock, process};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Ignored files and directories up to this size, in bytes, are saved as well. Larger ones are what a build makes.
const IGNORED_MAX: u64 = 10 << 20;

/// So begin the names of files in the trash that nobody wants any more.
const GONE: &str = "gone-";
/// How long to wait for somebody else who deletes such files: as long as it takes.
const DELETING: Duration = Duration::from_hours(1);

/// Why an agent stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody locked the worktree with git.
    #[error("the worktree of {session} is locked{}{}", if .reason.is_empty() { "" } else { ": " }, Shown(.reason))]
    Locked {
        /// The agent.
        session: Session,
        /// What whoever locked it said.
        reason: String,
        /// The worktree.
        worktree: PathBuf,
    },
    /// Somebody moved the worktree with git.
    #[error("the worktree of {session} was moved to {}", Shown(&.to.to_string_lossy()))]
    Moved {
        /// The agent.
        session: Session,
        /// Where it was.
        worktree: PathBuf,
        /// Where it is.
        to: PathBuf,
    },
    /// A process stands in the worktree, and could write there while it goes.
    #[error("somebody is in the worktree of {session}: a process has its working directory there")]
    Occupied {
        /// The agent.
        session: Session,
        /// The worktree.
        worktree: PathBuf,
    },
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
    /// The command that puts away what its worktree has outside of itself did not succeed.
    #[error("the teardown of {session} {}{}{}", how_it_ended(*.exit), if .last.is_empty() { "" } else { ": " }, Shown(.last))]
    Teardown {
        /// The agent.
        session: Session,
        /// Its exit code; absent when a signal or the time limit ended it.
        exit: Option<i32>,
        /// The last line of its output.
        last: String,
    },
    /// A signal came for us while its teardown ran. Nothing of that runs any more.
    #[error("broken off at {session}: its teardown is ended, with everything that it started")]
    BrokenOff {
        /// The agent.
        session: Session,
        /// By TERM; else by Ctrl-C, or because the terminal is gone.
        terminated: bool,
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
    /// Submodules of it have commits that are nowhere else.
    #[error("the submodule {} of {session} has commits that are on no remote", Shown(.submodule))]
    Submodule {
        /// The agent.
        session: Session,
        /// The submodule.
        submodule: String,
        /// Its repository.
        git_dir: PathBuf,
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

fn how_it_ended(exit: Option<i32>) -> String {
    exit.map_or_else(|| "was stopped".to_owned(), |exit| format!("failed with exit {exit}"))
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
            Self::CannotSave { .. } | Self::Submodule { .. } => "cannot_save",
            Self::Teardown { .. } => "teardown_failed",
            Self::BrokenOff { terminated: false, .. } => "interrupted",
            Self::BrokenOff { terminated: true, .. } => "terminated",
            Self::Locked { .. } => "worktree_locked",
            Self::Moved { .. } => "worktree_moved",
            Self::Occupied { .. } => "worktree_occupied",
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
            Self::Teardown { session, .. } => format!(
                "what it printed: ai_orch show {session}; clean again, or without it: ai_orch clean --no-teardown {session}"
            ),
            Self::BrokenOff { session, .. } => {
                format!(
                    "it is as it was; clean it again, which runs its teardown again: ai_orch clean {session}"
                )
            }
            Self::NoRepository { worktree, .. } => {
                format!(
                    "move away what you need of {}, remove it, and clean again",
                    Shown(&worktree.to_string_lossy())
                )
            }
            Self::Locked { worktree, .. } => {
                format!("git worktree unlock {}", Shown(&worktree.to_string_lossy()))
            }
            Self::Moved { worktree, to, .. } => {
                let (from, to) = (to.to_string_lossy(), worktree.to_string_lossy());
                format!("git worktree move {} {}", Shown(&from), Shown(&to))
            }
            Self::Occupied { worktree, .. } => {
                format!("leave {}, and clean again", Shown(&worktree.to_string_lossy()))
            }
            Self::Submodule { git_dir, .. } => format!(
                "push them from there, or copy it away: git -C {0} log --all; then remove it: rm -r {0}",
                Shown(&git_dir.to_string_lossy())
            ),
            Self::CannotSave { worktree, what, .. } if what.starts_with("the checked-out submodule") => {
                format!(
                    "in {}: push what it has, then git submodule deinit --all, and clean again",
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
    /// How its teardown ended, if it ran.
    pub torn_down: Option<TornDown>,
    /// What else is to be known.
    pub notes: Vec<String>,
    /// Nothing odd is in the way of deleting its files: that can be left to somebody else.
    later: bool,
}

/// How to clean.
#[derive(Debug, Clone, Copy)]
pub struct How {
    /// A branch whose changes are merged in one commit counts as merged.
    pub squashed: bool,
    /// The teardown is run, and has to succeed.
    pub teardown: bool,
}

/// Where the worktree of an agent is, if there is anything of it.
#[derive(Debug)]
struct There {
    env: GitEnv,
    worktree: Worktree,
    base: CommitId,
}

/// Besides other branches: where the user's own checkout is, on a branch or not, and the main branch of where it came from.
const MERGED_INTO: [&str; 2] = ["HEAD", "refs/remotes/origin/HEAD"];

/// What counts as merged; with `squashed` also what is in one commit.
fn merged(house: &House, squashed: bool) -> remove::Merged<'_> {
    remove::Merged { into: &MERGED_INTO, ours: &house.settings.branch_prefix, squashed }
}

/// Whether the agent has ended with work of its own that is merged, as it was or squashed.
pub fn is_merged(house: &House, agent: &Agent) -> Result<bool> {
    if agent.conclusion.is_none()
        || !agent.spec.place.has_own_branch()
        || !file::is_dir(&agent.spec.common_dir)?
    {
        return Ok(false);
    }
    // What is in no commit is in no other branch.
    let changes = agent.conclusion.as_ref().and_then(|end| end.changes.as_ref());
    if changes.is_some_and(|changes| changes.uncommitted) {
        return Ok(false);
    }
    let Some(base) = CommitId::parse(&agent.spec.base) else { return Ok(false) };
    let (env, common, branch) = (house.git()?, &agent.spec.common_dir, &agent.spec.branch);
    if tip(&env, common, branch)?.is_none_or(|tip| tip == base) {
        return Ok(false);
    }
    let own = agent.worktree.as_ref().map(|(path, _)| path.as_path());
    let fate = remove::fate(&env, common, branch, &base, merged(house, true), own)?;
    Ok(matches!(fate, BranchFate::Deleted { .. }))
}

/// What `clean` would do with the agent. Changes nothing.
pub fn outlook(house: &House, named: &Named, how: How) -> Result<Cleaned> {
    let agent = require(named)?;
    let held = lock::probe(&named.record.keeper_lock())?;
    if matches!(held, Some(lock::Held::Yes(_))) && agent.conclusion.is_none() {
        return Err(Error::AtWork { session: named.session.clone() }.into());
    }
    let mut cleaned = Cleaned::default();
    match plan(&agent) {
        Plan::Refuse(why) => {
            return Err(Error::Refused { session: named.session.clone(), why }.into());
        }
        Plan::Clean => {}
        // What is half there tells nothing of what will be.
        Plan::Return | Plan::Finish => return Ok(cleaned),
    }
    still_running(&agent)?;
    let Some(there) = there(house, &agent, false)? else { return Ok(cleaned) };
    removable(&there, &agent)?;
    if file::is_dir(&there.worktree.path)? {
        let config = work::git_config(&named.record)?;
        let (left, not_kept) = rescue::not_held(&there.env, &there.worktree, &config, IGNORED_MAX)?;
        holdable(&there, &agent, &left)?;
        cleaned.not_kept = not_kept;
        cleaned.freed = Witness::take(&there.worktree.path).map_or(0, |seen| seen.bytes);
        if let Some(teardown) = teardown::wanted(&agent).filter(|_| how.teardown) {
            cleaned.notes.push(format!(
                "before that its teardown would be run: {}",
                whole(teardown.command.trim_end())
            ));
        }
    }
    let branch = &agent.spec.branch;
    let common = &there.worktree.common_dir;
    let own = Some(there.worktree.path.as_path());
    cleaned.branch = Some(if agent.spec.place.has_own_branch() {
        remove::fate(&there.env, common, branch, &there.base, merged(house, how.squashed), own)?
    } else {
        not_ours(tip(&there.env, common, branch)?)
    });
    Ok(cleaned)
}

/// Takes away the worktree of the agent, its branch if nothing is lost by that, its session and its name.
pub fn clean(house: &House, named: &Named, how: How) -> Result<Cleaned> {
    let _alone = record::hold(&named.record)?;
    let Some(held) = record::try_take(&named.record)? else {
        return Err(Error::AtWork { session: named.session.clone() }.into());
    };
    // Somebody else may have cleaned it while we waited, and another agent may have its name.
    if !is_its_name(house, named)? {
        return Err(crate::a2a::Error::NoAgent { name: named.session.to_string(), near: Vec::new() }.into());
    }
    let mut pen = Pen::open(&named.record, &held)?;
    let mut cleaned = match plan(&pen.agent) {
        Plan::Refuse(why) => return Err(Error::Refused { session: named.session.clone(), why }.into()),
        Plan::Clean => take_away(house, named, &mut pen, how)?,
        Plan::Return => {
            undo::come_back(house, &mut pen, &named.record)?;
            take_away(house, named, &mut pen, how)?
        }
        Plan::Finish => Cleaned::default(),
    };
    cleaned.notes.extend(give_back(house, named, &pen.agent, cleaned.later)?);
    Ok(cleaned)
}

/// Finishes the removal of a worktree that was cut off, for whoever wants it back.
pub(super) fn finish(house: &House, named: &Named, pen: &mut Pen) -> Result<()> {
    // It was run before the worktree was moved.
    take_away(house, named, pen, How { squashed: false, teardown: false })?;
    give_back(house, named, &pen.agent, false).map(drop)
}

fn take_away(house: &House, named: &Named, pen: &mut Pen, how: How) -> Result<Cleaned> {
    teardown::end_left(&pen.agent)?;
    still_running(&pen.agent)?;
    let mut cleaned = Cleaned::default();
    let Some(there) = there(house, &pen.agent, true)? else {
        pen.write(Entry::Cleaned { tip: None, branch_deleted: false })?;
        return Ok(cleaned);
    };
    let mut last = None;
    let mut before = None;
    let trash = match &pen.agent.removal {
        // Moved by a call that was cut off: that is the worktree, whatever lies in its place by now.
        Some(Removal::Cleaning { trash, .. }) if file::is_dir(trash)? => trash.clone(),
        _ => {
            removable(&there, &pen.agent)?;
            let mut in_place = file::is_dir(&there.worktree.path)?;
            if in_place {
                // What cannot be looked at is no proof, and saving it says what is wrong with it.
                before = Witness::take(&there.worktree.path).ok();
                last = save(&there, &pen.agent, &named.record)?;
                note(pen, last.as_ref())?;
                cleaned.freed = before.as_ref().map_or(0, |seen| seen.bytes);
                if let Some(wanted) = teardown::wanted(&pen.agent).filter(|_| how.teardown) {
                    git::worktree::linked(&there.worktree)?;
                    cleaned.torn_down = Some(teardown::run(house, pen, &named.record, &wanted)?);
                    in_place = file::is_dir(&there.worktree.path)?;
                    if in_place {
                        removable(&there, &pen.agent)?;
                        // What comes back is what the agent left, and not what its teardown made of that: that is saved, and not put on
                        // record.
                        before = Witness::take(&there.worktree.path).ok();
                        last = save(&there, &pen.agent, &named.record)?;
                    }
                }
            }
            let trash = free_trash(house, pen.agent.spec.id)?;
            let head = head_of(&there.env, &there.worktree);
            pen.write(Entry::Cleaning { trash: trash.clone(), head })?;
            if in_place {
                file::make_dirs(trash.parent().unwrap_or(&trash))?;
                remove::move_aside(&there.worktree, &trash)?;
            }
            trash
        }
    };
    let guard = house.alone_in(&pen.agent.spec.project)?;
    // Git's entry is taken away after this; where that has begun before, all is saved, and cannot be looked at any more.
    let aside = file::is_dir(&trash)? && git::worktree::is_known(&there.worktree)?;
    let after = before.as_ref().filter(|_| aside).and_then(|_| Witness::take(&trash).ok());
    cleaned.later = after.as_ref().is_some_and(|after| after.plain);
    // Whoever had a file of it open may have written meanwhile.
    if aside && !after.zip(before).is_some_and(|(after, before)| after.proves(&before)) {
        let worktree = Worktree { path: trash, ..there.worktree.clone() };
        let aside = There { worktree, env: there.env.clone(), base: there.base.clone() };
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
    let fate = take_git_away(house, &pen.agent, &there, how.squashed)?;
    let (tip, branch_deleted) = match &fate {
        BranchFate::Deleted { tip } => (Some(tip.clone()), true),
        BranchFate::Kept { tip, .. } => (Some(tip.clone()), false),
        BranchFate::Gone => (None, false),
    };
    pen.write(Entry::Cleaned { tip: tip.map(|t| t.as_str().to_owned()), branch_deleted })?;
    drop(guard);
    cleaned.branch = Some(fate);
    Ok(cleaned)
}

/// Removes git's own entry of the worktree, and the branch if nothing is lost by that. The caller holds the lock of the
/// project.
fn take_git_away(house: &House, agent: &Agent, there: &There, squashed: bool) -> Result<BranchFate> {
    let (env, common, branch) = (&there.env, &there.worktree.common_dir, &agent.spec.branch);
    // Of a git of the keeper's, or of whoever cleaned before us. Nobody needs them after this, so nobody would ask again.
    git::locks::clear(common, &rescues_of(agent), branch);
    keep_state(env, agent, &there.worktree)?;
    remove::admin(&there.worktree)?;
    // Also what nothing else holds any more by the time somebody wants it back.
    let tip = tip(env, common, branch)?;
    if let Some(tip) = &tip {
        let name = format!("{}/branch/{}", rescues_of(agent), tip.as_str());
        rescue::keep(env, common, &name, tip)?;
    }
    if !agent.spec.place.has_own_branch() {
        return Ok(not_ours(tip));
    }
    Ok(remove::branch(env, common, branch, &there.base, merged(house, squashed))?)
}

/// The tip of a branch; `None` if it is gone.
fn tip(env: &GitEnv, common_dir: &Path, branch: &str) -> Result<Option<CommitId>> {
    let found = rescue::list(env, common_dir, &format!("refs/heads/{branch}"))?;
    Ok(found.into_iter().next().map(|(_, tip, _)| tip))
}

/// What becomes of a branch that was not made for the agent.
fn not_ours(tip: Option<CommitId>) -> BranchFate {
    tip.map_or(BranchFate::Gone, |tip| BranchFate::Kept { tip, why: remove::KeptBecause::NotOurs })
}

/// Keeps the commits that go with git's entry of the worktree: what it was in the middle of, with what that had stashed.
pub(super) fn keep_state(env: &GitEnv, agent: &Agent, worktree: &Worktree) -> Result<()> {
    for commit in remove::held_by_entry(env, worktree)? {
        let name = format!("{}/state/{}", rescues_of(agent), commit.as_str());
        rescue::keep(env, &worktree.common_dir, &name, &commit)?;
    }
    Ok(())
}

/// Fails if somebody wants the worktree to stay, moved it, or stands in it.
fn removable(there: &There, agent: &Agent) -> Result<()> {
    let (session, worktree) = (agent.spec.session.clone(), there.worktree.path.clone());
    if let Some(to) = git::worktree::moved_to(&there.worktree)? {
        return Err(Error::Moved { session, worktree, to }.into());
    }
    if let Some(reason) = remove::locked(&there.worktree)? {
        return Err(Error::Locked { session, reason, worktree }.into());
    }
    if process::anybody_in(&there.worktree.path)? {
        return Err(Error::Occupied { session, worktree }.into());
    }
    submodules(&there.env, agent, &there.worktree)
}

/// Fails if commits would go with git's entry of the worktree that nothing else holds and no ref of ours can.
pub(super) fn submodules(env: &GitEnv, agent: &Agent, worktree: &Worktree) -> Result<()> {
    let Some(first) = remove::submodules_with_work(env, worktree)?.into_iter().next() else { return Ok(()) };
    let (session, git_dir) = (agent.spec.session.clone(), worktree.admin_dir.join("modules").join(&first));
    let submodule = first.to_string_lossy().into_owned();
    Err(Error::Submodule { session, submodule, git_dir }.into())
}

/// A place in the trash where nothing is. Of an earlier removal, whose files could not be deleted, there may be something.
fn free_trash(house: &House, id: AgentId) -> Result<PathBuf> {
    let first = house.settings.places.trash(id);
    let others = (2..u32::MAX).map(|n| first.with_file_name(format!("{id}-{n}")));
    for path in std::iter::once(first.clone()).chain(others) {
        if file::ownership(&path)?.is_none() {
            return Ok(path);
        }
    }
    Ok(first)
}

fn is_its_name(house: &House, named: &Named) -> Result<bool> {
    Ok(names::find(&house.settings.places, &named.session)?.is_some_and(|owner| owner.id == named.id))
}

/// Gives back the name, the session and the files of an agent whose worktree is away. Returns what is left of it, in words.
/// With `later` its files are given up, and not yet deleted.
fn give_back(house: &House, named: &Named, agent: &Agent, later: bool) -> Result<Vec<String>> {
    let places = &house.settings.places;
    cleaned::add(places, &named.project, named.id)?;
    give_ports_back(house, &agent.spec)?;
    let mut notes = Vec::new();
    // The session of that name is another agent's as soon as the name is.
    if is_its_name(house, named)? {
        house.tmux.kill_session(&named.session)?;
        house.tmux.end_with(&named.session)?;
        file::remove(&named.record.env())?;
        board::remove(places, &named.project, &named.session, named.id)?;
        // As long as nobody else can have the name, who would read what was for this one.
        let left = mail::close_cleaned(places, &named.project, &named.session, named.id)?;
        if let Err(error) = reap::give_back(places, &named.project, &Party::Worker(named.session.clone())) {
            // Whoever gets the name asks again.
            tracing::warn!(%error, "what it had claimed could not be given back");
        }
        if left > 0 {
            let messages = if left == 1 { "message" } else { "messages" };
            notes.push(format!("{left} {messages} that it had not read: ai_orch msg dead"));
        }
        names::free(places, &named.session)?;
    }
    notes.extend(trash_of(house, named.id, later)?);
    Ok(notes)
}

/// Deletes the files of an agent whose worktree is away and saved, or with `later` gives them a name by which anybody may. Returns what
/// could not be deleted, in words.
fn trash_of(house: &House, id: AgentId, later: bool) -> Result<Vec<String>> {
    let first = house.settings.places.trash(id);
    let mut notes = Vec::new();
    for name in file::names(first.parent().unwrap_or(&first))?.unwrap_or_default() {
        let path = first.with_file_name(&name);
        if !name.to_string_lossy().starts_with(&id.to_string()) {
            continue;
        }
        let given_up = first.with_file_name(format!("{GONE}{}", clock::new_id()));
        if later && remove::give_up(&path, &given_up).is_ok() {
            continue;
        }
        if let Err(error) = remove::tree(&path) {
            notes.push(format!("its files could not be deleted: {error}"));
        }
    }
    Ok(notes)
}

/// Whether there are files that nobody wants any more, and nobody has deleted yet.
pub fn is_anything_gone(house: &House) -> Result<bool> {
    Ok(!gone(house)?.is_empty())
}

/// Deletes the files that nobody wants any more, and those that are given up meanwhile.
///
/// # Errors
/// With the first that could not be deleted, after the others are.
pub fn delete_gone(house: &House) -> Result<()> {
    let places = &house.settings.places;
    let _alone = lock::exclusive(&places.trash_lock(), DELETING)?;
    let mut kept = BTreeMap::new();
    loop {
        let mut gone = gone(house)?;
        gone.retain(|path| !kept.contains_key(path));
        if gone.is_empty() {
            break;
        }
        for path in gone {
            if let Err(error) = remove::tree(&path) {
                kept.insert(path, error);
            }
        }
    }
    file::remove_empty_dir(&places.trashes())?;
    kept.into_values().next().map_or(Ok(()), |error| Err(error.into()))
}

fn gone(house: &House) -> Result<Vec<PathBuf>> {
    let trash = house.settings.places.trashes();
    let names = file::names(&trash)?.unwrap_or_default();
    Ok(names.iter().filter(|n| n.to_string_lossy().starts_with(GONE)).map(|n| trash.join(n)).collect())
}

/// Deletes what is left of removals that were cut off behind their last entry. What cannot be deleted is said of the agent
/// whose removal it was, not here.
pub fn empty_trash(house: &House) -> Result<()> {
    let places = &house.settings.places;
    if file::names(&places.trashes())?.unwrap_or_default().is_empty() {
        return Ok(());
    }
    for cleaned in cleaned::all(places)? {
        if let Some(_held) = record::try_take(&cleaned.record)?
            && let Ok(Some(agent)) = cleaned.agent()
            && matches!(agent.removal, Some(Removal::Cleaned { .. }))
        {
            trash_of(house, cleaned.id, false)?;
        }
    }
    Ok(())
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

/// The worktree of the agent with all that is needed to work on it; `None` if nothing of it can be there. One that was added
/// by half is found or cleared away if `mend` says so.
fn there(house: &House, agent: &Agent, mend: bool) -> Result<Option<There>> {
    // What is the user's own stays as it is.
    if !agent.spec.place.has_own_worktree() {
        return Ok(None);
    }
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
    } else if !mend {
        None
    } else {
        // Its creation was cut off before the worktree was on record, or failed.
        let spec = &agent.spec;
        let _guard = house.alone_in(&spec.project)?;
        let own = super::own_branch_at(spec);
        git::worktree::repair_add(&env, &spec.common_dir, &spec.worktree, &spec.branch, own.as_ref())?
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
    if let Some(saved) = &saved {
        holdable(there, agent, &saved.left)?;
    }
    Ok(saved)
}

/// Fails if anything is left that no commit can hold.
fn holdable(there: &There, agent: &Agent, left: &git::changes::Left) -> Result<()> {
    match not_held(left) {
        Some(what) => {
            let (session, worktree) = (agent.spec.session.clone(), there.worktree.path.clone());
            Err(Error::CannotSave { session, what, worktree }.into())
        }
        None => Ok(()),
    }
}

/// What a commit does not hold, in words.
fn not_held(left: &git::changes::Left) -> Option<String> {
    let mut all = work::left_out(left);
    let more = all.len().saturating_sub(1);
    all.truncate(1);
    let first = all.pop()?;
    Some(if more == 0 { first } else { format!("{first}, and {more} more") })
}

fn note(pen: &mut Pen, saved: Option<&rescue::Saved>) -> Result<()> {
    let Some(saved) = saved else { return Ok(()) };
    let n = pen.agent.last_attempt().map_or(0, |a| a.n);
    let (name, commit) = (Some(saved.name.clone()), Some(saved.commit.as_str().to_owned()));
    let (left, crossed) = (Vec::new(), Vec::new());
    Ok(pen.write(Entry::Rescued { n, removal: true, name, commit, why: None, left, crossed })?)
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
