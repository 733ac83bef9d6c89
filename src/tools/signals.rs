//! INT, QUIT, TERM and HUP while something runs that must be ended before we end.
//!
//! A thread listens from the first [`Hold`] on. While there is one, a signal is for whoever has it; else it ends this process at once, as
//! it does where nobody listens, with the exit code by which a shell tells that.

use super::{process, runtime};
use rustix::pipe::{PipeFlags, pipe_with};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-\.
    Quit,
    /// `kill`.
    Terminate,
    /// The terminal is gone.
    HangUp,
}

impl Sign {
    const ALL: [Self; 4] = [Self::Interrupt, Self::Quit, Self::Terminate, Self::HangUp];

    /// Its number.
    const fn number(self) -> u8 {
        match self {
            Self::HangUp => 1,
            Self::Interrupt => 2,
            Self::Quit => 3,
            Self::Terminate => 15,
        }
    }
}

/// Where a signal is told: the other end is read by the [`Hold`] that there is.
static HOLDER: Mutex<Option<OwnedFd>> = Mutex::new(None);
static LISTENS: Mutex<bool> = Mutex::new(false);

fn holder() -> MutexGuard<'static, Option<OwnedFd>> {
    HOLDER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// While this is there, signals do not end this process, but are told here. One at a time: the last one is told.
#[derive(Debug)]
pub struct Hold(OwnedFd);

impl Hold {
    /// From now on.
    ///
    /// # Errors
    /// If nobody can listen, for want of a thread or of open files.
    pub fn begin() -> Result<Self, process::Error> {
        let failed = |source: io::Error| process::Error { action: "listen for signals".into(), source };
        listen().map_err(failed)?;
        let flags = PipeFlags::CLOEXEC | PipeFlags::NONBLOCK;
        let (read, write) = pipe_with(flags).map_err(|e| failed(e.into()))?;
        *holder() = Some(write);
        Ok(Self(read))
    }

    /// The next signal that came; `None` if there is none yet. Never waits.
    pub fn next(&self) -> Option<Sign> {
        let mut byte = [0];
        let read = rustix::io::read(&self.0, &mut byte).unwrap_or(0);
        Sign::ALL.into_iter().find(|sign| read == 1 && sign.number() == byte[0])
    }

    /// Holds signals up until this process ends, which is soon: one that was sent to a whole group may come after what it was for has ended.
    pub fn keep(self) {
        std::mem::forget(self);
    }

    /// What becomes readable when a signal comes.
    pub(super) fn ready(&self) -> &OwnedFd {
        &self.0
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        *holder() = None;
    }
}

/// Makes sure that a thread listens.
fn listen() -> io::Result<()> {
    let mut listens = LISTENS.lock().unwrap_or_else(PoisonError::into_inner);
    if *listens {
        return Ok(());
    }
    let (ready, is_ready) = mpsc::channel();
    std::thread::Builder::new().spawn(move || {
        let runtime = match runtime::runtime() {
            Ok(runtime) => runtime,
            Err(error) => return drop(ready.send(Err(error.source))),
        };
        runtime.block_on(async {
            let listening: io::Result<[Signal; 4]> = (|| {
                Ok([
                    signal(SignalKind::interrupt())?,
                    signal(SignalKind::quit())?,
                    signal(SignalKind::terminate())?,
                    signal(SignalKind::hangup())?,
                ])
            })();
            match listening {
                Ok(signals) => {
                    ready.send(Ok(())).ok();
                    tell(signals).await;
                }
                Err(error) => drop(ready.send(Err(error))),
            }
        });
    })?;
    is_ready.recv().map_err(io::Error::other)??;
    *listens = true;
    Ok(())
}

#[expect(clippy::exit, reason = "a signal that nobody holds up ends the process, as ever")]
async fn tell([mut interrupt, mut quit, mut terminate, mut hang_up]: [Signal; 4]) {
    loop {
        let sign = tokio::select! {
            _ = interrupt.recv() => Sign::Interrupt,
            _ = quit.recv() => Sign::Quit,
            _ = terminate.recv() => Sign::Terminate,
            _ = hang_up.recv() => Sign::HangUp,
        };
        match &*holder() {
            // A pipe that is full has told enough.
            Some(write) => drop(rustix::io::write(write, &[sign.number()])),
            None => std::process::exit(128 + i32::from(sign.number())),
        }
    }
}
