//! What `shell/bench` measures of mail: from a send to the wake of a reader that waits, against a file that is written and
//! renamed into a directory that is watched; and readers at rest. Times are written by whoever measures, one a line.
//!
//!     mail floor DIR N      nanoseconds from before the write to after the wake, N times
//!     mail wake DIR N       the same for one who waits by our watcher, and looks whether the file is there
//!     mail send DIR N       the same from before `send` until the reader was told
//!     mail reader STATE ROOT PROJECT NAME       reads and acknowledges until it is ended
//!     mail drip STATE ROOT PROJECT NAMES RATE SECONDS   RATE messages a second, to one of NAMES (a,b,…) after the other; then
//!                           the nanoseconds of processor time that took
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a program that measures"
)]

use ai_orch::a2a::mail::Mail;
use ai_orch::a2a::watch::Watch;
use ai_orch::model::a2a::{Message, Role};
use ai_orch::model::ids::{Party, Project};
use ai_orch::model::mail::{Draft, How, MailId};
use ai_orch::model::places::Places;
use ai_orch::tools::{clock, file, process, runtime};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["floor", dir, n] => floor(Path::new(dir), n.parse().unwrap()),
        ["wake", dir, n] => wake(Path::new(dir), n.parse().unwrap()),
        ["send", dir, n] => send(Path::new(dir), n.parse().unwrap()),
        ["reader", state, root, project, name] => reader(&of(state, root, project), &name.parse().unwrap()),
        ["drip", state, root, project, names, rate, seconds] => {
            let [rate, seconds]: [u32; 2] = [rate, seconds].map(|number| number.parse().unwrap());
            drip(&of(state, root, project), names, rate, seconds);
        }
        // As a part of `cargo bench` it has nothing to say.
        _ => {}
    }
}

fn mail(dir: &Path) -> Mail {
    of(dir.join("state"), dir.join("root"), "bench-0")
}

fn of(state: impl Into<PathBuf>, root: impl Into<PathBuf>, project: &str) -> Mail {
    let (state, root) = (state.into(), root.into());
    let [data, config] = ["data", "config"].map(|name| state.join(name));
    Mail::new(&Places { root, state, data, config }, &Project(project.to_owned()))
}

fn draft(to: Party, n: usize) -> Draft {
    Draft::new(Party::User, to, Message::text(n.to_string(), Role::User, "a few words to somebody who waits"))
}

/// Waits for the next event in `dir` by inotify alone, as the least that a program could do.
fn floor(dir: &Path, n: usize) {
    use rustix::fs::inotify;
    let dir: PathBuf = dir.join("root/floor");
    file::make_dirs(&dir).unwrap();
    let (woken, wakes) = mpsc::channel();
    let watch = inotify::init(inotify::CreateFlags::CLOEXEC).unwrap();
    inotify::add_watch(&watch, &dir, inotify::WatchFlags::MOVED_TO).unwrap();
    let (begun, begins) = mpsc::channel();
    std::thread::spawn(move || {
        begun.send(this_thread()).unwrap();
        let mut buffer = [0; 4096];
        while rustix::io::read(&watch, &mut buffer).is_ok() && woken.send(Instant::now()).is_ok() {}
    });
    tell(&dir, n, &begins, &wakes);
}

/// Posts `n` files in `dir`, each when the one who waits for it is at rest, and prints how long its wake took.
fn tell(dir: &Path, n: usize, begins: &mpsc::Receiver<PathBuf>, wakes: &mpsc::Receiver<Instant>) {
    let waiter = begins.recv().unwrap();
    let bytes = vec![b'x'; 400];
    for at in 0..n {
        settle(&waiter);
        let before = Instant::now();
        file::post(&dir.join(at.to_string()), &bytes).unwrap();
        let after = wakes.recv().unwrap();
        println!("{}", after.duration_since(before).as_nanos());
    }
}

/// One who waits by our watcher for a file that is posted, and nothing else.
fn wake(dir: &Path, n: usize) {
    let dir: PathBuf = dir.join("root/wake");
    file::make_dirs(&dir).unwrap();
    let (woken, wakes) = mpsc::channel();
    let (begun, begins) = mpsc::channel();
    let own = dir.clone();
    std::thread::spawn(move || {
        begun.send(this_thread()).unwrap();
        let runtime = runtime::runtime().unwrap();
        let (mut watch, dirs) = (Watch::new(), [own.clone()]);
        for at in 0..n {
            let next = own.join(at.to_string());
            let look = || file::is_there(&next).map(|there| there.then_some(()));
            runtime.block_on(watch.until(&dirs, None, look)).unwrap();
            woken.send(Instant::now()).unwrap();
        }
    });
    tell(&dir, n, &begins, &wakes);
}

fn send(dir: &Path, n: usize) {
    let reader: Party = "reader".parse().unwrap();
    let (woken, wakes) = mpsc::channel();
    let (done, ready) = mpsc::channel();
    let (own, to) = (mail(dir), reader.clone());
    let (begun, begins) = mpsc::channel();
    std::thread::spawn(move || {
        begun.send(this_thread()).unwrap();
        let (runtime, me) = (runtime::runtime().unwrap(), process::me().unwrap());
        let mut bell = own.listen(&to);
        loop {
            runtime.block_on(bell.rung(&own, None)).unwrap();
            woken.send(Instant::now()).unwrap();
            let ids: Vec<MailId> = own.read(&to, &me, 9).unwrap().iter().map(|g| g.envelope.id).collect();
            own.ack(&to, &ids, How::Said).unwrap();
            done.send(()).unwrap();
        }
    });
    let waiter = begins.recv().unwrap();
    let mail = mail(dir);
    for at in 0..n {
        settle(&waiter);
        let before = Instant::now();
        mail.send(&draft(reader.clone(), at)).unwrap();
        let after = wakes.recv().unwrap();
        println!("{}", after.duration_since(before).as_nanos());
        ready.recv().unwrap();
    }
}

/// What the kernel tells of this thread.
fn this_thread() -> PathBuf {
    Path::new("/proc").join(std::fs::read_link("/proc/thread-self").unwrap()).join("stat")
}

/// Until the thread sleeps, which it does when it waits.
fn settle(thread: &Path) {
    while !std::fs::read_to_string(thread).unwrap().contains(") S ") {
        std::thread::yield_now();
    }
}

fn reader(mail: &Mail, name: &Party) {
    let (runtime, me) = (runtime::runtime().unwrap(), process::me().unwrap());
    let mut bell = mail.listen(name);
    loop {
        runtime.block_on(bell.rung(mail, None)).unwrap();
        let ids: Vec<MailId> = mail.read(name, &me, 9).unwrap().iter().map(|g| g.envelope.id).collect();
        mail.ack(name, &ids, How::Said).unwrap();
    }
}

fn drip(mail: &Mail, names: &str, rate: u32, seconds: u32) {
    let readers: Vec<Party> = names.split(',').map(|name| name.parse().unwrap()).collect();
    let mut next = clock::tick();
    for (at, to) in (0..rate * seconds).zip(readers.iter().cycle()) {
        let at = usize::try_from(at).unwrap();
        mail.send(&draft(to.clone(), at)).unwrap();
        next += Duration::from_secs(1) / rate;
        std::thread::sleep(next.saturating_duration_since(clock::tick()));
    }
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    println!("{}", used.tv_sec * 1_000_000_000 + used.tv_nsec);
}
