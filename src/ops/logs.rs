//! `logs`: what an agent did, from its first attempt on.

use super::Result;
use crate::a2a::names::{self, Named};
use crate::a2a::record;
use crate::life::House;
use crate::model::report::LogLine;
use crate::tools::spool;

/// The agent whose name is `name`, or the only one whose name begins so.
pub fn find(house: &House, name: &str) -> Result<Named> {
    Ok(names::require_by_prefix(&house.settings.places, name)?)
}

/// A piece of an agent's log.
#[derive(Debug, Clone)]
pub enum Piece {
    /// A new attempt begins.
    Attempt {
        /// Its number.
        n: u32,
        /// The agent CLI.
        cli: String,
    },
    /// Something the agent did.
    Line(LogLine),
    /// The middle of too much output was dropped.
    Gap,
}

/// Everything that is kept of what the agent did.
pub fn logs(named: &Named) -> Result<Vec<Piece>> {
    let mut pieces = Vec::new();
    let Some(agent) = record::load(&named.record)? else { return Ok(pieces) };
    for attempt in &agent.attempts {
        let cli = agent.spec.chain.get(attempt.link).map_or("?", |l| l.cli.as_str()).to_owned();
        pieces.push(Piece::Attempt { n: attempt.n, cli });
        let Some(kept) = spool::read(&named.record.attempt(attempt.n).events())? else { continue };
        let parse = |bytes: &[u8], pieces: &mut Vec<Piece>| {
            let lines = bytes.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
            pieces.extend(lines.map(Piece::Line));
        };
        parse(&kept.head, &mut pieces);
        if let Some(tail) = kept.tail {
            pieces.push(Piece::Gap);
            parse(&tail, &mut pieces);
        }
    }
    Ok(pieces)
}

/// What the agent's CLIs printed on standard output, byte for byte, attempt after attempt.
pub fn raw(named: &Named) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let Some(agent) = record::load(&named.record)? else { return Ok(bytes) };
    for attempt in &agent.attempts {
        if let Some(kept) = spool::read(&named.record.attempt(attempt.n).stdout())? {
            bytes.extend(kept.head);
            bytes.extend(kept.tail.unwrap_or_default());
        }
    }
    Ok(bytes)
}

/// Follows the raw output of the agent from its beginning until the agent ends, the reader goes away (`write` says
/// false), or `stop` completes. Whether it was `stop` that ended it.
pub async fn follow_raw(
    house: &House,
    named: &Named,
    mut write: impl FnMut(&[u8]) -> bool,
    stop: impl Future<Output = ()>,
) -> Result<bool> {
    let mut n = 0;
    let mut tail: Option<spool::Tail> = None;
    let mut watch_raw = |newest: u32| -> Result<bool> {
        loop {
            if let Some(tail) = &mut tail {
                let bytes = tail.read_raw()?;
                if !bytes.is_empty() && !write(&bytes) {
                    return Ok(false);
                }
            }
            if n >= newest {
                return Ok(true);
            }
            n += 1;
            tail = Some(spool::Tail::new(&named.record.attempt(n).stdout()));
        }
    };
    let mut failed = None;
    let mut newest = 0;
    let followed = super::follow::follow(
        house,
        named,
        true,
        // What is no event yet, half a line, is told of by nothing else.
        Some(super::follow::CLOCK),
        |news| {
            if let super::follow::News::State(report) | super::follow::News::Time(report) = &news {
                newest = report.attempts.last().map_or(0, |a| a.n);
            }
            watch_raw(newest).unwrap_or_else(|error| {
                failed = Some(error);
                false
            })
        },
        stop,
    )
    .await?;
    match failed {
        Some(error) => Err(error),
        None => Ok(watch_raw(newest)? && followed.is_some_and(|f| f.left)),
    }
}
