//! Places at which a process can be made to die, so that `shell/sweep` can die at each: debug builds only.
//!
//! A process counts the points that it passes. With `AI_ORCH_CRASH_LOG` naming a file it writes each to it, as a line
//! `role pid n what`; with `AI_ORCH_CRASH=role:n` it kills itself at its n-th point if that is its role, with
//! `AI_ORCH_CRASH=role:n:stop` it stops there, to be killed by others or to go on. A release build holds nothing of this.

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::process::{Signal, getpid, kill_process};
use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// The variables that a keeper must find as the verb found them, and an agent must never find.
pub const VARIABLES: [&str; 2] = ["AI_ORCH_CRASH", "AI_ORCH_CRASH_LOG"];

static ROLE: OnceLock<String> = OnceLock::new();
static ORDERS: OnceLock<Option<Orders>> = OnceLock::new();
static PASSED: AtomicU32 = AtomicU32::new(0);

/// What the two variables say.
struct Orders {
    log: Option<OwnedFd>,
    /// The role, the number of the point, and the signal that the process sends itself there.
    die: Option<(String, u32, Signal)>,
}

impl Orders {
    #[expect(clippy::disallowed_methods, reason = "no setting: known to debug builds and to nobody else")]
    fn read() -> Option<Self> {
        let [die, log] = VARIABLES.map(|name| std::env::var_os(name).filter(|value| !value.is_empty()));
        if die.is_none() && log.is_none() {
            return None;
        }
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC;
        let log = log.and_then(|path| openat(CWD, Path::new(&path), flags, Mode::RUSR | Mode::WUSR).ok());
        let die = die.and_then(|text| {
            let (role, n) = text.to_str()?.split_once(':')?;
            let (n, signal) =
                n.strip_suffix(":stop").map_or((n, Signal::KILL), |number| (number, Signal::STOP));
            Some((role.to_owned(), n.parse().ok()?, signal))
        });
        Some(Self { log, die })
    }
}

/// Says once what this process is: the verb that was typed, `keeper` or `exec`.
pub fn role(name: &str) {
    if cfg!(debug_assertions) {
        ROLE.set(name.to_owned()).ok();
    }
}

/// A point: `what` is about to be done, or has just been done.
#[inline]
pub fn point<T: Display>(what: impl FnOnce() -> T) {
    if cfg!(debug_assertions)
        && let (Some(role), Some(orders)) = (ROLE.get(), ORDERS.get_or_init(Orders::read))
    {
        let n = PASSED.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some(log) = &orders.log {
            let line = format!("{role} {} {n} {}\n", std::process::id(), what());
            // In one piece, because others write to it as well. Without it the sweep notices that a line is missing.
            rustix::io::write(log, line.as_bytes()).ok();
        }
        if let Some((_, _, signal)) = orders.die.as_ref().filter(|(whose, at, _)| whose == role && *at == n) {
            kill_process(getpid(), *signal).ok();
        }
    }
}

/// How a path is called in the name of a point: its last two parts, which are the same in every run.
pub fn short(path: &Path) -> String {
    let parts: Vec<_> = path.iter().rev().take(2).map(OsStr::to_string_lossy).collect();
    parts.into_iter().rev().collect::<Vec<_>>().join("/")
}

/// The two variables as this process has them: for a child of ours whose environment is made anew.
#[expect(clippy::disallowed_methods, reason = "no setting: known to debug builds and to nobody else")]
pub fn handed_on() -> Vec<(&'static str, OsString)> {
    if !cfg!(debug_assertions) {
        return Vec::new();
    }
    VARIABLES.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))).collect()
}
