//! What an agent's keeper does next. Everything it needs is in the journal, so a keeper that takes over from a dead one
//! comes to the same answer as the dead one would have.

use crate::model::agent::{Agent, Attempt};
use crate::model::entry::{Ending, Final, Turn};
use crate::model::failure::{Class, Failure};

/// The next step of an agent's life.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Fill the worktree and check that it is what it should be.
    Fill,
    /// Start the CLI at `link` of the chain.
    Attempt {
        /// The number of the attempt.
        n: u32,
        /// Its place in the chain.
        link: usize,
        /// Why.
        turn: Turn,
    },
    /// Commit what attempt `n` left.
    Commit {
        /// The attempt.
        n: u32,
    },
    /// Run the validation command on what attempt `n` did.
    Validate {
        /// The attempt.
        n: u32,
    },
    /// Put the end on record.
    End {
        /// How.
        state: Final,
        /// Why it failed.
        failure: Option<Failure>,
    },
}

/// What an attempt came to, all that followed it included.
enum Verdict {
    /// Not yet known; this comes first.
    First(Step),
    /// The task is done.
    Good,
    /// It failed; another CLI may do better.
    Failed(Failure),
    /// It failed in a way that no other CLI changes.
    Hopeless(Failure),
    /// The validation failed and this CLI may repair what it found.
    Repair,
    /// Nobody knows how it would have ended: its keeper went away.
    Lost,
    /// Somebody killed it.
    Killed,
}

/// The step that follows from what is on record.
pub fn next(agent: &Agent) -> Step {
    if let Some(end) = &agent.conclusion {
        return Step::End { state: end.state, failure: end.failure.clone() };
    }
    if !agent.ready {
        return Step::Fill;
    }
    let Some(last) = agent.last_attempt() else {
        return Step::Attempt { n: 1, link: 0, turn: Turn::Task };
    };
    let n = last.n + 1;
    match verdict(agent, last) {
        Verdict::First(step) => step,
        Verdict::Good => Step::End { state: Final::Done, failure: None },
        Verdict::Killed => Step::End { state: Final::Killed, failure: None },
        Verdict::Hopeless(failure) => Step::End { state: Final::Failed, failure: Some(failure) },
        Verdict::Repair => Step::Attempt { n, link: last.link, turn: Turn::Repair },
        Verdict::Lost => Step::Attempt { n, link: last.link, turn: Turn::Handover },
        Verdict::Failed(failure) => {
            if last.link + 1 < agent.spec.chain.len() {
                Step::Attempt { n, link: last.link + 1, turn: Turn::Handover }
            } else {
                Step::End { state: Final::Failed, failure: Some(whole(agent, failure)) }
            }
        }
    }
}

fn verdict(agent: &Agent, last: &Attempt) -> Verdict {
    let Some(ended) = &last.ended else { return Verdict::Lost };
    match &ended.ending {
        Ending::Killed => Verdict::Killed,
        Ending::Failed { failure } => match failure.class {
            // The time, the money and the guardrails belong to the task, not to one CLI.
            Class::Budget | Class::Guard | Class::Timeout | Class::Git => Verdict::Hopeless(failure.clone()),
            Class::Interrupted => Verdict::Lost,
            _ => Verdict::Failed(failure.clone()),
        },
        Ending::Done => after_success(agent, last),
    }
}

fn after_success(agent: &Agent, last: &Attempt) -> Verdict {
    if agent.spec.commit && !agent.commits.iter().any(|c| c.n == last.n) {
        return Verdict::First(Step::Commit { n: last.n });
    }
    let Some(command) = &agent.spec.validate else { return Verdict::Good };
    let Some(validation) = agent.validations.iter().rev().find(|v| v.n == last.n) else {
        return Verdict::First(Step::Validate { n: last.n });
    };
    if validation.ok {
        return Verdict::Good;
    }
    let repaired = agent.attempts.iter().filter(|a| a.link == last.link && a.turn == Turn::Repair).count();
    if repaired < usize::try_from(agent.spec.repairs).unwrap_or(usize::MAX) {
        return Verdict::Repair;
    }
    let how = validation.exit.map_or_else(|| "was stopped".to_owned(), |exit| format!("exited {exit}"));
    Verdict::Failed(Failure::new(Class::Validation, format!("the validation command `{command}` {how}")))
}

/// The failure of the whole chain: of one class if every CLI failed for it, else the last one's.
fn whole(agent: &Agent, last: Failure) -> Failure {
    let missing = |a: &Attempt| matches!(&a.ended, Some(e) if matches!(&e.ending, Ending::Failed { failure } if failure.class == Class::MissingCli));
    if agent.attempts.iter().all(missing) {
        return last;
    }
    // "Not installed" says nothing about the task when another CLI did try it.
    let told = agent.attempts.iter().rev().find(|a| !missing(a)).and_then(|a| a.ended.as_ref());
    match told.map(|e| &e.ending) {
        Some(Ending::Failed { failure }) => failure.clone(),
        _ => last,
    }
}

/// How often the CLIs after `link` may still be started: what is left to fall back to. `usable` says whether a CLI of
/// the chain can be started at all.
pub fn fallback_left(agent: &Agent, link: usize, usable: impl Fn(usize) -> bool) -> bool {
    (link + 1..agent.spec.chain.len()).any(usable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::agent::{Committed, Ended, Validation};
    use crate::model::entry::{Link, Spec};
    use crate::model::ids::{AgentId, Moment, ProcessId, Project};
    use crate::model::profile::Permissions;

    fn moment() -> Moment {
        Moment("2026-11-20T10:00:00Z".parse().unwrap())
    }

    fn agent(chain: &[&str]) -> Agent {
        Agent {
            spec: Spec {
                id: AgentId(uuid::Uuid::nil()),
                session: "s".parse().unwrap(),
                project: Project("p".into()),
                common_dir: "/r/.git".into(),
                checkout: "/r".into(),
                base: "0".repeat(40),
                base_name: "main".into(),
                branch: "ai_orch/s".into(),
                worktree: "/w".into(),
                title: "t".into(),
                chain: chain.iter().map(|c| Link { cli: (*c).into(), model: None }).collect(),
                permissions: Permissions::Work,
                timeout_ms: None,
                validate: None,
                repairs: 1,
                budget_usd: None,
                commit: true,
                env_names: vec![],
                has_context: false,
            },
            created: moment(),
            creator: ProcessId { pid: 1, start: 1, boot: "b".into() },
            worktree: None,
            keeper: None,
            ready: true,
            attempts: vec![],
            commits: vec![],
            validations: vec![],
            interrupted: None,
            not_created: None,
            conclusion: None,
            updated: moment(),
            newer: false,
            damaged: None,
        }
    }

    fn tried(agent: &mut Agent, ending: impl Into<Option<Ending>>) {
        let ending = ending.into();
        let Step::Attempt { n, link, turn } = next(agent) else {
            panic!("not an attempt: {:?}", next(agent))
        };
        agent.attempts.push(Attempt {
            n,
            link,
            turn,
            started: moment(),
            mark: uuid::Uuid::nil(),
            process: None,
            conversation: None,
            model: None,
            note: None,
            ended: ending.map(|ending| Ended {
                at: moment(),
                ending,
                exit: None,
                signal: None,
                usage: None,
                ms: 1,
                answer: String::new(),
            }),
        });
    }

    fn failed(class: Class) -> Ending {
        Ending::Failed { failure: Failure::new(class, class.as_str()) }
    }

    fn committed(agent: &mut Agent) {
        let Step::Commit { n } = next(agent) else { panic!("not a commit: {:?}", next(agent)) };
        agent.commits.push(Committed { n, commit: None, skipped: None });
    }

    fn validated(agent: &mut Agent, ok: bool) {
        let Step::Validate { n } = next(agent) else { panic!("not a validation: {:?}", next(agent)) };
        agent.validations.push(Validation { n, ok, exit: Some(1), ms: 1, output: String::new() });
    }

    #[test]
    fn an_unready_worktree_is_filled_first() {
        let mut a = agent(&["x"]);
        a.ready = false;
        assert_eq!(next(&a), Step::Fill);
    }

    #[test]
    fn success_is_committed_before_it_counts() {
        let mut a = agent(&["x"]);
        tried(&mut a, Ending::Done);
        committed(&mut a);
        assert_eq!(next(&a), Step::End { state: Final::Done, failure: None });
    }

    #[test]
    fn every_class_but_those_of_the_task_goes_on_to_the_next_cli() {
        for class in Class::ALL {
            let mut a = agent(&["x", "y"]);
            tried(&mut a, failed(class));
            let step = next(&a);
            match class {
                Class::Budget | Class::Guard | Class::Timeout | Class::Git => {
                    assert!(matches!(step, Step::End { state: Final::Failed, .. }), "{class}: {step:?}");
                }
                Class::Interrupted => {
                    assert_eq!(step, Step::Attempt { n: 2, link: 0, turn: Turn::Handover }, "{class}");
                }
                _ => assert_eq!(step, Step::Attempt { n: 2, link: 1, turn: Turn::Handover }, "{class}"),
            }
        }
    }

    #[test]
    fn the_end_of_the_chain_is_the_end_with_the_telling_reason() {
        let mut a = agent(&["x", "y"]);
        tried(&mut a, failed(Class::Quota));
        tried(&mut a, failed(Class::MissingCli));
        let Step::End { state: Final::Failed, failure: Some(failure) } = next(&a) else { panic!() };
        assert_eq!(failure.class, Class::Quota, "a missing CLI does not hide why the other one failed");
        let mut a = agent(&["x", "y"]);
        tried(&mut a, failed(Class::MissingCli));
        tried(&mut a, failed(Class::MissingCli));
        let Step::End { failure: Some(failure), .. } = next(&a) else { panic!() };
        assert_eq!(failure.class, Class::MissingCli);
    }

    #[test]
    fn a_failed_validation_is_repaired_once_per_cli_then_handed_on_then_final() {
        let mut a = agent(&["x", "y"]);
        a.spec.validate = Some("make check".into());
        for link in 0..2 {
            tried(&mut a, Ending::Done);
            assert_eq!(a.attempts.last().unwrap().link, link);
            committed(&mut a);
            validated(&mut a, false);
            tried(&mut a, Ending::Done);
            assert_eq!(a.attempts.last().unwrap().turn, Turn::Repair);
            committed(&mut a);
            validated(&mut a, false);
        }
        let Step::End { state: Final::Failed, failure: Some(failure) } = next(&a) else { panic!() };
        assert_eq!(failure.class, Class::Validation);
    }

    #[test]
    fn a_lost_attempt_is_made_again_by_the_same_cli() {
        let mut a = agent(&["x", "y"]);
        tried(&mut a, None);
        assert_eq!(next(&a), Step::Attempt { n: 2, link: 0, turn: Turn::Handover });
    }

    #[test]
    fn a_killed_attempt_ends_the_agent() {
        let mut a = agent(&["x", "y"]);
        tried(&mut a, Ending::Killed);
        assert_eq!(next(&a), Step::End { state: Final::Killed, failure: None });
    }
}
