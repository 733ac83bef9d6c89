//! Our MCP server as a client sees it: what it is, what its tools answer, and that nothing a client sends ends it.

use crate::house::{House, eventually};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

/// A client of the server.
struct Client {
    server: Child,
    lines: BufReader<std::process::ChildStdout>,
    next: u64,
}

impl Client {
    fn new(command: &mut Command) -> Self {
        let mut server = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(server.stdout.take().unwrap());
        let mut client = Self { server, lines, next: 0 };
        let me = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}});
        let told = client.ask("initialize", &me);
        assert_eq!(told["result"]["serverInfo"]["name"], "ai_orch", "{told}");
        client.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}).to_string());
        client
    }

    /// A client that is the person.
    fn person(house: &House) -> Self {
        Self::new(house.command(env!("CARGO_BIN_EXE_ai_orch")).arg("mcp"))
    }

    /// A client that is the agent with this environment.
    fn agent(house: &House, environment: &[(String, String)]) -> Self {
        let mut command = house.command(env!("CARGO_BIN_EXE_ai_orch"));
        command.arg("mcp").envs(environment.iter().cloned()).current_dir(house.path("home"));
        Self::new(&mut command)
    }

    fn send(&mut self, line: &str) {
        writeln!(self.server.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    fn ask(&mut self, method: &str, params: &Value) -> Value {
        self.next += 1;
        let id = self.next;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string());
        loop {
            let mut line = String::new();
            assert!(self.lines.read_line(&mut line).unwrap() > 0, "it ended");
            let answer: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
            if answer["id"] == id {
                return answer;
            }
        }
    }

    /// What a tool answered, and whether it is an error.
    fn call(&mut self, tool: &str, arguments: &Value) -> (Value, bool) {
        let answer = self.ask("tools/call", &json!({"name": tool, "arguments": arguments}));
        let result = &answer["result"];
        let text = result["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}"));
        (serde_json::from_str(text).unwrap(), result["isError"] == true)
    }

    /// Ends it as clients do.
    fn end(mut self) {
        drop(self.server.stdin.take());
        assert!(self.server.wait().unwrap().success());
    }
}

/// An agent at work with the role of a reviewer: its name and environment.
fn agent(house: &House, name: &str) -> (String, Vec<(String, String)>) {
    agent_with(house, name, &[])
}

/// The same, with more options.
fn agent_with(house: &House, name: &str, options: &[&str]) -> (String, Vec<(String, String)>) {
    let env = house.path("env");
    let script = format!("env -0 > '{0}.new'; mv '{0}.new' '{0}'; exec sleep 300", env.display());
    let words = ["--agent-cli", "sh", "--name", name, "--role", "reviewer", &script];
    let session = house.start([options, &words].concat());
    let text = String::from_utf8(eventually("it runs", || std::fs::read(&env).ok())).unwrap();
    let pairs = text.split('\0').filter_map(|v| v.split_once('='));
    (session, pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

#[test]
fn whatever_a_client_sends_it_goes_on() {
    let house = House::new();
    let mut client = Client::person(&house);
    let tools = client.ask("tools/list", &json!({}));
    for tool in tools["result"]["tools"].as_array().unwrap() {
        assert!(!tool["description"].as_str().unwrap().is_empty(), "{tool}");
        assert_eq!(tool["inputSchema"]["type"], "object", "{tool}");
        assert!(tool["inputSchema"]["properties"]["op_id"].is_object(), "{tool}");
        let (wrong, is_error) = client.call(tool["name"].as_str().unwrap(), &json!({"no_such_thing": 1}));
        assert!(is_error && wrong["error"]["hint"].as_str().unwrap().contains("op_id"), "{wrong}");
    }
    for line in ["{bad", "[]", "null", "{\"jsonrpc\":\"2.0\",\"id\":1000,\"method\":\"nonsense\"}", "\u{0}"] {
        client.send(line);
    }
    let (wrong, is_error) = client.call("who_am_i", &json!({}));
    assert!(is_error && wrong["error"]["hint"].as_str().unwrap().contains("whoami"), "{wrong}");
    let (me, is_error) = client.call("whoami", &json!({"op_id": "x"}));
    assert!(!is_error && me["name"] == "user", "{me}");
    client.end();
    // Outside of any repository there is nobody to work with, and that is said, not died of.
    let mut client =
        Client::new(house.command(env!("CARGO_BIN_EXE_ai_orch")).arg("mcp").current_dir(house.path("home")));
    let (wrong, is_error) = client.call("whoami", &json!({}));
    assert!(is_error && wrong["error"]["code"] == "not_a_repository", "{wrong}");
    client.end();
}

#[test]
fn a_person_and_an_agent_work_together() {
    let house = House::new();
    let (_, environment) = agent(&house, "one");
    let mut person = Client::person(&house);
    let mut agent = Client::agent(&house, &environment);
    // A message is read once, and with the next call it is acknowledged.
    let (sent, wrong) =
        person.call("send_message", &json!({"to": "one", "text": "look at a.rs", "op_id": "m1"}));
    assert!(!wrong && sent["sent"][0]["duplicate"] == false, "{sent}");
    let (again, _) =
        person.call("send_message", &json!({"to": "one", "text": "look at a.rs", "op_id": "m1"}));
    assert_eq!(
        (&again["sent"][0]["duplicate"], &again["sent"][0]["id"]),
        (&json!(true), &sent["sent"][0]["id"])
    );
    let (me, _) = agent.call("whoami", &json!({}));
    assert_eq!(me["unread"], 1);
    let (read, _) = agent.call("read_inbox", &json!({}));
    let message = &read["messages"][0];
    assert_eq!(
        (message["from"].as_str(), read["messages"].as_array().unwrap().len()),
        (Some("user"), 1),
        "{read}"
    );
    assert!(message["text"].as_str().unwrap().contains("look at a.rs"), "{message}");
    let (read, _) = agent.call("read_inbox", &json!({}));
    assert_eq!((read["messages"].as_array().unwrap().len(), &read["unread"]), (0, &json!(0)), "{read}");
    // An answer wakes who waits for it.
    let began = std::time::Instant::now();
    let server = person.server.id();
    let waiting = std::thread::spawn(move || (person.call("wait", &json!({"seconds": 20})).0, person));
    eventually("it watches", || {
        let open = std::fs::read_dir(format!("/proc/{server}/fd")).ok()?;
        let inotify = |target: std::path::PathBuf| target.to_string_lossy().contains("inotify");
        open.flatten().find(|fd| std::fs::read_link(fd.path()).is_ok_and(inotify)).map(drop)
    });
    let (asked, wrong) = agent.call("ask_user", &json!({"question": "which one?"}));
    assert!(!wrong, "{asked}");
    let (came, mut person) = waiting.join().unwrap();
    assert!(came["came"] == "message" && began.elapsed().as_secs() < 10, "{came}");
    let (read, _) = person.call("read_inbox", &json!({"max": 1}));
    assert_eq!(read["messages"][0]["from"], "one", "{read}");
    let (done, _) = person.call("ack", &json!({"ids": [read["messages"][0]["id"]]}));
    assert_eq!((&done["ok"], &done["unread"]), (&json!(true), &json!(0)));
    // A task, from its creation to its artifact.
    let new = json!({"text": "review a.rs", "role": "reviewer", "op_id": "t1"});
    let (created, wrong) = person.call("create_task", &new);
    assert!(!wrong, "{created}");
    let id = created["task_id"].clone();
    let (again, _) = person.call("create_task", &new);
    assert_eq!(again["task_id"], id, "done once: {again}");
    let (refused, wrong) = person.call("claim_task", &json!({"task_id": id}));
    assert!(wrong && refused["error"]["code"] == "wrong_role", "{refused}");
    let (listed, _) = agent.call("list_tasks", &json!({"state": "submitted"}));
    assert_eq!(
        (&listed["tasks"][0]["id"], &listed["tasks"][0]["title"]),
        (&id, &json!("review a.rs")),
        "{listed}"
    );
    let (claimed, _) = agent.call("claim_task", &json!({"op_id": "c1"}));
    assert_eq!(
        (&claimed["task"]["id"], &claimed["task"]["history"][0]["parts"][0]["text"]),
        (&id, &json!("review a.rs"))
    );
    let (again, _) = agent.call("claim_task", &json!({"op_id": "c1"}));
    assert_eq!(again["task"]["id"], id, "the same claim: {again}");
    let (none, wrong) = agent.call("claim_task", &json!({}));
    assert!(!wrong && none["task"].is_null(), "nothing else is there: {none}");
    let (told, _) = agent.call("update_task", &json!({"task_id": id, "text": "half done"}));
    assert_eq!(told["state"], "working", "{told}");
    let (stopped, wrong) = person.call("complete_task", &json!({"task_id": id}));
    assert!(wrong && stopped["error"]["code"] == "not_owner", "{stopped}");
    let artifact = json!({"task_id": id, "name": "review", "text": "all good", "media_type": "text/plain"});
    assert!(!agent.call("add_artifact", &artifact).1);
    let end = json!({"task_id": id, "text": "done", "op_id": "e1"});
    assert_eq!(agent.call("complete_task", &end).0["state"], "completed");
    assert_eq!(agent.call("complete_task", &end).0["state"], "completed", "done once, answered again");
    let (whole, _) = person.call("list_tasks", &json!({"task_id": id}));
    assert_eq!(whole["task"]["artifacts"][0]["parts"][0]["text"], "all good", "{whole}");
    for (tool, arguments) in [
        ("send_message", json!({"to": "nobody-here", "text": "x"})),
        ("send_message", json!({"to": "No Name", "text": "x"})),
        ("send_message", json!({"to": "role:nobody", "text": "x"})),
        ("send_message", json!({"to": "one", "text": " "})),
        ("send_message", json!({"to": "one", "text": "x".repeat(70_000)})),
        ("send_message", json!({"to": "one", "text": "x", "priority": "urgent"})),
        ("ack", json!({"ids": ["x"]})),
        ("ask_user", json!({"question": "I am the person"})),
        ("create_task", json!({"text": "x", "priority": 10})),
        ("create_task", json!({"text": "x", "depends_on": ["x"]})),
        ("claim_task", json!({"task_id": "x"})),
        ("claim_task", json!({"task_id": "01a1f8fa-ff76-76ef-a94a-1e6bb5c81241"})),
        ("list_tasks", json!({"state": "asleep"})),
        ("update_task", json!({"task_id": id})),
        ("add_artifact", json!({"task_id": id, "name": "x"})),
        ("wait", json!({"task_id": "x"})),
    ] {
        let (wrong, is_error) = person.call(tool, &arguments);
        assert!(is_error, "{tool} {arguments}: {wrong}");
        for part in ["code", "message", "hint"] {
            assert!(wrong["error"][part].is_string(), "{tool} {arguments} without {part}: {wrong}");
        }
    }
    agent.end();
    person.end();
}

#[test]
fn who_waits_for_work_is_woken_by_what_it_may_claim() {
    let house = House::new();
    let (_, environment) = agent(&house, "one");
    let mut person = Client::person(&house);
    let mut agent = Client::agent(&house, &environment);
    let first = house.ok(["task", "create", "first", "--role", "tester"]).trim().to_owned();
    let second =
        house.ok(["task", "create", "second", "--role", "reviewer", "--after", &first]).trim().to_owned();
    let patient = json!({"seconds": 0, "claimable": true});
    // For another role, or not ready.
    assert_eq!(agent.call("wait", &patient).0["came"], "nothing");
    assert_eq!(person.call("wait", &patient).0["came"], "nothing");
    let server = agent.server.id();
    let waiting =
        std::thread::spawn(move || (agent.call("wait", &json!({"seconds": 25, "claimable": true})).0, agent));
    eventually("it watches", || {
        let open = std::fs::read_dir(format!("/proc/{server}/fd")).ok()?;
        let inotify = |target: std::path::PathBuf| target.to_string_lossy().contains("inotify");
        open.flatten().find(|fd| std::fs::read_link(fd.path()).is_ok_and(inotify)).map(drop)
    });
    // What it depends on is done by somebody of the other role.
    house.start([
        "--agent-cli",
        "sh",
        "--name",
        "two",
        "--role",
        "tester",
        &format!("ai_orch task claim {first}; ai_orch task complete {first}"),
    ]);
    let (came, mut agent) = waiting.join().unwrap();
    assert_eq!((&came["came"], &came["task_id"]), (&json!("claimable"), &json!(second)), "{came}");
    assert_eq!(agent.call("wait", &json!({"seconds": 0})).0["came"], "nothing", "only if asked");
    assert_eq!(agent.call("claim_task", &json!({})).0["task"]["id"], json!(second));
    assert_eq!(agent.call("wait", &patient).0["came"], "nothing", "it is ours now");
    // An agent's own work is there to be looked at.
    let (listed, _) = person.call("list_tasks", &json!({"state": "working"}));
    let own = listed["tasks"].as_array().unwrap().iter().find(|task| task["kind"] == "agent").unwrap();
    let (whole, wrong) = person.call("list_tasks", &json!({"task_id": own["id"]}));
    assert!(!wrong && whole["task"]["id"] == own["id"], "{whole}");
    let (refused, wrong) = person.call("claim_task", &json!({"task_id": own["id"]}));
    assert!(wrong && refused["error"]["code"] == "own_task", "{refused}");
    let (mine, _) = agent.call("list_tasks", &json!({"mine": true}));
    assert_eq!(mine["tasks"].as_array().unwrap().len(), 1, "what it has claimed: {mine}");
    agent.end();
    person.end();
}

#[test]
fn an_agent_is_known_by_what_it_was_given_at_launch() {
    let house = House::new();
    let (_, environment) = agent(&house, "one");
    let mut client = Client::agent(&house, &environment);
    let (me, _) = client.call("whoami", &json!({}));
    assert_eq!((me["name"].as_str(), me["role"].as_str()), (Some("one"), Some("reviewer")), "{me}");
    assert_eq!(me["branch"], "ai_orch/one");
    let (others, _) = client.call("list_agents", &json!({}));
    assert_eq!(others["agents"][0]["name"], "one", "{others}");
    // It carries the mark of its agent, so it ends with it.
    assert_eq!(house.orch(["kill", "one"]).run().code, 0);
    client.server.wait().unwrap();
}

#[test]
fn an_agent_starts_another_by_its_tool_and_is_told_of_its_end() {
    let house = House::new();
    let (_, environment) = agent_with(&house, "one", &["--may-start", "1"]);
    let mut agent = Client::agent(&house, &environment);
    assert_eq!(agent.call("whoami", &json!({})).0["may_start"], 1);
    let asked = json!({"prompt": "echo x > x.txt", "name": "two", "op_id": "s1"});
    let (started, wrong) = agent.call("spawn_task", &asked);
    assert!(!wrong, "{started}");
    assert_eq!(
        (&started["session"], &started["branch"]),
        (&json!("two"), &json!("ai_orch/two")),
        "{started}"
    );
    let (again, _) = agent.call("spawn_task", &asked);
    assert_eq!(again["id"], started["id"], "{again}");
    let (came, _) = agent.call("wait", &json!({}));
    assert_eq!(came["came"], "message", "{came}");
    let (read, _) = agent.call("read_inbox", &json!({}));
    // Its own task is one to wait for as well: what has ended does not change, and nobody waits for that.
    eventually("it is at its end", || (house.listed("two")["state"] == "done").then_some(()));
    agent.call("ack", &json!({"ids": []}));
    let (came, _) = agent.call("wait", &json!({"task_id": started["task_id"]}));
    assert_eq!((&came["came"], &came["state"]), (&json!("task"), &json!("completed")), "{came}");
    let message = &read["messages"][0];
    assert_eq!((&message["from"], &message["task_id"]), (&json!("two"), &started["task_id"]), "{read}");
    assert!(message["text"].as_str().unwrap().contains("git merge ai_orch/two"), "{read}");
    assert_eq!(read["messages"].as_array().unwrap().len(), 1, "told once: {read}");
    let (refused, wrong) = agent.call("spawn_task", &json!({"prompt": "true"}));
    assert!(wrong && refused["error"]["code"] == "too_many_agents", "{refused}");
    assert_eq!(agent.call("whoami", &json!({})).0["may_start"], 0);
    agent.end();
    let (refused, wrong) = Client::person(&house).call("spawn_task", &json!({"prompt": "true"}));
    assert!(wrong && refused["error"]["code"] == "only_agents", "{refused}");
}

#[test]
fn who_waits_for_the_task_of_a_child_is_woken_by_its_end_and_by_the_death_of_its_keeper() {
    let house = House::new();
    let (_, environment) = agent_with(&house, "one", &["--may-start", "2"]);
    let mut agent = Client::agent(&house, &environment);
    let go = house.path("go");
    let until_go = format!("while [ ! -e '{}' ]; do sleep 0.02; done", go.display());
    let mut start = |prompt: &str, name: &str| {
        let (started, wrong) = agent.call("spawn_task", &json!({"prompt": prompt, "name": name}));
        assert!(!wrong, "{started}");
        // From here on nothing happens to it until it ends.
        eventually("it is at work", || (house.listed(name)["state"] == "working").then_some(()));
        started["task_id"].clone()
    };
    // In this order: an end sends news, which would wake whoever waits afterwards.
    let tasks = [start("exec sleep 1000", "dies"), start(&until_go, "ends")];
    let mut client = agent;
    for (n, task) in tasks.iter().enumerate() {
        let (waiting, server) = (json!({"task_id": task, "seconds": 25}), client.server.id());
        let began = std::time::Instant::now();
        let waiting = std::thread::spawn(move || (client.call("wait", &waiting).0, client));
        eventually("it watches", || {
            let open = std::fs::read_dir(format!("/proc/{server}/fd")).ok()?;
            let inotify = |target: std::path::PathBuf| target.to_string_lossy().contains("inotify");
            open.flatten().find(|fd| std::fs::read_link(fd.path()).is_ok_and(inotify)).map(drop)
        });
        if n == 1 {
            std::fs::write(&go, "").unwrap();
        } else {
            let evidence = house.show("dies")["evidence"].to_string();
            let pid = evidence.split_once("(pid ").unwrap().1.split_once(')').unwrap().0;
            assert!(Command::new("kill").args(["-9", pid]).status().unwrap().success());
        }
        let (came, back) = waiting.join().unwrap();
        client = back;
        assert!(began.elapsed().as_secs() < 15, "{came}");
        // The news of its end may be there before the end.
        assert!(came["came"] == "task" || (n == 1 && came["came"] == "message"), "{came}");
    }
    client.end();
}
