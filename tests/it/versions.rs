//! An older and a newer ai_orch at once: what the newer one wrote is shown as far as it is understood, and never damaged.

use crate::house::{House, eventually};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The checksum of a journal line, as any reader of the format would compute it.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |c, _| if c & 1 == 1 { (c >> 1) ^ 0xedb8_8320 } else { c >> 1 })
    })
}

/// A whole journal line.
pub fn line(record: &Value) -> String {
    let json = record.to_string();
    format!("{:08x} {json}\n", crc(json.as_bytes()))
}

/// The records of a journal.
pub fn records(record: &Path) -> Vec<Value> {
    let text = fs::read_to_string(record.join("journal")).unwrap();
    text.lines().map(|l| serde_json::from_str(&l[9..]).unwrap()).collect()
}

/// Writes a journal as another version would have.
pub fn rewrite(record: &Path, records: &[Value]) {
    fs::write(record.join("journal"), records.iter().map(line).collect::<String>()).unwrap();
}

/// An agent that is done; its record.
fn over(house: &House, name: &str) -> PathBuf {
    house.ok(["run", "--agent-cli", "sh", "--name", name, "echo work > work.txt"]);
    house.record(name)
}

fn is_newer(agent: &Value) -> bool {
    agent["remarks"].as_array().unwrap().iter().any(|r| r["what"] == "newer")
}

#[test]
fn a_checksum_of_ours_is_a_checksum_of_theirs() {
    assert_eq!(crc(b"123456789"), 0xcbf4_3926);
}

#[test]
fn what_a_newer_version_wrote_is_shown_and_left_as_it_is() {
    let house = House::new();
    let record = over(&house, "newer");
    let written = records(&record);
    let change = |edit: &dyn Fn(&mut Vec<Value>)| {
        let mut changed = written.clone();
        edit(&mut changed);
        rewrite(&record, &changed);
        let before = fs::read(record.join("journal")).unwrap();
        let listed = house.listed("newer");
        assert!(house.ok(["list"]).contains("newer ai_orch") == is_newer(&listed), "{listed}");
        house.ok(["show", "newer"]);
        house.ok(["logs", "newer"]);
        let kill = house.orch(["kill", "newer", "--json"]).run();
        assert_eq!(kill.code, 0, "{kill}");
        let after = fs::read(record.join("journal")).unwrap();
        assert!(after.starts_with(&before), "a line of theirs was changed");
        assert!(!record.join("journal.damaged-1").exists(), "it is not damaged");
        (listed, kill.json()["killed"][0].clone())
    };
    let find = |records: &mut Vec<Value>, kind: &str| {
        records.iter().position(|r| r["entry"] == kind).unwrap_or_else(|| panic!("{kind}"))
    };
    // Fields are added without a word: that is no news.
    let (listed, _) = change(&|r| r.iter_mut().for_each(|r| r["mood"] = json!({"a": [1]})));
    assert_eq!((listed["state"].as_str(), is_newer(&listed)), (Some("done"), false), "{listed}");
    let danced = json!({"v": 1, "at": "2026-11-20T10:00:00Z", "entry": "danced", "to": "music"});
    for at in 1..=written.len() {
        let (listed, killed) = change(&|r| r.insert(at, danced.clone()));
        assert_eq!((listed["state"].as_str(), is_newer(&listed)), (Some("done"), true), "{listed}");
        assert_eq!(killed["was_running"], false);
    }
    for (kind, pointer) in [
        ("attempt_started", "/turn"),
        ("attempt_ended", "/result"),
        ("created", "/spec/permissions"),
        ("ready", "/v"),
        ("started", "/keeper"),
    ] {
        let (listed, _) = change(&|r| {
            let at = find(r, kind);
            *r[at].pointer_mut(pointer).unwrap() = if pointer == "/v" { json!(2) } else { json!("new_word") };
        });
        assert_eq!((listed["state"].as_str(), is_newer(&listed)), (Some("done"), true), "{kind}: {listed}");
        assert_eq!(listed["attempts"].as_array().unwrap().len(), 1, "{kind}: {listed}");
    }
    // An end that we do not know is no end for us, and a kill puts ours behind it.
    let (listed, killed) = change(&|r| {
        let at = find(r, "ended");
        r[at]["state"] = json!("archived");
    });
    assert_eq!((listed["state"].as_str(), is_newer(&listed)), (Some("interrupted"), true), "{listed}");
    assert_eq!(killed["state"], "killed");
}

#[test]
fn a_board_entry_of_a_newer_version_is_not_believed() {
    let house = House::new();
    house.start(["--agent-cli", "sh", "--name", "one", "sleep 1000"]);
    eventually("it works", || (house.listed("one")["state"] == "working").then_some(()));
    let project = house.listed("one")["project"].as_str().unwrap().to_owned();
    let state = house.path("root").join(project).join("agents/one/state.json");
    let mut posted: Value = serde_json::from_slice(&fs::read(&state).unwrap()).unwrap();
    posted["v"] = json!(2);
    posted["state"] = json!("dancing");
    fs::write(&state, posted.to_string()).unwrap();
    let listed = house.listed("one");
    assert_eq!(
        (&listed["state"], &listed["remarks"][0]["what"]),
        (&json!("working"), &json!("board_missing"))
    );
}

#[test]
fn in_the_root_of_a_newer_version_nothing_is_started() {
    let house = House::new();
    over(&house, "old");
    fs::write(house.path("root/VERSION"), "2\n").unwrap();
    let done = house.orch(["run", "--agent-cli", "sh", "--name", "late", "true"]).run();
    assert_eq!(done.code, 8, "{done}");
    assert!(
        done.stderr.contains("made by a newer ai_orch") && done.stderr.contains("AI_ORCH_ROOT"),
        "{done}"
    );
    assert_eq!(fs::read_to_string(house.path("root/VERSION")).unwrap(), "2\n");
    assert_eq!(house.listed("old")["state"], "done");
    assert_eq!(house.orch(["kill", "old"]).run().code, 0);
    assert_eq!(house.git(&["branch", "--list", "ai_orch/late"]), "");
    let elsewhere = house.path("root-2");
    let done = house
        .orch(["run", "--agent-cli", "sh", "--name", "late", "true"])
        .env("AI_ORCH_ROOT", &elsewhere)
        .run();
    assert_eq!(done.code, 0, "{done}");
}

#[test]
fn no_older_keeper_goes_on_with_what_a_newer_one_began() {
    let house = House::new();
    house.start(["--agent-cli", "sh", "--name", "one", "sleep 1000"]);
    eventually("it works", || (house.listed("one")["state"] == "working").then_some(()));
    let record = house.record("one");
    let keeper = house.listed("one")["session"].as_str().map(|_| records(&record)).unwrap();
    let keeper = keeper.iter().find(|r| r["entry"] == "started").unwrap()["keeper"]["pid"].to_string();
    assert!(Command::new("kill").args(["-9", &keeper]).status().unwrap().success());
    eventually("it is interrupted", || (house.listed("one")["state"] == "interrupted").then_some(()));
    let mut written = records(&record);
    written.push(json!({"v": 1, "at": "2026-11-20T10:00:00Z", "entry": "danced"}));
    rewrite(&record, &written);
    let before = fs::read(record.join("journal")).unwrap();
    let keep = house.command(env!("CARGO_BIN_EXE_ai_orch")).arg("__keep").arg(&record).output().unwrap();
    assert!(!keep.status.success(), "{keep:?}");
    assert_eq!(fs::read(record.join("journal")).unwrap(), before);
    let log = fs::read_to_string(record.join("keeper.log")).unwrap();
    assert!(log.contains("made by a newer ai_orch"), "{log}");
    house.ok(["kill", "one"]);
    assert_eq!(house.listed("one")["state"], "killed");
}
