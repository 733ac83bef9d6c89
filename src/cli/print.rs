//! Printing: calm, aligned, coloured on a terminal only, and never a byte of foreign text raw.

use super::exit;
use crate::model::agent::State;
use crate::model::entry::Changes;
use crate::model::place::Place;
use crate::model::project_file::OutfitReport;
use crate::model::report::{
    AgentReport, Arrival, Check, DeliveryReport, DoctorReport, ErrorBody, ErrorReport, KillReport, Relative,
    Remark, RoundReport, ShowReport, VERSION, Verdict,
};
use crate::model::text::{Shown, columns, escape_json, fit, whole, wrap};
use crate::rules::guard;
use crate::rules::wording::{self, Tone};
use crate::settings::environment::Environment;
use crate::tools::{clock, crash, terminal};
use serde::Serialize;
use std::io::{self, Write};
use std::time::Duration;

/// How many lines of a failed validation are shown.
const VALIDATION_LINES: usize = 10;

/// Where answers go. A reader that goes away is no error: then there is nobody left to tell.
#[derive(Debug)]
pub(super) struct Screen {
    /// Whether a person looks at standard output.
    pub terminal: bool,
    /// Whether what was written to it can be written over.
    pub in_place: bool,
    /// Columns to use.
    pub width: usize,
    colour: bool,
    status_shown: bool,
    /// Nobody reads any more, or nothing more can be written.
    pub closed: bool,
    /// Why nothing more can be written, where that is not a reader who has what it wanted.
    pub broken: Option<io::Error>,
}

fn width() -> usize {
    terminal::columns(io::stdout()).unwrap_or(terminal::DEFAULT_COLUMNS).max(20)
}

impl Screen {
    /// Looks how wide it is now.
    pub(super) fn measure(&mut self) {
        self.width = width();
    }

    pub(super) fn new(environment: &Environment) -> Self {
        let terminal = terminal::is_terminal(io::stdout());
        let set = |name: &str| environment.value(name).is_some_and(|v| !v.is_empty());
        let dumb = environment.value("TERM").is_some_and(|t| t == "dumb");
        Self {
            terminal,
            in_place: terminal && !dumb,
            width: width(),
            colour: terminal && !set("NO_COLOR") && !dumb,
            status_shown: false,
            closed: false,
            broken: None,
        }
    }

    /// `text` in a colour, where there are colours.
    pub(super) fn paint(&self, code: &str, text: &str) -> String {
        if self.colour && !code.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Writes bytes as they are. Only for what is not shown to a terminal, or made harmless before.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        if self.closed {
            return;
        }
        crash::point(|| "before output");
        let mut out = io::stdout().lock();
        if let Err(error) = out.write_all(bytes).and_then(|()| out.flush()) {
            self.closed = true;
            self.broken = Some(error).filter(|e| e.kind() != io::ErrorKind::BrokenPipe);
        }
    }

    /// Writes a line that is harmless already.
    pub(super) fn line(&mut self, text: &str) {
        self.clear_status();
        self.bytes(format!("{text}\n").as_bytes());
    }

    /// Writes a line with its sign in front.
    pub(super) fn toned(&mut self, tone: Tone, text: &str) {
        let text =
            if self.terminal { fit(text, self.width.saturating_sub(2).max(60)) } else { text.to_owned() };
        let line = self.paint(tone.colour(), &format!("{} {text}", tone.sign()));
        self.line(line.trim_end());
    }

    /// Writes a line in a colour.
    pub(super) fn painted(&mut self, colour: &str, text: &str) {
        let line = self.paint(colour, text);
        self.line(&line);
    }

    /// Shows a line that the next one replaces; on a terminal only.
    pub(super) fn status(&mut self, text: &str) {
        if !self.terminal {
            return;
        }
        let text = fit(text, self.width.saturating_sub(1));
        let line = format!("\r\x1b[2K{}", self.paint("2", &text));
        self.status_shown = true;
        self.bytes(line.as_bytes());
    }

    fn clear_status(&mut self) {
        if std::mem::take(&mut self.status_shown) {
            self.bytes(b"\r\x1b[2K");
        }
    }

    /// Writes `report`: as JSON for a program, else as `show` does for a person.
    pub(super) fn answer<T: Serialize>(&mut self, json: bool, report: &T, show: impl FnOnce(&mut Self, &T)) {
        if json {
            self.json(report);
        } else {
            show(self, report);
        }
    }

    /// Writes one JSON document.
    pub(super) fn json(&mut self, document: &impl Serialize) {
        match serde_json::to_string(document) {
            Ok(json) => {
                let mut json = escape_json(&json);
                json.push('\n');
                self.bytes(json.as_bytes());
            }
            // Shapes of ours always become JSON; a test writes each.
            Err(_) => self.closed = true,
        }
    }

    /// `name  value` lines with the values aligned; on a terminal a long value goes on below its beginning.
    pub(super) fn fields(&mut self, fields: &[(&str, String)]) {
        let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let room = if self.terminal { self.width.saturating_sub(width + 4).max(20) } else { usize::MAX };
        let mut before = "";
        for (name, value) in fields {
            let mut shown = if *name == before { "" } else { name };
            before = name;
            for line in wrap(value, room) {
                let text = format!("  {}  {line}", self.paint("2", &format!("{shown:width$}")));
                self.line(text.trim_end());
                shown = "";
            }
        }
    }
}

/// A line on standard error for the user: a note, not an error.
pub(super) fn note(text: &str) {
    let mut out = io::stderr().lock();
    writeln!(out, "note: {}", Shown(text)).ok();
}

/// Tells of an error on standard error, as text or as JSON.
pub(super) fn error(code: &str, message: &str, hint: Option<String>, exit: u8, json: bool) {
    let mut out = io::stderr().lock();
    if json {
        let body = ErrorBody { code: code.to_owned(), message: message.to_owned(), hint };
        if let Ok(text) = serde_json::to_string(&ErrorReport { v: VERSION, error: body, exit }) {
            writeln!(out, "{}", escape_json(&text)).ok();
        }
        return;
    }
    writeln!(out, "error: {}", Shown(message)).ok();
    for line in hint.as_deref().unwrap_or("").lines() {
        writeln!(out, "  {}", Shown(line)).ok();
    }
}

pub(super) const fn state_colour(state: State) -> &'static str {
    match state {
        State::Done => "32",
        State::Working | State::Starting | State::Queued | State::Idle => "36",
        State::Failed | State::Killed => "31",
        State::Waiting | State::Limited | State::Interrupted | State::Unknown => "33",
    }
}

pub(super) fn remark(remark: &Remark) -> String {
    match remark {
        Remark::AgentStillRunning { pid } => format!("agent still running, pid {pid}"),
        Remark::KeeperGone => "keeper gone".to_owned(),
        Remark::SessionGone => "session gone".to_owned(),
        Remark::TmuxUnknown { why } => fit(why, 80),
        Remark::BoardMissing => "read from its journal".to_owned(),
        // The word first: a path can be longer than the room there is.
        Remark::Damaged { why } => fit(&format!("damaged: {why}"), 120),
        Remark::WorktreeGone => "worktree gone".to_owned(),
        Remark::CleanCutOff => "half cleaned: ai_orch clean, or undo".to_owned(),
        Remark::UndoCutOff => "half brought back: ai_orch undo".to_owned(),
        Remark::Newer => "written by a newer ai_orch".to_owned(),
    }
}

pub(super) fn changes(changes: &Changes) -> String {
    if changes.is_empty() {
        return "no changes".to_owned();
    }
    let uncommitted = if changes.uncommitted { ", uncommitted" } else { "" };
    format!(
        "{} {}, +{} -{}{uncommitted}",
        changes.files,
        plural(changes.files, "file"),
        changes.insertions,
        changes.deletions
    )
}

pub(super) fn plural(n: u32, word: &str) -> String {
    if n == 1 { word.to_owned() } else { format!("{word}s") }
}

pub(super) fn age(report: &AgentReport) -> Duration {
    let until = report.ended.unwrap_or_else(clock::now);
    Duration::from_millis(until.millis_since(report.created))
}

/// That agents wait for somebody to resume them.
pub(super) fn interrupted(count: usize) -> String {
    let (agents, need) = (
        plural(u32::try_from(count).unwrap_or(u32::MAX), "agent"),
        if count == 1 { "needs" } else { "need" },
    );
    format!("{count} interrupted {agents} {need}: ai_orch resume --all")
}

fn attempts(report: &AgentReport) -> Vec<(&'static str, String)> {
    let mut fields = Vec::new();
    for attempt in &report.attempts {
        let model = attempt.model.as_ref().map(|m| format!(" ({})", Shown(m))).unwrap_or_default();
        let time = attempt
            .ms
            .map(|ms| format!(" after {}", wording::duration(Duration::from_millis(ms))))
            .unwrap_or_default();
        let how = match &attempt.failure {
            Some(failure) => format!("{}{time}: {}", failure.class, Shown(&failure.message)),
            None => format!("{}{time}", attempt.result),
        };
        fields.push(("attempts", format!("{} {}{model}  {how}", attempt.n, Shown(&attempt.cli))));
        if let Some(note) = &attempt.note {
            fields.push(("attempts", format!("  {}", Shown(note))));
        }
    }
    fields
}

fn outcome(report: &AgentReport) -> Vec<(&'static str, String)> {
    let mut fields = Vec::new();
    let branch = match report.place {
        Place::NewBranch => Shown(&report.branch).to_string(),
        Place::Branch => format!("{}, which was there before", Shown(&report.branch)),
        Place::Checkout if report.branch.is_empty() => "none, in the checkout".to_owned(),
        Place::Checkout => format!("{}, in the checkout", Shown(&report.branch)),
        Place::Directory => "none: nothing is committed or saved".to_owned(),
    };
    match &report.changes {
        Some(c) if c.is_empty() => fields.push(("branch", format!("{branch}  no changes"))),
        Some(c) => {
            let commits = format!("{} {}", c.commits, plural(c.commits, "commit"));
            fields.push(("branch", format!("{branch}  {commits}, {}", changes(c))));
        }
        None => fields.push(("branch", branch)),
    }
    if let Some(elsewhere) = report.changes.as_ref().and_then(|c| c.elsewhere.as_ref()) {
        fields.push(("branch", format!("the agent left it: its work is on {}", Shown(elsewhere))));
    }
    if let Some(why) = &report.not_committed {
        fields.push(("not committed", Shown(why).to_string()));
    }
    fields.extend(report.not_saved.iter().map(|what| ("not saved", Shown(what).to_string())));
    fields.extend(report.crossed.iter().map(|one| ("reserved", wording::crossed(one, false))));
    fields.extend(report.violations.iter().map(|one| ("guardrails", Shown(&guard::told(one)).to_string())));
    fields.extend(report.not_checked.iter().map(|what| ("guardrails", Shown(what).to_string())));
    fields.extend(attempts(report));
    if let Some(setup) = &report.setup {
        let time = wording::duration(std::time::Duration::from_millis(setup.ms));
        let how = match (setup.ok, setup.exit) {
            (true, _) => format!("succeeded in {time}"),
            (false, Some(exit)) => format!("failed with exit {exit} after {time}"),
            (false, None) => format!("failed after {time}"),
        };
        fields.push(("setup", how));
        if !setup.ok {
            fields.extend(last_lines("setup", &setup.output));
        }
    }
    fields.extend(report.outfit.iter().flat_map(not_fitted));
    for validation in &report.validations {
        let how = if validation.ok {
            "succeeded".to_owned()
        } else {
            validation.exit.map_or_else(|| "failed".to_owned(), |e| format!("failed with exit {e}"))
        };
        fields.push(("validation", format!("{how} after attempt {}", validation.n)));
    }
    // What the last one found; the earlier ones were repaired.
    if let Some(validation) = report.validations.last().filter(|v| !v.ok) {
        fields.extend(last_lines("validation", &validation.output));
    }
    if let Some(delivery) = &report.delivery {
        fields.extend(delivered(delivery));
    }
    if let Some(usage) = &report.usage {
        fields.push(("used", wording::usage(usage)));
    }
    let dir = if report.place.has_own_worktree() { "worktree" } else { "directory" };
    fields.push((dir, Shown(&report.worktree.to_string_lossy()).to_string()));
    fields
}

/// What it has because of the repository's `.ai_orch.toml`.
fn outfit(outfit: &OutfitReport) -> Vec<(&'static str, String)> {
    let ports = outfit.ports.iter().map(|port| ("ports", format!("{}={}", port.name, port.port)));
    let linked = outfit.links.iter().flat_map(|links| &links.made);
    let linked = linked.map(|path| ("linked", Shown(path).to_string()));
    let teardown = outfit.teardown.iter();
    let teardown = teardown.map(|teardown| ("teardown", whole(teardown.command.trim_end())));
    let done = outfit.torn_down.iter().filter(|how| how.ok).map(|how| {
        let time = wording::duration(Duration::from_millis(how.ms));
        ("teardown", format!("succeeded in {time}"))
    });
    ports.chain(linked).chain(teardown).chain(done).collect()
}

/// What of that is not as it was asked for.
fn not_fitted(outfit: &OutfitReport) -> Vec<(&'static str, String)> {
    let left_out = outfit.links.iter().flat_map(|links| &links.left_out);
    let mut fields: Vec<_> =
        left_out.map(|left| ("not linked", format!("{}: {}", Shown(&left.path), Shown(&left.why)))).collect();
    if let Some(how) = outfit.torn_down.as_ref().filter(|how| !how.ok) {
        let time = wording::duration(Duration::from_millis(how.ms));
        let end =
            how.exit.map_or_else(|| "was stopped".to_owned(), |exit| format!("failed with exit {exit}"));
        fields.push(("teardown", format!("{end} after {time}")));
        fields.extend(last_lines("teardown", &how.output));
    }
    fields
}

/// The end of what a command printed.
fn last_lines(name: &'static str, output: &str) -> Vec<(&'static str, String)> {
    let lines: Vec<String> = crate::model::text::lines(output.trim_end()).collect();
    let end = lines.iter().skip(lines.len().saturating_sub(VALIDATION_LINES));
    end.map(|line| (name, format!("  {}", fit(line, 200)))).collect()
}

/// What to type after an agent has ended.
pub(super) fn next_commands(report: &AgentReport) -> Vec<String> {
    let session = &report.session;
    let delivery = report.delivery.as_ref();
    if let Some(undelivered) = delivery.and_then(|delivery| delivery.undelivered.as_ref()) {
        return undelivered.commands.clone();
    }
    let in_pull = delivery.is_some_and(|delivery| delivery.pull.is_some());
    match report.state {
        State::Done if report.changes.as_ref().is_some_and(Changes::is_empty) => {
            vec![format!("ai_orch logs {session}")]
        }
        // The branch does not hold the work, so merging it is not the next thing to do.
        State::Done if report.not_committed.is_some() => {
            vec![format!("ai_orch diff {session}"), format!("ai_orch show {session}")]
        }
        State::Done if !report.place.is_in_repository() => vec![format!("ai_orch logs {session}")],
        State::Done if in_pull => vec![format!("ai_orch diff {session}")],
        // It is where it was asked for.
        State::Done if !report.place.has_own_worktree() => vec![format!("ai_orch diff {session}")],
        State::Done => vec![format!("ai_orch diff {session}"), format!("ai_orch merge {session}")],
        State::Failed | State::Killed if !report.place.is_in_repository() => {
            vec![format!("ai_orch logs {session}"), format!("ai_orch resume {session}")]
        }
        State::Failed | State::Killed => vec![
            format!("ai_orch logs {session}"),
            format!("ai_orch diff {session}"),
            format!("ai_orch resume {session}"),
        ],
        State::Interrupted => vec![format!("ai_orch resume {session}"), format!("ai_orch show {session}")],
        State::Unknown => {
            vec![format!("ai_orch show {session}"), format!("ai_orch kill {session}")]
        }
        _ => vec![format!("ai_orch attach {session}"), format!("ai_orch logs -f {session}")],
    }
}

/// The end of a `run` that was followed, or of an agent somebody wants to attach to.
pub(super) fn summary(screen: &mut Screen, report: &AgentReport) {
    let tone = match report.state {
        State::Done => Tone::Good,
        State::Failed | State::Killed => Tone::Bad,
        _ => Tone::Note,
    };
    let why = report.failure.as_ref().map(|f| format!(" ({}): {}", f.class, f.message)).unwrap_or_default();
    let head = format!("{} {}{why}  {}", report.session, report.state, wording::duration(age(report)));
    screen.line("");
    screen.toned(tone, &Shown(&head).to_string());
    let mut fields = outcome(report);
    fields.extend(next_commands(report).into_iter().map(|c| ("next", Shown(&c).to_string())));
    screen.fields(&fields);
}

/// What became of the result beyond its branch.
fn delivered(delivery: &DeliveryReport) -> Vec<(&'static str, String)> {
    let mut fields = Vec::new();
    let there = format!("{} at {}", Shown(&delivery.branch), Shown(&delivery.remote));
    match (&delivery.pushed, delivery.arrival) {
        (Some(commit), _) => {
            fields.push(("pushed", format!("{} to {there}", commit.get(..12).unwrap_or(commit))));
        }
        (None, Arrival::Pending) => fields.push(("goes to", there)),
        (None, Arrival::Nothing) => fields.push(("pushed", "nothing, because nothing is changed".to_owned())),
        (None, Arrival::Delivered | Arrival::Undelivered) => {}
    }
    fields.extend(delivery.pull.iter().map(|pull| ("pull request", Shown(&pull.url).to_string())));
    fields.extend(delivery.note.iter().map(|note| ("note", Shown(note).to_string())));
    // Why it is not delivered is why the agent failed.
    fields
}

/// `show`.
pub(super) fn show(screen: &mut Screen, report: &ShowReport) {
    let agent = &report.agent;
    let notes: Vec<String> = agent.remarks.iter().map(remark).collect();
    let state = if notes.is_empty() {
        agent.state.to_string()
    } else {
        format!("{} ({})", agent.state, notes.join("; "))
    };
    let mut fields = vec![
        ("session", agent.session.to_string()),
        ("state", screen.paint(state_colour(agent.state), &state)),
    ];
    if let Some(unread) = agent.unread.filter(|unread| *unread > 0) {
        fields.push(("mail", format!("{unread} unread: ai_orch msg read {} --peek", agent.session)));
    }
    if let Some(role) = &agent.role {
        fields.push(("role", role.to_string()));
    }
    // One of its own is its id, and says nothing more.
    if let Some(context) = agent.context_id.as_ref().filter(|c| **c != agent.id.into()) {
        fields.push(("context", context.to_string()));
    }
    let name = |relative: &Relative| {
        let name = relative.session.clone().unwrap_or_else(|| relative.id.to_string());
        let why = relative.error.as_ref().map(|e| format!("not started: {}", e.message));
        Shown(&why.unwrap_or(name)).to_string()
    };
    fields.extend(report.parent.iter().map(|parent| ("started by", name(parent))));
    fields.extend(report.children.iter().map(|child| ("started", name(child))));
    if let Some(failure) = &agent.failure {
        fields.push(("why", format!("{}: {}", failure.class, Shown(&failure.message))));
    }
    if let Some(activity) = agent.activity.as_ref().filter(|a| !a.text.is_empty()) {
        fields.push(("doing", Shown(&activity.text).to_string()));
    }
    let chain: Vec<String> = agent
        .chain
        .iter()
        .map(|l| l.model.as_ref().map_or_else(|| l.cli.clone(), |m| format!("{} ({m})", l.cli)))
        .collect();
    fields.push(("chain", Shown(&chain.join(", then ")).to_string()));
    fields.push((
        "created",
        format!(
            "{}, {} ago",
            agent.created,
            wording::duration(Duration::from_millis(clock::now().millis_since(agent.created)))
        ),
    ));
    fields.push(("repository", Shown(&agent.checkout.to_string_lossy()).to_string()));
    fields.push((
        "base",
        format!("{} ({})", Shown(&agent.base_name), agent.base.get(..12).unwrap_or(&agent.base)),
    ));
    fields.extend(agent.outfit.iter().flat_map(outfit));
    fields.extend(
        guard::may_not(&agent.guards, true).into_iter().map(|what| ("may not", Shown(&what).to_string())),
    );
    fields.extend(outcome(agent));
    fields.push(("record", Shown(&report.record.to_string_lossy()).to_string()));
    fields.push(("id", agent.id.to_string()));
    fields.extend(report.evidence.iter().map(|e| ("because", format!("{}: {}", e.source, Shown(&e.says)))));
    let before = |round: &RoundReport| format!("{} {}  {}", round.n, round.state, Shown(&round.title));
    fields.extend(agent.rounds.iter().map(|round| ("before", before(round))));
    fields.extend(crate::model::text::lines(report.task.trim_end()).take(20).map(|l| ("task", l)));
    screen.fields(&fields);
}

/// The result of killing one agent.
pub(super) fn kill(screen: &mut Screen, report: &KillReport) {
    let session = Shown(&report.session);
    match (&report.error, report.was_running) {
        (Some(e), _) => error(&e.code, &e.message, e.hint.clone(), exit::of_error(&e.code), false),
        (None, true) => screen.toned(Tone::Good, &format!("{session} killed; its worktree and branch stay")),
        (None, false) => {
            let state = report.state.map_or("ended", State::as_str);
            screen.toned(Tone::Note, &format!("{session} was not running ({state})"));
        }
    }
    if !report.ended_pids.is_empty() {
        let pids: Vec<String> = report.ended_pids.iter().map(ToString::to_string).collect();
        screen.line(&format!("  ended what its keeper left: {}", pids.join(", ")));
    }
    for text in &report.notes {
        note(&format!("{}: {text}", report.session));
    }
}

/// `doctor`.
pub(super) fn doctor(screen: &mut Screen, report: &DoctorReport) {
    let width = report.checks.iter().map(|c| columns(&c.subject)).max().unwrap_or(0);
    for Check { subject, verdict, found, hint } in &report.checks {
        let tone = match verdict {
            Verdict::Ok => Tone::Good,
            Verdict::Note => Tone::Note,
            Verdict::Bad => Tone::Bad,
        };
        let pad = " ".repeat(width.saturating_sub(columns(subject)));
        screen.toned(tone, &Shown(&format!("{subject}{pad}  {found}")).to_string());
        if let Some(hint) = hint {
            screen.line(&format!("  {}  {}", " ".repeat(width), Shown(hint)));
        }
    }
}
