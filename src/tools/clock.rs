//! The only place that asks what time it is, makes ids from it, or waits.
#![expect(clippy::disallowed_methods, reason = "the one file that asks what time it is")]

use crate::model::ids::Moment;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Now, by the wall clock, to the millisecond as it is written: for records, never for durations.
pub fn now() -> Moment {
    let now = jiff::Timestamp::now();
    // What is read back from a record is what was in it.
    Moment(jiff::Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now))
}

/// Milliseconds since the machine was started, those it slept included: for deadlines that other processes read. It means
/// something only together with the boot ([`super::process::boot`]).
pub fn boot_millis() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let millis = time.tv_sec.saturating_mul(1000).saturating_add(time.tv_nsec / 1_000_000);
    u64::try_from(millis).unwrap_or(0)
}

/// A point on the clock that never goes back: for durations and deadlines.
pub fn tick() -> Instant {
    Instant::now()
}

/// A new id that sorts by time (UUIDv7).
pub fn new_id() -> Uuid {
    Uuid::now_v7()
}

/// Ends at `deadline`; never, if there is none. For a branch of `select!`.
pub async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

/// `future`, or `None` once `limit` is over.
pub async fn within<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    tokio::time::timeout(limit, future).await.ok()
}
