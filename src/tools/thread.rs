//! Work on a thread of its own, and on this one where the system gives no thread: slower, never lost.

use std::sync::mpsc;
use tokio::sync::oneshot;

/// Does `work` beside everything else; what came of it is received.
///
/// A runtime's own threads panic where a user has no process left to start. Whoever calls this then waits until the work
/// is done.
pub fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> oneshot::Receiver<T> {
    let (answer, answered) = oneshot::channel();
    // Nobody may want the answer any more.
    hand_over(move || drop(answer.send(work())));
    answered
}

fn hand_over<J: FnOnce() + Send + 'static>(job: J) {
    // Through a channel: a thread that could not be started would take the job with it.
    let (give, take) = mpsc::channel::<J>();
    let thread = std::thread::Builder::new().spawn(move || take.recv().map(|job| job()));
    match thread {
        Ok(_) => drop(give.send(job)),
        Err(error) => {
            tracing::warn!(%error, "no thread could be started");
            job();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_of_it_is_received() {
        let here = std::thread::current().id();
        let there = aside(|| std::thread::current().id()).blocking_recv().unwrap();
        assert_ne!(here, there);
    }
}
