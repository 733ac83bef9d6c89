//! `list --watch`, and the mail that `list` and `show` tell of.

use crate::house::{House, eventually};
use crate::pane::Person;
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command};

/// A script that ends when the file `go` is there.
fn until_go(house: &House) -> String {
    format!("while [ ! -e '{}' ]; do sleep 0.02; done; echo x > x", house.path("go").display())
}

fn signal(pid: u32, name: &str) {
    assert!(Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().unwrap().success());
}

/// Somebody who reads what `list --watch --json` says.
struct Reader {
    child: Child,
    lines: BufReader<ChildStdout>,
    last: Value,
}

impl Reader {
    fn new(mut child: Child) -> Self {
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines, last: Value::Null }
    }

    /// Reads on until a document is as `wanted`; no two in a row are the same.
    fn sees(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let mut line = String::new();
            assert!(self.lines.read_line(&mut line).unwrap() > 0, "it ended; the last was {}", self.last);
            let document: Value = serde_json::from_str(&line).unwrap();
            assert_ne!(document, self.last, "nothing has changed");
            self.last = document.clone();
            if wanted(&document) {
                return document;
            }
        }
    }

    /// Leaves, as by Ctrl-C.
    fn leave(mut self, pid: u32) {
        signal(pid, "INT");
        assert_eq!(self.child.wait().unwrap().code(), Some(130));
    }
}

fn state<'d>(document: &'d Value, session: &str) -> Option<&'d str> {
    document["agents"].as_array()?.iter().find(|agent| agent["session"] == session)?["state"].as_str()
}

#[test]
fn on_a_terminal_the_list_stays_where_it_is() {
    let house = House::new();
    house.start(["--agent-cli", "sh", "--name", "one", &until_go(&house)]);
    let person = Person::typing(&house, "person", "list --watch");
    person.sees("one");
    house.start(["--agent-cli", "sh", "--name", "two", "exec sleep 1000"]);
    person.sees("two");
    fs::write(house.path("go"), "").unwrap();
    person.sees("done");
    let once = |what: &str| {
        eventually(&format!("{what} stands there once"), || {
            let screen = person.screen();
            (screen.lines().filter(|line| line.starts_with(what)).count() == 1).then_some(screen)
        })
    };
    assert!(!once("SESSION").contains("MAIL"));
    once("one ");
    house.ok(["msg", "send", "two", "hello"]);
    person.sees("MAIL");
    house.ok(["msg", "send", "user", "hello to you"]);
    person.sees("1 message for you: ai_orch msg read");
    house.ok(["msg", "read"]);
    eventually("it was read", || (!person.screen().contains("for you")).then_some(()));
    assert!(person.tmux(&["resize-window", "-x", "45", "-y", "10"]).status.success());
    eventually("it fits", || {
        let screen = person.screen();
        (screen.contains("two") && !screen.contains("BRANCH")).then_some(())
    });
    once("SESSION");
    house.kill_keeper("two");
    person.sees("interrupted");
    once("two ");
    person.press(&["x", "q"]);
    person.sees("LEFT=0");
    // What is typed is shown again.
    person.press(&["typed"]);
    person.sees("typed");
    once("SESSION");
}

#[test]
fn in_a_pipe_there_is_a_table_or_a_document_for_each_change() {
    let house = House::new();
    let child = house.orch(["list", "--watch", "--json", "--here"]).spawn();
    let pid = child.id();
    let mut reader = Reader::new(child);
    assert_eq!(reader.sees(|_| true)["agents"], Value::Array(Vec::new()));
    let mut tables = house.orch(["list", "--watch"]).spawn();
    house.start(["--agent-cli", "sh", "--name", "one", &until_go(&house)]);
    reader.sees(|now| state(now, "one") == Some("working"));
    house.ok(["msg", "send", "one", "hello"]);
    reader.sees(|now| now["agents"][0]["unread"] == 1);
    house.ok(["msg", "send", "user", "hello"]);
    reader.sees(|now| now["for_you"][0]["unread"] == 1 && now["for_you"][0]["here"] == true);
    // Who wipes /tmp costs a look, no more.
    let server = house.path("root/tmux.sock");
    for entry in fs::read_dir(house.path("root")).unwrap().flatten() {
        if entry.path() != server && entry.path().is_dir() {
            fs::remove_dir_all(entry.path()).unwrap();
        }
    }
    fs::write(house.path("go"), "").unwrap();
    let done = reader.sees(|now| state(now, "one") == Some("done"));
    assert_eq!(
        (&done["agents"][0]["unread"], &done["for_you"][0]["unread"]),
        (&1.into(), &1.into()),
        "{done}"
    );
    house.ok(["clean", "one"]);
    reader.sees(|now| state(now, "one").is_none());
    reader.leave(pid);
    let lines = BufReader::new(tables.stdout.take().unwrap()).lines();
    let mut lines = lines.map(Result::unwrap).skip_while(|line| !line.contains("done"));
    assert!(lines.next().is_some());
    assert!(lines.any(|line| line.is_empty()), "a blank line stands between two tables");
    signal(tables.id(), "TERM");
    assert_eq!(tables.wait().unwrap().code(), Some(143));
}

#[test]
fn without_inotify_every_change_is_seen() {
    let house = House::new();
    let Some(mut command) = crate::starved::without_inotify(&house, &["list", "--watch", "--json"]) else {
        return;
    };
    let mut reader = Reader::new(command.stdout(std::process::Stdio::piped()).spawn().unwrap());
    reader.sees(|now| state(now, "one").is_none());
    house.start(["--agent-cli", "sh", "--name", "one", &until_go(&house)]);
    reader.sees(|now| state(now, "one") == Some("working"));
    let own = house.listed("one")["id"].as_str().unwrap().to_owned();
    let followers = [&["events", "-f"][..], &["task", "wait", &own], &["wait", "one"]];
    let mut children = followers.map(|words| {
        let mut command = crate::starved::without_inotify(&house, words).unwrap();
        command.stdout(std::process::Stdio::piped()).spawn().unwrap()
    });
    house.ok(["msg", "send", "one", "hello"]);
    reader.sees(|now| now["agents"][0]["unread"] == 1);
    fs::write(house.path("go"), "").unwrap();
    reader.sees(|now| state(now, "one") == Some("done"));
    let events = BufReader::new(children[0].stdout.take().unwrap()).lines().map(Result::unwrap);
    let seen = |line: &String| line.contains("\"one\"") && line.contains("done");
    assert!(events.take_while(|line| !seen(line)).count() > 0, "what came before was told as well");
    for child in &mut children[1..] {
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
    let of = |words: &str| {
        let all = house.processes();
        let ours = all
            .iter()
            .find(|(_, line)| line.starts_with(env!("CARGO_BIN_EXE_ai_orch")) && line.contains(words));
        u32::try_from(ours.unwrap_or_else(|| panic!("{all:?}")).0).unwrap()
    };
    signal(of("events"), "INT");
    assert_eq!(children[0].wait().unwrap().code(), Some(130));
    reader.leave(of("--watch"));
}

#[test]
fn unread_mail_is_counted_truly_wherever_its_copies_are() {
    let house = House::new();
    let go = house.path("go");
    let script = format!(
        "while [ ! -e '{}' ]; do sleep 0.02; done; ai_orch list --json > seen.json; ai_orch msg read",
        go.display()
    );
    house.start(["--agent-cli", "sh", "--name", "one", &script]);
    house.ok(["run", "--agent-cli", "sh", "--name", "over", "true"]);
    let unread = |session: &str| house.listed(session)["unread"].as_u64();
    assert!(!house.ok(["list"]).contains("MAIL"));
    assert_eq!((unread("one"), unread("over")), (Some(0), Some(0)));
    for text in ["first", "second"] {
        house.ok(["msg", "send", "one", text]);
    }
    house.ok(["msg", "send", "over", "too late"]);
    house.ok(["msg", "send", "user", "to the person"]);
    assert_eq!((unread("one"), unread("over")), (Some(2), Some(1)));
    let table = house.ok(["list"]);
    assert!(table.contains("MAIL") && table.contains("1 message for you: ai_orch msg read"), "{table}");
    assert_eq!(house.show("one")["agent"]["unread"], 2);
    assert!(house.ok(["show", "one"]).contains("2 unread"));
    // Elsewhere the place is told.
    let other = house.path("other");
    house.make_repository(&other);
    let table = house.orch(["list"]).dir(&other).run().stdout;
    let place = fs::canonicalize(house.repo()).unwrap();
    assert!(
        table.contains(&format!("1 message for you in {}: ai_orch msg read", place.display())),
        "{table}"
    );
    let none: Value = house.orch(["list", "--here", "--json"]).dir(&other).run().json();
    assert_eq!((none["agents"].as_array().unwrap().len(), none.get("for_you")), (0, None));
    // Without the copies it is as true, and nothing is made by looking.
    for entry in fs::read_dir(house.path("root")).unwrap().flatten().filter(|e| e.path().is_dir()) {
        fs::remove_dir_all(entry.path()).unwrap();
    }
    assert_eq!((unread("one"), unread("over")), (Some(2), Some(1)));
    assert!(house.ok(["list"]).contains("1 message for you"));
    assert!(!fs::read_dir(house.path("root")).unwrap().flatten().any(|e| e.path().join("mail").is_dir()));
    house.ok(["msg", "send", "one", "third"]);
    assert_eq!(unread("one"), Some(3));
    // The agent itself is told of its own, and not of the person's.
    fs::write(&go, "").unwrap();
    house.ok(["wait", "one"]);
    let seen: Value = serde_json::from_str(&house.git(&["show", "ai_orch/one:seen.json"])).unwrap();
    let own = seen["agents"].as_array().unwrap().iter().find(|agent| agent["session"] == "one").unwrap();
    assert_eq!((&own["unread"], seen.get("for_you")), (&3.into(), None), "{seen}");
    assert_eq!((unread("one"), unread("over")), (Some(0), Some(1)));
    house.ok(["msg", "read"]);
    assert!(!house.ok(["list"]).contains("for you"));
}
