//! What `shell/bench` measures of mail: from a send to the wake of a reader that waits, against a file that is written and
//! renamed into a directory that is watched; and readers at rest. Times are written by whoever measures, one a line.
//!
//!     mail floor DIR N      nanoseconds from before the write to after the wake, N times
//!     mail send DIR N       the same from before `send` until `wait` has told the reader
//!     mail reader DIR NAME  reads and acknowledges until it is ended
//!     mail drip DIR N SECONDS   one message a second, to one of N readers after the other
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a program that measures"
)]

use ai_orch::a2a::mail::Mail;
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
        ["send", dir, n] => send(Path::new(dir), n.parse().unwrap()),
        ["reader", dir, name] => reader(Path::new(dir), &name.parse().unwrap()),
        ["drip", dir, n, seconds] => drip(Path::new(dir), n.parse().unwrap(), seconds.parse().unwrap()),
        // As a part of `cargo bench` it has nothing to say.
        _ => {}
    }
}

fn mail(dir: &Path) -> Mail {
    let at = |name: &str| dir.join(name);
    let places = Places { root: at("root"), state: at("state"), data: at("data"), config: at("config") };
    Mail::new(&places, &Project("bench-0".to_owned()))
}

fn draft(to: Party, n: usize) -> Draft {
    Draft::new(Party::User, to, Message::text(n.to_string(), Role::User, "a few words to somebody who waits"))
}

/// Waits for the next event in `dir` by inotify alone, as the least that a program could do.
fn floor(dir: &Path, n: usize) {
    use rustix::fs::inotify;
    let dir: PathBuf = dir.join("floor");
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

fn reader(dir: &Path, name: &Party) {
    let (mail, runtime, me) = (mail(dir), runtime::runtime().unwrap(), process::me().unwrap());
    let mut bell = mail.listen(name);
    loop {
        runtime.block_on(bell.rung(&mail, None)).unwrap();
        let ids: Vec<MailId> = mail.read(name, &me, 9).unwrap().iter().map(|g| g.envelope.id).collect();
        mail.ack(name, &ids, How::Said).unwrap();
    }
}

fn drip(dir: &Path, n: usize, seconds: usize) {
    let mail = mail(dir);
    let mut next = clock::tick();
    for at in 0..seconds {
        let to = format!("reader-{}", at % n).parse().unwrap();
        mail.send(&draft(to, at)).unwrap();
        next += Duration::from_secs(1);
        std::thread::sleep(next.saturating_duration_since(clock::tick()));
    }
}
