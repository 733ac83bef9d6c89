//! From a journal to the agent it tells of.

use crate::model::agent::{
    Agent, Attempt, Committed, Conclusion, EarlierRound, Ended, Guarded, Removal, Rescue, SetUp, Validation,
};
use crate::model::delegation::{Child, Start};
use crate::model::delivery::{Delivered, DeliveryEnd};
use crate::model::entry::{self, Entry, HeadAt, Record};
use crate::model::guard::Finding;
use crate::model::place::Place;
use crate::model::project_file::Outfit;

/// A journal that tells of no agent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It holds nothing: whoever made it died before its first entry.
    #[error("it is empty")]
    Empty,
    /// It does not begin with the agent's creation.
    #[error("its first entry is not the creation of an agent")]
    NoCreation,
}

/// The agent that `records` tell of.
///
/// Entries about attempts that were never started are skipped: a journal is written in order by one writer, so they can
/// only come from a later version that says more than we understand.
pub fn replay(records: &[Record]) -> Result<Agent, Error> {
    let (first, rest) = records.split_first().ok_or(Error::Empty)?;
    let Entry::Created { spec, by } = &first.entry else { return Err(Error::NoCreation) };
    let mut agent = Agent {
        spec: (**spec).clone(),
        created: first.at,
        creator: by.clone(),
        worktree: None,
        keeper: None,
        was_kept: false,
        ready: false,
        filled: None,
        attempts: Vec::new(),
        commits: Vec::new(),
        set_up: None,
        outfit: Outfit::default(),
        validations: Vec::new(),
        rescues: Vec::new(),
        delivered: Delivered::default(),
        guarded: Vec::new(),
        children: Vec::new(),
        round: 1,
        task_round: 1,
        round_from: 0,
        began: first.at,
        earlier: Vec::new(),
        not_begun: false,
        removal: None,
        interrupted: None,
        not_created: None,
        conclusion: None,
        updated: first.at,
        newer: first.v > entry::VERSION,
        damaged: None,
    };
    for record in rest {
        apply(&mut agent, record);
    }
    Ok(agent)
}

/// Adds what `record` says to `agent`.
pub fn apply(agent: &mut Agent, record: &Record) {
    agent.updated = record.at;
    agent.newer |= record.v > entry::VERSION;
    match &record.entry {
        Entry::Created { .. } | Entry::Fenced { .. } => {}
        Entry::NotCreated { failure } => agent.not_created = Some(failure.clone()),
        Entry::WorktreeMade { path, admin_dir } => {
            agent.worktree = Some((path.clone(), admin_dir.clone()));
            // What it built is not in what is saved of a worktree.
            agent.set_up = None;
            agent.outfit.links = None;
            agent.outfit.to_tear_down = false;
        }
        Entry::Started { keeper } => {
            if agent.outfit.tearing_down || agent.outfit.torn_down.take().is_some() {
                // What was made ready is put away.
                agent.set_up = None;
            }
            agent.outfit.tearing_down = false;
            agent.outfit.to_tear_down = true;
            agent.keeper = Some(keeper.clone());
            agent.not_begun = false;
            agent.was_kept = true;
            agent.interrupted = None;
        }
        Entry::Ready { filled } => {
            agent.ready = true;
            agent.filled.clone_from(filled);
        }
        Entry::PortsTaken { ports } => agent.outfit.ports.clone_from(ports),
        Entry::Linked { links } => agent.outfit.links = Some(links.clone()),
        Entry::TearingDown => agent.outfit.tearing_down = true,
        Entry::TornDown { how } => {
            agent.outfit.tearing_down = false;
            agent.outfit.to_tear_down &= !how.ok;
            agent.outfit.torn_down = Some(how.clone());
        }
        Entry::AttemptStarted { n, link, turn, mark, process, note, resumes, refs, program: _ } => {
            agent.attempts.push(Attempt {
                n: *n,
                link: *link,
                turn: *turn,
                started: record.at,
                mark: *mark,
                process: process.clone(),
                conversation: None,
                model: None,
                note: note.clone(),
                resumes: resumes.clone(),
                refs: refs.clone(),
                ended: None,
            });
        }
        Entry::Conversation { n, id, model } => {
            if let Some(attempt) = find(agent, *n) {
                attempt.conversation = Some(id.clone());
                attempt.model.clone_from(model);
            }
        }
        Entry::AttemptEnded { n, ending, exit, signal, usage, ms, answer } => {
            let ended = Ended {
                at: record.at,
                ending: ending.clone(),
                exit: *exit,
                signal: *signal,
                usage: *usage,
                ms: *ms,
                answer: answer.clone(),
            };
            if let Some(attempt) = find(agent, *n) {
                attempt.ended = Some(ended);
            }
        }
        Entry::Committed { n, commit, skipped } => {
            agent.commits.push(Committed { n: *n, commit: commit.clone(), skipped: skipped.clone() });
        }
        Entry::SetUp { ok, exit, ms, output } => {
            let round = agent.round;
            agent.set_up = Some(SetUp { ok: *ok, exit: *exit, ms: *ms, output: output.clone(), round });
        }
        Entry::Validated { n, ok, exit, ms, output } => {
            agent.validations.push(Validation {
                n: *n,
                ok: *ok,
                exit: *exit,
                ms: *ms,
                output: output.clone(),
            });
        }
        // It may have arrived, or not: it is looked for before anything is pushed again.
        Entry::Delivering { commit, .. } => agent.delivered.sent = Some(commit.clone()),
        Entry::Pushed { n: _, commit } => agent.delivered.pushed = Some(commit.clone()),
        Entry::Delivered { n: _, pull, nothing, note } => {
            if pull.is_some() {
                agent.delivered.pull.clone_from(pull);
            }
            let (round, nothing, note) = (agent.round, *nothing, note.clone());
            agent.delivered.end = Some(DeliveryEnd { round, undelivered: None, nothing, note });
        }
        Entry::NotDelivered { n: _, undelivered } => {
            let (round, undelivered) = (agent.round, Some(undelivered.clone()));
            agent.delivered.end = Some(DeliveryEnd { round, undelivered, nothing: false, note: None });
        }
        Entry::Interrupted { why } => agent.interrupted = Some(why.clone()),
        Entry::Rescued { n, removal, name, commit, why, left, crossed } => agent.rescues.push(Rescue {
            n: *n,
            removal: *removal,
            name: name.clone(),
            commit: commit.clone(),
            why: why.clone(),
            left: left.clone(),
            crossed: crossed.clone(),
        }),
        Entry::GuardFound { n, findings, unknown } => guarded(agent, *n, findings, unknown, false),
        Entry::Guarded { n, findings, unknown } => guarded(agent, *n, findings, unknown, true),
        Entry::Resumed { by, round } => {
            agent.creator = by.clone();
            agent.keeper = None;
            agent.interrupted = None;
            // What could not be saved then is tried again.
            agent.rescues.retain(|r| r.why.is_none());
            if let Some(round) = round {
                agent.earlier.push(EarlierRound {
                    conclusion: agent.conclusion.take(),
                    round: agent.round,
                    task_round: agent.task_round,
                    round_from: agent.round_from,
                    title: agent.spec.title.clone(),
                    began: agent.began,
                    until: record.at,
                });
                agent.not_begun = true;
                agent.began = record.at;
                agent.round = round.n;
                agent.round_from = agent.attempts.len();
                if let Some(title) = &round.title {
                    agent.task_round = round.n;
                    agent.spec.title.clone_from(title);
                }
            }
        }
        Entry::NotResumed { why } => {
            let before = if std::mem::take(&mut agent.not_begun) { agent.earlier.pop() } else { None };
            match before {
                Some(before) => {
                    agent.conclusion = before.conclusion;
                    agent.round = before.round;
                    agent.task_round = before.task_round;
                    agent.round_from = before.round_from;
                    agent.spec.title = before.title;
                    agent.began = before.began;
                }
                None => agent.interrupted = Some(why.clone()),
            }
        }
        Entry::Cleaning { trash, head } => {
            agent.removal = Some(Removal::Cleaning { trash: trash.clone(), head: head.clone() });
        }
        Entry::Cleaned { tip, branch_deleted } => {
            let head = head_at_removal(agent);
            let (tip, branch_deleted, at) = (tip.clone(), *branch_deleted, record.at);
            agent.removal = Some(Removal::Cleaned { head, tip, branch_deleted, at });
        }
        Entry::Restoring { session, branch, worktree, head, tip } => {
            let known = match &agent.removal {
                Some(Removal::Cleaned { tip, .. } | Removal::Restoring { tip, .. }) => tip.clone(),
                Some(Removal::Cleaning { .. }) | None => None,
            };
            let tip = tip.clone().or(known);
            let mut head = head.clone().unwrap_or_else(|| head_at_removal(agent));
            if head.branch.as_ref() == Some(&agent.spec.branch) {
                head.branch = Some(branch.clone());
            }
            agent.removal = Some(Removal::Restoring { head, tip });
            agent.spec.session = session.clone();
            // Somebody else has the branch that it worked on: this one is made for it.
            if agent.spec.place == Place::Branch && agent.spec.branch != *branch {
                agent.spec.place = Place::NewBranch;
            }
            agent.spec.branch.clone_from(branch);
            agent.spec.worktree.clone_from(worktree);
            agent.worktree = None;
        }
        Entry::Restored => agent.removal = None,
        Entry::ChildBegun { key, child, agents, usd } => {
            let (key, id, agents, usd) = (*key, *child, *agents, *usd);
            put(agent, Child { key, id, agents, usd, start: Start::Begun });
        }
        Entry::ChildStarted { child, session } => {
            if let Some(known) = agent.children.iter_mut().find(|known| known.id == *child) {
                known.start = Start::Done { session: session.to_string() };
            }
        }
        Entry::ChildNotStarted { key, child, error } => {
            let start = Start::Failed { error: error.clone() };
            put(agent, Child { key: *key, id: *child, agents: 0, usd: 0.0, start });
        }
        Entry::Ended { state, failure, changes } => {
            agent.conclusion = Some(Conclusion {
                at: record.at,
                state: *state,
                failure: failure.clone(),
                changes: changes.clone(),
            });
        }
        Entry::Quarantined { why, kept } => {
            let name = kept.file_name().unwrap_or_default().to_string_lossy();
            agent.damaged = Some(format!("its journal was, {why}; kept as {name}"));
        }
        Entry::Unknown => agent.newer = true,
    }
}

/// Where the HEAD of the worktree was when its removal began.
fn head_at_removal(agent: &Agent) -> HeadAt {
    match &agent.removal {
        Some(
            Removal::Cleaning { head, .. } | Removal::Cleaned { head, .. } | Removal::Restoring { head, .. },
        ) => head.clone(),
        None => HeadAt::default(),
    }
}

/// The child that the request of `child` leads to, in place of one that it led to before.
fn put(agent: &mut Agent, child: Child) {
    agent.children.retain(|known| known.key != child.key);
    agent.children.push(child);
}

/// Puts in what is known by now of what attempt `n` did that it may not do.
fn guarded(agent: &mut Agent, n: u32, findings: &[Finding], unknown: &[String], done: bool) {
    agent.guarded.retain(|known| known.n != n);
    agent.guarded.push(Guarded { n, findings: findings.to_vec(), unknown: unknown.to_vec(), done });
}

fn find(agent: &mut Agent, n: u32) -> Option<&mut Attempt> {
    agent.attempts.iter_mut().rev().find(|a| a.n == n)
}

/// The agent of a journal that begins as all do and goes on with `entries`, for the tables of other rules.
#[cfg(test)]
pub(super) fn example(entries: Vec<Entry>) -> Agent {
    let first: Record = serde_json::from_str(include_str!("../../tests/samples/created.json")).unwrap();
    let at = first.at;
    let rest = entries.into_iter().map(|entry| Record { v: entry::VERSION, at, entry });
    replay(&std::iter::once(first).chain(rest).collect::<Vec<_>>()).unwrap()
}
