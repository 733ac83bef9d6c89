//! A run of merges: what it made, tested and moved is on record before and after, and whoever goes on with it does nothing twice.
//!
//! The target is moved only to a commit that was made on the very tip of it, and passed there.

use super::{House, Result, ground};
use crate::git::merge::{self, Made, Message, Moved};
use crate::git::{self, CommitId, ConfigSnapshot, Repository, rescue};
use crate::model::ids::AgentId;
use crate::model::merge::{Entry, Outfit, Record, Spec, VERSION, Why};
use crate::model::places::Places;
use crate::model::text::Shown;
use crate::rules::merge::{Begun, Moving, Run, Step, apply, moving, next, replay};
use crate::tools::lock::{self, Lock};
use crate::tools::program::{self, Program};
use crate::tools::signals::{Hold, Sign};
use crate::tools::{clock, crash, file, journal, process};
use std::path::{Path, PathBuf};
use std::time::Duration;
use uuid::Uuid;

/// In the environment of everything that a test starts.
const MARK: &str = "AI_ORCH_MERGE";
/// How long what a test leaves running may take to end.
const GRACE: Duration = Duration::from_secs(2);
const END_LIMIT: Duration = Duration::from_secs(10);
/// How much of the end of a test's output is put on record, in bytes.
const TAIL: usize = 16 << 10;
/// How often a target may move away under a run before that gives up: each time costs a test.
const RACES: usize = 20;

/// Why a run cannot begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another one is at work.
    #[error("another merge is at work in this repository")]
    AtWork,
    /// One was cut off.
    #[error("a merge into {into} was cut off, with {left} still to come")]
    CutOff {
        /// Its target.
        into: String,
        /// How many agents wait.
        left: usize,
    },
    /// None was cut off.
    #[error("no merge was cut off in this repository")]
    NothingToContinue,
    /// The target is not there.
    #[error("there is no branch '{}'", Shown(.0))]
    NoTarget(String),
    /// The target is the name of something that is no branch.
    #[error("the branch '{}' stands for {}, which is no branch", Shown(.into), Shown(.is))]
    NotABranch {
        /// The target.
        into: String,
        /// What it is the name of.
        is: String,
    },
    /// The target is checked out more than once, and only one checkout would be moved with it.
    #[error("the branch {into} is checked out in {} and in {}", Shown(&.one.to_string_lossy()), Shown(&.other.to_string_lossy()))]
    Twice {
        /// The target.
        into: String,
        /// Here.
        one: PathBuf,
        /// And there.
        other: PathBuf,
    },
    /// The target is an agent's to move.
    #[error("the branch {into} is checked out in {}, a worktree of an agent", Shown(&.at.to_string_lossy()))]
    Agents {
        /// The target.
        into: String,
        /// Where.
        at: PathBuf,
    },
    /// Somebody is in the middle of something with the target.
    #[error("git is in the middle of a rebase or bisection of {0}, which would put it back")]
    Held(String),
    /// Something of the user's is in the way.
    #[error("{} could not be moved on to {}: {why}", Shown(&.checkout.to_string_lossy()), .to.short())]
    InTheWay {
        /// The checkout.
        checkout: PathBuf,
        /// To where.
        to: CommitId,
        /// What git says.
        why: String,
    },
    /// Another git holds the checkout.
    #[error("another git is at work in {}, so nothing was moved there", Shown(&.0.to_string_lossy()))]
    Busy(PathBuf),
    /// A signal came for us.
    #[error("broken off: what was merged stays so, and nothing of the test goes on")]
    BrokenOff {
        /// By TERM; else by Ctrl-C, or because the terminal is gone.
        terminated: bool,
    },
    /// Somebody moves the target all the time.
    #[error("the branch {0} moved on again and again while its merge was tested")]
    Raced(String),
}

impl Error {
    /// A word that does not change, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::AtWork => "merge_at_work",
            Self::CutOff { .. } => "merge_cut_off",
            Self::NothingToContinue => "no_merge",
            Self::NoTarget(_) => "no_such_branch",
            Self::NotABranch { .. } => "not_a_branch",
            Self::Agents { .. } | Self::Held(_) | Self::Twice { .. } => "branch_checked_out",
            Self::InTheWay { .. } => "not_clean",
            Self::Busy(_) => "checkout_busy",
            Self::Raced(_) => "raced",
            Self::BrokenOff { terminated: false } => "interrupted",
            Self::BrokenOff { terminated: true } => "terminated",
        }
    }

    /// What to type next.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::AtWork => "wait for its end".to_owned(),
            Self::CutOff { .. } | Self::BrokenOff { .. } => {
                "go on with it: ai_orch merge --continue; or give it up: ai_orch merge --abort".to_owned()
            }
            Self::NothingToContinue => "begin one: ai_orch merge SESSION".to_owned(),
            Self::NoTarget(_) => "see git branch".to_owned(),
            Self::NotABranch { .. } | Self::Agents { .. } => "give another branch: --into BRANCH".to_owned(),
            Self::Twice { other, .. } => {
                format!(
                    "switch one of them to another branch: git -C {} switch --detach",
                    Shown(&other.to_string_lossy())
                )
            }
            Self::Held(_) => "end that first: git rebase --continue, or --abort; git bisect reset".to_owned(),
            Self::InTheWay { .. } => {
                "commit what is in the way or put it away (git stash), then: ai_orch merge --continue"
                    .to_owned()
            }
            Self::Busy(_) => {
                "wait for its end, or end it (a git commit with an open editor, for one), then: ai_orch merge --continue"
                    .to_owned()
            }
            Self::Raced(_) => "go on with it: ai_orch merge --continue".to_owned(),
        })
    }
}

/// What a run tells while it is at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News<'n> {
    /// The merged tree is made ready for its test.
    SettingUp {
        /// Of this item.
        item: usize,
        /// By this command.
        command: &'n str,
    },
    /// A test begins.
    Testing {
        /// Of this item.
        item: usize,
        /// This command.
        command: &'n str,
    },
    /// It is settled what becomes of an item.
    Settled {
        /// This item.
        item: usize,
    },
}

/// The one writer of the journal of a run.
#[derive(Debug)]
pub struct Book {
    writer: journal::Writer<Record>,
    /// The run, as its journal tells it now.
    pub run: Run,
    #[expect(dead_code, reason = "held for its lock")]
    alone: Lock,
}

impl Book {
    fn write(&mut self, entry: &Entry) -> Result<()> {
        let name = || {
            let json = serde_json::to_value(entry).unwrap_or_default();
            json.get("entry").and_then(|tag| tag.as_str()).unwrap_or("?").to_owned()
        };
        crash::point(|| format!("before merge journal {}", name()));
        let record = Record { v: VERSION, at: clock::now(), entry: entry.clone() };
        self.writer.append(&record).map_err(crate::a2a::Error::from)?;
        crash::point(|| format!("after merge journal {}", name()));
        apply(&mut self.run, entry);
        Ok(())
    }
}

/// Nobody else's run is at work in the repository while this is held.
fn alone(places: &Places, project: &crate::model::ids::Project) -> Result<Lock> {
    let path = places.merge_lock(project);
    file::make_dirs(path.parent().unwrap_or(&places.state))?;
    match lock::try_exclusive(&path)? {
        Some(lock) => Ok(lock),
        None => Err(Error::AtWork.into()),
    }
}

/// The last run of the repository, if it was cut off.
fn cut_off(places: &Places, project: &crate::model::ids::Project) -> Result<Option<(PathBuf, Run)>> {
    let mut ids: Vec<Uuid> = file::names(&places.merges(project))?
        .unwrap_or_default()
        .iter()
        .filter_map(|name| name.to_str()?.parse().ok())
        .collect();
    ids.sort_unstable();
    let Some(last) = ids.last() else { return Ok(None) };
    let path = places.merge(project, *last);
    let read = journal::read::<Record>(&path).map_err(crate::a2a::Error::from)?;
    let run = read.and_then(|contents| replay(&contents.records));
    Ok(run.filter(|run| !run.ended).map(|run| (path, run)))
}

/// Begins the run `spec`.
///
/// # Errors
/// If another one is at work, or was cut off.
pub fn begin(house: &House, spec: Spec) -> Result<Book> {
    let places = &house.settings.places;
    let alone = alone(places, &spec.project)?;
    if let Some((_, run)) = cut_off(places, &spec.project)? {
        let left = run.items.iter().filter(|item| item.fate() == crate::model::merge::Fate::Waits).count();
        return Err(Error::CutOff { into: run.spec.into, left }.into());
    }
    file::make_dirs(&places.merges(&spec.project))?;
    let path = places.merge(&spec.project, spec.id);
    let (writer, _) = journal::Writer::open(&path).map_err(crate::a2a::Error::from)?;
    let items = vec![crate::rules::merge::Progress::default(); spec.items.len()];
    let mut book = Book { writer, run: Run { spec: spec.clone(), items, ended: false }, alone };
    book.write(&Entry::Begun { spec: Box::new(spec), by: process::me()? })?;
    Ok(book)
}

/// Goes on with the run of `project` that was cut off.
pub fn go_on(house: &House, project: &crate::model::ids::Project) -> Result<Book> {
    let places = &house.settings.places;
    let alone = alone(places, project)?;
    let Some((path, run)) = cut_off(places, project)? else { return Err(Error::NothingToContinue.into()) };
    let (writer, _) = journal::Writer::open(&path).map_err(crate::a2a::Error::from)?;
    Ok(Book { writer, run, alone })
}

/// Gives the run of `book` up: what is merged stays so, the rest is as it was.
pub fn give_up(house: &House, repository: &Repository, book: &mut Book) -> Result<()> {
    // It is short, and a signal in its middle would leave the checkout locked.
    let _hold = Hold::begin()?;
    settle_move(house, repository, book)?;
    tidy(house, repository, &book.run.spec)?;
    book.write(&Entry::GivenUp)
}

/// Does the run of `book` to its end, by any checkout of its repository.
pub fn work(
    house: &House,
    repository: &Repository,
    book: &mut Book,
    limit: Duration,
    news: &mut dyn FnMut(&Run, News<'_>),
) -> Result<()> {
    end_tests(book.run.spec.id)?;
    let mut races = 0;
    // A signal ends a test at once, and us behind what we are just doing: a checkout that is half moved would be locked.
    let hold = Hold::begin()?;
    loop {
        if let Some(sign) = hold.next() {
            return Err(broken_off(hold, sign).into());
        }
        let tip = target(repository, &book.run.spec.into)?;
        let begun = begun(house, repository, &book.run, &tip)?;
        match next(&book.run, tip.as_str(), begun) {
            Step::Make { item } => {
                if book.run.items.get(item).is_some_and(|progress| progress.made.is_some()) {
                    count(&mut races, &book.run)?;
                }
                let entry = make(house, repository, &book.run, item, &tip)?;
                let settled = !matches!(entry, Entry::Made { .. });
                book.write(&entry)?;
                if settled {
                    news(&book.run, News::Settled { item });
                }
            }
            Step::Test { item, commit } => {
                let mut tell = |what: News<'_>| news(&book.run, what);
                let entry =
                    test(house, repository, &book.run.spec, item, &commit, (limit, &hold), &mut tell)?;
                if let Some(entry) = entry {
                    book.write(&entry)?;
                }
            }
            Step::LeaveOut { item, why } => {
                book.write(&Entry::LeftOut { item, why })?;
                news(&book.run, News::Settled { item });
            }
            Step::Move { item, to } => {
                if move_target(house, repository, book, item, &tip, &to)? {
                    book.write(&Entry::Moved { item, to })?;
                    news(&book.run, News::Settled { item });
                } else {
                    count(&mut races, &book.run)?;
                }
            }
            Step::TakeBack { item, moving } => take_back(house, repository, book, item, &moving)?,
            Step::Note { item, to } => {
                let_go(house, repository, &book.run)?;
                book.write(&Entry::Moved { item, to })?;
                news(&book.run, News::Settled { item });
            }
            Step::End => break,
        }
    }
    tidy(house, repository, &book.run.spec)?;
    book.write(&Entry::Ended)
}

/// That `sign` came for us. Another one may come, to the whole group, and must not end us otherwise.
fn broken_off(hold: Hold, sign: Sign) -> Error {
    hold.keep();
    Error::BrokenOff { terminated: sign == Sign::Terminate }
}

/// One more time that somebody else was faster.
fn count(races: &mut usize, run: &Run) -> Result<()> {
    *races += 1;
    if *races == RACES { Err(Error::Raced(run.spec.into.clone()).into()) } else { Ok(()) }
}

/// The branch that is moved when `into` is: another one where that is a symbolic ref.
pub fn named(repository: &Repository, into: &str) -> Result<String> {
    let is = merge::stands_for(repository, into)?;
    match is.strip_prefix("refs/heads/") {
        Some(branch) => Ok(branch.to_owned()),
        None => Err(Error::NotABranch { into: into.to_owned(), is }.into()),
    }
}

/// Where the target is.
pub fn target(repository: &Repository, into: &str) -> Result<CommitId> {
    Ok(repository.branch(into)?.ok_or_else(|| Error::NoTarget(into.to_owned()))?)
}

/// The ref that keeps what was made for an item.
fn kept(spec: &Spec, item: usize) -> String {
    format!("refs/ai_orch/merge/{}/{item}", spec.id)
}

fn make(house: &House, repository: &Repository, run: &Run, item: usize, onto: &CommitId) -> Result<Entry> {
    let Some(wanted) = run.spec.items.get(item) else { return Ok(Entry::Nothing { item }) };
    let Some(tip) = CommitId::parse(&wanted.tip) else {
        return Err(
            git::Error::Answer { doing: "read the commit to merge", answer: wanted.tip.clone() }.into()
        );
    };
    let config = ConfigSnapshot::take(repository)?;
    let merge_text = format!("Merge branch '{}' into {}\n\n{}\n", wanted.branch, run.spec.into, wanted.title);
    let squash_text = format!("{}\n\nAll of the branch {}.\n", wanted.title, wanted.branch);
    let message = Message { merge: &merge_text, squash: &squash_text };
    Ok(match merge::make(repository, &config, run.spec.how, onto, &tip, message)? {
        Made::Nothing => Entry::Nothing { item },
        Made::NotFastForward => Entry::LeftOut { item, why: Why::NotFastForward },
        Made::HasMerges => Entry::LeftOut { item, why: Why::HasMerges },
        Made::Conflict(paths) => {
            let paths = paths.iter().map(|path| path.to_string_lossy().into_owned()).collect();
            Entry::LeftOut { item, why: Why::Conflict { paths } }
        }
        Made::Commit(commit) => {
            let (env, common, name) = (house.git()?, repository.common_dir(), kept(&run.spec, item));
            // Of an attempt onto a tip that the target has left.
            for (_, old, _) in rescue::list(&env, common, &name)?.iter().filter(|(_, old, _)| *old != commit)
            {
                rescue::delete(&env, common, &name, old)?;
            }
            rescue::keep(&env, common, &name, &commit)?;
            Entry::Made { item, onto: onto.as_str().to_owned(), commit: commit.as_str().to_owned() }
        }
    })
}

/// Runs the validation command on the merged tree, in a place of its own that has what the agent's worktree had, and ends whatever it
/// leaves running. `None` if a signal came meanwhile: then it has not ended by itself.
fn test(
    house: &House,
    repository: &Repository,
    spec: &Spec,
    item: usize,
    commit: &str,
    until: (Duration, &Hold),
    news: &mut dyn FnMut(News<'_>),
) -> Result<Option<Entry>> {
    let Some(merged) = CommitId::parse(commit) else {
        return Err(git::Error::Answer { doing: "read the merged commit", answer: commit.to_owned() }.into());
    };
    let place = house.settings.places.merge_tests(&spec.project, spec.id);
    file::make_dirs(place.parent().unwrap_or(&place))?;
    let guard = house.alone_in(&spec.project)?;
    let worktree = merge::test_place(repository, &guard, &place, &merged)?;
    drop(guard);
    let wanted = spec.items.get(item);
    let outfit = wanted.and_then(|wanted| wanted.outfit.as_deref());
    let env = house.git()?;
    if let Some(outfit) = outfit
        && file::is_dir(&outfit.checkout)?
        && let Some(checkout) = Repository::discover(&env, &outfit.checkout)?
        && checkout.common_dir() == repository.common_dir()
    {
        git::links::make(&env, &checkout, &worktree, &outfit.symlink)?;
        let chosen = git::include::choose(&checkout, &worktree, &outfit.copy)?;
        git::include::copy(&checkout, &worktree, &chosen.files)?;
    }
    let entry = |ran: Ran, setup: bool| {
        let Ran { ok, exit, ms, output } = ran;
        Entry::Tested { item, commit: commit.to_owned(), ok, exit, ms, output, setup }
    };
    let shell = |command: &str| shell(house, spec, outfit, commit, &place, command, until);
    // Before each test: what it made of one merged tree need not fit the next.
    if let Some(command) = outfit.and_then(|outfit| outfit.setup.as_deref()) {
        news(News::SettingUp { item, command });
        match shell(command)? {
            Some(ran) if ran.ok => {}
            failed => return Ok(failed.map(|ran| entry(ran, true))),
        }
    }
    let command = wanted.and_then(|wanted| wanted.validate.as_deref()).unwrap_or_default();
    news(News::Testing { item, command });
    Ok(shell(command)?.map(|ran| entry(ran, false)))
}

/// How a command in the place of the tests ended.
struct Ran {
    ok: bool,
    exit: Option<i32>,
    ms: u64,
    output: String,
}

/// Runs a command of the user's in the place of the tests, with the variables that it has in the worktree of an agent. `None` if it was
/// ended because a signal came for us.
fn shell(
    house: &House,
    spec: &Spec,
    outfit: Option<&Outfit>,
    commit: &str,
    place: &Path,
    command: &str,
    (limit, hold): (Duration, &Hold),
) -> Result<Option<Ran>> {
    let mut shell = Program::new("/bin/sh").args(["-c", command]).until(hold).cwd(place);
    shell = shell.limit(limit).output_cap(8 << 20).env_clear();
    for (name, value) in house.settings.environment.for_agent().iter() {
        shell = shell.env(name, value);
    }
    shell = shell
        .env("AI_ORCH_WORKTREE", place)
        .env("AI_ORCH_BRANCH", &spec.into)
        .env("AI_ORCH_BASE", commit)
        .env(MARK, spec.id.to_string());
    if let Some(outfit) = outfit {
        shell = shell.env("AI_ORCH_CHECKOUT", &outfit.checkout);
        for port in &outfit.ports {
            shell = shell.env(&port.name, port.port.to_string());
        }
    }
    let begun = clock::tick();
    let ended = shell.run();
    let ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    end_tests(spec.id)?;
    match ended {
        Ok(output) => {
            let all = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
            Ok(Some(Ran { ok: output.status.success(), exit: output.status.code(), ms, output: tail(&all) }))
        }
        Err(error @ program::Error::TimedOut { .. }) => {
            Ok(Some(Ran { ok: false, exit: None, ms, output: error.to_string() }))
        }
        Err(program::Error::Stopped { .. }) => Ok(None),
        Err(error) => Err(git::Error::from(error).into()),
    }
}

fn tail(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.get(bytes.len().saturating_sub(TAIL)..).unwrap_or_default()).into_owned()
}

/// Ends what tests of this run left running, also those of somebody who was cut off.
fn end_tests(id: Uuid) -> Result<()> {
    let mark = format!("{MARK}={id}");
    let found = || process::belonging(std::slice::from_ref(&mark), None);
    let (ended, gone) = process::end_all(found, GRACE, END_LIMIT)?;
    if gone {
        return Ok(());
    }
    Err(super::Error::StillRunning { pids: ended.into_iter().map(|process| process.pid).collect() })
}

/// Moves the target from `from` on to `to`; false if somebody else has moved it.
fn move_target(
    house: &House,
    repository: &Repository,
    book: &mut Book,
    item: usize,
    from: &CommitId,
    to: &str,
) -> Result<bool> {
    let Some(to) = CommitId::parse(to) else {
        return Err(git::Error::Answer { doing: "read the merged commit", answer: to.to_owned() }.into());
    };
    let into = book.run.spec.into.clone();
    let at = checkout_of(house, repository, &into)?;
    let path = at.as_ref().map(|checkout| checkout.work_dir().to_owned());
    let moving = Moving { from: from.as_str().to_owned(), to: to.as_str().to_owned(), at: path };
    let again = book.run.items.get(item).is_some_and(|progress| progress.moving.as_ref() == Some(&moving));
    if !again {
        book.write(&Entry::Moving { item, from: moving.from, to: moving.to, checkout: moving.at })?;
    }
    crash::point(|| "before the target is moved");
    let run = book.run.spec.id.to_string();
    let moved = match &at {
        None => merge::move_branch(&house.git()?, repository.common_dir(), &into, from, &to)?,
        Some(checkout) => {
            let step = merge::Step { run: &run, from, to: &to };
            let moved = merge::move_checkout(checkout, &into, step, again)?;
            // What had been cut off before is as half as it was.
            if moved != Moved::Done && !again {
                book.write(&Entry::NotMoved { item })?;
            }
            require(checkout, &to, moved)?
        }
    };
    crash::point(|| "after the target is moved");
    if !moved && at.is_none() {
        book.write(&Entry::NotMoved { item })?;
    }
    Ok(moved)
}

/// Whether it was moved, and not by somebody else.
///
/// # Errors
/// If the checkout could not be moved to `to`.
fn require(checkout: &Repository, to: &CommitId, moved: Moved) -> Result<bool> {
    let checkout = || checkout.work_dir().to_owned();
    match moved {
        Moved::Done => Ok(true),
        Moved::Raced => Ok(false),
        Moved::InTheWay(why) => Err(Error::InTheWay { checkout: checkout(), to: to.clone(), why }.into()),
        Moved::Busy => Err(Error::Busy(checkout()).into()),
    }
}

/// The checkout that has the target checked out, if any has.
///
/// # Errors
/// If that is the worktree of an agent, or an agent works in it: nobody moves it under an agent's feet. If there are two: only one
/// of them would be moved.
pub fn checkout_of(house: &House, repository: &Repository, into: &str) -> Result<Option<Repository>> {
    if merge::is_held(repository, into)? {
        return Err(Error::Held(into.to_owned()).into());
    }
    let mut all = Vec::new();
    for at in repository.checked_out_at(into)? {
        if file::is_dir(&at)? {
            all.push(at);
        }
    }
    let mut all = all.into_iter();
    let Some(at) = all.next() else { return Ok(None) };
    let ours = house.settings.places.data.join("worktrees");
    if at.starts_with(&ours) || file::canonical(&ours).is_ok_and(|ours| at.starts_with(ours)) {
        return Err(Error::Agents { into: into.to_owned(), at }.into());
    }
    if let Some(other) = all.next() {
        return Err(Error::Twice { into: into.to_owned(), one: at, other }.into());
    }
    let checkout = Repository::require(&house.git()?, &at)?;
    ground::alone_at(house, checkout.work_dir(), AgentId(Uuid::nil()))?;
    Ok(Some(checkout))
}

/// Puts on record that the target was moved by somebody who died before that was said, or takes back what they had moved by half.
fn settle_move(house: &House, repository: &Repository, book: &mut Book) -> Result<()> {
    let Some((item, moving)) = moving(&book.run) else { return Ok(()) };
    let moving = moving.clone();
    // Without a target nothing was moved on.
    if let Some(tip) = repository.branch(&book.run.spec.into)?
        && begun(house, repository, &book.run, &tip)? == Begun::Whole
    {
        let_go(house, repository, &book.run)?;
        return book.write(&Entry::Moved { item, to: moving.to });
    }
    take_back(house, repository, book, item, &moving)
}

/// What is found of the move that was begun last.
fn begun(house: &House, repository: &Repository, run: &Run, tip: &CommitId) -> Result<Begun> {
    let Some((_, moving)) = moving(run) else { return Ok(Begun::Open) };
    if let Some(to) = CommitId::parse(&moving.to)
        && merge::holds(repository, tip, &to)?
    {
        return Ok(Begun::Whole);
    }
    if moving.at.is_none() {
        return Ok(Begun::Open);
    }
    let is_there = match at(house, repository, moving)? {
        Some(checkout) => merge::is_on(&checkout, &run.spec.into)?,
        None => false,
    };
    Ok(if is_there { Begun::Open } else { Begun::Astray })
}

/// The checkout of a move that was begun, if it is still there and of this repository.
fn at(house: &House, repository: &Repository, moving: &Moving) -> Result<Option<Repository>> {
    let Some(path) = &moving.at else { return Ok(None) };
    if !file::is_dir(path)? {
        return Ok(None);
    }
    let found = Repository::discover(&house.git()?, path)?;
    Ok(found.filter(|found| found.common_dir() == repository.common_dir() && found.work_dir() == path))
}

/// Has the files of a move that was cut off be what they were.
fn take_back(
    house: &House,
    repository: &Repository,
    book: &mut Book,
    item: usize,
    moving: &Moving,
) -> Result<()> {
    let commit = |id: &String| {
        let answer = || git::Error::Answer { doing: "read the journal of a merge", answer: id.clone() };
        CommitId::parse(id).ok_or_else(answer)
    };
    let (from, to) = (commit(&moving.from)?, commit(&moving.to)?);
    if let Some(checkout) = at(house, repository, moving)? {
        let run = book.run.spec.id.to_string();
        let moved = merge::take_move_back(&checkout, merge::Step { run: &run, from: &from, to: &to })?;
        require(&checkout, &from, moved)?;
    }
    book.write(&Entry::NotMoved { item })
}

/// Gives back what is held of the checkout of a move that was done by somebody who died behind it.
fn let_go(house: &House, repository: &Repository, run: &Run) -> Result<()> {
    let Some((_, moving)) = moving(run) else { return Ok(()) };
    if let Some(checkout) = at(house, repository, moving)?
        && !merge::let_go(&checkout, &run.spec.id.to_string())?
    {
        return Err(Error::Busy(checkout.work_dir().to_owned()).into());
    }
    Ok(())
}

/// Takes away what a run needed: processes, the place of its tests, the refs that kept what it made.
fn tidy(house: &House, repository: &Repository, spec: &Spec) -> Result<()> {
    end_tests(spec.id)?;
    let place: &Path = &house.settings.places.merge_tests(&spec.project, spec.id);
    // Whoever died while that was removed may have left git's entry of it.
    if spec.items.iter().any(|item| item.validate.is_some()) {
        let _guard = house.alone_in(&spec.project)?;
        merge::remove_test_place(repository, place)?;
    }
    let (env, common) = (house.git()?, repository.common_dir());
    for (name, commit, _) in rescue::list(&env, common, &format!("refs/ai_orch/merge/{}", spec.id))? {
        rescue::delete(&env, common, &name, &commit)?;
    }
    Ok(())
}
