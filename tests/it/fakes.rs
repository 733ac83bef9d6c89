//! Agents that are no models, and looks that several subjects share.

use crate::house::{Done, House};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// An agent CLI that speaks claude's format, keeps what it was given, and does what a script says.
pub struct Fake {
    dir: PathBuf,
}

impl Fake {
    /// Adds it to `house` as the agent CLI `name`. `script` runs in the worktree with `$n` (which start it is, from 1) and
    /// `$id` (its conversation); `say TEXT` speaks, `result COST` ends well, `broke CODE` ends with an error.
    pub fn claude(house: &House, name: &str, script: &str) -> Self {
        let dir = house.path(format!("seen-{name}"));
        std::fs::create_dir_all(&dir).unwrap();
        let body = format!(
            r#"dir='{dir}'
n=1; while [ -e "$dir/$n.args" ]; do n=$((n+1)); done
printf '%s\n' "$@" > "$dir/$n.args"
cat > "$dir/$n.in"
env > "$dir/$n.env"
id=none; before=
for word in "$@"; do case "$before" in --session-id|--resume) id=$word;; esac; before=$word; done
say() {{ printf '{{"type":"assistant","message":{{"content":[{{"type":"text","text":"%s"}}]}}}}\n' "$1"; }}
cost() {{ printf '{{"type":"result","subtype":"success","is_error":false,"result":"ok","total_cost_usd":%s,"usage":{{"input_tokens":10,"output_tokens":5}}}}\n' "$1"; }}
result() {{ cost "$1"; exit 0; }}
broke() {{ printf '{{"type":"result","subtype":"%s","is_error":true,"total_cost_usd":0.5,"usage":{{"input_tokens":10,"output_tokens":5}}}}\n' "$1"; exit 1; }}
printf '{{"type":"system","subtype":"init","session_id":"%s","model":"fake-1"}}\n' "$id"
{script}
result 0.01"#,
            dir = dir.display()
        );
        house.cli(name, &body);
        house.profile(
            name,
            &format!(
                "name = \"{name}\"\nextends = \"claude\"\ncommand = \"{name}\"\ninstall = \"get {name}\"\n"
            ),
        );
        Self { dir }
    }

    /// How often it was started.
    pub fn starts(&self) -> usize {
        (1..1000).take_while(|n| self.dir.join(format!("{n}.args")).exists()).count()
    }

    /// What it got on standard input at start `n`.
    pub fn input(&self, n: usize) -> Vec<u8> {
        std::fs::read(self.dir.join(format!("{n}.in"))).unwrap()
    }

    /// The task that it got on standard input at start `n`, without the line about the others that stands behind every task.
    pub fn task(&self, n: usize) -> Vec<u8> {
        task_of(&self.input(n))
    }

    /// Its arguments at start `n`, one a line.
    pub fn args(&self, n: usize) -> String {
        std::fs::read_to_string(self.dir.join(format!("{n}.args"))).unwrap()
    }

    /// Its environment at start `n`.
    pub fn env(&self, n: usize) -> String {
        String::from_utf8_lossy(&std::fs::read(self.dir.join(format!("{n}.env"))).unwrap()).into_owned()
    }
}

/// What is before the line about the others, which must be there and be the last.
pub fn task_of(prompt: &[u8]) -> Vec<u8> {
    let begin = b"\n\n[ai_orch] You are the agent ";
    let at = prompt.windows(begin.len()).rposition(|w| w == begin);
    let (task, line) = prompt.split_at(at.unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(prompt))));
    let line = String::from_utf8_lossy(line);
    assert_eq!(line.trim().lines().count(), 1, "{line}");
    assert!(line.ends_with("`ai_orch guide`.\n"), "{line}");
    task.to_vec()
}

/// The names that are reserved: every agent there is.
pub fn names(house: &House) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(house.path("home/.local/state/ai_orch/names")) else {
        return Vec::new();
    };
    entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
}

/// Nothing in `text` can steer a terminal: no control character but the line end, no direction mark, nothing invisible.
pub fn harmless(text: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(text).map_err(|e| format!("not UTF-8: {e}"))?;
    let bad = |c: &char| {
        (c.is_control() && *c != '\n')
            || matches!(*c, '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    match text.chars().find(bad) {
        Some(c) => Err(format!("{c:?} in {text:?}")),
        None => Ok(()),
    }
}

/// Both outputs of a call are harmless.
pub fn assert_harmless(done: &Done) {
    for text in [done.raw.as_slice(), done.stderr.as_bytes()] {
        harmless(text).unwrap_or_else(|why| panic!("{why}"));
    }
}

/// The error on standard error, as JSON.
pub fn json_error(done: &Done) -> Value {
    serde_json::from_str(done.stderr.trim_end()).unwrap_or_else(|e| panic!("{e}: {done}"))
}

/// Every file below `dir`.
pub fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        let Ok(entries) = std::fs::read_dir(&dir) else { continue };
        for entry in entries {
            let entry = entry.unwrap();
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                dirs.push(entry.path());
            } else if kind.is_file() || kind.is_symlink() {
                // Not what would have to be written to by somebody before it can be read: a keeper's bell.
                found.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

/// A PATH that holds `tools` of this machine and what the house adds, and no agent CLI that may be installed here.
pub fn bare_path(house: &House, tools: &[&str]) -> String {
    let dir = house.path("tools");
    std::fs::create_dir_all(&dir).unwrap();
    for tool in tools {
        let found = ["/usr/local/bin", "/usr/bin", "/bin"]
            .iter()
            .map(|d| Path::new(d).join(tool))
            .find(|p| p.exists());
        let link = dir.join(tool);
        if !link.exists() {
            std::os::unix::fs::symlink(found.unwrap_or_else(|| panic!("{tool} is not installed")), link)
                .unwrap();
        }
    }
    format!("{}:{}", house.path("bin").display(), dir.display())
}
