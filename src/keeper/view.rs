//! The pane: what the agent does, readable, for whoever attaches. A view and nothing else: no key stops the agent, and no
//! terminal can hold it up.

use crate::rules::wording::Tone;
use crate::tools::terminal::{self, Raw};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Write};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// How much waits for a terminal that does not read; what is more is left out, oldest first.
const PENDING_MAX: usize = 256 << 10;

/// What a person did in the pane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    /// Wants to leave.
    Detach,
    /// The terminal is gone.
    Gone,
}

/// The terminal of the pane.
pub(super) struct View {
    terminal: Option<AsyncFd<File>>,
    #[expect(dead_code, reason = "held to restore the terminal when the keeper ends")]
    raw: Option<Raw>,
    pending: VecDeque<u8>,
    left_out: bool,
    /// Lines are being put together and not written one by one.
    together: bool,
    session: String,
}

impl View {
    /// Opens the pane's terminal. Without one the keeper works the same, unseen.
    pub(super) fn open(session: &str) -> Self {
        let opened = terminal::open_own();
        let raw = opened.as_ref().ok().and_then(|t| Raw::enter(t).ok());
        #[expect(deprecated, reason = "its successor needs unsafe code; a File is the case that is sound")]
        let terminal =
            opened.ok().and_then(|t| AsyncFd::with_interest(t, Interest::READABLE | Interest::WRITABLE).ok());
        Self {
            terminal,
            raw,
            pending: VecDeque::new(),
            left_out: false,
            together: false,
            session: session.to_owned(),
        }
    }

    /// Shows the lines that `say` says, written in one piece.
    pub(super) fn together(&mut self, say: impl FnOnce(&mut Self)) {
        self.together = true;
        say(self);
        self.together = false;
        self.flush();
    }

    /// Shows a line. `text` must be harmless already.
    pub(super) fn line(&mut self, tone: Tone, text: &str) {
        let (sign, colour) = (tone.sign(), tone.colour());
        let line = if colour.is_empty() {
            format!("{sign} {text}\r\n")
        } else {
            format!("\x1b[{colour}m{sign} {text}\x1b[0m\r\n")
        };
        if self.pending.len() + line.len() > PENDING_MAX {
            self.pending.clear();
            self.left_out = true;
        }
        if std::mem::take(&mut self.left_out) {
            self.pending.extend(b"\x1b[0m\r\n... lines left out; all of them: ai_orch logs\r\n");
        }
        self.pending.extend(line.as_bytes());
        if !self.together {
            self.flush();
        }
    }

    /// Writes what the terminal takes now.
    fn flush(&mut self) {
        let Some(terminal) = &self.terminal else {
            self.pending.clear();
            return;
        };
        while !self.pending.is_empty() {
            let (front, _) = self.pending.as_slices();
            match terminal.get_ref().write(front) {
                Ok(0) => return,
                Ok(n) => drop(self.pending.drain(..n)),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }

    /// Waits for a person to do something, writing what is pending meanwhile. Can be dropped at any await.
    pub(super) async fn key(&mut self) -> Key {
        loop {
            let Some(terminal) = &self.terminal else { return std::future::pending().await };
            let interest = if self.pending.is_empty() {
                Interest::READABLE
            } else {
                Interest::READABLE | Interest::WRITABLE
            };
            let Ok(mut guard) = terminal.ready(interest).await else {
                self.terminal = None;
                continue;
            };
            let ready = guard.ready();
            let mut bytes = [0; 256];
            let mut got = None;
            if ready.is_readable() {
                match guard.get_inner().read(&mut bytes) {
                    Ok(0) => got = Some(Err(())),
                    Ok(n) => got = Some(Ok(n)),
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                        guard.clear_ready_matching(tokio::io::Ready::READABLE);
                    }
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => got = Some(Err(())),
                }
            }
            if ready.is_writable() {
                guard.clear_ready_matching(tokio::io::Ready::WRITABLE);
                drop(guard);
                self.flush();
            }
            match got {
                Some(Err(())) => {
                    self.terminal = None;
                    return Key::Gone;
                }
                Some(Ok(n)) => {
                    if let Some(key) = self.understand(bytes.get(..n).unwrap_or_default()) {
                        return key;
                    }
                }
                None => {}
            }
        }
    }

    fn understand(&mut self, typed: &[u8]) -> Option<Key> {
        // A pasted text or a function key arrives in one piece and is no command.
        match typed {
            keys if leaves(keys) => return Some(Key::Detach),
            b"?" | b"h" => {
                let session = self.session.clone();
                self.line(Tone::Note, "q leaves the agent running; nothing you type here reaches it");
                self.line(
                    Tone::Note,
                    &format!("stop it: ai_orch kill {session}    all output: ai_orch logs {session}"),
                );
            }
            b"\x03" => {
                let session = self.session.clone();
                self.line(
                    Tone::Note,
                    &format!("Ctrl-C does nothing here. q leaves; to stop the agent: ai_orch kill {session}"),
                );
            }
            _ => {}
        }
        None
    }
}

/// Whether somebody pressed `q`. Two people may type at once: a short piece may hold somebody else's keys as well, before it
/// or behind it. A longer one is pasted text, and one with an escape a function key.
fn leaves(keys: &[u8]) -> bool {
    keys.len() <= 3 && !keys.contains(&0x1b) && keys.iter().any(|key| b"qQd".contains(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q_is_heard_among_the_keys_of_others_and_not_in_what_is_pasted() {
        for keys in ["q", "Q", "d", "xq", "qx", "xqx"] {
            assert!(leaves(keys.as_bytes()), "{keys}");
        }
        for keys in ["", "x", "\x03", "quit", "\x1bq", "a word and a q"] {
            assert!(!leaves(keys.as_bytes()), "{keys:?}");
        }
    }
}
