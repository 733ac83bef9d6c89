//! What an agent's keeper does next. Everything it needs is in the journal, so a keeper that takes over from a dead one
//! comes to the same answer as the dead one would have.

use crate::model::agent::{Agent, Attempt};
use crate::model::entry::{Ending, Final, Turn};
use crate::model::failure::{Class, Failure};
use crate::rules::guard;

/// The next step of an agent's life.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Fill the worktree and check that it is what it should be.
    Fill,
    /// Link into the worktree what it shares with the checkout.
    Link,
    /// Run the command that makes the worktree ready for work.
    SetUp,
    /// Start the CLI at `link` of the chain.
    Attempt {
        /// The number of the attempt.
        n: u32,
        /// Its place in the chain.
        link: usize,
        /// Why.
        turn: Turn,
    },
    /// Save what attempt `n` left under a ref of its own, before anything else touches it.
    Rescue {
        /// The attempt.
        n: u32,
    },
    /// Find out whether attempt `n` did what it may not do to refs and remotes, and put back what can be.
    Guard {
        /// The attempt.
        n: u32,
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
    /// Bring the result, which attempt `n` made last, to where it was asked for.
    Deliver {
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
    let n = agent.last_attempt().map_or(1, |a| a.n + 1);
    if let Some(n) = unsaved(agent) {
        return Step::Rescue { n };
    }
    if let Some(n) = unguarded(agent) {
        return Step::Guard { n };
    }
    let has_links = agent.spec.from_file.as_ref().is_some_and(|from| !from.symlink.is_empty());
    if has_links && undelivered(agent).is_none() && agent.outfit.links.is_none() {
        return Step::Link;
    }
    if agent.spec.setup.is_some() && undelivered(agent).is_none() {
        match &agent.set_up {
            // In the round in which it failed it is not tried again.
            Some(done) if !done.ok && done.round == agent.round => {
                let how = done.exit.map_or_else(|| "was stopped".to_owned(), |exit| format!("exited {exit}"));
                let command = agent.spec.setup.as_deref().unwrap_or_default();
                let failure = Failure::new(Class::Setup, format!("the setup command `{command}` {how}"));
                return Step::End { state: Final::Failed, failure: Some(failure) };
            }
            Some(done) if done.ok => {}
            Some(_) | None => return Step::SetUp,
        }
    }
    let step = after_rescue(agent, n);
    // Another CLI may throw away what the one before left, and nothing else holds that.
    if let (Step::Attempt { .. }, Some(last)) = (&step, agent.last_attempt())
        && let Some(why) = agent.not_saved(last.n)
    {
        let why = format!("what attempt {} left could not be saved, so nobody works on it: {why}", last.n);
        return Step::End { state: Final::Failed, failure: Some(Failure::new(Class::Git, why)) };
    }
    step
}

fn after_rescue(agent: &Agent, n: u32) -> Step {
    let Some(last) = agent.round_attempts().last() else {
        if let Some(last) = undelivered(agent) {
            return delivered(agent, last.n);
        }
        let (link, turn) = first_of_round(agent);
        return Step::Attempt { n, link, turn };
    };
    match verdict(agent, last) {
        Verdict::First(step) => step,
        Verdict::Good => delivered(agent, last.n),
        Verdict::Killed => Step::End { state: Final::Killed, failure: None },
        Verdict::Hopeless(failure) => Step::End { state: Final::Failed, failure: Some(failure) },
        Verdict::Repair => Step::Attempt { n, link: last.link, turn: Turn::Repair },
        Verdict::Lost => Step::Attempt { n, link: last.link, turn: Turn::Resume },
        Verdict::Failed(_) if conversation_is_gone(last) => {
            Step::Attempt { n, link: last.link, turn: Turn::Handover }
        }
        Verdict::Failed(failure) => match following(agent, last.link).next() {
            Some(link) => Step::Attempt { n, link, turn: Turn::Handover },
            None => Step::End { state: Final::Failed, failure: Some(whole(agent, failure)) },
        },
    }
}

/// The attempt whose result is there and only was not delivered, if that is what the agent was asked to go on with: nobody works on
/// it again.
pub fn undelivered(agent: &Agent) -> Option<&Attempt> {
    let asked = agent.spec.deliver.is_some() && agent.task_round != agent.round;
    let before = agent.earlier.last().filter(|_| asked && agent.round_attempts().is_empty())?;
    let end = before.conclusion.as_ref()?;
    let last = agent.last_attempt()?;
    let refused = end.failure.as_ref().is_some_and(|failure| failure.class == Class::Delivery);
    // Killed when all was done but that.
    let killed = end.state == Final::Killed && before.round_from < agent.attempts.len();
    (refused || (killed && matches!(verdict(agent, last), Verdict::Good))).then_some(last)
}

/// What follows on a result that is good.
fn delivered(agent: &Agent, n: u32) -> Step {
    let done = Step::End { state: Final::Done, failure: None };
    if agent.spec.deliver.is_none() {
        return done;
    }
    match agent.delivered.end.as_ref().filter(|end| end.round == agent.round) {
        None => Step::Deliver { n },
        Some(end) => match &end.undelivered {
            None => done,
            Some(undelivered) => {
                let failure = Failure::new(Class::Delivery, undelivered.why.clone());
                Step::End { state: Final::Failed, failure: Some(failure) }
            }
        },
    }
}

/// The attempt that ran last, if what it left is not saved yet. It may be one whose keeper went away, so whoever takes over
/// must have ended what was left of it.
pub fn unsaved(agent: &Agent) -> Option<u32> {
    let last = agent.last_attempt().filter(|last| last.process.is_some())?;
    (!agent.is_rescued(last.n)).then_some(last.n)
}

/// The attempt that ran last, if refs were put on record before it and nobody has compared them since.
pub fn unguarded(agent: &Agent) -> Option<u32> {
    let last = agent.last_attempt().filter(|last| last.process.is_some() && last.refs.is_some())?;
    (!agent.guarded.iter().any(|g| g.n == last.n && g.done)).then_some(last.n)
}

/// Who begins a round, and why. A new task goes to whoever worked last, because its conversation knows the most.
fn first_of_round(agent: &Agent) -> (usize, Turn) {
    if agent.round == 1 {
        (0, Turn::Task)
    } else if agent.task_round == agent.round {
        (first_link(agent), Turn::Continue)
    } else {
        (0, Turn::Handover)
    }
}

/// The link that a round begins with.
fn first_link(agent: &Agent) -> usize {
    if agent.round == 1 || agent.task_round != agent.round {
        return 0;
    }
    let before = agent.attempts.get(..agent.round_from).unwrap_or_default();
    let spoke = |a: &&Attempt| a.conversation.is_some();
    before.iter().rev().find(spoke).or(before.last()).map_or(0, |a| a.link)
}

/// The links that come behind `link` in this round: the chain in its order, but for the one that the round begins with.
fn following(agent: &Agent, link: usize) -> impl Iterator<Item = usize> {
    let first = first_link(agent);
    let order = std::iter::once(first).chain((0..agent.spec.chain.len()).filter(move |l| *l != first));
    order.skip_while(move |l| *l != link).skip(1)
}

/// Whether the attempt failed because the CLI does not know the conversation any more that it was to go on with: it never
/// said that it began, and nothing else explains it. The same CLI then gets another try, with a brief.
fn conversation_is_gone(attempt: &Attempt) -> bool {
    let class = match attempt.ended.as_ref().map(|e| &e.ending) {
        Some(Ending::Failed { failure }) => failure.class,
        _ => return false,
    };
    attempt.resumes.is_some()
        && attempt.conversation.is_none()
        && matches!(class, Class::Unknown | Class::Crash | Class::Empty)
}

fn verdict(agent: &Agent, last: &Attempt) -> Verdict {
    let killed = last.ended.as_ref().is_some_and(|ended| matches!(ended.ending, Ending::Killed));
    // Whatever came of it otherwise.
    if let (false, Some(message)) = (killed, guard::reason(agent.violations(last.n))) {
        return Verdict::Hopeless(Failure::new(Class::Guard, message));
    }
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
    let repaired =
        agent.round_attempts().iter().filter(|a| a.link == last.link && a.turn == Turn::Repair).count();
    if repaired < usize::try_from(agent.spec.repairs).unwrap_or(usize::MAX) {
        return Verdict::Repair;
    }
    let how = validation.exit.map_or_else(|| "was stopped".to_owned(), |exit| format!("exited {exit}"));
    Verdict::Failed(Failure::new(Class::Validation, format!("the validation command `{command}` {how}")))
}

/// The failure of the whole chain: of one class if every CLI failed for it, else the last one's.
fn whole(agent: &Agent, last: Failure) -> Failure {
    let missing = |a: &Attempt| matches!(&a.ended, Some(e) if matches!(&e.ending, Ending::Failed { failure } if failure.class == Class::MissingCli));
    if agent.round_attempts().iter().all(missing) {
        return last;
    }
    // "Not installed" says nothing about the task when another CLI did try it.
    let told = agent.round_attempts().iter().rev().find(|a| !missing(a)).and_then(|a| a.ended.as_ref());
    match told.map(|e| &e.ending) {
        Some(Ending::Failed { failure }) => failure.clone(),
        _ => last,
    }
}

/// How often the CLIs after `link` may still be started: what is left to fall back to. `usable` says whether a CLI of
/// the chain can be started at all.
pub fn fallback_left(agent: &Agent, link: usize, usable: impl Fn(usize) -> bool) -> bool {
    following(agent, link).any(usable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::agent::{
        Committed, Conclusion, EarlierRound, Ended, Guarded, Rescue, SetUp, Validation,
    };
    use crate::model::delivery::{Delivered, Delivery, DeliveryEnd, Undelivered};
    use crate::model::entry::{Link, Spec};
    use crate::model::guard::{Finding, Whose};
    use crate::model::ids::{AgentId, Moment, ProcessId, Project};
    use crate::model::place::Place;
    use crate::model::profile::Permissions;
    use crate::model::project_file::{FromFile, Links, Outfit};

    fn moment() -> Moment {
        Moment("2026-11-20T10:00:00Z".parse().unwrap())
    }

    fn agent(chain: &[&str]) -> Agent {
        Agent {
            spec: Spec {
                id: AgentId(uuid::Uuid::nil()),
                session: "s".parse().unwrap(),
                project: Project("p".into()),
                place: Place::NewBranch,
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
                setup: None,
                validate: None,
                repairs: 1,
                budget_usd: None,
                commit: true,
                env_names: vec![],
                has_context: false,
                role: None,
                context_id: None,
                parent: None,
                parent_name: None,
                may_start: None,
                copy: Vec::new(),
                pull: None,
                deliver: None,
                from_file: None,
                guards: crate::model::guard::Guards::default(),
            },
            created: moment(),
            creator: ProcessId { pid: 1, start: 1, boot: "b".into() },
            worktree: None,
            keeper: None,
            was_kept: true,
            ready: true,
            filled: None,
            attempts: vec![],
            commits: vec![],
            set_up: None,
            outfit: Outfit::default(),
            validations: vec![],
            rescues: vec![],
            delivered: Delivered::default(),
            guarded: vec![],
            children: Vec::new(),
            round: 1,
            task_round: 1,
            round_from: 0,
            began: moment(),
            earlier: Vec::new(),
            not_begun: false,
            removal: None,
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
            resumes: None,
            refs: None,
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
    fn a_worktree_is_set_up_once_before_anything_runs_and_again_in_the_next_round_if_that_failed() {
        let done =
            |ok, round| Some(SetUp { ok, exit: Some(i32::from(!ok)), ms: 1, output: String::new(), round });
        let mut a = agent(&["x"]);
        a.spec.setup = Some("make deps".into());
        assert_eq!(next(&a), Step::SetUp);
        a.set_up = done(false, 1);
        let Step::End { state: Final::Failed, failure: Some(failure) } = next(&a) else { panic!() };
        assert_eq!(
            (failure.class, failure.message.as_str()),
            (Class::Setup, "the setup command `make deps` exited 1")
        );
        another_round(&mut a, false);
        assert_eq!(next(&a), Step::SetUp);
        a.set_up = done(true, 2);
        assert!(matches!(next(&a), Step::Attempt { .. }));
        another_round(&mut a, false);
        assert!(matches!(next(&a), Step::Attempt { .. }), "it is set up");
    }

    #[test]
    fn what_is_shared_is_linked_before_the_setup_and_once() {
        let mut a = agent(&["x"]);
        a.spec.setup = Some("make deps".into());
        a.spec.from_file = Some(Box::default());
        assert_eq!(next(&a), Step::SetUp, "nothing is to be linked");
        a.spec.from_file = Some(Box::new(FromFile { symlink: vec!["deps".into()], ..FromFile::default() }));
        assert_eq!(next(&a), Step::Link);
        a.outfit.links = Some(Links::default());
        assert_eq!(next(&a), Step::SetUp);
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
                    assert_eq!(step, Step::Attempt { n: 2, link: 0, turn: Turn::Resume }, "{class}");
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
        assert_eq!(next(&a), Step::Attempt { n: 2, link: 0, turn: Turn::Resume });
    }

    /// Ends the round and begins the next one, with a new task or the same.
    fn another_round(agent: &mut Agent, new_task: bool) {
        agent.conclusion = None;
        agent.round += 1;
        agent.round_from = agent.attempts.len();
        if new_task {
            agent.task_round = agent.round;
        }
    }

    #[test]
    fn what_ran_is_saved_before_anything_else_happens() {
        for ending in [Some(Ending::Done), Some(failed(Class::Quota)), Some(Ending::Killed), None] {
            let mut a = agent(&["x", "y"]);
            tried(&mut a, ending);
            a.attempts[0].process = Some(ProcessId { pid: 2, start: 2, boot: "b".into() });
            assert_eq!(next(&a), Step::Rescue { n: 1 });
            a.rescues.push(Rescue {
                n: 1,
                removal: false,
                name: None,
                commit: None,
                why: None,
                left: Vec::new(),
                crossed: Vec::new(),
            });
            assert_ne!(next(&a), Step::Rescue { n: 1 });
        }
        let mut a = agent(&["x", "y"]);
        tried(&mut a, failed(Class::MissingCli));
        assert_eq!(unsaved(&a), None, "what never ran left nothing");
    }

    #[test]
    fn a_good_result_is_delivered_and_what_was_not_is_delivered_again_without_work() {
        let mut a = agent(&["x", "y"]);
        a.spec.deliver = Some(Delivery {
            remote: "origin".into(),
            branch: None,
            open: None,
            labels: vec![],
            seal: String::new(),
        });
        let end = |round, why: Option<&str>| {
            let undelivered = why.map(|why| Undelivered { why: why.to_owned(), commands: Vec::new() });
            Some(DeliveryEnd { round, undelivered, nothing: false, note: None })
        };
        tried(&mut a, failed(Class::Quota));
        assert!(matches!(next(&a), Step::Attempt { .. }), "what failed is not delivered");
        tried(&mut a, Ending::Done);
        committed(&mut a);
        assert_eq!(next(&a), Step::Deliver { n: 2 });
        a.delivered.end = end(1, Some("no login"));
        let Step::End { state: Final::Failed, failure: Some(failure) } = next(&a) else { panic!() };
        assert_eq!((failure.class, &*failure.message), (Class::Delivery, "no login"));
        a.earlier.push(EarlierRound {
            conclusion: Some(Conclusion {
                at: moment(),
                state: Final::Failed,
                failure: Some(failure),
                changes: None,
            }),
            round: 1,
            task_round: 1,
            round_from: 0,
            title: "t".into(),
            began: moment(),
            until: moment(),
        });
        another_round(&mut a, false);
        assert_eq!(next(&a), Step::Deliver { n: 2 }, "nobody works on it again");
        a.delivered.end = end(2, None);
        assert_eq!(next(&a), Step::End { state: Final::Done, failure: None });
        // With a new task there is a new result first.
        let mut more = a.clone();
        more.delivered.end = end(1, Some("no login"));
        more.task_round = 2;
        assert!(matches!(next(&more), Step::Attempt { turn: Turn::Continue, .. }));
    }

    #[test]
    fn what_an_attempt_may_not_do_is_looked_for_before_its_work_counts() {
        for (ending, whose) in [
            (Some(Ending::Done), Whose::Agent),
            (Some(Ending::Done), Whose::Likely),
            (Some(Ending::Done), Whose::SomeAgent),
            (Some(Ending::Done), Whose::Unclear),
            (Some(failed(Class::Quota)), Whose::Agent),
            (Some(Ending::Killed), Whose::Agent),
            (None, Whose::Agent),
        ] {
            let mut a = agent(&["x", "y"]);
            tried(&mut a, ending.clone());
            a.attempts[0].process = Some(ProcessId { pid: 2, start: 2, boot: "b".into() });
            a.attempts[0].refs = Some("0".into());
            assert_eq!(next(&a), Step::Rescue { n: 1 }, "saved first");
            a.rescues.push(Rescue {
                n: 1,
                removal: false,
                name: None,
                commit: None,
                why: None,
                left: Vec::new(),
                crossed: Vec::new(),
            });
            assert_eq!(next(&a), Step::Guard { n: 1 });
            let findings = vec![Finding { whose, ..guard::tampered("x") }];
            a.guarded.push(Guarded { n: 1, findings, unknown: Vec::new(), done: false });
            assert_eq!(next(&a), Step::Guard { n: 1 }, "somebody was in the middle of it");
            a.guarded[0].done = true;
            let step = next(&a);
            let failed_by = |class| matches!(&step, Step::End { state: Final::Failed, failure: Some(f) } if f.class == class);
            match (&ending, whose) {
                (Some(Ending::Killed), _) => {
                    assert_eq!(step, Step::End { state: Final::Killed, failure: None });
                }
                (_, Whose::Agent | Whose::Likely) => {
                    assert!(failed_by(Class::Guard), "no other CLI changes that: {step:?}");
                }
                _ => assert_eq!(step, Step::Commit { n: 1 }, "{whose:?}"),
            }
            a.attempts[0].refs = None;
            a.guarded.clear();
            assert_ne!(next(&a), Step::Guard { n: 1 }, "nothing was on record");
        }
    }

    #[test]
    fn a_new_task_goes_to_whoever_worked_last_and_then_to_the_others_in_order() {
        let mut a = agent(&["x", "y", "z"]);
        tried(&mut a, failed(Class::Quota));
        tried(&mut a, Ending::Done);
        a.attempts[1].conversation = Some("c".into());
        committed(&mut a);
        another_round(&mut a, true);
        for (n, link, turn) in [(3, 1, Turn::Continue), (4, 0, Turn::Handover), (5, 2, Turn::Handover)] {
            assert_eq!(next(&a), Step::Attempt { n, link, turn });
            tried(&mut a, failed(Class::Quota));
        }
        assert!(matches!(next(&a), Step::End { state: Final::Failed, .. }));
    }

    #[test]
    fn the_same_task_again_begins_the_chain_anew() {
        let mut a = agent(&["x", "y"]);
        tried(&mut a, failed(Class::Quota));
        tried(&mut a, failed(Class::Quota));
        another_round(&mut a, false);
        assert_eq!(next(&a), Step::Attempt { n: 3, link: 0, turn: Turn::Handover });
        tried(&mut a, failed(Class::Quota));
        assert_eq!(next(&a), Step::Attempt { n: 4, link: 1, turn: Turn::Handover });
    }

    #[test]
    fn a_conversation_that_is_gone_costs_one_try_not_the_cli() {
        let mut a = agent(&["x", "y"]);
        tried(&mut a, None);
        tried(&mut a, failed(Class::Unknown));
        a.attempts[1].resumes = Some("gone".into());
        assert_eq!(next(&a), Step::Attempt { n: 3, link: 0, turn: Turn::Handover });
        tried(&mut a, failed(Class::Unknown));
        assert_eq!(next(&a), Step::Attempt { n: 4, link: 1, turn: Turn::Handover });
        for (class, conversation) in [(Class::Quota, None), (Class::Unknown, Some("gone".to_owned()))] {
            let mut a = agent(&["x", "y"]);
            tried(&mut a, None);
            tried(&mut a, failed(class));
            a.attempts[1].resumes = Some("gone".into());
            a.attempts[1].conversation = conversation;
            assert_eq!(next(&a), Step::Attempt { n: 3, link: 1, turn: Turn::Handover }, "{class}");
        }
    }

    #[test]
    fn a_killed_attempt_ends_the_agent() {
        let mut a = agent(&["x", "y"]);
        tried(&mut a, Ending::Killed);
        assert_eq!(next(&a), Step::End { state: Final::Killed, failure: None });
    }
}
