//! How many worktrees are kept ready, how large they may be, and when one is of no more use.

use std::time::Duration;

/// How many are kept for a repository if nobody says otherwise.
pub const NUMBER: u32 = 1;
/// How many may be asked for.
pub const MOST: u32 = 8;
/// How many files a repository may have if nobody says otherwise.
pub const MAX_FILES: u64 = 50_000;
/// How long one is kept that nobody takes. Its files are as old, and those who build go by that.
const KEPT: Duration = Duration::from_hours(7 * 24);
/// The part of the files that may have changed: one of so many.
const SHARE: u64 = 20;
/// The part of the free disk that all of them may take: one of so many.
const OF_FREE: u64 = 10;

/// What the user allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How many are kept for a repository; 0: none.
    pub number: u32,
    /// How many files each may have.
    pub max_files: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { number: NUMBER, max_files: MAX_FILES }
    }
}

/// How many of so many files may differ from what is wanted: with more, one is no start any more.
pub const fn most_changed(files: u64) -> u64 {
    files / SHARE
}

/// Whether one was made too long ago, or at a time that is not yet: milliseconds since 1970.
pub fn is_old(made: i64, now: i64) -> bool {
    u128::try_from(now.saturating_sub(made)).map_or(true, |age| age > KEPT.as_millis())
}

/// Whether there is room for one more of so many bytes where so many are there already.
pub const fn fits(bytes: u64, there: u64, free: u64) -> bool {
    bytes.saturating_mul(there.saturating_add(1)) <= free / OF_FREE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_twentieth_may_differ() {
        for (files, most) in [(0, 0), (19, 0), (20, 1), (100, 5), (20_000, 1_000)] {
            assert_eq!(most_changed(files), most, "{files}");
        }
    }

    #[test]
    fn a_week_is_old_and_so_is_the_future() {
        let week = 7 * 24 * 3_600_000;
        for (made, now, old) in [(0, 0, false), (0, week, false), (0, week + 1, true), (1, 0, true)] {
            assert_eq!(is_old(made, now), old, "{made} {now}");
        }
    }

    #[test]
    fn all_of_them_take_a_tenth_of_what_is_free() {
        for (bytes, there, free, fit) in [
            (10, 0, 100, true),
            (11, 0, 100, false),
            (5, 1, 100, true),
            (5, 2, 100, false),
            (0, 8, 0, true),
            (u64::MAX, 2, u64::MAX, false),
        ] {
            assert_eq!(fits(bytes, there, free), fit, "{bytes} {there} {free}");
        }
    }
}
