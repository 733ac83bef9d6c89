//! What `clean` means for an agent, from what is on record.

use crate::model::agent::{Agent, Removal};

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// Take its worktree away, or go on with that.
    Clean,
    /// Its return was cut off: it comes back whole first, so that what is saved of it is never half of it.
    Return,
    /// Its worktree is away; the rest has to follow.
    Finish,
    /// It must stay.
    Refuse(Why),
}

/// Why an agent must stay as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It has not ended.
    NotEnded,
    /// A later version of this program wrote its journal.
    Newer,
}

/// What `clean` means for `agent`, which no keeper keeps.
pub fn plan(agent: &Agent) -> Plan {
    if agent.newer {
        return Plan::Refuse(Why::Newer);
    }
    match &agent.removal {
        Some(Removal::Cleaning { .. }) => Plan::Clean,
        Some(Removal::Cleaned { .. }) => Plan::Finish,
        Some(Removal::Restoring { .. }) => Plan::Return,
        None if agent.conclusion.is_some() || agent.not_created.is_some() => Plan::Clean,
        None => Plan::Refuse(Why::NotEnded),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::entry::{Entry, Final, HeadAt};
    use crate::model::failure::{Class, Failure};
    use crate::rules::replay::example as agent;

    #[test]
    fn only_what_has_ended_goes_and_what_was_cut_off_is_gone_on_with() {
        let ended = || Entry::Ended { state: Final::Killed, failure: None, changes: None };
        let cleaning = || Entry::Cleaning { trash: "/t".into(), head: HeadAt::default() };
        let cleaned = || Entry::Cleaned { tip: None, branch_deleted: false };
        let (session, branch, worktree) = ("s".parse().unwrap(), "b".to_owned(), "/w".into());
        let restoring = Entry::Restoring { session, branch, worktree, head: None, tip: None };
        let failure = Failure::new(Class::Git, "no");
        for (entries, plan_of_it) in [
            (vec![], Plan::Refuse(Why::NotEnded)),
            (vec![Entry::Interrupted { why: "w".into() }], Plan::Refuse(Why::NotEnded)),
            (vec![Entry::NotCreated { failure }], Plan::Clean),
            (vec![ended()], Plan::Clean),
            (vec![ended(), cleaning()], Plan::Clean),
            (vec![ended(), cleaning(), cleaned()], Plan::Finish),
            (vec![ended(), cleaned(), restoring.clone()], Plan::Return),
            (vec![ended(), cleaned(), restoring, Entry::Restored], Plan::Clean),
            (vec![ended(), Entry::Unknown], Plan::Refuse(Why::Newer)),
        ] {
            assert_eq!(plan(&agent(entries.clone())), plan_of_it, "{entries:?}");
        }
    }
}
