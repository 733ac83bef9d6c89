//! Dying at system calls, and errors from them: by strace, which counts them and interferes at the k-th.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::process::Command;

/// Calls at which a verb is killed.
const DEADLY: [&str; 24] = [
    "openat",
    "write",
    "pwrite64",
    "rename",
    "renameat",
    "renameat2",
    "link",
    "linkat",
    "symlink",
    "symlinkat",
    "unlink",
    "unlinkat",
    "mkdir",
    "mkdirat",
    "fsync",
    "fdatasync",
    "flock",
    "ftruncate",
    "clone",
    "clone3",
    "vfork",
    "connect",
    "pidfd_send_signal",
    "read",
];
/// Those that a full disk fails.
const ROOM: [&str; 10] = [
    "openat",
    "write",
    "pwrite64",
    "mkdir",
    "mkdirat",
    "symlink",
    "symlinkat",
    "rename",
    "fsync",
    "fdatasync",
];
/// Those that a broken disk fails.
const DISK: [&str; 13] = [
    "openat",
    "write",
    "pwrite64",
    "ftruncate",
    "read",
    "mkdir",
    "symlink",
    "symlinkat",
    "rename",
    "unlink",
    "fsync",
    "fdatasync",
    "flock",
];

/// One interference.
#[derive(Debug, Clone)]
pub struct Injection {
    call: String,
    /// Which of the calls of this name, from 1.
    pub k: u32,
    /// `signal=KILL` or `error=ENOSPC`.
    how: &'static str,
    /// What it meets, for people.
    pub what: String,
}

impl fmt::Display for Injection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}@{}", self.call, self.k, self.how)
    }
}

impl Injection {
    /// The words before the verb.
    pub fn words(&self, trace: &Path) -> Vec<String> {
        let Self { call, k, how, .. } = self;
        let words = [
            "-y",
            "-qq",
            "-o",
            &trace.to_string_lossy(),
            "-e",
            &format!("trace={call}"),
            "-e",
            &format!("inject={call}:{how}:when={k}"),
        ];
        words.iter().map(|w| (*w).to_owned()).collect()
    }

    /// The words before a verb whose calls are listed.
    pub fn listing(trace: &Path) -> Vec<String> {
        let calls = DEADLY.map(|call| format!("?{call}")).join(",");
        let words = ["-y", "-qq", "-s", "0", "-o", &trace.to_string_lossy(), "-e", &format!("trace={calls}")];
        words.iter().map(|w| (*w).to_owned()).collect()
    }
}

/// Whether strace is there and may trace.
pub fn can_trace() -> bool {
    Command::new("strace").args(["-o", "/dev/null", "true"]).output().is_ok_and(|o| o.status.success())
}

/// Everything that can be done to the calls in `trace` that are about files of the house; with `around`, only from the first
/// to the last of the lines that have this in them.
pub fn injections(trace: &str, around: Option<&str>) -> Vec<Injection> {
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    let mut found = Vec::new();
    let has = |line: &str| around.is_none_or(|what| line.contains(what));
    let lines: Vec<&str> = trace.lines().collect();
    let first = lines.iter().position(|line| has(line)).unwrap_or(lines.len());
    let last = lines.iter().rposition(|line| has(line)).unwrap_or(0);
    for (at, line) in lines.into_iter().enumerate() {
        let Some((call, rest)) = line.split_once('(') else { continue };
        let Some(call) = DEADLY.iter().find(|known| **known == call).copied() else { continue };
        let k = counts.entry(call).and_modify(|n| *n += 1).or_insert(1);
        // What is read while the program is loaded, and the terminal, is not ours to fail.
        let path = rest.strip_prefix("AT_FDCWD<").and_then(|rest| Some(rest.split_once(">, ")?.1));
        let in_house = path.unwrap_or(rest).contains("/orch");
        let writes = rest.contains("O_CREAT") || rest.contains("O_TRUNC");
        let what: String = line.chars().take(160).collect();
        let mut add = |how| {
            if !(first..=last).contains(&at) {
                return;
            }
            found.push(Injection { call: call.to_owned(), k: *k, how, what: format!("{how} at {what}") });
        };
        let by_descriptor = matches!(call, "read" | "openat");
        if call != "read" && (call != "openat" || (writes && in_house)) {
            add("signal=KILL");
        }
        if ROOM.contains(&call) && in_house && (call != "openat" || writes) {
            add("error=ENOSPC");
        }
        if DISK.contains(&call) && (in_house || !by_descriptor && call != "write") {
            add("error=EIO");
        }
    }
    found
}
