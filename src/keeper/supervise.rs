//! Watching a child until nothing of it is left: its output drained, its time kept, its whole family ended.

use super::child::Running;
use super::children::Nursery;
use super::senses::{Senses, Stop};
use super::view::{Key, View};
use crate::model::ids::Session;
use crate::tmux::Server;
use crate::tools::{clock, process, thread};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt;
use tokio::sync::oneshot::Receiver;

/// How long what the child left running gets to end by itself.
const LEFTOVER_GRACE: Duration = Duration::from_millis(500);
/// How long killed processes may take to be gone.
const KILL_LIMIT: Duration = Duration::from_secs(20);
/// How long the pipes may stay open when nobody of the family is left: somebody else's process holds them.
const PIPE_LIMIT: Duration = Duration::from_secs(2);
const CHUNK: usize = 64 << 10;

/// Takes what a child prints, and says how long it may go on.
pub(super) trait Sink {
    /// Standard output came.
    fn out(&mut self, bytes: &[u8], view: &mut View);
    /// Standard error came.
    fn err(&mut self, bytes: &[u8], view: &mut View);
    /// When [`Self::due`] wants to be called.
    fn deadline(&self) -> Option<Instant>;
    /// The deadline is there. True: the child must be stopped.
    fn due(&mut self, now: Instant, view: &mut View) -> bool;
    /// The keeper was asked to stop.
    fn asked(&mut self, stop: Stop, view: &mut View);
    /// How long the child may take to end when it is stopped.
    fn grace(&self) -> Duration;
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exit {
    /// Its exit code.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Whether nothing of its family is left.
    pub clean: bool,
}

pub(super) type Sweep = Receiver<process::Result<(Vec<crate::model::ids::ProcessId>, bool)>>;

/// Ends every descendant of this process. On a thread of its own, because the pipes must be drained meanwhile.
pub(super) fn sweep(grace: Duration) -> Sweep {
    thread::aside(move || process::end_all(process::descendants, grace, KILL_LIMIT))
}

/// Whether everything was ended; never, if nothing is being ended.
pub(super) async fn swept(sweep: &mut Option<Sweep>) -> bool {
    match sweep {
        Some(task) => matches!(task.await, Ok(Ok((_, true)))),
        None => std::future::pending().await,
    }
}

/// Watches `running` until it and everything it started have ended and all they printed was taken.
pub(super) async fn supervise(
    running: &mut Running,
    sink: &mut impl Sink,
    senses: &mut Senses,
    view: &mut View,
    tmux: &Server,
    session: &Session,
    nursery: &mut Nursery<'_, '_>,
) -> io::Result<Exit> {
    let pid = running.process.pid;
    let (child, stdout, stderr) = running.parts();
    let (mut out, mut err) = (vec![0; CHUNK], vec![0; CHUNK]);
    let (mut out_open, mut err_open) = (true, true);
    let mut status: Option<ExitStatus> = None;
    let mut sweeping: Option<Sweep> = None;
    let mut clean: Option<bool> = None;
    let mut pipe_limit: Option<Instant> = None;
    loop {
        if status.is_some() && clean.is_some() && !out_open && !err_open {
            break;
        }
        // A child that is being started is not cut off because its parent is done.
        if status.is_some() && sweeping.is_none() && clean.is_none() && !nursery.children.at_work() {
            sweeping = Some(sweep(LEFTOVER_GRACE));
        }
        let ending = sweeping.is_some() || clean.is_some();
        if ending {
            nursery.children.broken_off();
        }
        let deadline = if status.is_none() && sweeping.is_none() { sink.deadline() } else { None };
        tokio::select! {
            n = stdout.read(&mut out), if out_open => {
                let n = n.unwrap_or(0);
                out_open = n > 0;
                sink.out(out.get(..n).unwrap_or_default(), view);
            }
            n = stderr.read(&mut err), if err_open => {
                let n = n.unwrap_or(0);
                err_open = n > 0;
                sink.err(err.get(..n).unwrap_or_default(), view);
            }
            ended = Running::ended(child), if status.is_none() => {
                status = Some(ended?);
            }
            () = nursery.children.news(), if !ending => {
                if let Err(error) = nursery.children.look(&mut nursery.pen.borrow_mut()) {
                    tracing::error!(%error, "a request for a child could not be answered");
                }
            }
            gone = swept(&mut sweeping), if sweeping.is_some() => {
                sweeping = None;
                clean = Some(gone);
                pipe_limit = Some(clock::tick() + PIPE_LIMIT);
            }
            stop = senses.stop(pid), if status.is_none() || !ending => {
                sink.asked(stop, view);
                if sweeping.is_none() && clean.is_none() {
                    sweeping = Some(sweep(sink.grace()));
                }
            }
            () = clock::at(deadline) => {
                if sink.due(clock::tick(), view) {
                    sweeping = Some(sweep(sink.grace()));
                }
            }
            () = clock::at(pipe_limit), if pipe_limit.is_some() => break,
            key = view.key() => match key {
                Key::Detach => detach(tmux, session),
                // The hang-up signal comes as well, and says the same.
                Key::Gone => {}
            },
        }
    }
    process::reap_orphans(&[pid]);
    let status = match status {
        Some(status) => status,
        // Not even KILL ended it: a process in the hands of a broken file system or driver.
        None => match clock::within(PIPE_LIMIT, Running::ended(child)).await {
            Some(ended) => ended?,
            None => return Ok(Exit { code: None, signal: None, clean: false }),
        },
    };
    Ok(Exit { code: status.code(), signal: status.signal(), clean: clean.unwrap_or(false) })
}

/// Detaches whoever pressed the key. On a thread of its own: a tmux that hangs must not hold up the agent.
pub(super) fn detach(tmux: &Server, session: &Session) {
    let (tmux, session) = (tmux.clone(), session.clone());
    drop(thread::aside(move || {
        if let Err(error) = tmux.detach_who_pressed(&session) {
            tracing::warn!(%error, "could not detach");
        }
    }));
}
