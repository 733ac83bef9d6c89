//! Going on: an agent that nobody keeps gets a keeper again, which does what follows from its journal.

use super::remake::repository;
use super::{House, Result, clean, ground, session, undo, worktree};
use crate::a2a::names::Named;
use crate::a2a::record::{self, Pen};
use crate::a2a::{board, root};
use crate::git::{self, CommitId, rescue};
use crate::model::entry::{Entry, Round, Spec};
use crate::model::ids::Session;
use crate::model::places::Record;
use crate::rules::naming;
use crate::rules::report::{Keeper, report};
use crate::rules::resume::{Plan, Why, plan};
use crate::settings::environment::Environment;
use crate::tools::lock::Lock;
use crate::tools::{file, process, runtime};

/// Why an agent cannot go on.
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
}

const fn reason(why: Why) -> &'static str {
    match why {
        Why::Done => "is done",
        Why::NotBegun => "has not begun its first task",
        Why::NotCreated => "was never made, because its creation failed",
        Why::Cleaned => "was cleaned: its worktree is removed",
        Why::Cleaning => "is being cleaned, and that was cut off",
        Why::Spent => "has spent its budget",
        Why::Newer => "was last kept by a newer ai_orch, which may know what this one does not",
    }
}

impl Error {
    /// A word that does not change, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused { why: Why::Newer, .. } => "newer_record",
            Self::Refused { why: Why::Spent, .. } => "budget_spent",
            Self::Refused { .. } => "not_resumable",
        }
    }

    /// What to type next.
    pub fn hint(&self) -> Option<String> {
        let Self::Refused { session, why } = self;
        Some(match why {
            Why::Done => format!("give it more to do: ai_orch resume {session} 'what to do next'"),
            Why::NotBegun => format!("let it begin: ai_orch resume {session}"),
            Why::NotCreated => "start it anew: ai_orch run 'TASK'".to_owned(),
            Why::Cleaned => format!("ai_orch undo {session}"),
            Why::Cleaning => format!("ai_orch clean {session}, or ai_orch undo {session}"),
            Why::Spent => "start another agent: ai_orch run --budget USD 'TASK'".to_owned(),
            Why::Newer => "use the newer ai_orch".to_owned(),
        })
    }
}

/// What came of the attempt to let an agent go on.
#[derive(Debug)]
pub enum Begun {
    /// It has a keeper.
    Runs,
    /// Its session is made; its keeper is about to come to life.
    Starting(Starting),
}

/// An agent whose keeper is about to come to life.
#[derive(Debug)]
pub struct Starting {
    session: Session,
    record: Record,
    /// What is not as it was.
    pub note: Option<String>,
    #[expect(
        dead_code,
        reason = "held for its lock: until the keeper lives nobody else may change the agent"
    )]
    alone: Lock,
}

/// Makes a session with a keeper for the agent, with `task` as the beginning of another round.
///
/// # Errors
/// If the agent is not one that can go on, or a step failed; it is then as resumable as before.
pub fn begin(house: &House, named: &Named, task: Option<&str>, environment: &Environment) -> Result<Begun> {
    let record = &named.record;
    runtime::require_descriptors()?;
    let alone = record::hold(record)?;
    let Some(held) = record::try_take(record)? else { return Ok(Begun::Runs) };
    let mut pen = Pen::open(record, &held)?;
    let round = match plan(&pen.agent, task.is_some()) {
        Plan::GoOn => None,
        Plan::Round => Some(Round { n: pen.agent.round + 1, title: task.map(naming::title_for) }),
        Plan::Refuse(why) => return Err(Error::Refused { session: named.session.clone(), why }.into()),
    };
    root::prepare(&house.settings.places.root, house.settings.uid)?;
    let note = ready_worktree(house, &mut pen, record)?;
    // Until it is on record that it goes on there: nobody else may begin in a place that is not its own.
    let room = if pen.agent.spec.place.has_own_worktree() {
        None
    } else {
        let room = house.alone_in(&pen.agent.spec.project)?;
        ground::alone_at(house, &pen.agent.spec.worktree, named.id)?;
        Some(room)
    };
    let session = pen.agent.spec.session.clone();
    // What is left of a session whose keeper is gone. Nobody lives in it.
    house.tmux.kill_session(&session)?;
    if let (Some(task), Some(round)) = (task, &round) {
        file::replace(&record.task(round.n), task.as_bytes())?;
    }
    file::replace(&record.env(), &environment.to_bytes())?;
    pen.write(Entry::Resumed { by: process::me()?, round })?;
    drop(room);
    // A request to kill that was carried out, or that came for a keeper which is gone.
    file::remove(&record.stop())?;
    // The entry of its last keeper would be believed as soon as the next one holds the lock.
    let known = report(&pen.agent, &Keeper::Gone { creator_alive: true, running: None }, None);
    let posted = board::post(&house.settings.places, &known).map_err(super::Error::from);
    drop(held);
    let opened = posted.and_then(|()| session::open(house, &session, record));
    if let Err(error) = opened {
        take_back(record, &error);
        return Err(error);
    }
    Ok(Begun::Starting(Starting { session, record: record.clone(), note, alone }))
}

/// No keeper came: the agent is what it was before. The first error is the one to tell, so those of this are not.
fn take_back(record: &Record, error: &super::Error) {
    // Its values may be secret, and nobody comes to read them.
    file::remove(&record.env()).ok();
    if let Ok(Some(held)) = record::try_take(record)
        && let Ok(mut pen) = Pen::open(record, &held)
        && pen.agent.keeper.is_none()
        && pen.agent.conclusion.is_none()
    {
        pen.write(Entry::NotResumed { why: error.to_string() }).ok();
    }
}

/// Makes sure that the agent has its worktree: made where its creation or its return was cut off, made again where somebody
/// removed it, and refused where something else is in its place. Returns what is not as it was.
fn ready_worktree(house: &House, pen: &mut Pen, record: &Record) -> Result<Option<String>> {
    if pen.agent.removal.is_some() {
        return undo::come_back(house, pen, record);
    }
    if !pen.agent.spec.place.has_own_worktree() {
        if pen.agent.worktree.is_none() {
            let stays = ground::stays(house, &pen.agent.spec)?;
            pen.write(stays)?;
        }
        return ground::stands(&pen.agent).map(|()| None);
    }
    match worktree(&pen.agent) {
        None => finish_creation(house, pen).map(|()| None),
        // Its creator died while it took that back. Nobody has worked there.
        Some(there)
            if !pen.agent.was_kept
                && file::ownership(&there.path)?.is_some()
                && git::worktree::linked(&there).is_err() =>
        {
            finish_creation(house, pen).map(|()| None)
        }
        Some(gone) if file::ownership(&gone.path)?.is_none() => bring_back(house, pen, record, &gone),
        Some(there) => Ok(git::worktree::linked(&there).map(|()| None)?),
    }
}

impl Starting {
    /// Waits until the keeper is on record.
    pub fn wait(self, house: &House) -> Result<()> {
        let waited = session::wait_for_keeper(house, &self.session, &self.record);
        let Err(error) = waited else { return Ok(()) };
        take_back(&self.record, &error);
        // Somebody killed it before its keeper came to life: that is its end, and no failure to begin.
        let killed = record::load(&self.record)?.is_some_and(|agent| agent.conclusion.is_some());
        if killed { Ok(()) } else { Err(error) }
    }
}

/// Makes the worktree again that somebody removed, as it was when it was saved last. What is about to be done is on record
/// first: a worktree that was made by half must never be taken for the agent's.
fn bring_back(house: &House, pen: &mut Pen, record: &Record, gone: &git::Worktree) -> Result<Option<String>> {
    let env = house.git()?;
    let head = clean::head_of(&env, gone);
    let tip = rescue::list(&env, &gone.common_dir, &format!("refs/heads/{}", gone.branch))?;
    let spec = &pen.agent.spec;
    let returning = Entry::Restoring {
        session: spec.session.clone(),
        branch: spec.branch.clone(),
        worktree: spec.worktree.clone(),
        head: Some(head),
        tip: tip.first().map(|(_, tip, _)| tip.as_str().to_owned()),
    };
    let guard = house.alone_in(&spec.project)?;
    clean::submodules(&env, &pen.agent, gone)?;
    clean::keep_state(&env, &pen.agent, gone)?;
    pen.write(returning)?;
    git::remove::admin(gone)?;
    drop(guard);
    undo::come_back(house, pen, record)
}

/// Adds the worktree of an agent whose creation was cut off before that was on record, or finds it added.
fn finish_creation(house: &House, pen: &mut Pen) -> Result<()> {
    let spec: Spec = pen.agent.spec.clone();
    let repository = repository(house, &spec)?;
    let guard = house.alone_in(&spec.project)?;
    let worktree = match half_added(house, &spec)? {
        (Some(worktree), _) => worktree,
        (None, own) => {
            if let Some(parent) = spec.worktree.parent() {
                file::make_dirs(parent)?;
            }
            let (path, branch) = (&spec.worktree, &spec.branch);
            match own {
                Some(commit) => git::worktree::add(&repository, &guard, path, branch, &commit)?,
                None => git::worktree::add_existing(&repository, &guard, path, branch)?,
            }
        }
    };
    Ok(pen.write(Entry::WorktreeMade { path: worktree.path, admin_dir: worktree.admin_dir })?)
}

/// Puts the worktree of such an agent on record if it was added, and clears away what is left if not: git cannot read half of one.
pub fn settle_creation(house: &House, pen: &mut Pen) -> Result<()> {
    let spec: Spec = pen.agent.spec.clone();
    if !spec.place.has_own_worktree() {
        return Ok(());
    }
    let _guard = house.alone_in(&spec.project)?;
    if let (Some(worktree), _) = half_added(house, &spec)? {
        pen.write(Entry::WorktreeMade { path: worktree.path, admin_dir: worktree.admin_dir })?;
    }
    Ok(())
}

/// The worktree of such an agent, if it was added, and the commit at which its branch is made, if it is. The caller holds the lock
/// of the project.
fn half_added(house: &House, spec: &Spec) -> Result<(Option<git::Worktree>, Option<CommitId>)> {
    let own = super::own_branch_at(spec);
    if own.is_none() && spec.place.has_own_branch() {
        let answer = spec.base.clone();
        return Err(git::Error::Answer { doing: "read the commit to start from", answer }.into());
    }
    let env = house.git()?;
    let (common, path, branch) = (&spec.common_dir, &spec.worktree, &spec.branch);
    Ok((git::worktree::repair_add(&env, common, path, branch, own.as_ref())?, own))
}
