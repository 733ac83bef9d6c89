//! Bells between processes: a FIFO that one waits at and others write to. Nothing is said by it but "look again".
//!
//! A ring is kept as long as whoever waits has the FIFO open, so none is lost between two looks; nobody else keeps one. It needs no
//! pid, which another process may have by now, or which a sandbox counts otherwise.

use super::file::{self, Error, Result};
use std::io::{self, Write};
use std::path::Path;
use tokio::net::unix::pipe::Receiver;

/// Where rings arrive.
#[derive(Debug)]
pub struct Bell(Receiver);

impl Bell {
    /// Listens at `path`, where a FIFO is made if there is none. To be called on a runtime.
    pub fn listen(path: &Path) -> Result<Self> {
        let fifo = file::fifo(path)?;
        // Open for writing as well, so that it never ends.
        let receiver = Receiver::from_file(fifo);
        receiver.map(Self).map_err(|source| Error { action: "listen at", path: path.to_owned(), source })
    }

    /// Returns when somebody has rung since the last call.
    pub async fn rung(&mut self) -> io::Result<()> {
        loop {
            self.0.readable().await?;
            match self.0.try_read(&mut [0; 64]) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                read => return read.map(drop),
            }
        }
    }
}

/// Rings at `path`, if somebody listens there; whether anybody does.
pub fn ring(path: &Path) -> Result<bool> {
    let Some(mut fifo) = file::fifo_there(path)? else { return Ok(false) };
    match fifo.write_all(b"!") {
        // Whoever listened is gone since; or it has more rings to answer than a pipe takes.
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(true),
        rung => {
            rung.map(|()| true).map_err(|source| Error { action: "ring at", path: path.to_owned(), source })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::runtime;

    #[test]
    fn a_ring_is_kept_until_it_is_answered_and_nobody_who_rings_waits() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bell");
        assert!(!ring(&path).unwrap(), "there is none");
        let bell = runtime::runtime().unwrap().block_on(async {
            let mut bell = Bell::listen(&path).unwrap();
            for rings in [1, 3, 100_000] {
                for _ in 0..rings {
                    assert!(ring(&path).unwrap());
                }
                bell.rung().await.unwrap();
            }
            bell
        });
        drop(bell);
        assert!(!ring(&path).unwrap(), "nobody listens");
        runtime::runtime().unwrap().block_on(async { drop(Bell::listen(&path).unwrap()) });
    }

    #[test]
    fn what_is_no_fifo_is_neither_listened_at_nor_written_to() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bell");
        std::fs::write(&path, "precious").unwrap();
        runtime::runtime().unwrap().block_on(async { assert!(Bell::listen(&path).unwrap_err().is_damage()) });
        assert!(ring(&path).unwrap_err().is_damage());
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    }
}
