//! The agents that this one asks for: decided here, because the keeper is the one who counts, and started by a process of ours.
//!
//! One at a time. What is to be started is on record before it is, under an id of its own, and the process that starts it
//! finds what another one before it did. So a keeper that takes over does the same again, and there is one child for each
//! request.

use crate::a2a::record::{self, Pen};
use crate::a2a::{self, identity};
use crate::model::delegation::{Start, Wanted};
use crate::model::entry::Entry;
use crate::model::ids::{AgentId, Session};
use crate::model::places::Record;
use crate::model::report::{ErrorBody, ErrorReport};
use crate::rules::delegation::{self, Decision};
use crate::settings::environment::Environment;
use crate::tools::program::{self, Output, Program};
use crate::tools::{clock, file, process, thread};
use std::cell::RefCell;
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot::Receiver;
use uuid::Uuid;

/// How long the start of a child may take: longer than each of its steps may wait.
const LIMIT: Duration = Duration::from_mins(4);

/// What came of the process that starts a child.
type Ended = Result<Output, program::Error>;

/// The children of an agent, as its keeper deals with them.
pub(super) struct Children {
    record: Record,
    program: PathBuf,
    /// The agent's environment: its children get the same.
    environment: Vec<u8>,
    bell: Signal,
    /// The child that is being started.
    at_work: Option<(AgentId, Receiver<Ended>)>,
    /// One whose start has ended, and what came of it; nothing, if its thread went away.
    ended: Option<(AgentId, Option<Ended>)>,
}

/// What deals with children while a program of the agent runs.
pub(super) struct Nursery<'a, 'p> {
    /// The children.
    pub children: &'a mut Children,
    /// The journal.
    pub pen: &'a RefCell<&'p mut Pen>,
}

impl Children {
    /// Hears requests from now on.
    pub(super) fn listen(record: &Record, program: PathBuf, environment: &Environment) -> io::Result<Self> {
        Ok(Self {
            record: record.clone(),
            program,
            environment: environment.to_bytes(),
            bell: signal(SignalKind::from_raw(process::BELL.as_raw()))?,
            at_work: None,
            ended: None,
        })
    }

    /// Whether a child is being started.
    pub(super) fn at_work(&self) -> bool {
        self.at_work.is_some()
    }

    /// Whoever starts a child is being ended with everything else that runs here: the next look begins again.
    pub(super) fn broken_off(&mut self) {
        self.at_work = None;
        self.ended = None;
    }

    /// Completes when there is something for [`Self::look`] to do. Can be dropped at any await.
    pub(super) async fn news(&mut self) {
        let Some((id, starting)) = &mut self.at_work else {
            self.bell.recv().await;
            return;
        };
        // Who rings meanwhile is heard when the child is there.
        let ended = starting.await.ok();
        self.ended = Some((*id, ended));
        self.at_work = None;
    }

    /// Puts on record what came of the last start, and begins the next one if something is asked for.
    pub(super) fn look(&mut self, pen: &mut Pen) -> a2a::Result<()> {
        if let Some((id, ended)) = self.ended.take() {
            self.finish(pen, id, ended)?;
        }
        if self.at_work.is_some() || pen.agent.spec.may_start.is_none() {
            return Ok(());
        }
        let begun =
            |pen: &Pen| pen.agent.children.iter().find(|child| child.start == Start::Begun).map(|c| c.id);
        for name in file::names(&self.record.wanted())?.unwrap_or_default() {
            if begun(pen).is_some() {
                break;
            }
            // Locks lie there as well.
            if let Some(key) = name.to_str().and_then(|name| name.parse().ok()) {
                self.decide(pen, key)?;
            }
        }
        if let Some(id) = begun(pen) {
            self.start(id);
        }
        Ok(())
    }

    /// Answers the request `key`, or puts on record that its child is to be started.
    fn decide(&self, pen: &mut Pen, key: Uuid) -> a2a::Result<()> {
        let path = self.record.wanted_one(key);
        let read = match file::read(&path) {
            Ok(read) => read,
            Err(error) => {
                // Whoever put that there gets no answer, and holds nobody up.
                tracing::warn!(%key, %error, "a request cannot be read");
                return Ok(());
            }
        };
        let wanted: Option<Wanted> = read.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let Some(wanted) = wanted.filter(|wanted| wanted.key == key) else {
            tracing::warn!(%key, "a request is not what an agent of ours writes");
            return Ok(file::remove(&path).map(drop)?);
        };
        match delegation::decide(&pen.agent, &wanted) {
            Ok(Decision::Start { agents, usd }) => {
                let child = self.left_over(pen, key)?.unwrap_or_else(|| AgentId(clock::new_id()));
                return pen.write(Entry::ChildBegun { key, child, agents, usd });
            }
            Ok(Decision::Known) => {}
            Err(refused) => {
                identity::refused(&self.record, &refused.to_string());
                let (child, error) = (AgentId(clock::new_id()), refused.body());
                pen.write(Entry::ChildNotStarted { key, child, error })?;
            }
        }
        file::remove(&path)?;
        Ok(())
    }

    /// The id that an earlier start for the same request failed with, if nothing but a name can have come of it, which is its
    /// to use.
    fn left_over(&self, pen: &Pen, key: Uuid) -> a2a::Result<Option<AgentId>> {
        let Some(id) = pen.agent.children.iter().find(|child| child.key == key).map(|child| child.id) else {
            return Ok(None);
        };
        Ok(record::load(&self.record_of(id))?.is_none().then_some(id))
    }

    fn record_of(&self, id: AgentId) -> Record {
        Record(self.record.0.with_file_name(id.to_string()))
    }

    fn start(&mut self, id: AgentId) {
        let start = Program::new(&self.program)
            .arg("__spawn")
            .arg(&self.record.0)
            .arg(id.to_string())
            .stdin(self.environment.clone())
            .limit(LIMIT);
        self.at_work = Some((id, thread::aside(move || start.run())));
    }

    fn finish(&self, pen: &mut Pen, id: AgentId, ended: Option<Ended>) -> a2a::Result<()> {
        let Some(child) = pen.agent.children.iter().find(|child| child.id == id) else { return Ok(()) };
        let key = child.key;
        let error = match ended {
            Some(Ok(output)) if output.status.success() => {
                let said = String::from_utf8_lossy(&output.stdout).trim().parse::<Session>();
                match said {
                    Ok(session) => {
                        pen.write(Entry::ChildStarted { child: id, session })?;
                        file::remove(&self.record.wanted_one(key))?;
                        return Ok(());
                    }
                    Err(error) => body(&error.to_string()),
                }
            }
            Some(Ok(output)) => {
                let last = output.stderr.trim_ascii().rsplit(|b| *b == b'\n').next().unwrap_or_default();
                match serde_json::from_slice::<ErrorReport>(last) {
                    Ok(report) => report.error,
                    Err(_) => body(&output.failure().to_string()),
                }
            }
            Some(Err(error)) => body(&error.to_string()),
            None => body("whoever was to start it went away"),
        };
        // However its start ended: a child that is on record is there, and counts.
        let there = record::load(&self.record_of(id))?;
        pen.write(match there.filter(|child| child.not_created.is_none()) {
            Some(child) => Entry::ChildStarted { child: id, session: child.spec.session },
            None => Entry::ChildNotStarted { key, child: id, error },
        })?;
        file::remove(&self.record.wanted_one(key))?;
        Ok(())
    }
}

fn body(message: &str) -> ErrorBody {
    ErrorBody { code: "not_started".to_owned(), message: message.to_owned(), hint: None }
}
