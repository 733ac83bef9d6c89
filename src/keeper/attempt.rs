//! What a keeper hears from an agent CLI while it runs: kept raw, translated, shown, and timed.

use super::board::Board;
use super::senses::Stop;
use super::supervise::Sink;
use super::view::View;
use crate::agents::translate::Translator;
use crate::model::event::Event;
use crate::model::places::Attempt as AttemptPlaces;
use crate::model::profile::Profile;
use crate::model::report::{LogLine, VERSION};
use crate::rules::give_up::Patience;
use crate::rules::heard::Heard;
use crate::rules::outcome::StopCause;
use crate::rules::wording::{self, Tone};
use crate::tools::lines::Lines;
use crate::tools::spool::Spool;
use crate::tools::{clock, file};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How many of the last lines on standard error are kept for the rules.
const STDERR_LINES: usize = 40;
/// A CLI that said it was finished and does not end is stopped after this.
const LINGER: Duration = Duration::from_secs(20);
/// Memory that is kept for events about to be written.
const TOLD: usize = 64 << 10;
/// Lines on standard error longer than this are cut, in bytes: they are for people and rules, not for machines.
const STDERR_LINE: usize = 4000;

/// The limits of one attempt.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Limits {
    /// When the time of the whole task is over, and how much that was.
    pub timeout: Option<(Instant, Duration)>,
    /// US dollars left, and allowed in all.
    pub budget_usd: Option<(f64, f64)>,
    /// Whether a later CLI of the chain can be started.
    pub later_cli_usable: bool,
}

/// Told the id of the conversation and the model.
type Told<'a> = Box<dyn FnOnce(&str, Option<&str>) + 'a>;

/// Takes in one attempt.
pub(super) struct Ear<'a> {
    n: u32,
    profile: &'a Profile,
    limits: Limits,
    began: Instant,
    translator: Translator,
    out_lines: Lines,
    err_lines: Lines,
    stdout: Spool,
    stderr: Spool,
    events: Spool,
    patience: Patience,
    finished_at: Option<Instant>,
    /// Events that are about to be kept: written a piece of output at a time, not one by one.
    told: Vec<u8>,
    board: &'a mut Board,
    /// What all events came to.
    pub heard: Heard,
    /// The last lines on standard error.
    pub stderr_tail: VecDeque<String>,
    /// Why it was stopped, if it was.
    pub cause: Option<StopCause>,
    /// Called once, when the conversation has an id.
    pub on_conversation: Option<Told<'a>>,
}

impl<'a> Ear<'a> {
    /// An ear for attempt `n` by `profile`, keeping everything in `places`.
    pub(super) fn new(
        n: u32,
        profile: &'a Profile,
        translator: Translator,
        limits: Limits,
        places: &AttemptPlaces,
        board: &'a mut Board,
    ) -> file::Result<Self> {
        Ok(Self {
            n,
            profile,
            limits,
            began: clock::tick(),
            translator,
            out_lines: Lines::default(),
            err_lines: Lines::default(),
            stdout: Spool::create(&places.stdout())?,
            stderr: Spool::create(&places.stderr())?,
            events: Spool::create(&places.events())?,
            patience: Patience::default(),
            finished_at: None,
            told: Vec::new(),
            board,
            heard: Heard::default(),
            stderr_tail: VecDeque::new(),
            cause: None,
            on_conversation: None,
        })
    }

    /// Takes in what is left when all pipes are closed.
    pub(super) fn finish(&mut self, view: &mut View) {
        let mut lines = std::mem::take(&mut self.out_lines);
        lines.finish(|line| self.line(line, view));
        let mut lines = std::mem::take(&mut self.err_lines);
        lines.finish(|line| self.stderr_line(line, view));
        for event in self.translator.end() {
            self.event(event, view);
        }
        self.keep_told();
        self.board.flush();
    }

    /// The format that was read.
    pub(super) fn format(&self) -> crate::model::profile::Format {
        self.translator.format()
    }

    fn line(&mut self, line: &[u8], view: &mut View) {
        for event in self.translator.line(line) {
            self.event(event, view);
        }
    }

    fn stderr_line(&mut self, line: &[u8], view: &mut View) {
        let cut = line.get(..line.len().min(STDERR_LINE)).unwrap_or(line);
        let text = String::from_utf8_lossy(cut).trim_end().to_owned();
        for event in self.translator.stderr_line(line) {
            self.event(event, view);
        }
        if text.is_empty() {
            return;
        }
        view.line(Tone::Think, &crate::model::text::fit(&text, 400));
        if self.stderr_tail.len() == STDERR_LINES {
            self.stderr_tail.pop_front();
        }
        self.stderr_tail.push_back(text);
    }

    fn event(&mut self, event: Event, view: &mut View) {
        let at = clock::tick().saturating_duration_since(self.began);
        self.patience.event(at, &event);
        self.heard.hear(&event);
        for (tone, text) in wording::lines(&event) {
            view.line(tone, &text);
        }
        self.board.activity(wording::activity(&event), self.heard.usage);
        match &event {
            Event::Session { id, model } => {
                if let Some(tell) = self.on_conversation.take() {
                    tell(id, model.as_deref());
                }
            }
            Event::Finished { .. } => self.finished_at = Some(clock::tick()),
            Event::Usage(usage) => {
                if let (Some((left, allowed)), Some(spent)) = (self.limits.budget_usd, usage.cost_usd)
                    && spent > left
                {
                    self.cause.get_or_insert(StopCause::Budget {
                        spent_usd: allowed - left + spent,
                        allowed_usd: allowed,
                    });
                }
            }
            _ => {}
        }
        let line = LogLine { v: VERSION, n: self.n, at: clock::now(), event };
        if serde_json::to_writer(&mut self.told, &line).is_ok() {
            self.told.push(b'\n');
        }
    }

    fn keep_told(&mut self) {
        keep(&mut self.events, &self.told, "events");
        self.told.clear();
        self.told.shrink_to(TOLD);
    }

    fn since_start(&self, deadline: Duration) -> Option<Instant> {
        self.began.checked_add(deadline)
    }

    fn deadlines(&self) -> [Option<(Instant, Why)>; 4] {
        let give_up = self.patience.give_up_at(self.profile.give_up_after, self.limits.later_cli_usable);
        let stalled = self.patience.stalled_at(self.profile.stall_after);
        [
            self.limits.timeout.map(|(at, _)| (at, Why::Timeout)),
            give_up.and_then(|d| self.since_start(d)).map(|at| (at, Why::GaveUp)),
            stalled.and_then(|d| self.since_start(d)).map(|at| (at, Why::Stalled)),
            self.finished_at.map(|at| (at + LINGER, Why::Lingered)),
        ]
    }
}

/// Which deadline is there.
#[derive(Debug, Clone, Copy)]
enum Why {
    Timeout,
    GaveUp,
    Stalled,
    Lingered,
}

/// Output is worth less than the agent: a full disk ends the transcript, not the work.
fn keep(spool: &mut Spool, bytes: &[u8], what: &str) {
    if let Err(error) = spool.write(bytes) {
        tracing::warn!(%error, what, "output could not be kept");
    }
}

impl Sink for Ear<'_> {
    fn out(&mut self, bytes: &[u8], view: &mut View) {
        self.patience.output(clock::tick().saturating_duration_since(self.began));
        keep(&mut self.stdout, bytes, "stdout");
        let mut lines = std::mem::take(&mut self.out_lines);
        view.together(|view| lines.push(bytes, |line| self.line(line, view)));
        self.out_lines = lines;
        self.keep_told();
        self.board.settle();
    }

    fn err(&mut self, bytes: &[u8], view: &mut View) {
        self.patience.output(clock::tick().saturating_duration_since(self.began));
        keep(&mut self.stderr, bytes, "stderr");
        let mut lines = std::mem::take(&mut self.err_lines);
        view.together(|view| lines.push(bytes, |line| self.stderr_line(line, view)));
        self.err_lines = lines;
        self.keep_told();
        self.board.settle();
    }

    fn deadline(&self) -> Option<Instant> {
        let stop = if self.cause.is_some() { Some(clock::tick()) } else { None };
        let limits = self.deadlines().into_iter().flatten().map(|(at, _)| at);
        limits.chain(stop).chain(self.board.due()).min()
    }

    fn due(&mut self, now: Instant, view: &mut View) -> bool {
        self.board.settle();
        if self.cause.is_none() {
            let due =
                self.deadlines().into_iter().flatten().filter(|(at, _)| *at <= now).min_by_key(|(at, _)| *at);
            self.cause = due.map(|(_, why)| match why {
                Why::Timeout => {
                    StopCause::Timeout(self.limits.timeout.map_or(Duration::ZERO, |(_, all)| all))
                }
                Why::GaveUp => StopCause::GaveUp(self.heard.retrying.clone().unwrap_or_default()),
                Why::Stalled => StopCause::Stalled(self.profile.stall_after),
                Why::Lingered => StopCause::Lingered,
            });
        }
        if let Some(cause) = &self.cause {
            view.line(Tone::Note, words(cause));
        }
        self.cause.is_some()
    }

    fn asked(&mut self, stop: Stop, view: &mut View) {
        let cause = match stop {
            Stop::Killed => StopCause::Killed,
            Stop::Interrupted(_) => StopCause::Interrupted,
        };
        view.line(Tone::Note, words(&cause));
        self.cause = Some(cause);
    }

    fn grace(&self) -> Duration {
        self.profile.stop_grace
    }
}

const fn words(cause: &StopCause) -> &'static str {
    match cause {
        StopCause::Timeout(_) => "the time allowed is over: stopping it",
        StopCause::GaveUp(_) => "it only tries again: giving it up, the next agent CLI takes over",
        StopCause::Stalled(_) => "nothing came from it for too long: stopping it",
        StopCause::Killed => "stopping it, because of ai_orch kill",
        StopCause::Interrupted => "stopping it: this session is closed",
        StopCause::Budget { .. } => "the budget is spent: stopping it",
        StopCause::Lingered => "it is finished and does not end: ending it",
    }
}
