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
fn an_agent_is_known_by_what_it_was_given_at_launch() {
    let house = House::new();
    let env = house.path("env");
    let script = format!("env -0 > '{0}.new'; mv '{0}.new' '{0}'; exec sleep 300", env.display());
    house.start(["--agent-cli", "sh", "--name", "one", "--role", "reviewer", &script]);
    let environment = eventually("it runs", || std::fs::read(&env).ok());
    let variables = || {
        let text = String::from_utf8(environment.clone()).unwrap();
        let pairs =
            text.split('\0').filter_map(|v| v.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned())));
        pairs.collect::<Vec<_>>()
    };
    let mut client = Client::new(
        house
            .command(env!("CARGO_BIN_EXE_ai_orch"))
            .arg("mcp")
            .envs(variables())
            .current_dir(house.path("home")),
    );
    let (me, _) = client.call("whoami", &json!({}));
    assert_eq!((me["name"].as_str(), me["role"].as_str()), (Some("one"), Some("reviewer")), "{me}");
    assert_eq!(me["branch"], "ai_orch/one");
    let (others, _) = client.call("list_agents", &json!({}));
    assert_eq!(others["agents"][0]["name"], "one", "{others}");
    // It carries the mark of its agent, so it ends with it.
    assert_eq!(house.orch(["kill", "one"]).run().code, 0);
    client.server.wait().unwrap();
}
