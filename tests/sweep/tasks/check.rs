//! What must hold, whatever died.

use super::actor;
use super::scenes::{self, op_of, places, project};
use ai_orch::a2a::tasks::{By, ClaimRequest, Filter, Tasks};
use ai_orch::a2a::worker::Worker;
use ai_orch::model::a2a::TaskState;
use ai_orch::model::ids::{Party, TaskId};
use ai_orch::model::places::Copies;
use ai_orch::model::work::{OnFailed, TaskEntry, TaskRecord, Work};
use ai_orch::tools::journal;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// What is wrong after `act`, with recovery, repetition, and all the work done in between.
pub fn after(dir: &Path, act: &str, acked: bool) -> Vec<String> {
    let mut wrong = Vec::new();
    let tasks = scenes::tasks(dir).unwrap();
    tasks.reap().unwrap();
    whole(dir, &tasks, &mut wrong);
    let operations = |tasks: &Tasks| {
        let all = tasks.list(&Filter::default()).unwrap().tasks;
        all.iter().map(|work| work.done.iter().filter(|done| done.op == op_of(act)).count()).sum::<usize>()
    };
    let counted = !["reap", "renew", "open", "sync"].contains(&act.split(' ').next().unwrap());
    let once = operations(&tasks);
    if counted && (once > 1 || acked && once != 1) {
        wrong.push(format!("acknowledged: {acked}, on record: {once}"));
    }
    // What was claimed by the dead is taken from them, and the same claim again is another one.
    let again = actor::run(dir, act);
    if !matches!(again, Ok(true)) {
        wrong.push(format!("again: {again:?}"));
    }
    let twice = operations(&tasks);
    if counted && !act.starts_with("claim") && twice != 1 {
        wrong.push(format!("asked twice, and {twice} times on record"));
    }
    tasks.reap().unwrap();
    whole(dir, &tasks, &mut wrong);
    work_off(dir, &tasks);
    finished(dir, &tasks, &mut wrong);
    wrong
}

/// The names in a directory.
fn names(dir: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().into_string().unwrap())
        .filter(|name| !name.starts_with('.'))
        .collect()
}

/// What can be claimed, as the index says.
fn ready(copies: &Copies) -> BTreeSet<TaskId> {
    let mut found = BTreeSet::new();
    for shard in names(&copies.ready()) {
        for name in names(&copies.ready().join(&shard)) {
            found.insert(name.split_once('-').unwrap().1.parse().unwrap());
        }
    }
    found
}

/// What is wrong with the copies: none may be missing, and nobody may have his hand on anything.
pub fn whole(dir: &Path, tasks: &Tasks, wrong: &mut Vec<String>) {
    let copies = places(dir).copies(&project());
    let listed = tasks.list(&Filter::default()).unwrap();
    wrong.extend(listed.unreadable.iter().map(ToString::to_string));
    let all: BTreeMap<TaskId, Work> = listed.tasks.into_iter().map(|work| (work.spec.id, work)).collect();
    let ready = ready(&copies);
    let told = fs::read_to_string(dir.join("feed")).unwrap_or_default();
    let mut held = BTreeSet::new();
    for (id, work) in &all {
        if tasks.posted(*id).unwrap().as_ref() != Some(&work.to_task()) {
            wrong.push(format!("the copy of {id} is not what its journal tells"));
        }
        if !told.lines().any(|line| line == format!("{id} {}", work.rev)) {
            wrong.push(format!("nobody was told of change {} of {id}", work.rev));
        }
        if let Some(owner) = work.owner() {
            held.insert(format!("{owner}/{id}"));
        }
        if work.state.is_held() != copies.lease(*id).exists() {
            wrong.push(format!("{id} is {}, and its lease is another matter", work.state));
        }
        let open: Vec<_> =
            work.spec.depends_on.iter().filter(|on| all[*on].state != TaskState::Completed).collect();
        if work.state == TaskState::Submitted && open.is_empty() && !ready.contains(id) {
            wrong.push(format!("{id} can be claimed and is not among what is ready"));
        }
        let unseen = |on: &TaskId| !copies.waits(*on, *id).exists();
        if work.state == TaskState::Submitted && open.iter().any(|on| unseen(on)) {
            wrong.push(format!("{id} waits, and is not among what waits"));
        }
        let rejects =
            work.spec.on_failed_dependency == OnFailed::Reject && work.state == TaskState::Submitted;
        if rejects && open.iter().any(|on| all[*on].state.is_terminal()) {
            wrong.push(format!("{id} waits for what cannot be completed"));
        }
    }
    let marks: BTreeSet<String> = names(&copies.claimed())
        .into_iter()
        .flat_map(|name| {
            names(&copies.claimed().join(&name)).into_iter().map(move |id| format!("{name}/{id}"))
        })
        .collect();
    if marks != held {
        wrong.push(format!("held are {held:?}, and marked are {marks:?}"));
    }
}

/// Ends all that can be ended.
fn work_off(dir: &Path, tasks: &Tasks) {
    let complete = |work: &Work| {
        let by = By::from(work.owner().unwrap().clone());
        tasks.complete(work.spec.id, &by, work.generation, None).unwrap();
    };
    let name = "z".parse().unwrap();
    let worker = Worker::begin(&places(dir), &project(), &name).unwrap();
    let request = ClaimRequest {
        by: By::from(Party::Worker(name)),
        pid: Some(Worker::pid()),
        role: None,
        lease: None,
        id: None,
    };
    for work in tasks.list(&Filter::default()).unwrap().tasks.iter().filter(|work| work.holder.is_some()) {
        complete(work);
    }
    while let Some(work) = tasks.claim(&request).unwrap() {
        complete(&work);
    }
    drop(worker);
}

/// What is wrong with the journals when everything is done: each is at its end, once, by whoever held it, after all that it depends on.
pub fn finished(dir: &Path, tasks: &Tasks, wrong: &mut Vec<String>) {
    let mut ends = BTreeMap::new();
    let listed = tasks.list(&Filter::default()).unwrap().tasks;
    for work in &listed {
        let id = work.spec.id;
        let path = places(dir).task(&project(), id);
        let records = journal::read::<TaskRecord>(&path).unwrap().unwrap().records;
        let revs: Vec<u64> = records.iter().map(|record| record.rev).collect();
        if revs != (1..=records.len() as u64).collect::<Vec<_>>() {
            wrong.push(format!("the changes of {id} are numbered {revs:?}"));
        }
        let generations: Vec<u64> = records
            .iter()
            .filter_map(|record| match record.entry {
                TaskEntry::Claimed { generation, .. } => Some(generation),
                _ => None,
            })
            .collect();
        if generations != (1..=generations.len() as u64).collect::<Vec<_>>() {
            wrong.push(format!("the claims of {id} are numbered {generations:?}"));
        }
        let ended: Vec<_> =
            records.iter().filter(|record| matches!(record.entry, TaskEntry::Ended { .. })).collect();
        if ended.len() != 1 || !matches!(records.last().unwrap().entry, TaskEntry::Ended { .. }) {
            wrong.push(format!("{id} has {} ends, and is {}", ended.len(), work.state));
        }
        if let Some(end) = ended.first() {
            ends.insert(id, (end.at, work.state));
        }
        for record in &records {
            if let TaskEntry::Claimed { .. } = record.entry {
                let early = |on: &TaskId| {
                    !ends
                        .get(on)
                        .is_some_and(|(at, state)| *state == TaskState::Completed && *at <= record.at)
                };
                // Listed by age, so what it depends on came before.
                if work.spec.depends_on.iter().any(early) {
                    wrong.push(format!("{id} was claimed before what it depends on was completed"));
                }
            }
        }
    }
}
