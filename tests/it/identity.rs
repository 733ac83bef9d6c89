//! Who an agent is: what it shows to be known, what it may not do, and that this is on record.

use crate::house::{House, eventually};
use serde_json::Value;
use std::fmt::Write;
use std::fs;

/// An agent whose task is `script`; waits for its end. Our program is the one that it finds in its PATH.
fn agent(house: &House, name: &str, script: &str) -> Value {
    let done = house.orch(["run", "--agent-cli", "sh", "--name", name, script]).run();
    assert_eq!(done.code, 0, "{done}");
    house.listed(name)
}

fn file_of(house: &House, agent: &str, name: &str) -> String {
    house.git(&["show", &format!("ai_orch/{agent}:{name}")])
}

#[test]
fn what_is_a_persons_to_decide_is_refused_to_an_agent() {
    let house = House::new();
    agent(&house, "other", "echo x > x");
    let verbs = [
        ("kill", "kill other"),
        ("kill", "kill --all"),
        ("resume", "resume other"),
        ("clean", "clean other"),
        ("undo", "undo other"),
        ("attach", "attach other"),
        ("run", "run -d --name inner --agent-cli sh 'echo y'"),
    ];
    let mut script = String::new();
    for (n, (_, words)) in verbs.iter().enumerate() {
        writeln!(script, "ai_orch --json {words} 2> said-{n}; echo $? > code-{n}").unwrap();
    }
    script +=
        "ai_orch list > list && ai_orch show other > show && ai_orch guide > guide; echo $? > code-looks\n";
    agent(&house, "curious", &script);
    for (n, (verb, words)) in verbs.iter().enumerate() {
        assert_eq!(file_of(&house, "curious", &format!("code-{n}")), "8", "{words}");
        let said: Value = serde_json::from_str(&file_of(&house, "curious", &format!("said-{n}"))).unwrap();
        assert_eq!(said["error"]["code"], "not_for_agents", "{words}: {said}");
        let message = said["error"]["message"].as_str().unwrap();
        assert!(message.starts_with(&format!("{verb} is not for agents")), "{words}: {message}");
        assert!(said["error"]["hint"].as_str().unwrap().contains("ai_orch guide"), "{said}");
    }
    assert_eq!(file_of(&house, "curious", "code-looks"), "0", "it may look");
    assert!(file_of(&house, "curious", "guide").starts_with("You are the agent `curious` of ai_orch."));
    let log = fs::read_to_string(house.record("curious").join("refused.log")).unwrap();
    assert_eq!(log.lines().count(), verbs.len(), "{log}");
    assert!(log.lines().all(|line| line.contains("is not for agents")), "{log}");
    assert_eq!(house.listed("other")["state"], "done", "nothing was done to it");
    let agents = serde_json::from_str::<Value>(&house.ok(["list", "--json"])).unwrap();
    assert_eq!(agents["agents"].as_array().unwrap().len(), 2, "nothing was started: {agents}");
}

#[test]
fn a_token_is_good_for_one_keeper_only() {
    let house = House::new();
    let task = "env | grep ^AI_ORCH_ > env.$AI_ORCH_ATTEMPT; cp env.* \"$DIR\"; exec sleep 300";
    let dir = house.path("seen");
    fs::create_dir_all(&dir).unwrap();
    let keep = format!("DIR={}", dir.display());
    house.start(["--agent-cli", "sh", "--name", "one", "--env", &keep, task]);
    let seen = |n: u32| {
        eventually("it runs", || {
            fs::read_to_string(dir.join(format!("env.{n}"))).ok().filter(|t| t.contains("TOKEN"))
        })
    };
    let call = |environment: &str, words: &[&str]| {
        let variables = environment.lines().filter_map(|line| line.split_once('='));
        let named = |name: &str| matches!(name, "AI_ORCH_AGENT" | "AI_ORCH_TOKEN" | "AI_ORCH_SESSION");
        variables
            .filter(|(name, _)| named(name))
            .fold(house.orch(words), |call, (name, value)| call.env(name, value))
            .run()
    };
    let first = seen(1);
    let done = call(&first, &["guide"]);
    assert!(done.stdout.starts_with("You are the agent `one`"), "{done}");
    assert_eq!(call(&first, &["kill", "one"]).code, 8);
    let token = house.record("one").join("token");
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&token).unwrap().permissions()) & 0o777,
        0o600
    );
    assert_eq!(house.orch(["kill", "one"]).run().code, 0);
    assert!(!token.exists(), "an agent at its end has none");
    // What it left somewhere is nobody any more, also for verbs that are no agent's.
    for words in [&["guide"][..], &["kill", "one"], &["run", "--agent-cli", "sh", "x y"]] {
        let done = call(&first, words);
        assert_eq!(done.code, 8, "{words:?}: {done}");
        assert!(done.stderr.contains("not the environment of an agent at work"), "{words:?}: {done}");
    }
    assert_eq!(house.orch(["resume", "one"]).env("DIR", &dir).run().code, 0);
    let second = seen(2);
    assert_ne!(first, second);
    let done = call(&first, &["guide"]);
    assert!(done.code == 8 && done.stderr.contains("not the token"), "{done}");
    let done = call(&second, &["guide", "--json"]);
    let guide = done.json()["guide"].as_str().unwrap().to_owned();
    assert_eq!((done.code, call(&second, &["guide"]).stdout), (0, guide), "{done}");
    let half: String =
        second.lines().filter(|line| !line.starts_with("AI_ORCH_TOKEN")).collect::<Vec<_>>().join("\n");
    assert_eq!(call(&half, &["kill", "one"]).code, 8, "a name without a token");
    let log = fs::read_to_string(house.record("one").join("refused.log")).unwrap();
    assert!(log.contains("AI_ORCH_TOKEN is not set") && log.contains("not the token"), "{log}");
}

#[test]
fn role_and_context_are_kept_and_shown() {
    let house = House::new();
    house.ok([
        "run",
        "--agent-cli",
        "sh",
        "--name",
        "a",
        "--role",
        "reviewer",
        "--context-id",
        "Issue_7",
        "echo x > x",
    ]);
    house.ok(["run", "--agent-cli", "sh", "--name", "b", "echo x > x"]);
    let (a, b) = (house.show("a")["agent"].clone(), house.listed("b"));
    assert_eq!((a["role"].as_str(), a["context_id"].as_str()), (Some("reviewer"), Some("Issue_7")));
    assert_eq!((&b["role"], &b["context_id"]), (&Value::Null, &b["id"]), "a context of its own");
    let shown = house.ok(["show", "a"]);
    assert!(shown.contains("reviewer") && shown.contains("Issue_7"), "{shown}");
    for words in [["--role", "No Role"], ["--context-id", "a/b"], ["--name", "user"]] {
        let done = house.orch(["run", "--agent-cli", "sh"].into_iter().chain(words).chain(["echo x"])).run();
        assert_eq!(done.code, 2, "{words:?}: {done}");
    }
    assert_eq!(house.start(["--agent-cli", "sh", "user!"]), "user-2", "no agent has the name of the person");
}

#[test]
fn a_card_tells_of_every_agent_and_comes_back() {
    let house = House::new();
    house.start(["--agent-cli", "sh", "--name", "one", "--role", "reviewer", "sleep 300"]);
    let agent = eventually("it works", || Some(house.listed("one")).filter(|a| a["state"] == "working"));
    let path = house.path("root").join(agent["project"].as_str().unwrap()).join("agents/one/card.json");
    let card: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!((card["name"].as_str(), card["description"].as_str()), (Some("one"), Some("sleep 300")));
    assert_eq!(card["skills"][0]["id"], "reviewer");
    let interface = &card["supportedInterfaces"][0];
    assert!(interface["url"].as_str().unwrap().starts_with("file:///"), "{interface}");
    assert_eq!(interface["protocolVersion"], "1.0");
    assert_eq!(house.orch(["kill", "one"]).run().code, 0);
    assert_eq!(house.orch(["clean", "one"]).run().code, 0);
    assert!(!path.exists(), "it goes with the agent");
}
