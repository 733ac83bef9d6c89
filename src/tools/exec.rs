//! Becoming another program.

use rustix::fs::{MemfdFlags, memfd_create};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// Becomes `program`, called by the name `name`, with the environment and directory of this process, and `input` as its standard input if
/// there is any. Returns only if that failed.
pub fn become_program(program: &Path, name: &OsStr, args: &[OsString], input: Option<File>) -> io::Error {
    #[expect(
        clippy::disallowed_methods,
        reason = "the program becomes this process; there is nothing to wait for"
    )]
    let mut command = Command::new(program);
    command.arg0(name).args(args);
    if let Some(input) = input {
        command.stdin(Stdio::from(input));
    }
    command.exec()
}

/// `bytes` as a file without a name, to be read from its beginning.
pub fn nameless(bytes: &[u8]) -> io::Result<File> {
    let mut file = File::from(memfd_create("input", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}
