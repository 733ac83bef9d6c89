//! The keeper: one process per agent, in the pane of its session. It runs the chain, and it is the only writer of the
//! agent's journal and board entry while it lives.
//!
//! Its loop is small on purpose: ask [`rules::next`](crate::rules::next) what follows from the journal, do it, put it on
//! record. A keeper that takes over from a dead one runs the same loop on the same journal, after fencing.

use crate::a2a::look::AGENT;
use crate::a2a::record::{self, Pen};
use crate::a2a::{identity, registry, root};
use crate::agents::Catalogue;
use crate::life::session::UMASK;
use crate::life::{self, House, family, fence, half_started, outfit, work};
use crate::model::entry::{Changes, Ending, Entry, Final, Turn};
use crate::model::failure::{Class, Failure};
use crate::model::ids::Party;
use crate::model::places::Record;
use crate::model::project_file::NotLinked;
use crate::rules::next::{self, Step};
use crate::rules::wording::{self, Tone};
use crate::settings::environment::Environment;
use crate::tools::lock::Lock;
use crate::tools::{clock, file, process, runtime, thread};
use board::Board;
use children::Children;
use senses::{Senses, Stop};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use supervise::{detach, sweep, swept};
use tokio::sync::oneshot;
use view::{Key, View};

/// How long a program may take to end when what it does is broken off.
const BREAK_GRACE: Duration = Duration::from_secs(2);
/// How long after that one looks whether another one was started.
const BREAK_LOOK: Duration = Duration::from_millis(50);

mod attempt;
mod board;
mod child;
mod children;
mod deliver;
mod door;
mod guard;
mod leases;
mod lost;
mod play;
mod pool;
mod reach;
mod senses;
mod stub;
mod supervise;
mod validate;
mod view;

pub use door::called_as;
pub use pool::make_ready;
pub use stub::exec;

/// What a keeper works with.
struct Keeper {
    house: House,
    catalogue: Catalogue,
    record: Record,
    pen: Pen,
    board: Board,
    view: View,
    senses: Senses,
    children: Children,
    /// The agent's environment.
    environment: Environment,
    /// What its attempts show to be known as the agent.
    token: String,
    /// What is in the worktree, as far as nothing has happened since somebody looked.
    known: Option<Changes>,
    /// The last attempt that was made by this keeper, and not by one that died.
    seen: Option<u32>,
    /// When the time allowed for the task is over, and how much it is.
    timeout: Option<(Instant, Duration)>,
    // Released last, when everything is on record.
    #[expect(dead_code, reason = "held for its lock")]
    root_hold: Option<Lock>,
    #[expect(dead_code, reason = "held for its lock")]
    lock: Lock,
}

/// Runs `__keep <record>`: keeps the agent of this record until it has ended.
pub fn keep(record: &Path) -> ExitCode {
    let record = Record(record.to_owned());
    log_to(&record);
    let runtime = match runtime::runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "no runtime");
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(async {
        let mut keeper = Keeper::take_over(&record)?;
        let spec = &keeper.pen.agent.spec;
        let party = Party::Worker(spec.session.clone());
        let places = keeper.house.settings.places.clone();
        let leases = leases::keep(places, spec.project.clone(), party, record.clone());
        let leases = tokio::spawn(leases);
        let ended = keeper.run().await;
        leases.abort();
        if let Err(error) = file::remove(&record.bell()) {
            tracing::warn!(%error, "the bell could not be taken away");
        }
        keeper.leave().await;
        ended
    });
    // A thread that waits for a hung helper must not keep the session open.
    runtime.shutdown_timeout(Duration::from_secs(1));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the keeper ends without an end of its agent");
            ExitCode::FAILURE
        }
    }
}

fn log_to(record: &Record) {
    let Ok(file) = file::append(&record.keeper_log()) else { return };
    let subscriber = tracing_subscriber::fmt()
        .with_writer(std::sync::Mutex::new(file))
        .with_ansi(false)
        .with_max_level(tracing::Level::INFO)
        .finish();
    // Already set only if a keeper were run twice in one process, which nothing does.
    tracing::subscriber::set_global_default(subscriber).ok();
}

impl Keeper {
    /// Takes the agent over: its lock, its journal, and whatever an earlier keeper left running.
    fn take_over(record: &Record) -> life::Result<Self> {
        let lock = record::take(record)?;
        let mut house = House::load()?;
        let umask = house
            .settings
            .environment
            .value(UMASK)
            .and_then(|mask| u32::from_str_radix(mask.to_str()?, 8).ok());
        if let Some(umask) = umask {
            process::set_umask(umask);
        }
        let places = house.settings.places.clone();
        let mut pen = Pen::open(record, &lock)?;
        if pen.agent.newer {
            // What comes next is decided by what is on record, and part of it we do not understand.
            return Err(crate::a2a::Error::Newer { path: record.0.clone() }.into());
        }
        // Our git commands carry the agent's mark as well: one that outlives us is found and ended like the agent.
        house.settings.environment.set(AGENT, pen.agent.spec.id.to_string());
        house.sweep_scratch();
        let catalogue = house.catalogue()?;
        // Whatever an agent leaves behind, however it tries, becomes a child of ours.
        rustix::process::set_child_subreaper(rustix::process::Pid::from_raw(1)).map_err(|e| {
            process::Error { action: "become the reaper of the agent's processes".into(), source: e.into() }
        })?;
        let senses = Senses::listen(record)
            .map_err(|source| process::Error { action: "listen to signals".into(), source })?;
        root::prepare(&places.root, house.settings.uid)?;
        let root_hold = root::hold(&places.root).ok();
        let mut environment = agent_environment(&house, record)?;
        if pen.agent.conclusion.is_none() {
            outfit::take_ports(&house, &mut pen)?;
        }
        for (name, value) in outfit::variables(&pen.agent) {
            environment.set(name, value);
        }
        let children = Children::listen(record, house.settings.program.clone(), &environment)
            .map_err(|source| process::Error { action: "listen to requests".into(), source })?;
        if pen.agent.was_kept && pen.agent.conclusion.is_none() {
            fence::fence(&mut pen)?;
            take_in_lost(&mut pen, record)?;
        }
        pen.note(Entry::Started { keeper: process::me()? })?;
        // Whatever an attempt before had is worth nothing from here on.
        let token = identity::issue(record)?;
        let timeout = time_left(&pen);
        let view = View::open(pen.agent.spec.session.as_str());
        let board = Board::new(&places, &pen.agent);
        if let Err(error) = registry::post(&places, &pen.agent.spec) {
            tracing::warn!(%error, "the card could not be posted");
        }
        Ok(Self {
            house,
            catalogue,
            record: record.clone(),
            pen,
            board,
            view,
            senses,
            children,
            environment,
            token,
            known: None,
            seen: None,
            timeout,
            root_hold,
            lock,
        })
    }

    /// Does step after step until the agent has ended or the keeper is asked to stop.
    async fn run(&mut self) -> life::Result<()> {
        self.greet();
        loop {
            if let Some(stop) = self.senses.asked().await {
                return self.stopped(&stop).await;
            }
            if !self.settle().await? {
                continue;
            }
            let step = next::next(&self.pen.agent);
            tracing::info!(?step, "next");
            // A link that an agent left in place of its worktree may lead to the user's checkout.
            if matches!(step, Step::Link | Step::SetUp | Step::Attempt { .. } | Step::Validate { .. })
                && let Err(error) = work::in_place(&self.pen.agent)
            {
                return self.end(Final::Failed, Some(Failure::new(Class::Git, error.to_string()))).await;
            }
            let done = match step {
                Step::Fill => self.fill().await,
                Step::Link => self.link().await,
                Step::SetUp => self.set_up().await,
                Step::Attempt { n, link, turn } => self.attempt(n, link, turn).await,
                Step::Rescue { n } => self.rescue(n).await,
                Step::Guard { n } => self.guard(n).await,
                Step::Commit { n } => self.commit(n).await,
                Step::Validate { n } => self.validate(n).await,
                Step::Deliver { n } => self.deliver(n).await,
                Step::End { state, failure } => return self.end(state, failure).await,
            };
            if let Err(error) = done {
                self.note_interruption(&error.to_string());
                return Err(error);
            }
            self.board.update(&self.pen.agent, None);
        }
    }

    /// Answers every request for a child that is left; false if the keeper was asked to stop meanwhile.
    async fn settle(&mut self) -> life::Result<bool> {
        loop {
            self.children.look(&mut self.pen)?;
            if !self.children.at_work() {
                return Ok(true);
            }
            tokio::select! {
                () = self.children.news() => {}
                _ = self.senses.stop(0) => {
                    self.children.broken_off();
                    swept(&mut Some(sweep(BREAK_GRACE))).await;
                    return Ok(false);
                }
                key = self.view.key() => self.pressed(key),
            }
        }
    }

    fn greet(&mut self) {
        let spec = &self.pen.agent.spec;
        let lines = [
            format!("{}  {}", spec.session, spec.title),
            wording::works_on(spec.place, &spec.branch, &spec.worktree),
            "q leaves it running, ? helps".to_owned(),
        ];
        for line in lines {
            self.view.line(Tone::Note, &crate::model::text::Shown(&line).to_string());
        }
    }

    /// Does `work`, which starts programs and may take minutes, on a thread of its own, while the pane stays answered; `None`: the
    /// keeper was asked to stop, which `work` is told, and the programs were ended.
    async fn breakable<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&AtomicBool) -> life::Result<T> + Send + 'static,
    ) -> Option<life::Result<T>> {
        let broken_off = Arc::new(AtomicBool::new(false));
        let told = broken_off.clone();
        let mut working = thread::aside(move || work(&told));
        let mut sweeping = None;
        let mut stopped = false;
        let mut again = None;
        let done = loop {
            tokio::select! {
                done = &mut working => break finished(done),
                _ = self.senses.stop(0), if !stopped => {
                    stopped = true;
                    broken_off.store(true, Ordering::Relaxed);
                    sweeping = Some(sweep(BREAK_GRACE));
                }
                _ = swept(&mut sweeping), if sweeping.is_some() => {
                    sweeping = None;
                    // A program may just have been started by whoever had not been told yet.
                    again = clock::tick().checked_add(BREAK_LOOK);
                }
                () = clock::at(again), if again.is_some() => {
                    again = None;
                    sweeping = Some(sweep(BREAK_GRACE));
                }
                key = self.view.key() => self.pressed(key),
            }
        };
        if stopped {
            swept(&mut sweeping.or_else(|| Some(sweep(BREAK_GRACE)))).await;
            return None;
        }
        Some(done)
    }

    async fn fill(&mut self) -> life::Result<()> {
        let (house, agent, record) = (self.house.clone(), self.pen.agent.clone(), self.record.clone());
        // Nothing in a half filled tree is the agent's work yet.
        let filled = self.breakable(move |stop| work::fill(&house, &agent, &record, stop)).await;
        let Some(filled) = filled else { return Ok(()) };
        match filled {
            Ok(filled) => {
                let spec = &self.pen.agent.spec;
                let nothing = || Changes { tip: Some(spec.base.clone()), ..Changes::default() };
                self.known = spec.place.is_in_repository().then(nothing);
                pool::soon(&self.house, &self.record, filled.as_ref());
                Ok(self.pen.note(Entry::Ready { filled })?)
            }
            Err(life::Error::Git(error)) => {
                self.conclude(Final::Failed, Some(Failure::new(Class::Git, error.to_string()))).await
            }
            Err(error) => Err(error),
        }
    }

    async fn link(&mut self) -> life::Result<()> {
        let (house, agent) = (self.house.clone(), self.pen.agent.clone());
        let links = match self.aside(move || outfit::link(&house, &agent)).await {
            Ok(links) => links,
            Err(life::Error::Git(error)) => {
                let failure = Failure::new(Class::Git, error.to_string());
                return self.conclude(Final::Failed, Some(failure)).await;
            }
            Err(error) => return Err(error),
        };
        for NotLinked { path, why } in &links.left_out {
            self.view.line(Tone::Bad, &crate::model::text::fit(&format!("not linked: {path}: {why}"), 300));
        }
        Ok(self.pen.note(Entry::Linked { links })?)
    }

    /// Saves what attempt `n` left, before anything else can touch it.
    async fn rescue(&mut self, n: u32) -> life::Result<()> {
        let (house, agent, record) = (self.house.clone(), self.pen.agent.clone(), self.record.clone());
        let entry = self.aside(move || Ok(work::rescue(&house, &agent, &record, n))).await?;
        if let Entry::Rescued { why: Some(why), .. } = &entry {
            self.view.line(Tone::Bad, &crate::model::text::fit(&format!("not saved: {why}"), 300));
        }
        if let Entry::Rescued { left, crossed, .. } = &entry {
            for what in left {
                self.view.line(Tone::Bad, &crate::model::text::fit(&format!("not saved: {what}"), 300));
            }
            for one in crossed {
                self.view.line(Tone::Bad, &wording::crossed(one, false));
            }
        }
        Ok(self.pen.write(entry)?)
    }

    async fn commit(&mut self, n: u32) -> life::Result<()> {
        let (house, agent, record) = (self.house.clone(), self.pen.agent.clone(), self.record.clone());
        let committed = match self.aside(move || work::commit(&house, &agent, &record)).await {
            Ok(committed) => committed,
            // The work stays in the worktree, but it is not on the branch: that is no good end, whatever the CLI said.
            // Nothing says "committed", so whoever takes over from us tries again.
            Err(life::Error::Git(error)) => {
                let why = format!("what the agent left could not be committed: {error}");
                return self.conclude(Final::Failed, Some(Failure::new(Class::Git, why))).await;
            }
            Err(error) => return Err(error),
        };
        if let Some(why) = &committed.skipped {
            self.view.line(Tone::Bad, &crate::model::text::fit(&format!("not committed: {why}"), 300));
        }
        self.known = None;
        Ok(self.pen.write(Entry::Committed { n, commit: committed.commit, skipped: committed.skipped })?)
    }

    /// The keeper was asked to stop between two steps, or an attempt was stopped for the same reason.
    async fn stopped(&mut self, stop: &Stop) -> life::Result<()> {
        match stop {
            // Whoever killed it before we came to life has put that on record.
            Stop::Killed if self.pen.agent.conclusion.is_some() => {}
            Stop::Killed => {
                if let Some(n) = next::unsaved(&self.pen.agent) {
                    self.rescue(n).await?;
                }
                if let Some(n) = next::unguarded(&self.pen.agent) {
                    self.guard(n).await?;
                }
                self.settle_children().await?;
                let places = &self.house.settings.places;
                family::tell_parent(places, &self.pen.agent, Final::Killed, None, None);
                self.pen.write(Entry::Ended { state: Final::Killed, failure: None, changes: None })?;
                self.board.update(&self.pen.agent, None);
            }
            Stop::Interrupted(why) => self.note_interruption(why),
        }
        Ok(())
    }

    /// Whoever was starting a child has been ended: the child is there, or it never was.
    async fn settle_children(&mut self) -> life::Result<()> {
        let (house, record, agent) = (self.house.clone(), self.record.clone(), self.pen.agent.clone());
        let settled = self.aside(move || Ok(half_started::settle(&house, &record, &agent))).await?;
        half_started::put_on_record(&mut self.pen, &self.record, settled)
    }

    fn note_interruption(&mut self, why: &str) {
        if let Err(error) = self.pen.write(Entry::Interrupted { why: why.to_owned() }) {
            tracing::error!(%error, why, "the interruption could not be put on record");
        }
    }

    async fn end(&mut self, state: Final, failure: Option<Failure>) -> life::Result<()> {
        self.conclude(state, failure).await?;
        self.say_goodbye();
        Ok(())
    }

    /// The last thing a keeper does, however it ends: nothing of ours stays behind a last session, the server neither.
    async fn leave(&mut self) {
        if let Err(error) = identity::revoke(&self.record) {
            tracing::warn!(%error, "the token could not be taken back");
        }
        let (tmux, session) = (self.house.tmux.clone(), self.pen.agent.spec.session.clone());
        if let Err(error) = self.aside(move || Ok(tmux.end_with(&session)?)).await {
            tracing::warn!(%error, "the tmux server could not be ended with its last session");
        }
    }

    /// Runs `work`, which waits for helper programs, while the pane stays answered. Signals wait for its end.
    async fn aside<T: Send + 'static>(
        &mut self,
        work: impl FnOnce() -> life::Result<T> + Send + 'static,
    ) -> life::Result<T> {
        self.done_aside(thread::aside(work)).await
    }

    /// Waits for work that was begun, in the same way.
    async fn done_aside<T>(&mut self, mut working: oneshot::Receiver<life::Result<T>>) -> life::Result<T> {
        loop {
            tokio::select! {
                done = &mut working => return finished(done),
                key = self.view.key() => self.pressed(key),
            }
        }
    }

    fn pressed(&self, key: Key) {
        match key {
            Key::Detach => detach(&self.house.tmux, &self.pen.agent.spec.session),
            // The hang-up signal comes as well, and says the same.
            Key::Gone => {}
        }
    }

    /// Puts the end on record, with what is on the branch.
    async fn conclude(&mut self, state: Final, failure: Option<Failure>) -> life::Result<()> {
        if self.pen.agent.conclusion.is_none() {
            let (house, agent) = (self.house.clone(), self.pen.agent.clone());
            let changes = self.aside(move || work::changes(&house, &agent)).await;
            let changes = changes.unwrap_or_else(|error| {
                tracing::warn!(%error, "could not look at the branch");
                None
            });
            let places = &self.house.settings.places;
            family::tell_parent(places, &self.pen.agent, state, failure.as_ref(), changes.as_ref());
            self.pen.write(Entry::Ended { state, failure, changes: changes.clone() })?;
            self.board.update(&self.pen.agent, changes);
        }
        Ok(())
    }

    fn say_goodbye(&mut self) {
        let Some(end) = &self.pen.agent.conclusion else { return };
        let session = &self.pen.agent.spec.session;
        let text = match (&end.state, &end.failure) {
            (Final::Done, _) => format!("done. See it: ai_orch diff {session}"),
            (Final::Killed, _) => "killed".to_owned(),
            (Final::Failed, Some(failure)) => format!("failed ({}): {}", failure.class, failure.message),
            (Final::Failed, None) => "failed".to_owned(),
        };
        let tone = if end.state == Final::Done { Tone::Good } else { Tone::Bad };
        self.view.line(tone, &crate::model::text::Shown(&text).to_string());
    }

    /// The turn of the conversation that attempt `n` begins, in words for the pane.
    fn announce(&mut self, n: u32, cli: &str, turn: Turn) {
        let why = match turn {
            Turn::Task => "begins",
            Turn::Handover => "takes over",
            Turn::Repair => "repairs what the validation found",
            Turn::Resume => "goes on",
            Turn::Continue => "goes on with a new task",
        };
        self.view.line(Tone::Note, &format!("attempt {n}: {cli} {why}"));
    }
}

/// The environment that the verb left for the agent; it is removed once read, because values may be secret. A keeper that
/// takes over finds none, and gives the agent its own.
fn agent_environment(house: &House, record: &Record) -> life::Result<Environment> {
    match file::read(&record.env())? {
        Some(bytes) => {
            file::remove(&record.env())?;
            Ok(Environment::from_bytes(&bytes))
        }
        None => Ok(house.settings.environment.for_agent()),
    }
}

/// Puts the end of an attempt on record whose keeper went away: that it was interrupted, and what is known of what it spent
/// and of its conversation, from the events that were kept.
fn take_in_lost(pen: &mut Pen, record: &Record) -> life::Result<()> {
    let Some(lost) = pen.agent.last_attempt().filter(|a| a.ended.is_none()).cloned() else { return Ok(()) };
    let kept = crate::tools::spool::read(&record.attempt(lost.n).events())?;
    let events = kept.map(|kept| lost::recall(&kept)).unwrap_or_default();
    if let (None, Some((id, model))) = (&lost.conversation, &events.conversation) {
        pen.note(Entry::Conversation { n: lost.n, id: id.clone(), model: model.clone() })?;
    }
    let message = "its keeper went away".to_owned();
    Ok(pen.write(Entry::AttemptEnded {
        n: lost.n,
        ending: Ending::Failed { failure: Failure::new(Class::Interrupted, message) },
        exit: None,
        signal: None,
        usage: events.usage,
        ms: events.last.map_or(0, |last| last.millis_since(lost.started)),
        answer: events.answer,
    })?)
}

/// The time allowed for the task of this round, less what its attempts and validations took.
fn time_left(pen: &Pen) -> Option<(Instant, Duration)> {
    let agent = &pen.agent;
    let allowed = Duration::from_millis(agent.spec.timeout_ms?);
    let first = agent.round_attempts().first().map_or(u32::MAX, |a| a.n);
    let attempts = agent.round_attempts().iter().filter_map(|a| a.ended.as_ref()).map(|e| e.ms);
    let validations = agent.validations.iter().filter(|v| v.n >= first).map(|v| v.ms);
    let set_up = agent.set_up.iter().filter(|done| done.round == agent.round).map(|done| done.ms);
    let used = Duration::from_millis(attempts.chain(validations).chain(set_up).sum());
    Some((clock::tick().checked_add(allowed.saturating_sub(used))?, allowed))
}

/// What came of a step on a thread of its own.
fn finished<T>(done: Result<life::Result<T>, oneshot::error::RecvError>) -> life::Result<T> {
    match done {
        Ok(done) => done,
        Err(error) => {
            Err(process::Error { action: "finish a step".into(), source: std::io::Error::other(error) }
                .into())
        }
    }
}
