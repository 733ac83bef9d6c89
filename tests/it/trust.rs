//! What a repository asks for in `.ai_orch.toml` is done when a person has allowed it, and not before: nothing is made then.

use crate::fakes::{json_error, names};
use crate::house::{Done, House, eventually};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Writes the file into the checkout.
pub fn file(house: &House, text: &str) {
    fs::write(house.repo().join(".ai_orch.toml"), text).unwrap();
}

fn run(house: &House, words: &[&str]) -> Done {
    house.orch([&["run", "--agent-cli", "sh"], words].concat()).run()
}

fn nothing_made(house: &House) {
    assert_eq!(names(house), Vec::<String>::new());
    assert_eq!(house.git(&["worktree", "list"]).lines().count(), 1);
    assert_eq!(house.git(&["branch", "--list", "ai_orch/*"]), "");
}

/// A call on a terminal, behind `before` in a shell.
fn terminal(house: &House, before: &str, words: &str) -> Child {
    let mut script = house.command("script");
    let call = format!("stty cols 200; {before} '{}' {words}", env!("CARGO_BIN_EXE_ai_orch"));
    script.args(["-qec", &call, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

/// Reads what a call prints, until that ends with `end` or is all.
fn read_until(call: &mut Child, said: &mut Vec<u8>, end: &[u8]) {
    let mut byte = [0];
    while !said.ends_with(end) && call.stdout.as_mut().unwrap().read(&mut byte).unwrap() == 1 {
        said.extend(byte);
    }
}

/// What a call prints on a terminal on which `typed` is typed once there is a question, and its exit code.
fn typed(house: &House, words: &str, typed: &str) -> (String, i32) {
    let (mut call, mut said) = (terminal(house, "", words), Vec::new());
    read_until(&mut call, &mut said, b"[y/N] ");
    // Where nothing was asked there may be nobody who would read it.
    call.stdin.take().unwrap().write_all(typed.as_bytes()).ok();
    call.stdout.as_mut().unwrap().read_to_end(&mut said).unwrap();
    (String::from_utf8(said).unwrap(), call.wait().unwrap().code().unwrap())
}

#[test]
fn what_was_typed_before_the_question_does_not_answer_it() {
    let house = House::new();
    file(&house, "setup = 'true'\n");
    let gate = house.path("gate");
    Command::new("mkfifo").arg(&gate).status().unwrap();
    let mut call = terminal(&house, &format!("cat '{}';", gate.display()), "run --agent-cli sh true");
    call.stdin.as_mut().unwrap().write_all(b"y\n").unwrap();
    let mut said = Vec::new();
    // What is shown of it has arrived.
    read_until(&mut call, &mut said, b"y\r\n");
    fs::write(&gate, "").unwrap();
    read_until(&mut call, &mut said, b"[y/N] ");
    call.stdin.take().unwrap().write_all(b"n\n").unwrap();
    call.stdout.as_mut().unwrap().read_to_end(&mut said).unwrap();
    assert_eq!(call.wait().unwrap().code(), Some(8), "{}", String::from_utf8_lossy(&said));
    nothing_made(&house);
}

#[test]
fn what_nobody_allowed_is_refused_before_anything_is_made() {
    let house = House::new();
    let marker = house.path("ran");
    for key in [
        format!("setup = \"touch '{}'\"", marker.display()),
        format!("teardown = \"touch '{}'\"", marker.display()),
        format!("validate = \"touch '{}'\"", marker.display()),
        "symlink = ['x']".to_owned(),
        "copy = ['*']".to_owned(),
    ] {
        file(&house, &key);
        for words in [&["true"][..], &["--detach", "true"], &["--json", "true"], &["--base", "main", "true"]]
        {
            let done = run(&house, words);
            assert_eq!((done.code, done.stdout.as_str()), (8, ""), "{key}: {done}");
            assert!(done.stderr.contains("ai_orch trust"), "{done}");
        }
        let error = json_error(&run(&house, &["--json", "true"]));
        assert_eq!(error["error"]["code"], "not_trusted", "{error}");
        let hint = error["error"]["hint"].as_str().unwrap();
        assert!(hint.contains(key.split_once(' ').unwrap().0), "{hint}");
        nothing_made(&house);
    }
    assert!(!marker.exists());
    // Without it, or where nothing of it is left, there is nothing to allow.
    assert_eq!(run(&house, &["--no-project-file", "true"]).code, 0);
    file(&house, "setup = 'false'\nvalidate = 'false'\nports = ['PORT']");
    assert_eq!(run(&house, &["--no-setup", "--no-validate", "test -n \"$PORT\""]).code, 0);
    assert_eq!(run(&house, &["--setup", "true", "--validate", "true", "true"]).code, 0);
    assert_eq!(run(&house, &["--setup", "true", "true"]).code, 8);
}

#[test]
fn it_is_allowed_once_for_each_content_and_taken_back() {
    let house = House::new();
    file(&house, "setup = 'echo made > made.txt'\n");
    let shown = house.ok(["trust", "--show"]);
    assert!(shown.contains("setup  echo made > made.txt") && shown.contains("not allowed"), "{shown}");
    let shown = house.orch(["trust", "--show", "--json"]).run().json();
    assert_eq!(
        (shown["allowed"].as_bool(), shown["asks"]["setup"].as_str()),
        (Some(false), Some("echo made > made.txt"))
    );
    assert_eq!(run(&house, &["true"]).code, 8);
    let said = house.ok(["trust"]);
    assert!(said.contains("setup  echo made > made.txt") && said.contains("Allowed"), "{said}");
    assert_eq!(run(&house, &["--name", "one", "cat made.txt > seen.txt"]).code, 0);
    assert_eq!(house.git(&["show", "ai_orch/one:seen.txt"]), "made");
    // What says the same is the same; what says something else is not.
    file(&house, "# a word\nsetup = \"echo made > made.txt\"\nports = ['PORT']\n");
    assert_eq!(run(&house, &["true"]).code, 0);
    file(&house, "setup = 'echo made > made.txt '\n");
    assert_eq!(run(&house, &["true"]).code, 8);
    // The next one is allowed by the call that begins with it.
    assert_eq!(run(&house, &["--trust", "true"]).code, 0);
    assert_eq!(run(&house, &["true"]).code, 0);
    let state = house.path("home/.local/state/ai_orch");
    let project =
        fs::read_dir(&state).unwrap().flatten().find(|d| d.path().join("trusted").is_dir()).unwrap();
    let records: Vec<PathBuf> =
        fs::read_dir(project.path().join("trusted")).unwrap().map(|f| f.unwrap().path()).collect();
    assert_eq!(records.len(), 2);
    for record in records {
        assert_eq!(fs::metadata(record).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert!(house.ok(["trust", "--revoke"]).contains("clean --no-teardown"));
    assert_eq!(run(&house, &["true"]).code, 8);
    assert_eq!(house.orch(["trust", "--revoke", "--json"]).run().json()["revoked"], 0);
    // Another repository is another one.
    house.ok(["trust"]);
    let other = house.path("other");
    house.make_repository(&other);
    fs::copy(house.repo().join(".ai_orch.toml"), other.join(".ai_orch.toml")).unwrap();
    assert_eq!(house.orch(["run", "--agent-cli", "sh", "true"]).dir(&other).run().code, 8);
    // A worktree of the same one is the same.
    house.git(&["worktree", "add", "-q", house.path("second").to_str().unwrap()]);
    fs::copy(house.repo().join(".ai_orch.toml"), house.path("second/.ai_orch.toml")).unwrap();
    assert_eq!(house.orch(["run", "--agent-cli", "sh", "true"]).dir(house.path("second")).run().code, 0);
    fs::remove_file(house.repo().join(".ai_orch.toml")).unwrap();
    assert!(house.ok(["trust"]).contains("nothing to allow"));
}

#[test]
fn on_a_terminal_the_question_is_asked_first_and_no_is_the_answer_to_nothing() {
    let house = House::new();
    file(&house, "setup = '''\necho one > made.txt\necho two >> made.txt\n'''\nteardown = 'true'\n");
    for answer in ["\n", "n\n", "no\n", "maybe\n", ""] {
        let (said, code) = typed(&house, "run --agent-cli sh true", answer);
        assert_eq!(code, 8, "{answer:?}: {said}");
        assert!(said.contains("echo one > made.txt") && said.contains("echo two >> made.txt"), "{said}");
        assert!(said.contains("[y/N]"), "{said}");
        nothing_made(&house);
    }
    let (said, code) = typed(&house, "run --name one --agent-cli sh 'cat made.txt > seen.txt'", "y\n");
    assert_eq!(code, 0, "{said}");
    assert_eq!(house.git(&["show", "ai_orch/one:seen.txt"]), "one\ntwo");
    let (said, code) = typed(&house, "run --agent-cli sh true", "");
    assert!(code == 0 && !said.contains("[y/N]"), "{said}");
    // A program is not asked.
    file(&house, "setup = 'changed'\n");
    let (said, code) = typed(&house, "run --json --agent-cli sh true", "y\n");
    assert!(code == 8 && !said.contains("[y/N]"), "{said}");
}

#[test]
fn ctrl_c_is_an_answer_to_the_question() {
    let house = House::new();
    file(&house, "setup = 'true'\n");
    let mut script = house.command("script");
    let call = format!("exec '{}' run --agent-cli sh true", env!("CARGO_BIN_EXE_ai_orch"));
    script.args(["-qec", &call, "/dev/null"]);
    let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut said, mut byte) = (Vec::new(), [0]);
    while !said.ends_with(b"[y/N] ") {
        child.stdout.as_mut().unwrap().read_exact(&mut byte).unwrap();
        said.extend(byte);
    }
    child.stdin.as_mut().unwrap().write_all(b"\x03").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    nothing_made(&house);
}

#[test]
fn what_is_run_is_what_was_shown() {
    let house = House::new();
    let go = house.path("go");
    // Changed by whoever is asked for it, while it is at work.
    let setup = format!(
        "echo first > made.txt; printf 'setup = \"echo second > made.txt\"' > '{}/.ai_orch.toml'; while [ ! -e '{}' ]; do sleep 0.02; done",
        house.repo().display(),
        go.display()
    );
    file(&house, &format!("setup = '''{setup}'''\n"));
    house.ok(["trust"]);
    house.start(["--agent-cli", "sh", "--name", "one", "cat made.txt > seen.txt"]);
    eventually("the file is another one", || {
        fs::read_to_string(house.repo().join(".ai_orch.toml")).unwrap().contains("second").then_some(())
    });
    house.kill_keeper("one");
    eventually("it is interrupted", || (house.listed("one")["state"] == "interrupted").then_some(()));
    fs::write(go, "").unwrap();
    house.ok(["resume", "one"]);
    assert_eq!(house.orch(["wait", "one"]).run().code, 0);
    assert_eq!(house.git(&["show", "ai_orch/one:seen.txt"]), "first");
    assert_eq!(run(&house, &["true"]).code, 8);
}

#[test]
fn control_characters_are_shown_and_never_sent_to_a_terminal() {
    let house = House::new();
    file(
        &house,
        "setup = \"true \\u001b]0;owned\\u0007 \\u202e\\u2060\\u3164 # \\rrm -rf x\\nsecond \\u001b[2J\"\n",
    );
    let (asked, code) = typed(&house, "run --agent-cli sh true", "n\n");
    assert_eq!(code, 8);
    let (shown, _) = typed(&house, "trust --show", "");
    for said in [&asked, &shown] {
        assert!(said.contains("␛]0;owned␇") && said.contains("␍rm -rf x"), "{said:?}");
        assert!(
            !said.contains("\x1b]") && !said.contains("\x1b[2J") && !said.contains('\u{202e}'),
            "{said:?}"
        );
        assert!(said.contains("second") && said.contains("\\u{202e}\\u{2060}\\u{3164}"), "{said:?}");
    }
    let refused = run(&house, &["true"]);
    assert!(refused.stderr.contains("␍rm -rf x⏎second") && !refused.stderr.contains('\x1b'), "{refused}");
}

#[test]
fn an_agent_cannot_allow_anything_and_its_children_get_what_it_has() {
    let house = House::new();
    let own = env!("CARGO_BIN_EXE_ai_orch");
    file(&house, "setup = 'echo made > made.txt'\n");
    let try_it = format!(
        "'{own}' trust > out.txt 2>&1; echo $? >> out.txt; cd '{0}' && '{own}' trust --json >> \"$AI_ORCH_WORKTREE/out.txt\" 2>&1; '{own}' trust --revoke; true",
        house.repo().display()
    );
    assert_eq!(run(&house, &["--no-project-file", "--name", "bad", &try_it]).code, 0);
    let said = house.git(&["show", "ai_orch/bad:out.txt"]);
    assert!(said.contains("not_for_agents") && said.contains("trust"), "{said}");
    assert_eq!(run(&house, &["true"]).code, 8, "nothing is allowed");
    // A child is made with the file if its parent was, and only with what is allowed by then.
    house.ok(["trust"]);
    let spawn = format!(
        "'{own}' task spawn --name child 'cat made.txt > seen.txt' && '{own}' wait child; printf 'setup = \"x\"' > '{0}/.ai_orch.toml'; '{own}' task spawn --json --name other true 2> refused.txt; true",
        house.repo().display()
    );
    let done = run(&house, &["--name", "parent", "--may-start", "3", &spawn]);
    assert_eq!(done.code, 0, "{done}");
    assert_eq!(house.git(&["show", "ai_orch/child:seen.txt"]), "made");
    let refused = house.git(&["show", "ai_orch/parent:refused.txt"]);
    assert!(
        refused.contains("nobody has allowed it") && refused.contains("a person has to allow it"),
        "{refused}"
    );
    assert!(!names(&house).contains(&"other".to_owned()));
    let without = format!("'{own}' task spawn --name plain 'test ! -e made.txt' && '{own}' wait plain");
    let done = run(&house, &["--no-project-file", "--name", "free", "--may-start", "1", &without]);
    assert_eq!(done.code, 0, "{done}");
    assert_eq!(house.show("plain")["agent"]["state"], "done");
}
