//! Which files a checkout of their saved content would not give back byte for byte.
//!
//! Line ends, filters and encodings change files on their way into git and on their way out, and the two need not
//! undo each other: with `eol=crlf` a file that an agent wrote with plain newlines comes back with others. Where nothing
//! of the kind is configured this costs no run of git. Files on which the way out does nothing are told by their size; for the others
//! the way out is tried, in a private place.

use super::Result;
use super::changes::{Entry, Listing, nul_ended};
use super::command::{answer, path, records};
use super::disk;
use super::private::{ConfigSnapshot, PrivateDir, tree_id};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// What decides how a file goes in and out.
const ATTRIBUTES: [&str; 6] = ["text", "crlf", "eol", "filter", "ident", "working-tree-encoding"];

/// How many bytes are checked out at once to be compared.
const BATCH: u64 = 256 << 20;

/// How one file goes in and out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// As it is, both ways.
    Plain,
    /// Line ends are changed on the way in; on the way out it stays as it is.
    In,
    /// It may change on the way out.
    Out,
}

/// Can anything change one of `files` on its way? `attributes`: there is a `.gitattributes` that is not one of them.
pub(super) fn possible(
    private: &PrivateDir<'_>,
    config: &ConfigSnapshot,
    attributes: bool,
    files: &[PathBuf],
) -> bool {
    let set = config.value("core.autocrlf").is_some_and(|value| value != "false");
    let named = |path: &PathBuf| path.file_name().is_some_and(|name| name == ".gitattributes");
    set || attributes || files.iter().any(named) || private.has_attributes(config)
}

/// The tree of the files that a checkout of the private index would not give back; `None` if there are none.
pub(super) fn tree(
    private: &PrivateDir<'_>,
    config: &ConfigSnapshot,
    listing: &Listing,
) -> Result<Option<String>> {
    if !possible(private, config, listing.attributes, &listing.files) {
        return Ok(None);
    }
    private.take_bytes_by_the_rules()?;
    let differing = differing(private, config)?;
    if differing.is_empty() {
        return Ok(None);
    }
    private.take_bytes_as_they_are()?;
    let index = private.beside("bytes");
    let git = || private.git_in(&private.worktree().path, &index);
    git()
        .args(["update-index", "--add", "-z", "--stdin"])
        .stdin(nul_ended(&differing))
        .output("keep files as they are")?;
    tree_id(git().args(["write-tree", "--missing-ok"]), "write a tree").map(Some)
}

fn differing(private: &PrivateDir<'_>, config: &ConfigSnapshot) -> Result<Vec<PathBuf>> {
    let doing = "list the index";
    let out = private.git().args(["ls-files", "-z", "--stage"]).output(doing)?;
    let mut files = Vec::new();
    for record in records(&out) {
        let entry = Entry::parse(record).ok_or_else(|| answer(doing, record))?;
        let meta = disk::look(&private.worktree().path.join(&entry.path))?.filter(std::fs::Metadata::is_file);
        if let (true, Some(meta)) = (entry.mode.starts_with("100"), meta) {
            files.push((entry, meta.size()));
        }
    }
    let paths: Vec<_> = files.iter().map(|(entry, _)| entry.path.clone()).collect();
    let ways = ways(private, config, &paths)?;
    let stored = sizes(private, files.iter().zip(&ways).filter(|(_, w)| **w == Way::In).map(|(f, _)| &f.0))?;
    let (mut differing, mut batch, mut bytes) = (Vec::new(), Vec::new(), 0);
    for ((entry, size), way) in files.into_iter().zip(ways) {
        match way {
            Way::Plain => {}
            // Line ends only ever vanish on the way in.
            Way::In if stored.get(&entry.id) == Some(&size) => {}
            Way::In => differing.push(entry.path),
            Way::Out => {
                batch.push(entry.path);
                bytes += size;
                if bytes > BATCH {
                    differing.extend(tried(private, std::mem::take(&mut batch))?);
                    bytes = 0;
                }
            }
        }
    }
    differing.extend(tried(private, batch)?);
    Ok(differing)
}

/// Those of `paths` that come out otherwise than they are on disk.
fn tried(private: &PrivateDir<'_>, paths: Vec<PathBuf>) -> Result<Vec<PathBuf>> {
    if paths.is_empty() {
        return Ok(Vec::new());
    }
    let place = private.beside("tried");
    disk::make_dir(&place)?;
    let mut prefix = OsString::from("--prefix=");
    prefix.push(place.join(""));
    let git = private.git().args(["checkout-index", "-q", "-f", "-z", "--stdin"]).arg(prefix);
    // A filter that fails leaves its file out, and those behind it; they differ then, and are kept as they are.
    git.stdin(nul_ended(&paths)).run()?;
    let mut differing = Vec::new();
    for path in paths {
        if !disk::same_content(&place.join(&path), &private.worktree().path.join(&path))? {
            differing.push(path);
        }
    }
    disk::remove_tree(&place)?;
    Ok(differing)
}

/// The sizes of stored files, by their ids. What is not there has none.
fn sizes<'e>(
    private: &PrivateDir<'_>,
    entries: impl Iterator<Item = &'e Entry>,
) -> Result<BTreeMap<String, u64>> {
    let input: String = entries.flat_map(|entry| [entry.id.as_str(), "\n"]).collect();
    if input.is_empty() {
        return Ok(BTreeMap::new());
    }
    let git = private.git().args(["cat-file", "--batch-check=%(objectname) %(objectsize)"]);
    let out = git.stdin(input.into_bytes()).output("read the sizes of files")?;
    let text = String::from_utf8_lossy(&out);
    let size = |line: &str| {
        let (id, size) = line.split_once(' ')?;
        Some((id.to_owned(), size.parse().ok()?))
    };
    Ok(text.lines().filter_map(size).collect())
}

/// How each of `paths` goes in and out, by the attributes in the worktree and the settings.
pub(super) fn ways(private: &PrivateDir<'_>, config: &ConfigSnapshot, paths: &[PathBuf]) -> Result<Vec<Way>> {
    let doing = "read the attributes of files";
    let git = private.git().args(["check-attr", "-z", "--stdin"]).args(ATTRIBUTES);
    let out = git.stdin(nul_ended(paths)).output(doing)?;
    // path NUL attribute NUL value NUL; a value is never empty, but a record may be.
    let fields: Vec<&[u8]> = out.split(|b| *b == 0).collect();
    let mut found = Vec::with_capacity(paths.len());
    for (group, wanted) in fields.chunks_exact(3 * ATTRIBUTES.len()).zip(paths) {
        if group.first().map(|name| path(name)).as_ref() != Some(wanted) {
            return Err(answer(doing, group.first().unwrap_or(&&b""[..])));
        }
        let value = |n: usize| group.get(n * 3 + 2).map(|v| String::from_utf8_lossy(v)).unwrap_or_default();
        let values: [_; 6] = std::array::from_fn(value);
        found.push(way(config, &values.each_ref().map(AsRef::as_ref)));
    }
    if found.len() == paths.len() { Ok(found) } else { Err(answer(doing, b"less than was asked")) }
}

fn way(config: &ConfigSnapshot, [text, crlf, eol, filter, ident, encoding]: &[&str; 6]) -> Way {
    let named = |value: &str| !matches!(value, "unspecified" | "unset" | "set");
    let driver = |name: &str| {
        ["clean", "smudge", "process"].iter().any(|v| config.value(&format!("filter.{name}.{v}")).is_some())
    };
    if (named(filter) && driver(filter)) || *ident == "set" || named(encoding) {
        return Way::Out;
    }
    let setting = |key: &str| config.value(key).unwrap_or_default();
    let text = if *text == "unspecified" { crlf } else { text };
    let crlf_out = match (*text, *eol) {
        ("unset", _) => return Way::Plain,
        (_, "crlf") => true,
        (_, "lf") | ("input", _) => false,
        ("unspecified", _) => match setting("core.autocrlf") {
            "" | "false" => return Way::Plain,
            other => other != "input",
        },
        _ => match setting("core.autocrlf") {
            "" | "false" => setting("core.eol") == "crlf",
            other => other != "input",
        },
    };
    if crlf_out { Way::Out } else { Way::In }
}
