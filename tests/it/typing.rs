//! What is typed: verbs, shorthand, and mistakes. A mistake starts nothing and says what to type.

use crate::fakes::{Fake, assert_harmless, bare_path, json_error, names};
use crate::house::House;

/// Misspellings and what was meant.
const MISSPELLED: [(&str, &str); 44] = [
    ("ru", "run"),
    ("rn", "run"),
    ("runn", "run"),
    ("rum", "run"),
    ("urn", "run"),
    ("RUN", "run"),
    ("Run", "run"),
    ("lst", "list"),
    ("lis", "list"),
    ("lits", "list"),
    ("listt", "list"),
    ("lsit", "list"),
    ("LIST", "list"),
    ("lost", "list"),
    ("sl", "ls"),
    ("lss", "ls"),
    ("shw", "show"),
    ("sow", "show"),
    ("shwo", "show"),
    ("shows", "show"),
    ("hsow", "show"),
    ("log", "logs"),
    ("lgos", "logs"),
    ("loggs", "logs"),
    ("ogs", "logs"),
    ("dif", "diff"),
    ("dff", "diff"),
    ("difff", "diff"),
    ("idff", "diff"),
    ("atach", "attach"),
    ("attch", "attach"),
    ("attahc", "attach"),
    ("attatch", "attach"),
    ("att", "attach"),
    ("kil", "kill"),
    ("kll", "kill"),
    ("killl", "kill"),
    ("ikll", "kill"),
    ("Kill", "kill"),
    ("wiat", "wait"),
    ("wai", "wait"),
    ("waitt", "wait"),
    ("docter", "doctor"),
    ("hlep", "help"),
];

/// Verbs of the design that this version does not have.
const NOT_YET: [&str; 11] = [
    "live",
    "send",
    "dispatcher",
    "flow",
    "serve",
    "dash",
    "config",
    "completions",
    "answer",
    "gate",
    "reply",
];

#[test]
fn a_misspelled_verb_starts_nothing_and_names_the_verb() {
    let house = House::new();
    let fake = Fake::claude(&house, "claude", "");
    for (typed, meant) in MISSPELLED {
        for words in [&[typed][..], &[typed, "some-agent"], &[typed, "fix", "the", "bug"], &["--json", typed]]
        {
            let done = house.orch(words).run();
            assert_eq!((done.code, done.stdout.as_str()), (2, ""), "{words:?}: {done}");
            assert!(done.stderr.contains(&format!("did you mean: ai_orch {meant}")), "{words:?}: {done}");
            assert!(done.stderr.contains(&format!("ai_orch run -- {typed}")), "{words:?}: {done}");
        }
    }
    assert_eq!(names(&house), Vec::<String>::new());
    assert_eq!(fake.starts(), 0);
}

#[test]
fn a_verb_of_a_later_version_is_named_as_such_and_not_offered() {
    let house = House::new();
    let fake = Fake::claude(&house, "claude", "");
    let help = house.ok(["--help"]);
    let listed: Vec<&str> =
        help.lines().filter_map(|l| l.strip_prefix("  ")?.split_whitespace().next()).collect();
    assert!(listed.contains(&"attach"), "{listed:?}");
    for verb in NOT_YET {
        let done = house.orch([verb, "x"]).run();
        assert_eq!((done.code, done.stdout.as_str()), (2, ""), "{verb}: {done}");
        assert!(!listed.contains(&verb), "{verb} is in --help");
        if !matches!(verb, "gate" | "reply") {
            assert!(done.stderr.contains(&format!("{verb} is not part of this version")), "{done}");
            assert!(!done.stderr.contains("did you mean"), "{done}");
        }
        let done = house.orch(["help", verb]).run();
        assert_eq!(done.code, 2, "{done}");
    }
    assert_eq!(names(&house), Vec::<String>::new());
    assert_eq!(fake.starts(), 0);
}

#[test]
fn a_bare_word_is_refused_and_run_is_the_way() {
    let house = House::new();
    for word in ["banana", "fix", "$(touch", "#{pane}", "über", "", "a;b", "'"] {
        let done = house.orch([word]).run();
        assert_eq!((done.code, done.stdout.as_str()), (2, ""), "{word}: {done}");
        assert!(done.stderr.contains("ai_orch run -- "), "{done}");
    }
    assert_eq!(names(&house), Vec::<String>::new());
    // What was said to type works.
    let done = house.orch(["run", "--agent-cli", "sh", "--", "true"]).run();
    assert_eq!(done.code, 0, "{done}");
    assert_eq!(names(&house), ["true"]);
}

#[test]
fn a_task_needs_no_verb() {
    let house = House::new();
    let fake = Fake::claude(&house, "claude", "");
    let path = bare_path(&house, &["git", "tmux", "sh", "cat", "env"]);
    let done = house.orch(["two words"]).env("PATH", &path).run();
    assert_eq!(done.code, 0, "{done}");
    assert_eq!(fake.task(1), b"two words");
    let done = house.orch(["-d", "--agent-cli", "sh", "true"]).run();
    assert_eq!((done.code, done.stdout.as_str()), (0, "true\n"), "{done}");
    let done = house.orch(["--agent-cli=sh", "--name", "third", "true"]).run();
    assert_eq!(done.code, 0, "{done}");
    let done = house.orch(["--json", "--agent-cli", "sh", "--name", "fourth", "true"]).run();
    assert_eq!(done.json()["agent"]["session"], "fourth");
    assert_eq!(house.orch(["wait", "true", "third"]).run().code, 0);
    // Several words are one task, as typed.
    let done = house.orch(["run", "--agent-cli", "claude", "fix", "the", "bug"]).env("PATH", &path).run();
    assert_eq!(done.code, 0, "{done}");
    assert_eq!(fake.task(2), b"fix the bug");
    assert_eq!(fake.starts(), 2);
}

#[test]
fn no_words_is_help_and_so_is_help() {
    let house = House::new();
    let bare = house.ok::<&str>([]);
    assert_eq!(bare, house.ok(["help"]));
    for verb in ["run", "list", "show", "logs", "diff", "attach", "kill", "wait", "doctor"] {
        assert!(bare.contains(&format!("\n  {verb} ")), "{verb} in {bare}");
        let help = house.ok(["help", verb]);
        assert!(help.contains("Usage:"), "{help}");
        assert_eq!(house.ok([verb, "--help"]).lines().next(), help.lines().next());
    }
    assert!(bare.lines().all(|l| l.chars().count() <= 120), "{bare}");
    let version = house.ok(["--version"]);
    assert_eq!(version, format!("ai_orch {}\n", env!("CARGO_PKG_VERSION")));
}

/// What is typed, the exit code, and words that message and hint hold.
type Wrong<'a> = (&'a [&'a str], i32, &'a str, &'a str);

#[test]
fn every_mistake_is_answered_with_the_thing_and_the_next_step() {
    let house = House::new();
    Fake::claude(&house, "claude", "");
    house.agent("plain", "cat > /dev/null");
    std::fs::write(house.path("repo/notes.bin"), [0xff, 0xfe, 0x00]).unwrap();
    let big = std::fs::File::create(house.path("repo/big.txt")).unwrap();
    big.set_len((8 << 20) + 1).unwrap();
    let run = |words: &[&'static str]| -> Vec<&'static str> { [&["run"], words, &["do it"]].concat() };
    let table: Vec<(Vec<&str>, i32, &str, &str)> = vec![
        (run(&["--agent-cli", "cluade"]), 2, "cluade", "did you mean claude"),
        (
            run(&["--agent-cli", "kubectl"]),
            2,
            "kubectl",
            "use one of: claude, codex, gemini, cursor-agent, sh, replay",
        ),
        (run(&["--agent-cli", ""]), 2, "--agent-cli", "for example: --agent-cli claude,codex"),
        (run(&["--agent-cli", "claude,,sh"]), 2, "--agent-cli", "for example: --agent-cli claude,codex"),
        (run(&["--agent-cli"]), 2, "--agent-cli", ""),
        (
            run(&["--agent-cli", "sh", "--validate", ""]),
            2,
            "--validate has no command",
            "--validate 'cargo test'",
        ),
        (
            run(&["--agent-cli", "plain", "--model", "x"]),
            2,
            "plain takes no model",
            "leave out --model for plain",
        ),
        (
            run(&["--agent-cli", "sh", "--model", "claude=opus"]),
            2,
            "claude is not in the chain",
            "--agent-cli sh,claude",
        ),
        (run(&["--agent-cli", "claude", "--model", "cluade=opus"]), 2, "cluade", "did you mean claude"),
        (run(&["--agent-cli", "claude", "--model", ""]), 2, "--model", "--model CLI=MODEL"),
        (run(&["--agent-cli", "claude", "--model", "claude="]), 2, "--model", "--model CLI=MODEL"),
        (run(&["--agent-cli", "replay"]), 2, "replay needs a model", "add --model replay="),
        (run(&["--context", "missing.txt"]), 2, "missing.txt", "readable UTF-8 file"),
        (
            run(&["--context", "notes.bin"]),
            2,
            "notes.bin cannot be used: it is not UTF-8",
            "readable UTF-8 file",
        ),
        (
            run(&["--context", "big.txt"]),
            2,
            "big.txt cannot be used: it is larger than 8 MiB",
            "readable UTF-8 file",
        ),
        (run(&["--context", "."]), 2, "the context file . cannot be used", "readable UTF-8 file"),
        (run(&["--context", "/dev/null/x"]), 2, "/dev/null/x", "readable UTF-8 file"),
        (run(&["--name", "Big Name"]), 2, "'Big Name' is not a session name", "for example: --name"),
        (run(&["--name", ""]), 2, "is not a session name", "for example: --name"),
        (run(&["--name", "a.b"]), 2, "'a.b' is not a session name", "for example: --name"),
        (run(&["--name=-x"]), 2, "'-x' is not a session name", "for example: --name"),
        (run(&["--base", "no-such-branch"]), 2, "'no-such-branch' is no commit", "git branch -a"),
        (run(&["--base", "--output=x"]), 2, "'--output=x' is no commit", "git branch -a"),
        (run(&["--base", ""]), 2, "is no commit", "git branch -a"),
        (run(&["--base", "HEAD:README.md"]), 2, "'HEAD:README.md' is no commit", "git branch -a"),
        (run(&["--timeout", "0"]), 2, "--timeout", "30m"),
        (run(&["--timeout", "soon"]), 2, "--timeout", "30m"),
        (run(&["--timeout", "-5s"]), 2, "", ""),
        (run(&["--permissions", "root"]), 2, "--permissions", "read, work, full"),
        (run(&["--repairs", "-1"]), 2, "", ""),
        (run(&["--repairs", "many"]), 2, "--repairs", ""),
        (run(&["--env", "NOVALUE"]), 2, "--env NOVALUE", "for example: --env RUST_LOG=debug"),
        (run(&["--env", "=x"]), 2, "--env =x", "for example: --env"),
        (run(&["--env", "1A=x"]), 2, "--env 1A=x", "for example: --env"),
        (run(&["--env", "A B=x"]), 2, "--env A B=x", "for example: --env"),
        (run(&["--budget", "0"]), 2, "--budget", ""),
        (run(&["--budget", "lots"]), 2, "--budget", ""),
        (
            run(&["--agent-cli", "gemini", "--budget", "1"]),
            2,
            "gemini does not report what it costs",
            "leave out --budget",
        ),
        (
            run(&["--agent-cli", "claude,codex", "--budget", "1"]),
            2,
            "codex does not report what it costs",
            "leave out --budget",
        ),
        (run(&["--no-such-flag"]), 2, "--no-such-flag", "Usage"),
        (run(&["--detahc"]), 2, "--detahc", "--detach"),
        (vec!["run"], 2, "TASK", ""),
        (vec!["run", ""], 2, "the task is empty", "ai_orch run 'what to do'"),
        (vec!["run", " \n\t "], 2, "the task is empty", "ai_orch run 'what to do'"),
        (vec!["run", "-"], 2, "the task is empty", "ai_orch run 'what to do'"),
        (vec!["show"], 2, "SESSION", ""),
        (vec!["show", "nobody"], 8, "there is no agent 'nobody'", "ai_orch list"),
        (vec!["logs", "nobody"], 8, "there is no agent 'nobody'", "ai_orch list"),
        (vec!["diff", "nobody"], 8, "there is no agent 'nobody'", "ai_orch list"),
        (vec!["attach", "nobody"], 8, "there is no agent 'nobody'", "ai_orch list"),
        (vec!["wait", "nobody"], 8, "there is no agent 'nobody'", "ai_orch list"),
        (vec!["attach"], 8, "no agent is running", "ai_orch run 'TASK'"),
        (vec!["kill"], 2, "SESSION", ""),
        (vec!["kill", "x", "--all"], 2, "--all", ""),
        (vec!["wait"], 2, "SESSION", ""),
        (vec!["wait", "x", "--until", "finished"], 2, "finished", "done"),
        (vec!["wait", "x", "--timeout", "0"], 2, "--timeout", "30m"),
        (vec!["list", "--color"], 2, "--color", "Usage"),
        (vec!["--verbose", "list"], 2, "--verbose", "Usage"),
    ];
    for (words, code, message, hint) in table {
        let wrong: Wrong<'_> = (&words, code, message, hint);
        answered(&house, wrong);
    }
    assert_eq!(names(&house), Vec::<String>::new());
    assert_eq!(house.git(&["branch", "--list"]), "* main");
}

fn answered(house: &House, (words, code, message, hint): Wrong<'_>) {
    let done = house.orch(words).run();
    assert_eq!((done.code, done.stdout.as_str()), (code, ""), "{words:?}: {done}");
    assert!(done.stderr.starts_with("error: "), "{words:?}: {done}");
    assert!(done.stderr.contains(message) && done.stderr.contains(hint), "{words:?}: {done}");
    assert!(done.stderr.lines().count() > 1, "{words:?} is not told what to type: {done}");
    assert_harmless(&done);
    // The same for a program. `--json` goes first: behind `--` or a flag's value it would be one of them.
    let done = house.orch([&["--json"], words].concat()).run();
    assert_eq!((done.code, done.stdout.as_str()), (code, ""), "{words:?}: {done}");
    let error = json_error(&done);
    assert_eq!((&error["v"], &error["exit"]), (&1.into(), &code.into()), "{words:?}: {done}");
    assert!(error["error"]["code"].as_str().is_some_and(|c| !c.is_empty()), "{done}");
    let told = |key: &str| error["error"][key].as_str().unwrap_or_default().to_owned();
    assert!(!told("message").is_empty() && !told("hint").is_empty(), "{words:?}: {done}");
    let all = format!("{}\n{}", told("message"), told("hint"));
    assert!(all.contains(message) && all.contains(hint), "{words:?}: {done}");
}

#[test]
fn attach_without_a_terminal_says_what_to_do_instead() {
    let house = House::new();
    house.start(["--agent-cli", "sh", "--name", "one", "while [ ! -e go ]; do sleep 0.05; done"]);
    answered(&house, (&["attach", "one"], 2, "attach needs a terminal", "ai_orch logs -f one"));
    answered(&house, (&["attach"], 2, "attach needs a terminal", "ai_orch logs -f one"));
    house.start(["--agent-cli", "sh", "--name", "two", "while [ ! -e go ]; do sleep 0.05; done"]);
    answered(&house, (&["attach"], 2, "attach needs the name of an agent", "one of: one, two"));
}

#[test]
fn a_name_that_is_close_is_offered() {
    let house = House::new();
    house.start(["--agent-cli", "sh", "--name", "fix-login", "true"]);
    house.start(["--agent-cli", "sh", "--name", "fix-logout", "true"]);
    let wrong: [Wrong<'_>; 4] = [
        (&["show", "fix-lgin"], 8, "there is no agent 'fix-lgin'", "did you mean fix-login"),
        (
            &["show", "fix-lo"],
            8,
            "'fix-lo' is the beginning of several names: fix-login, fix-logout",
            "fix-login",
        ),
        (&["show", "fix-login-2"], 8, "there is no agent 'fix-login-2'", "fix-login"),
        (&["attach"], 8, "no agent is running", "ai_orch list"),
    ];
    assert_eq!(house.orch(["wait", "fix-login", "fix-logout"]).run().code, 0);
    for case in wrong {
        answered(&house, case);
    }
    // Only exact names are killed: the result is told for each.
    let done = house.orch(["kill", "fix-log"]).run();
    assert_eq!(done.code, 8, "{done}");
    assert!(
        done.stderr.contains("there is no agent 'fix-log'") && done.stderr.contains("fix-login"),
        "{done}"
    );
}

#[test]
fn an_alias_and_a_cli_twice_are_a_chain_as_typed() {
    let house = House::new();
    house.cli(
        "cursor-agent",
        "echo '{\"type\":\"result\",\"subtype\":\"success\",\"is_error\":false,\"result\":\"hi\"}'",
    );
    let done = house.orch(["run", "--json", "--agent-cli", "cursor", "say hi"]).run();
    assert_eq!(done.json()["agent"]["cli"], "cursor-agent", "{done}");
    let done = house.orch(["run", "--json", "--agent-cli", " sh , cursor", "true"]).run();
    assert_eq!(
        (done.code, done.json()["agent"]["chain"][1]["cli"].as_str()),
        (0, Some("cursor-agent")),
        "{done}"
    );
    let fail = "echo 'rate limit' >&2; exit 1";
    let done = house.orch(["run", "--json", "--agent-cli", "sh,sh", fail]).run();
    assert_eq!(done.code, 1, "{done}");
    assert_eq!(done.json()["agent"]["attempts"].as_array().unwrap().len(), 2);
}

#[test]
fn a_cli_that_is_not_installed_is_passed_over_with_a_note() {
    let house = House::new();
    house.profile(
        "gone",
        "name = \"gone\"\ncommand = \"no-such-program-here\"\ninstall = \"brew install gone\"\n",
    );
    let done = house.orch(["run", "--agent-cli", "gone,sh", "echo hi > hi.txt"]).run();
    assert_eq!(done.code, 0, "{done}");
    assert!(
        done.stderr
            .contains("note: gone is not installed and will be passed over; install it: brew install gone"),
        "{done}"
    );
    assert!(done.stdout.contains("missing_cli"), "{done}");
    // Where nobody knows how to install it, nothing is made up.
    house.profile("odd", "name = \"odd\"\ncommand = \"no-such-program-here\"\n");
    let done = house.orch(["run", "--agent-cli", "odd,sh", "true"]).run();
    assert!(done.stderr.contains("note: odd is not installed and will be passed over\n"), "{done}");
    let done = house.orch(["run", "--agent-cli", "odd", "true"]).run();
    assert_eq!(done.code, 6, "{done}");
    assert!(
        done.stderr.contains("odd is not installed") && done.stderr.contains("no-such-program-here"),
        "{done}"
    );
}

#[test]
fn with_no_cli_at_all_each_way_to_install_one_is_told() {
    let house = House::new();
    let path = bare_path(&house, &["git", "tmux", "sh"]);
    let done = house.orch(["do it"]).env("PATH", &path).run();
    assert_eq!((done.code, done.stdout.as_str()), (6, ""), "{done}");
    for line in [
        "claude: npm install -g @anthropic-ai/claude-code",
        "codex: npm install -g @openai/codex",
        "gemini: npm install -g @google/gemini-cli",
        "cursor-agent: curl ",
        "--agent-cli sh",
    ] {
        assert!(done.stderr.contains(line), "{line}: {done}");
    }
    let done = house.orch(["--json", "run", "--agent-cli", "gemini,codex", "do it"]).env("PATH", &path).run();
    let error = json_error(&done);
    assert_eq!(error["error"]["code"], "cli_missing");
    assert_eq!(error["error"]["message"], "none of gemini, codex is installed");
    assert!(!error["error"]["hint"].as_str().unwrap().contains("claude"), "{done}");
    assert_eq!(names(&house), Vec::<String>::new());
}

#[test]
fn a_wrong_profile_or_setting_is_named_with_its_line() {
    let house = House::new();
    house.profile("bad", "name = \"bad\"\ncommand = \"x\"\ncolour = \"red\"\n");
    for words in [&["run", "do it"][..], &["run", "--agent-cli", "sh", "true"]] {
        let done = house.orch(words).run();
        assert_eq!((done.code, done.stdout.as_str()), (2, ""), "{done}");
        assert!(done.stderr.contains("agents/bad.toml:3: there is no key `colour`"), "{done}");
    }
    let done = house.orch(["doctor"]).run();
    assert_eq!(done.code, 6, "{done}");
    assert!(done.stdout.contains("bad.toml:3"), "{done}");
    std::fs::remove_file(house.path("home/.config/ai_orch/agents/bad.toml")).unwrap();
    std::fs::write(
        house.path("home/.config/ai_orch/config.toml"),
        "branch_prefix = \"x/\"\nagent_clis = [\"sh\"]\n",
    )
    .unwrap();
    let done = house.orch(["list"]).run();
    assert_eq!((done.code, done.stdout.as_str()), (2, ""), "{done}");
    assert!(done.stderr.contains("config.toml") && done.stderr.contains("agent_clis"), "{done}");
    assert!(!done.stderr.contains('⏎'), "a message of several lines is shown as lines: {done}");
    std::fs::write(house.path("home/.config/ai_orch/config.toml"), "agent_cli = [\"nope\"]\n").unwrap();
    let done = house.orch(["run", "do it"]).run();
    assert_eq!(done.code, 2, "{done}");
    assert!(done.stderr.contains("`nope`"), "{done}");
    std::fs::write(house.path("home/.config/ai_orch/config.toml"), "agent_cli = []\n").unwrap();
    answered(&house, (&["run", "do it"], 2, "config.toml names no agent CLI", "for example: agent_cli = ["));
    std::fs::write(house.path("home/.config/ai_orch/config.toml"), "branch_prefix = \"x y/\"\n").unwrap();
    let done = house.orch(["run", "--agent-cli", "sh", "true"]).run();
    assert_eq!(done.code, 8, "{done}");
    assert!(done.stderr.contains("\"x y/true\"") && done.stderr.contains("branch_prefix"), "{done}");
    let done = house.orch(["list"]).env("AI_ORCH_ROOT", "here").run();
    assert_eq!(done.code, 2, "{done}");
    assert!(done.stderr.contains("AI_ORCH_ROOT is not an absolute path: 'here'"), "{done}");
    std::fs::write(
        house.path("home/.config/ai_orch/config.toml"),
        "agent_cli = [\"sh\"]\nbranch_prefix = \"agents/\"\n",
    )
    .unwrap();
    let done = house.orch(["run", "--name", "set", "true"]).run();
    assert_eq!(done.code, 0, "{done}");
    assert_eq!(house.git(&["branch", "--list", "agents/*", "--format=%(refname:short)"]), "agents/set");
}
