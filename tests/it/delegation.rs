//! Agents that start agents: what comes of it, what is refused, and that a death in between makes no second child and loses none.

use crate::house::{House, eventually, is_stopped};
use serde_json::Value;
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// What an agent left in a file on its branch.
fn file_of(house: &House, agent: &str, name: &str) -> String {
    house.git(&["show", &format!("ai_orch/{agent}:{name}")])
}

fn listed(house: &House) -> Vec<Value> {
    let list: Value = serde_json::from_str(&house.ok(["list", "--json"])).unwrap();
    list["agents"].as_array().unwrap().clone()
}

fn json(house: &House, words: &[&str]) -> Value {
    serde_json::from_str(&house.ok([words, &["--json"]].concat())).unwrap()
}

/// The own task of an agent, as `task show` tells it.
fn task_of(house: &House, agent: &Value) -> Value {
    json(house, &["task", "show", agent["agent"]["id"].as_str().unwrap()])["task"].clone()
}

/// Who asked for it, and in which role that spoke.
fn asked(task: &Value) -> (&str, &str) {
    let meta = task["metadata"].as_object().unwrap().values().next().unwrap();
    (meta["createdBy"].as_str().unwrap(), task["history"][0]["role"].as_str().unwrap())
}

/// Two children, what they did merged, and the news of their ends.
const LEADER: &str = r#"
set -e
echo base > base.txt; git add -A; git commit -qm base
first=$(ai_orch task spawn --json --name left --role half 'cat base.txt > left.txt; env > "$SEEN"; echo $MINE > mine.txt')
ai_orch task spawn --name right 'cat base.txt > right.txt'
ai_orch wait left right
git merge -q --no-edit ai_orch/left ai_orch/right
printf %s "$first" > first.json
ai_orch msg read --wait 30s > news.txt
ai_orch list --tree > tree.txt
"#;

#[test]
fn an_agent_starts_two_others_and_takes_their_branches() {
    let house = House::new();
    let seen = format!("SEEN={}", house.path("seen").display());
    let words = [
        "run",
        "--agent-cli",
        "sh",
        "--name",
        "lead",
        "--may-start",
        "2",
        "--context-id",
        "team",
        "--timeout",
        "5m",
    ];
    house.ok([&words[..], &["--env", &seen, "--env", "MINE=of the call", LEADER]].concat());
    assert_eq!(
        (file_of(&house, "lead", "left.txt"), file_of(&house, "lead", "right.txt")),
        ("base".into(), "base".into())
    );
    assert_eq!(file_of(&house, "lead", "mine.txt"), "of the call", "the environment of the run call");
    let told: Value = serde_json::from_str(&file_of(&house, "lead", "first.json")).unwrap();
    let (lead, left, right) = (house.show("lead"), house.show("left"), house.show("right"));
    assert_eq!((&told["session"], &told["branch"]), (&"left".into(), &"ai_orch/left".into()));
    assert_eq!(
        (&told["id"], &told["task_id"], &told["base"]),
        (&left["agent"]["id"], &left["agent"]["id"], &left["agent"]["base"])
    );
    assert_eq!(left["agent"]["parent"], lead["agent"]["id"]);
    assert_eq!((&left["agent"]["context_id"], &left["agent"]["role"]), (&"team".into(), &"half".into()));
    assert_eq!((&left["parent"]["session"], &right["parent"]["session"]), (&"lead".into(), &"lead".into()));
    let children: Vec<&str> =
        lead["children"].as_array().unwrap().iter().map(|child| child["session"].as_str().unwrap()).collect();
    assert_eq!(children, ["left", "right"]);
    assert_eq!(asked(&task_of(&house, &lead)), ("user", "ROLE_USER"));
    let task = task_of(&house, &left);
    assert_eq!(asked(&task), ("lead", "ROLE_AGENT"));
    let copy = house.path("root").join(left["agent"]["project"].as_str().unwrap()).join("tasks");
    let copy = fs::read(copy.join(format!("{}.json", left["agent"]["id"].as_str().unwrap()))).unwrap();
    assert_eq!(asked(&serde_json::from_slice(&copy).unwrap()), ("lead", "ROLE_AGENT"));
    // What the person asks of it afterwards is the person's.
    house.ok(["resume", "left", "echo more > more.txt"]);
    house.ok(["wait", "left"]);
    let tasks = json(&house, &["task", "list", "--owner", "left"])["tasks"].as_array().unwrap().clone();
    let mut asked: Vec<&str> = tasks.iter().map(|task| asked(task).0).collect();
    asked.sort_unstable();
    assert_eq!(asked, ["lead", "user"]);
    let news = file_of(&house, "lead", "news.txt");
    assert!(news.contains("The agent left that you started is done"), "{news}");
    assert!(news.contains("git merge ai_orch/left"), "{news}");
    let tree = file_of(&house, "lead", "tree.txt");
    let names: Vec<&str> =
        tree.lines().skip(1).map(|line| line.split("  w").next().unwrap().trim_end()).collect();
    assert!(
        names[0].starts_with("lead") && names[1].starts_with("  left") && names[2].starts_with("  right"),
        "{tree}"
    );
    let environment = fs::read_to_string(house.path("seen")).unwrap();
    let own = format!("AI_ORCH_AGENT={}", left["agent"]["id"].as_str().unwrap());
    assert!(environment.lines().any(|line| line == own), "it is an agent of its own");
    assert!(
        fs::read_dir(house.record("lead").join("spawn"))
            .unwrap()
            .flatten()
            .all(|file| { file.path().extension().is_some_and(|end| end == "lock") }),
        "no request is left"
    );
}

#[test]
fn what_is_not_allowed_is_refused_and_on_record() {
    let house = House::new();
    let ask = |name: &str, options: &[&str], asks: &[&str]| -> Vec<String> {
        let mut script = String::new();
        for (n, words) in asks.iter().enumerate() {
            let asks = format!("ai_orch task spawn --json {words} true > out-{n} 2> said-{n}");
            writeln!(script, "{asks}; echo $? > code-{n}").unwrap();
        }
        let words = [&["run", "--agent-cli", "sh", "--name", name][..], options, &[script.as_str()]].concat();
        house.ok(words);
        let answer = |n: usize| {
            let said = file_of(&house, name, &format!("said-{n}"));
            let code = file_of(&house, name, &format!("code-{n}"));
            match serde_json::from_str::<Value>(&said) {
                Ok(said) => {
                    assert!(said["error"]["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{said}");
                    format!("{code} {}", said["error"]["code"].as_str().unwrap())
                }
                Err(_) => code,
            }
        };
        (0..asks.len()).map(answer).collect()
    };
    assert_eq!(ask("none", &[], &[""]), ["8 may_not_start"]);
    let log = fs::read_to_string(house.record("none").join("refused.log")).unwrap();
    assert!(log.contains("may not start agents"), "{log}");
    assert_eq!(
        ask("one", &["--may-start", "1"], &["--may-start 1", "", ""]),
        ["8 too_deep", "0", "8 too_many_agents"]
    );
    assert_eq!(
        ask(
            "money",
            &["--may-start", "9", "--start-budget", "1"],
            &["", "--budget 2", "--budget 0.6", "--budget 0.5"]
        ),
        ["8 needs_budget", "5 over_budget", "0", "5 over_budget"]
    );
    assert_eq!(
        ask("wrong", &["--may-start", "1"], &["--agent-cli nonsense", "--base nonsense", ""]),
        ["1 not_started", "2 no_such_base", "0"]
    );
    let done = house.orch(["task", "spawn", "--json", "true"]).run();
    assert_eq!(done.code, 8, "{done}");
    assert!(done.stderr.contains("only_agents"), "{done}");
    assert_eq!(listed(&house).len(), 7, "four that asked, three that were started");
}

#[test]
fn a_request_by_the_same_name_starts_one_agent() {
    let house = House::new();
    let ask = "ai_orch task spawn --op-id one 'echo x > x.txt'";
    let script = format!("{ask} > a & {ask} > b & wait; {ask} > c; ai_orch wait $(cat a)");
    house.ok(["run", "--agent-cli", "sh", "--name", "lead", "--may-start", "5", &script]);
    let names: Vec<String> = ["a", "b", "c"].iter().map(|name| file_of(&house, "lead", name)).collect();
    assert!(!names[0].is_empty() && names.iter().all(|name| *name == names[0]), "{names:?}");
    assert_eq!(listed(&house).len(), 2);
}

#[test]
fn what_may_be_started_is_handed_down_and_kill_takes_the_whole_tree() {
    let house = House::new();
    let leaf = "exec sleep 1000";
    let middle = format!(
        "ai_orch task spawn --name leaf '{leaf}'; ai_orch task spawn --name extra true 2> \"$OUT\"; exec sleep 1000"
    );
    let out = house.path("out");
    let env = format!("OUT={}", out.display());
    let script = format!(
        "cat > m <<'END'\n{middle}\nEND\nai_orch task spawn --name middle --may-start 1 - < m; exec sleep 1000"
    );
    house.start([
        "--agent-cli",
        "sh",
        "--name",
        "top",
        "--may-start",
        "2",
        "--depth",
        "2",
        "--env",
        &env,
        &script,
    ]);
    eventually("the last one is refused", || {
        fs::read_to_string(&out).ok().filter(|text| text.contains("hint") || text.contains("person"))
    });
    let tree = house.ok(["list", "--tree"]);
    for line in ["top", "  middle", "    leaf"] {
        assert!(tree.lines().any(|shown| shown.starts_with(line)), "{line}: {tree}");
    }
    house.ok(["kill", "middle"]);
    assert_eq!(house.listed("leaf")["state"], "working", "children go on");
    house.ok(["kill", "top", "--tree"]);
    for agent in listed(&house) {
        assert_eq!(agent["state"], "killed", "{agent}");
    }
}

/// The number of the point `what` of the processes `role` that `run` passes, with the log of points in the house.
fn point(log: &str, role: &str, what: &str) -> u32 {
    let line = log.lines().find(|line| line.starts_with(&format!("{role} ")) && line.contains(what));
    let line = line.unwrap_or_else(|| panic!("{role} passes {what}: {log}"));
    line.split(' ').nth(2).unwrap().parse().unwrap()
}

const ASKS: &str = "ai_orch task spawn --op-id one --name child 'echo x > x.txt' && ai_orch wait child && git merge -q ai_orch/child";

/// The points that are passed while a parent starts a child, from the log of points.
fn points() -> String {
    let house = House::new();
    let log = house.path("points");
    let run = house.orch(["run", "--agent-cli", "sh", "--name", "lead", "--may-start", "1", ASKS]);
    let done = run.env("AI_ORCH_CRASH_LOG", &log).run();
    assert_eq!(done.code, 0, "{done}");
    fs::read_to_string(log).unwrap()
}

#[test]
fn kill_takes_a_child_of_which_there_is_only_the_name() {
    let at = format!("spawn:{}", point(&points(), "spawn", "before journal created"));
    let house = House::new();
    let run = ["run", "-d", "--agent-cli", "sh", "--name", "lead", "--may-start", "1", ASKS];
    assert_eq!(house.orch(run).env("AI_ORCH_CRASH", &at).run().code, 0);
    assert_eq!(house.orch(["wait", "lead"]).run().code, 1, "it was told that there is no child");
    assert_eq!(house.listed("child")["state"], "unknown");
    house.ok(["kill", "--tree", "lead"]);
    assert_eq!(listed(&house).len(), 1, "its name is free");
}

#[test]
fn a_death_between_the_request_and_the_child_makes_neither_two_nor_none() {
    let log = points();
    for (role, what) in [
        ("keeper", "before journal child_begun"),
        ("keeper", "after journal child_begun"),
        ("keeper", "before journal child_started"),
        ("keeper", "after journal child_started"),
        ("spawn", "before the child is made"),
        ("spawn", "before journal created"),
        ("spawn", "after journal created"),
        ("spawn", "after journal worktree_made"),
        ("spawn", "after the child is made"),
    ] {
        let house = House::new();
        let at = format!("{role}:{}", point(&log, role, what));
        let run = ["run", "-d", "--agent-cli", "sh", "--name", "lead", "--may-start", "1", ASKS];
        assert_eq!(house.orch(run).env("AI_ORCH_CRASH", &at).run().code, 0, "{what}");
        // Keepers of children pass as many points as others, and die at the same one.
        eventually(what, || {
            let rests = |agent: &Value| !["working", "starting"].contains(&agent["state"].as_str().unwrap());
            listed(&house).iter().all(rests).then_some(())
        });
        assert!(listed(&house).len() <= 2, "{what}");
        house.ok(["resume", "--all"]);
        // Where whoever started the child died, the agent is told so and fails; it asks again under the same name.
        if house.orch(["wait", "lead"]).run().code != 0 {
            house.ok(["resume", "lead"]);
            house.ok(["wait", "lead"]);
        }
        let agents = listed(&house);
        let states: Vec<_> =
            agents.iter().map(|agent| (agent["session"].clone(), agent["state"].clone())).collect();
        assert_eq!(agents.len(), 2, "{what}: {states:?}");
        assert_eq!(house.listed("lead")["state"], "done", "{what}: {states:?}");
        assert_eq!(file_of(&house, "lead", "x.txt"), "x", "{what}");
        assert_eq!(house.show("lead")["children"].as_array().unwrap().len(), 1, "{what}");
    }
}

/// Starts a lead whose first child is stopped in the middle of being started, at the point `n` of whoever starts it.
fn stopped_in_a_start(house: &House, n: u32) {
    let run = ["run", "-d", "--agent-cli", "sh", "--name", "lead", "--may-start", "1", ASKS];
    let at = format!("spawn:{n}:stop");
    assert_eq!(house.orch(run).env("AI_ORCH_CRASH", &at).run().code, 0);
    eventually("the start is stopped", || {
        let all = house.processes();
        all.iter().find(|(_, words)| words.contains(" __spawn ")).and_then(|(pid, _)| is_stopped(*pid))
    });
}

fn names_in(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Whether the child of a lead that was killed is there. What there is of it is told truly, or there is nothing.
fn child_after_the_kill(house: &House, what: &str) -> bool {
    assert_eq!(house.listed("lead")["state"], "killed", "{what}");
    let lead = house.show("lead");
    assert_eq!(lead["children"].as_array().unwrap().len(), 1, "{what}: {lead}");
    let not_started = lead["children"][0]["error"]["code"].as_str();
    let is_there = listed(house).iter().any(|agent| agent["session"] == "child");
    if is_there {
        assert_eq!(not_started, None, "{what}: {lead}");
        house.ok(["wait", "child"]);
        assert_eq!(file_of(house, "child", "x.txt"), "x", "{what}");
    } else {
        assert_eq!(not_started, Some("too_late"), "{what}: {lead}");
        assert!(!house.git(&["branch", "--list"]).contains("child"), "{what}");
        assert!(!house.git(&["worktree", "list"]).contains("child"), "{what}");
        // Nobody ever had the name.
        assert_eq!(house.start(["--agent-cli", "sh", "--name", "child", "true"]), "child", "{what}");
        house.ok(["wait", "child"]);
    }
    let mut left = names_in(&house.record("lead").join("spawn"));
    left.retain(|name| Path::new(name).extension().is_none_or(|end| end != "lock"));
    assert!(left.is_empty(), "{what}: {left:?}");
    is_there
}

#[test]
fn a_kill_in_the_middle_of_a_start_leaves_a_child_at_work_or_none() {
    let log = points();
    let (mut there, mut never) = (0, 0);
    let mut count = |is_there: bool| if is_there { there += 1 } else { never += 1 };
    for what in [
        "before the child is made",
        "link names/child",
        "before journal created",
        "after journal created",
        "write ai_orch/child.lock",
        "write child/commondir.lock",
        "remove child/locked",
        "after journal worktree_made",
        "after the child is made",
    ] {
        let house = House::new();
        stopped_in_a_start(&house, point(&log, "spawn", what));
        house.ok(["kill", "lead"]);
        count(child_after_the_kill(&house, what));
    }
    assert!(there >= 1 && never >= 5, "{there} {never}");
    // The same where the keeper died before anybody typed kill: whoever starts the child dies with it.
    for what in ["link names/child", "after journal created", "after journal worktree_made"] {
        let house = House::new();
        stopped_in_a_start(&house, point(&log, "spawn", what));
        house.kill_keeper("lead");
        house.ok(["kill", "lead"]);
        assert!(!child_after_the_kill(&house, what), "{what}");
    }
    // And where it died before it began, or when all was done and not yet said.
    for (what, is_there) in [("after journal child_begun", false), ("before journal child_started", true)] {
        let house = House::new();
        let at = format!("keeper:{}", point(&log, "keeper", what));
        let run = ["run", "-d", "--agent-cli", "sh", "--name", "lead", "--may-start", "1", ASKS];
        assert_eq!(house.orch(run).env("AI_ORCH_CRASH", &at).run().code, 0, "{what}");
        eventually("its keeper is gone", || (house.listed("lead")["state"] == "interrupted").then_some(()));
        house.ok(["kill", "lead"]);
        if is_there {
            // Its keeper dies at the same point, if it passes as many.
            assert_eq!(house.show("lead")["children"][0]["session"], "child", "{what}");
        } else {
            assert!(!child_after_the_kill(&house, what), "{what}");
        }
    }
}

#[test]
fn a_kill_of_the_parent_that_is_cut_off_is_gone_on_with() {
    let log = points();
    let n = point(&log, "spawn", "after journal worktree_made");
    // The keeper is dead, so it is the verb that takes the child back, and dies at each step of that.
    let interrupted = || {
        let house = House::new();
        stopped_in_a_start(&house, n);
        house.kill_keeper("lead");
        house
    };
    let house = interrupted();
    let points = house.path("points");
    assert_eq!(house.orch(["kill", "lead"]).env("AI_ORCH_CRASH_LOG", &points).run().code, 0);
    let log = fs::read_to_string(points).unwrap();
    for what in [
        "before journal not_created",
        "after journal not_created",
        "before journal child_not_started",
        "before journal ended",
    ] {
        let house = interrupted();
        let at = format!("kill:{}", point(&log, "kill", what));
        assert_eq!(house.orch(["kill", "lead"]).env("AI_ORCH_CRASH", &at).run().code, 137, "{what}");
        house.ok(["kill", "lead"]);
        assert!(!child_after_the_kill(&house, what), "{what}");
    }
}

#[test]
fn a_parent_waits_for_the_task_of_its_child_by_the_id_on_the_board() {
    let house = House::new();
    let go = house.path("go");
    // By the id that the start gave, by the end of it that the list shows, and after the end.
    let script = format!(
        r#"
id=$(ai_orch task spawn --json --name kid "while [ ! -e '{0}' ]; do sleep 0.02; done; echo x > x" | sed 's/.*"task_id":"\([^"]*\)".*/\1/')
short=$(ai_orch task list --owner kid | sed -n '2s/ .*//p')
ai_orch task wait --timeout 1s $id; echo $? > early
touch '{0}.waits'
ai_orch task wait $id > whole.txt; echo $? >> whole.txt
ai_orch task wait --json $short > short.json; echo $? > code
"#,
        go.display()
    );
    house.start(["--agent-cli", "sh", "--name", "lead", "--may-start", "1", &script]);
    eventually("it is about to wait", || house.path("go.waits").exists().then_some(()));
    fs::write(&go, "").unwrap();
    house.ok(["wait", "lead"]);
    assert_eq!(file_of(&house, "lead", "early"), "7", "it was at work");
    let whole = file_of(&house, "lead", "whole.txt");
    assert!(whole.contains("completed") && whole.ends_with("\n0"), "{whole}");
    assert_eq!(file_of(&house, "lead", "code"), "0");
    let told: Value = serde_json::from_str(&file_of(&house, "lead", "short.json")).unwrap();
    assert_eq!(told["tasks"][0]["id"], house.show("kid")["agent"]["id"]);
}

#[test]
fn whoever_waits_for_an_agent_that_ends_and_is_cleaned_at_once_is_told_the_end() {
    let house = House::new();
    let go = house.path("go");
    let script = format!("while [ ! -e '{}' ]; do sleep 0.02; done; exit 3", go.display());
    house.start(["--agent-cli", "sh", "--name", "one", &script]);
    let id = house.listed("one")["id"].as_str().unwrap().to_owned();
    let waiting = house.orch(["task", "wait", &id]).spawn();
    let pid = waiting.id().to_string();
    eventually("it watches", || {
        let open = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
        let inotify = |target: std::path::PathBuf| target.to_string_lossy().contains("inotify");
        open.flatten().find(|fd| fs::read_link(fd.path()).is_ok_and(inotify)).map(drop)
    });
    // It looks again when all is over.
    let signal = |name: &str| {
        assert!(std::process::Command::new("kill").args([name, &pid]).status().unwrap().success());
    };
    signal("-STOP");
    fs::write(&go, "").unwrap();
    assert_eq!(house.orch(["wait", "one"]).run().code, 1);
    house.ok(["clean", "one"]);
    signal("-CONT");
    let done = waiting.wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(1), "{done:?}");
    assert!(String::from_utf8_lossy(&done.stdout).contains("failed"), "{done:?}");
}

#[test]
fn an_id_is_used_for_one_creation() {
    let at = format!("keeper:{}", point(&points(), "keeper", "after journal child_begun"));
    let house = House::new();
    let run = ["run", "-d", "--agent-cli", "sh", "--name", "lead", "--may-start", "1", ASKS];
    assert_eq!(house.orch(run).env("AI_ORCH_CRASH", &at).run().code, 0);
    eventually("its keeper dies", || (house.listed("lead")["state"] == "interrupted").then_some(()));
    let record = house.record("lead");
    let journal = fs::read_to_string(record.join("journal")).unwrap();
    let mut entries = journal.lines().map(|line| serde_json::from_str::<Value>(&line[9..]).unwrap());
    let begun = entries.find(|entry| entry["entry"] == "child_begun").unwrap();
    // The keeper of the child dies at once, so all is taken back; and nobody is there to put that on record.
    let words = ["__spawn", record.to_str().unwrap(), begun["child"].as_str().unwrap()];
    let spawn = house.orch(words).env("AI_ORCH_CRASH", "keeper:1").run();
    assert!(spawn.code != 0 && listed(&house).len() == 1, "{spawn}");
    house.ok(["resume", "--all"]);
    house.ok(["wait", "lead"]);
    let child = house.listed("child");
    assert_eq!((&child["state"], listed(&house).len()), (&"done".into(), 2), "{child}");
    assert_ne!(child["id"], begun["child"]);
}
