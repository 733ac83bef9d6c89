//! The keeper's side of the board: each change of state at once, what the agent does a few times a second at most.

use crate::a2a;
use crate::a2a::feed::Feed;
use crate::model::agent::{Agent, State};
use crate::model::entry::Changes;
use crate::model::event::Usage;
use crate::model::feed::Kind;
use crate::model::places::Places;
use crate::model::report::{Activity, AgentReport};
use crate::rules::report::{Keeper, report};
use crate::tools::clock;
use std::time::{Duration, Instant};

/// The shortest time between two posts of what an agent does.
const PACE: Duration = Duration::from_millis(200);

/// Posts one agent's state.
#[derive(Debug)]
pub(super) struct Board {
    places: Places,
    report: AgentReport,
    posted: Option<Instant>,
    changed: bool,
    feed: Feed,
    /// The state that was announced last.
    announced: Option<State>,
}

impl Board {
    /// A board entry for `agent`, posted at once.
    pub(super) fn new(places: &Places, agent: &Agent) -> Self {
        let mut board = Self {
            places: places.clone(),
            report: report(agent, &Keeper::Alive, None),
            posted: None,
            changed: true,
            feed: Feed::new(places, &agent.spec.project),
            announced: None,
        };
        board.flush();
        board
    }

    /// The agent's state changed.
    pub(super) fn update(&mut self, agent: &Agent, changes: Option<Changes>) {
        let changes = changes.or_else(|| self.report.changes.clone());
        self.report = report(agent, &Keeper::Alive, changes);
        self.changed = true;
        self.flush();
    }

    /// The agent does something else, or has used more tokens.
    pub(super) fn activity(&mut self, text: Option<String>, usage: Option<Usage>) {
        let before = self.report.activity.take();
        let (text, at) = match (text, before) {
            (Some(text), Some(before)) if before.text == text => (text, before.at),
            (Some(text), _) => (text, clock::now()),
            (None, Some(before)) => (before.text, before.at),
            (None, None) if usage.is_none() => return,
            (None, None) => (String::new(), clock::now()),
        };
        self.report.activity = Some(Activity { text, at, usage });
        self.changed = true;
    }

    /// Posts if there is something to post and the last post is long enough ago.
    pub(super) fn settle(&mut self) {
        if self.due().is_some_and(|due| due <= clock::tick()) {
            self.flush();
        }
    }

    /// When there will be something to post.
    pub(super) fn due(&self) -> Option<Instant> {
        self.changed.then(|| self.posted.map_or_else(clock::tick, |at| at + PACE))
    }

    /// Posts now.
    pub(super) fn flush(&mut self) {
        if !self.changed {
            return;
        }
        self.changed = false;
        self.posted = Some(clock::tick());
        // The board is a copy: readers without it ask the journal.
        if let Err(error) = a2a::board::post(&self.places, &self.report) {
            tracing::warn!(%error, "the board could not be posted");
        }
        // After the post: who hears of a change finds it there.
        let state = self.report.state;
        if self.announced.replace(state) != Some(state) {
            self.feed.try_say(Kind::Agent { session: self.report.session.clone(), state });
        }
    }
}
