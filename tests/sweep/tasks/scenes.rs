//! What is there before, and what is done: one row each.

use ai_orch::a2a::Result;
use ai_orch::a2a::tasks::{By, ClaimRequest, Tasks};
use ai_orch::a2a::worker::Worker;
use ai_orch::model::ids::{Party, Project, TaskId};
use ai_orch::model::places::Places;
use ai_orch::model::work::TaskSpec;
use ai_orch::tools::clock;
use std::cell::RefCell;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub fn project() -> Project {
    Project("p-01234567".to_owned())
}

pub fn places(dir: &Path) -> Places {
    let [root, state, data, config] = ["root", "state", "data", "config"].map(|name| dir.join(name));
    Places { root, state, data, config }
}

/// The tasks in `dir`; every change is told to the file `feed`.
pub fn tasks(dir: &Path) -> Result<Tasks> {
    let feed = dir.join("feed");
    let tell = move |change: &ai_orch::model::work::TaskChange| {
        let line = format!("{} {}\n", change.task, change.rev);
        let file = std::fs::OpenOptions::new().append(true).create(true).open(&feed);
        file.and_then(|mut file| file.write_all(line.as_bytes())).map_err(|source| {
            let path = feed.clone();
            ai_orch::tools::file::Error { action: "write", path, source }.into()
        })
    };
    Ok(Tasks::open(&places(dir), &project())?.with_feed(Arc::new(tell)))
}

/// The id of the operation that `act` is.
pub fn op_of(act: &str) -> String {
    act.replace(' ', "-").chars().take(100).collect()
}

/// One world.
pub struct World {
    dir: tempfile::TempDir,
    /// The worker `w`, if it lives.
    pub worker: RefCell<Option<Worker>>,
}

impl World {
    pub fn new() -> Self {
        // By this name the sweep of system calls knows what is ours.
        let dir = tempfile::Builder::new().prefix("orch").tempdir().unwrap();
        Self { dir, worker: RefCell::default() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn tasks(&self) -> Tasks {
        tasks(self.dir.path()).unwrap()
    }

    fn add(&self, after: &[TaskId]) -> TaskId {
        let id = TaskId(clock::new_id());
        let spec = TaskSpec { depends_on: after.to_vec(), ..TaskSpec::text(id, "c", "x") };
        self.tasks().create(spec, &By::from(Party::User)).unwrap();
        id
    }

    /// A task that `w` holds, which lives.
    fn held(&self) -> TaskId {
        let id = self.add(&[]);
        let mut worker = self.worker.borrow_mut();
        let worker = worker.get_or_insert_with(|| {
            Worker::begin(&places(self.dir.path()), &project(), &"w".parse().unwrap()).unwrap()
        });
        let by = By::from(Party::Worker(worker.name.clone()));
        let request = ClaimRequest { by, pid: Some(Worker::pid()), role: None, lease: None, id: Some(id) };
        self.tasks().claim(&request).unwrap().unwrap();
        id
    }

    fn end_worker(&self) {
        drop(self.worker.borrow_mut().take());
        // Whoever comes next is to look, however short ago somebody did.
        std::fs::remove_file(self.path("root/p-01234567/REAPED")).unwrap();
    }

    fn wipe(&self) {
        std::fs::remove_dir_all(self.path("root")).unwrap();
    }
}

/// A stage, and what is done on it.
pub struct Scene {
    /// What it is called.
    pub name: &'static str,
    /// Makes the stage; what the actor does.
    pub stage: fn(&World) -> String,
}

/// A task that `w` holds and that others wait for: one for it alone, one for that, one for it and another.
fn awaited(world: &World) -> TaskId {
    let id = world.held();
    let one = world.add(&[id]);
    world.add(&[one]);
    let other = world.add(&[]);
    world.add(&[id, other]);
    id
}

/// All of them.
pub const ALL: [Scene; 20] = [
    Scene { name: "create-first", stage: |_| format!("create {}", clock::new_id()) },
    Scene {
        name: "create",
        stage: |world| {
            world.add(&[]);
            format!("create {}", clock::new_id())
        },
    },
    Scene {
        name: "create-waiting",
        stage: |world| {
            let [a, b] = [world.held(), world.add(&[])];
            format!("create {} {a} {b}", clock::new_id())
        },
    },
    Scene {
        name: "create-rejected",
        stage: |world| {
            let a = world.add(&[]);
            world.tasks().cancel(a, &By::from(Party::User), None).unwrap();
            format!("create {} {a}", clock::new_id())
        },
    },
    Scene {
        name: "claim",
        stage: |world| {
            for _ in 0..3 {
                world.add(&[]);
            }
            "claim x".to_owned()
        },
    },
    Scene {
        name: "claim-dead",
        stage: |world| {
            world.held();
            world.end_worker();
            "claim x".to_owned()
        },
    },
    Scene { name: "tell", stage: |world| format!("tell {}", world.held()) },
    Scene { name: "say", stage: |world| format!("say {}", world.held()) },
    Scene { name: "say-ready", stage: |world| format!("say {}", world.add(&[])) },
    Scene { name: "artifact", stage: |world| format!("artifact {}", world.held()) },
    Scene { name: "complete", stage: |world| format!("complete {}", awaited(world)) },
    Scene { name: "fail", stage: |world| format!("fail {}", awaited(world)) },
    Scene { name: "release", stage: |world| format!("release {}", world.held()) },
    Scene { name: "cancel-held", stage: |world| format!("cancel {}", awaited(world)) },
    Scene { name: "cancel-ready", stage: |world| format!("cancel {}", world.add(&[])) },
    Scene {
        name: "cancel-waiting",
        stage: |world| {
            let waiting = world.add(&[world.held()]);
            world.add(&[waiting]);
            format!("cancel {waiting}")
        },
    },
    Scene {
        name: "renew",
        stage: |world| {
            world.held();
            "renew".to_owned()
        },
    },
    Scene {
        name: "reap",
        stage: |world| {
            awaited(world);
            world.held();
            world.end_worker();
            "reap".to_owned()
        },
    },
    Scene {
        name: "wiped",
        stage: |world| {
            awaited(world);
            world.wipe();
            "open".to_owned()
        },
    },
    Scene { name: "sync", stage: |world| format!("sync {}", world.held()) },
];
