//! What `run` promises beyond running: validation and repair, hand-over, environment, permissions, budget of names.

use crate::fakes::{Fake, assert_harmless, files, names};
use crate::house::{House, eventually};
use std::os::unix::fs::PermissionsExt;

#[test]
fn what_the_validation_finds_is_repaired_in_the_same_conversation() {
    let house = House::new();
    let fake = Fake::claude(
        &house,
        "fake",
        "case $n in 1) echo bad > out;; *) echo good > out;; esac; say \"try $n\"; result 0.0$n",
    );
    let words = [
        "run",
        "--json",
        "--agent-cli",
        "fake,sh",
        "--validate",
        "cat out; echo 'line two' >&2; grep -q good out",
        "write out",
    ];
    let done = house.orch(words).run();
    assert_eq!(done.code, 0, "{done}");
    let agent = &done.json()["agent"];
    assert_eq!(fake.starts(), 2);
    let turns: Vec<_> = agent["attempts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| (a["turn"].clone(), a["result"].clone()))
        .collect();
    assert_eq!(turns, [("task".into(), "done".into()), ("repair".into(), "done".into())]);
    assert_eq!(agent["attempts"][0]["conversation"], agent["attempts"][1]["conversation"]);
    let conversation = agent["attempts"][0]["conversation"].as_str().unwrap();
    assert!(fake.args(1).contains(&format!("--session-id\n{conversation}\n")), "{}", fake.args(1));
    assert!(fake.args(2).contains(&format!("--resume\n{conversation}\n")), "{}", fake.args(2));
    let told = String::from_utf8(fake.input(2)).unwrap();
    for part in ["cat out; echo 'line two' >&2; grep -q good out", "exited with 1", "bad\nline two"] {
        assert!(told.contains(part), "{part} in {told}");
    }
    assert!(!told.starts_with("write out"), "the conversation knows its task: {told}");
    let checks: Vec<_> =
        agent["validations"].as_array().unwrap().iter().map(|v| (v["n"].clone(), v["ok"].clone())).collect();
    assert_eq!(checks, [(1.into(), false.into()), (2.into(), true.into())]);
    // The cost of a conversation that goes on is a total: what was there before is not counted twice.
    assert_eq!(agent["usage"]["cost_usd"], 0.02, "{agent:#}");
    assert_eq!(house.git(&["show", &format!("{}:out", agent["branch"].as_str().unwrap())]), "good");
}

#[test]
fn repairs_are_counted_and_then_the_chain_goes_on() {
    let house = House::new();
    let first = Fake::claude(&house, "first", "echo \"first $n\" > out");
    let second = Fake::claude(&house, "second", "echo good > out");
    let run = |repairs: &str, chain: &str| {
        house
            .orch([
                "run",
                "--json",
                "--agent-cli",
                chain,
                "--repairs",
                repairs,
                "--validate",
                "grep -q good out",
                "write out",
            ])
            .run()
    };
    let done = run("0", "first");
    assert_eq!(done.code, 1, "{done}");
    assert_eq!(first.starts(), 1);
    assert_eq!(done.json()["agent"]["failure"]["class"], "validation");
    let done = run("2", "first");
    assert_eq!((done.code, first.starts()), (1, 4), "{done}");
    assert_eq!(done.json()["agent"]["validations"].as_array().unwrap().len(), 3);
    let done = run("1", "first,second");
    assert_eq!((done.code, first.starts(), second.starts()), (0, 6, 1), "{done}");
    let brief = String::from_utf8(second.input(1)).unwrap();
    assert!(brief.starts_with("write out\n"), "{brief}");
    for part in ["first stopped (validation)", "So far:", "out"] {
        assert!(brief.contains(part), "{part} in {brief}");
    }
}

#[test]
fn what_a_validation_found_is_shown_harmlessly() {
    let house = House::new();
    let check = "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do echo \"found $i\"; done; printf 'last \\033[2J line'; exit 9";
    let words =
        ["run", "--name", "one", "--agent-cli", "sh", "--repairs", "0", "--validate", check, "echo x > x"];
    for done in [house.orch(words).run(), house.orch(["show", "one"]).run()] {
        assert_harmless(&done);
        let shown: Vec<&str> = done
            .stdout
            .lines()
            .map(str::trim)
            .filter(|l| l.contains("found ") && !l.contains("echo"))
            .collect();
        assert_eq!(
            (shown.len(), shown.first(), shown.last()),
            (9, Some(&"found 4"), Some(&"found 12")),
            "{done}"
        );
        assert!(
            done.stdout.contains("failed with exit 9 after attempt 1")
                && done.stdout.contains("last ␛[2J line"),
            "{done}"
        );
    }
    // A check that succeeds in the end has nothing to tell.
    let done =
        house.orch(["run", "--agent-cli", "sh", "--validate", "echo found nothing", "echo x > x"]).run();
    assert!(
        done.stdout.contains("succeeded after attempt 1") && !done.stdout.contains("found nothing\n"),
        "{done}"
    );
}

#[test]
fn a_cli_that_cannot_go_on_repairs_with_a_brief() {
    let house = House::new();
    let input = house.path("input");
    house.agent(
        "plain",
        &format!(
            "cat > '{}'; if [ -e out ]; then echo good > out; else echo bad > out; fi; echo I did it",
            input.display()
        ),
    );
    let done = house
        .orch(["run", "--json", "--agent-cli", "plain", "--validate", "grep good out", "write out"])
        .run();
    assert_eq!(done.code, 0, "{done}");
    let told = std::fs::read_to_string(&input).unwrap();
    for part in ["write out", "grep good out", "exited with 1", "1 commits, 1 files"] {
        assert!(told.contains(part), "{part} in {told}");
    }
    assert_eq!(done.json()["agent"]["attempts"][1]["turn"], "repair");
}

#[test]
fn the_next_cli_is_told_who_why_and_what() {
    let house = House::new();
    Fake::claude(
        &house,
        "first",
        "echo a > a.txt; git add a.txt; git -c user.name=x -c user.email=x@x.invalid commit -q -m 'begin it'; echo b > b.txt; say 'I was at step two'; broke billing_error",
    );
    let second = Fake::claude(&house, "second", "[ -e a.txt ] && [ -e b.txt ] && echo c > c.txt");
    let context = house.path("repo/notes.md");
    std::fs::write(&context, "remember ```this```\n").unwrap();
    let words = ["run", "--json", "--agent-cli", "first,second", "--context", "notes.md", "the task"];
    let done = house.orch(words).run();
    assert_eq!(done.code, 0, "{done}");
    let brief = String::from_utf8(second.input(1)).unwrap();
    assert!(
        brief.starts_with("the task\n\nContext file notes.md:\n\n````\nremember ```this```\n````\n"),
        "{brief}"
    );
    for part in [
        "first stopped (quota)",
        "I was at step two",
        "1 commits, 2 files changed",
        "begin it",
        "a.txt",
        "b.txt",
    ] {
        assert!(brief.contains(part), "{part} in {brief}");
    }
    let branch = done.json()["agent"]["branch"].as_str().unwrap().to_owned();
    assert_eq!(house.git(&["ls-tree", "--name-only", &branch]), "README.md\na.txt\nb.txt\nc.txt");
    // A script gets its task as it is, and the rest beside it.
    let script = "if [ \"$AI_ORCH_ATTEMPT\" = 1 ]; then echo x > x; exit 5; fi; cat \"$AI_ORCH_BRIEF\" \"$AI_ORCH_CONTEXT\" > told";
    let done = house.orch(["run", "--json", "--agent-cli", "sh,sh", "--context", "notes.md", script]).run();
    assert_eq!(done.code, 0, "{done}");
    let branch = done.json()["agent"]["branch"].as_str().unwrap().to_owned();
    let told = house.git(&["show", &format!("{branch}:told")]);
    assert!(told.contains("sh stopped (crash)") && told.contains("remember ```this```"), "{told}");
}

#[test]
fn context_files_are_read_at_once() {
    let house = House::new();
    let fake = Fake::claude(&house, "fake", "");
    let outside = house.path("outside.txt");
    std::fs::write(&outside, "no line end").unwrap();
    std::fs::write(house.path("repo/a b.txt"), "").unwrap();
    let done = house
        .orch([
            "run",
            "-d",
            "--agent-cli",
            "fake",
            "--name",
            "one",
            "--context",
            outside.to_str().unwrap(),
            "--context",
            "a b.txt",
            "the task",
        ])
        .run();
    std::fs::remove_file(&outside).unwrap();
    assert_eq!(done.code, 0, "{done}");
    assert_eq!(house.orch(["wait", "one"]).run().code, 0);
    let prompt = String::from_utf8(fake.task(1)).unwrap();
    let expected = format!(
        "the task\n\nContext file {}:\n\n```\nno line end\n```\n\n\nContext file a b.txt:\n\n```\n\n```\n",
        outside.display()
    );
    assert_eq!(prompt, expected);
}

#[test]
fn what_is_left_stays_uncommitted_if_so_asked() {
    let house = House::new();
    let done = house
        .orch(["run", "--json", "--no-commit", "--agent-cli", "sh", "echo x > x; echo y >> README.md"])
        .run();
    assert_eq!(done.code, 0, "{done}");
    let agent = &done.json()["agent"];
    assert_eq!(
        (agent["changes"]["commits"].as_u64(), agent["changes"]["uncommitted"].as_bool()),
        (Some(0), Some(true))
    );
    let worktree = agent["worktree"].as_str().unwrap();
    assert_eq!(
        house.git_in(std::path::Path::new(worktree), &["status", "--porcelain"]),
        " M README.md\n?? x"
    );
    assert_eq!(
        house.git(&["rev-parse", agent["branch"].as_str().unwrap()]),
        house.git(&["rev-parse", "main"])
    );
    let said = house.orch(["diff", "--stat", agent["session"].as_str().unwrap()]).run();
    assert!(said.stdout.contains("added") && said.stdout.contains("modified"), "{said}");
}

#[test]
fn the_environment_is_that_of_the_call_less_what_surrounds_it() {
    let house = House::new();
    let fake = Fake::claude(&house, "fake", "");
    let secret = "s3cr3t-v4lue-in-no-file";
    let call = house
        .orch([
            "run",
            "--name",
            "one",
            "--agent-cli",
            "fake",
            "--env",
            &format!("TOKEN={secret}"),
            "--env",
            "EMPTY=",
            "--env",
            "LINES2=a\nb=c",
            "--validate",
            "[ \"$TOKEN\" = \"$OTHER\" ]",
            "do it",
        ])
        .env("OTHER", secret)
        .env("OF_THE_CALL", "yes")
        .env("TMUX", "/tmp/other/default,1,0")
        .env("TMUX_PANE", "%7")
        .env("CLAUDECODE", "1")
        .env("CLAUDE_CODE_ENTRYPOINT", "cli")
        .env("CLAUDE_CODE_CHILD_SESSION", "1")
        .env("CODEX_SANDBOX", "seatbelt")
        .env("GEMINI_CLI", "1")
        .env("CURSOR_AGENT", "1")
        .env("GIT_DIR", "/nowhere/.git")
        .env("GIT_INDEX_FILE", "/nowhere/index")
        .env("GIT_WORK_TREE", "/nowhere")
        .env("AI_ORCH_SESSION", "outer")
        .env("AI_ORCH_ATTEMPT", "99");
    let done = call.run();
    assert_eq!(done.code, 0, "{done}");
    let env = fake.env(1);
    for line in [
        &format!("TOKEN={secret}"),
        "EMPTY=",
        "LINES2=a",
        "b=c",
        "OF_THE_CALL=yes",
        "AI_ORCH_SESSION=one",
        "AI_ORCH_ATTEMPT=1",
        "AI_ORCH_BRANCH=ai_orch/one",
        "DISABLE_AUTOUPDATER=1",
    ] {
        assert!(env.lines().any(|l| l == line), "{line} in {env}");
    }
    for name in [
        "TMUX",
        "TMUX_PANE",
        "CLAUDECODE",
        "CLAUDE_CODE_ENTRYPOINT",
        "CLAUDE_CODE_CHILD_SESSION",
        "CODEX_SANDBOX",
        "GEMINI_CLI",
        "CURSOR_AGENT",
        "GIT_DIR",
        "GIT_INDEX_FILE",
        "GIT_WORK_TREE",
    ] {
        assert!(!env.lines().any(|l| l.starts_with(&format!("{name}="))), "{name} in {env}");
    }
    // The validation has the same.
    let shown = house.show("one");
    assert_eq!(shown["agent"]["validations"][0]["ok"], true, "{shown:#}");
    // Values are in no file of ours, names are.
    let mut looked = 0;
    for dir in ["home/.local", "root"] {
        for file in files(&house.path(dir)) {
            let Ok(bytes) = std::fs::read(&file) else { continue };
            looked += 1;
            assert!(!bytes.windows(secret.len()).any(|w| w == secret.as_bytes()), "{}", file.display());
        }
    }
    assert!(looked > 10);
    let journal = std::fs::read_to_string(house.record("one").join("journal")).unwrap();
    assert!(journal.contains("TOKEN"));
    // Nor is it left by an agent that is killed before it begins, or fails.
    assert_eq!(
        house
            .orch([
                "run",
                "--name",
                "two",
                "--agent-cli",
                "sh",
                "--env",
                &format!("TOKEN={secret}"),
                "exit 1"
            ])
            .run()
            .code,
        1
    );
    assert!(!house.record("two").join("env").exists());
    // A link has no mode of its own.
    for file in files(&house.path("home/.local/state")).into_iter().filter(|file| !file.is_symlink()) {
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{} is for its owner only", file.display());
    }
}

#[test]
fn levels_of_permissions_become_flags_and_notes() {
    let house = House::new();
    let fake = Fake::claude(&house, "fake", "say looked");
    for (level, flag) in [
        ("read", "--tools\nRead,Glob,Grep,WebFetch,WebSearch\n"),
        ("work", "--permission-mode\ndontAsk\n"),
        ("full", "--dangerously-skip-permissions\n"),
    ] {
        let done = house.orch(["run", "--agent-cli", "fake", "--permissions", level, "do it"]).run();
        assert_eq!(done.code, 0, "{done}");
        assert!(fake.args(fake.starts()).contains(flag), "{level}: {}", fake.args(fake.starts()));
        assert_eq!(fake.args(fake.starts()).contains("--dangerously-skip-permissions"), level == "full");
    }
    let done = house.orch(["run", "--agent-cli", "fake", "do it"]).run();
    assert_eq!(done.code, 0, "{done}");
    assert!(!fake.args(4).contains("skip-permissions"), "work is what nobody asked for");
    // The setting is what holds without a flag.
    std::fs::write(house.path("home/.config/ai_orch/config.toml"), "permissions = \"read\"\n").unwrap();
    assert_eq!(house.orch(["run", "--agent-cli", "fake", "do it"]).run().code, 0);
    assert!(fake.args(5).contains("--tools\nRead,"));
    let done = house.orch(["run", "--agent-cli", "sh", "true"]).run();
    assert!(done.stderr.contains("note: sh cannot be limited"), "{done}");
    house.cli("gemini", "cat > /dev/null; echo '{\"type\":\"result\",\"status\":\"success\"}'");
    let done = house.orch(["run", "--permissions", "work", "--agent-cli", "gemini", "do it"]).run();
    assert!(
        done.stderr.contains("note: gemini has no limited mode: it runs with every tool approved"),
        "{done}"
    );
    assert_eq!(done.stderr.matches("limited mode").count(), 1, "{done}");
}

#[test]
fn a_model_is_for_one_cli_only() {
    let house = House::new();
    let first = Fake::claude(&house, "first", "broke billing_error");
    let second = Fake::claude(&house, "second", "");
    assert_eq!(house.orch(["run", "--agent-cli", "first,second", "--model", "m1", "do it"]).run().code, 0);
    assert!(
        first.args(1).contains("--model\nm1\n") && !second.args(1).contains("--model"),
        "{}",
        second.args(1)
    );
    assert_eq!(
        house.orch(["run", "--agent-cli", "first,second", "--model", "second=x=y/z", "do it"]).run().code,
        0
    );
    assert!(
        !first.args(2).contains("--model") && second.args(2).contains("--model\nx=y/z\n"),
        "{}",
        second.args(2)
    );
    assert_eq!(
        house
            .orch(["run", "--agent-cli", "first,second", "--model", "a", "--model", "second=b", "do it"])
            .run()
            .code,
        0
    );
    assert!(first.args(3).contains("--model\na\n") && second.args(3).contains("--model\nb\n"));
}

#[test]
fn recordings_of_real_clis_are_played() {
    let house = House::new();
    let sample = |name: &str| format!("replay={}/tests/samples/{name}.jsonl", env!("CARGO_MANIFEST_DIR"));
    for (name, code, class) in [
        ("claude/oneshot-ok", 0, None),
        ("codex/oneshot-ok", 0, None),
        ("claude/fail-quota", 1, Some("quota")),
        ("claude/fail-auth", 1, Some("auth")),
        ("codex/fail-usage_limit", 1, Some("quota")),
        ("codex/fail-context", 1, Some("context")),
        ("claude/max-budget", 5, Some("budget")),
    ] {
        let model = sample(name);
        let done = house.orch(["run", "--json", "--agent-cli", "replay", "--model", &model, "do it"]).run();
        let agent = &done.json()["agent"];
        assert_eq!((done.code, agent["failure"]["class"].as_str()), (code, class), "{name}: {done}");
        let raw = house.orch(["logs", "--raw", agent["session"].as_str().unwrap()]).run();
        assert_eq!(raw.raw, std::fs::read(model.trim_start_matches("replay=")).unwrap(), "{name}");
    }
    // A chain of recordings: the first has no quota, the second does the work.
    let done = house
        .orch([
            "run",
            "--json",
            "--agent-cli",
            "replay,sh",
            "--model",
            &sample("claude/fail-quota"),
            "echo x > x",
        ])
        .run();
    assert_eq!((done.code, done.json()["agent"]["cli"].as_str()), (0, Some("sh")), "{done}");
    let done =
        house.orch(["run", "--agent-cli", "replay", "--model", "replay=/no/such.jsonl", "do it"]).run();
    assert_eq!(done.code, 1, "{done}");
    assert!(done.stdout.contains("there is no recording /no/such.jsonl"), "{done}");
}

#[test]
fn the_same_text_twice_is_two_agents() {
    let house = House::new();
    let task = "touch it # the same text";
    for session in ["touch-it-the-same-text", "touch-it-the-same-text-2", "touch-it-the-same-text-3"] {
        let done = house.orch(["run", "-d", "--agent-cli", "sh", task]).run();
        assert_eq!(
            (done.stdout.trim(), done.stderr.as_str()),
            (session, ""),
            "a name made from the task needs no note: {done}"
        );
    }
    let done =
        house.orch(["run", "-d", "--agent-cli", "sh", "--name", "touch-it-the-same-text", "true"]).run();
    assert_eq!(
        done.stderr,
        "note: the name touch-it-the-same-text is taken; this agent is touch-it-the-same-text-4\n"
    );
    // Names are unique over all repositories.
    let other = house.path("other");
    house.make_repository(&other);
    let done = house.orch(["run", "-d", "--agent-cli", "sh", task]).dir(&other).run();
    assert_eq!(done.stdout, "touch-it-the-same-text-5\n");
    let sessions = names(&house);
    assert_eq!(sessions.len(), 5);
    assert_eq!(house.orch([vec!["wait".to_owned()], sessions].concat()).run().code, 0);
    assert_eq!(
        house.git_in(&other, &["branch", "--list", "ai_orch/*", "--format=%(refname:short)"]),
        "ai_orch/touch-it-the-same-text-5"
    );
    let long = "x".repeat(50);
    let first = house.start(["--agent-cli", "sh", "--name", &long, "true"]);
    let second = house.start(["--agent-cli", "sh", "--name", &long, "true"]);
    assert_eq!((first.as_str(), second.as_str()), (long.as_str(), format!("{}-2", &long[..48]).as_str()));
}

#[test]
fn logs_follow_until_the_end() {
    let house = House::new();
    house.start(["--name", "one", "--agent-cli", "sh,sh", "echo begin $AI_ORCH_ATTEMPT; while [ ! -e go ]; do sleep 0.02; done; echo err >&2; echo end; [ $AI_ORCH_ATTEMPT = 2 ]"]);
    let follower = house.orch(["logs", "-f", "one"]).spawn();
    let raw = house.orch(["logs", "-f", "--raw", "one"]).spawn();
    let json = house.orch(["logs", "-f", "--json", "one"]).spawn();
    eventually("it works", || (house.listed("one")["state"] == "working").then_some(()));
    assert_eq!(house.orch(["wait", "one", "--until", "working", "--timeout", "30s"]).run().code, 0);
    let worktree = house.listed("one")["worktree"].as_str().unwrap().to_owned();
    std::fs::write(format!("{worktree}/go"), "").unwrap();
    let output = follower.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{text}");
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    assert_eq!(lines.iter().filter(|l| **l == "end").count(), 2, "{text}");
    assert!(lines.contains(&"begin 1") && lines.contains(&"begin 2"), "{text}");
    let output = raw.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "begin 1\nend\nbegin 2\nend\n");
    let output = json.wait_with_output().unwrap();
    let texts: Vec<serde_json::Value> =
        String::from_utf8_lossy(&output.stdout).lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert!(texts.iter().any(|l| l["n"] == 2 && l["event"]["text"] == "begin 2"), "{texts:?}");
    // Afterwards the log is the same, with who spoke.
    let after = house.ok(["logs", "one"]);
    assert!(
        after.contains("attempt 1: sh")
            && after.contains("attempt 2: sh")
            && after.matches("end").count() == 2,
        "{after}"
    );
    assert_eq!(house.ok(["logs", "--raw", "one"]), "begin 1\nend\nbegin 2\nend\n");
    assert_eq!(house.ok(["logs", "-f", "--raw", "one"]), "begin 1\nend\nbegin 2\nend\n");
}

#[test]
fn raw_logs_are_byte_for_byte() {
    let house = House::new();
    let bytes = house.path("bytes");
    let content: Vec<u8> = (0..=255u8).cycle().take(100_000).chain(*b"\x1b[31mno line end \xff").collect();
    std::fs::write(&bytes, &content).unwrap();
    house.start(["--name", "one", "--agent-cli", "sh", &format!("cat '{}'", bytes.display())]);
    assert_eq!(house.orch(["wait", "one"]).run().code, 0);
    assert_eq!(house.orch(["logs", "--raw", "one"]).run().raw, content);
    assert_eq!(house.orch(["logs", "--raw", "-f", "one"]).run().raw, content);
}

#[test]
fn a_diff_applies_to_the_base() {
    let house = House::new();
    let repo = house.repo();
    std::fs::write(repo.join("bin"), [0u8, 1, 2, 255]).unwrap();
    std::fs::write(repo.join("gone.txt"), "x\n").unwrap();
    std::fs::write(repo.join("moved.txt"), "1\n2\n3\n4\n5\n6\n").unwrap();
    std::fs::write(repo.join("crlf.txt"), "a\r\nb\r\n").unwrap();
    house.git(&["add", "."]);
    house.git(&["commit", "-q", "-m", "more"]);
    let script = "echo two >> README.md; printf 'no end' > noend; printf '\\000\\001\\377' > newbin; printf '\\001' >> bin; rm gone.txt; mv moved.txt 'mo ved.txt'; \
        printf 'c\\r\\n' >> crlf.txt; ln -s README.md link; printf '#!/bin/sh\\n' > run.sh; chmod +x run.sh; chmod +x crlf.txt; : > empty; mkdir 'd é'; printf '\\377\\n' > 'd é/latin'; git add -A; \
        git -c user.name=x -c user.email=x@x.invalid commit -q -m one; echo three >> README.md; echo u > untracked";
    for (name, flags) in [("committed", &[][..]), ("left", &["--no-commit"])] {
        let words = [&["run", "--agent-cli", "sh", "--name", name][..], flags, &[script]].concat();
        let done = house.orch(words).run();
        assert_eq!(done.code, 0, "{done}");
        let patch = house.orch(["diff", name]).run();
        assert_eq!(patch.code, 0, "{patch}");
        let file = house.path(format!("{name}.patch"));
        std::fs::write(&file, &patch.raw).unwrap();
        let fresh = house.path(format!("fresh-{name}"));
        house.git(&["worktree", "add", "-q", "--detach", fresh.to_str().unwrap(), "main"]);
        house.git_in(&fresh, &["apply", "--index", file.to_str().unwrap()]);
        let theirs = house.listed(name)["worktree"].as_str().unwrap().to_owned();
        let differ = house
            .command("diff")
            .args(["-r", "--no-dereference", "-x", ".git", &theirs, fresh.to_str().unwrap()])
            .output()
            .unwrap();
        assert!(differ.status.success(), "{}", String::from_utf8_lossy(&differ.stdout));
        let modes = house.git_in(&fresh, &["ls-files", "-s", "run.sh", "crlf.txt", "link"]);
        assert_eq!(
            modes.lines().map(|l| &l[..6]).collect::<Vec<_>>(),
            ["100755", "120000", "100755"],
            "{modes}"
        );
    }
    // Nothing changed is an empty patch, and said on standard error.
    house.start(["--name", "none", "--agent-cli", "sh", "true"]);
    assert_eq!(house.orch(["wait", "none"]).run().code, 0);
    let done = house.orch(["diff", "none"]).run();
    assert_eq!((done.code, done.stdout.as_str(), done.stderr.as_str()), (0, "", "note: no changes\n"));
}

#[test]
fn an_agent_that_leaves_its_branch_is_told_of() {
    let house = House::new();
    let done = house
        .orch(["run", "--name", "one", "--agent-cli", "sh", "git checkout -q -b elsewhere; echo x > x"])
        .run();
    assert_eq!(done.code, 0, "{done}");
    assert!(done.stdout.contains("not committed") && done.stdout.contains("elsewhere"), "{done}");
}

#[test]
fn an_agent_is_a_process_like_any_other() {
    let house = House::new();
    // It works on, so that the tmux server lives and has the umask of this call.
    house.start(["--name", "first", "--agent-cli", "sh", "while [ ! -e go ]; do sleep 0.05; done"]);
    let script = "umask; touch made; stat -c '%a %n' made README.md; yes | head -1; ls /proc/self/fd | wc -l; cat; grep SigBlk /proc/self/status";
    for (mask, made) in [("027", "640"), ("077", "600"), ("002", "664")] {
        let name = format!("with-{mask}");
        let mut command = house.command("sh");
        command.args(["-c", "umask $1; shift; exec \"$@\"", "sh", mask, env!("CARGO_BIN_EXE_ai_orch")]);
        command.args(["run", "--name", &name, "--agent-cli", "sh", script]);
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{said}");
        let lines: Vec<&str> = said.lines().map(str::trim).skip(2).take(6).collect();
        let files = [format!("{made} made"), format!("{made} README.md")];
        assert_eq!(
            lines,
            [&format!("0{mask}"), &files[0], &files[1], "y", "4", "SigBlk:    0000000000000000"],
            "{said}"
        );
    }
    // A link has no mode of its own.
    for file in files(&house.path("home/.local/state")).into_iter().filter(|file| !file.is_symlink()) {
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{} is for its owner only", file.display());
    }
}

#[test]
fn a_task_may_hold_anything_that_standard_input_holds() {
    let house = House::new();
    let fake = Fake::claude(&house, "fake", "");
    let tasks = ["a\0b c", "\n\nthe title comes later\n", "\u{feff}with a mark", "- - -\n", "--help"];
    for (n, task) in tasks.into_iter().enumerate() {
        let done = house.orch(["run", "--agent-cli", "fake", "-"]).stdin(task).run();
        assert_eq!(done.code, 0, "{done}");
        assert_eq!(fake.task(n + 1), task.as_bytes());
    }
    assert_eq!(house.listed("the-title-comes-later")["title"], "the title comes later");
}

#[test]
fn in_the_middle_of_a_merge_the_work_goes_to_a_rescue_ref_and_that_is_said() {
    let house = House::new();
    let script = "git checkout -q -b side; echo a > README.md; git commit -qam a; git checkout -q ai_orch/merge; \
        echo b > README.md; git commit -qam b; git merge side; echo new > new.txt; true";
    let done = house.orch(["run", "--name", "merge", "--agent-cli", "sh", script]).run();
    assert_eq!(done.code, 0, "{done}");
    let agent = house.listed("merge");
    let id = agent["id"].as_str().unwrap();
    let saved = format!("refs/ai_orch/rescue/{id}/1");
    let said = agent["not_committed"].as_str().unwrap();
    assert!(said.contains("in the middle of a merge") && said.contains(&saved), "{said}");
    assert!(done.stdout.replace(['\n', ' '], "").contains(&saved), "{done}");
    assert_eq!(house.git(&["show", &format!("{saved}:new.txt")]), "new");
    assert_eq!(
        house.git(&["log", "-1", "--format=%s", "ai_orch/merge"]),
        "b",
        "the branch is as the agent left it"
    );
    assert!(!done.stdout.contains("ai_orch merge merge"), "nobody is told to merge half a merge: {done}");
}
