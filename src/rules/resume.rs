//! What `resume` means for an agent, from its state and from whether it was given a new task.

use crate::model::agent::{Agent, Removal};
use crate::model::entry::Final;
use crate::model::failure::Class;

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// Go on with what was interrupted.
    GoOn,
    /// Begin another round: with the new task, or with the same one.
    Round,
    /// Nothing can be gone on with.
    Refuse(Why),
}

/// Why an agent cannot be resumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Its task is done, and there is no new one.
    Done,
    /// Its first task has not begun, so there is nothing that a new one could be on top of.
    NotBegun,
    /// It was never made.
    NotCreated,
    /// Its worktree is removed.
    Cleaned,
    /// The removal of its worktree was cut off.
    Cleaning,
    /// Its money is spent.
    Spent,
    /// A later version of this program wrote its journal.
    Newer,
}

/// What `resume` means for `agent`, which no keeper keeps.
pub fn plan(agent: &Agent, new_task: bool) -> Plan {
    if agent.newer {
        return Plan::Refuse(Why::Newer);
    }
    match &agent.removal {
        Some(Removal::Cleaning { .. }) => return Plan::Refuse(Why::Cleaning),
        Some(Removal::Cleaned { .. }) => return Plan::Refuse(Why::Cleaned),
        // It comes back whole first.
        Some(Removal::Restoring { .. }) | None => {}
    }
    if agent.not_created.is_some() {
        return Plan::Refuse(Why::NotCreated);
    }
    let failed = agent.conclusion.as_ref().and_then(|conclusion| conclusion.failure.as_ref());
    if !new_task && failed.is_some_and(|failure| failure.class == Class::Delivery) {
        // Nobody works on it again: it costs nothing.
        return Plan::Round;
    }
    if agent.spec.budget_usd.is_some_and(|allowed| agent.spent() >= allowed) {
        return Plan::Refuse(Why::Spent);
    }
    match agent.conclusion.as_ref().map(|c| c.state) {
        None if !new_task => Plan::GoOn,
        None if agent.attempts.is_empty() => Plan::Refuse(Why::NotBegun),
        Some(Final::Done) if !new_task => Plan::Refuse(Why::Done),
        None | Some(_) => Plan::Round,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::entry::{Entry, HeadAt};
    use crate::model::failure::{Class, Failure};
    use crate::rules::replay::example as agent;

    fn ended(state: Final) -> Entry {
        Entry::Ended { state, failure: None, changes: None }
    }

    fn attempted() -> Entry {
        let mark = uuid::Uuid::nil();
        Entry::AttemptStarted {
            n: 1,
            link: 0,
            turn: crate::model::entry::Turn::Task,
            mark,
            process: None,
            program: None,
            note: None,
            resumes: None,
            refs: None,
        }
    }

    #[test]
    fn each_state_has_its_meaning_with_and_without_a_new_task() {
        let failure = Failure::new(Class::Git, "no");
        let cleaning = || Entry::Cleaning { trash: "/t".into(), head: HeadAt::default() };
        let cleaned = || Entry::Cleaned { tip: None, branch_deleted: false };
        let restoring = || Entry::Restoring {
            session: "s".parse().unwrap(),
            branch: "b".into(),
            worktree: "/w".into(),
            head: None,
            tip: None,
        };
        let refuse = Plan::Refuse;
        for (entries, without, with) in [
            (vec![], Plan::GoOn, refuse(Why::NotBegun)),
            (vec![attempted()], Plan::GoOn, Plan::Round),
            (vec![Entry::NotCreated { failure }], refuse(Why::NotCreated), refuse(Why::NotCreated)),
            (vec![attempted(), ended(Final::Done)], refuse(Why::Done), Plan::Round),
            (vec![attempted(), ended(Final::Failed)], Plan::Round, Plan::Round),
            (vec![attempted(), ended(Final::Killed)], Plan::Round, Plan::Round),
            (vec![ended(Final::Done), cleaning()], refuse(Why::Cleaning), refuse(Why::Cleaning)),
            (vec![ended(Final::Done), cleaning(), cleaned()], refuse(Why::Cleaned), refuse(Why::Cleaned)),
            (vec![ended(Final::Done), cleaned(), restoring()], refuse(Why::Done), Plan::Round),
            (
                vec![ended(Final::Done), cleaned(), restoring(), Entry::Restored],
                refuse(Why::Done),
                Plan::Round,
            ),
            (vec![Entry::Unknown], refuse(Why::Newer), refuse(Why::Newer)),
        ] {
            let agent = agent(entries.clone());
            assert_eq!(plan(&agent, false), without, "{entries:?}");
            assert_eq!(plan(&agent, true), with, "{entries:?} with a new task");
        }
    }
}
