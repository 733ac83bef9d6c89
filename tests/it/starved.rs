//! A machine that has run out: of inotify instances, of processes, of file descriptors. Every call ends, says what is
//! missing, and leaves nothing half made.

use crate::house::{Done, House, eventually, root_only};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What came of a command that is not the binary itself.
fn run(command: &mut Command) -> Done {
    let output = command.stdin(Stdio::null()).output().unwrap();
    Done {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        raw: output.stdout,
    }
}

/// The binary in a user namespace of its own, in which there is not one inotify instance; `None` where such a namespace
/// cannot be made.
pub fn without_inotify(house: &House, words: &[&str]) -> Option<Command> {
    let wall = ["-U", "-r", "sh", "-c"];
    let script = "echo 0 > /proc/sys/user/max_inotify_instances && exec \"$@\"";
    let mut trial = house.command("unshare");
    if !trial.args(wall).args([script, "sh", "true"]).output().is_ok_and(|o| o.status.success()) {
        eprintln!("SKIPPED: no user namespace can be made here");
        return None;
    }
    let mut command = house.command("timeout");
    command
        .args(["120", "unshare"])
        .args(wall)
        .args([script, "sh", env!("CARGO_BIN_EXE_ai_orch")])
        .args(words);
    Some(command)
}

#[test]
fn without_inotify_followers_look_for_themselves() {
    let house = House::new();
    let go = house.path("go");
    let task =
        format!("echo begun; while [ ! -e '{}' ]; do sleep 0.02; done; echo over; echo x > x", go.display());
    house.start(["--agent-cli", "sh", "--name", "one", &task]);
    let verbs = [&["wait", "one"][..], &["logs", "-f", "one"], &["logs", "-f", "--raw", "one"]];
    let mut children = Vec::new();
    for words in verbs {
        let Some(mut command) = without_inotify(&house, words) else { return };
        children.push(
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap(),
        );
    }
    eventually("it has begun", || house.ok(["logs", "one"]).contains("begun").then_some(()));
    fs::write(&go, "").unwrap();
    for (child, words) in children.into_iter().zip(verbs) {
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{words:?}: {output:?}");
        assert!(said.contains("done") || said.contains("over"), "{words:?}: {output:?}");
    }
    let Some(mut command) =
        without_inotify(&house, &["run", "--agent-cli", "sh", "--name", "two", "echo x > x; echo said"])
    else {
        return;
    };
    let done = run(&mut command);
    assert_eq!(done.code, 0, "{done}");
    assert!(done.stdout.contains("said"), "{done}");
    assert_eq!(house.git(&["show", "ai_orch/two:x"]), "x");
}

#[test]
fn without_inotify_who_waits_for_tasks_and_mail_is_slower_and_not_wrong() {
    let house = House::new();
    let id = house.ok(["task", "create", "held"]).trim().to_owned();
    house.ok(["task", "claim", &id]);
    let spawn = |words: &[&str]| {
        let mut command = without_inotify(&house, words)?;
        Some(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    };
    let Some(mut follower) = spawn(&["events", "-f"]) else { return };
    let verbs = [
        &["msg", "read", "--wait", "100s"][..],
        &["task", "wait", &id, "--timeout", "100s"],
        &["task", "claim", "--wait", "100s"],
    ];
    let waiting = verbs.map(|words| spawn(words).unwrap());
    house.ok(["msg", "send", "user", "hello"]);
    house.ok(["task", "complete", &id]);
    house.ok(["task", "create", "wanted"]);
    for (child, (words, expected)) in
        waiting.into_iter().zip(verbs.into_iter().zip(["hello", "completed", "wanted"]))
    {
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{words:?}: {output:?}");
        assert!(String::from_utf8_lossy(&output.stdout).contains(expected), "{words:?}: {output:?}");
    }
    // Everything that happened arrives, in its order; then nobody reads on, and it ends.
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(follower.stdout.take().unwrap()));
    let told = lines.by_ref().map(Result::unwrap).find(|line| line.contains("TASK_STATE_COMPLETED"));
    assert!(told.is_some_and(|line| line.contains(&id)));
    drop(lines);
    let ended = eventually("it notices", || {
        house.ok(["msg", "send", "user", "more"]);
        follower.try_wait().unwrap()
    });
    assert!(ended.success(), "{ended}");
}

/// How long those wait that nobody wakes, before they look by themselves.
const SLOW: Duration = Duration::from_secs(20);

/// Waits until the process watches something and rests: nothing in it runs between two looks.
fn at_rest(pid: u32) {
    let mut before = String::new();
    eventually("it waits", || {
        let files = |dir: &str| fs::read_dir(format!("/proc/{pid}/{dir}")).unwrap().flatten();
        let read = |path: std::path::PathBuf| fs::read_to_string(path).unwrap_or_default();
        let watches =
            files("fdinfo").any(|file| read(file.path()).lines().any(|l| l.starts_with("inotify ")));
        let switches: String = files("task")
            .flat_map(|thread| {
                read(thread.path().join("status")).lines().map(str::to_owned).collect::<Vec<_>>()
            })
            .filter(|line| line.contains("ctxt_switches"))
            .collect();
        (std::mem::replace(&mut before, switches.clone()) == switches && watches).then_some(())
    });
}

fn signal(pid: u32, name: &str) {
    assert!(Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().unwrap().success());
}

#[test]
fn whose_queue_of_events_ran_over_looks_again() {
    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let limit: usize = limit.trim().parse().unwrap();
    let house = House::new();
    let id = house.ok(["task", "create", "held"]).trim().to_owned();
    house.ok(["task", "claim", &id]);
    house.ok(["msg", "send", "user", "the first"]);
    house.ok(["msg", "read"]);
    let copies = fs::read_dir(house.path("root")).unwrap().flatten().map(|entry| entry.path());
    let copies = copies.filter(|path| path.join("tasks").exists()).last().unwrap();
    let crowd: Vec<_> = ["tasks", "mail/user", "feed"]
        .iter()
        .flat_map(|dir| [".one", ".two"].map(|name| copies.join(dir).join(name)))
        .collect();
    for file in &crowd {
        fs::write(file, "").unwrap();
    }
    let verbs = [
        &["msg", "read", "--wait", "100s"][..],
        &["task", "wait", &id, "--timeout", "100s"],
        &["task", "claim", "--wait", "100s"],
    ];
    let began = Instant::now();
    let waiting = verbs.map(|words| house.orch(words).spawn());
    for child in &waiting {
        at_rest(child.id());
        signal(child.id(), "STOP");
    }
    // That a file was opened wakes nobody, and fills the queues all the same; what comes after is not told.
    for n in 0..=limit {
        crowd.iter().skip(n % 2).step_by(2).for_each(|file| drop(fs::File::open(file).unwrap()));
    }
    house.ok(["msg", "send", "user", "hello"]);
    house.ok(["task", "complete", &id]);
    house.ok(["task", "create", "wanted"]);
    let told_in_time = began.elapsed() < SLOW / 2;
    for child in &waiting {
        signal(child.id(), "CONT");
    }
    for (child, (words, expected)) in
        waiting.into_iter().zip(verbs.into_iter().zip(["hello", "completed", "wanted"]))
    {
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{words:?}: {output:?}");
        assert!(String::from_utf8_lossy(&output.stdout).contains(expected), "{words:?}: {output:?}");
    }
    if told_in_time {
        assert!(began.elapsed() < SLOW, "somebody was not woken, and looked by himself");
    } else {
        eprintln!("SKIPPED: this machine is too slow to tell who was woken and who looked by himself");
    }
}

/// The binary with at most `files` descriptors.
fn with_files(house: &House, files: u32, words: &[&str]) -> Done {
    let mut command = house.command("timeout");
    command.args(["--signal=KILL", "100", "prlimit", &format!("--nofile={files}:{files}")]);
    run(command.arg(env!("CARGO_BIN_EXE_ai_orch")).args(words))
}

/// The system could not even start the program.
fn not_started(done: &Done) -> bool {
    done.code == 127 && done.stderr.contains("error while loading shared libraries")
        || ["prlimit", "setpriv"].iter().any(|p| done.stderr.contains(&format!("{p}: failed to execute")))
}

fn nothing_half_made(house: &House, name: &str, done: &Done) {
    assert!(!house.path("home/.local/state/ai_orch/names").join(name).is_symlink(), "a name: {done}");
    assert_eq!(house.git(&["branch", "--list", &format!("ai_orch/{name}")]), "", "a branch: {done}");
    assert!(!house.git(&["worktree", "list"]).contains(name), "a worktree: {done}");
    assert!(!house.tmux(&["has-session", "-t", &format!("={name}")]).status.success(), "a session: {done}");
}

#[test]
fn with_few_file_descriptors_every_verb_ends_with_a_clear_word() {
    let house = House::new();
    house.ok(["run", "--agent-cli", "sh", "--name", "over", "echo x > x"]);
    house.start(["--agent-cli", "sh", "--name", "alive", "sleep 1000"]);
    for files in (3..=24).chain([28, 32, 36, 40]) {
        for words in [
            &["list"][..],
            &["show", "alive"],
            &["logs", "over"],
            &["diff", "over"],
            &["wait", "over"],
            &["doctor"],
        ] {
            let done = with_files(&house, files, words);
            assert!(not_started(&done) || [0, 6].contains(&done.code), "{files} {words:?}: {done}");
            assert!(
                done.code == 0 || !done.stderr.is_empty() || words == ["doctor"],
                "{files} {words:?}: {done}"
            );
        }
        // One more or less makes no other step fail first.
        if files % 2 == 1 {
            continue;
        }
        let name = format!("new-{files}");
        let done =
            with_files(&house, files, &["run", "-d", "--agent-cli", "sh", "--name", &name, "echo x > x"]);
        match done.code {
            0 => {
                assert_eq!(house.orch(["wait", &name]).run().code, 0, "{files}: {done}");
                assert_eq!(house.git(&["show", &format!("ai_orch/{name}:x")]), "x");
            }
            code => {
                assert!(not_started(&done) || code == 6, "{files}: {done}");
                nothing_half_made(&house, &name, &done);
            }
        }
    }
    assert_eq!(house.listed("alive")["state"], "working", "none of this reached an agent");
    assert_eq!(with_files(&house, 40, &["list"]).code, 0, "forty are enough to look");
}

#[test]
fn a_kill_with_few_file_descriptors_can_be_gone_on_with() {
    let house = House::new();
    for files in [6, 8, 9, 10, 11, 12, 13, 14, 16, 20, 30] {
        let name = format!("held-{files}");
        house.start(["--agent-cli", "sh", "--name", &name, &format!("exec sleep 10{files}")]);
        let done = with_files(&house, files, &["kill", &name]);
        assert!(not_started(&done) || [0, 6].contains(&done.code), "{files}: {done}");
        if done.code == 0 {
            assert_eq!(house.listed(&name)["state"], "killed", "{files}: {done}");
        } else {
            assert!(!done.stderr.is_empty(), "{files}: {done}");
        }
        let again = house.orch(["kill", &name]).run();
        assert_eq!(again.code, 0, "{files}: {again}");
        assert_eq!(house.listed(&name)["state"], "killed", "{files}");
        assert!(!house.processes().iter().any(|(_, w)| w.contains(&format!("sleep 10{files}"))), "{files}");
    }
}

/// Sets a limit of a process that runs.
fn limit(pid: &str, what: &str) {
    let done = Command::new("prlimit").args(["--pid", pid, what]).output().unwrap();
    assert!(done.status.success(), "{done:?}");
}

/// An agent of two attempts, the first of which waits for `go`; its keeper's pid.
fn two_attempts(house: &House, how: impl Fn(&mut Command) -> Done) -> String {
    let (begun, go) = (house.path("begun"), house.path("go"));
    let task = format!(
        "touch '{}'; while [ ! -e '{}' ]; do sleep 0.02; done; [ \"$AI_ORCH_ATTEMPT\" = 2 ] || exit 3",
        begun.display(),
        go.display()
    );
    let mut command = house.command(env!("CARGO_BIN_EXE_ai_orch"));
    let done = how(command.args(["run", "-d", "--agent-cli", "sh,sh", "--name", "one", &task]));
    assert_eq!(done.code, 0, "{done}");
    eventually("it has begun", || begun.exists().then_some(()));
    let record = house.path("home/.local/state/ai_orch/names/one");
    let journal = fs::read_to_string(record.join("journal")).unwrap();
    let started = journal.lines().find(|l| l.contains("\"started\"")).unwrap();
    let started: serde_json::Value = serde_json::from_str(&started[9..]).unwrap();
    started["keeper"]["pid"].to_string()
}

/// The agent came to an end that is not "done" and that says why, or its keeper says that it cannot go on.
fn ends_honestly(house: &House) {
    let wait = house.orch(["wait", "one"]).run();
    assert_eq!(wait.code, 1, "{wait}");
    let listed = house.listed("one");
    assert!(["failed", "interrupted"].contains(&listed["state"].as_str().unwrap()), "{listed}");
    assert_ne!(listed["failure"]["message"].as_str().unwrap(), "its keeper is gone", "it says why: {listed}");
    assert_ne!(listed["failure"]["message"].as_str().unwrap(), "", "{listed}");
    house.ok(["kill", "one"]);
    eventually("nothing runs", || house.processes().is_empty().then_some(()));
}

#[test]
fn a_keeper_without_file_descriptors_ends_honestly() {
    let house = House::new();
    let keeper = two_attempts(&house, run);
    let open = fs::read_dir(format!("/proc/{keeper}/fd")).unwrap().count();
    limit(&keeper, &format!("--nofile={open}"));
    fs::write(house.path("go"), "").unwrap();
    ends_honestly(&house);
}

/// Lets the user `uid`, who owns nothing else, have the house.
fn give(house: &House, uid: u32) {
    let done =
        Command::new("chown").args(["-R", &format!("{uid}:{uid}")]).arg(house.path("")).output().unwrap();
    assert!(done.status.success(), "{done:?}");
}

/// `command` as the user `uid`, in a session with at most `processes` processes.
fn as_user(house: &House, uid: u32, processes: Option<u32>, command: &Command) -> Command {
    let mut walled = house.command("timeout");
    walled.args(["--signal=KILL", "100"]);
    if let Some(processes) = processes {
        // Set by root, before it becomes the user.
        walled.args(["prlimit", &format!("--nproc={processes}")]);
    }
    walled.args(["setpriv", &format!("--reuid={uid}"), &format!("--regid={uid}"), "--clear-groups"]);
    walled.arg(command.get_program()).args(command.get_args());
    if let Some(dir) = command.get_current_dir() {
        walled.current_dir(dir);
    }
    walled
}

/// A user whom no other test has: the limit counts all that a user runs.
fn somebody(test: u32) -> u32 {
    200_000 + (std::process::id() % 50_000) * 10 + test
}

/// Whether another user can start the binary at all.
fn can_be_run_by(house: &House, uid: u32) -> bool {
    let mut command = house.command(env!("CARGO_BIN_EXE_ai_orch"));
    let can = run(&mut as_user(house, uid, None, command.arg("--version"))).code == 0;
    if !can {
        eprintln!("SKIPPED: another user cannot reach {}", env!("CARGO_BIN_EXE_ai_orch"));
    }
    can
}

#[test]
fn without_processes_every_verb_ends_with_a_clear_word() {
    if !root_only("it runs as another user") {
        return;
    }
    let house = House::new();
    let uid = somebody(1);
    give(&house, uid);
    if !can_be_run_by(&house, uid) {
        return;
    }
    let call = |processes: Option<u32>, words: &[&str]| {
        let mut command = house.command(env!("CARGO_BIN_EXE_ai_orch"));
        run(&mut as_user(&house, uid, processes, command.args(words)))
    };
    let done = call(None, &["run", "-d", "--agent-cli", "sh", "--name", "alive", "sleep 1000"]);
    assert_eq!(done.code, 0, "{done}");
    // What runs now, and so many more.
    let running = || -> u32 {
        let mut count = 0;
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let status = fs::read_to_string(entry.path().join("status")).unwrap_or_default();
            if status
                .lines()
                .any(|l| l.starts_with("Uid:") && l.split_whitespace().nth(1) == Some(&uid.to_string()))
            {
                count += status
                    .lines()
                    .find_map(|l| l.strip_prefix("Threads:"))
                    .and_then(|n| n.trim().parse::<u32>().ok())
                    .unwrap_or(1);
            }
        }
        count
    };
    for more in 1..=6 {
        for words in [&["list"][..], &["show", "alive"], &["doctor"], &["wait", "alive", "--timeout", "1s"]] {
            let done = call(Some(running() + more), words);
            assert!(not_started(&done) || [0, 6, 7].contains(&done.code), "{more} {words:?}: {done}");
        }
        let name = format!("new-{more}");
        let done =
            call(Some(running() + more), &["run", "-d", "--agent-cli", "sh", "--name", &name, "echo x > x"]);
        if done.code == 0 {
            assert_ne!(call(None, &["wait", &name]).code, 70);
        } else {
            assert!(not_started(&done) || done.code == 6, "{more}: {done}");
            assert!(not_started(&done) || done.stderr.starts_with("error: "), "{more}: {done}");
            assert!(
                !house.path("home/.local/state/ai_orch/names").join(&name).is_symlink(),
                "{more}: {done}"
            );
        }
    }
    let kill = call(Some(1), &["kill", "alive"]);
    assert!(not_started(&kill) || [0, 6].contains(&kill.code), "{kill}");
    let kill = call(None, &["kill", "--all"]);
    assert_eq!(kill.code, 0, "{kill}");
    eventually("nothing runs", || (running() == 0).then_some(()));
}

#[test]
fn a_keeper_without_processes_ends_honestly() {
    if !root_only("it runs as another user") {
        return;
    }
    let house = House::new();
    let uid = somebody(2);
    give(&house, uid);
    if !can_be_run_by(&house, uid) {
        return;
    }
    let keeper = two_attempts(&house, |command| run(&mut as_user(&house, uid, None, command)));
    // Only the user may set the limits of the user's processes.
    let mut set = Command::new("prlimit");
    let set = run(&mut as_user(&house, uid, None, set.args(["--pid", &keeper, "--nproc=1"])));
    assert_eq!(set.code, 0, "{set}");
    fs::write(house.path("go"), "").unwrap();
    let call = |words: &[&str]| {
        let mut command = house.command(env!("CARGO_BIN_EXE_ai_orch"));
        run(&mut as_user(&house, uid, None, command.args(words)))
    };
    let wait = call(&["wait", "one"]);
    assert_eq!(wait.code, 1, "{wait}");
    let list: serde_json::Value = call(&["list", "--json"]).json();
    let agent = &list["agents"][0];
    assert_eq!(agent["state"], "failed", "{agent}");
    // What the first one left could not be saved, so nobody else was let near it.
    assert_eq!(agent["attempts"].as_array().unwrap().len(), 1, "{agent}");
    // Nor could anybody look whether it had done what it may not do.
    assert_eq!(agent["failure"]["class"], "guard", "{agent}");
    assert!(agent["failure"]["message"].as_str().unwrap().contains("could not be"), "{agent}");
    assert!(agent["not_saved"][0].as_str().unwrap().contains("could not be run"), "{agent}");
    assert_eq!(call(&["kill", "--all"]).code, 0);
    assert!(Path::new(&house.path("go")).exists());
}
