//! Stairs go down only: who may use whom, read from every `crate::` path of the source.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Each room with its floor. Rooms on one floor do not use each other, with the exceptions named below.
const FLOORS: [(&str, u32); 15] = [
    ("model", 0),
    ("rules", 1),
    ("tools", 2),
    ("a2a", 3),
    ("agents", 3),
    ("git", 3),
    ("github", 3),
    ("settings", 3),
    ("tmux", 3),
    ("life", 4),
    ("keeper", 5),
    ("ops", 5),
    ("cli", 6),
    ("mcp", 6),
    ("lib", 7),
];

/// Steps on one floor or up that are meant, each with its reason.
const ALLOWED: [(&str, &str); 1] = [
    // The verb `mcp` opens the other door.
    ("cli", "mcp"),
];

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// The rooms that `text` names with `crate::room`, also in `use crate::{a, b}`.
fn named(text: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut word = String::new();
            let mut at_start = true;
            for c in group.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => at_start = true,
                    _ => {}
                }
                if depth == 0 && at_start && (c.is_alphanumeric() || c == '_') {
                    word.push(c);
                } else if !word.is_empty() {
                    rooms.push(std::mem::take(&mut word));
                    at_start = c == ',';
                }
            }
            if !word.is_empty() {
                rooms.push(word);
            }
        } else {
            rooms.push(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    rooms
}

#[test]
fn stairs_go_down_only() {
    let floors: BTreeMap<&str, u32> = FLOORS.into();
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    assert!(files.len() > 50, "the source is where it is looked for");
    let mut wrong = Vec::new();
    let mut steps = 0;
    for file in files {
        let place = file.strip_prefix(&src).unwrap();
        let room = place.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
        if room == "bin" {
            continue;
        }
        let own = *floors.get(room.as_str()).unwrap_or_else(|| panic!("{room} has no floor"));
        let text = std::fs::read_to_string(&file).unwrap();
        for other in named(&text) {
            let Some(floor) = floors.get(other.as_str()) else { continue };
            steps += 1;
            let fine = other == room || *floor < own || ALLOWED.contains(&(room.as_str(), other.as_str()));
            if !fine {
                wrong.push(format!("{} uses {other}", place.display()));
            }
        }
    }
    assert!(steps > 100, "the paths are found");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn groups_are_read_too() {
    assert_eq!(named("use crate::{a2a, git::{x, y}, tools};"), ["a2a", "git", "tools"]);
    assert_eq!(named("crate::model::x + crate::rules"), ["model", "rules"]);
}
