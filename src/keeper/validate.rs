//! What a keeper hears from the validation command.

use super::senses::Stop;
use super::supervise::Sink;
use super::view::View;
use crate::rules::wording::Tone;
use crate::tools::lines::Lines;
use crate::tools::spool::Spool;
use std::time::{Duration, Instant};

/// How much of the end of the output is put on record, in bytes.
const TAIL: usize = 16 << 10;
/// How long the command may take to end when it is stopped.
const GRACE: Duration = Duration::from_secs(5);

/// Takes in one run of the validation command.
pub(super) struct Listener {
    spool: Spool,
    lines: Lines,
    tail: Vec<u8>,
    deadline: Option<Instant>,
    /// The task's time was over before the command ended.
    pub timed_out: bool,
    /// The keeper was asked to stop.
    pub stop: Option<Stop>,
}

impl Listener {
    /// Keeps the output in `spool`, until `deadline`.
    pub(super) fn new(spool: Spool, deadline: Option<Instant>) -> Self {
        Self { spool, lines: Lines::default(), tail: Vec::new(), deadline, timed_out: false, stop: None }
    }

    /// The end of the output.
    pub(super) fn tail(&self) -> String {
        let from = self.tail.len().saturating_sub(TAIL);
        String::from_utf8_lossy(self.tail.get(from..).unwrap_or_default()).into_owned()
    }

    fn take(&mut self, bytes: &[u8], view: &mut View) {
        if let Err(error) = self.spool.write(bytes) {
            tracing::warn!(%error, "output of the validation could not be kept");
        }
        self.tail.extend_from_slice(bytes);
        if self.tail.len() > 4 * TAIL {
            let surplus = self.tail.len() - TAIL;
            self.tail.drain(..surplus);
        }
        self.lines.push(bytes, |line| {
            let text = String::from_utf8_lossy(line.get(..line.len().min(4000)).unwrap_or(line)).into_owned();
            view.line(Tone::Raw, &crate::model::text::fit(&text, 400));
        });
    }
}

impl Sink for Listener {
    fn out(&mut self, bytes: &[u8], view: &mut View) {
        self.take(bytes, view);
    }

    fn err(&mut self, bytes: &[u8], view: &mut View) {
        self.take(bytes, view);
    }

    fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    fn due(&mut self, _now: Instant, view: &mut View) -> bool {
        self.timed_out = true;
        view.line(Tone::Note, "the time allowed is over: stopping the validation");
        true
    }

    fn asked(&mut self, stop: Stop, view: &mut View) {
        view.line(Tone::Note, "stopping the validation");
        self.stop = Some(stop);
    }

    fn grace(&self) -> Duration {
        GRACE
    }
}
