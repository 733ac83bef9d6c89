//! Crash points, as the processes write them down.

use crate::stage::Stage;
use std::fs;

/// One point that a process passed.
#[derive(Debug, Clone)]
pub struct Point {
    pub role: String,
    pub n: u32,
    pub what: String,
}

/// The points that were passed so far, in order.
pub fn passed(stage: &Stage) -> Vec<Point> {
    let text = fs::read_to_string(stage.house.path("points")).unwrap_or_default();
    let point = |line: &str| {
        let mut words = line.splitn(4, ' ');
        let role = words.next()?.to_owned();
        let n = words.nth(1)?.parse().ok()?;
        Some(Point { role, n, what: words.next()?.to_owned() })
    };
    text.lines().filter_map(point).collect()
}

/// Those of `role`, each number once; with `from`, only those passed after the first of another role.
pub fn of_role(all: &[Point], role: &str, from: Option<&str>) -> Vec<Point> {
    let begin = from.map_or(0, |verb| all.iter().position(|p| p.role == verb).unwrap_or(all.len()));
    let mut found: Vec<Point> = Vec::new();
    for point in all.iter().skip(begin).filter(|p| p.role == role) {
        if !found.iter().any(|f| f.n == point.n) {
            found.push(point.clone());
        }
    }
    found
}
