//! Who changes what, agreed beforehand: two agents and a person reserve files of one repository.

use crate::house::{Call, Done, House, eventually};
use serde_json::Value;

/// An agent at work, and the environment by which it is known.
struct Agent(Vec<(String, String)>);

impl Agent {
    fn start(house: &House, name: &str) -> Self {
        let env = house.path(format!("env-{name}"));
        let script = format!("env -0 > '{0}.new'; mv '{0}.new' '{0}'; exec sleep 300", env.display());
        house.start(["--agent-cli", "sh", "--name", name, &script]);
        Self::of(&env)
    }

    /// The one that writes its environment to this file.
    fn of(env: &std::path::Path) -> Self {
        let text = String::from_utf8(eventually("it runs", || std::fs::read(env).ok())).unwrap();
        let pairs = text.split('\0').filter_map(|v| v.split_once('='));
        Self(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// A call that the agent makes.
    fn call(&self, house: &House, words: &[&str]) -> Call {
        self.0.iter().fold(house.orch(words), |call, (name, value)| call.env(name, value))
    }

    fn ok(&self, house: &House, words: &[&str]) -> Value {
        let done = self.call(house, &[words, &["--json"]].concat()).run();
        assert_eq!(done.code, 0, "{done}");
        done.json()
    }
}

fn ok(house: &House, words: &[&str]) -> Value {
    serde_json::from_str(&house.ok([words, &["--json"]].concat())).unwrap()
}

/// Each of `reservations` as `by glob`.
fn told(reservations: &Value) -> Vec<String> {
    let word = |one: &Value, key: &str| one[key].as_str().unwrap().to_owned();
    let all = reservations.as_array().unwrap().iter();
    all.map(|one| format!("{} {}", word(one, "by"), word(one, "glob"))).collect()
}

fn listed(house: &House) -> Vec<String> {
    told(&ok(house, &["reserve", "--list"])["reservations"])
}

/// Checks that something was refused because of a reservation, and returns what was said.
fn refused(done: &Done) -> (String, String) {
    assert_eq!(done.code, 8, "{done}");
    let error: Value = serde_json::from_str(&done.stderr).unwrap();
    assert_eq!(error["error"]["code"], "reserved", "{done}");
    let text = |key: &str| error["error"][key].as_str().unwrap().to_owned();
    (text("message"), text("hint"))
}

#[test]
fn agents_and_a_person_agree_on_files() {
    let house = House::new();
    let (one, two) = (Agent::start(&house, "one"), Agent::start(&house, "two"));
    let first = one.ok(&house, &["reserve", "src/parser", "--why", "the new tokenizer"]);
    assert_eq!(told(&first["reserved"]), ["one src/parser"]);
    assert!(first["reserved"][0]["until"].is_null() && told(&first["others"]).is_empty(), "{first}");
    // The next one gets it as well, and is warned.
    let second = two.ok(&house, &["reserve", "src/**/lex.rs", "docs/*.md"]);
    assert_eq!(told(&second["others"]), ["one src/parser"]);
    assert_eq!(second["others"][0]["why"], "the new tokenizer");
    // Alone nobody gets what others have, and it is said who that is and what to do.
    let alone = house.orch(["reserve", "--exclusive", "**/lex.rs", "--json"]).run();
    let (message, hint) = refused(&alone);
    assert!(
        message.contains("'one' has 'src/parser'") && message.contains("as long as it works"),
        "{message}"
    );
    assert!(message.contains("1 more"), "{message}");
    assert!(hint.contains("ai_orch msg send one") && hint.contains("without --exclusive"), "{hint}");
    // What somebody has alone nobody else gets at all.
    let mine = ok(&house, &["reserve", "--exclusive", "--for", "2h", "Cargo.toml"]);
    assert!(mine["reserved"][0]["until"].is_string(), "{mine}");
    let (message, hint) = refused(&two.call(&house, &["reserve", "tests", "*.toml", "--json"]).run());
    assert!(
        message.contains("'*.toml' is not reserved: 'user' has 'Cargo.toml' for itself alone, until 20"),
        "{message}"
    );
    assert!(!hint.contains("without"), "{hint}");
    assert_eq!(listed(&house), ["user Cargo.toml", "one src/parser", "two docs/*.md", "two src/**/lex.rs"]);
    // Given back, or at the end of the agent: free.
    assert_eq!(ok(&house, &["reserve", "--release", "Cargo.toml", "no-such"])["released"][0], "Cargo.toml");
    two.ok(&house, &["reserve", "--exclusive", "Cargo.toml"]);
    assert!(house.orch(["reserve", "Cargo.toml"]).run().code == 8);
    house.ok(["kill", "two"]);
    assert_eq!(listed(&house), ["one src/parser"]);
    ok(&house, &["reserve", "Cargo.toml"]);
    let text = house.ok(["reserve", "src/parser/x"]);
    assert!(
        text.contains("reserved: src/parser/x  by user, until") && text.contains("the new tokenizer"),
        "{text}"
    );
    assert_eq!(one.ok(&house, &["reserve", "--release"])["released"][0], "src/parser");
    let events: Vec<Value> =
        house.ok(["events"]).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let said: Vec<String> = events
        .iter()
        .filter(|event| event["kind"] == "reservation")
        .map(|event| format!("{} {}", event["by"].as_str().unwrap(), event["released"]))
        .collect();
    assert_eq!(said[..4], ["one false", "two false", "user false", "user true"]);
    assert_eq!(said.last().unwrap(), "one true");
}

#[test]
fn who_changed_what_others_had_reserved_is_told_so_ever_after() {
    let house = House::new();
    let one = Agent::start(&house, "one");
    one.ok(&house, &["reserve", "src/**", "--why", "the tokenizer"]);
    ok(&house, &["reserve", "--exclusive", "README.md"]);
    ok(&house, &["reserve", "other"]);
    let script = "mkdir src; echo a > src/a; echo b > src/b; git mv README.md moved; ai_orch reserve --json mine > mine";
    let told = house.ok(["run", "--agent-cli", "sh", "--name", "two", script]);
    let words = [
        "README.md was reserved by user for itself alone, as README.md",
        "src/a and 1 more were reserved by one, as src/** (the tokenizer)",
    ];
    for words in words {
        assert!(told.contains(words), "{told}");
    }
    // It is true of what was, whatever becomes of the reservations, and of everything under /tmp.
    house.ok(["kill", "one"]);
    ok(&house, &["reserve", "--release"]);
    assert!(!house.orch(["diff", "two"]).run().stderr.contains("reserved"), "nobody has anything now");
    let shown = house.ok(["show", "two"]);
    for words in words {
        assert!(shown.contains(words), "{shown}");
    }
    let crossed = house.show("two")["agent"]["crossed"].clone();
    let of = |n: usize| (crossed[n]["path"].clone(), crossed[n]["by"].clone(), crossed[n]["more"].clone());
    assert_eq!(crossed.as_array().unwrap().len(), 2, "{crossed}");
    assert_eq!(of(0), ("README.md".into(), "user".into(), 0.into()));
    assert_eq!(of(1), ("src/a".into(), "one".into(), 1.into()));
    // In the words of programs too; and nothing is said of who kept to what was agreed.
    ok(&house, &["reserve", "src/a"]);
    let run = ok(&house, &["run", "--agent-cli", "sh", "--name", "three", "mkdir src; echo a > src/a"]);
    assert_eq!(run["agent"]["crossed"][0]["by"], "user", "{run}");
    let run = ok(&house, &["run", "--agent-cli", "sh", "--name", "four", "echo x > src-a"]);
    assert!(run["agent"].get("crossed").is_none(), "{run}");
    // Of an attempt that died as well, whoever sees to what it left.
    let five = Agent::start(&house, "five");
    let tree = house.listed("five")["worktree"].as_str().unwrap().to_owned();
    std::fs::create_dir(format!("{tree}/src")).unwrap();
    std::fs::write(format!("{tree}/src/a"), "a").unwrap();
    let keeper = house.show("five")["evidence"].to_string();
    let pid = keeper.split_once("(pid ").unwrap().1.split_once(')').unwrap().0.to_owned();
    assert!(std::process::Command::new("kill").args(["-9", &pid]).status().unwrap().success());
    drop(five);
    house.ok(["kill", "five"]);
    assert_eq!(house.show("five")["agent"]["crossed"][0]["path"], "src/a");
}

#[test]
fn a_persons_reservation_ends_with_its_time_and_is_renewed_by_asking_again() {
    let house = House::new();
    let one = Agent::start(&house, "one");
    ok(&house, &["reserve", "--exclusive", "a", "b"]);
    let journal = eventually("the journal is there", || {
        let projects = std::fs::read_dir(house.path("home/.local/state/ai_orch")).ok()?;
        projects.flatten().map(|p| p.path().join("reservations")).find(|path| path.exists())
    });
    // As if the time were over: the deadlines lie at the beginning of the boot.
    let text = std::fs::read_to_string(&journal).unwrap();
    let lines: Vec<String> = text
        .lines()
        .map(|line| {
            let mut record: Value = serde_json::from_str(&line[9..]).unwrap();
            record["term"]["lease"]["deadline"] = 1.into();
            let json = record.to_string();
            format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes()))
        })
        .collect();
    std::fs::write(&journal, lines.concat()).unwrap();
    assert!(listed(&house).is_empty());
    one.ok(&house, &["reserve", "--exclusive", "a"]);
    refused(&house.orch(["reserve", "a", "--json"]).run());
    ok(&house, &["reserve", "b", "--op-id", "x"]);
    ok(&house, &["reserve", "b", "--op-id", "x", "--exclusive"]);
    let (_, wrong) = (listed(&house), ok(&house, &["reserve", "--list"]));
    let b = &wrong["reservations"][0];
    assert_eq!(
        (&b["glob"], &b["exclusive"]),
        (&"b".into(), &false.into()),
        "the same operation is done once: {wrong}"
    );
    ok(&house, &["reserve", "b", "--exclusive"]);
    assert_eq!(ok(&house, &["reserve", "--list"])["reservations"][0]["exclusive"], true);
}

#[test]
fn who_comes_back_and_does_the_same_again_has_it_again() {
    let house = House::new();
    let one = Agent::start(&house, "one");
    let task = house.ok(["task", "create", "do it"]).trim().to_owned();
    let reserve = ["reserve", "--exclusive", "src", "--op-id", "r1"];
    let claim = ["task", "claim", &task, "--op-id", "c1"];
    let owner = || {
        let task = ok(&house, &["task", "show", &task])["task"].clone();
        let meta = task["metadata"].as_object().unwrap().values().next().unwrap().clone();
        (meta["owner"].as_str().map(str::to_owned), meta["generation"].as_u64().unwrap())
    };
    one.ok(&house, &reserve);
    one.ok(&house, &claim);
    assert_eq!((owner(), listed(&house)), ((Some("one".into()), 1), vec!["one src".into()]));
    let evidence = house.show("one")["evidence"].to_string();
    let pid = evidence.split_once("(pid ").unwrap().1.split_once(')').unwrap().0;
    assert!(std::process::Command::new("kill").args(["-9", pid]).status().unwrap().success());
    eventually("its keeper is gone", || (house.listed("one")["state"] == "interrupted").then_some(()));
    assert_eq!(listed(&house), [""; 0]);
    let env = house.path("env-one");
    std::fs::remove_file(&env).unwrap();
    house.ok(["resume", "one"]);
    let one = Agent::of(&env);
    // What it calls the same is the same wish: what came of it the first time is over, so it comes true again.
    assert_eq!(told(&one.ok(&house, &reserve)["reserved"]), ["one src"]);
    assert_eq!(one.ok(&house, &claim)["task"]["id"], task.as_str());
    assert_eq!((owner(), listed(&house)), ((Some("one".into()), 2), vec!["one src".into()]));
    // And once more it is done once.
    one.ok(&house, &["reserve", "--release", "src"]);
    one.ok(&house, &reserve);
    one.ok(&house, &["task", "complete", &task]);
    assert_eq!(one.ok(&house, &claim)["task"]["status"]["state"], "TASK_STATE_WORKING", "as it was then");
    assert_eq!((listed(&house), owner().1), (vec![], 2));
}

#[test]
fn of_two_agents_who_want_the_same_alone_at_once_one_gets_it() {
    let house = House::new();
    let agents = [Agent::start(&house, "one"), Agent::start(&house, "two")];
    for n in 0..50 {
        let globs = [format!("src/{n}.rs"), format!("{{src,tests}}/{n}.*")];
        let asking: Vec<_> = agents
            .iter()
            .zip(&globs)
            .map(|(agent, glob)| agent.call(&house, &["reserve", "--exclusive", glob]).spawn())
            .collect();
        let codes: Vec<_> = asking
            .into_iter()
            .map(|child| child.wait_with_output().unwrap().status.code().unwrap())
            .collect();
        assert!(codes == [0, 8] || codes == [8, 0], "{n}: {codes:?}");
    }
    assert_eq!(listed(&house).len(), 50);
}

#[test]
fn what_is_no_pattern_is_a_mistake_and_a_damaged_journal_is_put_aside() {
    let house = House::new();
    for words in [
        &["reserve"][..],
        &["reserve", "/etc"],
        &["reserve", "../x"],
        &["reserve", "a[b"],
        &["reserve", "\u{1b}[2J"],
        &["reserve", "--list", "x"],
        &["reserve", "--release", "--exclusive", "x"],
        &["reserve", "--for", "never", "x"],
    ] {
        let done = house.orch(words).run();
        assert!(done.code == 2 && !done.stderr.contains('\u{1b}'), "{words:?} {done}");
    }
    ok(&house, &["reserve", "a"]);
    let state = house.path("home/.local/state/ai_orch");
    let journal = std::fs::read_dir(state).unwrap().flatten().map(|p| p.path().join("reservations"));
    let journal = journal.filter(|path| path.exists()).last().unwrap();
    for plant in ["mkfifo \"$0\"", "mkdir \"$0\"", "ln -s /etc/passwd \"$0\"", "printf 'x\\ny\\n' > \"$0\""] {
        std::fs::rename(&journal, journal.with_file_name("before")).unwrap();
        let planted = std::process::Command::new("sh").args(["-c", plant]).arg(&journal).status().unwrap();
        assert!(planted.success());
        let done = house.orch(["reserve", "b", "--json"]).run();
        if !plant.starts_with("printf") {
            // A torn end, which nobody was told of, is cut off; anything else is said.
            assert_eq!(done.code, 6, "{plant}: {done}");
            assert!(done.stderr.contains("do the same once more"), "{plant}: {done}");
        }
        ok(&house, &["reserve", "b"]);
        assert_eq!(listed(&house), ["user b"]);
    }
}
