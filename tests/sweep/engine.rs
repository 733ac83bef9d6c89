//! Which deaths there are, all of them played, several at once, and what was found.

use crate::case::{Case, Death, Played};
use crate::dice::Dice;
use crate::option;
use crate::scenarios::{ALL, Scenario};
use crate::{points, recover, syscalls};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// What is played.
pub struct Choice {
    /// A scenario, or a case of one.
    pub only: Option<String>,
    pub points: bool,
    pub syscalls: bool,
    /// A seed, and how many.
    pub sample: Option<(u64, usize)>,
    /// How many at once.
    pub jobs: usize,
}

impl Choice {
    pub fn all() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self { only: None, points: true, syscalls: true, sample: None, jobs: 2 * cores }
    }

    /// As `shell/sweep` was asked.
    pub fn asked() -> Self {
        let all = Self::all();
        let kinds = option("KINDS").unwrap_or_else(|| "points syscalls".to_owned());
        let sample = option("SAMPLE").map(|text| {
            let (seed, n) = text.split_once(':').expect("--sample SEED:N");
            (seed.parse().expect("a seed"), n.parse().expect("a number"))
        });
        Self {
            only: option("ONLY"),
            points: kinds.contains("points"),
            syscalls: kinds.contains("syscalls"),
            sample,
            jobs: option("JOBS").map_or(all.jobs, |jobs| jobs.parse().expect("a number of jobs")),
        }
    }

    /// Whether `scenario` is to be played at all.
    fn takes(&self, scenario: &Scenario) -> bool {
        let wanted = |only: &String| only.split(':').next() == Some(scenario.name);
        self.only.as_ref().is_none_or(wanted) && scenario.needs.iter().all(|verb| recover::knows(verb))
    }
}

/// Plays all that `choice` says; fails if anything is wrong.
pub fn sweep(choice: &Choice) {
    let began = Instant::now();
    let results = Results::default();
    let traced = choice.syscalls && syscalls::can_trace();
    if choice.syscalls && !traced {
        println!("SKIPPED: the system calls, because strace is not there or may not trace");
    }
    let mut lists: Vec<Case> = Vec::new();
    for scenario in ALL.iter().filter(|s| choice.takes(s)) {
        if choice.points {
            lists.push(Case { scenario, death: Death::None });
        }
        if traced && scenario.syscalls {
            lists.push(Case { scenario, death: Death::Traced });
        }
    }
    assert!(!lists.is_empty(), "no scenario is called so");
    let mut cases: Vec<Case> = Vec::new();
    for (case, played) in play_all(lists, choice.jobs, &results) {
        cases.extend(deaths(&case, &played));
    }
    if let Some(only) = choice.only.as_ref().filter(|only| only.contains(':')) {
        cases.retain(|case| case.name() == *only);
        assert!(!cases.is_empty(), "there is no {only}");
    }
    if let Some((seed, n)) = choice.sample {
        Dice::new(seed).shuffle(&mut cases);
        cases.truncate(n);
    }
    println!("{} cases, {} at once", cases.len(), choice.jobs);
    play_all(cases, choice.jobs, &results);
    let [played, wrong, missed] =
        [&results.played, &results.wrong, &results.missed].map(|n| n.load(Ordering::Relaxed));
    let seconds = began.elapsed().as_secs();
    println!("{played} cases in {seconds} s: {wrong} wrong, {missed} did not come to their point");
    assert!(wrong == 0, "{wrong} of {played} cases are wrong");
}

/// The deaths that a run without one has shown to be possible.
fn deaths(case: &Case, played: &Played) -> Vec<Case> {
    let scenario = case.scenario;
    let all: Vec<Death> = match case.death {
        Death::None => points::of_role(&played.points, scenario.role, scenario.from)
            .into_iter()
            .map(Death::Point)
            .collect(),
        Death::Traced => {
            syscalls::injections(&played.trace, scenario.around).into_iter().map(Death::Call).collect()
        }
        Death::Point(_) | Death::Call(_) => Vec::new(),
    };
    all.into_iter().map(|death| Case { scenario, death }).collect()
}

/// After how many cases it is said how far it is: all of them take an hour.
const TELL: usize = 250;

/// What was found so far.
#[derive(Default)]
struct Results {
    played: AtomicUsize,
    wrong: AtomicUsize,
    missed: AtomicUsize,
}

impl Results {
    /// Counts a case, and says at once what is wrong with it.
    fn take(&self, case: &Case, played: &Played) {
        let played_so_far = self.played.fetch_add(1, Ordering::Relaxed) + 1;
        if played_so_far.is_multiple_of(TELL) {
            println!("{played_so_far} cases played, the last one {}", case.name());
        }
        self.missed.fetch_add(usize::from(!played.reached), Ordering::Relaxed);
        if played.violations.is_empty() {
            return;
        }
        self.wrong.fetch_add(1, Ordering::Relaxed);
        let missed = if played.reached { "" } else { " (it did not come to that)" };
        let name = case.name();
        let all = played.violations.join("\n  - ");
        println!("\nWRONG {name}: {}{missed}\n  - {all}\n  again: shell/sweep --only '{name}'", case.what());
    }
}

/// Plays `cases`, `jobs` at once; in their order.
fn play_all(cases: Vec<Case>, jobs: usize, results: &Results) -> Vec<(Case, Played)> {
    let next = AtomicUsize::new(0);
    let played: Mutex<Vec<(usize, Played)>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..jobs.min(cases.len()).max(1) {
            scope.spawn(|| {
                while let Some((at, case)) = {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    cases.get(at).map(|case| (at, case))
                } {
                    let result = case.play();
                    results.take(case, &result);
                    played.lock().unwrap().push((at, result));
                }
            });
        }
    });
    let mut played = played.into_inner().unwrap();
    played.sort_by_key(|(at, _)| *at);
    cases.into_iter().zip(played.into_iter().map(|(_, played)| played)).collect()
}
