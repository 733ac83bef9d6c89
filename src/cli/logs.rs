//! `logs`: for people, for programs, or byte for byte.

use super::follow::{interrupted, tell_news};
use super::print::Screen;
use super::{args, exit};
use crate::life::House;
use crate::model::text::Shown;
use crate::ops::follow::News;
use crate::ops::logs::Piece;
use crate::ops::{self, Result};
use crate::rules::wording::{self, Tone};
use std::cell::Cell;

pub(super) fn log(house: &House, logs: &args::Logs, json: bool, screen: &mut Screen) -> Result<u8> {
    let code = Cell::new(exit::LEFT);
    let named = ops::logs::find(house, &logs.session)?;
    if logs.raw {
        if logs.follow {
            let write = |bytes: &[u8]| {
                screen.bytes(bytes);
                !screen.closed
            };
            let left =
                ops::runtime()?.block_on(ops::logs::follow_raw(house, &named, write, interrupted(&code)))?;
            return Ok(if left && !screen.closed { code.get() } else { exit::OK });
        }
        screen.bytes(&ops::logs::raw(&named)?);
        return Ok(exit::OK);
    }
    if logs.follow {
        let mut attempt = 0;
        let followed = ops::runtime()?.block_on(ops::follow::follow(
            house,
            &named,
            true,
            None,
            |news| {
                match &news {
                    News::Event(line, _) if json => screen.json(line),
                    News::Event(..) => tell_news(screen, &news, &mut attempt),
                    News::State(_) | News::Time(_) => {}
                }
                !screen.closed
            },
            interrupted(&code),
        ))?;
        return Ok(if followed.is_some_and(|f| f.left) && !screen.closed { code.get() } else { exit::OK });
    }
    for piece in ops::logs::logs(&named)? {
        match piece {
            Piece::Line(line) if json => screen.json(&line),
            Piece::Line(line) => {
                for (tone, text) in wording::lines(&line.event) {
                    screen.toned(tone, &text);
                }
            }
            Piece::Attempt { .. } | Piece::Gap if json => {}
            Piece::Attempt { n, cli } => screen.toned(Tone::Note, &format!("attempt {n}: {}", Shown(&cli))),
            Piece::Gap => screen.toned(Tone::Note, "the middle was too much to keep"),
        }
    }
    Ok(exit::OK)
}
