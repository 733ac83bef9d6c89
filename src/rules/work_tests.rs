//! Tables of what may be done to a task, and properties of the fold.

use super::*;
use crate::model::a2a::{Message, Part, Role};
use crate::model::ids::Moment;
use crate::model::work::WorkMeta;
use proptest::prelude::*;
use uuid::Uuid;

const OTHER: TaskId = TaskId(Uuid::from_u128(2));

fn party(name: &str) -> Party {
    name.parse().unwrap()
}

fn holder(name: &str, pid: i32) -> Holder {
    Holder { name: party(name), pid: Some(pid), boot: "b".into(), lease_ms: 60_000 }
}

fn message(text: &str) -> Message {
    Message::text("m", Role::Agent, text)
}

fn spec() -> TaskSpec {
    TaskSpec::text(TaskId(Uuid::from_u128(1)), "c", "do it")
}

fn at(rev: u64) -> Moment {
    Moment(jiff::Timestamp::from_second(1_800_000_000 + i64::try_from(rev).unwrap()).unwrap())
}

/// A journal of a task that the creator `boss` made, which goes on with `entries`.
fn journal(spec: TaskSpec, entries: &[(&str, TaskEntry)]) -> Vec<TaskRecord> {
    let created = ("boss", TaskEntry::Created { spec: Box::new(spec) });
    let lines = std::iter::once(&created).chain(entries).zip(1..);
    lines
        .map(|((by, entry), rev)| TaskRecord {
            v: VERSION,
            rev,
            at: at(rev),
            op: None,
            by: Some(party(by)),
            entry: entry.clone(),
        })
        .collect()
}

fn work(entries: &[(&str, TaskEntry)]) -> Work {
    fold(&journal(spec(), entries)).unwrap()
}

fn claimed(name: &str, generation: u64) -> TaskEntry {
    TaskEntry::Claimed { holder: holder(name, 7), generation }
}

fn ended(state: TaskState) -> TaskEntry {
    TaskEntry::Ended { generation: 1, state, message: None }
}

fn claim(name: &str, pid: i32) -> Request {
    Request::Claim { holder: holder(name, pid), role: None, open: Vec::new() }
}

/// The word for what comes of a request.
fn outcome(work: &Work, by: &str, request: Request) -> &'static str {
    match decide(work, &party(by), request) {
        Ok(Verdict::Write(entry)) => entry.word(),
        Ok(Verdict::Already) => "already",
        Err(refusal) => refusal.code(),
    }
}

#[test]
fn what_each_may_ask_in_each_state() {
    let held = [("w", claimed("w", 1))];
    let released = [held[0].clone(), ("w", TaskEntry::Released { generation: 1, why: None })];
    let states = [
        work(&[]),
        work(&held),
        work(&released),
        work(&[held[0].clone(), ("w", ended(TaskState::Completed))]),
    ];
    let tell = |generation| Request::Tell { generation, state: TaskState::InputRequired, message: None };
    let end = |generation, state| Request::End { generation, state, message: None };
    let artifact: Artifact =
        serde_json::from_value(serde_json::json!({"artifactId": "a", "parts": [{"text": "x"}]})).unwrap();
    let add = Request::Artifact { generation: 1, artifact: artifact.clone() };
    let nothing = Request::Artifact { generation: 1, artifact: Artifact { parts: Vec::new(), ..artifact } };
    let requeue = Request::Requeue { generation: 1, after: After::OwnerGone };
    let cancel = || Request::Cancel { message: None };
    let reject = Request::Reject { message: message("x") };
    let waits = Request::Claim { holder: holder("w", 7), role: None, open: vec![OTHER] };
    let empty = Request::Say { message: Message { parts: Vec::new(), ..message("") } };
    let both = Part { url: Some("u".into()), ..Part::text("t") };
    let mixed = Request::Say { message: Message { parts: vec![both], ..message("") } };
    // In order: new, held by w, given back, completed.
    for (by, request, expected) in [
        ("w", claim("w", 7), ["claimed", "already", "claimed", "terminal"]),
        ("w", claim("w", 8), ["claimed", "not_claimable", "claimed", "terminal"]),
        ("x", claim("x", 7), ["claimed", "not_claimable", "claimed", "terminal"]),
        ("w", waits, ["dependencies_open", "already", "dependencies_open", "terminal"]),
        ("w", tell(1), ["not_owner", "told", "not_owner", "terminal"]),
        ("w", tell(0), ["not_owner", "not_owner", "not_owner", "terminal"]),
        ("w", tell(2), ["not_owner", "not_owner", "not_owner", "terminal"]),
        ("x", tell(1), ["not_owner", "not_owner", "not_owner", "terminal"]),
        ("user", tell(1), ["not_owner", "not_owner", "not_owner", "terminal"]),
        ("x", Request::Say { message: message("hi") }, ["said", "said", "said", "terminal"]),
        ("x", empty, ["bad_parts", "bad_parts", "bad_parts", "terminal"]),
        ("x", mixed, ["bad_parts", "bad_parts", "bad_parts", "terminal"]),
        ("w", add, ["not_owner", "artifact", "not_owner", "terminal"]),
        ("w", nothing, ["not_owner", "bad_parts", "not_owner", "terminal"]),
        ("w", end(1, TaskState::Completed), ["not_owner", "ended", "not_owner", "terminal"]),
        ("w", end(1, TaskState::Failed), ["not_owner", "ended", "not_owner", "terminal"]),
        ("w", end(1, TaskState::Canceled), ["not_owner", "bad_parts", "not_owner", "terminal"]),
        ("boss", end(1, TaskState::Completed), ["not_owner", "not_owner", "not_owner", "terminal"]),
        (
            "w",
            Request::Release { generation: 1, why: None },
            ["not_owner", "released", "not_owner", "terminal"],
        ),
        ("w", requeue, ["not_owner", "requeued", "not_owner", "terminal"]),
        ("boss", cancel(), ["ended", "ended", "ended", "terminal"]),
        ("user", cancel(), ["ended", "ended", "ended", "terminal"]),
        ("w", cancel(), ["not_yours", "not_yours", "not_yours", "terminal"]),
        ("boss", reject, ["ended", "not_claimable", "ended", "terminal"]),
    ] {
        let got = states.each_ref().map(|work| outcome(work, by, request.clone()));
        assert_eq!(got, expected, "{by} {request:?}");
    }
}

#[test]
fn a_role_is_for_those_who_have_it_and_a_newer_task_is_left_alone() {
    let with_role = TaskSpec { role: Some("review".into()), ..spec() };
    let reviewed = fold(&journal(with_role, &[])).unwrap();
    for (role, expected) in [(None, "wrong_role"), (Some("test"), "wrong_role"), (Some("review"), "claimed")]
    {
        let role = role.map(str::to_owned);
        let request = Request::Claim { holder: holder("w", 7), role, open: Vec::new() };
        assert_eq!(outcome(&reviewed, "w", request), expected);
    }
    let mut records = journal(spec(), &[("w", TaskEntry::Unknown)]);
    records[1].v = VERSION + 1;
    let newer = fold(&records).unwrap();
    assert_eq!(outcome(&newer, "w", claim("w", 7)), "newer_record");
    assert_eq!(newer.rev, 2);
}

#[test]
fn what_may_be_created() {
    let fine = creation(&spec());
    assert_eq!(fine, Ok(()));
    let id = spec().id;
    let many = (10..1011).map(|n| TaskId(Uuid::from_u128(n))).collect();
    for bad in [
        TaskSpec { priority: 10, ..spec() },
        TaskSpec { context: String::new(), ..spec() },
        TaskSpec { depends_on: vec![id], ..spec() },
        TaskSpec { depends_on: many, ..spec() },
        TaskSpec { role: Some("Two words".into()), ..spec() },
        TaskSpec { message: Message { parts: Vec::new(), ..spec().message }, ..spec() },
    ] {
        assert_eq!(creation(&bad).unwrap_err().code(), "bad_parts", "{bad:?}");
    }
    assert_eq!(operation("").unwrap_err().code(), "bad_parts");
    assert_eq!(operation(&"x".repeat(201)).unwrap_err().code(), "bad_parts");
    let said = TaskEntry::Said { message: message("x") };
    assert_eq!(fits(&said, RECORD_MAX + 1, 0).unwrap_err().code(), "too_large");
    assert_eq!(fits(&said, 10, JOURNAL_MAX).unwrap_err().code(), "too_large");
    assert_eq!(fits(&ended(TaskState::Completed), 10, JOURNAL_MAX), Ok(()), "it can end");
}

#[test]
fn how_a_task_stands_to_those_it_depends_on() {
    use TaskState::{Canceled, Completed, Failed, Submitted, Working};
    let [a, b] = [1, 2].map(|n| TaskId(Uuid::from_u128(n)));
    for (states, reject, hold) in [
        (vec![], Standing::Ready, Standing::Ready),
        (vec![(a, Completed), (b, Completed)], Standing::Ready, Standing::Ready),
        (vec![(a, Completed), (b, Working)], Standing::Waits(vec![b]), Standing::Waits(vec![b])),
        (vec![(a, Submitted), (b, Failed)], Standing::Rejected(b, Failed), Standing::Waits(vec![a, b])),
        (vec![(a, Canceled), (b, Completed)], Standing::Rejected(a, Canceled), Standing::Waits(vec![a])),
    ] {
        assert_eq!(standing(OnFailed::Reject, &states), reject, "{states:?}");
        assert_eq!(standing(OnFailed::Hold, &states), hold, "{states:?}");
    }
}

#[test]
fn a_journal_becomes_a_task_of_the_protocol() {
    let told = TaskEntry::Told {
        generation: 1,
        state: TaskState::InputRequired,
        message: Some(message("which one?")),
    };
    let records = journal(
        spec(),
        &[
            ("w", claimed("w", 1)),
            ("w", told),
            ("user", TaskEntry::Said { message: message("the red one") }),
            ("w", TaskEntry::Told { generation: 1, state: TaskState::Working, message: None }),
            ("w", TaskEntry::Requeued { generation: 1, after: After::LeaseOver }),
            ("w", TaskEntry::Told { generation: 1, state: TaskState::AuthRequired, message: None }),
        ],
    );
    let work = fold(&records).unwrap();
    let task = work.to_task();
    assert_eq!(task.status.state, TaskState::Submitted, "a word of the holder before is too late");
    assert_eq!(task.status.timestamp, at(6));
    let said: Vec<String> = task.history.iter().map(Message::plain).collect();
    assert_eq!(said, ["do it", "the red one", "which one?"]);
    let meta = WorkMeta::of(&task).unwrap();
    assert_eq!((meta.generation, meta.owner, meta.rev), (1, None, 7));
    assert_eq!(meta.requeued_after, Some(After::LeaseOver));
    let again = fold(&[records, journal(spec(), &[("x", claimed("x", 2))])[1..].to_vec()].concat()).unwrap();
    assert_eq!((again.generation, again.owner(), again.requeued_after), (2, Some(&party("x")), None));
}

#[test]
fn an_operation_is_known_again_by_its_name() {
    let mut records = journal(spec(), &[("w", claimed("w", 1))]);
    records[1].op = Some("op-1".into());
    let work = fold(&records).unwrap();
    assert_eq!(done(&work, &party("w"), "op-1"), Some(2));
    assert_eq!(done(&work, &party("x"), "op-1"), None);
    assert_eq!(done(&work, &party("w"), "op-2"), None);
}

/// Entries as they come, permitted or not.
fn any_entry() -> impl Strategy<Value = TaskEntry> {
    let generation = || 0..4u64;
    let state = || prop::sample::select(TaskState::ALL.to_vec());
    prop_oneof![
        3 => (generation(), 0..3i32).prop_map(|(generation, pid)| TaskEntry::Claimed { holder: holder("w", pid), generation }),
        2 => (generation(), state()).prop_map(|(generation, state)| TaskEntry::Told { generation, state, message: None }),
        1 => Just(TaskEntry::Said { message: message("x") }),
        1 => (generation(), state()).prop_map(|(generation, state)| TaskEntry::Ended { generation, state, message: None }),
        1 => generation().prop_map(|generation| TaskEntry::Released { generation, why: None }),
        1 => generation().prop_map(|generation| TaskEntry::Requeued { generation, after: After::OwnerGone }),
        1 => Just(TaskEntry::Unknown),
        1 => Just(TaskEntry::Created { spec: Box::new(spec()) }),
    ]
}

/// Requests as they come.
fn any_request() -> impl Strategy<Value = (&'static str, Request)> {
    let by = prop::sample::select(vec!["w", "x", "boss", "user"]);
    let generation = || 0..4u64;
    let state = || prop::sample::select(TaskState::ALL.to_vec());
    let request = prop_oneof![
        4 => (0..3i32).prop_map(|pid| claim("w", pid)),
        1 => (generation(), state()).prop_map(|(generation, state)| Request::Tell { generation, state, message: None }),
        1 => (generation(), state()).prop_map(|(generation, state)| Request::End { generation, state, message: None }),
        1 => generation().prop_map(|generation| Request::Release { generation, why: None }),
        1 => generation().prop_map(|generation| Request::Requeue { generation, after: After::LeaseOver }),
        1 => Just(Request::Cancel { message: None }),
        1 => Just(Request::Reject { message: message("x") }),
        1 => Just(Request::Say { message: message("x") }),
    ];
    (by, request).prop_map(|(by, request)| match request {
        // Who claims is who asks.
        Request::Claim { holder: Holder { pid, .. }, role, open } => {
            (by, Request::Claim { holder: holder(by, pid.unwrap_or(0)), role, open })
        }
        other => (by, other),
    })
}

/// What holds from one record to the next, whatever is written.
fn follows(before: &Work, after: &Work) -> Result<(), TestCaseError> {
    prop_assert!(after.generation >= before.generation, "{before:?} {after:?}");
    prop_assert_eq!(after.state.is_held(), after.holder.is_some());
    if before.state.is_terminal() {
        prop_assert_eq!(
            (after.state, &after.artifacts, &after.history),
            (before.state, &before.artifacts, &before.history)
        );
    }
    if let (Some(a), Some(b)) = (&before.holder, &after.holder)
        && before.generation == after.generation
    {
        prop_assert_eq!(a, b, "one holder for a generation");
    }
    if before.holder.is_none() && after.holder.is_some() {
        prop_assert!(after.generation > before.generation);
    }
    Ok(())
}

proptest! {
    #[test]
    fn every_beginning_of_any_journal_is_a_task(entries in prop::collection::vec(any_entry(), 0..12)) {
        let entries: Vec<_> = entries.into_iter().map(|entry| ("w", entry)).collect();
        let records = journal(spec(), &entries);
        prop_assert_eq!(fold(&[]), Err(Broken::Empty));
        let mut before = fold(&records[..1]).unwrap();
        for n in 2..=records.len() {
            let after = fold(&records[..n]).unwrap();
            follows(&before, &after)?;
            prop_assert_eq!(after.rev, n as u64);
            let json = |task: serde_json::Result<serde_json::Value>| task.unwrap();
            prop_assert_eq!(json(serde_json::to_value(after.posted())), json(serde_json::to_value(after.to_task())));
            before = after;
        }
    }

    #[test]
    fn what_is_permitted_comes_to_pass(requests in prop::collection::vec(any_request(), 0..20)) {
        let mut records = journal(spec(), &[]);
        let mut now = fold(&records).unwrap();
        for (by, request) in requests {
            let Ok(Verdict::Write(entry)) = decide(&now, &party(by), request) else { continue };
            let rev = now.rev + 1;
            let record = TaskRecord { v: VERSION, rev, at: at(rev), op: None, by: Some(party(by)), entry };
            let mut next = now.clone();
            apply(&mut next, &record);
            follows(&now, &next)?;
            match &record.entry {
                TaskEntry::Told { state, .. } | TaskEntry::Ended { state, .. } => prop_assert_eq!(next.state, *state),
                TaskEntry::Claimed { generation, .. } => prop_assert_eq!(next.generation, *generation),
                TaskEntry::Released { .. } | TaskEntry::Requeued { .. } => prop_assert_eq!(next.state, TaskState::Submitted),
                _ => prop_assert_eq!(next.state, now.state),
            }
            records.push(record);
            prop_assert_eq!(&fold(&records).unwrap(), &next);
            now = next;
        }
    }
}
