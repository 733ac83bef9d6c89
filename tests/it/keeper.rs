//! The keeper and what stops it: kill, kill -9, take-over, what `list` says meanwhile, how agents end.

use crate::house::{Done, House, PATIENCE, eventually, runs};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// The entries of an agent's journal, oldest first. A torn last line is left out.
fn journal(record: &Path) -> Vec<Value> {
    let text = fs::read_to_string(record.join("journal")).unwrap();
    text.lines().filter_map(|line| serde_json::from_str(line.get(9..)?).ok()).collect()
}

fn entries<'a>(journal: &'a [Value], kind: &str) -> Vec<&'a Value> {
    journal.iter().filter(|e| e["entry"] == kind).collect()
}

fn signal(pid: i32, name: &str) {
    let sent = Command::new("kill").args(["-s", name, "--", &pid.to_string()]).output().unwrap();
    assert!(sent.status.success(), "kill -s {name} {pid}: {}", String::from_utf8_lossy(&sent.stderr));
}

/// The keeper that the journal names last.
fn keeper(record: &Path) -> i32 {
    let journal = journal(record);
    i32::try_from(entries(&journal, "started").last().unwrap()["keeper"]["pid"].as_i64().unwrap()).unwrap()
}

/// Whether nobody holds the keeper's lock.
fn lock_is_free(record: &Path) -> bool {
    fs::File::open(record.join("keeper.lock")).unwrap().try_lock_shared().is_ok()
}

fn pids(file: &Path) -> Vec<i32> {
    fs::read_to_string(file).unwrap_or_default().split_whitespace().map(|p| p.parse().unwrap()).collect()
}

/// A profile that waits one second only before it kills.
fn impatient(house: &House, name: &str, script: &str) {
    house.cli(name, script);
    house.profile(name, &format!("name = \"{name}\"\ncommand = \"{name}\"\nstop_grace = 1\n"));
}

fn there(path: &Path) -> Option<()> {
    path.exists().then_some(())
}

/// What is read of something below a directory that others work in; none if it went meanwhile.
fn unless_gone<T>(read: std::io::Result<T>) -> Option<T> {
    match read {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        read => Some(read.unwrap()),
    }
}

/// Every path below `dir` but directories, and what it is. Of what comes and goes meanwhile, what was met.
fn files(dir: &Path) -> Vec<(PathBuf, fs::Metadata)> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in unless_gone(fs::read_dir(&dir)).into_iter().flatten() {
            let path = entry.unwrap().path();
            match unless_gone(fs::symlink_metadata(&path)) {
                Some(meta) if meta.is_dir() => open.push(path),
                Some(meta) => found.push((path, meta)),
                None => {}
            }
        }
    }
    found
}

/// Every file below `dir` with its bytes, every link with its target.
fn tree(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let bytes = |path: &Path, meta: &fs::Metadata| match meta {
        meta if meta.is_file() => unless_gone(fs::read(path)),
        meta if meta.is_symlink() => {
            unless_gone(fs::read_link(path)).map(|to| to.into_os_string().into_encoded_bytes())
        }
        _ => Some(Vec::new()),
    };
    let mut found: Vec<_> = files(dir)
        .into_iter()
        .filter_map(|(path, meta)| Some((path.clone(), bytes(&path, &meta)?)))
        .collect();
    found.sort();
    found
}

/// Nothing of the house runs any more, the tmux server neither.
fn nothing_runs(house: &House) {
    eventually("no process is left", || house.processes().is_empty().then_some(()));
}

/// Starts an agent with `script`, kills it when it says that it is ready, and checks that nothing but its work is left.
/// The script writes the pids of all its processes to `$HOUSE/pids` and makes `$HOUSE/ready` when it is ready.
fn killed_without_a_trace(script: &str) -> (House, Done) {
    let house = House::new();
    let ready = house.path("ready");
    impatient(
        &house,
        "bad",
        &format!(
            "HOUSE={}\necho mine > left.txt\necho more >> README.md\n{script}",
            house.path("").display()
        ),
    );
    let name = house.start(["--agent-cli", "bad", "--name", "bad", "go"]);
    eventually("the agent is ready", || there(&ready));
    let record = house.record(&name);
    let worktree = PathBuf::from(house.listed(&name)["worktree"].as_str().unwrap());
    let before = tree(&worktree);
    assert!(!lock_is_free(&record), "its keeper lives");
    let done = house.orch(["kill", "bad", "--json"]).run();
    assert_eq!(done.code, 0, "{done}");
    assert_eq!(done.json()["killed"][0]["state"], "killed");
    let all = pids(&house.path("pids"));
    assert!(!all.is_empty());
    let left: Vec<i32> = all.into_iter().filter(|p| runs(*p)).collect();
    assert!(left.is_empty(), "still running: {left:?}");
    assert_eq!(house.processes(), [], "also not the tmux server");
    assert!(lock_is_free(&record));
    assert_eq!(tree(&worktree), before, "the worktree is as it was");
    assert_eq!(house.git_in(&worktree, &["status", "--porcelain"]), " M README.md\n?? left.txt");
    assert_eq!(house.git(&["rev-parse", "ai_orch/bad"]), house.git(&["rev-parse", "main"]));
    assert_eq!(house.listed("bad")["state"], "killed");
    (house, done)
}

#[test]
fn a_daemon_without_environment_is_killed_too() {
    drop(killed_without_a_trace(
        "env -i /bin/sh -c 'setsid sh -c \"echo \\$\\$ >> $1/pids; (setsid env -i /bin/sh -c \\\"echo \\\\\\$\\\\\\$ >> $1/pids; touch $1/ready; exec sleep 1000\\\" &) ; exec sleep 1000\" &' sh $HOUSE
echo $$ >> $HOUSE/pids
exit 0 & wait; exec sleep 1000",
    ));
}

#[test]
fn an_agent_that_ignores_every_polite_signal_is_killed() {
    drop(killed_without_a_trace(
        "trap '' HUP TERM INT QUIT USR1\necho $$ > $HOUSE/pids\ntouch $HOUSE/ready\nwhile :; do sleep 1; done",
    ));
}

#[test]
fn an_agent_that_has_stopped_itself_is_killed() {
    let (house, _) =
        killed_without_a_trace("echo $$ > $HOUSE/pids\ntouch $HOUSE/ready\nkill -STOP $$\nexec sleep 1000");
    let show = house.listed("bad");
    assert_eq!(show["attempts"][0]["signal"], 15, "it was woken to hear the polite signal: {show}");
}

#[test]
fn binary_garbage_hurts_nobody() {
    drop(killed_without_a_trace(
        "echo $$ > $HOUSE/pids\nhead -c 3000000 /dev/urandom\nhead -c 3000000 /dev/urandom >&2\ntouch $HOUSE/ready\nexec sleep 1000",
    ));
}

#[test]
fn a_silent_agent_is_killed() {
    drop(killed_without_a_trace(
        "echo $$ > $HOUSE/pids\nexec >/dev/null 2>&1\ntouch $HOUSE/ready\nexec sleep 1000",
    ));
}

/// The most memory that a process ever used, in KiB.
fn peak(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn size(dir: &Path) -> u64 {
    files(dir).iter().map(|(_, meta)| meta.len()).sum()
}

#[test]
fn output_without_end_costs_bounded_memory_and_disk() {
    let house = House::new();
    impatient(
        &house,
        "loud",
        &format!(
            "yes \"$(head -c 3999 /dev/zero | tr '\\0' x)\" | head -c 100000000\necho; echo THE-END\ntouch {}\nexec sleep 1000",
            house.path("ready").display()
        ),
    );
    house.start(["--agent-cli", "loud", "--name", "loud", "go"]);
    let record = house.record("loud");
    let deadline = Instant::now() + 3 * PATIENCE;
    while !house.path("ready").exists() {
        assert!(Instant::now() < deadline, "reading it takes too long");
        let asked = Instant::now();
        assert!(["starting", "working"].contains(&house.listed("loud")["state"].as_str().unwrap()));
        assert!(asked.elapsed() < Duration::from_secs(10), "list waits for nobody");
        std::thread::park_timeout(Duration::from_millis(500));
    }
    eventually("the keeper has read the end", || {
        house.ok(["logs", "loud"]).contains("THE-END").then_some(())
    });
    let peak = peak(keeper(&record));
    let disk = size(&record);
    println!("keeper peak {peak} KiB, record {disk} bytes");
    assert!(peak < 80 << 10, "the keeper used {peak} KiB");
    assert!(disk < 160 << 20, "the record takes {disk} bytes");
    house.ok(["kill", "loud"]);
    nothing_runs(&house);
}

#[test]
fn a_line_of_ten_megabytes_is_still_read() {
    let house = House::new();
    house.cli(
        "big",
        "cat >/dev/null
printf '{\"type\":\"assistant\",\"message\":{\"content\":[{\"type\":\"text\",\"text\":\"'
head -c 10000000 /dev/zero | tr '\\0' a
printf ' and so it ENDS\"}]}}\\n'
printf '{\"type\":\"result\",\"subtype\":\"success\",\"is_error\":false,\"result\":\"\"}\\n'
while [ ! -e ../../../go ] && [ ! -e $GO ]; do sleep 0.05; done",
    );
    house.profile("big", "name = \"big\"\ncommand = \"big\"\nevents = \"claude\"\n");
    let go = house.path("go");
    house.start(["--agent-cli", "big", "--name", "big", "--env", &format!("GO={}", go.display()), "go"]);
    let record = house.record("big");
    eventually("the line was read", || (size(&record) > 15_000_000).then_some(()));
    let peak = peak(keeper(&record));
    println!("keeper peak {peak} KiB");
    fs::write(&go, "").unwrap();
    house.ok(["wait", "big"]);
    let answer = house.listed("big")["attempts"][0]["answer"].as_str().unwrap().to_owned();
    assert!(answer.ends_with("and so it ENDS"), "{answer}");
    assert!(peak < 120 << 10, "the keeper used {peak} KiB");
}

#[test]
fn a_name_must_be_whole_to_be_killed() {
    let house = House::new();
    house.start(["--agent-cli", "sh", "--name", "foobar", "sleep 1000"]);
    let record = house.record("foobar");
    let keeper = keeper(&record);
    let done = house.orch(["kill", "fo"]).run();
    assert_eq!(done.code, 8, "{done}");
    assert!(done.stderr.contains("foobar"), "{done}");
    assert!(runs(keeper) && !lock_is_free(&record));
    eventually("it works", || (house.listed("foobar")["state"] == "working").then_some(()));
}

#[test]
fn killing_twice_at_once_and_again_later_is_no_error() {
    let house = House::new();
    impatient(
        &house,
        "deaf",
        &format!("trap '' TERM\ntouch {}\nwhile :; do sleep 1; done", house.path("ready").display()),
    );
    house.start(["--agent-cli", "deaf", "--name", "deaf", "go"]);
    eventually("it is deaf", || there(&house.path("ready")));
    let record = house.record("deaf");
    let both = [house.orch(["kill", "deaf"]).spawn(), house.orch(["kill", "deaf"]).spawn()];
    for child in both {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let before = journal(&record);
    assert_eq!(before.iter().filter(|e| e["entry"] == "ended").count(), 1, "one end: {before:?}");
    let again = house.orch(["kill", "deaf", "--json"]).run();
    assert_eq!(again.code, 0, "{again}");
    assert_eq!(again.json()["killed"][0]["was_running"], false);
    assert_eq!(journal(&record), before, "nothing was added");
    nothing_runs(&house);
}

#[test]
fn kill_all_kills_all_and_only_what_runs() {
    let house = House::new();
    let over = house.orch(["run", "--agent-cli", "sh", "--name", "over", "echo x > x"]).run();
    assert_eq!(over.code, 0, "{over}");
    for name in ["one", "two", "three"] {
        house.start(["--agent-cli", "sh", "--name", name, "sleep 1000"]);
    }
    let done = house.orch(["kill", "--all", "--json"]).run();
    assert_eq!(done.code, 0, "{done}");
    let killed: Vec<String> = done.json()["killed"]
        .as_array()
        .unwrap()
        .iter()
        .map(|k| k["session"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(killed, ["one", "two", "three"]);
    assert_eq!(house.listed("over")["state"], "done");
    nothing_runs(&house);
}

#[test]
fn a_kill_that_meets_the_end_changes_nothing_about_the_truth() {
    let house = House::new();
    for round in 0..rounds(8) {
        let name = format!("race-{round}");
        // Later each round: before the CLI runs, while it runs, while its work is committed, after the end.
        house.start(["--agent-cli", "sh", "--name", &name, "echo work > work.txt"]);
        let wait = Duration::from_millis((round % 12) * 12);
        let from = Instant::now();
        while from.elapsed() < wait {
            std::thread::yield_now();
        }
        let done = house.orch(["kill", &name, "--json"]).run();
        assert_eq!(done.code, 0, "{done}");
        let record = house.record(&name);
        let journal = journal(&record);
        let ends = entries(&journal, "ended");
        assert_eq!(ends.len(), 1, "{journal:?}");
        assert_eq!(done.json()["killed"][0]["state"], ends[0]["state"], "{done}");
        assert!(lock_is_free(&record));
        if ends[0]["state"] == "done" {
            assert_eq!(house.git(&["show", &format!("ai_orch/{name}:work.txt")]), "work");
        }
    }
    nothing_runs(&house);
}

#[test]
fn a_kill_breaks_off_the_filling_of_a_worktree() {
    let house = House::new();
    // A smudge filter of the user's that hangs: the tree is being filled for as long as we like.
    let started = house.path("started");
    house.cli("slow", &format!("echo $$ >> {}; trap '' TERM; while :; do sleep 1; done", started.display()));
    house.git(&["config", "filter.slow.smudge", "slow"]);
    fs::write(house.repo().join(".gitattributes"), "*.slow filter=slow\n").unwrap();
    fs::write(house.repo().join("a.slow"), "x\n").unwrap();
    house.git(&["add", "."]);
    house.git(&["commit", "-q", "-m", "slow"]);
    house.start(["--agent-cli", "sh", "--name", "fill", "echo never > never.txt"]);
    let pid = eventually("the tree is being filled", || pids(&started).first().copied());
    let asked = Instant::now();
    let done = house.orch(["kill", "fill"]).run();
    assert_eq!(done.code, 0, "{done}");
    assert!(asked.elapsed() < Duration::from_secs(30), "it does not wait for git");
    assert!(!runs(pid), "the filter is gone too");
    nothing_runs(&house);
    assert_eq!(house.listed("fill")["state"], "killed");
}

#[test]
fn a_kill_of_a_keeper_that_died_filling_ends_its_git() {
    let house = House::new();
    let started = house.path("started");
    house.cli("slow", &format!("echo $$ >> {}; while :; do sleep 1; done", started.display()));
    house.git(&["config", "filter.slow.smudge", "slow"]);
    fs::write(house.repo().join(".gitattributes"), "*.slow filter=slow\n").unwrap();
    fs::write(house.repo().join("a.slow"), "x\n").unwrap();
    house.git(&["add", "."]);
    house.git(&["commit", "-q", "-m", "slow"]);
    house.start(["--agent-cli", "sh", "--name", "fill", "echo never > never.txt"]);
    let pid = eventually("the tree is being filled", || pids(&started).first().copied());
    let keeper = keeper(&house.record("fill"));
    signal(keeper, "KILL");
    eventually("the keeper is gone", || lock_is_free(&house.record("fill")).then_some(()));
    assert!(runs(pid), "git goes on without it");
    let listed = house.listed("fill");
    assert_eq!(listed["state"], "interrupted");
    assert_eq!(listed["remarks"][0]["what"], "agent_still_running", "{listed}");
    house.ok(["kill", "fill"]);
    assert!(!runs(pid));
    nothing_runs(&house);
}

#[test]
fn a_kill_breaks_off_the_validation() {
    let house = House::new();
    let started = house.path("started");
    let check = format!("echo $$ > {}; trap '' TERM; while :; do sleep 1; done", started.display());
    house.start(["--agent-cli", "sh", "--name", "val", "--validate", &check, "echo work > work.txt"]);
    let pid = eventually("the validation runs", || pids(&started).first().copied());
    let done = house.orch(["kill", "val", "--json"]).run();
    assert_eq!(done.code, 0, "{done}");
    assert!(!runs(pid));
    nothing_runs(&house);
    assert_eq!(house.listed("val")["state"], "killed");
    assert_eq!(house.git(&["show", "ai_orch/val:work.txt"]), "work", "what was committed before stays");
}

#[test]
fn a_stopped_keeper_hears_a_kill() {
    let house = House::new();
    house.start([
        "--agent-cli",
        "sh",
        "--name",
        "stop",
        &format!("echo $$ > {}; sleep 1000", house.path("pid").display()),
    ]);
    let pid = eventually("it runs", || pids(&house.path("pid")).first().copied());
    signal(keeper(&house.record("stop")), "STOP");
    let asked = Instant::now();
    let done = house.orch(["kill", "stop"]).run();
    assert_eq!(done.code, 0, "{done}");
    assert!(asked.elapsed() < Duration::from_secs(20), "it is woken, not waited for");
    assert!(!runs(pid));
    let journal = journal(&house.record("stop"));
    assert_eq!(entries(&journal, "attempt_ended").len(), 1, "it ended its agent itself: {journal:?}");
    nothing_runs(&house);
}

#[test]
fn a_kill_ends_what_a_dead_keeper_left() {
    let house = House::new();
    // It ignores the TERM that it gets when its keeper dies, and has left its session.
    let script = format!(
        "setsid sh -c 'trap \"\" TERM; echo $$ > {}; while :; do sleep 1; done' & wait",
        house.path("pid").display()
    );
    house.start(["--agent-cli", "sh", "--name", "left", &script]);
    let pid = eventually("it runs", || pids(&house.path("pid")).first().copied());
    let record = house.record("left");
    let keeper = keeper(&record);
    signal(keeper, "KILL");
    eventually("the keeper is gone", || lock_is_free(&record).then_some(()));
    let listed =
        eventually("the list tells", || Some(house.listed("left")).filter(|l| l["state"] == "interrupted"));
    assert_eq!(listed["remarks"][0]["what"], "agent_still_running", "{listed}");
    // The one it names may be the first process, which hears the TERM a moment later.
    eventually("the list names one that runs", || {
        let pid = house.listed("left")["remarks"][0]["pid"].as_i64()?;
        runs(i32::try_from(pid).ok()?).then_some(())
    });
    assert!(house.ok(["list"]).contains("interrupted"));
    let done = house.orch(["kill", "left", "--json"]).run();
    assert_eq!(done.code, 0, "{done}");
    assert!(done.json()["killed"][0]["ended_pids"].as_array().unwrap().iter().any(|p| *p == pid), "{done}");
    assert!(!runs(pid));
    let journal = journal(&record);
    let order: Vec<&str> = journal.iter().map(|e| e["entry"].as_str().unwrap()).collect();
    assert!(order.ends_with(&["fenced", "rescued", "guarded", "ended"]), "{order:?}");
    nothing_runs(&house);
}

#[test]
fn a_kill_does_not_need_tmux() {
    let house = House::new();
    house.start([
        "--agent-cli",
        "sh",
        "--name",
        "lone",
        &format!("trap '' TERM; echo $$ > {}; while :; do sleep 1; done", house.path("pid").display()),
    ]);
    let pid = eventually("it runs", || pids(&house.path("pid")).first().copied());
    let record = house.record("lone");
    let server = String::from_utf8(house.tmux(&["display-message", "-p", "#{pid}"]).stdout).unwrap();
    let server: i32 = server.trim().parse().unwrap();
    signal(server, "KILL");
    eventually("the server is gone", || (!runs(server)).then_some(()));
    let done = house.orch(["kill", "lone"]).run();
    assert_eq!(done.code, 0, "{done}");
    assert!(!runs(pid) && lock_is_free(&record));
    nothing_runs(&house);
}

/// Starts a keeper for an agent that has none, the way the program does. False if tmux did not take it.
fn take_over(house: &House, name: &str, record: &Path) {
    let conf = house.path("root/tmux.conf");
    let words = [
        "-f",
        conf.to_str().unwrap(),
        "new-session",
        "-d",
        "-s",
        name,
        env!("CARGO_BIN_EXE_ai_orch"),
        "__keep",
    ];
    let words: Vec<&str> = words.into_iter().chain([record.to_str().unwrap()]).collect();
    eventually("tmux makes the session", || house.tmux(&words).status.success().then_some(()));
}

/// The pids in a log of `WORD PID` lines, without repetitions that follow each other.
fn writers(log: &Path) -> Vec<String> {
    let text = fs::read_to_string(log).unwrap();
    let mut writers: Vec<String> =
        text.lines().filter_map(|l| l.split_once(' ')).map(|(_, pid)| pid.to_owned()).collect();
    writers.dedup();
    writers
}

/// An agent that says every few milliseconds that it writes, ignores TERM, and only comes to an end when it is not the
/// first attempt.
fn deaf_writer(house: &House, log: &Path) {
    let script = format!(
        "trap '' TERM HUP INT
echo \"start $$\" >> {log}
i=0
while [ $AI_ORCH_ATTEMPT = 1 ] || [ $i -lt 40 ]; do
  i=$((i + 1)); echo \"beat $$\" >> {log}; echo $AI_ORCH_ATTEMPT-$i >> work.txt; sleep 0.005
done
echo \"stop $$\" >> {log}",
        log = log.display()
    );
    impatient(house, "writer", &script);
}

#[test]
fn at_no_instant_do_two_write_in_one_worktree() {
    let house = House::new();
    let log = house.path("log");
    deaf_writer(&house, &log);
    house.start(["--agent-cli", "writer", "--name", "two", "go"]);
    let record = house.record("two");
    let beats = || fs::read_to_string(&log).unwrap_or_default().lines().count();
    eventually("it writes", || (beats() > 5).then_some(()));
    let first = keeper(&record);
    signal(first, "KILL");
    eventually("the keeper is gone", || lock_is_free(&record).then_some(()));
    let then = beats();
    eventually("it goes on without its keeper", || (beats() > then + 3).then_some(()));
    let listed = house.listed("two");
    assert_eq!(listed["state"], "interrupted");
    assert_eq!(listed["remarks"][0]["what"], "agent_still_running");
    let pid = listed["remarks"][0]["pid"].as_i64().unwrap();
    assert_eq!(writers(&log), [pid.to_string()], "it is the writer that is named");
    let text = house.ok(["list"]);
    assert!(text.contains("interrupted") && text.contains(&pid.to_string()), "{text}");
    take_over(&house, "two", &record);
    eventually("it ends", || (house.listed("two")["state"] == "done").then_some(()));
    let journal = journal(&record);
    let fenced = entries(&journal, "fenced");
    assert!(fenced[0]["ended"].as_array().unwrap().iter().any(|p| p["pid"] == pid), "{fenced:?}");
    let kinds: Vec<&str> = journal.iter().map(|e| e["entry"].as_str().unwrap()).collect();
    let at = |kind| kinds.iter().rposition(|k| *k == kind).unwrap();
    assert!(at("fenced") < at("started") && at("started") < at("attempt_started"), "{kinds:?}");
    assert_eq!(writers(&log).len(), 2, "each wrote in one piece: {:?}", writers(&log));
    assert_eq!(house.listed("two")["state"], "done");
    let work = house.git(&["show", "ai_orch/two:work.txt"]);
    assert!(work.starts_with("1-1\n") && work.ends_with("2-40"), "the work of both is kept");
    nothing_runs(&house);
}

#[test]
fn a_second_keeper_is_refused_while_the_first_lives() {
    let house = House::new();
    house.start(["--agent-cli", "sh", "--name", "one", "sleep 1000"]);
    let record = house.record("one");
    eventually("it works", || (house.listed("one")["state"] == "working").then_some(()));
    let before = journal(&record);
    let second = house.orch(["__keep", record.to_str().unwrap()]).run();
    assert_ne!(second.code, 0, "{second}");
    assert_eq!(journal(&record), before);
    assert!(runs(keeper(&record)));
    assert_eq!(house.listed("one")["state"], "working");
}

/// A generator that is only as good as it must be: xorshift.
struct Dice(u64);

impl Dice {
    fn up_to(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// How often to do what is done a few times here and many times by hand (`AI_ORCH_TEST_ROUNDS`).
fn rounds(usual: u64) -> u64 {
    std::env::var("AI_ORCH_TEST_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(usual)
}

fn pane_pid(house: &House, name: &str) -> Option<i32> {
    let out = house.tmux(&["display-message", "-p", "-t", &format!("={name}:"), "#{pane_pid}"]);
    String::from_utf8_lossy(&out.stdout).trim().parse().ok()
}

#[test]
fn a_keeper_killed_at_any_moment_loses_nothing() {
    let house = House::new();
    let seed = std::env::var("AI_ORCH_TEST_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(|| {
        u64::try_from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos())
            .unwrap()
            | 1
    });
    println!("AI_ORCH_TEST_SEED={seed}");
    let mut dice = Dice(seed);
    for round in 0..rounds(6) {
        let name = format!("any-{round}");
        let task = "echo $AI_ORCH_ATTEMPT >> work.txt; sleep 0.05";
        house.start(["--agent-cli", "sh", "--name", &name, "--validate", "grep -q . work.txt", task]);
        let record = house.record(&name);
        for _ in 0..=dice.up_to(3) {
            let until = Instant::now() + Duration::from_millis(dice.up_to(350));
            while Instant::now() < until {
                std::thread::park_timeout(Duration::from_millis(1));
            }
            if let Some(pid) = pane_pid(&house, &name) {
                Command::new("kill").args(["-9", &pid.to_string()]).output().unwrap();
                eventually("the keeper is gone", || (!runs(pid)).then_some(()));
            }
            eventually("the session is gone", || pane_pid(&house, &name).is_none().then_some(()));
            // A keeper that is killed while it starts a program leaves its lock for a moment to that child.
            eventually("the list says that it is gone", || {
                let state = house.listed(&name)["state"].clone();
                (state == "interrupted" || state == "done").then_some(())
            });
            take_over(&house, &name, &record);
        }
        let waited = house.orch(["wait", &name]).run();
        let journal = journal(&record);
        // `wait` may see the moment before the keeper has taken over; then there is nothing to wait for.
        eventually("it ends", || (house.listed(&name)["state"] == "done").then_some(()));
        let journal = if waited.code == 0 { journal } else { self::journal(&record) };
        assert_eq!(entries(&journal, "ended").len(), 1, "one result: {journal:#?}");
        assert_eq!(entries(&journal, "ended")[0]["state"], "done");
        let work = house.git(&["show", &format!("ai_orch/{name}:work.txt")]);
        let attempts = entries(&journal, "attempt_started").len().to_string();
        assert_eq!(work.lines().last(), Some(attempts.as_str()), "the last attempt's work is there: {work}");
        assert_eq!(
            house.git(&["rev-list", "--count", &format!("main..ai_orch/{name}")]),
            "1",
            "committed once"
        );
    }
    nothing_runs(&house);
}

#[test]
fn a_followed_run_whose_keeper_dies_says_so_at_once() {
    let house = House::new();
    let pid_file = house.path("pid");
    let follower = house
        .orch([
            "run",
            "--agent-cli",
            "sh",
            "--name",
            "seen",
            &format!("echo $$ > {}; exec sleep 1000", pid_file.display()),
        ])
        .spawn();
    let pid = eventually("it runs", || pids(&pid_file).first().copied());
    signal(keeper(&house.record("seen")), "KILL");
    let since = Instant::now();
    let output = follower.wait_with_output().unwrap();
    assert!(
        since.elapsed() < Duration::from_secs(4),
        "promptly, not at the next look: {:?}",
        since.elapsed()
    );
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("interrupted"), "{output:?}");
    eventually("the agent went with its keeper", || (!runs(pid)).then_some(()));
}

/// Names, contents and times of everything in state and root.
fn everything(house: &House) -> Vec<(PathBuf, Vec<u8>, std::time::SystemTime)> {
    let mut all = Vec::new();
    for dir in ["home", "root"].map(|d| house.path(d)).iter().filter(|d| d.exists()) {
        for (path, bytes) in tree(dir) {
            let time = fs::symlink_metadata(&path).unwrap().modified().unwrap();
            all.push((path, bytes, time));
        }
    }
    all
}

#[test]
fn list_writes_nothing() {
    let house = House::new();
    let before = tree(&house.path("home"));
    for words in [&["list"][..], &["list", "--json"], &["list", "--here"]] {
        house.ok(words);
    }
    assert_eq!(tree(&house.path("home")), before);
    assert!(!house.path("root").exists() && !house.path("home/.local").exists());
    house.start(["--agent-cli", "sh", "--name", "quiet", "exec sleep 1000"]);
    house.start(["--agent-cli", "sh", "--name", "dead", "exec sleep 1000"]);
    eventually("both work", || {
        (house.listed("quiet")["state"] == "working" && house.listed("dead")["state"] == "working")
            .then_some(())
    });
    signal(keeper(&house.record("dead")), "KILL");
    eventually("one is gone", || (house.listed("dead")["remarks"][0]["what"] == "keeper_gone").then_some(()));
    let before = everything(&house);
    for words in [&["list"][..], &["list", "--json"], &["list", "--here"]] {
        house.ok(words);
    }
    assert_eq!(everything(&house), before);
}

#[test]
fn a_closed_session_stops_its_agent_and_can_be_gone_on_with() {
    let house = House::new();
    let script =
        format!("trap '' TERM HUP; echo $$ > {}; while :; do sleep 1; done", house.path("pid").display());
    impatient(&house, "deaf", &script);
    house.start(["--agent-cli", "deaf", "--name", "closed", "go"]);
    let pid = eventually("it runs", || pids(&house.path("pid")).first().copied());
    let record = house.record("closed");
    assert!(house.tmux(&["kill-session", "-t", "=closed:"]).status.success());
    eventually("the keeper ends", || lock_is_free(&record).then_some(()));
    assert!(!runs(pid), "its agent ended first");
    let journal = journal(&record);
    assert_eq!(entries(&journal, "interrupted").len(), 1, "{journal:?}");
    assert!(entries(&journal, "ended").is_empty());
    let listed = house.listed("closed");
    assert_eq!(listed["state"], "interrupted");
    assert!(listed["failure"]["message"].as_str().unwrap().contains("session was closed"), "{listed}");
    nothing_runs(&house);
}

#[test]
fn a_killed_tmux_server_interrupts_its_agents() {
    let house = House::new();
    for name in ["a", "b"] {
        let pid = house.path(format!("{name}.pid"));
        house.start([
            "--agent-cli",
            "sh",
            "--name",
            name,
            &format!("echo $$ > {}; exec sleep 1000", pid.display()),
        ]);
        eventually("it runs", || pids(&pid).first().copied());
    }
    let server: i32 = String::from_utf8(house.tmux(&["display-message", "-p", "#{pid}"]).stdout)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    signal(server, "KILL");
    for name in ["a", "b"] {
        eventually("it is interrupted", || (house.listed(name)["state"] == "interrupted").then_some(()));
    }
    nothing_runs(&house);
}

#[test]
fn a_tmux_server_that_does_not_answer_holds_nobody_up() {
    let house = House::new();
    house.start(["--agent-cli", "sh", "--name", "mute", "exec sleep 1000"]);
    eventually("it works", || (house.listed("mute")["state"] == "working").then_some(()));
    let server: i32 = String::from_utf8(house.tmux(&["display-message", "-p", "#{pid}"]).stdout)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    signal(server, "STOP");
    let asked = Instant::now();
    let listed = house.listed("mute");
    let took = asked.elapsed();
    signal(server, "CONT");
    assert!(took < Duration::from_secs(15), "{took:?}");
    assert_eq!(listed["state"], "working", "the keeper's lock tells");
    assert_eq!(listed["remarks"][0]["what"], "tmux_unknown", "{listed}");
    assert_eq!(house.listed("mute")["remarks"].as_array().map_or(0, Vec::len), 0);
}

#[test]
fn a_wiped_root_costs_nothing_but_the_board() {
    let house = House::new();
    let go = house.path("go");
    let script = |n| {
        format!(
            "echo $$ > {}; while [ ! -e {} ]; do sleep 0.05; done; echo work > work.txt",
            house.path(format!("{n}.pid")).display(),
            go.display()
        )
    };
    for name in ["stays", "goes"] {
        house.start(["--agent-cli", "sh", "--name", name, &script(name)]);
        eventually("it runs", || pids(&house.path(format!("{name}.pid"))).first().copied());
    }
    fs::remove_dir_all(house.path("root")).unwrap();
    for name in ["stays", "goes"] {
        assert_eq!(house.listed(name)["state"], "working", "the journal tells");
    }
    let done = house.orch(["kill", "goes"]).run();
    assert_eq!(done.code, 0, "{done}");
    assert!(!runs(pids(&house.path("goes.pid"))[0]));
    house.start(["--agent-cli", "sh", "--name", "new", "echo new > new.txt"]);
    house.ok(["wait", "new"]);
    assert_eq!(house.listed("stays")["state"], "working");
    fs::write(&go, "").unwrap();
    house.ok(["wait", "stays"]);
    assert_eq!(house.listed("stays")["state"], "done");
    assert_eq!(house.git(&["show", "ai_orch/stays:work.txt"]), "work");
    nothing_runs(&house);
}

#[test]
fn a_damaged_journal_is_told_and_its_agent_can_still_be_killed() {
    let house = House::new();
    for name in ["fine", "hurt"] {
        let pid = house.path(format!("{name}.pid"));
        house.start([
            "--agent-cli",
            "sh",
            "--name",
            name,
            &format!("echo $$ > {}; exec sleep 1000", pid.display()),
        ]);
        eventually("it runs", || pids(&pid).first().copied());
    }
    let record = house.record("hurt");
    let pid = pids(&house.path("hurt.pid"))[0];
    let text = fs::read_to_string(record.join("journal")).unwrap();
    fs::write(record.join("journal"), text.replacen("worktree_made", "worktree_mode", 1)).unwrap();
    // While the keeper lives its board entry is as good as ever; without the board nothing is left to believe.
    fs::remove_file(
        house
            .path("root")
            .join(house.listed("hurt")["project"].as_str().unwrap())
            .join("agents/hurt/state.json"),
    )
    .unwrap();
    let listed = house.listed("hurt");
    assert_eq!(listed["state"], "unknown");
    assert_eq!(listed["remarks"][0]["what"], "damaged", "{listed}");
    assert_eq!(house.listed("fine")["state"], "working");
    let text = house.ok(["list"]);
    assert!(text.contains("unknown") && text.contains("damaged"), "{text}");
    let done = house.orch(["kill", "hurt"]).run();
    assert_eq!(done.code, 0, "{done}");
    assert!(done.stderr.contains("journal.damaged-1"), "it is said where the old journal is: {done}");
    assert!(!runs(pid) && lock_is_free(&record), "but it is stopped");
    house.ok(["kill", "fine"]);
    nothing_runs(&house);
}

#[test]
fn a_torn_last_line_is_no_damage() {
    let house = House::new();
    house.start([
        "--agent-cli",
        "sh",
        "--name",
        "torn",
        "[ $AI_ORCH_ATTEMPT = 2 ] || exec sleep 1000; echo 2 > work.txt",
    ]);
    let record = house.record("torn");
    eventually("it works", || (house.listed("torn")["state"] == "working").then_some(()));
    let keeper = keeper(&record);
    signal(keeper, "KILL");
    eventually("it is interrupted", || (house.listed("torn")["state"] == "interrupted").then_some(()));
    let whole = fs::read_to_string(record.join("journal")).unwrap();
    fs::write(record.join("journal"), format!("{whole}12345678 {{\"v\":1,\"at\":\"2026-")).unwrap();
    assert_eq!(house.listed("torn")["state"], "interrupted");
    eventually("its session is gone", || pane_pid(&house, "torn").is_none().then_some(()));
    take_over(&house, "torn", &record);
    eventually("it is done", || (house.listed("torn")["state"] == "done").then_some(()));
    assert!(fs::read_to_string(record.join("journal")).unwrap().starts_with(&whole));
    nothing_runs(&house);
}

/// What `run` said and came to, as JSON.
fn ran(house: &House, words: &[&str]) -> (i32, Value, Duration) {
    let began = Instant::now();
    let done = house.orch(["run", "--json"].iter().chain(words)).run();
    let took = began.elapsed();
    let agent = done.json()["agent"].clone();
    assert!(agent.is_object(), "{done}");
    (done.code, agent, took)
}

#[test]
fn a_cli_that_a_signal_ends_has_crashed_and_the_signal_is_named() {
    let house = House::new();
    house.agent("segv", "kill -SEGV $$");
    house.agent("seven", "echo 'odd thing' >&2; exit 7");
    let (code, agent, _) = ran(&house, &["--agent-cli", "segv", "go"]);
    assert_eq!(code, 1);
    assert_eq!(agent["failure"]["class"], "crash");
    assert!(agent["failure"]["message"].as_str().unwrap().contains("SEGV"), "{agent}");
    assert_eq!(agent["attempts"][0]["signal"], 11);
    let (code, agent, _) = ran(&house, &["--agent-cli", "seven", "go"]);
    assert_eq!(code, 1);
    assert_eq!((&agent["failure"]["class"], &agent["attempts"][0]["exit"]), (&"crash".into(), &7.into()));
    assert!(agent["failure"]["message"].as_str().unwrap().contains("odd thing"), "{agent}");
    nothing_runs(&house);
}

#[test]
fn a_daemon_that_keeps_the_pipe_open_does_not_keep_the_agent() {
    let house = House::new();
    let pid = house.path("pid");
    let task = format!(
        "setsid sh -c 'trap \"\" TERM HUP; echo $$ > {0}; while :; do sleep 1; done' & while [ ! -s {0} ]; do sleep 0.01; done; echo work > work.txt",
        pid.display()
    );
    let (code, agent, took) = ran(&house, &["--agent-cli", "sh", "--name", "pipe", &task]);
    assert_eq!((code, &agent["state"]), (0, &"done".into()));
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert!(!runs(pids(&pid)[0]), "and the daemon is gone");
    nothing_runs(&house);
}

#[test]
fn a_daemon_that_only_writes_after_the_end_is_not_forgotten() {
    let house = House::new();
    // Twenty processes, each an orphan of its own, all gone before the agent counts as ended.
    let dir = house.path("pids");
    fs::create_dir(&dir).unwrap();
    let task = format!(
        "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do (setsid sh -c 'echo $$ > {0}/'$i'; exec sleep 1000' &); done; while [ $(ls {0} | wc -l) -lt 20 ]; do sleep 0.01; done",
        dir.display()
    );
    let (code, _, _) = ran(&house, &["--agent-cli", "sh", "--name", "many", &task]);
    assert_eq!(code, 0);
    let left: Vec<i32> = (1..=20).flat_map(|i| pids(&dir.join(i.to_string()))).filter(|p| runs(*p)).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn orphans_that_end_are_collected_while_the_agent_works() {
    let house = House::new();
    let ready = house.path("ready");
    let task = format!(
        "for i in $(seq 100); do (setsid sh -c 'exit 0' &); done; touch {}; exec sleep 1000",
        ready.display()
    );
    house.start(["--agent-cli", "sh", "--name", "orphans", &task]);
    eventually("all were started", || there(&ready));
    let keeper = keeper(&house.record("orphans"));
    let zombies = || {
        let all = fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter_map(|e| fs::read_to_string(e.path().join("stat")).ok());
        all.filter(|stat| {
            let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
            fields[0] == "Z" && fields[1] == keeper.to_string()
        })
        .count()
    };
    eventually("no zombie is left", || (zombies() == 0).then_some(()));
    assert_eq!(house.listed("orphans")["state"], "working");
}

#[test]
fn the_time_allowed_holds_for_who_ignores_it() {
    let house = House::new();
    impatient(&house, "deaf", "trap '' TERM INT HUP\nwhile :; do sleep 1; done");
    let (code, agent, took) = ran(&house, &["--agent-cli", "deaf,deaf", "--timeout", "1s", "go"]);
    assert_eq!(code, 7, "{agent}");
    assert_eq!(agent["failure"]["class"], "timeout");
    assert_eq!(agent["attempts"].as_array().unwrap().len(), 1, "the time is the task's, not one CLI's");
    assert!(
        took >= Duration::from_secs(2) && took < Duration::from_secs(15),
        "1 s and 1 s of grace: {took:?}"
    );
    nothing_runs(&house);
}

#[test]
fn the_time_allowed_holds_for_the_validation_too() {
    let house = House::new();
    let (code, agent, took) =
        ran(&house, &["--agent-cli", "sh", "--timeout", "1s", "--validate", "sleep 1000", "echo x > x"]);
    assert_eq!(code, 7, "{agent}");
    assert_eq!(agent["failure"]["class"], "timeout");
    assert!(took < Duration::from_secs(15), "{took:?}");
    nothing_runs(&house);
}

/// An agent that speaks as claude does and only ever says that it tries again, `times` times, then `end`s.
fn retrier(house: &House, name: &str, times: &str, end: &str) {
    house.cli(
        name,
        &format!(
            "cat >/dev/null
i=0; while [ $i -lt {times} ]; do i=$((i + 1))
echo '{{\"type\":\"system\",\"subtype\":\"api_retry\",\"attempt\":1,\"max_retries\":10,\"retry_delay_ms\":100,\"error_status\":529,\"error\":\"overloaded\"}}'
sleep 0.1; done
{end}"
        ),
    );
    house.profile(
        name,
        &format!("name = \"{name}\"\ncommand = \"{name}\"\nevents = \"claude\"\ngive_up_after = 1\nstop_grace = 1\n"),
    );
}

#[test]
fn who_only_tries_again_is_given_up_while_there_is_another() {
    let house = House::new();
    retrier(&house, "stuck", "100000", "");
    let (code, agent, took) = ran(&house, &["--agent-cli", "stuck,sh", "echo x > x"]);
    assert_eq!(code, 0, "{agent}");
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert_eq!(agent["attempts"][0]["failure"]["class"], "overloaded", "{agent}");
    assert_eq!(agent["attempts"][1]["result"], "done");
    nothing_runs(&house);
}

#[test]
fn the_last_of_a_chain_keeps_its_own_retries() {
    let house = House::new();
    // Three seconds of retries, three times what another in the chain would get.
    let end = "echo work > work.txt; echo '{\"type\":\"result\",\"subtype\":\"success\",\"is_error\":false,\"result\":\"all good\"}'";
    retrier(&house, "patient", "30", end);
    let (code, agent, _) = ran(&house, &["--agent-cli", "patient", "go"]);
    assert_eq!((code, &agent["state"]), (0, &"done".into()), "{agent}");
    // One that is not installed is nobody to turn to.
    house.profile("absent", "name = \"absent\"\ncommand = \"no-such-program-anywhere\"\n");
    let (code, agent, _) = ran(&house, &["--agent-cli", "patient,absent", "go"]);
    assert_eq!((code, &agent["state"]), (0, &"done".into()), "{agent}");
}

#[test]
fn who_says_nothing_for_too_long_is_stalled() {
    let house = House::new();
    house.cli("mute", "exec sleep 1000");
    house.profile("mute", "name = \"mute\"\ncommand = \"mute\"\nstall_after = 1\n");
    let (code, agent, took) = ran(&house, &["--agent-cli", "mute,sh", "echo x > x"]);
    assert_eq!(code, 0, "{agent}");
    assert_eq!(agent["attempts"][0]["failure"]["class"], "stalled", "{agent}");
    assert!(took < Duration::from_secs(20), "{took:?}");
}

#[test]
fn an_agent_inherits_nothing_of_its_keeper() {
    let house = House::new();
    let file = house.path("pid");
    house.start([
        "--agent-cli",
        "sh",
        "--name",
        "bare",
        &format!(
            "echo $$ > {}.new; mv {}.new {}; exec sleep 1000",
            file.display(),
            file.display(),
            file.display()
        ),
    ]);
    let pid = eventually("it runs", || pids(&file).first().copied());
    let name = || fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
    eventually("it became the program", || (name().trim() == "sleep").then_some(()));
    // While it is loaded it has its libraries open for a moment; what it inherited would stay.
    eventually("it has its three files and no other", || {
        let mut fds: Vec<String> = fs::read_dir(format!("/proc/{pid}/fd"))
            .unwrap()
            .filter_map(|e| e.unwrap().file_name().into_string().ok())
            .collect();
        fds.sort();
        (fds == ["0", "1", "2"]).then_some(())
    });
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let mask = |name: &str| {
        let line = status.lines().find(|l| l.starts_with(name)).unwrap();
        u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap()
    };
    assert_eq!(mask("SigBlk"), 0);
    // HUP INT QUIT PIPE TERM CHLD. (tmux itself lets its panes ignore TTIN and TTOU.)
    let ours = [1, 2, 3, 13, 15, 17].iter().fold(0_u64, |mask, signal| mask | 1 << (signal - 1));
    assert_eq!(mask("SigIgn") & ours, 0, "{status}");
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    assert_eq!(
        (fields[3], fields[4]),
        (pid.to_string().as_str(), "0"),
        "a session of its own, and no terminal"
    );
    let worktree = house.listed("bare")["worktree"].as_str().unwrap().to_owned();
    assert_eq!(fs::read_link(format!("/proc/{pid}/cwd")).unwrap(), fs::canonicalize(worktree).unwrap());
}

/// What is left of an agent that could not be made: nothing that anybody could trip over.
fn nothing_was_made(house: &House) {
    let list: Value = serde_json::from_str(&house.ok(["list", "--json"])).unwrap();
    assert_eq!(list["agents"], Value::Array(Vec::new()));
    assert_eq!(house.git(&["worktree", "list"]).lines().count(), 1);
    assert_eq!(house.git(&["branch", "--list"]), "* main");
    assert_eq!(house.git(&["status", "--porcelain"]), "");
    let secrets: Vec<PathBuf> = tree(&house.path("home"))
        .into_iter()
        .filter(|(_, bytes)| bytes.windows(8).any(|w| w == b"s3cr3t-v"))
        .map(|(path, _)| path)
        .collect();
    assert_eq!(secrets, Vec::<PathBuf>::new(), "the environment is not left lying about");
    nothing_runs(house);
}

/// Starts an agent with the helper program `broken` in the way, which must be refused, and then takes that away again.
fn refused(house: &House, broken: &str, code: i32, said: &str) {
    let words =
        ["run", "--detach", "--agent-cli", "sh", "--name", "half", "--env", "KEY=s3cr3t-v", "echo x > x"];
    let done = house.orch(words).run();
    // First of all: a test that fails must still be able to end its house.
    fs::remove_file(house.path(broken)).unwrap();
    assert_eq!(done.code, code, "{done}");
    assert!(done.stderr.contains(said), "{done}");
}

#[test]
fn a_failing_tmux_leaves_nothing_half_made() {
    let house = House::new();
    house.cli("tmux", "echo 'it is on fire' >&2; exit 1");
    refused(&house, "bin/tmux", 6, "it is on fire");
    nothing_was_made(&house);
    assert_eq!(
        house.start(["--agent-cli", "sh", "--name", "half", "echo x > x"]),
        "half",
        "the name is free again"
    );
    house.ok(["wait", "half"]);
}

#[test]
fn a_tmux_that_lies_leaves_nothing_half_made() {
    let house = House::new();
    house.cli(
        "tmux",
        "case \"$*\" in *has-session*) echo \"can't find session: half\" >&2; exit 1;; esac; exit 0",
    );
    let asked = Instant::now();
    refused(&house, "bin/tmux", 6, "ended at once");
    assert!(asked.elapsed() < Duration::from_secs(20), "nobody waits a minute for a keeper that is gone");
    nothing_was_made(&house);
}

#[test]
fn a_tmux_that_hangs_leaves_nothing_half_made() {
    let house = House::new();
    house.cli("tmux", "exec sleep 1000");
    refused(&house, "bin/tmux", 6, "did not answer");
    nothing_was_made(&house);
}

#[test]
fn without_tmux_nothing_is_made() {
    let house = House::new();
    let bin = house.path("few");
    fs::create_dir(&bin).unwrap();
    for program in ["git", "sh"] {
        let found =
            Command::new("sh").args(["-c", &format!("command -v {program}")]).output().unwrap().stdout;
        std::os::unix::fs::symlink(String::from_utf8(found).unwrap().trim(), bin.join(program)).unwrap();
    }
    let words =
        ["run", "--detach", "--agent-cli", "sh", "--name", "half", "--env", "KEY=s3cr3t-v", "echo x > x"];
    let done = house.orch(words).env("PATH", &bin).run();
    assert_eq!(done.code, 6, "{done}");
    assert!(done.stderr.contains("tmux is not installed"), "{done}");
    nothing_was_made(&house);
}

#[test]
fn a_worktree_that_cannot_be_made_leaves_nothing_half_made() {
    let house = House::new();
    fs::create_dir_all(house.path("home/.local/share")).unwrap();
    fs::write(house.path("home/.local/share/ai_orch"), "in the way").unwrap();
    refused(&house, "home/.local/share/ai_orch", 6, "ai_orch");
    nothing_was_made(&house);
}

#[test]
fn a_git_that_fails_leaves_nothing_half_made() {
    let house = House::new();
    house.leave_worktrees_to_git();
    house.cli("git", "case \"$*\" in *'worktree add'*) echo 'no room at all' >&2; exit 1;; esac; PATH=/usr/local/bin:/usr/bin:/bin; exec git \"$@\"");
    refused(&house, "bin/git", 6, "no room at all");
    nothing_was_made(&house);
}

#[test]
fn a_creator_that_is_killed_leaves_what_can_be_seen_and_killed() {
    let house = House::new();
    // A tmux that hangs in new-session: the creator is killed between worktree and session.
    house.cli("tmux", &format!("touch {}; exec sleep 1000", house.path("hangs").display()));
    let mut child = house
        .orch(["run", "--detach", "--agent-cli", "sh", "--name", "cut", "--env", "KEY=s3cr3t-v", "echo x"])
        .spawn();
    // Not before the stand-in has become the sleep: what is looked for below is that.
    eventually("tmux hangs", || {
        there(&house.path("hangs"))?;
        house.processes().iter().any(|(_, words)| words.starts_with("sleep")).then_some(())
    });
    child.kill().unwrap();
    child.wait().unwrap();
    fs::remove_file(house.path("bin/tmux")).unwrap();
    for (pid, words) in house.processes() {
        assert!(words.starts_with("sleep"), "{words}");
        signal(pid, "KILL");
    }
    let listed = house.listed("cut");
    assert_eq!(listed["state"], "interrupted", "{listed}");
    house.ok(["kill", "cut"]);
    assert_eq!(house.listed("cut")["state"], "killed");
    let secret =
        tree(&house.path("home")).into_iter().any(|(_, bytes)| bytes.windows(8).any(|w| w == b"s3cr3t-v"));
    assert!(!secret, "its environment is removed");
    nothing_runs(&house);
}

#[test]
fn who_takes_over_in_the_middle_of_filling_fills_it_whole() {
    let house = House::new();
    let started = house.path("started");
    // Hangs for the first who fills; then it works.
    house.cli(
        "slow",
        &format!("if [ ! -e {0} ]; then echo $$ > {0}; exec sleep 1000; fi; cat", started.display()),
    );
    house.git(&["config", "filter.slow.smudge", "slow"]);
    fs::write(house.repo().join(".gitattributes"), "*.slow filter=slow\n").unwrap();
    for name in ["a.slow", "z.txt"] {
        fs::write(house.repo().join(name), "x\n").unwrap();
    }
    house.git(&["add", "."]);
    house.git(&["commit", "-q", "-m", "slow"]);
    house.start(["--agent-cli", "sh", "--name", "fill", "cat a.slow z.txt > both.txt"]);
    eventually("the tree is being filled", || pids(&started).first().copied());
    let record = house.record("fill");
    signal(keeper(&record), "KILL");
    eventually("the session is gone", || pane_pid(&house, "fill").is_none().then_some(()));
    take_over(&house, "fill", &record);
    eventually("it ends", || (house.listed("fill")["ended"].is_string()).then_some(()));
    let listed = house.listed("fill");
    assert_eq!(listed["state"], "done", "{listed}");
    assert_eq!(house.git(&["show", "ai_orch/fill:both.txt"]), "x\nx");
    nothing_runs(&house);
}
