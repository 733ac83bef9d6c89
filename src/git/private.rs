//! A git directory of our own for one command or two, in which nothing an agent wrote is configuration.
//!
//! `git add` runs what `filter.*.clean`, `core.fsmonitor` and hooks say, and an agent can write all of these, for this
//! repository or for the user. Naming each and switching it off loses the race against the next one. So the commands
//! that read a worktree get a git directory that we made: its configuration is the snapshot taken before the agent
//! ran, its index is a copy, its objects are the repository's own, and no other configuration file is read.

use super::command::{Git, GitEnv, answer};
use super::disk;
use super::scratch::Scratch;
use super::settings::{ForWorktrees, Settings};
use super::{Repository, Result, Worktree};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// The names in a git directory that git itself uses. Others belong to filter drivers (`lfs`, `git-crypt`, `annex`).
const GITS_OWN: [&str; 18] = [
    "HEAD",
    "config",
    "config.worktree",
    "description",
    "hooks",
    "index",
    "info",
    "logs",
    "modules",
    "objects",
    "packed-refs",
    "refs",
    "reftable",
    "shallow",
    "worktrees",
    "branches",
    "rr-cache",
    "commondir",
];

/// The settings that decide how files become blobs and who commits, as they were at one moment.
///
/// Taken before the agent starts ([`ConfigSnapshot::take`]) and kept with the agent's record. Holds no credentials:
/// only `user.name`, `user.email`, `filter.*`, `lfs.storage`, the object format and a few of `core.*`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigSnapshot {
    /// Key and value, in the order in which git found them; the last one of a key counts.
    entries: Vec<(String, String)>,
    /// What else they said for worktrees that are made at that moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    for_worktrees: Option<ForWorktrees>,
}

impl ConfigSnapshot {
    /// The settings as they are now in `repository`, its worktree's and the user's own included.
    pub fn take(repository: &Repository) -> Result<Self> {
        Ok(Self::of(&Settings::of(repository)?.all, None))
    }

    /// What of `settings` belongs here, with what decides how worktrees are made.
    pub(super) fn of(settings: &[(String, String)], for_worktrees: Option<ForWorktrees>) -> Self {
        let entries = settings.iter().filter(|(key, _)| Self::wanted(key)).cloned().collect();
        Self { entries, for_worktrees }
    }

    /// What else the settings said for worktrees that were made at that moment; `None` if each has to be asked for its own.
    pub fn for_worktrees(&self) -> Option<&ForWorktrees> {
        self.for_worktrees.as_ref()
    }

    /// A snapshot with no filters and no identity, for looks; `sha256` is the object format.
    pub(super) fn bare(sha256: bool) -> Self {
        let format = sha256.then(|| ("extensions.objectformat".to_owned(), "sha256".to_owned()));
        Self { entries: format.into_iter().collect(), for_worktrees: None }
    }

    /// The same with `settings` behind them.
    pub(super) fn with(mut self, settings: impl IntoIterator<Item = (String, String)>) -> Self {
        self.entries.extend(settings);
        self
    }

    /// Whether the objects of the repository are named by SHA-256.
    pub(super) fn is_sha256(&self) -> bool {
        self.value("extensions.objectformat").is_some_and(|format| format == "sha256")
    }

    fn wanted(key: &str) -> bool {
        const EXACT: [&str; 15] = [
            "user.name",
            "user.email",
            "lfs.storage",
            "extensions.objectformat",
            "core.autocrlf",
            "core.eol",
            "core.filemode",
            "core.symlinks",
            "core.ignorecase",
            "core.precomposeunicode",
            "core.excludesfile",
            "core.attributesfile",
            "core.checkroundtripencoding",
            "core.bigfilethreshold",
            "core.compression",
        ];
        key.starts_with("filter.") || EXACT.contains(&key)
    }

    /// The value of a key, which is written as git lists it: section and variable in lower case.
    pub(super) fn value(&self, key: &str) -> Option<&str> {
        self.entries.iter().rev().find(|(k, _)| k == key).map(|(_, value)| value.as_str())
    }

    /// Name and email that commits here get; `None` unless both are set.
    pub fn identity(&self) -> Option<(&str, &str)> {
        let set = |key| self.value(key).filter(|value| !value.trim().is_empty());
        Some((set("user.name")?, set("user.email")?))
    }

    /// The filter drivers whose commands lie in `work_tree`, where an agent can have changed them.
    fn drivers_within(&self, work_tree: &Path) -> BTreeSet<String> {
        let drivers = self.entries.iter().filter_map(|(key, value)| {
            let (driver, variable) = key.strip_prefix("filter.")?.rsplit_once('.')?;
            let runs = matches!(variable, "clean" | "smudge" | "process");
            (runs && names_file_in(value, work_tree)).then(|| driver.to_owned())
        });
        drivers.collect()
    }
}

/// Does a command line name a file in `dir` (by a relative path, since filters run there, or an absolute one)?
fn names_file_in(command: &str, dir: &Path) -> bool {
    let separators = |c: char| c.is_whitespace() || "'\"`;|&()<>=$".contains(c);
    // A plain word such as the `clean` of `git-lfs clean` is an argument even if a file has that name.
    let paths = command.split(separators).filter(|word| word.contains(['/', '.']));
    paths
        .map(|word| dir.join(word))
        .any(|path| path.starts_with(dir) && disk::look(&path).is_ok_and(|m| m.is_some()))
}

/// A private git directory for one worktree, gone when dropped.
pub(super) struct PrivateDir<'a> {
    env: &'a GitEnv,
    worktree: &'a Worktree,
    scratch: Scratch,
    /// Filter drivers of the user that were left out because their command lies in the worktree.
    pub(super) skipped_filters: Vec<String>,
    /// The worktree's own index at the moment of the copy; `None`: it has none.
    pub(super) copied: Option<disk::Stamp>,
    /// Where new objects go, if not into the repository.
    objects: Option<PathBuf>,
}

impl<'a> PrivateDir<'a> {
    /// Makes it, with a copy of the worktree's index if it has one.
    pub(super) fn new(env: &'a GitEnv, worktree: &'a Worktree, config: &ConfigSnapshot) -> Result<Self> {
        let scratch = Scratch::new(&env.scratch)?;
        let dir = scratch.path();
        let skipped = config.drivers_within(&worktree.path);
        disk::write(&dir.join("HEAD"), b"ref: refs/heads/none\n")?;
        disk::write(
            &dir.join("config"),
            config_text(config, &skipped, &worktree.common_dir, false).as_bytes(),
        )?;
        for name in ["refs", "objects", "info"] {
            disk::make_dir(&dir.join(name))?;
        }
        for name in ["info/exclude", "info/attributes"] {
            disk::copy_with_time(&worktree.common_dir.join(name), &dir.join(name))?;
        }
        let before = disk::stamp(&worktree.admin_dir.join("index"))?;
        let there = disk::copy_with_time(&worktree.admin_dir.join("index"), &dir.join("index"))?;
        for name in disk::names(&worktree.admin_dir)?.unwrap_or_default() {
            // The larger half of a split index.
            if name.to_string_lossy().starts_with("sharedindex.") {
                disk::copy_with_time(&worktree.admin_dir.join(&name), &dir.join(&name))?;
            }
        }
        for name in disk::names(&worktree.common_dir)?.unwrap_or_default() {
            let from = worktree.common_dir.join(&name);
            let foreign = !GITS_OWN.iter().any(|own| name == *own);
            if foreign && disk::look(&from)?.is_some_and(|meta| meta.is_dir()) {
                disk::link(&from, &dir.join(&name))?;
            }
        }
        let copied = before.filter(|_| there);
        Ok(Self {
            env,
            worktree,
            scratch,
            skipped_filters: skipped.into_iter().collect(),
            copied,
            objects: None,
        })
    }

    /// From now on the disk is taken for what it is here: upper and lower case are two names, a link is a link, and a file can be
    /// executable. What the user set is right for the file system on which the repository was made, perhaps.
    pub(super) fn take_the_disk_as_it_is(&self) -> Result<()> {
        let path = self.beside("config");
        let text = disk::read_small(&path)?.unwrap_or_default();
        let rule = b"[core]\n\tignorecase = false\n\tsymlinks = true\n\tfilemode = true\n";
        disk::write(&path, &[&text[..], rule].concat())
    }

    /// From now on nothing that is put into an index is kept: for looks that change nothing.
    pub(super) fn keep_nothing(&mut self) -> Result<()> {
        let objects = self.beside("thrown-away");
        disk::make_dir(&objects)?;
        self.objects = Some(objects);
        Ok(())
    }

    /// The private index.
    pub(super) fn index(&self) -> PathBuf {
        self.scratch.path().join("index")
    }

    /// A command on the worktree that reads no configuration but ours.
    pub(super) fn git(&self) -> Git {
        self.git_in(&self.worktree.path, &self.index())
    }

    /// The same on another tree and index, for a repository inside the worktree.
    pub(super) fn git_in(&self, work_tree: &Path, index: &Path) -> Git {
        let dir = self.scratch.path();
        let mut git = Git::at(self.env, dir, dir, work_tree);
        for (name, value) in self.objects() {
            git = git.env(name, value);
        }
        git.limit(self.env.long_limit)
            // A list of two million files is long, and half a list would be taken for deletions.
            .output_cap(1 << 30)
            .env("GIT_INDEX_FILE", index)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            // A filter that is a Python module must not find one that an agent put into its working directory.
            .env("PYTHONSAFEPATH", "1")
    }

    /// Where objects are read from and written to, as variables.
    fn objects(&self) -> Vec<(&'static str, OsString)> {
        let objects = self.worktree.common_dir.join("objects");
        match &self.objects {
            Some(elsewhere) => vec![
                ("GIT_OBJECT_DIRECTORY", elsewhere.clone().into()),
                ("GIT_ALTERNATE_OBJECT_DIRECTORIES", escaped(&objects)),
            ],
            None => vec![("GIT_OBJECT_DIRECTORY", objects.into())],
        }
    }

    /// This directory and its objects, as variables for a command that is not ours alone.
    pub(super) fn places(&self) -> Vec<(&'static str, OsString)> {
        let mut places = self.objects();
        places.push(("GIT_DIR", self.scratch.path().into()));
        places
    }

    /// Has the private index agree with the disk where the content does, also where git was told to take that for
    /// granted. With `hidden` git looks at files that it was told not to look at, and forgets that it was.
    pub(super) fn refresh(&self, hidden: bool) -> Result<()> {
        let git = self.git().config("core.sparseCheckout", if hidden { "true" } else { "false" });
        let refresh = git.args(["update-index", "-q", "--really-refresh"]).run()?;
        // Exit code 1 tells that some differ.
        if matches!(refresh.status.code(), Some(0 | 1)) { Ok(()) } else { Err(refresh.failure().into()) }
    }

    /// Where the worktree of this directory is.
    pub(super) fn worktree(&self) -> &Worktree {
        self.worktree
    }

    /// A path in this directory, for a further index or files of a moment.
    pub(super) fn beside(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// From now on files go in byte for byte: no filter, no line ends, no encoding.
    pub(super) fn take_bytes_as_they_are(&self) -> Result<()> {
        let rule = b"* -filter -text -ident -working-tree-encoding\n";
        // In this file a rule wins over those of every `.gitattributes`.
        disk::write(&self.scratch.path().join("info/attributes"), rule)
    }

    /// From now on files go in and out by the attributes and filters of before [`Self::take_bytes_as_they_are`].
    pub(super) fn take_bytes_by_the_rules(&self) -> Result<()> {
        let attributes = self.beside("info/attributes");
        disk::remove_file(&attributes)?;
        disk::copy_with_time(&self.worktree.common_dir.join("info/attributes"), &attributes).map(|_| ())
    }

    /// Are there attributes beside those in the worktree? Where one cannot find out, there are.
    pub(super) fn has_attributes(&self, config: &ConfigSnapshot) -> bool {
        let places = [
            Some(self.worktree.common_dir.join("info/attributes")),
            Some(PathBuf::from("/etc/gitattributes")),
            self.env.users_attributes(),
        ];
        config.value("core.attributesfile").is_some()
            || places.iter().flatten().any(|place| disk::look(place).map_or(true, |found| found.is_some()))
    }

    /// Makes the worktree's own index the private one; false if somebody holds its lock or has written it since.
    pub(super) fn install_index(&self) -> Result<bool> {
        let (index, lock) =
            (self.worktree.admin_dir.join("index"), self.worktree.admin_dir.join("index.lock"));
        if let Err(e) = disk::copy_with_time(&self.index(), &lock) {
            let held = disk::look(&lock)?.is_some();
            return if held { Ok(false) } else { Err(e) };
        }
        if disk::stamp(&index)? == self.copied {
            disk::rename(&lock, &index)?;
            return Ok(true);
        }
        disk::remove_file(&lock)?;
        Ok(false)
    }
}

/// A git directory of our own for commands on commits and trees, without a worktree.
pub(super) struct BareDir<'a> {
    env: &'a GitEnv,
    common_dir: &'a Path,
    scratch: Scratch,
}

impl<'a> BareDir<'a> {
    /// Over the objects of the repository whose common directory is `common_dir`. New ones go there too. Of `config` only the format of
    /// the objects counts.
    pub(super) fn new(env: &'a GitEnv, common_dir: &'a Path, config: &ConfigSnapshot) -> Result<Self> {
        Self::with(env, common_dir, &ConfigSnapshot::bare(config.is_sha256()))
    }

    /// The same with all of `config`.
    pub(super) fn with(env: &'a GitEnv, common_dir: &'a Path, config: &ConfigSnapshot) -> Result<Self> {
        let scratch = Scratch::new(&env.scratch)?;
        let dir = scratch.path();
        disk::write(&dir.join("HEAD"), b"ref: refs/heads/none\n")?;
        let text = config_text(config, &BTreeSet::new(), common_dir, true);
        disk::write(&dir.join("config"), text.as_bytes())?;
        for name in ["refs", "objects", "info"] {
            disk::make_dir(&dir.join(name))?;
        }
        disk::copy_with_time(&common_dir.join("shallow"), &dir.join("shallow"))?;
        Ok(Self { env, common_dir, scratch })
    }

    /// A command that reads no configuration but ours.
    pub(super) fn git(&self) -> Git {
        Git::without_work_tree(self.env, self.scratch.path())
            .limit(self.env.long_limit)
            .env("GIT_OBJECT_DIRECTORY", self.common_dir.join("objects"))
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
    }
}

/// A path as one of a list: quoted, so that a colon in it ends nothing.
fn escaped(path: &Path) -> OsString {
    let mut text = vec![b'"'];
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'"' | b'\\' => text.extend([b'\\', *byte]),
            byte => text.push(*byte),
        }
    }
    text.push(b'"');
    OsString::from_vec(text)
}

/// The configuration file of a private directory.
fn config_text(config: &ConfigSnapshot, skipped: &BTreeSet<String>, common_dir: &Path, bare: bool) -> String {
    let sha256 = config.is_sha256();
    let mut text = String::new();
    let mut set = |key: &str, value: &str| {
        let (section, variable) = key.rsplit_once('.').unwrap_or(("core", key));
        let header = match section.split_once('.') {
            Some((section, sub)) => format!("[{section} {}]", quoted(sub)),
            None => format!("[{section}]"),
        };
        // Writing to a string cannot fail.
        let _infallible = write!(text, "{header}\n\t{variable} = {}\n", quoted(value));
    };
    for (key, value) in &config.entries {
        let driver =
            key.strip_prefix("filter.").and_then(|rest| rest.rsplit_once('.')).map(|(driver, _)| driver);
        let skip = driver.is_some_and(|driver| skipped.contains(driver)) || key.starts_with("extensions.");
        if !skip && key != "lfs.storage" {
            set(key, value);
        }
    }
    // git-lfs keeps objects beside the git directory it is told; ours vanishes, and they must not vanish with it.
    let storage = common_dir.join(config.value("lfs.storage").unwrap_or("lfs"));
    set("lfs.storage", &storage.to_string_lossy());
    set("core.repositoryformatversion", if sha256 { "1" } else { "0" });
    if sha256 {
        set("extensions.objectformat", "sha256");
    }
    for (key, value) in [
        ("core.bare", if bare { "true" } else { "false" }),
        ("core.splitindex", "false"),
        // Makes git look whether files that a sparse checkout left out are there after all.
        ("core.sparsecheckout", "true"),
        ("index.sparse", "false"),
        // What we report as saved has reached the disk.
        ("core.fsync", "committed,index,reference"),
        ("core.fsyncmethod", "batch"),
    ] {
        set(key, value);
    }
    text
}

/// A value or subsection as git's configuration syntax wants it.
fn quoted(value: &str) -> String {
    let mut text = String::from('"');
    for c in value.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            '\n' => text.push_str("\\n"),
            c => text.push(c),
        }
    }
    text.push('"');
    text
}

/// The object id that a command printed.
pub(super) fn tree_id(git: Git, doing: &'static str) -> Result<String> {
    let line = git.line(doing)?;
    match line.to_str() {
        Some(id) if super::CommitId::parse(id).is_some() => Ok(id.to_owned()),
        _ => Err(answer(doing, line.as_encoded_bytes())),
    }
}
