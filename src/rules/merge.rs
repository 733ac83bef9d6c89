//! What comes next in a run of merges, from its journal and where the target is.

use crate::model::merge::{Entry, Fate, Record, Spec, TestReport, Why};
use std::path::PathBuf;

/// A run, as its journal tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// What was asked for.
    pub spec: Spec,
    /// How far each agent's work has come.
    pub items: Vec<Progress>,
    /// Whether it is over.
    pub ended: bool,
}

/// How far one agent's work has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// Where the target was when the merged commit was made, and that commit.
    pub made: Option<(String, String)>,
    /// The last test, and of which commit.
    pub tested: Option<(String, TestReport)>,
    /// The move of the target that was begun last, and is not known to be over.
    pub moving: Option<Moving>,
    /// Where the target was moved to.
    pub moved: Option<String>,
    /// The target has it already.
    pub nothing: bool,
    /// Why it is left out.
    pub left_out: Option<Why>,
}

/// A move of the target that was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moving {
    /// From here.
    pub from: String,
    /// To there.
    pub to: String,
    /// With the files of this checkout.
    pub at: Option<PathBuf>,
}

/// What is found of a move that was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// The target has the commit: all of it was done. Somebody may have gone on since.
    Whole,
    /// It can be gone on with, if the target is where it was. So it is also if none was begun.
    Open,
    /// Its checkout has something else checked out by now.
    Astray,
}

impl Progress {
    /// In one word.
    pub fn fate(&self) -> Fate {
        match self {
            Self { moved: Some(_), .. } => Fate::Merged,
            Self { nothing: true, .. } => Fate::Nothing,
            Self { left_out: Some(_), .. } => Fate::LeftOut,
            _ => Fate::Waits,
        }
    }
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Make the merged commit on top of the target.
    Make {
        /// Of this item.
        item: usize,
    },
    /// Run the validation command of the item on the merged commit.
    Test {
        /// Of this item.
        item: usize,
        /// That commit.
        commit: String,
    },
    /// Leave it out: its merged tree did not pass.
    LeaveOut {
        /// This item.
        item: usize,
        /// Why.
        why: Why,
    },
    /// Move the target.
    Move {
        /// By this item.
        item: usize,
        /// To this commit.
        to: String,
    },
    /// A move was begun that is of no use any more: files that it has moved become what they were.
    TakeBack {
        /// This one.
        moving: Moving,
        /// Of this item.
        item: usize,
    },
    /// The target is moved, and that is not on record yet.
    Note {
        /// By this item.
        item: usize,
        /// To this commit.
        to: String,
    },
    /// Every item is through.
    End,
}

/// The run that `records` tell of; `None` without a beginning.
pub fn replay(records: &[Record]) -> Option<Run> {
    let Some(Record { entry: Entry::Begun { spec, .. }, .. }) = records.first() else { return None };
    let items = vec![Progress::default(); spec.items.len()];
    let mut run = Run { spec: (**spec).clone(), items, ended: false };
    for record in records {
        apply(&mut run, &record.entry);
    }
    Some(run)
}

/// Adds what `entry` says to `run`.
pub fn apply(run: &mut Run, entry: &Entry) {
    let mut at = |item: &usize, change: &dyn Fn(&mut Progress)| {
        if let Some(progress) = run.items.get_mut(*item) {
            change(progress);
        }
    };
    match entry {
        Entry::Begun { .. } => {}
        Entry::Made { item, onto, commit } => at(item, &|p| p.made = Some((onto.clone(), commit.clone()))),
        Entry::Tested { item, commit, ok, exit, ms, output, setup } => at(item, &|p| {
            let test = TestReport { ok: *ok, exit: *exit, ms: *ms, output: output.clone(), setup: *setup };
            p.tested = Some((commit.clone(), test));
        }),
        Entry::Moving { item, from, to, checkout } => at(item, &|p| {
            p.moving = Some(Moving { from: from.clone(), to: to.clone(), at: checkout.clone() });
        }),
        Entry::NotMoved { item } => at(item, &|p| p.moving = None),
        Entry::Moved { item, to } => at(item, &|p| p.moved = Some(to.clone())),
        Entry::Nothing { item } => at(item, &|p| p.nothing = true),
        Entry::LeftOut { item, why } => at(item, &|p| p.left_out = Some(why.clone())),
        Entry::GivenUp | Entry::Ended => run.ended = true,
    }
}

/// The item whose turn it is.
fn current(run: &Run) -> Option<usize> {
    run.items.iter().position(|progress| progress.fate() == Fate::Waits)
}

/// The move that was begun when the run was cut off, if it was cut off there, and of which item.
pub fn moving(run: &Run) -> Option<(usize, &Moving)> {
    let item = current(run)?;
    Some((item, run.items.get(item)?.moving.as_ref()?))
}

/// What comes next while the target is at `tip`. `begun` tells of the move that [`moving`] names.
pub fn next(run: &Run, tip: &str, begun: Begun) -> Step {
    let Some(item) = current(run) else { return Step::End };
    let (Some(progress), Some(wanted)) = (run.items.get(item), run.spec.items.get(item)) else {
        return Step::End;
    };
    if let Some(moving) = &progress.moving {
        match begun {
            // By somebody who died before that was said.
            Begun::Whole => return Step::Note { item, to: moving.to.clone() },
            Begun::Open if moving.from == tip => {}
            Begun::Open | Begun::Astray => return Step::TakeBack { item, moving: moving.clone() },
        }
    }
    let Some((_, commit)) = progress.made.as_ref().filter(|(onto, _)| onto == tip) else {
        return Step::Make { item };
    };
    if wanted.validate.is_some() {
        match progress.tested.as_ref().filter(|(tested, _)| tested == commit) {
            None => return Step::Test { item, commit: commit.clone() },
            Some((_, test)) if !test.ok => {
                let exit = test.exit;
                let why = if test.setup { Why::Setup { exit } } else { Why::Validation { exit } };
                return Step::LeaveOut { item, why };
            }
            Some(_) => {}
        }
    }
    Step::Move { item, to: commit.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::{AgentId, Project};
    use crate::model::merge::{How, Item};
    use proptest::prelude::*;

    fn run(validates: &[bool]) -> Run {
        let item = |(n, validates): (usize, &bool)| Item {
            agent: AgentId(uuid::Uuid::nil()),
            session: format!("a{n}").parse().unwrap(),
            branch: format!("ai_orch/a{n}"),
            tip: format!("tip{n}"),
            title: "t".into(),
            validate: validates.then(|| "make check".to_owned()),
            outfit: None,
            notes: Vec::new(),
        };
        let spec = Spec {
            id: uuid::Uuid::nil(),
            project: Project("p".into()),
            into: "main".into(),
            from: "t0".into(),
            how: How::Merge,
            items: validates.iter().enumerate().map(item).collect(),
        };
        let items = vec![Progress::default(); spec.items.len()];
        Run { spec, items, ended: false }
    }

    fn made(item: usize, onto: &str, commit: &str) -> Entry {
        Entry::Made { item, onto: onto.into(), commit: commit.into() }
    }

    fn tested(item: usize, commit: &str, ok: bool) -> Entry {
        let exit = Some(i32::from(!ok));
        Entry::Tested { item, commit: commit.into(), ok, exit, ms: 1, output: String::new(), setup: false }
    }

    fn begins(item: usize, from: &str, to: &str) -> Entry {
        Entry::Moving { item, from: from.into(), to: to.into(), checkout: Some("/repo".into()) }
    }

    #[test]
    fn made_then_tested_then_moved_and_what_does_not_pass_is_left_out() {
        let mut run = run(&[true, true]);
        assert_eq!(next(&run, "t0", Begun::Open), Step::Make { item: 0 });
        apply(&mut run, &made(0, "t0", "m0"));
        assert_eq!(next(&run, "t0", Begun::Open), Step::Test { item: 0, commit: "m0".into() });
        apply(&mut run, &tested(0, "m0", false));
        let why = Why::Validation { exit: Some(1) };
        assert_eq!(next(&run, "t0", Begun::Open), Step::LeaveOut { item: 0, why: why.clone() });
        apply(&mut run, &Entry::LeftOut { item: 0, why });
        apply(&mut run, &made(1, "t0", "m1"));
        apply(&mut run, &tested(1, "m1", true));
        assert_eq!(next(&run, "t0", Begun::Open), Step::Move { item: 1, to: "m1".into() });
        apply(&mut run, &begins(1, "t0", "m1"));
        // Cut off before it, or behind it.
        assert_eq!(next(&run, "t0", Begun::Open), Step::Move { item: 1, to: "m1".into() });
        assert_eq!(next(&run, "m1", Begun::Whole), Step::Note { item: 1, to: "m1".into() });
        assert_eq!(next(&run, "later", Begun::Whole), Step::Note { item: 1, to: "m1".into() });
        apply(&mut run, &Entry::Moved { item: 1, to: "m1".into() });
        assert_eq!(next(&run, "m1", Begun::Whole), Step::End);
    }

    #[test]
    fn a_target_that_moved_meanwhile_is_merged_onto_and_tested_anew() {
        let mut run = run(&[true]);
        apply(&mut run, &made(0, "t0", "m0"));
        apply(&mut run, &tested(0, "m0", true));
        assert_eq!(next(&run, "t1", Begun::Open), Step::Make { item: 0 });
        apply(&mut run, &made(0, "t1", "m1"));
        assert_eq!(next(&run, "t1", Begun::Open), Step::Test { item: 0, commit: "m1".into() });
    }

    #[test]
    fn a_move_that_was_begun_is_taken_back_before_anything_else_is_done() {
        let mut run = run(&[false]);
        apply(&mut run, &made(0, "t0", "m0"));
        apply(&mut run, &begins(0, "t0", "m0"));
        let (_, moving) = moving(&run).unwrap();
        let back = Step::TakeBack { item: 0, moving: moving.clone() };
        assert_eq!(next(&run, "t1", Begun::Open), back, "the target has another tip");
        assert_eq!(next(&run, "t0", Begun::Astray), back, "the checkout another branch");
        assert_eq!(next(&run, "t1", Begun::Whole), Step::Note { item: 0, to: "m0".into() });
        apply(&mut run, &Entry::NotMoved { item: 0 });
        assert_eq!(next(&run, "t1", Begun::Open), Step::Make { item: 0 });
    }

    proptest! {
        /// Whatever happens to the target, its checkout and the tests, nothing is moved that was not made on the very tip and tested
        /// there, and nothing while files of another move may lie about.
        #[test]
        fn what_is_moved_was_tested(outcomes in prop::collection::vec(any::<(bool, bool, bool, bool)>(), 1..40)) {
            let mut run = run(&[true, false, true]);
            let mut tip = "t".to_owned();
            let mut half: Option<String> = None;
            for (n, (moves, passes, dies, strays)) in outcomes.into_iter().enumerate() {
                if moves {
                    tip = format!("{tip}'");
                }
                let begun = match moving(&run) {
                    Some((_, moving)) if tip.starts_with(&moving.to) => Begun::Whole,
                    Some(_) if strays => Begun::Astray,
                    _ => Begun::Open,
                };
                match next(&run, &tip, begun) {
                    Step::Make { item } => apply(&mut run, &made(item, &tip, &format!("{tip}+{item}.{n}"))),
                    Step::Test { item, commit } => apply(&mut run, &tested(item, &commit, passes)),
                    Step::LeaveOut { item, why } => apply(&mut run, &Entry::LeftOut { item, why }),
                    Step::Move { item, to } => {
                        prop_assert!(to.starts_with(&format!("{tip}+")), "made on the tip");
                        if run.spec.items[item].validate.is_some() {
                            let (commit, test) = run.items[item].tested.as_ref().unwrap();
                            prop_assert!(*commit == to && test.ok);
                        }
                        prop_assert!(half.as_ref().is_none_or(|half| *half == to), "what lies about is taken back first");
                        apply(&mut run, &begins(item, &tip, &to));
                        if dies {
                            half = Some(to);
                        } else {
                            half = None;
                            tip.clone_from(&to);
                            apply(&mut run, &Entry::Moved { item, to });
                        }
                    }
                    Step::TakeBack { item, moving } => {
                        prop_assert_eq!(half.take(), Some(moving.to));
                        apply(&mut run, &Entry::NotMoved { item });
                    }
                    Step::Note { item, to } => {
                        half = None;
                        apply(&mut run, &Entry::Moved { item, to });
                    }
                    Step::End => break,
                }
            }
        }
    }
}
