//! `__replay`: the built-in agent that plays a recording of another one, for tests and demonstrations.

use crate::tools::file;
use serde::Deserialize;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

/// What lies beside a recording `name.jsonl` as `name.meta.json`.
#[derive(Debug, Default, Deserialize)]
struct Meta {
    #[serde(default)]
    exit_code: i32,
    #[serde(default)]
    stderr: Vec<String>,
}

/// Prints the recording and ends as it ended. A recording without its `.meta.json` ended well.
pub fn replay(recording: &Path) -> ExitCode {
    match play(recording) {
        Ok(code) => ExitCode::from(u8::try_from(code & 0xff).unwrap_or(1)),
        Err(error) => {
            writeln!(io::stderr(), "error: {error}").ok();
            ExitCode::from(2)
        }
    }
}

fn play(recording: &Path) -> Result<i32, String> {
    let missing = || format!("there is no recording {}", recording.display());
    let stream = file::read(recording).map_err(|e| e.to_string())?.ok_or_else(missing)?;
    let meta: Meta = match file::read(&recording.with_extension("meta.json")).map_err(|e| e.to_string())? {
        Some(bytes) => serde_json::from_slice(&bytes).map_err(|e| e.to_string())?,
        None => Meta::default(),
    };
    io::stdout().write_all(&stream).map_err(|e| e.to_string())?;
    for line in &meta.stderr {
        writeln!(io::stderr(), "{line}").map_err(|e| e.to_string())?;
    }
    Ok(meta.exit_code)
}
