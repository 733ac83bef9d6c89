//! What reaches a keeper from outside: signals, and the request to stop that explains them.

use crate::model::places::Record;
use crate::tools::{file, process};
use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Why the keeper has to stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stop {
    /// Somebody typed `ai_orch kill`.
    Killed,
    /// The session was closed, or the system goes down.
    Interrupted(&'static str),
}

/// The signals of this process.
#[derive(Debug)]
pub(super) struct Senses {
    record: Record,
    terminate: Signal,
    hang_up: Signal,
    interrupt: Signal,
    child: Signal,
    /// Once asked to stop, the keeper stays asked.
    asked: Option<Stop>,
}

impl Senses {
    /// Listens from now on. None of these signals ends the process any more.
    pub(super) fn listen(record: &Record) -> io::Result<Self> {
        Ok(Self {
            record: record.clone(),
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            child: signal(SignalKind::child())?,
            asked: None,
        })
    }

    /// Waits until the keeper is asked to stop. `own` is the child it waits for itself; other children that end are
    /// daemons the agent left, and are collected here.
    pub(super) async fn stop(&mut self, own: i32) -> Stop {
        loop {
            let why = tokio::select! {
                _ = self.terminate.recv() => "it was told to end",
                _ = self.hang_up.recv() => "its tmux session was closed",
                _ = self.interrupt.recv() => "it was told to end",
                _ = self.child.recv() => {
                    process::reap_orphans(&[own]);
                    continue;
                }
            };
            return self.remember(why);
        }
    }

    /// Whether the keeper was asked to stop, without waiting. To be called between steps.
    pub(super) async fn asked(&mut self) -> Option<Stop> {
        if self.asked.is_none() {
            tokio::select! {
                biased;
                stop = self.stop(0) => return Some(stop),
                () = tokio::task::yield_now() => {}
            }
            if matches!(file::ownership(&self.record.stop()), Ok(Some(_))) {
                return Some(self.remember("it was told to end"));
            }
        }
        self.asked.clone()
    }

    fn remember(&mut self, why: &'static str) -> Stop {
        // The signal is only the bell; what was asked for is in the file, which survives us.
        let killed = matches!(file::ownership(&self.record.stop()), Ok(Some(_)));
        let stop = if killed { Stop::Killed } else { Stop::Interrupted(why) };
        self.asked = Some(stop.clone());
        stop
    }
}
