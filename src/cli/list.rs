//! `list`: once, or again whenever something changes.

use super::follow::Leave;
use super::keys::Keyboard;
use super::print::Screen;
use super::redraw::Drawn;
use super::table::{Ages, Columns, lines};
use super::{args, exit};
use crate::life::House;
use crate::model::report::ListReport;
use crate::ops::{self, Result};
use crate::tools::{clock, terminal};
use std::cell::{Cell, RefCell};
use std::io;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// How often ages on a screen move.
const CLOCK: Duration = Duration::from_mins(1);

pub(super) fn list(house: &House, asked: &args::List, json: bool, screen: &mut Screen) -> Result<u8> {
    if asked.watch {
        return if json || !screen.in_place {
            stream(house, asked, json, screen)
        } else {
            redrawn(house, asked, screen)
        };
    }
    let report = ops::list::list(house, asked.here)?;
    let (report, depths) = arranged(report, asked.tree);
    screen.answer(json, &report, |screen, report| print(screen, report, &depths));
    Ok(exit::OK)
}

/// The agents in the order in which they are shown, and how far each is below a root.
fn arranged(mut report: ListReport, tree: bool) -> (ListReport, Vec<usize>) {
    let depths = if tree { ops::list::as_tree(&mut report) } else { Vec::new() };
    (report, depths)
}

fn print(screen: &mut Screen, report: &ListReport, depths: &[usize]) {
    for (_, painted) in lines(screen, report, depths, Ages::Exact, &mut Columns::default()) {
        screen.line(&painted);
    }
}

/// One document, or one table, for each change.
fn stream(house: &House, asked: &args::List, json: bool, screen: &mut Screen) -> Result<u8> {
    let code = Cell::new(exit::LEFT);
    let mut first = true;
    let show = |report: &ListReport| {
        if !json && !std::mem::take(&mut first) {
            screen.line("");
        }
        let (report, depths) = arranged(report.clone(), asked.tree);
        screen.answer(json, &report, |screen, report| print(screen, report, &depths));
        !screen.closed
    };
    let left = ops::runtime()?.block_on(async {
        let never = async || std::future::pending().await;
        ops::watching::watch(house, asked.here, show, never, Leave::listen().asked(&code)).await
    })?;
    Ok(if left && !screen.closed { code.get() } else { exit::OK })
}

/// One table that stays where it is.
fn redrawn(house: &House, asked: &args::List, screen: &mut Screen) -> Result<u8> {
    let code = Cell::new(exit::LEFT);
    let (mut kept, mut drawn) = (Columns::default(), Drawn::default());
    let mut before = Vec::new();
    let resized = RefCell::new(false);
    let show = |report: &ListReport| {
        let anew = resized.take();
        if anew {
            screen.measure();
            kept = Columns::default();
        }
        let (report, depths) = arranged(report.clone(), asked.tree);
        let now = lines(screen, &report, &depths, Ages::Minutes, &mut kept);
        if anew || before != now {
            let height = terminal::lines(io::stdout()).unwrap_or(usize::MAX);
            screen.bytes(drawn.over(&now, screen.width, height).as_bytes());
            before = now;
        }
        !screen.closed
    };
    let left = ops::runtime()?.block_on(async {
        let (keyboard, leave) = (Keyboard::open(), Leave::listen());
        let mut windows = signal(SignalKind::window_change()).ok();
        let again = async || {
            let window = async {
                match &mut windows {
                    Some(windows) => drop(windows.recv().await),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = window => drop(resized.replace(true)),
                () = clock::at(clock::tick().checked_add(CLOCK)) => {}
            }
        };
        let stop = async {
            tokio::select! {
                () = keyboard.q() => code.set(exit::OK),
                () = leave.asked(&code) => {}
            }
        };
        ops::watching::watch(house, asked.here, show, again, stop).await
    })?;
    Ok(if left && !screen.closed { code.get() } else { exit::OK })
}
