//! Following on a screen: what an agent does as it does it, until the reader leaves.

use super::exit;
use super::print::Screen;
use crate::model::text::Shown;
use crate::ops::follow::News;
use crate::rules::wording::{self, Tone};
use std::cell::Cell;
use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that end a follower and leave its agent running: Ctrl-C, the terminal is gone, TERM.
#[derive(Debug)]
pub(super) struct Leave(Option<(Signal, Signal, Signal)>);

impl Leave {
    /// Listens from now on; one that comes before anybody asks is kept. To be called within a runtime.
    pub(super) fn listen() -> Self {
        let listen = || -> io::Result<_> {
            Ok((
                signal(SignalKind::interrupt())?,
                signal(SignalKind::hangup())?,
                signal(SignalKind::terminate())?,
            ))
        };
        Self(listen().ok())
    }

    /// Completes when one came. `code` becomes the exit code that says which.
    pub(super) async fn asked(mut self, code: &Cell<u8>) {
        match &mut self.0 {
            Some((interrupt, hang_up, terminate)) => tokio::select! {
                _ = interrupt.recv() => {}
                _ = hang_up.recv() => {}
                _ = terminate.recv() => code.set(exit::TERMINATED),
            },
            None => std::future::pending().await,
        }
    }
}

/// Completes at the first of these signals.
pub(super) async fn interrupted(code: &Cell<u8>) {
    Leave::listen().asked(code).await;
}

/// Shows what happens, as it happens: each attempt under its own line, what the agent does, and one line that moves.
pub(super) fn tell_news(screen: &mut Screen, news: &News<'_>, attempt: &mut u32) {
    match news {
        News::Event(line, cli) => {
            if line.n != *attempt {
                *attempt = line.n;
                screen.toned(Tone::Note, &format!("attempt {}: {}", line.n, Shown(cli)));
            }
            for (tone, text) in wording::lines(&line.event) {
                screen.toned(tone, &text);
            }
        }
        News::State(report) | News::Time(report) => {
            let doing = report.activity.as_ref().map_or("", |a| a.text.as_str());
            let used = report
                .activity
                .as_ref()
                .and_then(|a| a.usage)
                .map(|u| format!("  {}", wording::usage(&u)))
                .unwrap_or_default();
            let time =
                std::time::Duration::from_millis(crate::tools::clock::now().millis_since(report.created));
            let number = report.attempts.len().max(1);
            screen.status(&format!(
                "{} {}, attempt {number}  {}{used}  {doing}",
                report.cli,
                report.state,
                wording::duration(time)
            ));
        }
    }
}
