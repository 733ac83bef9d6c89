//! `.ai_orch.toml`: each key does what it says, a file that says anything else is refused with its line, and whatever stands in its
//! place does no harm.

use crate::fakes::names;
use crate::house::{Done, House, eventually};
use crate::trust::file;
use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

fn run(house: &House, words: &[&str]) -> Done {
    house.orch([&["run", "--agent-cli", "sh", "--json"], words].concat()).run()
}

/// Writes the file, allows it, and runs an agent to its end.
fn with(house: &House, text: &str, words: &[&str]) -> serde_json::Value {
    file(house, text);
    house.ok(["trust"]);
    let done = run(house, words);
    assert_eq!(done.code, 0, "{done}");
    done.json()["agent"].clone()
}

fn worktree(agent: &serde_json::Value) -> PathBuf {
    PathBuf::from(agent["worktree"].as_str().unwrap())
}

/// Puts `lines` into `.gitignore`, committed.
fn ignore(house: &House, lines: &str) {
    fs::write(house.repo().join(".gitignore"), lines).unwrap();
    house.git(&["add", ".gitignore"]);
    house.git(&["commit", "-q", "-m", "ignore"]);
}

#[test]
fn every_key_is_done_and_everything_is_in_show() {
    let house = House::new();
    ignore(&house, "/node_modules\n*.local\n");
    fs::create_dir(house.repo().join("node_modules")).unwrap();
    fs::write(house.repo().join("node_modules/dep.js"), "dep\n").unwrap();
    fs::write(house.repo().join("key.local"), "key\n").unwrap();
    let text = "copy = ['key.local']\nsymlink = ['node_modules/']\n\
        setup = ['test -e node_modules/dep.js', 'echo $PORT $AI_ORCH_BRANCH > set.txt']\n\
        validate = 'test \"$PORT $AI_ORCH_BRANCH\" = \"$(cat set.txt)\"'\n\
        teardown = 'true'\nports = ['PORT', 'DB_PORT']\n";
    let agent = with(
        &house,
        text,
        &["--name", "one", "cat key.local node_modules/dep.js > seen.txt; echo $PORT > port.txt"],
    );
    assert_eq!(house.git(&["show", "ai_orch/one:seen.txt"]), "key\ndep");
    let outfit = &agent["outfit"];
    let ports = outfit["ports"].as_array().unwrap();
    assert_eq!((ports[0]["name"].as_str(), ports[1]["name"].as_str()), (Some("PORT"), Some("DB_PORT")));
    let port = ports[0]["port"].as_u64().unwrap().to_string();
    assert_eq!(house.git(&["show", "ai_orch/one:port.txt"]), port);
    assert_eq!(outfit["links"]["made"][0], "node_modules", "{outfit:#}");
    assert_eq!(outfit["teardown"]["limit_ms"], 60_000, "{outfit:#}");
    assert_eq!(
        (agent["setup"]["ok"].as_bool(), agent["validations"][0]["ok"].as_bool()),
        (Some(true), Some(true))
    );
    let shown = house.ok(["show", "one"]);
    for line in [&format!("PORT={port}"), "linked", "node_modules", "teardown", "validation"] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    assert_eq!(
        fs::read_link(worktree(&agent).join("node_modules")).unwrap(),
        house.repo().join("node_modules")
    );
    assert_eq!(
        house.git(&["ls-tree", "--name-only", "ai_orch/one"]).lines().collect::<Vec<_>>(),
        [".gitignore", "README.md", "port.txt", "seen.txt", "set.txt"]
    );
    // What is linked stays when the worktree goes, and is linked again when that comes back.
    house.ok(["clean", "one"]);
    assert_eq!(fs::read_to_string(house.repo().join("node_modules/dep.js")).unwrap(), "dep\n");
    house.ok(["undo", "one"]);
    assert_eq!(fs::read_to_string(worktree(&agent).join("node_modules/dep.js")).unwrap(), "dep\n");
    house.ok(["resume", "one", "echo $PORT > again.txt"]);
    assert_eq!(house.orch(["wait", "one"]).run().code, 0);
    let again = house.show("one")["agent"].clone();
    assert_eq!(again["outfit"]["links"]["made"][0], "node_modules", "{again:#}");
    assert_eq!(again["outfit"]["ports"], agent["outfit"]["ports"], "nobody had them meanwhile");
    assert_eq!(house.git(&["status", "--porcelain"]), "?? .ai_orch.toml");
}

#[test]
fn only_what_git_ignores_as_a_link_is_linked() {
    let house = House::new();
    let repo = house.repo();
    ignore(&house, "/good\nslash/\n/sub/deep\n/is-link\n/linked-dir/x\n/half\n/fifo\n/*file.toml\n");
    for dir in ["good", "slash", "sub/deep", "untracked", "tracked", "real", "half"] {
        fs::create_dir_all(repo.join(dir)).unwrap();
        fs::write(repo.join(dir).join("f"), "f\n").unwrap();
    }
    fs::create_dir_all(repo.join("real/x")).unwrap();
    symlink("/etc", repo.join("is-link")).unwrap();
    symlink("real", repo.join("linked-dir")).unwrap();
    house.git(&["add", "-f", "tracked", "half/f"]);
    house.git(&["commit", "-q", "-m", "more"]);
    assert!(std::process::Command::new("mkfifo").arg(repo.join("fifo")).status().unwrap().success());
    let paths = "['good', 'slash', 'sub/deep', 'untracked', 'tracked', 'is-link', 'linked-dir/x', 'nowhere', 'half', 'fifo']";
    let agent = with(
        &house,
        &format!("symlink = {paths}\n"),
        &["--name", "one", "git status --porcelain > status.txt; echo x > sub/deep/by-agent"],
    );
    let links = &agent["outfit"]["links"];
    assert_eq!(links["made"], serde_json::json!(["good", "sub/deep"]), "{links:#}");
    let why = |path: &str| {
        let left = links["left_out"].as_array().unwrap();
        left.iter().find(|l| l["path"] == path).unwrap()["why"].as_str().unwrap().to_owned()
    };
    for (path, told) in [
        ("slash", "/slash without a slash behind it"),
        ("untracked", "/untracked without a slash"),
        ("tracked", "git tracks it"),
        ("is-link", "it is a link itself"),
        ("linked-dir/x", "through a link in the checkout"),
        ("nowhere", "does not have it"),
        ("half", "git tracks it"),
        ("fifo", "neither a file nor a directory"),
    ] {
        assert!(why(path).contains(told), "{path}: {}", why(path));
    }
    assert_eq!(house.git(&["show", "ai_orch/one:status.txt"]), "?? status.txt", "no link is anybody's work");
    assert!(house.ok(["show", "one"]).contains("not linked"));
    assert_eq!(fs::read_to_string(repo.join("sub/deep/by-agent")).unwrap(), "x\n", "it is shared");
    house.ok(["clean", "one"]);
    for kept in ["good/f", "sub/deep/by-agent"] {
        assert!(repo.join(kept).exists(), "{kept}");
    }
}

#[test]
fn a_setup_of_the_file_that_fails_starts_nobody() {
    let house = House::new();
    file(&house, "setup = ['echo fetching', 'exit 7', 'touch never']\n");
    house.ok(["trust"]);
    let done = run(&house, &["--name", "one", "true"]);
    assert_eq!(done.code, 1, "{done}");
    let agent = done.json()["agent"].clone();
    assert_eq!(
        (agent["failure"]["class"].as_str(), agent["setup"]["exit"].as_i64()),
        (Some("setup"), Some(7))
    );
    assert!(!worktree(&agent).join("never").exists());
    assert_eq!(agent["attempts"].as_array().unwrap().len(), 0);
}

#[test]
fn in_the_checkout_itself_only_validation_and_ports_are_for_the_agent() {
    let house = House::new();
    ignore(&house, ".ai_orch.toml\n");
    let marker = house.path("ran");
    let text = format!(
        "setup = \"touch '{0}'\"\nteardown = \"touch '{0}'\"\nvalidate = 'test -e by-agent'\nports = ['PORT']\n",
        marker.display()
    );
    let agent =
        with(&house, &text, &["--no-worktree", "--name", "here", "test -n \"$PORT\" && touch by-agent"]);
    assert_eq!(agent["validations"][0]["ok"], true, "{agent:#}");
    house.ok(["clean", "here"]);
    assert!(!marker.exists());
}

#[test]
fn many_at_once_get_ports_of_their_own_and_give_them_back() {
    let house = House::new();
    file(&house, "ports = ['PORT', 'DB_PORT']\n");
    let sessions: Vec<String> = std::thread::scope(|scope| {
        let start = |n: usize| {
            let house = &house;
            move || {
                house.start([
                    "--agent-cli",
                    "sh",
                    "--name",
                    &format!("a{n}"),
                    "echo $PORT $DB_PORT > ports.txt",
                ])
            }
        };
        let started: Vec<_> = (0..20).map(|n| scope.spawn(start(n))).collect();
        started.into_iter().map(|s| s.join().unwrap()).collect()
    });
    let mut all = BTreeSet::new();
    for session in &sessions {
        assert_eq!(house.orch(["wait", session]).run().code, 0);
        let ports = house.git(&["show", &format!("ai_orch/{session}:ports.txt")]);
        for port in ports.split(' ') {
            assert!(all.insert(port.parse::<u16>().unwrap()), "{port} is another one's");
        }
    }
    assert_eq!(all.len(), 40);
    let leases = || {
        let names = fs::read_dir(house.path("home/.local/state/ai_orch/ports")).unwrap();
        names
            .map(|n| n.unwrap().file_name().into_string().unwrap().parse().unwrap())
            .collect::<BTreeSet<u16>>()
    };
    assert_eq!(leases(), all, "they are kept for what comes next");
    house.ok(["clean"]);
    assert_eq!(leases(), BTreeSet::new());
}

#[test]
fn a_port_stays_the_same_and_is_never_one_that_is_in_use() {
    let house = House::new();
    file(&house, "ports = ['PORT']\n");
    let first = run(&house, &["--name", "one", "true"]).json()["agent"]["outfit"]["ports"][0]["port"]
        .as_u64()
        .unwrap();
    house.ok(["resume", "one", "echo $PORT > port.txt"]);
    assert_eq!(house.orch(["wait", "one"]).run().code, 0);
    assert_eq!(house.git(&["show", "ai_orch/one:port.txt"]), first.to_string());
    // Over the death of its keeper too.
    house.start([
        "--agent-cli",
        "sh",
        "--name",
        "two",
        "echo $PORT >> port.txt; test -e done || { touch done; exec sleep 300; }",
    ]);
    eventually("it works", || fs::metadata(worktree(&house.show("two")["agent"]).join("done")).ok());
    let had = house.show("two")["agent"]["outfit"]["ports"][0]["port"].as_u64().unwrap();
    assert_ne!(had, first);
    house.kill_keeper("two");
    eventually("it is interrupted", || (house.listed("two")["state"] == "interrupted").then_some(()));
    house.ok(["resume", "two"]);
    assert_eq!(house.orch(["wait", "two"]).run().code, 0);
    assert_eq!(house.git(&["show", "ai_orch/two:port.txt"]), format!("{had}\n{had}"));
    // Cleaned, and somebody listens there meanwhile: it comes back with another one.
    house.ok(["clean", "one"]);
    let taken = TcpListener::bind(("127.0.0.1", u16::try_from(first).unwrap())).unwrap();
    house.ok(["undo", "one"]);
    house.ok(["resume", "one", "echo $PORT > port.txt"]);
    assert_eq!(house.orch(["wait", "one"]).run().code, 0);
    let other = house.git(&["show", "ai_orch/one:port.txt"]);
    assert_ne!(other, first.to_string());
    drop(taken);
    // What is given by hand wins.
    let agent = run(&house, &["--env", "PORT=7", "--name", "three", "echo $PORT > port.txt"]).json();
    assert_eq!(house.git(&["show", "ai_orch/three:port.txt"]), "7");
    assert!(agent["agent"]["outfit"].is_null(), "{agent:#}");
}

#[test]
fn a_file_that_says_anything_else_is_refused_with_its_line() {
    let house = House::new();
    for (text, told) in [
        ("\n\nsetpu = 'x'\n", "line 3: 'setpu' is no key; did you mean setup?"),
        ("symlink = ['../x']\n", "line 1: symlink: '../x' is no path inside"),
        ("setup = ", "line 1"),
        ("ports = ['LD_PRELOAD']", "line 1: ports: 'LD_PRELOAD' is no name"),
    ] {
        file(&house, text);
        let done = house.orch(["run", "--agent-cli", "sh", "true"]).run();
        assert_eq!((done.code, done.stdout.as_str()), (2, ""), "{done}");
        assert!(done.stderr.contains(told) && done.stderr.contains("edit "), "{done}");
        assert_eq!(house.orch(["trust"]).run().code, 2);
    }
    assert_eq!(names(&house), Vec::<String>::new());
}

#[test]
fn whatever_stands_in_its_place_holds_nobody_up() {
    let house = House::new();
    let path = house.repo().join(".ai_orch.toml");
    let refused = |what: &str, told: &str| {
        for words in [&["run", "--agent-cli", "sh", "true"][..], &["trust"]] {
            let done = house.orch(words).run();
            assert_eq!((done.code, done.stdout.as_str()), (2, ""), "{what}: {done}");
            assert!(done.stderr.contains(told), "{what}: {done}");
        }
        assert_eq!(names(&house), Vec::<String>::new());
    };
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    refused("a FIFO", "no regular file");
    fs::remove_file(&path).unwrap();
    symlink("/etc/passwd", &path).unwrap();
    refused("a link", "it is a link");
    fs::remove_file(&path).unwrap();
    symlink("nowhere", &path).unwrap();
    refused("a link to nothing", "it is a link");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    refused("a directory", "no regular file");
    fs::remove_dir(&path).unwrap();
    fs::File::create(&path).unwrap().set_len(1 << 30).unwrap();
    refused("a large one", "larger than 64 KiB");
    fs::remove_file(&path).unwrap();
    fs::write(&path, b"setup = '\xff'").unwrap();
    refused("no text", "not UTF-8");
    // Without it all is as ever.
    assert_eq!(house.orch(["run", "--no-project-file", "--agent-cli", "sh", "true"]).run().code, 0);
}
