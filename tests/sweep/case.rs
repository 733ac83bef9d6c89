//! One death, and what comes after it.

use crate::check::{self, Findings, Memory};
use crate::house::{Call, Done};
use crate::points::{self, Point};
use crate::scenarios::Scenario;
use crate::stage::{Stage, VICTIM};
use crate::syscalls::Injection;
use crate::{random, recover};
use std::path::PathBuf;

/// The exit code of a bug.
const BUG: i32 = 70;

/// How something dies, or is made to fail.
#[derive(Debug, Clone)]
pub enum Death {
    /// Not at all: to learn what can be died at.
    None,
    /// At a crash point.
    Point(Point),
    /// At a system call, or with an error from it.
    Call(Injection),
    /// Not at all: to learn which system calls are made.
    Traced,
}

/// What the processes of one case are told.
pub struct Orders {
    /// `role:n`.
    die: Option<String>,
    /// Where the points are written down.
    log: Option<PathBuf>,
}

impl Orders {
    pub fn none() -> Self {
        Self { die: None, log: None }
    }

    /// Hands them to a call, and through it to the keeper it starts.
    pub fn hand(&self, call: Call) -> Call {
        let variables = self.variables().into_iter();
        variables.fold(call, |call, (name, value)| call.env(name, value))
    }

    /// The same for a shell: `NAME=VALUE` each.
    pub fn words(&self) -> Vec<String> {
        self.variables().into_iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    fn variables(&self) -> Vec<(&'static str, String)> {
        let log = self.log.iter().map(|log| ("AI_ORCH_CRASH_LOG", log.to_string_lossy().into_owned()));
        log.chain(self.die.iter().map(|die| ("AI_ORCH_CRASH", die.clone()))).collect()
    }

    /// Whether what was to die has come to its point.
    pub fn has_died(&self, stage: &Stage) -> bool {
        let Some(die) = &self.die else { return false };
        points::passed(stage).iter().any(|p| format!("{}:{}", p.role, p.n) == *die)
    }
}

/// One death.
pub struct Case {
    pub scenario: &'static Scenario,
    pub death: Death,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Played {
    /// What is wrong.
    pub violations: Vec<String>,
    /// The points that were passed.
    pub points: Vec<Point>,
    /// What strace wrote down.
    pub trace: String,
    /// Whether it came to what it was to die at.
    pub reached: bool,
}

impl Case {
    /// How it is called, and asked for again.
    pub fn name(&self) -> String {
        match &self.death {
            Death::None => format!("{}:0", self.scenario.name),
            Death::Point(point) => format!("{}:{}", self.scenario.name, point.n),
            Death::Call(injection) => format!("{}:{injection}", self.scenario.name),
            Death::Traced => format!("{}:traced", self.scenario.name),
        }
    }

    /// What it is, in words.
    pub fn what(&self) -> String {
        match &self.death {
            Death::None | Death::Traced => "nothing dies".to_owned(),
            Death::Point(point) => format!("{} dies: {}", point.role, point.what),
            Death::Call(injection) => injection.what.clone(),
        }
    }

    /// Plays it, whatever happens.
    pub fn play(&self) -> Played {
        let mut played = Played { reached: true, ..Played::default() };
        played.violations = caught(|| {
            played = self.try_play();
            std::mem::take(&mut played.violations)
        });
        played
    }

    fn try_play(&self) -> Played {
        let stage = Stage::new(self.scenario.bystander);
        let die = match &self.death {
            Death::Point(point) => Some(format!("{}:{}", point.role, point.n)),
            _ => None,
        };
        // What is written down there would be calls to fail, too.
        let traced = matches!(self.death, Death::Call(_) | Death::Traced);
        let orders = Orders { die, log: (!traced).then(|| stage.house.path("points")) };
        (self.scenario.stage)(&stage, &orders);
        let done = self.verb(&stage, &orders);
        let mut findings = Findings::default();
        self.after(&stage, &done, &mut findings);
        let trace = std::fs::read_to_string(stage.house.path("trace")).unwrap_or_default();
        let reached = match &self.death {
            Death::Point(_) => orders.has_died(&stage),
            Death::Call(_) => trace.contains("(INJECTED)") || trace.contains("killed by SIGKILL"),
            Death::None | Death::Traced => true,
        };
        let points = points::passed(&stage);
        if !findings.0.is_empty() {
            findings.add(format!("the verb said: {done}"));
            findings.add(random::describe(&stage));
        }
        Played { violations: findings.0, points, trace, reached }
    }

    fn verb(&self, stage: &Stage, orders: &Orders) -> Done {
        let words = (self.scenario.verb)(stage);
        let traced = |more: &[String]| {
            let program = env!("CARGO_BIN_EXE_ai_orch").to_owned();
            let all: Vec<String> =
                more.iter().cloned().chain([program]).chain(words.iter().cloned()).collect();
            stage.house.call("strace", all)
        };
        let call = match &self.death {
            Death::Call(injection) => traced(&injection.words(&stage.house.path("trace"))),
            Death::Traced => traced(&Injection::listing(&stage.house.path("trace"))),
            Death::None | Death::Point(_) => stage.house.orch(&words),
        };
        orders.hand(call).stdin((self.scenario.input)(stage)).run()
    }

    /// The checks, with recovery in between.
    fn after(&self, stage: &Stage, done: &Done, findings: &mut Findings) {
        findings.demand(done.code != BUG && !done.stderr.contains("panicked"), || {
            "the verb has a bug".to_owned()
        });
        let may_work: &[&str] = if self.scenario.may_work { &[VICTIM] } else { &[] };
        let agents = check::settle(stage, may_work, findings);
        if done.stdout.lines().any(|line| line == VICTIM) {
            let there = agents.iter().any(|agent| agent["session"] == VICTIM);
            findings.demand(there, || "the agent was announced and is not there".to_owned());
        }
        if words_of_kill(self.scenario, stage) && done.code == 0 {
            let stopped =
                agents.iter().all(|a| ["killed", "done", "failed"].iter().any(|s| a["state"] == *s));
            findings.demand(stopped, || format!("kill succeeded, and this is there: {agents:?}"));
        }
        let then = Memory::of(stage);
        check::untouched(stage, findings);
        check::kept(stage, findings);
        recover::recover(stage, &then, may_work, false, self.scenario.then, findings);
    }
}

/// What `play` finds wrong; a panic is one thing wrong more.
pub fn caught(play: impl FnOnce() -> Vec<String>) -> Vec<String> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(play)).unwrap_or_else(|why| {
        let text = why
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| why.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        vec![text.unwrap_or_else(|| "a panic".to_owned())]
    })
}

fn words_of_kill(scenario: &Scenario, stage: &Stage) -> bool {
    (scenario.verb)(stage).first().is_some_and(|verb| verb == "kill")
}
