//! `resume`: what was interrupted goes on, what has ended takes more, and nothing is done twice.

use crate::fakes::Fake;
use crate::house::{House, eventually};
use std::fs;
use std::path::Path;
use std::process::Command;

fn there(path: &Path) -> Option<()> {
    path.exists().then_some(())
}

fn kill9(pid: i64) {
    let sent = Command::new("kill").args(["-9", &pid.to_string()]).output().unwrap();
    assert!(sent.status.success(), "{sent:?}");
}

/// The keeper of an agent, from its journal.
fn keeper(house: &House, name: &str) -> i64 {
    let journal = fs::read_to_string(house.record(name).join("journal")).unwrap();
    let started = journal.lines().rfind(|l| l.contains("\"entry\":\"started\"")).unwrap();
    serde_json::from_str::<serde_json::Value>(&started[9..]).unwrap()["keeper"]["pid"].as_i64().unwrap()
}

/// How often an entry is in the journal of an agent.
fn count(house: &House, name: &str, entry: &str) -> usize {
    let journal = fs::read_to_string(house.record(name).join("journal")).unwrap();
    journal.matches(&format!("\"entry\":\"{entry}\"")).count()
}

/// Waits until the agent has ended; its state.
fn ends(house: &House, name: &str) -> String {
    let done = house.orch(["wait", name, "--json"]).run();
    done.json()["agents"][0]["state"].as_str().unwrap().to_owned()
}

/// An agent that works until it is let go: it writes a file, says so, and waits for the file `go`.
fn patient(house: &House) -> Fake {
    let script = format!(
        "echo part-$n >> work.txt; say 'part '$n; touch {0}-$n; while [ ! -e {1} ]; do sleep 0.05; done",
        house.path("working").display(),
        house.path("go").display()
    );
    Fake::claude(house, "patient", &script)
}

#[test]
fn a_conversation_goes_on_after_the_keeper_was_killed() {
    let house = House::new();
    let fake = patient(&house);
    house.start(["--agent-cli", "patient", "--name", "a", "write the parts"]);
    eventually("it works", || there(&house.path("working-1")));
    kill9(keeper(&house, "a"));
    eventually("it is interrupted", || (house.listed("a")["state"] == "interrupted").then_some(()));
    let listed = house.ok(["list"]);
    assert!(listed.contains("ai_orch resume"), "{listed}");
    let told = house.ok(["resume", "a"]);
    assert!(told.contains("a goes on"), "{told}");
    eventually("it works again", || there(&house.path("working-2")));
    fs::write(house.path("go"), "").unwrap();
    assert_eq!(ends(&house, "a"), "done");
    let shown = house.show("a");
    let conversation = shown["agent"]["attempts"][0]["conversation"].as_str().unwrap();
    assert!(fake.args(2).contains(&format!("--resume\n{conversation}")), "{}", fake.args(2));
    let said = String::from_utf8(fake.input(2)).unwrap();
    assert!(said.contains("interrupted") && !said.contains("write the parts"), "{said}");
    assert_eq!(shown["agent"]["attempts"][0]["failure"]["class"], "interrupted");
    assert_eq!(shown["agent"]["attempts"][0]["answer"], "part 1");
    assert_eq!(shown["agent"]["attempts"][1]["turn"], "resume");
    assert_eq!(house.git(&["show", "ai_orch/a:work.txt"]), "part-1\npart-2");
    let id = shown["agent"]["id"].as_str().unwrap();
    let saved = house.git(&["show", &format!("refs/ai_orch/rescue/{id}/1:work.txt")]);
    assert_eq!(saved, "part-1", "what the lost attempt left is saved as it was");
}

#[test]
fn all_that_a_reboot_interrupted_go_on_and_what_has_ended_is_left_alone() {
    let house = House::new();
    patient(&house);
    house.ok(["run", "--agent-cli", "sh", "--name", "over", "echo x > over.txt"]);
    for name in ["one", "two"] {
        house.start(["--agent-cli", "patient", "--name", name, "write"]);
    }
    eventually("both work", || {
        ["one", "two"].iter().all(|n| count(&house, n, "conversation") == 1).then_some(())
    });
    // What a reboot leaves: no process, no /tmp.
    for (pid, _) in house.processes() {
        Command::new("kill").args(["-9", &pid.to_string()]).output().unwrap();
    }
    fs::remove_dir_all(house.path("root")).unwrap();
    for name in ["one", "two"] {
        assert_eq!(house.listed(name)["state"], "interrupted");
    }
    fs::write(house.path("go"), "").unwrap();
    let done = house.orch(["resume", "--all", "--json"]).run();
    assert_eq!(done.code, 0, "{done}");
    let resumed = done.json()["resumed"].as_array().unwrap().clone();
    assert_eq!(resumed.len(), 2, "{done}");
    assert!(resumed.iter().all(|r| r["resumed"] == true), "{done}");
    for name in ["one", "two"] {
        assert_eq!(ends(&house, name), "done", "{}", house.show(name)["agent"]);
        assert_eq!(count(&house, name, "resumed"), 1);
    }
    assert_eq!(count(&house, "over", "resumed"), 0);
    assert!(
        house
            .path("root")
            .join(
                fs::read_dir(house.path("root"))
                    .unwrap()
                    .flatten()
                    .map(|e| e.path())
                    .find(|p| p.join("agents/over/state.json").exists())
                    .unwrap()
            )
            .exists(),
        "the board tells of ended agents again"
    );
    assert_eq!(house.ok(["resume", "--all"]).trim(), "No agent is interrupted.");
}

#[test]
fn an_agent_that_is_done_takes_more_in_the_same_conversation() {
    let house = House::new();
    let fake = Fake::claude(&house, "c", "echo $n >> work.txt; say 'did '$n");
    house.ok(["run", "--agent-cli", "c", "--name", "a", "first things first"]);
    let refused = house.orch(["resume", "a"]).run();
    assert_eq!(refused.code, 8, "{refused}");
    assert!(
        refused.stderr.contains("a is done") && refused.stderr.contains("ai_orch resume a '"),
        "{refused}"
    );
    house.ok(["resume", "a", "and now the second"]);
    assert_eq!(ends(&house, "a"), "done");
    assert_eq!(fake.starts(), 2);
    assert_eq!(fake.input(2), b"and now the second");
    let conversation = house.show("a")["agent"]["attempts"][0]["conversation"].as_str().unwrap().to_owned();
    assert!(fake.args(2).contains(&format!("--resume\n{conversation}")), "{}", fake.args(2));
    assert_eq!(house.git(&["show", "ai_orch/a:work.txt"]), "1\n2");
    assert_eq!(house.git(&["rev-list", "--count", "main..ai_orch/a"]), "2", "each task has its commit");
    let shown = house.show("a");
    assert_eq!(shown["task"], "and now the second");
    assert_eq!(shown["agent"]["title"], "and now the second");
    // One word needs the option, because it could be a name.
    let refused = house.orch(["resume", "a", "continue"]).run();
    assert_eq!(refused.code, 2, "{refused}");
    assert!(refused.stderr.contains("--task"), "{refused}");
    assert_eq!(fake.starts(), 2, "nothing was begun");
    house.ok(["resume", "a", "--task", "continue"]);
    assert_eq!(ends(&house, "a"), "done");
    assert_eq!(fake.input(3), b"continue");
}

#[test]
fn a_failed_or_killed_agent_begins_its_task_again_and_is_told_what_was_done() {
    let house = House::new();
    let fake = Fake::claude(
        &house,
        "c",
        "echo $n >> work.txt; if [ $n = 1 ]; then broke error_during_execution; fi",
    );
    let failed = house.orch(["run", "--agent-cli", "c", "--name", "a", "the whole task"]).run();
    assert_eq!(failed.code, 1, "{failed}");
    house.ok(["resume", "a"]);
    assert_eq!(ends(&house, "a"), "done");
    let said = String::from_utf8(fake.input(2)).unwrap();
    assert!(said.starts_with("the whole task") && said.contains("c stopped"), "{said}");
    assert_eq!(house.git(&["show", "ai_orch/a:work.txt"]), "1\n2");

    let slow = patient(&house);
    house.start(["--agent-cli", "patient", "--name", "b", "the other task"]);
    eventually("it works", || there(&house.path("working-1")));
    house.ok(["kill", "b"]);
    assert_eq!(house.listed("b")["state"], "killed");
    fs::write(house.path("go"), "").unwrap();
    house.ok(["resume", "b"]);
    assert_eq!(ends(&house, "b"), "done");
    assert_eq!(slow.starts(), 2);
    assert!(!house.record("b").join("stop").exists());
}

#[test]
fn a_conversation_that_the_cli_forgot_is_told_from_the_beginning() {
    let house = House::new();
    let fake = Fake::claude(&house, "c", "echo $n >> work.txt");
    // At the second start it knows no conversation, as a CLI does whose own files were removed.
    let script = fs::read_to_string(house.path("bin/c")).unwrap();
    let forgets = "cat > \"$dir/$n.in\"\nif [ $n = 2 ]; then echo 'No conversation found' >&2; exit 1; fi";
    fs::write(house.path("bin/c"), script.replace("cat > \"$dir/$n.in\"", forgets)).unwrap();
    house.ok(["run", "--agent-cli", "c", "--name", "a", "first task"]);
    house.ok(["resume", "a", "second task"]);
    assert_eq!(ends(&house, "a"), "done");
    assert_eq!(fake.starts(), 3);
    let said = String::from_utf8(fake.input(3)).unwrap();
    assert!(said.starts_with("second task") && said.contains("first task"), "{said}");
}

#[test]
fn two_who_resume_at_once_start_one_keeper() {
    let house = House::new();
    let fake = patient(&house);
    house.start(["--agent-cli", "patient", "--name", "a", "write"]);
    eventually("it works", || there(&house.path("working-1")));
    kill9(keeper(&house, "a"));
    eventually("it is interrupted", || (house.listed("a")["state"] == "interrupted").then_some(()));
    let calls: Vec<_> = (0..4).map(|_| house.orch(["resume", "a", "--json"]).spawn()).collect();
    let outputs: Vec<_> = calls.into_iter().map(|c| c.wait_with_output().unwrap()).collect();
    let won =
        outputs.iter().filter(|o| String::from_utf8_lossy(&o.stdout).contains("\"resumed\":true")).count();
    assert_eq!(won, 1, "{outputs:?}");
    assert!(outputs.iter().all(|o| o.status.success()), "{outputs:?}");
    eventually("it works again", || there(&house.path("working-2")));
    fs::write(house.path("go"), "").unwrap();
    assert_eq!(ends(&house, "a"), "done");
    assert_eq!(fake.starts(), 2);
    assert_eq!(count(&house, "a", "started"), 2);
}

#[test]
fn variables_of_the_first_call_that_are_gone_are_named() {
    let house = House::new();
    let fake = Fake::claude(&house, "c", "echo $n >> work.txt");
    house.ok(["run", "--agent-cli", "c", "--name", "a", "--env", "SECRET=x1", "task one"]);
    let done = house.orch(["resume", "a", "task two"]).run();
    assert_eq!(done.code, 0, "{done}");
    assert!(done.stderr.contains("SECRET") && done.stderr.contains("--env"), "{done}");
    assert_eq!(ends(&house, "a"), "done");
    let done = house.orch(["resume", "a", "task three", "--env", "SECRET=x2"]).run();
    assert!(!done.stderr.contains("SECRET"), "{done}");
    assert_eq!(ends(&house, "a"), "done");
    assert!(fake.env(3).contains("SECRET=x2"));
}

#[test]
fn resume_refuses_what_makes_no_sense() {
    let house = House::new();
    patient(&house);
    for (words, code) in [
        (&["resume"][..], 2),
        (&["resume", "no such thing"], 2),
        (&["resume", "nobody"], 8),
        (&["resume", "nobody", "a task"], 8),
        (&["resume", "--all", "--task", "x"], 2),
        (&["resume", "a", "b", "a task"], 2),
    ] {
        let done = house.orch(words).run();
        assert_eq!(done.code, code, "{words:?}: {done}");
    }
    house.start(["--agent-cli", "patient", "--name", "a", "write"]);
    eventually("it works", || there(&house.path("working-1")));
    let done = house.orch(["resume", "a"]).run();
    assert_eq!(done.code, 0, "{done}");
    assert!(done.stdout.contains("at work already"), "{done}");
    let done = house.orch(["resume", "a", "more to do"]).run();
    assert_eq!(done.code, 8, "{done}");
    assert_eq!(count(&house, "a", "started"), 1);
}

/// Starts an agent that ends well and leaves `work.txt`.
fn done(house: &House, name: &str) -> std::path::PathBuf {
    house.ok(["run", "--agent-cli", "sh", "--name", name, "echo work > work.txt"]);
    house.listed(name)["worktree"].as_str().unwrap().into()
}

#[test]
fn a_branch_that_moved_on_is_not_turned_back() {
    let house = House::new();
    let tree = done(&house, "a");
    house.git(&["worktree", "remove", "--force", tree.to_str().unwrap()]);
    house.git(&["checkout", "-q", "ai_orch/a"]);
    fs::write(house.repo().join("work.txt"), "mended\n").unwrap();
    fs::write(house.repo().join("more.txt"), "more\n").unwrap();
    house.git(&["add", "."]);
    house.git(&["commit", "-qm", "by the user"]);
    house.git(&["checkout", "-q", "main"]);
    let told = house.orch(["resume", "a", "--task", "echo again >> work.txt"]).run();
    assert_eq!(told.code, 0, "{told}");
    assert!(told.stderr.contains("moved on"), "{told}");
    assert_eq!(ends(&house, "a"), "done");
    assert_eq!(house.git(&["show", "ai_orch/a:work.txt"]), "mended\nagain");
    assert_eq!(house.git(&["show", "ai_orch/a:more.txt"]), "more");
    // The same on the way back from a clean.
    house.git(&["worktree", "remove", "--force", tree.to_str().unwrap()]);
    house.git(&["branch", "-f", "ai_orch/a", "main"]);
    house.ok(["clean", "a"]);
    house.ok(["undo", "a"]);
    assert_eq!(house.git_in(&tree, &["status", "--porcelain"]), "");
    assert!(!tree.join("work.txt").exists());
}

#[test]
fn a_worktree_that_is_gone_comes_back_with_its_commits_even_without_its_branch() {
    let house = House::new();
    let script = "echo 1 > 1; git add 1; git commit -qm one; echo 2 > 2";
    house.ok(["run", "--agent-cli", "sh", "--name", "a", script]);
    let tree = house.listed("a")["worktree"].as_str().unwrap().to_owned();
    let before = house.git(&["log", "--format=%s", "ai_orch/a"]);
    house.git(&["worktree", "remove", "--force", &tree]);
    house.git(&["branch", "-q", "-D", "ai_orch/a"]);
    house.ok(["resume", "a", "--task", "true"]);
    assert_eq!(ends(&house, "a"), "done");
    assert_eq!(house.git(&["log", "--format=%s", "ai_orch/a"]), before);
}

#[test]
fn a_worktree_made_by_half_is_finished_before_anybody_works_in_it() {
    let house = House::new();
    let count = {
        // How many points a resume passes that makes the worktree again.
        let tree = done(&house, "probe");
        fs::remove_dir_all(tree).unwrap();
        let log = house.path("points");
        let call = house.orch(["resume", "probe", "--task", "true"]).env("AI_ORCH_CRASH_LOG", &log);
        assert_eq!(call.run().code, 0);
        assert_eq!(ends(&house, "probe"), "done");
        let text = fs::read_to_string(log).unwrap();
        let resumed = text.lines().filter(|l| l.starts_with("resume ")).position(|l| l.contains("resumed"));
        resumed.unwrap()
    };
    for n in (1..=count).step_by(7) {
        let name = format!("a{n}");
        let tree = done(&house, &name);
        fs::write(tree.join("left.txt"), "left\n").unwrap();
        house.ok(["resume", &name, "--task", "true"]);
        assert_eq!(ends(&house, &name), "done");
        fs::remove_dir_all(&tree).unwrap();
        let died = house
            .orch(["resume", &name, "--task", "echo x >> work.txt"])
            .env("AI_ORCH_CRASH", format!("resume:{n}"))
            .run();
        assert_eq!(died.code, 137, "{died}");
        house.ok(["resume", &name, "--task", "echo x >> work.txt"]);
        assert_eq!(ends(&house, &name), "done");
        let branch = format!("ai_orch/{name}");
        assert_eq!(house.git(&["show", &format!("{branch}:work.txt")]), "work\nx", "died at {n}");
        assert_eq!(house.git(&["show", &format!("{branch}:left.txt")]), "left", "died at {n}");
    }
}

#[test]
fn nobody_is_started_where_git_would_work_in_another_repository() {
    let house = House::new();
    let tree = done(&house, "a");
    house.git(&["worktree", "remove", "--force", tree.to_str().unwrap()]);
    fs::create_dir_all(&tree).unwrap();
    let home = house.path("home");
    house.git_in(&home, &["init", "-q"]);
    let refused = house.orch(["resume", "a", "--task", "git commit -q --allow-empty -m stray"]).run();
    assert_eq!(refused.code, 8, "{refused}");
    assert!(refused.stderr.contains("git worktree"), "{refused}");
    assert_eq!(house.listed("a")["state"], "done", "it is what it was");
    assert_eq!(house.git_in(&home, &["rev-list", "--all", "--count"]), "0");
}

#[test]
fn a_resume_that_could_not_begin_changes_nothing() {
    let house = House::new();
    done(&house, "a");
    house.cli("tmux", "case \"$*\" in *new-session*) echo no >&2; exit 1;; esac; exec /usr/bin/tmux \"$@\"");
    let refused = house.orch(["resume", "a", "something else to do"]).run();
    assert_eq!(refused.code, 6, "{refused}");
    fs::remove_file(house.path("bin/tmux")).unwrap();
    assert_eq!(house.listed("a")["state"], "done");
    assert_eq!(house.listed("a")["title"], "echo work > work.txt");
    assert_eq!(house.ok(["resume", "--all"]).trim(), "No agent is interrupted.");
    assert!(!house.record("a").join("env").exists());
    house.ok(["resume", "a", "echo now > now.txt"]);
    assert_eq!(ends(&house, "a"), "done");
}

#[test]
fn one_name_that_means_no_agent_begins_nothing() {
    let house = House::new();
    let fake = Fake::claude(
        &house,
        "c",
        "echo $n >> work.txt; if [ $n = 1 ]; then broke error_during_execution; fi",
    );
    assert_eq!(house.orch(["run", "--agent-cli", "c", "--name", "a", "a task"]).run().code, 1);
    assert_eq!(house.orch(["resume", "a", "nobody"]).run().code, 2);
    assert_eq!(fake.starts(), 1);
    // The same agent twice is one agent.
    let twice = house.orch(["resume", "a", "a", "--json"]).run();
    assert_eq!(twice.code, 0, "{twice}");
    assert_eq!(twice.json()["resumed"].as_array().unwrap().len(), 1);
    assert_eq!(ends(&house, "a"), "done");
    assert_eq!(fake.starts(), 2);
}

#[test]
fn a_kill_that_was_cut_off_is_not_overruled_by_resuming_everything() {
    let house = House::new();
    patient(&house);
    house.start(["--agent-cli", "patient", "--name", "a", "write"]);
    eventually("it works", || there(&house.path("working-1")));
    let keeper = keeper(&house, "a");
    Command::new("kill").args(["-STOP", &keeper.to_string()]).output().unwrap();
    fs::write(house.record("a").join("stop"), "kill\n").unwrap();
    kill9(keeper);
    eventually("it is interrupted", || (house.listed("a")["state"] == "interrupted").then_some(()));
    let refused = house.orch(["resume", "--all"]).run();
    assert_eq!(refused.code, 8, "{refused}");
    assert!(refused.stderr.contains("ai_orch kill a"), "{refused}");
    house.ok(["resume", "a"]);
    fs::write(house.path("go"), "").unwrap();
    assert_eq!(ends(&house, "a"), "done");
}

#[test]
fn a_brief_says_of_what_was_done_that_it_was_done() {
    let house = House::new();
    house.ok(["run", "--agent-cli", "sh", "--name", "a", "echo 1 > 1"]);
    house.ok(["resume", "a", "cat $AI_ORCH_BRIEF > brief.txt"]);
    assert_eq!(ends(&house, "a"), "done");
    let brief = house.git(&["show", "ai_orch/a:brief.txt"]);
    assert!(brief.contains("sh did what it was asked") && !brief.contains("validation"), "{brief}");
}

#[test]
fn an_agent_whose_creator_died_while_it_took_the_worktree_back_is_made_again() {
    let run = ["run", "--detach", "--agent-cli", "sh", "--name", "b", "echo x > x.txt"];
    let before = House::new();
    let log = before.path("points");
    assert_eq!(before.orch(run).env("AI_ORCH_CRASH_LOG", &log).run().code, 0);
    let points = std::fs::read_to_string(log).unwrap();
    let house = House::new();
    let made = points.lines().find(|l| l.starts_with("run ") && l.contains("after journal worktree_made"));
    let at = format!("run:{}", made.unwrap().split(' ').nth(2).unwrap());
    assert_eq!(house.orch(run).env("AI_ORCH_CRASH", at).run().code, 137);
    let worktree = house.listed("b")["worktree"].as_str().unwrap().to_owned();
    std::fs::remove_file(std::path::Path::new(&worktree).join(".git")).unwrap();
    house.ok(["resume", "b"]);
    house.ok(["wait", "b"]);
    assert_eq!(house.git(&["show", "ai_orch/b:x.txt"]).trim(), "x");
}

#[test]
fn a_task_after_a_round_without_one_is_done() {
    let house = House::new();
    assert_eq!(house.orch(["run", "--agent-cli", "sh", "--name", "one", "exit 3"]).run().code, 1);
    for (words, code) in
        [(&["one"][..], 1), (&["one", "exit 4"], 1), (&["one"], 1), (&["one", "echo ok > ok.txt"], 0)]
    {
        let done = house.orch([&["resume"], words].concat()).run();
        assert_eq!(done.code, 0, "{words:?}: {done}");
        let waited = house.orch(["wait", "one"]).run();
        assert_eq!(waited.code, code, "{words:?}: {waited}");
    }
    assert_eq!(house.listed("one")["state"], "done");
}
