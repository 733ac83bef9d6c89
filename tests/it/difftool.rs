//! The user's own difftool gets copies of what an agent changed; nothing that a repository or an agent configures is run, and nothing is
//! written back.

use crate::house::{House, runs};
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// What every test begins with: an agent `one` that changed, added and removed files, some of that uncommitted.
fn changed(house: &House) -> PathBuf {
    fs::write(house.repo().join("gone.txt"), "gone\n").unwrap();
    fs::write(house.repo().join("same.txt"), "same\n").unwrap();
    house.git(&["add", "."]);
    house.git(&["commit", "-q", "-m", "more"]);
    let task = "echo changed > README.md; git commit -qam changed; rm gone.txt; mkdir d; printf 'a\\0b' > 'd/new \u{fc} file'";
    let done = house.orch(["run", "--json", "--no-commit", "--agent-cli", "sh", "--name", "one", task]).run();
    assert_eq!(done.code, 0, "{done}");
    PathBuf::from(done.json()["agent"]["worktree"].as_str().unwrap())
}

/// A tool of the user's that notes what it was given, and writes to it.
fn tool(house: &House, name: &str) -> PathBuf {
    let out = house.path(format!("out-{name}"));
    let script = format!(
        "#!/bin/sh\n{{ cd \"$1\" && find . -type f | sort && cat README.md; cd \"$2\" && find . -type f | sort && cat README.md; }} > '{}'\necho mine > \"$2/README.md\"; rm -rf \"$2/d\"; echo x > \"$2/extra\"\n",
        out.display()
    );
    let path = house.path(format!("tool-{name}"));
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let cmd = format!("'{}' \"$LOCAL\" \"$REMOTE\"", path.display());
    house.git(&["config", "--global", &format!("difftool.{name}.cmd"), &cmd]);
    out
}

const GIVEN: &str = "./README.md\n./gone.txt\nhello\n./README.md\n./d/new \u{fc} file\nchanged\n";

fn scratch(house: &House) -> usize {
    fs::read_dir(house.path("home/.local/state/ai_orch/scratch")).unwrap().count()
}

fn typed(house: &House, words: &str, keys: &str) -> (String, i32) {
    let mut script = house.command("script");
    script.args(["-qec", &format!("'{}' {words}", env!("CARGO_BIN_EXE_ai_orch")), "/dev/null"]);
    let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.as_mut().unwrap().write_all(keys.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.code().unwrap())
}

fn status(house: &House, worktree: &Path) -> String {
    house.git_in(worktree, &["-c", "core.quotePath=false", "status", "--porcelain", "-uall"])
}

#[test]
fn it_gets_copies_that_are_gone_afterwards_and_writes_nothing_back() {
    let house = House::new();
    let worktree = changed(&house);
    let before = (status(&house, &worktree), house.git(&["for-each-ref"]));
    let out = tool(&house, "look");
    house.ok(["diff", "one", "--tool=look"]);
    assert_eq!(fs::read_to_string(&out).unwrap(), GIVEN);
    assert_eq!(fs::read_to_string(worktree.join("README.md")).unwrap(), "changed\n");
    assert!(worktree.join("d/new \u{fc} file").exists() && !worktree.join("extra").exists());
    assert_eq!((status(&house, &worktree), house.git(&["for-each-ref"])), before);
    assert_eq!(scratch(&house), 0);
    // The one that the user's git is set to; not without a terminal.
    let done = house.orch(["diff", "one", "--tool"]).run();
    assert!(done.code == 2 && done.stderr.contains("needs a terminal"), "{done}");
    fs::remove_file(&out).unwrap();
    house.git(&["config", "--global", "diff.tool", "look"]);
    let (said, code) = typed(&house, "diff one --tool", "");
    assert_eq!(code, 0, "{said}");
    assert_eq!(fs::read_to_string(&out).unwrap(), GIVEN);
    let done = house.orch(["diff", "one", "--tool=nowhere"]).run();
    assert!(done.code == 1 && done.stderr.contains("the difftool ended with exit"), "{done}");
    assert_eq!(scratch(&house), 0);
    house.ok(["run", "--agent-cli", "sh", "--name", "idle", "true"]);
    let done = house.orch(["diff", "idle", "--tool=look"]).run();
    assert!(done.code == 0 && done.stderr.contains("no changes"), "{done}");
}

#[test]
fn nothing_that_a_repository_or_an_agent_sets_is_run() {
    let house = House::new();
    let worktree = changed(&house);
    let out = tool(&house, "look");
    let sprung = house.path("sprung");
    fs::create_dir(&sprung).unwrap();
    let trap = |name: &str| {
        let path = house.path(format!("trap-{name}"));
        fs::write(&path, format!("#!/bin/sh\ntouch '{}'\n", sprung.join(name).display())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    house.git(&["config", "extensions.worktreeConfig", "true"]);
    for (dir, scope) in [(house.repo(), "--local"), (worktree.clone(), "--worktree")] {
        for key in [
            "difftool.look.cmd",
            "difftool.look.path",
            "difftool.evil.cmd",
            "mergetool.evil.cmd",
            "diff.external",
            "diff.evil.textconv",
            "diff.evil.command",
            "filter.evil.smudge",
            "filter.evil.clean",
            "filter.evil.process",
            "core.fsmonitor",
            "core.pager",
            "core.editor",
            "pager.difftool",
            "alias.difftool",
            "core.sshCommand",
            "core.alternateRefsCommand",
            "difftool.vimdiff.path",
            "mergetool.meld.path",
        ] {
            let name = format!("{}-{}", key.replace('.', "-"), scope.trim_start_matches('-'));
            house.git_in(&dir, &["config", scope, key, &trap(&name)]);
        }
        for (key, value) in [
            ("diff.tool", "evil"),
            ("diff.guitool", "evil"),
            ("merge.tool", "evil"),
            ("core.hooksPath", "hooks"),
        ] {
            house.git_in(&dir, &["config", scope, key, value]);
        }
    }
    fs::write(worktree.join(".gitattributes"), "* diff=evil filter=evil merge=evil\n").unwrap();
    let hooks = worktree.join("hooks");
    fs::create_dir(&hooks).unwrap();
    for hook in ["post-checkout", "post-index-change", "reference-transaction"] {
        fs::copy(trap(hook), hooks.join(hook)).unwrap();
    }
    fs::remove_dir_all(&sprung).unwrap();
    fs::create_dir(&sprung).unwrap();
    house.ok(["diff", "one", "--tool=look"]);
    assert!(fs::read_to_string(&out).unwrap().contains(".gitattributes"));
    let (said, code) = typed(&house, "diff one --tool=evil", "y\ny\n");
    assert_eq!(code, 1, "{said}");
    house.git(&["config", "--global", "diff.tool", "look"]);
    fs::remove_file(&out).unwrap();
    let (said, code) = typed(&house, "diff one --tool", "");
    assert!(code == 0 && out.exists(), "{said}");
    let ran: Vec<_> = fs::read_dir(&sprung).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(ran.is_empty(), "{ran:?}");
}

#[test]
fn ctrl_c_ends_the_tool_and_leaves_no_copies() {
    let house = House::new();
    changed(&house);
    let began = house.path("began");
    std::process::Command::new("mkfifo").arg(&began).status().unwrap();
    let cmd = format!("echo began > '{}'; exec sleep 300", began.display());
    house.git(&["config", "--global", "difftool.slow.cmd", &cmd]);
    let mut script = house.command("script");
    script.args([
        "-qec",
        &format!("exec '{}' diff one --tool=slow", env!("CARGO_BIN_EXE_ai_orch")),
        "/dev/null",
    ]);
    let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    assert_eq!(fs::read_to_string(&began).unwrap(), "began\n");
    assert_eq!(scratch(&house), 1);
    child.stdin.as_mut().unwrap().write_all(b"\x03").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(scratch(&house), 0);
}

/// A tool of the user's that is open for a long time, and tells `began` when it is.
fn slow(house: &House) -> PathBuf {
    let began = house.path("began");
    std::process::Command::new("mkfifo").arg(&began).status().unwrap();
    // A program of its own: `$$` of a command that git evaluates is its helper.
    let path = house.path("tool-slow");
    fs::write(&path, format!("#!/bin/sh\necho $$ > '{}'\nexec sleep 300\n", began.display())).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    house.git(&["config", "--global", "difftool.slow.cmd", &format!("'{}'", path.display())]);
    began
}

fn send(signal: &str, pid: &str) {
    assert!(std::process::Command::new("kill").args([signal, pid.trim()]).status().unwrap().success());
}

#[test]
fn whoever_ends_us_ends_the_tool_and_leaves_no_copies() {
    let house = House::new();
    changed(&house);
    let began = slow(&house);
    for signal in ["-TERM", "-HUP"] {
        let call = house.orch(["diff", "one", "--tool=slow"]).spawn();
        let tool = fs::read_to_string(&began).unwrap();
        assert_eq!(scratch(&house), 1);
        send(signal, &call.id().to_string());
        let output = call.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{signal}: {output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("the difftool ended with"), "{output:?}");
        assert_eq!(scratch(&house), 0, "{signal}");
        assert!(!runs(tool.trim().parse().unwrap()), "{signal}: the tool goes on");
    }
}

#[test]
fn what_a_killed_call_leaves_goes_with_the_next_keeper_or_clean() {
    let house = House::new();
    changed(&house);
    let began = slow(&house);
    for next in [&["clean", "--older-than", "9d"][..], &["run", "--agent-cli", "sh", "--name", "two", "true"]]
    {
        let call = house.orch(["diff", "one", "--tool=slow"]).spawn();
        let tool = fs::read_to_string(&began).unwrap();
        // What somebody has is left alone.
        house.ok(next);
        let _may_not_be_there = house.orch(["clean", "two"]).run();
        assert_eq!(scratch(&house), 1);
        send("-KILL", &call.id().to_string());
        send("-KILL", &tool);
        call.wait_with_output().unwrap();
        assert_eq!(scratch(&house), 1);
        house.ok(next);
        assert_eq!(scratch(&house), 0, "{next:?}");
    }
}

#[test]
fn attributes_that_an_agent_writes_choose_no_filter_of_the_users() {
    let house = House::new();
    let sprung = house.path("sprung");
    for key in ["smudge", "clean"] {
        house.git(&[
            "config",
            "--global",
            &format!("filter.mine.{key}"),
            &format!("touch '{}'; cat", sprung.display()),
        ]);
    }
    changed(&house);
    let out = tool(&house, "look");
    fs::create_dir_all(house.repo().join(".git/info")).unwrap();
    fs::write(house.repo().join(".git/info/attributes"), "* filter=mine\n").unwrap();
    house.ok(["diff", "one", "--tool=look"]);
    assert_eq!(fs::read_to_string(&out).unwrap(), GIVEN);
    assert!(!sprung.exists());
}
