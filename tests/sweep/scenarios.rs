//! What dies while it does what: one row each.

use crate::case::Orders;
use crate::delivery;
use crate::family;
use crate::house::eventually;
use crate::merging;
use crate::stage::{Stage, VICTIM};
use std::fs;
use std::process::Command;

/// A stage, a verb, and a process that dies.
pub struct Scenario {
    /// What it is called in `--only`.
    pub name: &'static str,
    /// The process that dies: a verb, `keeper` or `exec`.
    pub role: &'static str,
    /// Whether an agent of another repository works all the while.
    pub bystander: bool,
    /// What happens before the verb is called.
    pub stage: fn(&Stage, &Orders),
    /// The verb.
    pub verb: fn(&Stage) -> Vec<String>,
    /// Only what the process does from when this verb begins.
    pub from: Option<&'static str>,
    /// Whether the victim may go on working when the verb has died.
    pub may_work: bool,
    /// Whether the system calls of the verb are swept too.
    pub syscalls: bool,
    /// Of these only those from the first to the last whose line has this in it.
    pub around: Option<&'static str>,
    /// What the verb reads.
    pub input: fn(&Stage) -> Vec<u8>,
    /// What happens when it has died.
    pub then: Then,
    /// Verbs that must be known; else the scenario is left out.
    pub needs: &'static [&'static str],
}

/// What happens when something has died.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Everything goes on.
    GoOn,
    /// Everything goes on; and what must hold of a parent and its child does.
    GrowUp,
    /// The parent is killed with all that it started.
    KillTree,
}

const BASE: Scenario = Scenario {
    name: "",
    role: "",
    bystander: true,
    stage: |_, _| {},
    verb: |stage| run(stage, "faulty,worker", VICTIM),
    from: None,
    may_work: false,
    syscalls: false,
    around: None,
    input: |_| Vec::new(),
    then: Then::GoOn,
    needs: &[],
};

/// A parent that asks for a child.
const FAMILY: Scenario = Scenario { verb: family::run, then: Then::GrowUp, needs: &["resume"], ..BASE };
/// Whoever starts the child, where another one began with it.
const SPAWN: Scenario = Scenario {
    role: "spawn",
    stage: family::begun,
    verb: family::spawn,
    input: family::environment,
    ..FAMILY
};
/// A keeper that takes over from one that did not hear what its agent asked for.
const TAKEN_OVER: Scenario = Scenario { role: "keeper", stage: family::asked, verb: family::keep, ..FAMILY };

/// Two results that are merged, one on top of the other.
const MERGE: Scenario = Scenario {
    role: "merge",
    stage: merging::two_results,
    verb: |_| merging::queue(&[VICTIM, "second"]),
    needs: &["resume"],
    ..BASE
};

/// All of them.
pub const ALL: [Scenario; 29] = [
    Scenario { name: "run", role: "run", syscalls: true, ..BASE },
    Scenario { name: "run-first", role: "run", bystander: false, ..BASE },
    Scenario { name: "keeper", role: "keeper", ..BASE },
    Scenario {
        name: "keeper-alone",
        role: "keeper",
        bystander: false,
        verb: |stage| run(stage, "committer", VICTIM),
        ..BASE
    },
    Scenario { name: "keeper-outfit", role: "keeper", stage: outfit, ..BASE },
    Scenario { name: "exec", role: "exec", ..BASE },
    Scenario {
        name: "kill",
        role: "kill",
        stage: at_work,
        verb: kill,
        may_work: true,
        syscalls: true,
        ..BASE
    },
    Scenario {
        name: "keeper-killed",
        role: "keeper",
        stage: at_work,
        verb: kill,
        from: Some("kill"),
        may_work: true,
        ..BASE
    },
    Scenario { name: "kill-lost", role: "kill", stage: keeper_lost, verb: kill, syscalls: true, ..BASE },
    Scenario { name: "kill-name", role: "kill", stage: only_a_name, verb: kill, ..BASE },
    Scenario { name: "kill-alone", role: "kill", bystander: false, stage: keeper_lost, verb: kill, ..BASE },
    Scenario {
        name: "resume",
        role: "resume",
        stage: keeper_lost,
        verb: |_| words(&["resume", VICTIM]),
        syscalls: true,
        needs: &["resume"],
        ..BASE
    },
    Scenario {
        name: "keeper-resumed",
        role: "keeper",
        stage: keeper_lost,
        verb: |_| words(&["resume", VICTIM]),
        from: Some("resume"),
        needs: &["resume"],
        ..BASE
    },
    Scenario {
        name: "clean",
        role: "clean",
        stage: finished,
        verb: |_| words(&["clean", VICTIM]),
        syscalls: true,
        needs: &["clean"],
        ..BASE
    },
    Scenario {
        name: "delete",
        role: "delete",
        stage: finished,
        verb: |_| words(&["clean", VICTIM]),
        needs: &["clean"],
        ..BASE
    },
    Scenario {
        name: "clean-killed",
        role: "clean",
        stage: |stage, orders| {
            keeper_lost(stage, orders);
            stage.house.ok(["kill", VICTIM]);
        },
        verb: |_| words(&["clean", VICTIM]),
        needs: &["clean"],
        ..BASE
    },
    Scenario {
        name: "clean-outfit",
        role: "clean",
        stage: |stage, orders| {
            outfit(stage, orders);
            finished(stage, orders);
        },
        verb: |_| words(&["clean", VICTIM]),
        syscalls: true,
        needs: &["clean", "trust"],
        ..BASE
    },
    Scenario {
        name: "undo",
        role: "undo",
        stage: |stage, orders| {
            finished(stage, orders);
            stage.house.ok(["clean", VICTIM]);
        },
        verb: |_| words(&["undo", VICTIM]),
        syscalls: true,
        needs: &["clean", "undo"],
        ..BASE
    },
    Scenario { name: "merge", syscalls: true, ..MERGE },
    Scenario {
        name: "merge-goes-on",
        stage: merging::cut_off,
        verb: |_| words(&["merge", "--continue"]),
        ..MERGE
    },
    Scenario {
        name: "merge-given-up",
        stage: merging::cut_off,
        verb: |_| words(&["merge", "--abort"]),
        ..MERGE
    },
    Scenario { name: "deliver", role: "keeper", verb: delivery::run, ..BASE },
    Scenario { name: "parent", role: "keeper", ..FAMILY },
    Scenario { name: "parent-killed", role: "keeper", then: Then::KillTree, ..FAMILY },
    Scenario { name: "asker", role: "task", stage: family::doomed_asker, ..FAMILY },
    Scenario { name: "starter", role: "spawn", ..FAMILY },
    Scenario { name: "spawn", syscalls: true, ..SPAWN },
    Scenario { name: "spawn-killed", syscalls: true, then: Then::KillTree, ..SPAWN },
    Scenario { name: "taken-over", syscalls: true, around: Some("/spawn"), ..TAKEN_OVER },
];

/// Words for a call.
pub fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|w| (*w).to_owned()).collect()
}

/// A call that starts the victim. Its validation says in the ledger that it ran.
pub fn run(stage: &Stage, chain: &str, name: &str) -> Vec<String> {
    let validate = stage.validation();
    words(&[
        "run",
        "--detach",
        "--agent-cli",
        chain,
        "--name",
        name,
        "--validate",
        &validate,
        "--trust",
        "do it",
    ])
}

fn kill(_: &Stage) -> Vec<String> {
    words(&["kill", VICTIM])
}

/// An agent that works and does not end, unless what is to die has died already.
fn at_work(stage: &Stage, orders: &Orders) {
    let started = orders.hand(stage.house.orch(run(stage, "slow", VICTIM))).run();
    if started.code != 0 {
        assert!(orders.has_died(stage), "{started}");
        return;
    }
    eventually("the agent works", || {
        (stage.house.path(format!("ready.{VICTIM}")).exists() || orders.has_died(stage)).then_some(())
    });
}

/// A repository that asks for everything that it can ask for.
fn outfit(stage: &Stage, _: &Orders) {
    let house = stage.house.path("");
    let text = format!(
        "symlink = ['big.ignored']\nports = ['PORT', 'DB_PORT']\nsetup = 'test -n \"$PORT\" && test -L big.ignored'\n\
         teardown = 'echo \"$AI_ORCH_SESSION\" >>{}/torn-down'\n",
        house.display()
    );
    stage.put(".ai_orch.toml", &text);
}

/// An agent that is done.
fn finished(stage: &Stage, _: &Orders) {
    stage.house.ok(run(stage, "faulty,worker", VICTIM));
    stage.house.ok(["wait", VICTIM]);
}

/// An agent whose keeper is gone while it worked.
fn keeper_lost(stage: &Stage, _: &Orders) {
    // With no orders: the keeper that dies here dies of something else.
    at_work(stage, &Orders::none());
    let (_, record) = stage.names().into_iter().next().unwrap();
    let journal = crate::stage::journal(&record);
    let keeper = journal.iter().rev().find(|e| e["entry"] == "started").unwrap()["keeper"]["pid"].to_string();
    assert!(Command::new("kill").args(["-9", &keeper]).output().unwrap().status.success());
    eventually("the keeper is gone", || {
        fs::File::open(record.join("keeper.lock")).unwrap().try_lock_shared().is_ok().then_some(())
    });
}

/// A name whose creator died before anything was on record.
fn only_a_name(stage: &Stage, _: &Orders) {
    let names = stage.state().join("names");
    let project = fs::read_link(names.join(crate::stage::BYSTANDER)).unwrap();
    let record = project.with_file_name("01a1f901-0e58-74ba-aded-03ad8d9c3285");
    std::os::unix::fs::symlink(record, names.join(VICTIM)).unwrap();
}
