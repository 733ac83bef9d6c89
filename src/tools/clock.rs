//! The only place that asks what time it is, makes ids from it, or waits.
#![expect(clippy::disallowed_methods, reason = "the one file that asks what time it is")]

use crate::model::ids::Moment;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Now, by the wall clock: for records, never for durations.
pub fn now() -> Moment {
    Moment(jiff::Timestamp::now())
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
