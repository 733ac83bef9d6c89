//! Two users on one machine, each with the default root under /tmp: neither sees, uses or is held up by what the other has.

use crate::house::{Done, House, eventually, root_only};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A user with a home, a repository and the default root.
struct User<'a> {
    house: &'a House,
    uid: u32,
}

impl User<'_> {
    /// A user of the number `n`, whom no other test has.
    fn new(house: &House, n: u32) -> User<'_> {
        let user = User { house, uid: 800_000 + (std::process::id() % 50_000) * 10 + n };
        for dir in ["home", "repo"] {
            fs::create_dir_all(user.path(dir)).unwrap();
        }
        fs::copy(house.path("home/.gitconfig"), user.path("home/.gitconfig")).unwrap();
        house.make_repository(&user.path("repo"));
        fs::set_permissions(house.path(""), fs::Permissions::from_mode(0o755)).unwrap();
        let owner = format!("{0}:{0}", user.uid);
        assert!(Command::new("chown").arg("-R").arg(owner).arg(user.path("")).status().unwrap().success());
        user
    }

    fn path(&self, name: &str) -> PathBuf {
        self.house.path(format!("user-{}", self.uid)).join(name)
    }

    fn root(&self) -> PathBuf {
        PathBuf::from(format!("/tmp/ai_orch-{}", self.uid))
    }

    /// A command as this user.
    fn command(&self, program: &str) -> Command {
        let mut command = self.house.command("timeout");
        command
            .env_remove("AI_ORCH_ROOT")
            .env("HOME", self.path("home"))
            .args(["--signal=KILL", "100", "setpriv"])
            .args([
                &format!("--reuid={}", self.uid),
                &format!("--regid={}", self.uid),
                "--clear-groups",
                program,
            ])
            .current_dir(self.path("repo"))
            .stdin(Stdio::null());
        command
    }

    fn orch(&self, words: &[&str]) -> Done {
        done(self.command(env!("CARGO_BIN_EXE_ai_orch")).args(words))
    }

    fn names(&self) -> Vec<String> {
        let list = self.orch(&["list", "--json"]).json();
        list["agents"].as_array().unwrap().iter().map(|a| a["session"].as_str().unwrap().to_owned()).collect()
    }
}

impl Drop for User<'_> {
    fn drop(&mut self) {
        self.command(env!("CARGO_BIN_EXE_ai_orch")).args(["kill", "--all"]).output().ok();
        self.command("tmux").arg("-S").arg(self.root().join("tmux.sock")).arg("kill-server").output().ok();
        if self.root().is_symlink() {
            fs::remove_file(self.root()).ok();
        } else {
            fs::remove_dir_all(self.root()).ok();
        }
    }
}

fn done(command: &mut Command) -> Done {
    let output = command.output().unwrap();
    Done {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        raw: output.stdout,
    }
}

/// Whether other users can be had, and reach the binary.
fn possible(house: &House) -> bool {
    if !root_only("it runs as other users") {
        return false;
    }
    let user = User::new(house, 0);
    let can = user.orch(&["--version"]).code == 0;
    if !can {
        eprintln!("SKIPPED: another user cannot reach {}", env!("CARGO_BIN_EXE_ai_orch"));
    }
    can
}

#[test]
fn each_sees_only_their_own() {
    let house = House::new();
    if !possible(&house) {
        return;
    }
    let users = [User::new(&house, 1), User::new(&house, 2)];
    for user in &users {
        let run = user.orch(&["run", "-d", "--agent-cli", "sh", "--name", "same", "sleep 1000"]);
        assert_eq!((run.code, run.stdout.trim()), (0, "same"), "{run}");
        let own =
            user.orch(&["run", "--agent-cli", "sh", "--name", &format!("own-{}", user.uid), "echo x > x"]);
        assert_eq!(own.code, 0, "{own}");
    }
    for user in &users {
        assert_eq!(user.names(), ["same".to_owned(), format!("own-{}", user.uid)]);
    }
    let kill = users[0].orch(&["kill", "--all"]);
    assert_eq!(kill.code, 0, "{kill}");
    let other = users[1].orch(&["list", "--json"]).json();
    assert_eq!(other["agents"][0]["state"], "working", "{other}");
    // Nor can one look into what the other has.
    let foreign =
        done(users[0].command(env!("CARGO_BIN_EXE_ai_orch")).arg("list").env("HOME", users[1].path("home")));
    assert_eq!(foreign.code, 6, "{foreign}");
    assert!(foreign.stderr.contains("permission denied"), "{foreign}");
    let foreign = done(
        users[0]
            .command(env!("CARGO_BIN_EXE_ai_orch"))
            .args(["run", "--agent-cli", "sh", "true"])
            .env("AI_ORCH_ROOT", users[1].root()),
    );
    assert_eq!(foreign.code, 8, "{foreign}");
    assert!(foreign.stderr.contains(&format!("belongs to user {}", users[1].uid)), "{foreign}");
}

#[test]
fn a_root_that_another_user_made_first_is_refused_and_never_touched() {
    let house = House::new();
    if !possible(&house) {
        return;
    }
    let (victim, other) = (User::new(&house, 3), User::new(&house, 4));
    let root = victim.root();
    let mine = other.path("mine");
    fs::create_dir(&mine).unwrap();
    for how in ["directory", "link", "file", "open"] {
        match how {
            "link" => symlink(&mine, &root).unwrap(),
            "file" => fs::write(&root, "").unwrap(),
            _ => fs::create_dir(&root).unwrap(),
        }
        let owner = if how == "open" { victim.uid } else { other.uid };
        let chown = ["-h".to_owned(), format!("{owner}:{owner}")];
        assert!(Command::new("chown").args(chown).arg(&root).status().unwrap().success());
        if how == "open" {
            fs::set_permissions(&root, fs::Permissions::from_mode(0o777)).unwrap();
        }
        let run = victim.orch(&["run", "--agent-cli", "sh", "--name", "one", "true"]);
        assert_eq!(run.code, 8, "{how}: {run}");
        assert!(
            run.stderr.contains(root.to_str().unwrap()) && run.stderr.contains("AI_ORCH_ROOT"),
            "{how}: {run}"
        );
        for words in [
            &["task", "create", "x"][..],
            &["task", "claim"],
            &["msg", "send", "user", "x"],
            &["msg", "read"],
            &["events"],
            &["reserve", "x"],
        ] {
            let done = victim.orch(words);
            assert_eq!(done.code, 8, "{how} {words:?}: {done}");
            assert!(done.stderr.contains(root.to_str().unwrap()), "{how} {words:?}: {done}");
        }
        assert_eq!(victim.names(), [""; 0]);
        assert_eq!(victim.orch(&["doctor"]).code, 6);
        assert_eq!(fs::read_dir(&mine).unwrap().count(), 0, "{how}");
        if how == "link" || how == "file" {
            fs::remove_file(&root).unwrap();
        } else {
            assert_eq!(fs::read_dir(&root).unwrap().count(), 0, "{how}");
            fs::remove_dir(&root).unwrap();
        }
    }
    // Somewhere else it works.
    let elsewhere = victim.path("root");
    let words = ["run", "--agent-cli", "sh", "--name", "one", "echo x > x"];
    let run = done(victim.command(env!("CARGO_BIN_EXE_ai_orch")).args(words).env("AI_ORCH_ROOT", elsewhere));
    assert_eq!(run.code, 0, "{run}");
}

#[test]
fn links_that_another_user_planted_are_not_followed() {
    let house = House::new();
    if !possible(&house) {
        return;
    }
    let user = User::new(&house, 5);
    let precious = house.path("precious");
    fs::write(&precious, "mine").unwrap();
    fs::set_permissions(&precious, fs::Permissions::from_mode(0o666)).unwrap();
    // Planted before the user tightened the directories: every file of ours that is written early on.
    let state = user.path("home/.local/state/ai_orch");
    fs::create_dir_all(&state).unwrap();
    fs::create_dir(user.root()).unwrap();
    fs::set_permissions(user.root(), fs::Permissions::from_mode(0o700)).unwrap();
    for path in [user.root().join("VERSION"), user.root().join("tmux.conf"), state.join("tmux-server")] {
        symlink(&precious, path).unwrap();
    }
    for path in [user.path("home"), user.root()] {
        let owner = format!("{0}:{0}", user.uid);
        assert!(Command::new("chown").args(["-R", "-h", &owner]).arg(path).status().unwrap().success());
    }
    let run = user.orch(&["run", "--agent-cli", "sh", "--name", "one", "echo x > x"]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(fs::read_to_string(&precious).unwrap(), "mine");
    symlink(&precious, state.join("planted")).unwrap();
    // In one step: the keeper may just be making the lock again, on its way out.
    fs::rename(state.join("planted"), state.join("tmux.lock")).unwrap();
    let run = user.orch(&["run", "--agent-cli", "sh", "--name", "two", "true"]);
    assert_eq!(run.code, 6, "a lock is not taken through a link: {run}");
    assert!(run.stderr.contains("tmux.lock"), "{run}");
    assert_eq!(fs::read_to_string(&precious).unwrap(), "mine");
}

#[test]
fn the_repository_of_another_user_is_refused_with_a_hint() {
    let house = House::new();
    if !possible(&house) {
        return;
    }
    let (one, other) = (User::new(&house, 6), User::new(&house, 7));
    let run = done(
        one.command(env!("CARGO_BIN_EXE_ai_orch"))
            .args(["run", "--agent-cli", "sh", "--name", "one", "true"])
            .current_dir(other.path("repo")),
    );
    assert_eq!(run.code, 8, "{run}");
    assert!(run.stderr.contains("safe.directory"), "{run}");
    assert_eq!(one.names(), [""; 0]);
}

#[test]
fn a_state_directory_that_cannot_be_read_is_said() {
    let house = House::new();
    if !possible(&house) {
        return;
    }
    let user = User::new(&house, 8);
    let begun = user.path("begun");
    let script = format!("touch {}; sleep 1000", begun.display());
    let run = user.orch(&["run", "-d", "--agent-cli", "sh", "--name", "one", &script]);
    assert_eq!(run.code, 0, "{run}");
    // Its keeper reads its record until then.
    eventually("it works", || begun.exists().then_some(()));
    let state = user.path("home/.local/state/ai_orch");
    let mode = |path: &PathBuf, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let names = state.join("names");
    let journal = fs::canonicalize(names.join("one")).unwrap().join("journal");
    for path in [&state, &names] {
        mode(path, 0o000);
        for words in
            [&["list"][..], &["show", "one"], &["kill", "one"], &["run", "--agent-cli", "sh", "true"]]
        {
            let done = user.orch(words);
            assert_eq!(done.code, 6, "{words:?}: {done}");
            assert!(done.stderr.contains("permission denied"), "{words:?}: {done}");
            assert!(done.stderr.contains(path.to_str().unwrap()), "{words:?}: {done}");
        }
        mode(path, 0o700);
    }
    // A journal that cannot be read hides nothing while its keeper lives, and is not put aside.
    mode(&journal, 0o000);
    assert_eq!(user.names(), ["one"]);
    let kill = user.orch(&["kill", "one"]);
    eventually("it is stopped, whatever its journal says", || {
        (!house.processes().iter().any(|(_, w)| w.contains("sleep 1000"))).then_some(())
    });
    assert_eq!(kill.code, 6, "{kill}");
    assert!(kill.stderr.contains("is stopped") && kill.stderr.contains("permission denied"), "{kill}");
    assert!(!journal.with_file_name("journal.damaged-1").exists());
    mode(&journal, 0o600);
    let kill = user.orch(&["kill", "one"]);
    assert_eq!(kill.code, 0, "{kill}");
    assert_eq!(user.orch(&["list", "--json"]).json()["agents"][0]["state"], "killed");
}

#[test]
fn what_its_owner_cannot_read_keeps_the_worktree() {
    if !root_only("root can read everything") {
        return;
    }
    let house = House::new();
    let user = User::new(&house, 9);
    for (name, task, what) in [
        ("dir", "mkdir d; echo P > d/f; chmod 000 d", "d/"),
        ("blind", "mkdir d; echo P > d/f; chmod 300 d", "d/"),
        ("below", "mkdir -p d/e; echo P > d/e/f; chmod 000 d/e", "d/e"),
        ("nested", "git init -q n; cd n; echo P > f; git add f; git commit -qm c; chmod 000 .", "n"),
        ("root", "echo P > f; chmod 300 .", ""),
    ] {
        let run = user.orch(&["run", "--agent-cli", "sh", "--name", name, task]);
        let shown = user.orch(&["show", name, "--json"]).json()["agent"].clone();
        assert!(
            shown["not_saved"].to_string().contains(what.trim_end_matches('/')),
            "{name}: {run} {shown:#}"
        );
        for words in [&["clean", name, "--dry-run"][..], &["clean", name]] {
            let done = user.orch(words);
            assert!(done.code != 0 && done.code != 70, "{name}: {done}");
        }
        assert!(PathBuf::from(shown["worktree"].as_str().unwrap()).exists(), "{name}");
    }
    // Its owner can open it again.
    let done = user.orch(&["clean", "dir"]);
    assert!(done.stderr.contains('d'), "{done}");
    let open = user.orch(&["show", "dir", "--json"]).json()["agent"]["worktree"].as_str().unwrap().to_owned();
    fs::set_permissions(PathBuf::from(open).join("d"), fs::Permissions::from_mode(0o755)).unwrap();
    let done = user.orch(&["clean", "dir"]);
    assert_eq!(done.code, 0, "{done}");
}
