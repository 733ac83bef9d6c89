//! Keys that somebody presses while something is shown.

use crate::tools::terminal::{self, Keys};
use std::fs::File;
use std::io::{self, Read};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The keyboard of the terminal that we belong to. Without one nobody presses anything.
#[derive(Debug)]
pub(super) struct Keyboard(Option<(AsyncFd<File>, Keys)>);

impl Keyboard {
    /// Takes the keys of our terminal until this is dropped. To be called within a runtime.
    pub(super) fn open() -> Self {
        let open = || -> io::Result<_> {
            let terminal = terminal::open_own()?;
            let keys = Keys::enter(&terminal)?;
            #[expect(
                deprecated,
                reason = "its successor needs unsafe code; a File is the case that is sound"
            )]
            let terminal = AsyncFd::with_interest(terminal, Interest::READABLE)?;
            Ok((terminal, keys))
        };
        Self(open().ok())
    }

    /// Completes when `q` is pressed.
    pub(super) async fn q(&self) {
        let Some((terminal, _)) = &self.0 else { return std::future::pending().await };
        loop {
            let Ok(mut ready) = terminal.readable().await else { return std::future::pending().await };
            let mut typed = [0; 64];
            match ready.try_io(|terminal| terminal.get_ref().read(&mut typed)) {
                // It is gone, which is told by a signal.
                Ok(Ok(0) | Err(_)) => return std::future::pending().await,
                // What begins with an escape is another key, and what is long was pasted.
                Ok(Ok(n)) => {
                    let typed = typed.get(..n).unwrap_or_default();
                    if n <= 3 && !typed.contains(&0x1b) && typed.iter().any(|key| b"qQ".contains(key)) {
                        return;
                    }
                }
                Err(_) => {}
            }
        }
    }
}
