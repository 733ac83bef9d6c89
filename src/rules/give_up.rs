//! When to stop waiting for a CLI that only retries, or says nothing at all.
//!
//! Moments are durations since the attempt began, so that a clock that is set changes nothing.

use crate::model::event::Event;
use std::time::Duration;

/// How long a CLI has been in trouble, and how long it has been silent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Patience {
    retrying_since: Option<Duration>,
    last_output: Duration,
}

impl Patience {
    /// Something was printed at `at`, on standard output or standard error, whatever it was.
    pub fn output(&mut self, at: Duration) {
        self.last_output = self.last_output.max(at);
    }

    /// `event` came at `at`: trouble starts the clock if it does not run, progress stops it.
    pub fn event(&mut self, at: Duration, event: &Event) {
        if event.is_progress() || matches!(event, Event::Finished { .. }) {
            self.retrying_since = None;
        } else if matches!(event, Event::Retrying(_)) {
            self.retrying_since.get_or_insert(at);
        }
    }

    /// When to give the attempt up because it only retries: `give_up_after` its first retry without progress since.
    /// `None`: not now, or never because there is nobody else to turn to.
    pub fn give_up_at(&self, give_up_after: Duration, later_cli_usable: bool) -> Option<Duration> {
        self.retrying_since.filter(|_| later_cli_usable).map(|since| since.saturating_add(give_up_after))
    }

    /// When to stop the attempt as stalled; `None` if the profile sets no limit (0).
    pub fn stalled_at(&self, stall_after: Duration) -> Option<Duration> {
        (!stall_after.is_zero()).then(|| self.last_output.saturating_add(stall_after))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::failure::Trouble;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_first_retry_starts_the_clock_and_progress_stops_it() {
        let retry = Event::Retrying(Trouble::default());
        let mut patience = Patience::default();
        assert_eq!(patience.give_up_at(s(30), true), None);
        patience.event(s(5), &retry);
        patience.event(s(9), &retry);
        patience.event(s(10), &Event::Notice { text: String::new() });
        assert_eq!(patience.give_up_at(s(30), true), Some(s(35)));
        assert_eq!(patience.give_up_at(s(30), false), None, "the last CLI keeps its own retries");
        assert_eq!(patience.give_up_at(Duration::ZERO, true), Some(s(5)));
        patience.event(s(12), &Event::Writing);
        assert_eq!(patience.give_up_at(s(30), true), None);
        patience.event(s(20), &retry);
        assert_eq!(patience.give_up_at(s(30), true), Some(s(50)));
        patience.event(s(21), &Event::Finished { ok: true, text: String::new(), trouble: None });
        assert_eq!(patience.give_up_at(s(30), true), None);
    }

    #[test]
    fn silence_counts_from_the_last_output() {
        let mut patience = Patience::default();
        assert_eq!(patience.stalled_at(Duration::ZERO), None);
        assert_eq!(patience.stalled_at(s(60)), Some(s(60)));
        patience.output(s(7));
        patience.output(s(3));
        assert_eq!(patience.stalled_at(s(60)), Some(s(67)));
        assert_eq!(patience.stalled_at(Duration::MAX), Some(Duration::MAX));
    }
}
