//! Whether an agent may start another one, and what that one may start in turn.
//!
//! Numbers and money are conserved: what a child may start or spend is taken from what its parent may, once and for good,
//! because a child can be resumed as long as it is there. So no tree of agents becomes larger than what the person allowed at
//! its root, and every keeper can decide from its own journal alone.

use crate::model::agent::Agent;
use crate::model::delegation::{Child, MayStart, Start, Wanted};
use crate::model::entry::{Changes, Final};
use crate::model::failure::Failure;
use crate::model::ids::AgentId;
use crate::model::report::ErrorBody;
use crate::rules::naming::id_from;
use uuid::Uuid;

/// Amounts of money closer than this are the same: sums of fractions are not exact.
const SAME: f64 = 1e-9;

/// An agent that is not started.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refused {
    /// Nobody allowed it.
    #[error("this agent may not start agents")]
    NotAllowed,
    /// As many as allowed are started.
    #[error("it would take {wanted} of the agents that may be started, and {left} of {allowed} are left")]
    Number {
        /// How many it would take.
        wanted: u32,
        /// How many are left.
        left: u32,
        /// How many there were.
        allowed: u32,
    },
    /// The agents below would be too many generations.
    #[error("it may start no agents in turn: {depth} generations are allowed below this agent")]
    Depth {
        /// How many are allowed.
        depth: u32,
    },
    /// Money is limited, so each child must say how much it may spend.
    #[error(
        "it needs {what}, a number of US dollars above 0: what agents started by this one may spend is limited"
    )]
    NeedsBudget {
        /// What is missing.
        what: &'static str,
    },
    /// There is not so much money left.
    #[error("it would take ${wanted:.2} of the money for agents, and ${left:.2} of ${allowed:.2} are left")]
    Budget {
        /// How much it would take.
        wanted: f64,
        /// How much is left.
        left: f64,
        /// How much there was.
        allowed: f64,
    },
    /// It was asked for in an earlier round, or its parent is at its end.
    #[error("it was asked for too late: the agent that wanted it has ended since")]
    Late,
}

impl Refused {
    /// A word that does not change, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotAllowed => "may_not_start",
            Self::Number { .. } => "too_many_agents",
            Self::Depth { .. } => "too_deep",
            Self::NeedsBudget { .. } => "needs_budget",
            Self::Budget { .. } => "over_budget",
            Self::Late => "too_late",
        }
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotAllowed => {
                "do it yourself, or ask the person, who allows it by ai_orch run --may-start N".to_owned()
            }
            Self::Number { .. } => "do the rest yourself, or ask the person".to_owned(),
            Self::Depth { .. } => "leave may_start out".to_owned(),
            Self::NeedsBudget { what } => format!("give {what}"),
            Self::Budget { left, .. } => format!("ask for at most {left:.2}, or do it yourself"),
            Self::Late => "ask again if it is still wanted".to_owned(),
        })
    }

    /// What it says, for a report.
    pub fn body(&self) -> ErrorBody {
        ErrorBody { code: self.code().to_owned(), message: self.to_string(), hint: self.hint() }
    }
}

/// What follows from a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// It was granted before: its child is known.
    Known,
    /// A child is to be started, and this is taken for it.
    Start {
        /// How many agents.
        agents: u32,
        /// US dollars.
        usd: f64,
    },
}

/// The name of the request that agent `parent` calls `op`.
pub fn key(parent: AgentId, op: &str) -> Uuid {
    id_from(&[b"start", parent.0.as_bytes(), op.as_bytes()])
}

/// The child that the request `key` led to, if it was not refused.
pub fn child(agent: &Agent, key: Uuid) -> Option<&Child> {
    there(agent).find(|child| child.key == key)
}

/// The children that count: those whose start did not fail.
fn there(agent: &Agent) -> impl Iterator<Item = &Child> {
    agent.children.iter().filter(|child| !matches!(child.start, Start::Failed { .. }))
}

/// How many agents `agent` may still start.
pub fn left(agent: &Agent) -> u32 {
    let taken: u32 = there(agent).fold(0, |sum, child| sum.saturating_add(child.agents));
    agent.spec.may_start.map_or(0, |may| may.agents.saturating_sub(taken))
}

/// Decides about a request of `agent`.
pub fn decide(agent: &Agent, wanted: &Wanted) -> Result<Decision, Refused> {
    if child(agent, wanted.key).is_some() {
        return Ok(Decision::Known);
    }
    let Some(may) = agent.spec.may_start.filter(|may| may.agents > 0 && may.depth > 0) else {
        return Err(Refused::NotAllowed);
    };
    if wanted.round != agent.round || agent.conclusion.is_some() {
        return Err(Refused::Late);
    }
    if wanted.may_start > 0 && may.depth < 2 {
        return Err(Refused::Depth { depth: may.depth });
    }
    let (agents, left) = (wanted.may_start.saturating_add(1), left(agent));
    if agents > left {
        return Err(Refused::Number { wanted: agents, left, allowed: may.agents });
    }
    let usd = money(may, wanted)?;
    if let Some(allowed) = may.budget_usd {
        let left = (allowed - there(agent).map(|child| child.usd).sum::<f64>()).max(0.0);
        if usd > left + SAME {
            return Err(Refused::Budget { wanted: usd, left, allowed });
        }
    }
    Ok(Decision::Start { agents, usd })
}

/// The money that is taken for a child: what it may spend, and what the agents may that it starts in turn.
fn money(may: MayStart, wanted: &Wanted) -> Result<f64, Refused> {
    let amount = |given: Option<f64>, needed: bool, what: &'static str| match given {
        None if !needed => Ok(0.0),
        Some(usd) if usd.is_finite() && usd > 0.0 => Ok(usd),
        None | Some(_) => Err(Refused::NeedsBudget { what }),
    };
    let limited = may.budget_usd.is_some();
    let own = amount(wanted.budget_usd, limited, "budget_usd")?;
    let below = amount(wanted.start_budget_usd, limited && wanted.may_start > 0, "start_budget_usd")?;
    Ok(own + below)
}

/// What the child that `wanted` asks for may start in turn, below a parent that may start `may`.
pub fn handed_on(may: Option<MayStart>, wanted: &Wanted) -> Option<MayStart> {
    let depth = may?.depth.checked_sub(1)?;
    (wanted.may_start > 0 && depth > 0).then_some(MayStart {
        agents: wanted.may_start,
        depth,
        budget_usd: wanted.start_budget_usd,
    })
}

/// What the parent of `agent` is told at its end.
pub fn news(agent: &Agent, state: Final, failure: Option<&Failure>, changes: Option<&Changes>) -> String {
    let spec = &agent.spec;
    let how = match (state, failure) {
        (Final::Done, _) => "is done".to_owned(),
        (Final::Killed, _) => "was killed".to_owned(),
        (Final::Failed, Some(failure)) => format!("failed ({}): {}", failure.class, failure.message),
        (Final::Failed, None) => "failed".to_owned(),
    };
    let work = match changes.filter(|changes| !changes.is_empty()) {
        Some(Changes { tip: Some(tip), elsewhere: None, .. }) => {
            format!("Its work is on branch {}, commit {tip}: git merge {}", spec.branch, spec.branch)
        }
        Some(_) => format!("Look at its work: ai_orch diff {}", spec.session),
        None if state == Final::Done => "It changed nothing.".to_owned(),
        None => format!("Look at it: ai_orch show {}", spec.session),
    };
    format!("The agent {} that you started {how}.\n{work}", spec.session)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::entry::Entry;
    use crate::rules::replay;
    use proptest::prelude::*;

    fn wanted(op: &str) -> Wanted {
        Wanted {
            v: 1,
            key: key(AgentId(Uuid::nil()), op),
            round: 1,
            task: "do it".into(),
            chain: None,
            model: None,
            name: None,
            role: None,
            base: "0".repeat(40),
            base_name: "main".into(),
            budget_usd: None,
            may_start: 0,
            start_budget_usd: None,
        }
    }

    fn parent(agents: u32, depth: u32, budget_usd: Option<f64>) -> Agent {
        let mut agent = replay::example(Vec::new());
        agent.spec.may_start = Some(MayStart { agents, depth, budget_usd });
        agent
    }

    fn apply(agent: &mut Agent, entry: Entry) {
        let at = agent.updated;
        replay::apply(agent, &crate::model::entry::Record { v: 1, at, entry });
    }

    /// Grants `wanted` as the keeper does.
    fn grant(agent: &mut Agent, wanted: &Wanted) -> Result<Decision, Refused> {
        let decision = decide(agent, wanted)?;
        if let Decision::Start { agents, usd } = decision {
            let child = AgentId(Uuid::now_v7());
            apply(agent, Entry::ChildBegun { key: wanted.key, child, agents, usd });
        }
        Ok(decision)
    }

    #[test]
    fn what_is_not_allowed_is_refused() {
        let with = |budget_usd, may_start, start_budget_usd| Wanted {
            budget_usd,
            may_start,
            start_budget_usd,
            ..wanted("one")
        };
        let plain = || wanted("one");
        let late = Wanted { round: 2, ..plain() };
        for (may, wanted, answer) in [
            (None, plain(), Some("may_not_start")),
            (Some((0, 1, None)), plain(), Some("may_not_start")),
            (Some((1, 0, None)), plain(), Some("may_not_start")),
            (Some((1, 1, None)), plain(), None),
            (Some((1, 1, None)), late, Some("too_late")),
            (Some((3, 1, None)), with(None, 1, None), Some("too_deep")),
            (Some((3, 2, None)), with(None, 2, None), None),
            (Some((3, 2, None)), with(None, 3, None), Some("too_many_agents")),
            (Some((3, 2, None)), with(None, u32::MAX, None), Some("too_many_agents")),
            (Some((1, 1, Some(1.0))), plain(), Some("needs_budget")),
            (Some((1, 1, Some(1.0))), with(Some(-1.0), 0, None), Some("needs_budget")),
            (Some((1, 1, None)), with(Some(f64::NAN), 0, None), Some("needs_budget")),
            (Some((1, 1, Some(1.0))), with(Some(1.0), 0, None), None),
            (Some((1, 1, Some(1.0))), with(Some(1.1), 0, None), Some("over_budget")),
            (Some((2, 2, Some(1.0))), with(Some(0.5), 1, None), Some("needs_budget")),
            (Some((2, 2, Some(1.0))), with(Some(0.5), 1, Some(0.5)), None),
            (Some((2, 2, Some(1.0))), with(Some(0.5), 1, Some(0.6)), Some("over_budget")),
            (Some((2, 2, Some(1.0))), with(Some(0.5), 1, Some(-0.5)), Some("needs_budget")),
        ] {
            let parent =
                may.map_or_else(|| replay::example(Vec::new()), |(n, depth, usd)| parent(n, depth, usd));
            let said = decide(&parent, &wanted).err();
            assert_eq!(said.as_ref().map(Refused::code), answer, "{wanted:?}");
            assert!(said.is_none_or(|refused| !refused.hint().unwrap().is_empty()));
        }
    }

    #[test]
    fn a_request_is_granted_once_and_one_that_failed_takes_nothing() {
        let mut agent = parent(1, 1, Some(1.0));
        let first = Wanted { budget_usd: Some(1.0), ..wanted("one") };
        let second = Wanted { budget_usd: Some(1.0), ..wanted("two") };
        assert_eq!(grant(&mut agent, &first), Ok(Decision::Start { agents: 1, usd: 1.0 }));
        assert_eq!(grant(&mut agent, &first), Ok(Decision::Known));
        assert_eq!(decide(&agent, &second).unwrap_err().code(), "too_many_agents");
        let id = child(&agent, first.key).unwrap().id;
        let error = Refused::Late.body();
        apply(&mut agent, Entry::ChildNotStarted { key: first.key, child: id, error });
        assert_eq!(grant(&mut agent, &second), Ok(Decision::Start { agents: 1, usd: 1.0 }));
        assert_eq!(decide(&agent, &first).unwrap_err().code(), "too_many_agents", "its place is taken");
    }

    proptest! {
        /// However agents ask and hand on: a tree never holds more agents, generations or money than its root was given.
        #[test]
        fn no_tree_outgrows_its_root(
            agents in 0u32..12,
            depth in 0u32..4,
            budget in proptest::option::of(1u32..20),
            asked in proptest::collection::vec((0usize..12, 0u32..6, 1u32..8, 1u32..8), 0..40),
        ) {
            let mut tree = vec![(parent(agents, depth, budget.map(f64::from)), 0u32, 0.0)];
            for (n, (who, may_start, own, below)) in asked.into_iter().enumerate() {
                let at = who % tree.len();
                let wanted = Wanted {
                    budget_usd: Some(f64::from(own)),
                    may_start,
                    start_budget_usd: (may_start > 0).then_some(f64::from(below)),
                    ..wanted(&n.to_string())
                };
                let (asker, level, _) = &mut tree[at];
                let (level, may) = (*level + 1, asker.spec.may_start);
                if grant(asker, &wanted).is_ok() {
                    let mut child = replay::example(Vec::new());
                    child.spec.may_start = handed_on(may, &wanted);
                    tree.push((child, level, f64::from(own)));
                }
            }
            prop_assert!(tree.len() - 1 <= agents as usize);
            prop_assert!(tree.iter().all(|(_, level, _)| *level <= depth));
            let spent: f64 = tree.iter().map(|(.., usd)| usd).sum();
            prop_assert!(budget.is_none_or(|budget| spent <= f64::from(budget) + SAME));
        }
    }
}
