//! Guardrails: what an agent may not do is stopped, or found and put right, by whatever way it tries; and nothing that people do in
//! their checkouts meanwhile is taken for an agent's.

use crate::house::{Done, House, eventually};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// All refs but those of agents, with their values.
fn refs(house: &House, dir: &Path) -> BTreeMap<String, String> {
    let all = house.git_in(dir, &["for-each-ref", "--format=%(refname) %(objectname)%(symref)"]);
    let pairs = all.lines().filter_map(|line| line.split_once(' '));
    let ours = |name: &str| name.starts_with("refs/ai_orch/") || name.starts_with("refs/heads/ai_orch/");
    pairs.filter(|(name, _)| !ours(name)).map(|(n, v)| (n.to_owned(), v.to_owned())).collect()
}

/// The checkout of the person, byte for byte: index, HEAD, configuration, files.
fn checkout(house: &House) -> Vec<(PathBuf, Vec<u8>)> {
    let repo = house.repo();
    let mut files: Vec<PathBuf> = fs::read_dir(&repo).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.is_file());
    files.sort();
    files.extend(["index", "HEAD", "config"].map(|name| repo.join(".git").join(name)));
    files.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// A bare repository that is a remote of `repo`, under `name`.
fn remote(house: &House, name: &str) -> PathBuf {
    let at = house.path(format!("{name}.git"));
    house.git(&["init", "-q", "--bare", at.to_str().unwrap()]);
    house.git(&["remote", "add", name, at.to_str().unwrap()]);
    house.git(&["push", "-q", name, "main"]);
    at
}

/// A script that tries each way, and leaves in `house/tried` which of them succeeded. `{n}` is the number of the way.
fn tries(house: &House, ways: &[&str]) -> String {
    let tried = house.path("tried");
    let mut script = format!(
        "echo work > work.txt; git add work.txt; git commit -q --allow-empty -m work; : > '{}'\n",
        tried.display()
    );
    for (n, way) in ways.iter().enumerate() {
        let way = way.replace("{n}", &n.to_string());
        let tried = tried.display();
        writeln!(
            script,
            "( {way}
) >> said 2>&1 && echo {n} >> '{tried}'; echo '--- {n}' >> said"
        )
        .unwrap();
    }
    script + &format!("cp said '{}'; rm said; true\n", house.path("said").display())
}

/// The numbers of the ways that succeeded, as far as the shell could tell.
fn succeeded(house: &House) -> Vec<usize> {
    fs::read_to_string(house.path("tried")).unwrap().lines().map(|line| line.parse().unwrap()).collect()
}

fn run(house: &House, words: &[&str]) -> Done {
    house.orch([&["run", "--json", "--agent-cli", "sh"], words].concat()).run()
}

/// What was found, as deed, ref and who.
fn found(agent: &serde_json::Value) -> Vec<(String, String, String)> {
    let text = |finding: &serde_json::Value, key: &str| finding[key].as_str().unwrap().to_owned();
    let all = agent["violations"].as_array().cloned().unwrap_or_default();
    all.iter().map(|f| (text(f, "deed"), text(f, "name"), text(f, "whose"))).collect()
}

fn failed_by_guard(done: &Done) -> serde_json::Value {
    let agent = done.json()["agent"].clone();
    assert_eq!(done.code, 1, "{done}");
    assert_eq!(agent["failure"]["class"], "guard", "{agent:#}");
    agent
}

/// Types what each finding that was left says to type.
fn undo_all(house: &House, agent: &serde_json::Value) {
    for finding in agent["violations"].as_array().unwrap() {
        if let (Some(command), None) = (finding["command"].as_str(), finding.get("remote")) {
            let undone = house.call("sh", ["-c", command]).run();
            assert_eq!(undone.code, 0, "{command}: {undone}");
        }
    }
}

/// Every way to push, with whether it reaches a remote that is a directory, which no means are needed for.
#[test]
fn pushing_is_stopped_or_told_with_what_undoes_it() {
    let house = House::new();
    let origin = remote(&house, "origin");
    let second = remote(&house, "second");
    house.git(&["config", "remote.second.pushurl", second.to_str().unwrap()]);
    let url = origin.to_str().unwrap();
    let ways: Vec<(String, bool)> = [
        ("git push origin HEAD:evil-{n}", false),
        ("/usr/bin/git push origin HEAD:evil-{n}", false),
        ("git push second HEAD:evil-{n}", false),
        ("/usr/bin/git push second HEAD:evil-{n}", false),
        ("/usr/bin/git push URL HEAD:evil-{n}", false),
        ("/usr/bin/git push file://URL HEAD:evil-{n}", false),
        ("/usr/bin/git push --no-verify --force --quiet origin HEAD:evil-{n}", false),
        ("/usr/bin/git -c credential.helper=store push origin HEAD:evil-{n}", false),
        ("/usr/bin/git remote add mine URL && /usr/bin/git push mine HEAD:evil-{n}", false),
        ("git -c alias.publish=push publish origin HEAD:evil-{n}", false),
        ("python3 -c 'import subprocess; subprocess.check_call([\"git\", \"push\", \"origin\", \"HEAD:evil-{n}\"])'", false),
        ("perl -e 'exit(system(\"/usr/bin/git push origin HEAD:evil-{n}\") >> 8)'", false),
        ("/usr/bin/git send-pack URL HEAD:refs/heads/evil-{n}", true),
        ("env -i /usr/bin/git push URL HEAD:evil-{n}", true),
        ("GIT_CONFIG_PARAMETERS= /usr/bin/git push URL HEAD:evil-{n}", true),
        ("/usr/bin/git -c url.URL.pushInsteadOf=URLx push URLx HEAD:evil-{n}", true),
        ("/usr/bin/git clone -q . ../clone-{n} && cd ../clone-{n} && env -i /usr/bin/git push URL HEAD:evil-{n}", true),
        ("/usr/bin/git --git-dir=URL fetch -q \"$PWD\" HEAD:evil-{n}", true),
        ("cp -rn \"$(git rev-parse --git-common-dir)\"/objects/. URL/objects && git rev-parse HEAD > URL/refs/heads/evil-{n}", true),
    ]
    .into_iter()
    .map(|(way, reaches)| (way.replace("URL", url), reaches))
    .collect();
    let before = (refs(&house, &house.repo()), checkout(&house));
    let at_remotes = (refs(&house, &origin), refs(&house, &second));
    let script = tries(&house, &ways.iter().map(|(way, _)| way.as_str()).collect::<Vec<_>>());
    let done = run(&house, &["--no-push", "--name", "one", &script]);
    let said = fs::read_to_string(house.path("said")).unwrap();
    let agent = failed_by_guard(&done);
    let found = found(&agent);
    let reached = refs(&house, &origin);
    for (n, (way, reaches)) in ways.iter().enumerate() {
        let name = format!("refs/heads/evil-{n}");
        assert_eq!(reached.contains_key(&name), *reaches, "{way}\n{said}");
        let told = found.contains(&("pushed".into(), name, "agent".into()));
        assert_eq!(told, *reaches, "{way}: {agent:#}");
    }
    assert_eq!(refs(&house, &second), at_remotes.1);
    assert!(said.contains("pushing is not allowed here"), "{said}");
    assert!(succeeded(&house).iter().all(|n| ways[*n].1), "{said}");
    // What is told undoes it, and nothing else.
    for finding in agent["violations"].as_array().unwrap() {
        let command = finding["command"].as_str().unwrap();
        let undone = house.call("sh", ["-c", command]).run();
        assert_eq!(undone.code, 0, "{command}: {undone}");
    }
    assert_eq!(refs(&house, &origin), at_remotes.0);
    let mut refs_after = refs(&house, &house.repo());
    refs_after.retain(|name, _| !name.starts_with("refs/remotes/"));
    let mut refs_before = before.0;
    refs_before.retain(|name, _| !name.starts_with("refs/remotes/"));
    assert_eq!(refs_after, refs_before);
    let shown = house.ok(["show", "one"]);
    assert!(
        shown.contains("may not") && shown.contains("pushed") && shown.contains("force-with-lease"),
        "{shown}"
    );
}

const GH: &str = r#"
case "$GH_TOKEN$(cat "${GH_CONFIG_DIR:-$HOME/.config/gh}/hosts.yml" 2>/dev/null)" in *good*) ;; *) echo 'gh: not logged in' >&2; exit 4 ;; esac
case "$1 $2" in "pr create"|"api -X") ;; *) echo read; exit 0 ;; esac
exec git --git-dir="$(git config forge.at)" fetch -q "$PWD" "HEAD:refs/pull/$FORGE_N/head"
"#;

#[test]
fn opening_a_pull_request_is_stopped_or_told() {
    let house = House::new();
    let origin = remote(&house, "origin");
    house.git(&["config", "forge.at", origin.to_str().unwrap()]);
    house.cli("gh", GH);
    fs::create_dir_all(house.path("home/.config/gh")).unwrap();
    fs::write(house.path("home/.config/gh/hosts.yml"), "good").unwrap();
    fs::create_dir_all(house.path("elsewhere/.config/gh")).unwrap();
    fs::write(house.path("elsewhere/.config/gh/hosts.yml"), "good").unwrap();
    let gh = house.path("bin/gh");
    let elsewhere = house.path("elsewhere");
    let ways: Vec<(String, bool)> = [
        ("gh pr create --fill", false),
        ("gh -R x pr new", false),
        ("gh api -X POST repos/x/pulls", false),
        ("GH pr create", false),
        ("GH api -X POST repos/x/pulls", false),
        ("GH_TOKEN=good gh pr create", false),
        ("env -u GH_CONFIG_DIR gh pr create", false),
        ("HOME=ELSEWHERE GH pr create", false),
        ("git push -o merge_request.create origin HEAD", false),
        ("git push origin HEAD:refs/for/main", false),
        ("python3 -c 'import subprocess; subprocess.check_call([\"GH\", \"pr\", \"create\"])'", false),
        ("test -n \"$GH_TOKEN$GITHUB_TOKEN\"", false),
        // Where the login lies open, only a sandbox keeps it from an agent.
        ("env -u GH_CONFIG_DIR GH pr create", true),
        ("GH_CONFIG_DIR=\"$HOME/.config/gh\" GH pr create", true),
        ("env -u GH_CONFIG_DIR HOME=ELSEWHERE GH pr create", true),
        ("GH_TOKEN=\"$(cat ~/.config/gh/hosts.yml)\" GH pr create", true),
    ]
    .into_iter()
    .map(|(way, reaches)| {
        let way = way.replace("GH pr", &format!("'{}' pr", gh.display()));
        let way = way.replace("GH api", &format!("'{}' api", gh.display()));
        let way = way.replace("[\"GH\"", &format!("[\"{}\"", gh.display()));
        let way = way.replace("ELSEWHERE", elsewhere.to_str().unwrap());
        (format!("export FORGE_N={{n}}; {way}"), reaches)
    })
    .collect();
    let script = tries(&house, &ways.iter().map(|(way, _)| way.as_str()).collect::<Vec<_>>());
    let tokens = |call: crate::house::Call| call.env("GH_TOKEN", "good").env("GITHUB_TOKEN", "good");
    let words = ["run", "--json", "--agent-cli", "sh", "--no-new-pr"];
    let done = tokens(house.orch([&words[..], &["--name", "one", &script]].concat())).run();
    let said = fs::read_to_string(house.path("said")).unwrap();
    let agent = failed_by_guard(&done);
    let found = found(&agent);
    let reached = refs(&house, &origin);
    for (n, (way, reaches)) in ways.iter().enumerate() {
        let name = format!("refs/pull/{n}/head");
        assert_eq!(reached.contains_key(&name), *reaches, "{way}\n{said}");
        assert_eq!(found.contains(&("opened_pr".into(), name, "agent".into())), *reaches, "{way}: {agent:#}");
    }
    assert!(succeeded(&house).iter().all(|n| ways[*n].1), "{said}");
    assert!(said.contains("opening a pull request is not allowed here"), "{said}");
    assert!(agent["failure"]["message"].as_str().unwrap().contains("gh pr close"), "{agent:#}");
    // Reading and pushing are not what was forbidden, and what is given with --env stays.
    let script = "gh pr view | grep read && git push -q origin HEAD:allowed && test \"$GH_TOKEN\" = good";
    let done = tokens(house.orch([&words[..], &["--env", "GH_TOKEN=good", script]].concat())).run();
    assert_eq!(done.code, 0, "{done}");
    // Without any of it an agent has what it always had.
    let script =
        "test \"$GH_TOKEN\" = good && FORGE_N=99 gh pr create && git push -q origin HEAD:allowed-too";
    let done = tokens(house.orch(["run", "--json", "--agent-cli", "sh", script])).run();
    assert_eq!(done.code, 0, "{done}");
}

#[test]
fn making_a_branch_is_stopped_or_undone() {
    let house = House::new();
    house.git(&["branch", "own"]);
    house.git(&["branch", "topic"]);
    let before = (refs(&house, &house.repo()), checkout(&house));
    let place = ["--branch", "own", "--no-new-branch"];
    let stopped = [
        "git branch new-{n}",
        "git switch -c new-{n}",
        "git checkout -b new-{n}",
        "/usr/bin/git checkout -B new-{n}",
        "git worktree add -q -b new-{n} ../wt-{n}",
        "git update-ref refs/heads/new-{n} HEAD",
        "git fetch -q . HEAD:refs/heads/new-{n}",
        "git branch -m own new-{n}",
        "git symbolic-ref refs/heads/new-{n} refs/heads/topic",
        "echo \"create refs/heads/new-{n} $(git rev-parse HEAD)\" | git update-ref --stdin",
        "git -c core.hooksPath=/dev/null branch new-{n}",
        "python3 -c 'import subprocess; subprocess.check_call([\"git\", \"branch\", \"new-{n}\"])'",
        "HOME=/ XDG_CONFIG_HOME=/ git branch new-{n}",
    ];
    let done = run(&house, &[&place[..], &["--name", "one", &tries(&house, &stopped)]].concat());
    let said = fs::read_to_string(house.path("said")).unwrap();
    assert_eq!(done.code, 0, "{done}\n{said}");
    assert_eq!(succeeded(&house), [] as [usize; 0], "{said}");
    assert!(said.contains("this agent may make no branch"), "{said}");
    // Its own branch is its to move, and so are tags and what it has no name for.
    let after = |house: &House| {
        let mut refs = refs(house, &house.repo());
        refs.remove("refs/heads/own");
        refs
    };
    let mut expected = before.0.clone();
    expected.remove("refs/heads/own");
    assert_eq!(after(&house), expected);
    house.ok(["clean", "one"]);
    let bypasses = [
        // git asks no hook of ours for these two.
        "git push -q . HEAD:refs/heads/new-{n}",
        "git branch -c own new-{n}",
        "env -i /usr/bin/git branch new-{n}",
        "env -i HOME=\"$HOME\" /usr/bin/git switch -q -c new-{n}",
        "GIT_CONFIG_PARAMETERS= /usr/bin/git branch new-{n}",
        "/usr/bin/git -c core.hooksPath=/dev/null update-ref refs/heads/new-{n} HEAD",
        "git rev-parse HEAD > \"$(git rev-parse --git-common-dir)\"/refs/heads/new-{n}",
        "git rev-parse main > \"$(git rev-parse --git-common-dir)\"/refs/heads/new-{n}",
        "python3 -c 'import subprocess; subprocess.check_call([\"git\", \"branch\", \"new-{n}\", \"HEAD\"], env={\"PATH\": \"/usr/bin\"})'",
        "env -i /usr/bin/git worktree add -q -b new-{n} ../wt-{n}",
        "env -i HOME=\"$HOME\" /usr/bin/git fetch -q . HEAD:refs/heads/new-{n}",
        "rm \"$(git config core.hooksPath)\"/reference-transaction; git branch new-{n}",
        "cd ../wt-9 && env -i HOME=\"$HOME\" /usr/bin/git commit -q --allow-empty -m more",
    ];
    let done = run(&house, &[&place[..], &["--name", "two", &tries(&house, &bypasses)]].concat());
    let said = fs::read_to_string(house.path("said")).unwrap();
    let agent = failed_by_guard(&done);
    assert_eq!(succeeded(&house).len(), bypasses.len(), "{said}");
    let found = found(&agent);
    for (n, way) in bypasses.iter().enumerate().take(12) {
        // What the log of its HEAD tells, what only its commits do, and what anybody may have named. At the commit of the eighth there
        // is another checkout by then, in which the same command would have said the same.
        let whose = match n {
            3 => "agent",
            7 => "unclear",
            _ => "likely",
        };
        let told = found.contains(&("made".into(), format!("refs/heads/new-{n}"), whose.into()));
        assert!(told, "{way}: {agent:#}");
    }
    undo_all(&house, &agent);
    assert_eq!(after(&house), expected, "{agent:#}");
    let undone = |f: &&serde_json::Value| f["deed"] == "made" && f["whose"] == "agent";
    for finding in agent["violations"].as_array().unwrap().iter().filter(undone) {
        assert_eq!(finding["fate"], "put_back", "{finding}");
        assert_eq!(
            house.git(&["rev-parse", finding["kept"].as_str().unwrap()]),
            finding["to"].as_str().unwrap()
        );
    }
    assert_eq!(checkout(&house), before.1);
    // What it did is there in its own worktree, on no branch now, and can go on.
    house.ok(["resume", "two", "git switch -q own && git commit -q --allow-empty -m again"]);
    assert_eq!(house.orch(["wait", "two"]).run().code, 0);
}

#[test]
fn moving_what_is_protected_is_stopped_or_undone() {
    let house = House::new();
    fs::write(
        house.path("home/.config/ai_orch/config.toml"),
        "protected_branches = [\"main\", \"kept/*\"]\nagent_cli = [\"sh\"]\n",
    )
    .unwrap();
    for n in 0..20 {
        house.git(&["branch", &format!("kept/{n}")]);
    }
    house.git(&["branch", "free"]);
    // The person is in the middle of something.
    fs::write(house.repo().join("README.md"), "changed\n").unwrap();
    fs::write(house.repo().join("new.txt"), "new\n").unwrap();
    house.git(&["add", "new.txt"]);
    let before = (refs(&house, &house.repo()), checkout(&house));
    let stopped = [
        "git branch -f kept/{n} HEAD",
        "git update-ref refs/heads/kept/{n} HEAD",
        "/usr/bin/git update-ref refs/heads/main HEAD",
        "git update-ref -d refs/heads/main",
        "git branch -D kept/{n}",
        "git branch -m kept/{n} moved",
        "git fetch -q . HEAD:kept/{n}",
        "git symbolic-ref refs/heads/kept/{n} refs/heads/free",
        "git switch -q kept/{n} && git commit -q --allow-empty -m x || ! git switch -q ai_orch/one",
        "git switch -q -C kept/{n}",
        "git -C \"$(git rev-parse --git-common-dir)/..\" update-ref refs/heads/main ai_orch/one",
        "echo \"update refs/heads/main $(git rev-parse HEAD)\" | git update-ref --stdin",
        "git branch kept/new-{n}",
    ];
    let log = house.git(&["reflog", "show", "kept/5"]);
    let more =
        "git switch -q ai_orch/one; git branch -f free HEAD; git tag t; git pack-refs --all; git gc -q";
    let done = run(&house, &["--name", "one", &(tries(&house, &stopped) + more)]);
    let said = fs::read_to_string(house.path("said")).unwrap();
    assert_eq!(done.code, 0, "{done}\n{said}");
    assert_eq!(succeeded(&house), [] as [usize; 0], "{said}");
    assert!(said.contains("is a protected branch: this agent may not move it"), "{said}");
    assert_eq!(house.git(&["rev-parse", "free"]), house.git(&["rev-parse", "ai_orch/one"]), "it may");
    assert_eq!(house.git(&["reflog", "show", "kept/5"]), log, "git moves the log aside before it asks");
    assert!(!house.repo().join(".git/logs/refs/.tmp-renamed-log").exists());
    house.git(&["branch", "-f", "free", "main"]);
    house.git(&["tag", "-d", "t"]);
    assert_eq!((refs(&house, &house.repo()), checkout(&house)), before);
    let bypasses = [
        "git push -q -f . HEAD:refs/heads/kept/{n}",
        "git -c core.hooksPath=/dev/null update-ref refs/heads/kept/{n} HEAD",
        "env -i git update-ref refs/heads/kept/{n} HEAD",
        "env -i HOME=\"$HOME\" git branch -f kept/{n} HEAD",
        "GIT_CONFIG_PARAMETERS= git update-ref refs/heads/kept/{n} HEAD",
        "git rev-parse HEAD > \"$(git rev-parse --git-common-dir)\"/refs/heads/kept/{n}",
        "python3 -c 'import subprocess; subprocess.check_call([\"git\", \"branch\", \"-f\", \"kept/{n}\", \"HEAD\"], env={\"PATH\": \"/usr/bin\"})'",
        "env -i HOME=\"$HOME\" git switch -q kept/{n} && env -i HOME=\"$HOME\" git commit -q --allow-empty -m x && env -i git switch -q ai_orch/two",
        "git update-ref refs/heads/kept/{n} HEAD; env -i git update-ref -d refs/heads/kept/{n}",
        "env -i git fetch -q -f . HEAD:refs/heads/kept/{n}",
        "env -i git update-ref refs/heads/main HEAD",
        "git update-ref refs/heads/kept/{n} HEAD; env -i git update-ref refs/heads/kept/{n} HEAD",
    ];
    let done = run(&house, &["--name", "two", &tries(&house, &bypasses)]);
    let said = fs::read_to_string(house.path("said")).unwrap();
    let agent = failed_by_guard(&done);
    assert_eq!(succeeded(&house).len(), bypasses.len(), "{said}");
    let found = found(&agent);
    for (n, way) in bypasses.iter().enumerate() {
        let (deed, name, whose) = match n {
            8 => ("deleted", format!("refs/heads/kept/{n}"), "unclear"),
            10 => ("moved", "refs/heads/main".to_owned(), "agent"),
            3 | 6 | 7 => ("moved", format!("refs/heads/kept/{n}"), "agent"),
            _ => ("moved", format!("refs/heads/kept/{n}"), "likely"),
        };
        assert!(found.contains(&(deed.into(), name, whose.into())), "{way}: {agent:#}");
    }
    for finding in agent["violations"].as_array().unwrap() {
        let fate = if finding["whose"] == "agent" { "put_back" } else { "stays" };
        assert_eq!(finding["fate"], fate, "{finding}");
    }
    undo_all(&house, &agent);
    // Restoring the ref alone brings the checkout back to what its files are.
    assert_eq!((refs(&house, &house.repo()), checkout(&house)), before);
    assert_eq!(house.git(&["status", "--porcelain"]), " M README.md\nA  new.txt");
    let shown = house.ok(["show", "two"]);
    assert!(shown.contains("that is undone, and kept as refs/ai_orch/rescue/"), "{shown}");
    // What holds none of its commits is the agent's if somebody stands on the branch.
    for way in ["update-ref refs/heads/main HEAD~1", "update-ref -d refs/heads/main"] {
        house.git(&["commit", "-q", "-m", "more"]);
        fs::write(house.repo().join("staged.txt"), way).unwrap();
        house.git(&["add", "staged.txt"]);
        let before = (refs(&house, &house.repo()), checkout(&house));
        let done = run(&house, &[&format!("env -i git {way}")]);
        failed_by_guard(&done);
        assert_eq!((refs(&house, &house.repo()), checkout(&house)), before, "{way}");
        fs::write(house.repo().join("new.txt"), way).unwrap();
        house.git(&["add", "new.txt"]);
    }
    // The branch that was given is not protected from whom it was given to.
    let done = run(&house, &["--branch", "kept/0", "git commit -q --allow-empty -m x"]);
    assert_eq!(done.code, 0, "{done}");
    assert_ne!(house.git(&["rev-parse", "kept/0"]), before.0["refs/heads/kept/0"]);
}

#[test]
fn what_holds_an_agent_cannot_be_taken_away_unseen() {
    let house = House::new();
    let guard = "G=\"$(dirname \"$(git config core.hooksPath)\")\"; B=\"$(dirname \"$(command -v git)\")\"; ";
    let move_main = "; git -c user.name=x -c user.email=x commit -q --allow-empty -m x; /usr/bin/git update-ref refs/heads/main HEAD";
    let main = house.git(&["rev-parse", "main"]);
    let mut first = true;
    for (way, what) in [
        ("rm \"$G/hooks/reference-transaction\"", "its hooks"),
        (
            "rm \"$G/hooks/reference-transaction\"; printf '#!/bin/sh\\n' > \"$G/hooks/reference-transaction\"; chmod +x \"$G/hooks/reference-transaction\"",
            "its hooks",
        ),
        ("ln -sf /bin/true \"$G/hooks/reference-transaction\"", "its hooks"),
        ("printf '[core]\\nhooksPath = /dev/null\\n' > \"$G/config\"", "its hooks"),
        ("rm -r \"$G\"", "its rules"),
        ("echo '{}' > \"$G/rules\"", "its rules"),
        ("sed -i 's/\"main\",//' \"$G/rules\"", "its rules"),
        ("rm \"$B/git\"", "in front of git"),
        ("ln -sf /usr/bin/git \"$B/git\"", "in front of git"),
        (
            "printf '#!/bin/sh\\nexec /usr/bin/git \"$@\"' > \"$B/x\"; chmod +x \"$B/x\"; mv \"$B/x\" \"$B/git\"",
            "in front of git",
        ),
        ("echo x > \"$B/../attempts/$AI_ORCH_ATTEMPT/refs\"", "record of the refs"),
    ] {
        let script = format!("{guard}{way}{move_main}; true");
        let agent = if first {
            first = false;
            failed_by_guard(&run(&house, &["--no-push", "--name", "one", &script]))
        } else {
            house.ok(["resume", "one", &script]);
            assert_eq!(house.orch(["wait", "one"]).run().code, 1, "{way}");
            house.show("one")["agent"].clone()
        };
        assert_eq!(agent["failure"]["class"], "guard", "{way}: {agent:#}");
        let found = found(&agent);
        let (deed, name, _) = found.iter().rfind(|(deed, ..)| deed == "tampered").unwrap();
        assert!(deed == "tampered" && name.contains(what), "{way}: {agent:#}");
        // Without the record of what it was, nobody knows where to put it back.
        if what == "record of the refs" {
            continue;
        }
        assert_eq!(house.git(&["rev-parse", "main"]), main, "{way}: {agent:#}");
    }
}

#[test]
fn another_home_changes_nothing() {
    let house = House::new();
    let origin = remote(&house, "origin");
    let home = house.path("other");
    fs::create_dir_all(home.join(".config/git")).unwrap();
    let lax = "[user]\nname = x\nemail = x\n[credential]\nhelper = store\n[core]\nhooksPath = /dev/null\n[url \"ORIGIN\"]\npushInsteadOf = evil:\n[alias]\npublish = push\n";
    let lax = lax.replace("ORIGIN", origin.to_str().unwrap());
    fs::write(home.join(".gitconfig"), &lax).unwrap();
    fs::write(home.join(".config/git/config"), &lax).unwrap();
    let ways: Vec<String> = [
        "HOME=H git push origin HEAD:evil-{n}",
        "HOME=H /usr/bin/git push origin HEAD:evil-{n}",
        "HOME=H git publish origin HEAD:evil-{n}",
        "XDG_CONFIG_HOME=H/.config git publish origin HEAD:evil-{n}",
        "GIT_CONFIG_GLOBAL=H/.gitconfig git publish origin HEAD:evil-{n}",
        "GIT_CONFIG_SYSTEM=H/.gitconfig git publish origin HEAD:evil-{n}",
        "GIT_CONFIG_NOSYSTEM=1 HOME=H git publish origin HEAD:evil-{n}",
        "HOME=H git update-ref refs/heads/main HEAD",
        "HOME=H /usr/bin/git branch -D main",
        "HOME=H sh -c 'git update-ref refs/heads/main HEAD'",
        "GIT_CONFIG_GLOBAL=H/.gitconfig /usr/bin/git update-ref refs/heads/main HEAD",
        "HOME=H git -c credential.helper= publish origin HEAD:evil-{n}",
    ]
    .map(|way| {
        way.replace('H', "\u{1}")
            .replace("\u{1}EAD", "HEAD")
            .replace("\u{1}OME", "HOME")
            .replace('\u{1}', home.to_str().unwrap())
    })
    .into();
    let before = (refs(&house, &house.repo()), refs(&house, &origin), checkout(&house));
    let script = tries(&house, &ways.iter().map(String::as_str).collect::<Vec<_>>());
    let done = run(&house, &["--no-push", &script]);
    let said = fs::read_to_string(house.path("said")).unwrap();
    assert_eq!((done.code, succeeded(&house)), (0, vec![]), "{done}\n{said}");
    assert_eq!((refs(&house, &house.repo()), refs(&house, &origin), checkout(&house)), before);
}

/// A script that does `what`, says so, and goes on once it may.
fn waits(house: &House, name: &str, what: &str) -> String {
    let (began, go) = (house.path(format!("{name}-began")), house.path("go"));
    format!("{what}\n: > '{}'; while [ ! -e '{}' ]; do sleep 0.02; done", began.display(), go.display())
}

fn began(house: &House, name: &str) {
    let path = house.path(format!("{name}-began"));
    eventually("the agent is at work", || path.exists().then_some(()));
}

#[test]
fn what_people_and_other_agents_do_meanwhile_is_theirs() {
    let house = House::new();
    let origin = remote(&house, "origin");
    let colleague = house.path("colleague");
    let theirs = |words: &[&str]| house.git_in(&colleague, words);
    for words in [
        &["branch", "release/1"][..],
        &["branch", "release/2"],
        &["branch", "own"],
        &["branch", "old"],
        &["push", "-q", "origin", "release/1", "release/2"],
        &["branch", "-q", "-u", "origin/main"],
    ] {
        house.git(words);
    }
    house.git(&["clone", "-q", "-b", "main", origin.to_str().unwrap(), colleague.to_str().unwrap()]);
    // One that has ended, to be merged while the others work.
    house.ok(["run", "--agent-cli", "sh", "--name", "early", "echo early > early.txt"]);
    let strict = ["--agent-cli", "sh", "--branch", "own", "--no-new-branch", "--no-push", "--name", "strict"];
    let commit = "echo $AI_ORCH_SESSION > $AI_ORCH_SESSION.txt; git add .; git commit -q -m work";
    house.start([&strict[..], &[&waits(&house, "strict", commit)]].concat());
    house.start(["--agent-cli", "sh", "--name", "usual", &waits(&house, "usual", commit)]);
    began(&house, "strict");
    began(&house, "usual");
    theirs(&["commit", "-q", "--allow-empty", "-m", "theirs"]);
    theirs(&["push", "-q", "origin", "main", "main:release/2", "main:elsewhere"]);
    fs::write(house.repo().join("mine.txt"), "mine").unwrap();
    for words in [
        &["add", "mine.txt"][..],
        &["commit", "-q", "-m", "mine"],
        &["pull", "-q", "--no-rebase", "--no-edit"],
        &["push", "-q", "origin", "main"],
        &["fetch", "-q", "origin", "release/2:release/2"],
        &["switch", "-q", "-c", "topic"],
        &["commit", "-q", "--allow-empty", "-m", "topic"],
        &["switch", "-q", "main"],
        &["merge", "-q", "topic"],
        &["branch", "-q", "-d", "topic"],
        &["branch", "-q", "-D", "old"],
        &["switch", "-q", "-c", "kept-topic"],
        &["switch", "-q", "release/1"],
        &["commit", "-q", "--allow-empty", "-m", "released"],
        &["push", "-q", "origin", "release/1", "kept-topic"],
        &["switch", "-q", "main"],
        &["commit", "-q", "--allow-empty", "-m", "to be rebased"],
        &["rebase", "-q", "--force-rebase", "HEAD~1"],
        &["reset", "-q", "--hard", "HEAD~1"],
        &["tag", "v1"],
    ] {
        house.git(words);
    }
    house.ok(["merge", "early"]);
    fs::write(house.repo().join("mine.txt"), "changed").unwrap();
    house.git(&["stash", "-q"]);
    fs::write(house.repo().join("mine.txt"), "changed again").unwrap();
    theirs(&["commit", "-q", "--allow-empty", "-m", "theirs again"]);
    theirs(&["push", "-q", "-f", "origin", "main"]);
    let before = (refs(&house, &house.repo()), refs(&house, &origin), checkout(&house));
    fs::write(house.path("go"), "").unwrap();
    for name in ["strict", "usual"] {
        assert_eq!(house.orch(["wait", name]).run().code, 0, "{:#}", house.show(name));
        let agent = house.show(name)["agent"].clone();
        assert_eq!(found(&agent), [], "{agent:#}");
        assert!(agent.get("not_checked").is_none(), "{agent:#}");
    }
    assert_eq!((refs(&house, &house.repo()), refs(&house, &origin), checkout(&house)), before);
}

#[test]
fn what_is_not_certain_is_told_and_left() {
    let house = House::new();
    house.git(&["branch", "release/1"]);
    house.git(&["branch", "own"]);
    house.git(&["commit", "-q", "--allow-empty", "-m", "more"]);
    house.start([
        "--agent-cli",
        "sh",
        "--name",
        "one",
        "--branch",
        "own",
        "--no-new-branch",
        &waits(&house, "one", ""),
    ]);
    began(&house, "one");
    // None of it leaves a trace that an agent could not leave as well.
    house.git(&["branch", "-f", "release/1", "main"]);
    house.git(&["branch", "topic"]);
    fs::write(house.path("go"), "").unwrap();
    assert_eq!(house.orch(["wait", "one"]).run().code, 0);
    let agent = house.show("one")["agent"].clone();
    let said = |deed: &str, name: &str| (deed.to_owned(), format!("refs/heads/{name}"), "unclear".to_owned());
    assert_eq!(found(&agent), [said("moved", "release/1"), said("made", "topic")], "{agent:#}");
    let command = agent["violations"][0]["command"].as_str().unwrap();
    assert_eq!(house.call("sh", ["-c", command]).run().code, 0);
    assert_eq!(house.git(&["rev-parse", "release/1"]), house.git(&["rev-parse", "main~1"]));
    assert!(house.ok(["show", "one"]).contains("it is not certain by whom; to undo it: git update-ref"));
}

#[test]
fn it_is_put_right_whoever_dies_and_however_the_agent_is_ended() {
    let house = House::new();
    let main = house.git(&["rev-parse", "main"]);
    let moves = "git commit -q --allow-empty -m $AI_ORCH_SESSION; env -i git update-ref refs/heads/main HEAD";
    let gone = || assert_ne!(house.git(&["rev-parse", "main"]), main);
    let back = |agent: &serde_json::Value, whose: &str| {
        assert_eq!(found(agent), [("moved".into(), "refs/heads/main".into(), whose.into())], "{agent:#}");
        // Who takes over cannot know that nobody else went on with what the agent left.
        let undone = whose == "agent";
        assert_eq!(agent["violations"][0]["fate"], if undone { "put_back" } else { "stays" }, "{agent:#}");
        if !undone {
            undo_all(&house, agent);
        }
        assert_eq!(house.git(&["rev-parse", "main"]), main, "{agent:#}");
    };
    let start = |name: &str| {
        house.start(["--agent-cli", "sh", "--name", name, &waits(&house, name, moves)]);
        began(&house, name);
        gone();
    };
    let dies = |name: &str| {
        house.kill_keeper(name);
        eventually("it is interrupted", || (house.listed(name)["state"] == "interrupted").then_some(()));
    };
    start("killed");
    house.ok(["kill", "killed"]);
    let agent = house.show("killed")["agent"].clone();
    assert_eq!(agent["state"], "killed");
    back(&agent, "agent");
    start("lost");
    dies("lost");
    house.ok(["kill", "lost"]);
    let agent = house.show("lost")["agent"].clone();
    assert_eq!(agent["state"], "killed");
    back(&agent, "likely");
    start("resumed");
    dies("resumed");
    gone();
    house.ok(["resume", "resumed"]);
    assert_eq!(house.orch(["wait", "resumed"]).run().code, 1);
    let agent = house.show("resumed")["agent"].clone();
    assert_eq!(agent["failure"]["class"], "guard", "{agent:#}");
    back(&agent, "likely");
}

#[test]
fn hooks_of_the_repository_run_as_ever_and_other_repositories_have_their_own() {
    let house = House::new();
    let log = house.path("log");
    let hook = |dir: &Path, name: &str, says: &str| {
        fs::create_dir_all(dir).unwrap();
        // Hooks look for what lies beside them, and read what git tells them.
        fs::write(dir.join(format!("{name}.beside")), format!("echo {says} >> '{}'\n", log.display()))
            .unwrap();
        let beside = format!("#!/bin/sh\n. \"$(dirname \"$0\")/{name}.beside\"\n");
        let script = beside
            + "if [ \"$1\" = prepared ]; then while read -r line; do echo \"$line\" >> \"$0.read\"; done; fi\n";
        fs::write(dir.join(name), script).unwrap();
        fs::set_permissions(dir.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    };
    let said = || fs::read_to_string(&log).unwrap_or_default();
    let hooks = house.repo().join(".git/hooks");
    hook(&hooks, "pre-commit", "usual");
    hook(&hooks, "reference-transaction", "asked");
    fs::write(hooks.join("post-commit"), "#!/bin/sh\nexit 1\n").unwrap();
    let done = run(&house, &["git commit -q --allow-empty -m x"]);
    assert_eq!(done.code, 0, "{done}");
    assert!(said().contains("usual") && said().contains("asked"), "{}", said());
    let read = fs::read_to_string(hooks.join("reference-transaction.read")).unwrap();
    assert!(read.lines().any(|line| line.contains(" refs/heads/ai_orch/")), "{read}");
    fs::remove_file(&log).unwrap();
    // Put there while the agent works, by what it installs, in a place that the configuration names.
    house.git(&["config", "core.hooksPath", ".husky/_"]);
    let template = house.path("template");
    hook(&template, "pre-commit", "installed");
    let other = "git init -q ../other && cd ../other && cp \"$1\"/* .git/hooks/ && git commit -q --allow-empty -m x && git branch main-2";
    let script = format!(
        "mkdir .husky && cp -r '{0}' .husky/_ && git commit -q --allow-empty -m x && set -- '{0}' && {other}",
        template.display()
    );
    let done = run(&house, &["--name", "two", &script]);
    assert_eq!(done.code, 0, "{done}");
    assert_eq!(said(), "installed\ninstalled\n");
    // Our own commands run none of them.
    assert_eq!(house.git(&["config", "core.hooksPath"]), ".husky/_");
}

#[test]
fn children_directories_and_our_own_verbs_are_held_and_work() {
    let house = House::new();
    let origin = remote(&house, "origin");
    let before = refs(&house, &origin);
    let kid = "ai_orch task spawn --name kid 'git push -q origin HEAD:evil || echo held > held.txt' && ai_orch diff \"$AI_ORCH_SESSION\" > /dev/null && ai_orch wait kid";
    let strict = ["--no-push", "--no-new-pr", "--name", "one", "--may-start", "1"];
    let done = run(&house, &[&strict[..], &[kid]].concat());
    assert_eq!(done.code, 0, "{done}");
    let kid = house.show("kid")["agent"].clone();
    assert_eq!(
        (&kid["guards"]["no_push"], &kid["guards"]["no_new_pr"]),
        (&true.into(), &true.into()),
        "{kid:#}"
    );
    assert_eq!(house.git(&["show", "ai_orch/kid:held.txt"]), "held");
    // What was said once is said for good.
    house.ok(["resume", "one", "git push -q origin HEAD:evil"]);
    assert_eq!(house.orch(["wait", "one"]).run().code, 1);
    assert_eq!(house.show("one")["agent"]["failure"]["class"], "crash");
    let bare = house.path("bare");
    fs::create_dir_all(&bare).unwrap();
    let script = format!(
        "test -z \"$GH_TOKEN\" && git init -q . && ! git push -q '{}' HEAD:evil && git -c user.name=x -c user.email=x commit -q --allow-empty -m x",
        origin.display()
    );
    let words = ["run", "--json", "--agent-cli", "sh", "--no-push", "--dir", bare.to_str().unwrap(), &script];
    let done = house.orch(words).env("GH_TOKEN", "good").run();
    assert_eq!(done.code, 0, "{done}");
    // Setup and validation have no more than the agent.
    let held = format!("! git push -q '{}' HEAD:evil && test -z \"$GH_TOKEN\"", origin.display());
    let words =
        ["run", "--json", "--agent-cli", "sh", "--no-push", "--setup", &held, "--validate", &held, "true"];
    let done = house.orch(words).env("GH_TOKEN", "good").run();
    assert_eq!(done.code, 0, "{done}");
    assert_eq!(refs(&house, &origin), before);
}

#[test]
fn a_remote_that_does_not_answer_is_told_and_stops_nobody() {
    let house = House::new();
    house.git(&["remote", "add", "gone", house.path("gone.git").to_str().unwrap()]);
    let done = run(&house, &["--no-push", "--name", "one", "true"]);
    assert_eq!(done.code, 0, "{done}");
    let shown = house.ok(["show", "one"]);
    assert!(shown.contains("gone did not say what it has; look: git ls-remote gone"), "{shown}");
    // A setting that cannot be read is told as well.
    fs::write(house.path("home/.config/ai_orch/config.toml"), "protected_branches = [\"a[\"]\n").unwrap();
    let bad = run(&house, &["true"]);
    assert!(bad.code == 2 && bad.stderr.contains("no ']'"), "{bad}");
    // What protects nothing, however much it looks like it.
    for (pattern, instead) in
        [("main/", "write 'main',"), ("refs/heads/main", "write 'main',"), ("release//", "or 'release/**'")]
    {
        let text = format!("protected_branches = [\"{pattern}\"]\n");
        fs::write(house.path("home/.config/ai_orch/config.toml"), text).unwrap();
        let bad = run(&house, &["true"]);
        assert!(bad.code == 2 && bad.stderr.contains(instead) && bad.stderr.contains("edit"), "{bad}");
    }
}

#[test]
fn whatever_step_of_putting_back_is_the_last_the_next_keeper_finds_it() {
    let house = House::new();
    let main = house.git(&["rev-parse", "main"]);
    let script = "git commit -q --allow-empty -m x; env -i git update-ref refs/heads/main HEAD";
    let start = |name: &str, variable: &str, value: &str| {
        let words = ["run", "--detach", "--agent-cli", "sh", "--name", name, script];
        assert_eq!(house.orch(words).env(variable, value).run().code, 0);
    };
    let points = house.path("points");
    start("told", "AI_ORCH_CRASH_LOG", points.to_str().unwrap());
    assert_eq!(house.orch(["wait", "told"]).run().code, 1);
    let points = fs::read_to_string(points).unwrap();
    let keeper: Vec<&str> = points.lines().filter(|line| line.starts_with("keeper ")).collect();
    let at = |what: &str| keeper.iter().position(|line| line.contains(what)).unwrap();
    for what in ["after journal guard_found", "after bin/git update-ref", "before journal guarded"] {
        // The last one before it is on record that all is done.
        let at = if what.contains("update-ref") { at("put back") + 1 } else { at(what) };
        let n = keeper[at].split(' ').nth(2).unwrap();
        let name = format!("dies-{n}");
        start(&name, "AI_ORCH_CRASH", &format!("keeper:{n}"));
        eventually("its keeper died", || (house.listed(&name)["state"] == "interrupted").then_some(()));
        house.ok(["resume", &name]);
        assert_eq!(house.orch(["wait", &name]).run().code, 1, "{what}");
        let agent = house.show(&name)["agent"].clone();
        assert_eq!(agent["failure"]["class"], "guard", "{what}: {agent:#}");
        assert_eq!(
            found(&agent),
            [("moved".into(), "refs/heads/main".into(), "agent".into())],
            "{what}: {agent:#}"
        );
        assert_eq!(agent["violations"][0]["fate"], "put_back", "{what}: {agent:#}");
        let kept = agent["violations"][0]["kept"].as_str().unwrap();
        assert_eq!(house.git(&["rev-parse", kept]), agent["violations"][0]["to"].as_str().unwrap());
        assert_eq!(house.git(&["rev-parse", "main"]), main, "{what}");
    }
}

/// A clone of `origin` for somebody else.
fn colleague(house: &House, origin: &Path) -> PathBuf {
    let at = house.path("colleague");
    house.git(&["clone", "-q", "-b", "main", origin.to_str().unwrap(), at.to_str().unwrap()]);
    at
}

fn ends(house: &House, name: &str, code: i32) -> serde_json::Value {
    fs::write(house.path("go"), "").unwrap();
    let waited = house.orch(["wait", name]).run();
    let agent = house.show(name)["agent"].clone();
    assert_eq!(waited.code, code, "{agent:#}");
    agent
}

fn finding(deed: &str, name: &str, whose: &str) -> (String, String, String) {
    (deed.to_owned(), format!("refs/heads/{name}"), whose.to_owned())
}

#[test]
fn what_others_made_stays_theirs_when_an_agent_takes_it() {
    let house = House::new();
    let origin = remote(&house, "origin");
    let colleague = colleague(&house, &origin);
    house.git(&["branch", "own"]);
    house.git(&["switch", "-q", "-c", "feat"]);
    house.ok(["run", "--agent-cli", "sh", "--name", "early", "echo early > early.txt"]);
    let strict = ["--agent-cli", "sh", "--branch", "own", "--no-new-branch", "--no-push", "--name", "strict"];
    let merges = waits(&house, "strict", "git commit -q --allow-empty -m work")
        + "\ngit merge -q --no-edit origin/main && git merge -q --no-edit main";
    house.start([&strict[..], &[&merges]].concat());
    let rebases =
        waits(&house, "usual", "git commit -q --allow-empty -m work") + "\ngit rebase -q origin/main";
    house.start(["--agent-cli", "sh", "--no-push", "--name", "usual", &rebases]);
    began(&house, "strict");
    began(&house, "usual");
    house.git_in(&colleague, &["commit", "-q", "--allow-empty", "-m", "theirs"]);
    house.git_in(&colleague, &["push", "-q", "origin", "main"]);
    // Nobody stands on main while it moves on to what was fetched.
    house.git(&["fetch", "-q", "origin"]);
    house.git(&["fetch", "-q", "origin", "main:main"]);
    house.git(&["branch", "-q", "newfeat", "origin/main"]);
    house.ok(["merge", "early", "--into", "main"]);
    house.git(&["push", "-q", "origin", "main"]);
    let before = (refs(&house, &house.repo()), refs(&house, &origin));
    let strict = ends(&house, "strict", 0);
    assert_eq!(found(&strict), [finding("made", "newfeat", "unclear")], "{strict:#}");
    assert_eq!(found(&ends(&house, "usual", 0)), []);
    let mut after = (refs(&house, &house.repo()), refs(&house, &origin));
    after.0.insert("refs/heads/own".into(), before.0["refs/heads/own"].clone());
    assert_eq!(after, before);
}

#[test]
fn what_people_take_of_an_agents_work_is_left_to_them() {
    let house = House::new();
    for name in ["own", "release/1", "release/2", "release/3"] {
        house.git(&["branch", name]);
    }
    house.git(&["worktree", "add", "-q", house.path("hot").to_str().unwrap(), "release/3"]);
    house.git(&["config", "receive.denyCurrentBranch", "updateInstead"]);
    house.git(&["switch", "-q", "-c", "feat"]);
    house.ok(["run", "--agent-cli", "sh", "--name", "early", "echo early > early.txt"]);
    let strict = ["--agent-cli", "sh", "--branch", "own", "--no-new-branch", "--name", "strict"];
    // It tries main, is refused, and leaves it at that.
    let tries = "echo work > work.txt; git add .; git commit -q -m work; git update-ref refs/heads/main HEAD";
    house.start([&strict[..], &[&waits(&house, "strict", tries)]].concat());
    began(&house, "strict");
    let peek = house.path("peek");
    let int = house.path("int");
    let clone = house.path("clone");
    let clone_is = clone.to_str().unwrap();
    for words in [
        &["branch", "backup", "own"][..],
        &["worktree", "add", "-q", "-b", "peek", peek.to_str().unwrap(), "own"],
        &["worktree", "add", "-q", int.to_str().unwrap(), "release/1"],
        &["commit", "-q", "--allow-empty", "-m", "feat"],
        &["branch", "-q", "-f", "main", "feat"],
        &["clone", "-q", "-b", "release/3", house.repo().to_str().unwrap(), clone_is],
    ] {
        house.git(words);
    }
    house.git_in(&int, &["merge", "-q", "ai_orch/early"]);
    // A push that moves files as well, into a checkout whose log does not tell of it.
    fs::write(clone.join("hot.txt"), "hot").unwrap();
    house.git_in(&clone, &["add", "."]);
    house.git_in(&clone, &["commit", "-q", "-m", "hot"]);
    house.git_in(&clone, &["push", "-q", "origin", "release/3"]);
    assert!(house.path("hot/hot.txt").exists());
    let before = (refs(&house, &house.repo()), checkout(&house));
    let agent = ends(&house, "strict", 1);
    assert_eq!((refs(&house, &house.repo()), checkout(&house)), before, "{agent:#}");
    assert_eq!(house.git_in(&peek, &["status", "--porcelain"]), "");
    assert_eq!(house.git_in(&house.path("hot"), &["status", "--porcelain"]), "");
    let mut found = found(&agent);
    found.sort();
    let told = [
        finding("made", "backup", "likely"),
        finding("made", "peek", "likely"),
        finding("moved", "release/3", "unclear"),
    ];
    assert_eq!(found, told, "{agent:#}");
}

#[test]
fn logs_that_git_wrote_anew_are_read_all_the_same() {
    let house = House::new();
    house.git(&["branch", "topic"]);
    house.git(&["switch", "-q", "topic"]);
    house.git(&["commit", "-q", "--allow-empty", "-m", "topic"]);
    house.git(&["switch", "-q", "main"]);
    let commit =
        "echo work > work.txt; git add .; git commit -q -m work; git update-ref refs/heads/main HEAD";
    house.start(["--agent-cli", "sh", "--name", "one", &waits(&house, "one", commit)]);
    began(&house, "one");
    house.git(&["merge", "-q", "--no-ff", "--no-edit", "topic"]);
    house.git(&["merge", "-q", "--no-edit", "ai_orch/one"]);
    house.git(&["reflog", "expire", "--all", "--expire=90.days"]);
    house.git(&["gc", "-q"]);
    let before = (refs(&house, &house.repo()), checkout(&house));
    let agent = ends(&house, "one", 0);
    assert_eq!((refs(&house, &house.repo()), checkout(&house)), before, "{agent:#}");
    assert_eq!(found(&agent), [finding("moved", "main", "unclear")], "it holds the agent's work");
}

#[test]
fn nothing_of_a_persons_is_undone_by_whoever_takes_over() {
    let house = House::new();
    house.git(&["switch", "-q", "-c", "feat"]);
    house.start([
        "--agent-cli",
        "sh",
        "--name",
        "one",
        &waits(&house, "one", "git commit -q --allow-empty -m work"),
    ]);
    began(&house, "one");
    house.kill_keeper("one");
    eventually("it is interrupted", || (house.listed("one")["state"] == "interrupted").then_some(()));
    house.git(&["branch", "release/9", "ai_orch/one"]);
    house.git(&["push", "-q", ".", "+ai_orch/one:main"]);
    let before = refs(&house, &house.repo());
    house.ok(["kill", "one"]);
    let agent = house.show("one")["agent"].clone();
    assert_eq!(refs(&house, &house.repo()), before, "{agent:#}");
    assert_eq!(found(&agent), [finding("moved", "main", "likely"), finding("made", "release/9", "likely")]);
}

#[test]
fn a_push_is_not_excused_by_what_it_leaves_behind_itself() {
    let house = House::new();
    for n in 0..3 {
        house.git(&["commit", "-q", "--allow-empty", "-m", &format!("{n}")]);
    }
    let origin = remote(&house, "origin");
    house.git(&["push", "-q", "origin", "main:old"]);
    house.git(&["fetch", "-q", "origin"]);
    let before = refs(&house, &origin);
    let real =
        "G='env -u GIT_CONFIG_PARAMETERS /usr/bin/git'; git commit -q --allow-empty -m $AI_ORCH_SESSION; ";
    for (way, name, whose) in [
        ("$G push -q -f origin main~2:refs/heads/main", "main", "unclear"),
        (
            "$G push -q -f origin main~2:refs/heads/main; $G update-ref refs/remotes/origin/main main; $G fetch -q origin",
            "main",
            "unclear",
        ),
        ("$G push -q origin $(git commit-tree -m x HEAD^{tree}):refs/heads/x", "x", "unclear"),
        (
            "git worktree add -q --detach ../tmp && git -C ../tmp commit -q --allow-empty -m x && $G -C ../tmp push -q origin HEAD:refs/heads/x; git worktree remove -f ../tmp",
            "x",
            "agent",
        ),
        (
            "git update-ref refs/heads/ai_orch/j HEAD; $G push -q origin HEAD:refs/heads/x; $G fetch -q origin",
            "x",
            "agent",
        ),
        ("$G push -q origin :old", "old", "unclear"),
    ] {
        let done = run(&house, &["--no-push", &format!("{real}{way}")]);
        let agent = done.json()["agent"].clone();
        assert_eq!(done.code, i32::from(whose == "agent"), "{way}: {done}");
        let (deed, to, by) = &found(&agent)[0];
        assert_eq!(
            (deed.as_str(), to.as_str(), by.as_str()),
            ("pushed", &*format!("refs/heads/{name}"), whose),
            "{way}: {agent:#}"
        );
        let command = agent["violations"][0]["command"].as_str().unwrap();
        assert_eq!(house.call("sh", ["-c", command]).run().code, 0, "{way}: {command}");
        assert_eq!(refs(&house, &origin), before, "{way}");
        house.git(&["fetch", "-q", "--prune", "origin"]);
    }
    // A child begins at the commit of its parent, which is not the child's for that.
    let kid = "git commit -q --allow-empty -m work; ai_orch task spawn --name kid 'echo kid > kid.txt' && ai_orch wait kid; env -u GIT_CONFIG_PARAMETERS /usr/bin/git push -q origin HEAD:refs/heads/x";
    let done = run(&house, &["--no-push", "--may-start", "1", kid]);
    assert_eq!(found(&failed_by_guard(&done)), [finding("pushed", "x", "agent")]);
}

#[test]
fn what_cannot_be_read_hides_nothing() {
    let house = House::new();
    let main = house.git(&["rev-parse", "main"]);
    let made = "D=\"$(git rev-parse --git-common-dir)\"; git commit -q --allow-empty -m x; env -i git update-ref refs/heads/main HEAD; mkdir -p \"$D/worktrees/z1/HEAD\" \"$D/worktrees/z2/logs\"; mkfifo \"$D/worktrees/z2/HEAD\" \"$D/worktrees/z2/logs/HEAD\"";
    let done = run(&house, &[made]);
    let agent = failed_by_guard(&done);
    assert_eq!(found(&agent), [finding("moved", "main", "agent")], "{agent:#}");
    assert_eq!(house.git(&["rev-parse", "main"]), main);
    // An agent that takes the log of its own HEAD away has made all that it has.
    house.git(&["branch", "release/1"]);
    let hides = "git commit -q --allow-empty -m hidden; env -i git update-ref refs/heads/release/1 HEAD; rm \"$(git rev-parse --git-dir)/logs/HEAD\"";
    let agent = failed_by_guard(&run(&house, &[hides]));
    assert_eq!(found(&agent), [finding("moved", "release/1", "likely")], "{agent:#}");
    undo_all(&house, &agent);
    // What cannot be compared at all is not done.
    let packed = house.repo().join(".git/packed-refs");
    let broken = format!(
        "git commit -q --allow-empty -m x; env -i git update-ref refs/heads/main HEAD; echo nonsense > '{}'",
        packed.display()
    );
    let done = run(&house, &["--no-commit", &broken]);
    fs::remove_file(packed).unwrap();
    assert_eq!(done.code, 1, "{done}");
    let agent = done.json()["agent"].clone();
    let message = agent["failure"]["message"].as_str().unwrap();
    assert!(agent["failure"]["class"] == "guard" && message.contains("could not be compared"), "{agent:#}");
}

#[test]
fn hooks_that_the_environment_leads_to_run_as_ever() {
    let house = House::new();
    let (hooks, log, config) = (house.path("hooks"), house.path("log"), house.path("global"));
    fs::create_dir_all(&hooks).unwrap();
    fs::write(hooks.join("post-commit"), format!("#!/bin/sh\necho ran >> '{}'\n", log.display())).unwrap();
    fs::set_permissions(hooks.join("post-commit"), fs::Permissions::from_mode(0o755)).unwrap();
    let text = format!("[user]\nname = x\nemail = x@x\n[core]\nhooksPath = {}\n", hooks.display());
    fs::write(&config, text).unwrap();
    let words = ["run", "--json", "--agent-cli", "sh", "git commit -q --allow-empty -m x"];
    let done = house.orch(words).env("GIT_CONFIG_GLOBAL", &config).run();
    assert_eq!(done.code, 0, "{done}");
    assert_eq!(fs::read_to_string(&log).unwrap_or_default(), "ran\n");
}

#[test]
fn where_a_branch_goes_by_a_url_is_looked_at_too() {
    let house = House::new();
    let bare = |name: &str| {
        let at = house.path(format!("{name}.git"));
        house.git(&["init", "-q", "--bare", at.to_str().unwrap()]);
        at
    };
    let (fork, default) = (bare("fork"), bare("default"));
    house.git(&["config", "branch.main.pushRemote", fork.to_str().unwrap()]);
    house.git(&["config", "remote.pushDefault", default.to_str().unwrap()]);
    // The name of one that is gone is no place.
    house.git(&["config", "branch.main.remote", "gone"]);
    let real = "git commit -q --allow-empty -m $AI_ORCH_SESSION; env -u GIT_CONFIG_PARAMETERS /usr/bin/git";
    for (n, at) in [&fork, &default].into_iter().enumerate() {
        let done =
            run(&house, &["--no-push", &format!("{real} push -q {} HEAD:refs/heads/x{n}", at.display())]);
        let agent = failed_by_guard(&done);
        assert_eq!(found(&agent), [finding("pushed", &format!("x{n}"), "agent")], "{agent:#}");
        let command = agent["violations"][0]["command"].as_str().unwrap();
        assert_eq!(house.call("sh", ["-c", command]).run().code, 0, "{command}");
        assert!(refs(&house, at).is_empty(), "{command}");
    }
    let done = run(&house, &["--no-push", "true"]);
    assert!(done.code == 0 && !done.stdout.contains("gone"), "{done}");
}

#[test]
fn what_people_do_in_checkouts_of_a_moment_is_theirs() {
    let house = House::new();
    house.git(&["branch", "feat"]);
    house.git(&["commit", "-q", "--allow-empty", "-m", "second"]);
    let side = house.path("side");
    let side = side.to_str().unwrap();
    let (began, go) = (house.path("began"), house.path("go"));
    let waits =
        format!("touch '{}'; while [ ! -e '{}' ]; do sleep 0.02; done", began.display(), go.display());
    // What the agent does before, what is done meanwhile, and what the agent does then.
    let during = |words: &[&str], first: &str, act: &dyn Fn(), then: &str| {
        let script = format!("{first}; {waits}; {then}");
        let call = house.orch([&["run", "--json", "--agent-cli", "sh"], words, &[&script]].concat()).spawn();
        eventually("it works", || began.exists().then_some(()));
        act();
        fs::write(&go, "").unwrap();
        let output = call.wait_with_output().unwrap();
        fs::remove_file(&began).unwrap();
        fs::remove_file(&go).unwrap();
        (
            output.status.code(),
            serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()["agent"].clone(),
        )
    };
    // A commit on a protected branch, in a second checkout of it that is gone again.
    let second = || {
        house.git(&["worktree", "add", "-q", "-f", side, "main"]);
        house.git_in(side.as_ref(), &["commit", "-q", "--allow-empty", "-m", "a person's"]);
        house.git(&["worktree", "remove", side]);
    };
    let (code, agent) = during(&["--name", "a"], "true", &second, "true");
    assert_eq!(house.git(&["log", "-1", "--format=%s", "main"]), "a person's", "{agent:#}");
    assert_eq!(code, Some(0), "{agent:#}");
    // A branch that is made in a checkout of a moment, where the agent's HEAD has been.
    let review = || {
        house.git(&["worktree", "add", "-q", "--detach", side, "feat"]);
        house.git_in(side.as_ref(), &["switch", "-q", "-c", "review"]);
        house.git(&["worktree", "remove", side]);
    };
    let strict = ["--no-new-branch", "--branch", "feat", "--name", "b"];
    let (code, agent) = during(&strict, "true", &review, "true");
    house.git(&["rev-parse", "--verify", "review"]);
    assert_eq!(code, Some(0), "{agent:#}");
    // A branch that is fetched, at which the agent looks at once.
    let fetch = || drop(house.git(&["fetch", "-q", ".", "main:colleague"]));
    let strict = ["--no-new-branch", "--branch", "review", "--name", "c"];
    let (code, agent) = during(&strict, "true", &fetch, "git switch -q colleague && git switch -q review");
    house.git(&["rev-parse", "--verify", "colleague"]);
    assert_eq!(code, Some(0), "{agent:#}");
    // A protected branch that a person leads to the agent's work, at which it ends up. It fails for that, and the branch stays.
    house.git(&["branch", "release/1", "feat"]);
    let lead = || drop(house.git(&["branch", "-q", "-f", "release/1", "ai_orch/d"]));
    let (_, agent) =
        during(&["--name", "d"], "git commit -q --allow-empty -m work", &lead, "git switch -q release/1");
    assert_eq!(house.git(&["log", "-1", "--format=%s", "release/1"]), "work", "{agent:#}");
}
