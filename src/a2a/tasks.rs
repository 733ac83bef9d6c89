//! The tasks of a repository: created, claimed, told about, ended, by many processes at once.
//!
//! One journal per task is the truth and its own lock; the append is the commit, and what lies under the root is made from it
//! (`design/a2a-files.md`). Each change goes through [`Tasks::write`]: a mark, the journal, the copies, the mark away. Whoever dies in
//! between leaves the mark, and the next [`Tasks::reap`] makes the copies whole.

use super::reap::Looked;
use super::worker::Worker;
use super::{Error, Result, artifacts, leases, names, ready, root};
use crate::model::a2a::{Artifact, Message, Role, Task, TaskState};
use crate::model::ids::{Party, Project, TaskId};
use crate::model::places::{Copies, Places};
use crate::model::work::{Holder, TaskChange, TaskEntry, TaskRecord, TaskSpec, VERSION, Work};
use crate::rules::refusal::Refusal;
use crate::rules::work::{self as rules, Broken, Request, Verdict};
use crate::tools::journal::{self, Line, Shared};
use crate::tools::lock::Tried;
use crate::tools::{clock, fifo, file, process};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How long somebody may be at work on a task that another one waits for: a handful of small writes.
const LIMIT: Duration = Duration::from_secs(10);
/// How long a claim holds that a living process renews.
pub const LEASE: Duration = Duration::from_mins(1);
/// How long a claim without a process holds.
pub const LEASE_ALONE: Duration = Duration::from_hours(1);

/// Told of every change, once its copies are there and with the task's lock held: it must not ask about tasks. It may be told
/// again of one that it was told of (`(task, rev, what)` tells); of an error, too, whoever reaps tells it again.
pub type OnChange = Arc<dyn Fn(&TaskChange) -> Result<()> + Send + Sync>;

/// The tasks of one repository.
#[derive(Clone)]
pub struct Tasks {
    pub(super) places: Places,
    pub(super) project: Project,
    pub(super) copies: Copies,
    pub(super) boot: String,
    pub(super) looked: Looked,
    on_change: OnChange,
}

impl std::fmt::Debug for Tasks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tasks").field("project", &self.project).finish_non_exhaustive()
    }
}

/// Who asks, and the id of the operation: the same one by the same name is done once, and answered as it was then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct By {
    /// The name.
    pub name: Party,
    /// The operation.
    pub op: Option<String>,
}

impl From<Party> for By {
    fn from(name: Party) -> Self {
        Self { name, op: None }
    }
}

/// A wish to work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimRequest {
    /// Whose.
    pub by: By,
    /// The process that holds the lock of that name as long as it lives. Without one the lease alone tells.
    pub pid: Option<i32>,
    /// In which role.
    pub role: Option<String>,
    /// How long the claim holds without being renewed; by default [`LEASE`], or [`LEASE_ALONE`] without a process.
    pub lease: Option<Duration>,
    /// This task; the best one if none is given.
    pub id: Option<TaskId>,
}

/// Which tasks are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// In this state.
    pub state: Option<TaskState>,
    /// Of this context.
    pub context: Option<String>,
    /// For this role.
    pub role: Option<String>,
    /// Held by this one.
    pub owner: Option<Party>,
}

impl Filter {
    fn takes(&self, work: &Work) -> bool {
        self.state.is_none_or(|state| work.state == state)
            && self.context.as_ref().is_none_or(|context| work.spec.context == *context)
            && self.role.as_ref().is_none_or(|role| work.spec.role.as_ref() == Some(role))
            && self.owner.as_ref().is_none_or(|owner| work.owner() == Some(owner))
    }
}

/// The tasks that are asked for.
#[derive(Debug, Default)]
pub struct Listed {
    /// Those that can be read, the oldest first.
    pub tasks: Vec<Work>,
    /// What is wrong with the others.
    pub unreadable: Vec<Refusal>,
}

/// A task whose lock we have.
#[derive(Debug)]
pub(super) struct Held {
    journal: Shared<TaskRecord>,
    /// The task as its journal tells it now.
    pub(super) work: Work,
    /// Whether it is among what is ready.
    pub(super) listed: Listing,
}

/// Whether a task is in the index of what is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Listing {
    /// Not by any rule; an entry in vain is removed by whoever finds it.
    No,
    /// It may be.
    Perhaps,
    /// Here.
    At(PathBuf),
}

/// What came of taking a task's lock.
pub(super) enum Hold {
    /// We have it.
    Task(Box<Held>),
    /// Somebody else has it.
    Busy,
    /// There is no such task: perhaps its creator died before its first entry.
    None,
}

impl Tasks {
    /// The tasks of `project`. Its copies are made if they are not whole.
    ///
    /// # Errors
    /// If the root is somebody else's, or cannot be written.
    pub fn open(places: &Places, project: &Project) -> Result<Self> {
        root::prepare(&places.root, rustix::process::getuid().as_raw())?;
        let tasks = Self {
            places: places.clone(),
            project: project.clone(),
            copies: places.copies(project),
            boot: process::boot()?,
            looked: Looked::default(),
            on_change: Arc::new(|_| Ok(())),
        };
        tasks.build()?;
        Ok(tasks)
    }

    /// The same, telling `on_change` of every change from now on.
    #[must_use]
    pub fn with_feed(self, on_change: OnChange) -> Self {
        Self { on_change, ..self }
    }

    /// Creates a task. The same one again by the same name is the same task.
    ///
    /// # Errors
    /// [`Refusal::BadParts`], [`Refusal::TooLarge`], [`Refusal::NoDependency`]; [`Refusal::Exists`] if another one has the id.
    pub fn create(&self, mut spec: TaskSpec, by: &By) -> Result<Work> {
        self.build()?;
        check(by)?;
        spec.depends_on.sort_unstable();
        spec.depends_on.dedup();
        spec.message.task_id = Some(spec.id.to_string());
        spec.message.context_id = Some(spec.context.clone());
        rules::creation(&spec)?;
        for dependency in &spec.depends_on {
            if !file::is_there(&self.places.task(&self.project, *dependency))? {
                return Err(Refusal::NoDependency { missing: *dependency }.into());
            }
        }
        let id = spec.id;
        let journal = self.make(id)?;
        match rules::fold(journal.records()) {
            Ok(work) if work.spec == spec && work.created_by == by.name => return Ok(work),
            Ok(_) => return Err(Refusal::Exists { id }.into()),
            Err(Broken::NoCreation) => return Err(damaged(id, Broken::NoCreation)),
            Err(Broken::Empty) => {}
        }
        let record = TaskRecord {
            v: VERSION,
            rev: 1,
            at: clock::now(),
            op: by.op.clone(),
            by: Some(by.name.clone()),
            entry: TaskEntry::Created { spec: Box::new(spec) },
        };
        let work = rules::fold(std::slice::from_ref(&record)).map_err(|why| damaged(id, why))?;
        self.make_new(Held { journal, work, listed: Listing::Perhaps }, &by.name, record)
    }

    /// The task `id`.
    ///
    /// # Errors
    /// [`Refusal::NoTask`], [`Refusal::DamagedTask`].
    pub fn get(&self, id: TaskId) -> Result<Work> {
        self.read(id)?.ok_or_else(|| Refusal::NoTask { id }.into())
    }

    /// Whether there is a journal of the task `id`.
    pub fn exists(&self, id: TaskId) -> Result<bool> {
        Ok(file::is_there(&self.places.task(&self.project, id))?)
    }

    /// The task `id` as it was posted: for an agent's own, which has no journal here.
    pub fn posted(&self, id: TaskId) -> Result<Option<Task>> {
        let bytes = file::read(&self.copies.task(id))?;
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    /// The tasks that `filter` takes.
    pub fn list(&self, filter: &Filter) -> Result<Listed> {
        let mut listed = Listed::default();
        for id in self.ids()? {
            match self.read(id) {
                Ok(work) => listed.tasks.extend(work.filter(|work| filter.takes(work))),
                Err(Error::Refused(why)) => listed.unreadable.push(why),
                Err(error) => return Err(error),
            }
        }
        listed.tasks.sort_by_key(|work| (work.created, work.spec.id));
        Ok(listed)
    }

    /// Says where the task stands: working, or waiting for an answer or a login.
    ///
    /// # Errors
    /// [`Refusal::NotOwner`] unless `by` holds it with `generation`; so for all that a holder does.
    pub fn tell(
        &self,
        id: TaskId,
        by: &By,
        generation: u64,
        state: TaskState,
        message: Option<Message>,
    ) -> Result<Work> {
        self.change(id, by, Request::Tell { generation, state, message })
    }

    /// Says something about the task: an answer to its holder, or whatever belongs to it.
    pub fn say(&self, id: TaskId, by: &By, message: Message) -> Result<Work> {
        self.change(id, by, Request::Say { message })
    }

    /// Adds what came of the task; of two with one id the later counts. What is too large for a record is put into files, and the
    /// artifact says where.
    pub fn add_artifact(&self, id: TaskId, by: &By, generation: u64, artifact: Artifact) -> Result<Work> {
        let artifact = artifacts::store(&self.places.artifacts(&self.project), artifact)?;
        self.change(id, by, Request::Artifact { generation, artifact })
    }

    /// Completes the task: those that wait for it can be claimed when this returns.
    pub fn complete(&self, id: TaskId, by: &By, generation: u64, message: Option<Message>) -> Result<Work> {
        self.change(id, by, Request::End { generation, state: TaskState::Completed, message })
    }

    /// Says that the task failed: those that wait for it are rejected, or held.
    pub fn fail(&self, id: TaskId, by: &By, generation: u64, message: Option<Message>) -> Result<Work> {
        self.change(id, by, Request::End { generation, state: TaskState::Failed, message })
    }

    /// Gives the task back, to be claimed by others.
    pub fn release(&self, id: TaskId, by: &By, generation: u64, why: Option<String>) -> Result<Work> {
        self.change(id, by, Request::Release { generation, why })
    }

    /// Takes the task back. A damaged journal is put aside before.
    ///
    /// # Errors
    /// [`Refusal::NotYours`] unless `by` created it or is the person.
    pub fn cancel(&self, id: TaskId, by: &By, message: Option<Message>) -> Result<Work> {
        match self.change(id, by, Request::Cancel { message: message.clone() }) {
            Err(Error::Refused(Refusal::DamagedTask { why, .. })) => {
                self.quarantine(id, &by.name, &why)?;
                self.change(id, by, Request::Cancel { message })
            }
            done => done,
        }
    }

    /// Makes what is on record about the task survive a power cut.
    pub fn sync(&self, id: TaskId) -> Result<()> {
        let Hold::Task(mut held) = self.hold(id, Some(LIMIT))? else {
            return Err(Refusal::NoTask { id }.into());
        };
        held.journal.sync()?;
        Ok(file::sync_dir(&self.places.tasks(&self.project))?)
    }

    // ---- what the other files of this room build on

    /// The ids of all journals, in no order.
    pub fn ids(&self) -> Result<Vec<TaskId>> {
        let names = file::names(&self.places.tasks(&self.project))?.unwrap_or_default();
        Ok(names.into_iter().filter_map(|name| name.to_str()?.parse().ok()).collect())
    }

    /// The task `id` as its journal tells it, without its lock.
    pub(super) fn read(&self, id: TaskId) -> Result<Option<Work>> {
        let contents = journal::read::<TaskRecord>(&self.places.task(&self.project, id));
        let Some(contents) = contents.map_err(|e| of_journal(id, e))? else { return Ok(None) };
        match rules::fold(&contents.records) {
            Ok(work) => Ok(Some(work)),
            Err(Broken::Empty) => Ok(None),
            Err(why) => Err(damaged(id, why)),
        }
    }

    /// The journal of the task `id`, made if it is not there, with its lock.
    fn make(&self, id: TaskId) -> Result<Shared<TaskRecord>> {
        let path = self.places.task(&self.project, id);
        match Shared::open(&path, LIMIT) {
            Err(error) if error.code() == "file_not_found" => {
                let dir = self.places.tasks(&self.project);
                file::make_dirs(&dir)?;
                // What is on record is to be found again after a power cut, through every directory on the way.
                for dir in dir.ancestors().skip(1).take(2) {
                    file::sync_dir(dir)?;
                }
                Shared::open(&path, LIMIT).map_err(|e| of_journal(id, e))
            }
            opened => opened.map_err(|e| of_journal(id, e)),
        }
    }

    /// Takes the lock of the task `id`, waiting up to `limit` if there is one.
    pub(super) fn hold(&self, id: TaskId, limit: Option<Duration>) -> Result<Hold> {
        let path = self.places.task(&self.project, id);
        let of_journal = |error| of_journal(id, error);
        let journal = match (Shared::try_open_there(&path).map_err(of_journal)?, limit) {
            (Tried::Ours(journal), _) => journal,
            (Tried::Busy, Some(limit)) => Shared::open(&path, limit).map_err(of_journal)?,
            (Tried::Busy, None) => return Ok(Hold::Busy),
            (Tried::Missing, _) => return Ok(Hold::None),
        };
        match rules::fold(journal.records()) {
            Ok(work) => {
                let listed = if work.state == TaskState::Submitted { Listing::Perhaps } else { Listing::No };
                Ok(Hold::Task(Box::new(Held { journal, work, listed })))
            }
            Err(Broken::Empty) => Ok(Hold::None),
            Err(why) => Err(damaged(id, why)),
        }
    }

    /// Whether there is no task `id`, for certain: nobody is creating it either. Runs `then` before anybody can.
    pub(super) fn unless_created(&self, id: TaskId, then: impl FnOnce() -> Result<()>) -> Result<()> {
        let path = self.places.task(&self.project, id);
        // Made for its lock, if it is not there.
        let Some(journal) = Shared::<TaskRecord>::try_open(&path).map_err(|e| of_journal(id, e))? else {
            return Ok(());
        };
        if journal.records().is_empty() {
            then()?;
            // Whoever waits for its lock sees that it is gone, and makes another one.
            file::remove(&path)?;
        }
        Ok(())
    }

    /// Does what `by` asks about the task `id`, if it is permitted.
    fn change(&self, id: TaskId, by: &By, request: Request) -> Result<Work> {
        self.build()?;
        check(by)?;
        let Hold::Task(held) = self.hold(id, Some(LIMIT))? else { return Err(Refusal::NoTask { id }.into()) };
        self.change_held(*held, by, request)
    }

    /// The same for a task whose lock we have.
    pub(super) fn change_held(&self, held: Held, by: &By, request: Request) -> Result<Work> {
        if let Some(then) = as_then(&held, by) {
            return Ok(then);
        }
        match rules::decide(&held.work, &by.name, request)? {
            Verdict::Already => Ok(held.work),
            Verdict::Write(entry) => self.write(held, &by.name, Some(&by.name), by.op.clone(), entry),
        }
    }

    /// Puts `entry` on record, with all that follows. `hand` is who does it, for the mark; `by` who says it.
    ///
    /// # Errors
    /// If it is not on record. What fails afterwards is done by whoever reaps.
    pub(super) fn write(
        &self,
        mut held: Held,
        hand: &Party,
        by: Option<&Party>,
        op: Option<String>,
        entry: TaskEntry,
    ) -> Result<Work> {
        let hand = self.commit(&mut held, hand, by, op, entry)?;
        let what = last_entry(&held);
        let (work, followed) = self.follow(held, &hand, Some(what));
        if let Err(error) = followed {
            tracing::warn!(task = %work.spec.id, %error, "its copies are not whole");
        }
        Ok(work)
    }

    /// The first half of [`Self::write`], up to the append. Returns whose name the mark bears.
    pub(super) fn commit(
        &self,
        held: &mut Held,
        hand: &Party,
        by: Option<&Party>,
        op: Option<String>,
        entry: TaskEntry,
    ) -> Result<Party> {
        let id = held.work.spec.id;
        let record =
            TaskRecord { v: VERSION, rev: held.work.rev + 1, at: clock::now(), op, by: by.cloned(), entry };
        let line = Line::of(record)?;
        fits(&line, held.journal.length())?;
        let before = held.work.holder.clone();
        let hand = before.as_ref().map_or_else(|| hand.clone(), |holder| holder.name.clone());
        if before.is_some() {
            leases::end(&self.copies, id)?;
        } else {
            let mark = self.copies.claim(&hand, id);
            let named = match &held.listed {
                // Where a file can have one name only, the mark is a file of its own.
                Listing::At(entry) => {
                    file::with_dir(&mark, |path| file::name_too(entry, path)).unwrap_or(false)
                }
                Listing::No | Listing::Perhaps => false,
            };
            if !named {
                file::with_dir(&mark, file::mark)?;
            }
            if let TaskEntry::Claimed { holder, .. } = &line.record().entry {
                self.ring(holder);
            }
        }
        if matches!(line.record().entry, TaskEntry::Released { .. } | TaskEntry::Requeued { .. }) {
            ready::add(&self.copies, &held.work)?;
        }
        // If that fails nothing has changed. The mark stays, and brings whoever reaps to see to it.
        held.journal.append_line(line).map_err(|error| of_journal(id, error))?;
        if let Some(record) = held.journal.records().last() {
            rules::apply(&mut held.work, record);
        }
        Ok(hand)
    }

    /// Makes the entry of a claim that is on record.
    pub(super) fn mark_claim(&self, id: TaskId, holder: &Holder) -> Result<()> {
        file::with_dir(&self.copies.claim(&holder.name, id), file::mark)?;
        self.ring(holder);
        Ok(())
    }

    /// Tells the keeper of `holder` that there is a lease to renew. After the entry is there, for it looks at once; and before the claim
    /// is on record, for whoever dies in between must not leave one that nobody renews.
    fn ring(&self, holder: &Holder) {
        // A worker renews what it holds itself, and the person has no process.
        let (Party::Worker(session), Some(pid)) = (&holder.name, holder.pid) else { return };
        if pid == Worker::pid() {
            return;
        }
        let rung = names::find(&self.places, session)
            .and_then(|named| Ok(named.map(|named| fifo::ring(&named.record.bell())).transpose()?));
        // A keeper whose bell is none looks all the time.
        if let Err(error) = rung {
            tracing::warn!(holder = %holder.name, %error, "its keeper could not be told");
        }
    }

    /// The first change of a task: entries in the indexes first, so that none is ever missing.
    fn make_new(&self, mut held: Held, hand: &Party, record: TaskRecord) -> Result<Work> {
        let id = held.work.spec.id;
        let line = Line::of(record)?;
        fits(&line, 0)?;
        file::with_dir(&self.copies.claim(hand, id), file::mark)?;
        let rejected = self.place(&held.work)?;
        if let Err(error) = held.journal.append_line(line) {
            // A journal without an entry is no task; whoever reaps removes what is left of it.
            return Err(of_journal(id, error));
        }
        let (work, followed) = match rejected {
            None => self.follow(held, hand, Some("created")),
            Some((because, state)) => {
                let work = held.work.clone();
                match self.tell_feed(&work, "created").and_then(|()| self.reject(held, because, state)) {
                    Ok(rejected) => (rejected, Ok(())),
                    Err(error) => (work, Err(error)),
                }
            }
        };
        if let Err(error) = followed {
            tracing::warn!(task = %id, %error, "its copies are not whole");
        }
        Ok(work)
    }

    /// Rejects a task that cannot be claimed any more.
    pub(super) fn reject(&self, held: Held, because: TaskId, state: TaskState) -> Result<Work> {
        let entry = rejected(&held.work, because, state)?;
        let hand = held.work.created_by.clone();
        self.write(held, &hand, None, None, entry)
    }

    /// Makes the copies of a task as its journal wants them, tells of `what`, gives the lock back, settles what waits for it, and takes
    /// the mark away. Returns the task with what came of that.
    pub(super) fn follow(&self, held: Held, hand: &Party, what: Option<&str>) -> (Work, Result<()>) {
        let copied = self.copy(&held, what);
        let work = held.work;
        // What is at its end stays there: nobody needs to wait for what follows from it.
        drop(held.journal);
        let settle = || if work.state.is_terminal() { self.settle(work.spec.id) } else { Ok(()) };
        let followed = copied.and_then(|()| settle()).and_then(|()| self.unmark(&work, hand));
        (work, followed)
    }

    /// The copies of the task itself; a claim's lease last.
    pub(super) fn copy(&self, held: &Held, what: Option<&str>) -> Result<()> {
        let work = &held.work;
        let id = work.spec.id;
        let json = serde_json::to_vec(&work.posted())?;
        file::with_dir(&self.copies.task(id), |path| file::post(path, &json))?;
        match (&held.listed, &work.holder) {
            _ if work.state == TaskState::Submitted => {}
            (Listing::No, _) | (Listing::At(_), Some(_)) => {}
            (Listing::Perhaps, _) => ready::remove(&self.copies, work)?,
            (Listing::At(path), None) => drop(file::remove(path)?),
        }
        if let Some(what) = what {
            self.tell_feed(work, what)?;
        }
        let Some(holder) = &work.holder else { return Ok(()) };
        if let Listing::At(entry) = &held.listed
            && leases::begin_as(&self.copies, id, holder, entry)?
        {
            return Ok(());
        }
        leases::begin(&self.copies, id, holder)
    }

    /// Takes the mark away that bears the name `hand`, unless it says who holds the task.
    pub(super) fn unmark(&self, work: &Work, hand: &Party) -> Result<()> {
        if work.owner() != Some(hand) {
            file::remove(&self.copies.claim(hand, work.spec.id))?;
        }
        Ok(())
    }

    pub(super) fn tell_feed(&self, work: &Work, what: &str) -> Result<()> {
        (self.on_change)(&TaskChange::of(&self.project, work, what))
    }

    /// Puts the damaged journal of the task `id` aside, and another one in its place that holds what can still be believed.
    fn quarantine(&self, id: TaskId, by: &Party, why: &str) -> Result<()> {
        let path = self.places.task(&self.project, id);
        let lock = crate::tools::lock::guard(&path, LIMIT)?;
        let mut records = journal::salvage::<TaskRecord>(&path).map_err(|e| of_journal(id, e))?;
        let begins = records.iter().position(|record| matches!(record.entry, TaskEntry::Created { .. }));
        match begins {
            Some(at) => drop(records.drain(..at)),
            None => records.insert(0, lost(id)),
        }
        let creator = records.first().and_then(|record| record.by.clone());
        if *by != Party::User && creator.as_ref() != Some(by) {
            return Err(Refusal::DamagedTask { id, why: why.to_owned() }.into());
        }
        let kept = file::put_aside(&path)?;
        let rev = records.iter().map(|record| record.rev).max().unwrap_or(0) + 1;
        let kept = kept.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let entry = TaskEntry::Quarantined { why: why.to_owned(), kept };
        let by = Some(by.clone());
        records.push(TaskRecord { v: VERSION, rev, at: clock::now(), op: None, by, entry });
        journal::rewrite(&path, &records)?;
        drop(lock);
        Ok(())
    }
}

/// A creation, for a journal that has lost it.
fn lost(id: TaskId) -> TaskRecord {
    let spec = TaskSpec::text(id, "unknown", "what was to be done is lost: its journal was damaged");
    let entry = TaskEntry::Created { spec: Box::new(spec) };
    TaskRecord { v: VERSION, rev: 1, at: clock::now(), op: None, by: Some(Party::User), entry }
}

fn check(by: &By) -> Result<()> {
    by.op.as_deref().map_or(Ok(()), rules::operation).map_err(Error::from)
}

/// The task as it was after the operation of `by`, if that was done.
pub(super) fn as_then(held: &Held, by: &By) -> Option<Work> {
    let rev = rules::done(&held.work, &by.name, by.op.as_deref()?)?;
    let then: Vec<_> =
        held.journal.records().iter().take_while(|record| record.rev <= rev).cloned().collect();
    rules::fold(&then).ok()
}

/// The tag of the last entry.
pub(super) fn last_entry(held: &Held) -> &'static str {
    held.journal.records().last().map_or("created", |record| record.entry.word())
}

/// The entry that rejects `work`.
pub(super) fn rejected(work: &Work, because: TaskId, state: TaskState) -> Result<TaskEntry> {
    let text = format!("it depends on the task {because}, which is {state}");
    let message = Message::text(format!("{}-rejected", work.spec.id), Role::Agent, text);
    match rules::decide(work, &work.created_by, Request::Reject { message })? {
        Verdict::Write(entry) => Ok(entry),
        Verdict::Already => Err(Refusal::Terminal { id: work.spec.id, state: work.state }.into()),
    }
}

fn fits(line: &Line<TaskRecord>, length: u64) -> Result<()> {
    Ok(rules::fits(&line.record().entry, line.length(), length)?)
}

fn damaged(id: TaskId, why: Broken) -> Error {
    Refusal::DamagedTask { id, why: why.to_string() }.into()
}

/// What went wrong with the journal of the task `id`, in words that name the task.
fn of_journal(id: TaskId, error: journal::Error) -> Error {
    match error {
        journal::Error::Damaged { line, why, .. } => {
            Refusal::DamagedTask { id, why: format!("at line {line}: {why}") }.into()
        }
        error if error.is_damage() => Refusal::DamagedTask { id, why: error.to_string() }.into(),
        error => error.into(),
    }
}

/// How the holder of a claim asked for by `request` is put on record.
pub(super) fn holder(request: &ClaimRequest, boot: &str) -> Holder {
    // The person has no lock that would tell.
    let pid = request.pid.filter(|_| request.by.name != Party::User);
    let lease = request.lease.unwrap_or(if pid.is_some() { LEASE } else { LEASE_ALONE });
    let lease_ms = u64::try_from(lease.as_millis()).unwrap_or(u64::MAX);
    Holder { name: request.by.name.clone(), pid, boot: boot.to_owned(), lease_ms }
}

#[cfg(test)]
#[path = "tasks_tests.rs"]
mod tests;
