//! The pane: who attaches sees what the agent does, and nothing they type reaches or stops it.

use crate::house::{House, eventually};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// A person's own tmux: a second server, whose panes are real terminals.
pub struct Person<'a> {
    house: &'a House,
    socket: PathBuf,
}

impl<'a> Person<'a> {
    /// Sits down at a terminal in which `ai_orch WORDS` was typed.
    pub fn typing(house: &'a House, name: &str, words: &str) -> Self {
        let person = Self { house, socket: house.path(format!("{name}.sock")) };
        let script = format!("{} {words}; echo LEFT=$?; exec cat", env!("CARGO_BIN_EXE_ai_orch"));
        let out = person.tmux(&["new-session", "-d", "-x", "100", "-y", "30", &script]);
        assert!(out.status.success(), "{out:?}");
        person
    }

    pub fn tmux(&self, words: &[&str]) -> Output {
        self.house
            .command("tmux")
            .arg("-S")
            .arg(&self.socket)
            .args(["-f", "/dev/null"])
            .args(words)
            .output()
            .unwrap()
    }

    /// Presses keys, named as tmux names them.
    pub fn press(&self, keys: &[&str]) {
        let out = self.tmux(&[&["send-keys"], keys].concat());
        assert!(out.status.success(), "{out:?}");
    }

    pub fn screen(&self) -> String {
        String::from_utf8_lossy(&self.tmux(&["capture-pane", "-p"]).stdout).into_owned()
    }

    pub fn sees(&self, text: &str) {
        let deadline = Instant::now() + crate::house::PATIENCE;
        while !self.screen().contains(text) {
            assert!(Instant::now() < deadline, "the screen does not show {text}, but:\n{}", self.screen());
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    fn pid(&self) -> String {
        String::from_utf8(self.tmux(&["display-message", "-p", "#{pid}"]).stdout).unwrap().trim().to_owned()
    }
}

impl Drop for Person<'_> {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

/// Starts an agent that counts on its screen and in a file, and answers with the file.
fn counter(house: &House, name: &str) -> PathBuf {
    let file = house.path(format!("{name}.count"));
    let task = format!(
        "i=0; while :; do i=$((i + 1)); echo count-$i; echo $i >> {}; sleep 0.02; done",
        file.display()
    );
    house.start(["--agent-cli", "sh", "--name", name, &task]);
    eventually("it counts", || (count(&file) > 0).then_some(()));
    file
}

fn count(file: &Path) -> usize {
    fs::read_to_string(file).unwrap_or_default().lines().count()
}

/// The agent counts on, and its screen too.
fn goes_on(file: &Path, person: &Person<'_>) {
    let now = count(file);
    eventually("the agent goes on", || (count(file) > now + 5).then_some(()));
    let far = now + 5;
    eventually("the screen goes on", || {
        let last = person
            .screen()
            .lines()
            .rev()
            .find_map(|l| l.trim().strip_prefix("count-")?.parse::<usize>().ok());
        last.is_some_and(|last| last > far).then_some(())
    });
}

fn attached(house: &House, name: &str) -> usize {
    let out = house.tmux(&["list-clients", "-t", &format!("={name}:"), "-F", "#{client_name}"]);
    String::from_utf8_lossy(&out.stdout).lines().count()
}

/// Holds for a while that `holds`.
fn stays(what: &str, holds: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_millis(700);
    while Instant::now() < until {
        assert!(holds(), "did not stay: {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

#[test]
fn no_key_and_no_paste_stops_the_agent_or_its_screen() {
    let house = House::new();
    let file = counter(&house, "keys");
    let person = Person::typing(&house, "person", "attach keys");
    person.sees("count-");
    for key in ["C-c", "C-s", "C-z", "C-\\", "C-d", "C-q", "Escape", "Enter", "x", "F1", "Up"] {
        person.press(&[key]);
        goes_on(&file, &person);
    }
    person.press(&["?"]);
    // The screen moves on; what was said stays in the pane's history.
    let said = |text: &str| {
        let out = house.tmux(&["capture-pane", "-p", "-S", "-", "-t", "=keys:"]);
        String::from_utf8_lossy(&out.stdout).contains(text).then_some(())
    };
    eventually("Ctrl-C is explained", || said("Ctrl-C does nothing here"));
    eventually("there is help", || said("nothing you type here reaches it"));
    person.press(&["-l", "exit; echo typed words and a quit"]);
    goes_on(&file, &person);
    person.tmux(&["set-buffer", "quit\nquit\nexit\n"]);
    person.tmux(&["paste-buffer", "-p"]);
    goes_on(&file, &person);
    assert_eq!(attached(&house, "keys"), 1, "nothing of that was a wish to leave");
    assert_eq!(house.listed("keys")["state"], "working");
    assert!(!house.ok(["logs", "keys", "--raw"]).contains("typed"), "nothing reached the agent");
}

#[test]
fn q_leaves_for_the_one_who_pressed_it() {
    let house = House::new();
    let file = counter(&house, "two");
    let one = Person::typing(&house, "one", "attach two");
    let two = Person::typing(&house, "two", "attach tw");
    eventually("both are attached", || (attached(&house, "two") == 2).then_some(()));
    // A client that has only just attached still talks with its terminal, and may take a key for a part of the answer.
    one.sees("count-");
    two.sees("count-");
    // Both touch their keyboard in the same second, in both orders.
    two.press(&["x"]);
    one.press(&["q"]);
    one.sees("LEFT=0");
    stays("the other one is attached", || attached(&house, "two") == 1 && !two.screen().contains("LEFT"));
    goes_on(&file, &two);
    two.press(&["q"]);
    two.sees("LEFT=0");
    eventually("nobody is attached", || (attached(&house, "two") == 0).then_some(()));
    let now = count(&file);
    eventually("the agent goes on", || (count(&file) > now + 5).then_some(()));
}

#[test]
fn the_first_of_two_who_type_at_once_can_leave_too() {
    let house = House::new();
    counter(&house, "two");
    let one = Person::typing(&house, "one", "attach two");
    let two = Person::typing(&house, "two", "attach two");
    eventually("both are attached", || (attached(&house, "two") == 2).then_some(()));
    // A client that has only just attached still talks with its terminal, and may take a key for a part of the answer.
    one.sees("count-");
    two.sees("count-");
    one.press(&["x"]);
    two.press(&["q"]);
    two.sees("LEFT=0");
    stays("the other one is attached", || attached(&house, "two") == 1 && !one.screen().contains("LEFT"));
}

#[test]
fn a_closed_terminal_leaves_the_agent() {
    let house = House::new();
    let file = counter(&house, "left");
    let person = Person::typing(&house, "person", "attach left");
    person.sees("count-");
    let pid = person.pid();
    assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
    eventually("nobody is attached", || (attached(&house, "left") == 0).then_some(()));
    let now = count(&file);
    eventually("the agent goes on", || (count(&file) > now + 5).then_some(()));
    assert_eq!(house.listed("left")["state"], "working");
}

#[test]
fn attach_says_who_is_meant_and_what_became_of_it() {
    let house = House::new();
    house.start(["--agent-cli", "sh", "--name", "same-one", "sleep 1000"]);
    house.start(["--agent-cli", "sh", "--name", "same-two", "sleep 1000"]);
    let done = house.orch(["attach", "same"]).run();
    assert_eq!(done.code, 8, "{done}");
    assert!(done.stderr.contains("same-one") && done.stderr.contains("same-two"), "{done}");
    let done = house.orch(["attach", "nobody"]).run();
    assert_eq!(done.code, 8, "{done}");
    house.ok(["run", "--agent-cli", "sh", "--name", "over", "echo the last word; echo x > x"]);
    let done = house.orch(["attach", "ov"]).run();
    assert_eq!(done.code, 0, "{done}");
    assert!(done.stdout.contains("the last word"), "{done}");
    assert!(done.stdout.contains("ai_orch diff over"), "what to type next: {done}");
}

#[test]
fn attach_without_a_name_lets_one_pick() {
    let house = House::new();
    let person = Person::typing(&house, "nobody", "attach");
    person.sees("no agent is running");
    drop(person);
    let file = counter(&house, "first");
    counter(&house, "second");
    let person = Person::typing(&house, "person", "attach");
    person.sees("Attach to which");
    person.press(&["-l", "first"]);
    person.press(&["Enter"]);
    eventually("it is attached", || (attached(&house, "first") == 1).then_some(()));
    goes_on(&file, &person);
    let done = house.orch(["attach"]).run();
    assert_ne!(done.code, 0, "without a terminal there is nobody to ask: {done}");
}

#[test]
fn nothing_an_agent_prints_steers_the_terminal() {
    let house = House::new();
    let task = r"echo first; printf '\033[31mred\033[0m \033[2J\033]0;stolen\007\033]52;c;QUJD\007 \302\233 31m\n'; printf '\033[31merr\n' >&2; echo last; sleep 1000";
    house.start(["--agent-cli", "sh", "--name", "rude", task]);
    let pane = |words: &[&str]| {
        let out = house.tmux(&[words, &["-t", "=rude:"]].concat());
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    eventually("it has spoken", || {
        let shown = pane(&["capture-pane", "-p"]);
        ["last", "err"].iter().all(|word| shown.contains(word)).then_some(())
    });
    let plain = pane(&["capture-pane", "-p"]);
    assert!(plain.contains("first"), "nothing was cleared: {plain}");
    assert!(plain.contains("␛[31mred␛[0m") && plain.contains("␛]52;c;QUJD␇"), "{plain}");
    let coloured = pane(&["capture-pane", "-e", "-p"]);
    // Before it, the terminal's own end of what a line of ours above it was.
    let line = coloured.lines().find_map(|l| Some(&l[l.find("␛[31mred")?..])).unwrap();
    assert!(!line.contains('\u{1b}') && !line.contains('\u{9b}'), "{line:?}");
    assert!(!coloured.contains("\u{1b}[31m"), "{coloured:?}");
    let title = pane(&["display-message", "-p", "#{pane_title}"]);
    assert!(!title.contains("stolen"), "{title}");
    let buffers = house.tmux(&["list-buffers"]).stdout;
    assert!(buffers.is_empty(), "{}", String::from_utf8_lossy(&buffers));
}
