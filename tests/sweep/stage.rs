//! The world in which something dies: a user's repository with all that must not change, agents that keep a ledger
//! outside their worktrees, and an agent of another repository that goes on all the while.

use crate::forge::Forge;
use crate::house::{House, eventually};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// The session that everything is done to.
pub const VICTIM: &str = "victim";
/// The session that nothing may happen to.
pub const BYSTANDER: &str = "bystander";

/// The branch that results are merged into, checked out in a worktree of this name.
pub const LANDING: &str = "landing";

/// Files with what is in them.
pub type Files = BTreeMap<PathBuf, Vec<u8>>;

/// One world.
pub struct Stage {
    pub house: House,
    before: Mutex<Files>,
    bystander: Option<Bystander>,
}

/// The agent that is none of our business.
struct Bystander {
    journal: Vec<u8>,
    record: PathBuf,
    pids: Vec<i32>,
}

/// The beginning of an agent's script: one at work in a worktree, or a clash. Nor does it know what a keeper dies of.
const AT_WORK: &str = r#"
! env | grep -q '^AI_ORCH_CRASH' || echo "clash: an agent was handed what crashes its keeper" >>"$H/ledger"
exec 9>>"$H/busy.$AI_ORCH_SESSION"
# Only its own code says that somebody has the lock: the one who asks may be killed as well.
until flock -n -E 75 9; do
    [ $? -ne 75 ] || { echo "clash $AI_ORCH_SESSION $AI_ORCH_ATTEMPT $$" >>"$H/ledger"; break; }
done
echo "start $AI_ORCH_SESSION $AI_ORCH_ATTEMPT $$" >>"$H/ledger"
"#;
const ENDED: &str = r#"
echo "$AI_ORCH_ATTEMPT_ID" >"made.$AI_ORCH_SESSION.$AI_ORCH_ATTEMPT"
echo "$AI_ORCH_ATTEMPT_ID, ignored" >"note-$AI_ORCH_ATTEMPT.ignored"
echo "made $AI_ORCH_SESSION $AI_ORCH_ATTEMPT $AI_ORCH_ATTEMPT_ID" >>"$H/ledger"
echo "end $AI_ORCH_SESSION $AI_ORCH_ATTEMPT $$" >>"$H/ledger"
"#;
const WORK: &str = r#"
echo "$AI_ORCH_SESSION" >"work.$AI_ORCH_SESSION.txt"
mkdir -p deep/er && echo new >deep/er/file
echo more >>README.md
"#;

impl Stage {
    /// A stage on which nothing has happened yet; with somebody who must not notice anything, if wanted.
    pub fn new(bystander: bool) -> Self {
        Self::in_house(House::new(), bystander)
    }

    /// The same, in a house that is there.
    pub fn in_house(house: House, bystander: bool) -> Self {
        furnish(&house);
        agents(&house);
        let bystander = bystander.then(|| enter_bystander(&house));
        let before = Mutex::new(mine(&house));
        Self { house, before, bystander }
    }

    /// What the bystander's processes are, the server's among them.
    pub fn allowed(&self) -> &[i32] {
        self.bystander.as_ref().map_or(&[], |b| &b.pids)
    }

    /// A validation that says in the ledger that it ran.
    pub fn validation(&self) -> String {
        let house = self.house.path("");
        format!(
            "echo \"valid $AI_ORCH_SESSION $AI_ORCH_ATTEMPT_ID\" >>{}/ledger; test -s work.$AI_ORCH_SESSION.txt",
            house.display()
        )
    }

    /// The lines of the ledger, each as its words.
    pub fn ledger(&self) -> Vec<Vec<String>> {
        let text = fs::read_to_string(self.house.path("ledger")).unwrap_or_default();
        text.lines().map(|line| line.split(' ').map(str::to_owned).collect()).collect()
    }

    /// The names that are reserved, with their records; those of the bystander left out.
    pub fn names(&self) -> Vec<(String, PathBuf)> {
        let dir = self.state().join("names");
        let mut found = Vec::new();
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let name = entry.file_name().into_string().unwrap();
            if let Ok(to) = fs::read_link(entry.path())
                && name != BYSTANDER
            {
                found.push((name, dir.join(to)));
            }
        }
        found.sort();
        found
    }

    /// The record of every agent that there ever was.
    pub fn records(&self) -> Vec<PathBuf> {
        let below =
            |dir: PathBuf| fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut found: Vec<PathBuf> =
            below(self.state()).flat_map(|project| below(project.join("agents"))).collect();
        found.sort();
        found
    }

    /// Where the state lies.
    pub fn state(&self) -> PathBuf {
        self.house.path("home/.local/state/ai_orch")
    }

    /// The user puts a file into the repository, which is his from then on.
    pub fn put(&self, name: &str, text: &str) {
        fs::write(self.house.repo().join(name), text).unwrap();
        *self.before.lock().unwrap() = mine(&self.house);
    }

    /// What is different from what it was before, of all that is not ours to change.
    pub fn changed(&self) -> Vec<String> {
        let (now, before) = (mine(&self.house), self.before.lock().unwrap());
        let mut wrong = Vec::new();
        for path in before.keys().chain(now.keys()).collect::<std::collections::BTreeSet<_>>() {
            match (before.get(path), now.get(path)) {
                (Some(a), Some(b)) if a == b => {}
                (Some(_), Some(_)) => wrong.push(format!("{} was changed", path.display())),
                (Some(_), None) => wrong.push(format!("{} is gone", path.display())),
                (None, _) => wrong.push(format!("{} is new", path.display())),
            }
        }
        wrong
    }

    /// What happened to the bystander.
    pub fn disturbed(&self) -> Vec<String> {
        let Some(bystander) = &self.bystander else { return Vec::new() };
        let mut wrong = Vec::new();
        if fs::read(bystander.record.join("journal")).ok().as_ref() != Some(&bystander.journal) {
            wrong.push("the journal of an agent of another repository was changed".to_owned());
        }
        for pid in &bystander.pids {
            if !Path::new(&format!("/proc/{pid}/stat")).exists() {
                wrong.push(format!("process {pid} of an agent of another repository has ended"));
            }
        }
        let listed = self.house.listed(BYSTANDER);
        if listed["state"] != "working" || listed["remarks"].as_array().is_some_and(|r| !r.is_empty()) {
            wrong
                .push(format!("an agent of another repository is {} {}", listed["state"], listed["remarks"]));
        }
        wrong
    }
}

/// The entries of a journal, oldest first. A torn last line is left out.
pub fn journal(record: &Path) -> Vec<Value> {
    let text = fs::read(record.join("journal")).unwrap_or_default();
    String::from_utf8_lossy(&text)
        .lines()
        .filter_map(|line| serde_json::from_str(line.get(9..)?).ok())
        .collect()
}

/// What a user has: work in progress of every kind, and other people's things beside ours.
fn furnish(house: &House) {
    let repo = house.repo();
    let git = |words: &[&str]| house.git(words);
    fs::write(repo.join(".gitignore"), "*.ignored\n").unwrap();
    // So many that a worktree is filled by copying them.
    fs::create_dir(repo.join("many")).unwrap();
    for n in 0..70 {
        fs::write(repo.join(format!("many/{n}.txt")), format!("{n}\n")).unwrap();
    }
    git(&["add", "."]);
    git(&["commit", "-q", "-m", "ignore"]);
    fs::write(repo.join("README.md"), "stashed\n").unwrap();
    git(&["stash", "push", "-q"]);
    git(&["branch", "keep-me"]);
    git(&["branch", "release/1"]);
    git(&["worktree", "add", "-q", "-b", "foreign", house.path("foreign").to_str().unwrap()]);
    git(&["config", "user.nickname", "somebody"]);
    // What results are merged into, and pushed to.
    git(&["worktree", "add", "-q", "-b", LANDING, house.path(LANDING).to_str().unwrap()]);
    let _host = Forge::new(house);
    fs::write(repo.join("staged.txt"), "staged\n").unwrap();
    git(&["add", "staged.txt"]);
    fs::write(repo.join("README.md"), "edited\n").unwrap();
    fs::write(repo.join("untracked.txt"), "untracked\n").unwrap();
    fs::write(repo.join("big.ignored"), "ignored\n").unwrap();
    fs::write(repo.join(".git/info/exclude"), "mine\n").unwrap();
    fs::write(house.path("foreign/theirs.txt"), "theirs\n").unwrap();
    let data = house.path("home/.local/share/ai_orch");
    fs::create_dir_all(&data).unwrap();
    fs::write(data.join("mine.txt"), "mine\n").unwrap();
}

/// Fake agent CLIs.
fn agents(house: &House) {
    let add = |name: &str, script: &str| {
        house.cli(name, &format!("H='{}'\n{script}", house.path("").display()));
        house.profile(name, &format!("name = \"{name}\"\ncommand = \"{name}\"\nstop_grace = 1\n"));
    };
    add("faulty", &format!("{AT_WORK}echo half >half.txt\n{ENDED}exit 3"));
    add("worker", &format!("{AT_WORK}{WORK}{ENDED}"));
    // Whose work goes on for ever the first time, and is soon done the next.
    let slow = format!(
        "{AT_WORK}if mkdir \"$H/slow.$AI_ORCH_SESSION\" 2>/dev/null; then\necho partial >partial.txt\n: >\"$H/ready.$AI_ORCH_SESSION\"\nsleep 1000 &\nwait\nfi\n{WORK}{ENDED}"
    );
    add("slow", &slow);
    // Commits itself, and leaves some of it uncommitted.
    add(
        "committer",
        &format!("{AT_WORK}{WORK}git add -A && git commit -qm mine\necho later >later.txt\n{ENDED}"),
    );
    // Does what it may not do.
    let tries = "git branch -f release/1 HEAD; git update-ref refs/heads/main HEAD; git push -q origin HEAD:main; git push -q -f origin HEAD:keep-me\n";
    add("mover", &format!("{AT_WORK}{WORK}git add -A && git commit -qm mine\n{tries}{ENDED}"));
    // Asks for another agent first.
    add("parent", &format!("{AT_WORK}{}{WORK}{ENDED}", crate::family::ASKS));
    // Leaves a daemon of its own session and without our environment behind.
    add("daemons", &format!("{AT_WORK}{WORK}setsid sh -c 'sleep 1000 & sleep 1000' 9>&- &\n{ENDED}"));
    add("idler", ": >\"$H/idle\"\nexec sleep 100000");
}

/// Starts the agent that nothing may happen to, in a repository of its own.
fn enter_bystander(house: &House) -> Bystander {
    let other = house.path("other");
    house.make_repository(&other);
    let started = house
        .orch(["run", "--detach", "--agent-cli", "idler", "--name", BYSTANDER, "idle"])
        .dir(&other)
        .run();
    assert_eq!(started.code, 0, "{started}");
    eventually("the bystander is there", || house.path("idle").exists().then_some(()));
    fs::write(house.path("home/.local/state/ai_orch/names/README"), "not a name\n").unwrap();
    let record = house.record(BYSTANDER);
    // While it becomes its program a process cannot be told by its environment.
    let pids = eventually("the bystander is at rest", || {
        let all = house.processes();
        let at_rest = all.iter().any(|(_, words)| words.starts_with("sleep"))
            && !all.iter().any(|(_, words)| words.contains("__exec") || words.contains("/git "));
        at_rest.then(|| all.into_iter().map(|(pid, _)| pid).collect())
    });
    Bystander { journal: fs::read(record.join("journal")).unwrap(), record, pids }
}

/// Everything of the user's that nobody may change.
fn mine(house: &House) -> Files {
    let mut files = Files::new();
    for name in ["repo", "foreign", "other"] {
        collect(&house.path(name), &mut files);
    }
    for name in ["home/.local/share/ai_orch/mine.txt", "home/.local/state/ai_orch/names/README"] {
        if let Ok(bytes) = fs::read(house.path(name)) {
            files.insert(house.path(name), bytes);
        }
    }
    files
}

/// Every file below `dir`, but for what the program may write of a repository.
fn collect(dir: &Path, files: &mut Files) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let text = path.to_string_lossy().into_owned();
        let ours =
            [".git/objects", ".git/refs/heads/ai_orch", ".git/logs/refs/heads/ai_orch", ".git/refs/ai_orch"];
        let our_entry = text.contains(".git/worktrees/") && !text.contains(".git/worktrees/foreign");
        let our_entry = our_entry || text.ends_with(&format!("heads/{LANDING}"));
        // Of a git of ours that was killed; `check::repository` says when it must be gone.
        let our_entry = our_entry || text.ends_with("repo/.git/packed-refs.lock");
        if ours.iter().any(|end| text.ends_with(end)) || our_entry {
            continue;
        }
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            collect(&path, files);
        } else if kind.is_symlink() {
            files.insert(path.clone(), fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes());
        } else if let Ok(bytes) = fs::read(&path) {
            files.insert(path, bytes);
        }
    }
}
