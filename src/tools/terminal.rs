//! The terminal: is there one, how wide is it, and raw mode that is undone when dropped.

use rustix::fd::AsFd;
use rustix::fs::{Mode, OFlags};
use rustix::termios::{
    ControlModes, InputModes, LocalModes, OptionalActions, OutputModes, QueueSelector, SpecialCodeIndex,
    Termios, tcflush, tcgetattr, tcgetwinsize, tcsetattr,
};
use std::fs::File;
use std::io;

/// Columns to assume where nobody says.
pub const DEFAULT_COLUMNS: usize = 80;

/// Whether `fd` is a terminal.
pub fn is_terminal(fd: impl AsFd) -> bool {
    rustix::termios::isatty(fd)
}

/// Throws away what was typed at the terminal behind `fd` and not read yet: it was not meant for what comes now.
pub fn forget_typed(fd: impl AsFd) {
    // It may be none, or gone; then there is nothing to forget.
    tcflush(fd, QueueSelector::IFlush).ok();
}

/// The lines of the terminal behind `fd`; `None` if it is none or does not say.
pub fn lines(fd: impl AsFd) -> Option<usize> {
    tcgetwinsize(fd).ok().map(|size| usize::from(size.ws_row)).filter(|lines| *lines > 0)
}

/// The columns of the terminal behind `fd`; `None` if it is none or does not say.
pub fn columns(fd: impl AsFd) -> Option<usize> {
    tcgetwinsize(fd).ok().map(|size| usize::from(size.ws_col)).filter(|c| *c > 0)
}

/// The terminal that this process belongs to, opened anew and non-blocking: nobody else shares its flags, and writing to
/// it can never stop us.
pub fn open_own() -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::open("/dev/tty", flags, Mode::empty())?))
}

/// A terminal in raw mode: no echo, no line editing, no signal keys, no flow control.
#[derive(Debug)]
pub struct Raw {
    terminal: File,
    before: Termios,
}

impl Raw {
    /// Puts `terminal` into raw mode until this is dropped.
    pub fn enter(terminal: &File) -> io::Result<Self> {
        let terminal = terminal.try_clone()?;
        let before = tcgetattr(&terminal)?;
        let mut raw = before.clone();
        raw.input_modes -= InputModes::BRKINT
            | InputModes::ICRNL
            | InputModes::INPCK
            | InputModes::ISTRIP
            | InputModes::IXON;
        raw.output_modes -= OutputModes::OPOST;
        raw.control_modes |= ControlModes::CS8;
        raw.local_modes -= LocalModes::ECHO | LocalModes::ICANON | LocalModes::IEXTEN | LocalModes::ISIG;
        raw.special_codes[SpecialCodeIndex::VMIN] = 1;
        raw.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(&terminal, OptionalActions::Now, &raw)?;
        Ok(Self { terminal, before })
    }
}

/// A terminal whose keys are read one by one and not shown. Signal keys and output stay as they are.
#[derive(Debug)]
pub struct Keys {
    terminal: File,
    before: Termios,
}

impl Keys {
    /// Reads keys of `terminal` so until this is dropped.
    pub fn enter(terminal: &File) -> io::Result<Self> {
        let terminal = terminal.try_clone()?;
        let before = tcgetattr(&terminal)?;
        let mut single = before.clone();
        single.local_modes -= LocalModes::ECHO | LocalModes::ICANON;
        single.special_codes[SpecialCodeIndex::VMIN] = 1;
        single.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(&terminal, OptionalActions::Now, &single)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        // The terminal may be gone; then there is nothing to restore.
        tcsetattr(&self.terminal, OptionalActions::Now, &self.before).ok();
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // The terminal may be gone; then there is nothing to restore.
        tcsetattr(&self.terminal, OptionalActions::Now, &self.before).ok();
    }
}
