//! Processes by an identity that is never used twice, found by what they cannot shake off, ended for certain.
//!
//! A pid alone proves nothing: it is used again, and a zombie answers signals. So a process is a [`ProcessId`] (pid,
//! start time, boot), it is signalled through a pidfd whose identity was checked after opening, and its end is the
//! pidfd's.
#![expect(
    clippy::disallowed_methods,
    reason = "/proc is no disk: a file that is gone is a process that ended"
)]

use super::crash;
use crate::model::ids::ProcessId;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal};
use rustix::time::Timespec;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// A question about a process that got no answer.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action}: {source}")]
pub struct Error {
    /// What was tried.
    pub action: String,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

impl Error {
    fn new(action: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self { action: action.into(), source: source.into() }
    }

    /// A word that does not change, for programs.
    pub fn code(&self) -> &'static str {
        "process"
    }

    /// What to type next.
    pub fn hint(&self) -> Option<String> {
        Some("ai_orch doctor".to_owned())
    }
}

/// Result of a question about processes.
pub type Result<T> = std::result::Result<T, Error>;

/// How many lists of processes must be without anybody until nobody is left.
const LISTS: u32 = 2;
/// How long processes that are about to become other programs, or to end, may take until it is known where they belong.
const BECOMING: Duration = Duration::from_millis(500);

/// What an environment usually takes at most, in bytes.
const ENVIRON: usize = 64 << 10;

const EMFILE: i32 = rustix::io::Errno::MFILE.raw_os_error();
const ENFILE: i32 = rustix::io::Errno::NFILE.raw_os_error();

/// The fields of `/proc/<pid>/stat` that we use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    zombie: bool,
    parent: i32,
    group: i32,
    session: i32,
    start: u64,
    /// It has an environment, with nothing in it; or it is a thread of the kernel.
    bare: bool,
}

/// `PF_KTHREAD` in the flags of a process: proc_pid_stat(5), and `include/linux/sched.h` of Linux.
const KERNEL_THREAD: u32 = 0x0020_0000;

fn stat(pid: i32) -> Result<Option<Stat>> {
    // The kernel writes such a file anew for each read, and none of its fields is long: one read takes all of it.
    let mut bytes = [0; 1024];
    match fs::File::open(format!("/proc/{pid}/stat")).and_then(|mut file| file.read(&mut bytes)) {
        Ok(n) => Ok(parse_stat(bytes.get(..n).unwrap_or_default())),
        // ESRCH: it ended between open and read.
        Err(e) if e.kind() == io::ErrorKind::NotFound || e.raw_os_error() == Some(3) => Ok(None),
        Err(e) => Err(Error::new(format!("look at process {pid}"), e)),
    }
}

/// The command name in the second field may hold spaces and parentheses; the fields behind its last `)` are plain.
fn parse_stat(bytes: &[u8]) -> Option<Stat> {
    let close = bytes.iter().rposition(|b| *b == b')')?;
    let text = std::str::from_utf8(bytes.get(close + 1..)?).ok()?;
    let fields: Vec<&str> = text.split_ascii_whitespace().collect();
    Some(Stat {
        // One whose first thread has ended shows Z while its others still run, and hold its files and locks.
        zombie: matches!(*fields.first()?, "Z" | "X" | "x") && fields.get(17)?.parse::<u32>().ok()? <= 1,
        parent: fields.get(1)?.parse().ok()?,
        group: fields.get(2)?.parse().ok()?,
        session: fields.get(3)?.parse().ok()?,
        start: fields.get(19)?.parse().ok()?,
        bare: fields.get(6)?.parse::<u32>().ok()? & KERNEL_THREAD != 0 || bare(&fields).unwrap_or(false),
    })
}

/// Whether a process was given an environment, with nothing in it. Where its code ends is known (and more than the 1 of a process that we
/// may not look at) once it has got its arguments and environment: `load_elf_binary` in `fs/binfmt_elf.c` of Linux.
fn bare(fields: &[&str]) -> Option<bool> {
    let [code_end, from, to] = [fields.get(24)?, fields.get(47)?, fields.get(48)?];
    Some(!["0", "1"].contains(code_end) && from == to && *to != "0")
}

/// The id of the present boot.
pub fn boot() -> Result<String> {
    // Asked once: no process of ours survives a boot.
    static BOOT: OnceLock<String> = OnceLock::new();
    if let Some(boot) = BOOT.get() {
        return Ok(boot.clone());
    }
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|s| s.trim().to_owned())
        .map_err(|e| Error::new("read the boot id", e))?;
    Ok(BOOT.get_or_init(|| boot).clone())
}

/// The process that has `pid` now; `None` if none has, or only a zombie.
pub fn identify(pid: i32) -> Result<Option<ProcessId>> {
    match stat(pid)? {
        Some(s) if !s.zombie => Ok(Some(ProcessId { pid, start: s.start, boot: boot()? })),
        _ => Ok(None),
    }
}

/// This process.
pub fn me() -> Result<ProcessId> {
    let pid = i32::try_from(std::process::id()).unwrap_or(0);
    identify(pid)?
        .ok_or_else(|| Error::new("find this process in /proc", io::Error::from(io::ErrorKind::NotFound)))
}

/// The umask of this process; `None` if the kernel does not tell.
pub fn umask() -> Option<u32> {
    // Asking by the system call means changing it for a moment, for every thread.
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let mask = status.lines().find_map(|line| line.strip_prefix("Umask:"))?;
    u32::from_str_radix(mask.trim(), 8).ok()
}

/// Sets the umask of this process and of what it starts.
pub fn set_umask(mask: u32) {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(mask & 0o777));
}

/// Makes this process end when its parent does.
pub fn end_with_parent() {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).ok();
}

/// Makes this process, and what it starts, one that runs when nobody else wants to: in a session of its own, because the kernel
/// shares processors out among sessions first.
pub fn stand_back() {
    // Whatever of it the system refuses, the work is the same.
    rustix::process::setsid().ok();
    rustix::process::setpriority_process(None, LAST).ok();
    fs::write("/proc/self/autogroup", LAST.to_string()).ok();
}

/// A tenth of what a process or a session gets that asks for nothing: nice(2), sched(7). With the least, a seventieth, it would be
/// at it for minutes on a busy machine.
const LAST: i32 = 10;

/// How many processors have nothing to do at this moment, the one that asks included: at least 1.
pub fn idle_processors() -> usize {
    let all = std::thread::available_parallelism().map_or(1, usize::from);
    idle_of(all, &fs::read_to_string("/proc/loadavg").unwrap_or_default())
}

/// `load` is a line of /proc/loadavg (proc_loadavg(5)); what it does not tell counts as idle.
fn idle_of(all: usize, load: &str) -> usize {
    let running = load.split_ascii_whitespace().nth(3).and_then(|field| field.split_once('/'));
    let running = running.and_then(|(running, _)| running.parse::<usize>().ok()).unwrap_or(1);
    all.saturating_sub(running.saturating_sub(1)).max(1)
}

/// The running process whose command line is a program, then `words`.
pub fn started_as(words: &[&OsStr]) -> Result<Option<ProcessId>> {
    for pid in pids()? {
        let Some(said) = command_line(pid) else { continue };
        if said.iter().skip(1).eq(words) {
            return identify(pid);
        }
    }
    Ok(None)
}

/// Whether `process` still runs. A zombie does not.
pub fn is_alive(process: &ProcessId) -> Result<bool> {
    Ok(boot()? == process.boot && runs(process)?)
}

/// Like [`is_alive`], for a process of this boot.
fn runs(process: &ProcessId) -> Result<bool> {
    Ok(stat(process.pid)?.is_some_and(|s| !s.zombie && s.start == process.start))
}

/// A handle to `process` that becomes readable when it ends; `None` if it has ended.
pub fn handle(process: &ProcessId) -> Result<Option<OwnedFd>> {
    let Some(pid) = Pid::from_raw(process.pid) else { return Ok(None) };
    let fd = match pidfd_open(pid, PidfdFlags::NONBLOCK) {
        Ok(fd) => fd,
        Err(rustix::io::Errno::SRCH) => return Ok(None),
        Err(e) => return Err(Error::new(format!("watch process {}", process.pid), e)),
    };
    // Only now is the identity behind the handle fixed; before, the pid could have passed to another process.
    Ok(is_alive(process)?.then_some(fd))
}

/// Sends `signal` to `process`; false if it has ended.
pub fn signal(process: &ProcessId, signal: Signal) -> Result<bool> {
    let Some(fd) = handle(process)? else { return Ok(false) };
    crash::point(|| format!("send signal {}", signal.as_raw()));
    match pidfd_send_signal(&fd, signal) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::SRCH) => Ok(false),
        Err(e) => Err(Error::new(format!("signal process {}", process.pid), e)),
    }
}

/// Waits until `process` has ended, at most `limit`; whether it has.
pub fn wait_for_end(process: &ProcessId, limit: Duration) -> Result<bool> {
    let deadline = Instant::now() + limit;
    let Some(fd) = handle(process)? else { return Ok(true) };
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let time = Timespec::try_from(left)
            .map_err(|_| Error::new("wait", io::Error::from(io::ErrorKind::InvalidInput)))?;
        match poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&time)) {
            Ok(0) if left.is_zero() => return Ok(false),
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => return Ok(true),
            Err(e) => return Err(Error::new(format!("wait for process {}", process.pid), e)),
        }
    }
}

/// Completes when `process` has ended.
pub async fn end_of(process: &ProcessId) -> Result<()> {
    let Some(fd) = handle(process)? else { return Ok(()) };
    let error = |e| Error::new(format!("watch process {}", process.pid), e);
    #[expect(deprecated, reason = "its successor needs unsafe code; an OwnedFd is the case that is sound")]
    let fd = tokio::io::unix::AsyncFd::with_interest(fd, tokio::io::Interest::READABLE).map_err(error)?;
    fd.readable().await.map(drop).map_err(error)
}

/// The signal that wakes a keeper: one that ends nobody who does not know it.
pub const BELL: Signal = Signal::URG;

/// Every pid of the machine that we may see.
fn pids() -> Result<Vec<i32>> {
    let entries = fs::read_dir("/proc").map_err(|e| Error::new("list /proc", e))?;
    Ok(entries.filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok()).collect())
}

/// The running processes that hold one of `variables` (`NAME=value`) in the environment they were started with, or
/// belong to the session that `leader` leads or led. Processes of other users cannot be read and are not ours.
pub fn belonging(variables: &[String], leader: Option<&ProcessId>) -> Result<Vec<ProcessId>> {
    let boot = boot()?;
    let becoming = Instant::now() + BECOMING;
    let mut environ = vec![0; ENVIRON];
    let mut seen = Vec::new();
    for pid in pids()? {
        let Some(s) = stat(pid)? else { continue };
        let marked = !s.zombie && environ_holds(pid, variables, becoming, &mut environ)?;
        seen.push(Seen { pid, stat: s, marked });
    }
    let session = leader.filter(|l| l.boot == boot && is_its_session(&seen, l)).map(|l| l.pid);
    let ours = |one: &&Seen| !one.stat.zombie && (one.marked || session == Some(one.stat.session));
    let id = |one: &Seen| ProcessId { pid: one.pid, start: one.stat.start, boot: boot.clone() };
    Ok(seen.iter().filter(ours).map(id).collect())
}

/// A process, in a list of all.
struct Seen {
    pid: i32,
    stat: Stat,
    /// Whether it holds a mark.
    marked: bool,
}

/// Whether the session with the number of `leader` is the one that it led. The kernel gives a pid away again only when nobody is left in
/// the session of that number; then it may be a stranger's. What proves that it is ours is the leader, or a mark in it.
fn is_its_session(seen: &[Seen], leader: &ProcessId) -> bool {
    match seen.iter().find(|one| one.pid == leader.pid) {
        Some(there) => there.stat.start == leader.start,
        None => seen.iter().any(|one| one.marked && one.stat.session == leader.pid),
    }
}

/// Whether the environment of `pid` holds one of `variables`. While a process becomes another program it has none, and neither has one that
/// ends but still holds its files and locks; that is waited for, until `becoming`.
fn environ_holds(pid: i32, variables: &[String], becoming: Instant, buffer: &mut Vec<u8>) -> Result<bool> {
    loop {
        let env = match environ(pid, buffer) {
            Ok(env) => env,
            // Without a descriptor to look with, nobody may say that nothing runs.
            Err(e) if matches!(e.raw_os_error(), Some(EMFILE | ENFILE)) => {
                return Err(Error::new(format!("look at process {pid}"), e));
            }
            // Of another user, or just ended.
            Err(_) => return Ok(false),
        };
        if !env.is_empty() {
            return Ok(env.split(|b| *b == 0).any(|v| variables.iter().any(|wanted| v == wanted.as_bytes())));
        }
        match stat(pid)? {
            Some(s) if !s.zombie && !s.bare && Instant::now() < becoming => {}
            _ => return Ok(false),
        }
        // Nobody tells when it is there.
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The environment of `pid`, read at once: a process that becomes another program ends the reading in the middle.
fn environ(pid: i32, buffer: &mut Vec<u8>) -> io::Result<&[u8]> {
    loop {
        let length = fs::File::open(format!("/proc/{pid}/environ"))?.read(buffer)?;
        if length < buffer.len() {
            return Ok(buffer.get(..length).unwrap_or_default());
        }
        buffer.resize(2 * length, 0);
    }
}

/// Whether a process that runs is a child of `process`.
pub fn has_children(process: &ProcessId) -> Result<bool> {
    for pid in pids()? {
        if stat(pid)?.is_some_and(|s| s.parent == process.pid && !s.zombie) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Kills the process group whose number is `leader`, a child that is not reaped yet, and waits until nobody of it runs.
pub(super) fn end_group(leader: Pid, limit: Duration) -> Result<()> {
    let number = leader.as_raw_nonzero().get();
    let end = Instant::now() + limit;
    loop {
        if let Err(error) = kill_process_group(leader, Signal::KILL)
            && error != rustix::io::Errno::SRCH
        {
            return Err(Error::new(format!("end the process group {number}"), error));
        }
        let mut left = Vec::new();
        for pid in pids()? {
            if stat(pid)?.is_some_and(|s| s.group == number && !s.zombie) {
                left.extend(identify(pid)?);
            }
        }
        let Some(first) = left.first() else { return Ok(()) };
        if !wait_for_end(first, end.saturating_duration_since(Instant::now()))? {
            return Err(Error::new(
                format!("end the process group {number}"),
                io::Error::from(io::ErrorKind::TimedOut),
            ));
        }
    }
}

/// The running processes, of whatever user, whose program has a name (as /proc/pid/comm has it) that is `wanted`.
pub fn called(wanted: impl Fn(&str) -> bool) -> Result<Vec<ProcessId>> {
    let boot = boot()?;
    let mut found = Vec::new();
    for pid in pids()? {
        // Without a name it has just ended.
        let Ok(name) = fs::read_to_string(format!("/proc/{pid}/comm")) else { continue };
        if wanted(name.trim_end())
            && let Some(s) = stat(pid)?.filter(|s| !s.zombie)
        {
            found.push(ProcessId { pid, start: s.start, boot: boot.clone() });
        }
    }
    Ok(found)
}

/// The command line of a process; `None` if it has ended, or may not be looked at.
pub fn words(process: &ProcessId) -> Option<Vec<OsString>> {
    let words = command_line(process.pid)?;
    is_alive(process).ok()?.then_some(words)
}

fn command_line(pid: i32) -> Option<Vec<OsString>> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words = line.strip_suffix(&[0]).unwrap_or(&line).split(|b| *b == 0);
    Some(words.map(|word| OsStr::from_bytes(word).to_owned()).collect())
}

/// Whether a process has the file at `path` open; those that we may not look at are passed over.
pub fn has_open(path: &std::path::Path) -> Result<bool> {
    let open = |pid: i32| {
        let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
        files.flatten().any(|file| fs::read_link(file.path()).is_ok_and(|target| target == path))
    };
    Ok(pids()?.into_iter().any(open))
}

/// The running descendants of this process, children first. A sub-reaper's descendants are all that its children ever
/// started, daemons included.
pub fn descendants() -> Result<Vec<ProcessId>> {
    below(i32::try_from(std::process::id()).unwrap_or(0))
}

/// `process` and its running descendants; nobody once it has ended, for nothing tells then whose they were.
pub fn family(process: &ProcessId) -> Result<Vec<ProcessId>> {
    if !is_alive(process)? {
        return Ok(Vec::new());
    }
    Ok([process.clone()].into_iter().chain(below(process.pid)?).collect())
}

fn below(ancestor: i32) -> Result<Vec<ProcessId>> {
    let boot = boot()?;
    let mut all = Vec::new();
    for pid in pids()? {
        if let Some(s) = stat(pid)? {
            all.push((pid, s));
        }
    }
    let mut wanted = vec![ancestor];
    let mut found = Vec::new();
    let mut next = 0;
    while let Some(parent) = wanted.get(next).copied() {
        for (pid, s) in &all {
            if s.parent == parent && !wanted.contains(pid) {
                wanted.push(*pid);
                if !s.zombie {
                    found.push(ProcessId { pid: *pid, start: s.start, boot: boot.clone() });
                }
            }
        }
        next += 1;
    }
    Ok(found)
}

/// The children of this process, those that have ended and wait to be collected included. One that ends while we look may be
/// missed: it rings for itself.
fn children() -> Result<Vec<i32>> {
    let tasks = fs::read_dir("/proc/self/task").map_err(|e| Error::new("list /proc/self/task", e))?;
    let lists: Vec<String> =
        tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok()).collect();
    if lists.is_empty() {
        // A kernel that does not tell: it may be any process.
        return pids();
    }
    Ok(lists
        .iter()
        .flat_map(|list| list.split_ascii_whitespace())
        .filter_map(|pid| pid.parse().ok())
        .collect())
}

/// Collects ended children that nobody waits for (daemons that a sub-reaper inherited), all but `except`.
///
/// What is in our own session is a helper program of ours, and whoever started it waits for it; an agent's processes
/// have sessions of their own and cannot join ours.
pub fn reap_orphans(except: &[i32]) {
    let Ok(all) = children() else { return };
    let me = i32::try_from(std::process::id()).unwrap_or(0);
    let Ok(Some(own)) = stat(me) else { return };
    for pid in all {
        let orphan = |s: &Stat| s.zombie && s.parent == me && s.session != own.session;
        if except.contains(&pid) || !matches!(stat(pid), Ok(Some(s)) if orphan(&s)) {
            continue;
        }
        if let Some(pid) = Pid::from_raw(pid) {
            // Ended already: this cannot wait, and there is nothing to learn from its status.
            rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::NOHANG).ok();
        }
    }
}

/// Ends every process that `find` finds, politely first: TERM, up to `grace`, then KILL until `find` finds none. Returns
/// all that were found, and whether none is left within `limit` of the KILL.
///
/// A process that may not be signalled (it runs as somebody else) is left, and the others are ended all the same.
pub fn end_all(
    mut find: impl FnMut() -> Result<Vec<ProcessId>>,
    grace: Duration,
    limit: Duration,
) -> Result<(Vec<ProcessId>, bool)> {
    let mut seen: Vec<ProcessId> = Vec::new();
    let mut remember = |found: &[ProcessId]| {
        for process in found {
            if !seen.contains(process) {
                seen.push(process.clone());
            }
        }
    };
    let send = |found: &[ProcessId], signals: &[Signal]| {
        for process in found {
            for one in signals {
                if let Err(error) = signal(process, *one) {
                    tracing::warn!(%error, "could not be signalled");
                }
            }
        }
    };
    let polite = Instant::now() + grace;
    let mut found = find()?;
    remember(&found);
    // One that is stopped hears nothing until it goes on.
    send(&found, &[Signal::TERM, Signal::CONT]);
    for process in &found {
        wait_for_end(process, polite.saturating_duration_since(Instant::now()))?;
    }
    let end = Instant::now() + limit;
    let mut nobody = 0;
    loop {
        found = find()?;
        if found.is_empty() {
            // One that was started while we went through the list by one that ended before its turn is in the next list.
            nobody += 1;
            if nobody == LISTS {
                return Ok((seen, true));
            }
            continue;
        }
        nobody = 0;
        remember(&found);
        if Instant::now() > end {
            return Ok((seen, false));
        }
        // Stopped first, so that none of them can start another while we go through the list.
        send(&found, &[Signal::STOP]);
        send(&found, &[Signal::KILL]);
        for process in &found {
            wait_for_end(process, end.saturating_duration_since(Instant::now()))?;
        }
    }
}

/// Whether the working directory of any process is `dir` or below it; those that we may not look at are passed over.
pub fn anybody_in(dir: &std::path::Path) -> Result<bool> {
    let within = |pid: i32| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(dir));
    Ok(pids()?.into_iter().any(within))
}

/// The working directory of `process`, if we may see it.
pub fn working_dir(process: &ProcessId) -> Option<std::path::PathBuf> {
    fs::read_link(format!("/proc/{}/cwd", process.pid)).ok().filter(|p| !p.as_os_str().as_bytes().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_is_idle_if_nobody_else_wants_it_and_one_is_always_ours() {
        for (all, load, idle) in [
            (8, "0.20 0.18 0.12 1/80 11206\n", 8),
            (8, "0.20 0.18 0.12 4/80 11206\n", 5),
            (2, "9.00 5.18 3.12 23/80 11206\n", 1),
            (2, "0.00 0.00 0.00 0/80 11206\n", 2),
            (4, "", 4),
            (4, "?", 4),
        ] {
            assert_eq!(idle_of(all, load), idle, "{load}");
        }
    }
    use std::process::{Command, Stdio};

    #[test]
    fn a_command_name_with_parentheses_does_not_shift_the_fields() {
        let line = b"12 (a) b (c)) S 1 12 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 1000 2";
        assert_eq!(
            parse_stat(line),
            Some(Stat { zombie: false, parent: 1, group: 12, session: 7, start: 4711, bare: false })
        );
        assert_eq!(parse_stat(b"garbage"), None);
        let line = b"12 (a) Z 1 12 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 3 0 4711 0 0";
        assert!(parse_stat(line).is_some_and(|s| !s.zombie), "two threads still run");
    }

    #[test]
    fn this_process_lives_and_an_older_namesake_does_not() {
        let me = me().unwrap();
        assert!(is_alive(&me).unwrap());
        assert!(!is_alive(&ProcessId { start: me.start + 1, ..me.clone() }).unwrap());
        assert!(!is_alive(&ProcessId { boot: "other".into(), ..me }).unwrap());
    }

    #[test]
    fn a_zombie_is_not_alive() {
        let mut child = Command::new("true").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let id = identify(pid).unwrap();
        if let Some(id) = id {
            assert!(wait_for_end(&id, Duration::from_secs(10)).unwrap());
            assert!(!is_alive(&id).unwrap());
        }
        child.wait().unwrap();
    }

    #[test]
    fn a_child_that_ended_and_was_not_collected_is_among_the_children() {
        // Started by another thread, as the helpers of a keeper are.
        let started = std::thread::spawn(|| Command::new("true").spawn().unwrap());
        let (mut running, mut ended) =
            (Command::new("cat").stdin(Stdio::piped()).spawn().unwrap(), started.join().unwrap());
        let pid = Pid::from_child(&ended);
        let options = rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT;
        rustix::process::waitid(rustix::process::WaitId::Pid(pid), options).unwrap();
        let found = children().unwrap();
        assert!(found.contains(&pid.as_raw_nonzero().get()), "{found:?}");
        assert!(found.contains(&i32::try_from(running.id()).unwrap()), "{found:?}");
        ended.wait().unwrap();
        drop(running.stdin.take());
        running.wait().unwrap();
    }

    #[test]
    fn a_session_whose_number_was_given_away_again_is_nobodys_of_ours() {
        let leader = ProcessId { pid: 30, start: 100, boot: "b".into() };
        let one = |pid, start, session, marked| {
            let stat = Stat { zombie: false, parent: 1, group: pid, session, start, bare: false };
            Seen { pid, stat, marked }
        };
        for (seen, is) in [
            (vec![one(30, 100, 30, true), one(31, 101, 30, false)], true),
            (vec![one(30, 100, 30, false)], true),
            (vec![one(30, 500, 30, false), one(31, 501, 30, false)], false),
            // It has ended: who is left of its session, or who is there by now?
            (vec![one(31, 101, 30, true), one(32, 102, 30, false)], true),
            (vec![one(31, 501, 30, false)], false),
            (vec![one(31, 501, 30, false), one(40, 102, 40, true)], false),
            (vec![], false),
        ] {
            assert_eq!(is_its_session(&seen, &leader), is);
        }
    }

    #[test]
    fn a_process_that_becomes_another_program_all_the_time_is_found_each_time() {
        let mark = format!("AI_ORCH_TEST_MARK={}", uuid::Uuid::now_v7());
        let (name, value) = mark.split_once('=').unwrap();
        let become_again = r#"exec sh -c "$0" "$0""#;
        let mut child =
            Command::new("sh").args(["-c", become_again, become_again]).env(name, value).spawn().unwrap();
        let missed = (0..200).filter(|_| belonging(std::slice::from_ref(&mark), None).unwrap().is_empty());
        let missed = missed.count();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(missed, 0);
    }

    #[test]
    fn a_process_that_ignores_term_is_found_by_its_mark_and_ended() {
        let mark = format!("AI_ORCH_TEST_MARK={}", uuid::Uuid::now_v7());
        let (name, value) = mark.split_once('=').unwrap();
        // The grandchild leaves the session; only the environment tells where it belongs.
        let mut child = Command::new("sh")
            .args(["-c", "trap '' TERM HUP; setsid sh -c 'trap \"\" TERM; echo up; exec sleep 1000' & wait"])
            .env(name, value)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut up = [0; 3];
        io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut up).unwrap();
        let (seen, gone) = end_all(
            || belonging(std::slice::from_ref(&mark), None),
            Duration::from_millis(50),
            Duration::from_secs(10),
        )
        .unwrap();
        assert!(gone);
        assert!(seen.len() >= 2, "{seen:?}");
        child.wait().unwrap();
        assert!(belonging(&[mark], None).unwrap().is_empty());
    }
}
