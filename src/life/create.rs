//! Making an agent: name, record, branch and worktree, session, in this order; each intent is on disk before its act.
//!
//! If we die in between, the name is reserved and the record says how far it went: nothing is half made without being
//! seen by `ai_orch list`. If a step fails, what was made is taken back.

use super::ground::{self, Ground, On};
use super::pull::Way;
use super::{House, Result, session};
use crate::a2a::names::Named;
use crate::a2a::record::{self, Pen};
use crate::a2a::{mail, names, reap, root};
use crate::git::{self, BranchProblem, Repository, Settings};
use crate::model::delegation::MayStart;
use crate::model::delivery::PullRequest;
use crate::model::entry::{Entry, Link, Spec};
use crate::model::failure::{Class, Failure};
use crate::model::guard::Guards;
use crate::model::ids::{AgentId, ContextId, Party, RoleName, Session};
use crate::model::place::Place;
use crate::model::places::Record;
use crate::model::profile::Permissions;
use crate::model::project_file::FromFile;
use crate::model::request::ChildOf;
use crate::rules::naming;
use crate::rules::prompt::ContextFile;
use crate::settings::environment::Environment;
use crate::tools::lock::Lock;
use crate::tools::{clock, file, process, runtime};
use std::path::Path;
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::Duration;

/// How many names are tried for one agent.
const NAMES: usize = 10_000;

/// Why an agent could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No name was free.
    #[error("no name like '{0}' is free")]
    NoName(Session),
}

impl Error {
    /// A word that does not change, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoName(_) => "no_name",
        }
    }

    /// What to type next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoName(_) => Some("give another --name".to_owned()),
        }
    }
}

/// What to make.
#[derive(Debug, Clone)]
pub struct Order {
    /// The name wanted.
    pub name: Session,
    /// The task text.
    pub task: String,
    /// The context files.
    pub context: Vec<ContextFile>,
    /// The chain.
    pub chain: Vec<Link>,
    /// What the agent may do.
    pub permissions: Permissions,
    /// The time allowed.
    pub timeout: Option<Duration>,
    /// The command that makes the worktree ready for work.
    pub setup: Option<String>,
    /// The validation command.
    pub validate: Option<String>,
    /// How often it may be repaired.
    pub repairs: u32,
    /// The money allowed.
    pub budget_usd: Option<f64>,
    /// Whether leftovers are committed.
    pub commit: bool,
    /// The agent's environment.
    pub environment: Environment,
    /// The names of variables that were given for it.
    pub env_names: Vec<String>,
    /// What it is there for.
    pub role: Option<RoleName>,
    /// What it belongs to, if that was said.
    pub context_id: Option<ContextId>,
    /// What it may start.
    pub may_start: Option<MayStart>,
    /// Untracked files of the checkout to take along.
    pub copy: Vec<String>,
    /// The pull request at whose head it begins.
    pub pull: Option<PullRequest>,
    /// Where the result goes.
    pub deliver: Option<Way>,
    /// What it has of the repository's `.ai_orch.toml` beside that.
    pub from_file: Option<FromFile>,
    /// What it may not do.
    pub guards: Guards,
    /// For one that another agent asked for: who it is.
    pub child: Option<ChildOf>,
}

/// An agent that was made; its keeper is alive.
#[derive(Debug, Clone)]
pub struct Created {
    /// What was put on record.
    pub spec: Spec,
    /// Where its record is.
    pub record: Record,
}

/// Makes the agent that `order` describes, on `ground`, and waits until its keeper lives.
pub fn create(house: &House, ground: &Ground, order: &Order) -> Result<Created> {
    let places = &house.settings.places;
    runtime::require_descriptors()?;
    // Before anything is made: no session can be told to keep a record whose path tmux cannot be given.
    if places.state.to_str().is_none() {
        return Err(crate::settings::Error::NotUtf8(places.state.clone()).into());
    }
    root::prepare(&places.root, house.settings.uid)?;
    if let Some(socket_dir) = house.settings.tmux_socket.parent().filter(|dir| *dir != places.root) {
        root::prepare(socket_dir, house.settings.uid)?;
    }
    let project = naming::project_for(ground.common_dir());
    file::make_dirs(places.project_lock(&project).parent().unwrap_or(&places.state))?;
    let (place, dir) = (ground.place(), ground.checkout());
    // git is asked for its settings while we wait for the lock: that takes a process, and whoever else starts an agent
    // here would wait for it as well.
    let (spec, record, pen) = thread::scope(|scope| {
        let settings = aside(scope, || git_settings(house, place, dir))?;
        let guard = house.alone_in(&project)?;
        let spec = reserve(house, ground, order, project)?;
        let record = places.record(&spec.project, spec.id);
        let made = begin(house, ground, &guard, &spec, &record, order, || joined(settings));
        drop(guard);
        match made {
            Ok(pen) => Ok((spec, record, pen)),
            Err(error) => {
                // The first error is the one to tell; its values may be secret, so the environment goes first.
                file::remove(&record.env()).ok();
                if taken_back(&spec, &record, &error).unwrap_or(false) {
                    names::free(places, &spec.session)?;
                }
                Err(error)
            }
        }
    })?;
    start(house, &spec, &record, pen)?;
    Ok(Created { spec, record })
}

/// The settings of git that the agent's worktree is made and its work is committed with. By a handle of its own, for a thread of its own.
fn git_settings(house: &House, place: Place, dir: &Path) -> Result<Settings> {
    if !place.is_in_repository() {
        return Ok(Settings::default());
    }
    Ok(Settings::of(&Repository::require(&house.git()?, dir)?)?)
}

/// Does `work` on a thread of its own. Every file that is made to survive a power cut waits for the disk, and those that
/// wait at the same time wait together, for one write of its journal.
fn aside<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: impl FnOnce() -> Result<T> + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, Result<T>>> {
    let started = thread::Builder::new().spawn_scoped(scope, work);
    started.map_err(|source| process::Error { action: "start a thread".into(), source }.into())
}

/// What came of work on a thread of its own.
fn joined<T>(work: ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    work.join().unwrap_or_else(|_| {
        let source = std::io::Error::other("its thread ended");
        Err(process::Error { action: "finish a step".into(), source }.into())
    })
}

/// Chooses a name that no agent has and for which branch and worktree can be made, and reserves it.
fn reserve(
    house: &House,
    ground: &Ground,
    order: &Order,
    project: crate::model::ids::Project,
) -> Result<Spec> {
    let settings = &house.settings;
    let place = ground.place();
    let id = order.child.as_ref().map_or_else(|| AgentId(clock::new_id()), |child| child.id);
    if !place.has_own_worktree() {
        ground::alone_at(house, ground.checkout(), id)?;
    }
    // Whoever began to make this child may have died when it had its name, and nothing else yet.
    let kept = match &order.child {
        Some(child) => names::all(&settings.places)?.into_iter().find(|named| named.id == child.id),
        None => None,
    };
    let kept = kept.map(|named| named.session);
    for session in kept.iter().cloned().chain(naming::candidates(&order.name)).take(NAMES) {
        let Some(branch) = branch_for(house, ground, &session)? else { continue };
        let worktree = if place.has_own_worktree() {
            settings.places.worktree(&project, &session)
        } else {
            ground.checkout().to_owned()
        };
        // A worktree that an earlier agent of this name left is that agent's work.
        let taken = place.has_own_worktree() && file::ownership(&worktree)?.is_some();
        let ours = kept.as_ref() == Some(&session);
        if taken || !(ours || names::reserve(&settings.places, &session, &project, id)?) {
            continue;
        }
        let party = Party::Worker(session.clone());
        let cleared = mail::clear_for(&settings.places, &project, &session)
            .and_then(|()| reap::give_back(&settings.places, &project, &party));
        if let Err(error) = cleared {
            names::free(&settings.places, &session)?;
            return Err(error.into());
        }
        let (base, base_name) = match ground {
            Ground::Repository { commit, base_name, .. } => (commit.as_str().to_owned(), base_name.clone()),
            Ground::Directory(_) => (String::new(), String::new()),
        };
        return Ok(Spec {
            id,
            session,
            project,
            place,
            common_dir: ground.common_dir().to_owned(),
            checkout: ground.checkout().to_owned(),
            base,
            base_name,
            branch,
            worktree,
            title: naming::title_for(&order.task),
            chain: order.chain.clone(),
            permissions: order.permissions,
            timeout_ms: order.timeout.map(|t| u64::try_from(t.as_millis()).unwrap_or(u64::MAX)),
            setup: order.setup.clone(),
            validate: order.validate.clone(),
            repairs: order.repairs,
            budget_usd: order.budget_usd,
            commit: order.commit,
            env_names: order.env_names.clone(),
            has_context: !order.context.is_empty(),
            role: order.role.clone(),
            context_id: order.context_id.clone(),
            parent: order.child.as_ref().map(|child| child.parent),
            parent_name: order.child.as_ref().map(|child| child.parent_name.clone()),
            may_start: order.may_start,
            copy: order.copy.clone(),
            pull: order.pull.clone(),
            deliver: order.deliver.as_ref().map(|way| way.delivery.clone()),
            from_file: order.from_file.clone().map(Box::new),
            guards: order.guards.clone(),
        });
    }
    Err(Error::NoName(order.name.clone()).into())
}

/// The branch for an agent of this name; `None`: it cannot be made, because somebody has it.
fn branch_for(house: &House, ground: &Ground, session: &Session) -> Result<Option<String>> {
    let Ground::Repository { repository, on, .. } = ground else { return Ok(Some(String::new())) };
    match on {
        On::NewBranch => {}
        On::Branch(name) => return Ok(Some(name.clone())),
        On::Checkout(name) => return Ok(Some(name.clone().unwrap_or_default())),
    }
    let branch = format!("{}{session}", house.settings.branch_prefix);
    match repository.branch_problem(&branch)? {
        None => Ok(Some(branch)),
        Some(BranchProblem::Exists(_) | BranchProblem::Below(_)) => Ok(None),
        Some(problem) => Err(git::Error::Branch { name: branch, problem }.into()),
    }
}

/// Puts the agent on record and adds its worktree. Takes back what it made if it fails. That the worktree is made is
/// written to the journal, and not yet synced.
fn begin(
    house: &House,
    ground: &Ground,
    lock: &Lock,
    spec: &Spec,
    record: &Record,
    order: &Order,
    settings: impl FnOnce() -> Result<Settings>,
) -> Result<Pen> {
    file::make_dirs(&record.0)?;
    let settings = thread::scope(|scope| {
        let asked = aside(scope, || {
            file::replace(&record.task(1), order.task.as_bytes())?;
            if spec.has_context {
                file::replace(&record.context(), &json(&order.context)?)?;
            }
            Ok(())
        })?;
        let settings = settings()?;
        file::replace(&record.git_config(), &json(&settings.snapshot())?)?;
        if let Some(way) = &order.deliver {
            file::replace(&record.reach(), &way.roads)?;
        }
        joined(asked)?;
        Ok::<_, super::Error>(settings)
    })?;
    let by = process::me()?;
    let mut pen = Pen::begin(record, Entry::Created { spec: Box::new(spec.clone()), by })?;
    let add = || -> Result<git::Worktree> {
        thread::scope(|scope| {
            // Not before the journal: values may be secret, and what no journal tells of, nobody finds and removes.
            let environment =
                aside(scope, || Ok(file::replace(&record.env(), &order.environment.to_bytes())?))?;
            let worktree = make(ground, lock, spec, &settings)?;
            if let Err(error) = joined(environment) {
                // Not even a keeper to take it back: that is for us to do, and the first error is the one to tell.
                unmake_worktree(house, spec, &worktree).ok();
                return Err(error);
            }
            Ok(worktree)
        })
    };
    let worktree = match add() {
        Ok(worktree) => worktree,
        Err(error) => {
            // If this cannot be written either, the first error is still the one to tell.
            pen.write(Entry::NotCreated { failure: Failure::new(Class::Git, error.to_string()) }).ok();
            // git names a file that it could not write, and often not why.
            file::require_room(&spec.common_dir)?;
            return Err(error);
        }
    };
    let (path, admin_dir) = (worktree.path.clone(), worktree.admin_dir.clone());
    if let Err(error) = pen.note(Entry::WorktreeMade { path, admin_dir }) {
        unmake_worktree(house, spec, &worktree).ok();
        return Err(error.into());
    }
    Ok(pen)
}

/// The place in which the agent is to work: made, if it is to be its own. The caller holds the lock of the project.
fn make(ground: &Ground, lock: &Lock, spec: &Spec, settings: &Settings) -> Result<git::Worktree> {
    let Ground::Repository { repository, commit, on, .. } = ground else {
        let (path, admin_dir, common_dir) =
            (spec.worktree.clone(), spec.common_dir.clone(), spec.common_dir.clone());
        return Ok(git::Worktree { path, admin_dir, common_dir, branch: String::new() });
    };
    if spec.place.has_own_worktree()
        && let Some(parent) = spec.worktree.parent()
    {
        file::make_dirs(parent)?;
    }
    Ok(match on {
        On::NewBranch => {
            git::register::add(repository, lock, &spec.worktree, &spec.branch, commit, settings)?
        }
        On::Branch(name) => git::worktree::add_existing(repository, lock, &spec.worktree, name)?,
        On::Checkout(name) => git::Worktree::checkout(repository, name.as_deref()),
    })
}

/// Takes back what [`make`] made.
fn unmake_worktree(house: &House, spec: &Spec, worktree: &git::Worktree) -> Result<()> {
    if spec.place.has_own_worktree() {
        git::worktree::undo_add(&house.git()?, worktree, super::own_branch_at(spec).as_ref())?;
    }
    Ok(())
}

/// Whether a creation that failed is as if it had not begun, or on record as failed. If not, the name must stay: it leads to what
/// there is, and nothing else does.
fn taken_back(spec: &Spec, record: &Record, error: &super::Error) -> Result<bool> {
    let Some(agent) = record::load(record)? else { return Ok(true) };
    if agent.not_created.is_some() {
        return Ok(true);
    }
    if spec.place.has_own_worktree() && file::ownership(&spec.worktree)?.is_some() {
        return Ok(false);
    }
    let held = record::take(record)?;
    let failure = Failure::new(Class::Crash, error.to_string());
    Pen::open(record, &held)?.write(Entry::NotCreated { failure })?;
    Ok(true)
}

fn json(value: &impl serde::Serialize) -> Result<Vec<u8>> {
    Ok(serde_json::to_vec(value).map_err(crate::a2a::Error::Json)?)
}

/// Makes the session and waits until its keeper is on record. Meanwhile what `pen` wrote last is synced: a power cut that
/// takes it takes the session as well.
fn start(house: &House, spec: &Spec, record: &Record, mut pen: Pen) -> Result<()> {
    let made = thread::scope(|scope| {
        let synced = aside(scope, || Ok(pen.sync()?))?;
        session::open(house, &spec.session, record)?;
        joined(synced)
    });
    let started = made.and_then(|()| session::wait_for_keeper(house, &spec.session, record));
    if let Err(error) = started {
        undo(house, record, &error)?;
        // Somebody killed it before its keeper came to life: that is its end, and no failure to start.
        let killed = record::load(record)?.is_some_and(|agent| agent.conclusion.is_some());
        return if killed { Ok(()) } else { Err(error) };
    }
    Ok(())
}

/// Takes back a creation whose keeper never came to life. Whoever holds the keeper's lock decides, so if a keeper holds it
/// after all, nothing is touched.
fn undo(house: &House, record: &Record, error: &super::Error) -> Result<()> {
    let Ok(held) = record::take(record) else { return Ok(()) };
    let mut pen = Pen::open(record, &held)?;
    if pen.agent.keeper.is_some() {
        return Ok(());
    }
    // Killed before its keeper came to life: that is on record, and a killed agent keeps its name.
    if pen.agent.conclusion.is_some() {
        file::remove(&record.env())?;
        return Ok(());
    }
    unmake(house, record, &mut pen, &error.to_string())
}

/// Takes back what was made of an agent whose creator is gone, if that was before any keeper came to life: true, then it never was. An
/// agent that has or had a keeper, or is at its end, is left as it is. The caller makes sure that nobody creates it.
pub fn take_back(house: &House, named: &Named, why: &str) -> Result<bool> {
    if record::load(&named.record)?.is_none() {
        return give_name_back(house, named);
    }
    // A keeper that is about to come to life ends with its session, if it does not have the lock yet.
    let Some(held) = record::try_take(&named.record)? else { return Ok(false) };
    let mut pen = Pen::open(&named.record, &held)?;
    if pen.agent.not_created.is_some() {
        names::free(&house.settings.places, &named.session)?;
        return Ok(true);
    }
    if pen.agent.was_kept || pen.agent.conclusion.is_some() {
        return Ok(false);
    }
    unmake(house, &named.record, &mut pen, why)?;
    Ok(true)
}

/// Gives a name back whose owner is not on record, because its creator died before that. False if it is on record by now, or not the
/// owner any more.
pub fn give_name_back(house: &House, named: &Named) -> Result<bool> {
    let places = &house.settings.places;
    let path = places.project_lock(&named.project);
    file::make_dirs(path.parent().unwrap_or(&places.state))?;
    // A creator at work has it until the agent is on record.
    let _guard = house.alone_in(&named.project)?;
    if record::load(&named.record)?.is_some() || names::find(places, &named.session)?.as_ref() != Some(named)
    {
        return Ok(false);
    }
    file::remove(&named.record.env())?;
    names::free(places, &named.session)?;
    Ok(true)
}

/// Removes all that was made of an agent without a keeper, and says why. `pen` shows that nobody can come to keep it.
fn unmake(house: &House, record: &Record, pen: &mut Pen, why: &str) -> Result<()> {
    let spec = pen.agent.spec.clone();
    house.tmux.kill_session(&spec.session).ok();
    // Nobody else would end a server that was started for this session.
    house.tmux.end_with(&spec.session).ok();
    file::remove(&record.env())?;
    let guard = house.alone_in(&spec.project)?;
    let worktree = match super::worktree(&pen.agent) {
        // Its creator may have died in the middle of adding it.
        None if spec.place.has_own_worktree() => {
            let own = super::own_branch_at(&spec);
            let (common, path, branch) = (&spec.common_dir, &spec.worktree, &spec.branch);
            git::worktree::repair_add(&house.git()?, common, path, branch, own.as_ref())?
        }
        worktree => worktree,
    };
    if let Some(worktree) = worktree {
        unmake_worktree(house, &spec, &worktree)?;
    }
    drop(guard);
    super::outfit::give_ports_back(house, &spec)?;
    pen.write(Entry::NotCreated { failure: Failure::new(Class::Crash, why) })?;
    names::free(&house.settings.places, &spec.session)?;
    Ok(())
}
