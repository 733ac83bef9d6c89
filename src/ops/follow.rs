//! Following an agent as it works: what it does, as it does it, until it ends or nobody wants to know any more.

use super::Result;
use super::keepers::Keepers;
use crate::a2a::look;
use crate::a2a::names::Named;
use crate::a2a::watch::Watch;
use crate::life::House;
use crate::model::agent::State;
use crate::model::report::{AgentReport, LogLine};
use crate::tools::clock;
use crate::tools::spool::Tail;
use std::time::Duration;

/// Something that a follower is shown.
#[derive(Debug)]
pub enum News<'a> {
    /// The agent's state, or what it does, changed.
    State(&'a AgentReport),
    /// The agent did something, by this agent CLI.
    Event(&'a LogLine, &'a str),
    /// Some time has passed; for clocks on the screen.
    Time(&'a AgentReport),
}

/// How following ended.
#[derive(Debug, Clone)]
pub struct Followed {
    /// The agent, as last seen.
    pub report: AgentReport,
    /// Whether `stop` came before the agent's end.
    pub left: bool,
}

/// How often a clock moves that somebody looks at.
pub const CLOCK: Duration = Duration::from_secs(5);

/// Follows the agent from now on (with `from_start`, from its first event) until nothing more happens to it, or `stop`
/// completes. With a `clock`, it tells as often that time has passed.
pub async fn follow(
    house: &House,
    named: &Named,
    from_start: bool,
    clock: Option<Duration>,
    mut show: impl FnMut(News<'_>) -> bool,
    stop: impl Future<Output = ()>,
) -> Result<Option<Followed>> {
    let places = &house.settings.places;
    let mut watch = Watch::new();
    let mut dirs = vec![named.record.0.clone(), places.board(&named.project, &named.session)];
    let always = dirs.len();
    let mut keepers = Keepers::default();
    let mut events = Events::default();
    if !from_start {
        events.skip(named)?;
    }
    let mut last: Option<AgentReport> = None;
    let mut stop = std::pin::pin!(stop);
    loop {
        let Some(report) = look::look(places, named)? else { return Ok(None) };
        dirs.truncate(always);
        dirs.extend(report.attempts.last().map(|attempt| named.record.attempt(attempt.n).0));
        let mut wanted = true;
        for line in events.read(named, &report)? {
            wanted &= show(News::Event(&line, cli(&report, line.n)));
        }
        if last.as_ref() != Some(&report) {
            wanted &= show(News::State(&report));
            last = Some(report.clone());
        }
        let over = is_over(&report);
        if over || !wanted {
            for line in events.read(named, &report)? {
                show(News::Event(&line, cli(&report, line.n)));
            }
            return Ok(Some(Followed { report, left: !over }));
        }
        keepers.listen(named);
        let mut changed = std::pin::pin!(watch.changed(&dirs));
        loop {
            tokio::select! {
                () = &mut changed => break,
                () = keepers.ended() => break,
                // That time passes is no reason to look at any file.
                () = clock::at(clock.map(|every| clock::tick() + every)) => {
                    show(News::Time(&report));
                }
                () = &mut stop => {
                    // What is said at the end is what is true then, not what was seen last.
                    let report = look::look(places, named)?.unwrap_or(report);
                    return Ok(Some(Followed { left: !is_over(&report), report }));
                }
            }
        }
    }
}

/// Whether nothing more happens: a final state is posted by the keeper as the last thing; one that is interrupted has no
/// keeper to wait for.
fn is_over(report: &AgentReport) -> bool {
    report.state.is_final() || report.state == State::Interrupted
}

/// The agent CLI that made attempt `n`.
fn cli(report: &AgentReport, n: u32) -> &str {
    report.attempts.iter().find(|a| a.n == n).map_or("?", |a| a.cli.as_str())
}

/// The events of all attempts, read as they come.
#[derive(Debug, Default)]
struct Events {
    n: u32,
    tail: Option<Tail>,
}

impl Events {
    /// Begins behind what is there now.
    fn skip(&mut self, named: &Named) -> Result<()> {
        while named.record.attempt(self.n + 1).events().exists() {
            self.n += 1;
        }
        if self.n > 0 {
            let mut tail = Tail::new(&named.record.attempt(self.n).events());
            tail.read()?;
            self.tail = Some(tail);
        }
        Ok(())
    }

    fn read(&mut self, named: &Named, report: &AgentReport) -> Result<Vec<LogLine>> {
        let mut lines = Vec::new();
        let newest = report.attempts.last().map_or(0, |a| a.n);
        loop {
            if let Some(tail) = &mut self.tail {
                for line in tail.read()? {
                    lines.extend(serde_json::from_slice::<LogLine>(&line).ok());
                }
            }
            if self.n >= newest {
                return Ok(lines);
            }
            self.n += 1;
            self.tail = Some(Tail::new(&named.record.attempt(self.n).events()));
        }
    }
}
