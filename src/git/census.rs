//! All refs of a repository and its checkouts at one moment, what happened to them since, and putting single refs back.

use super::command::{Git, GitEnv, answer};
use super::{CommitId, Error, Result, Worktree, disk, locks, refs};
use crate::model::guard::{Checkout, Index, Log, Refs};
use crate::rules::guard::LogLine;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a remote may take to say what it has.
const REMOTE_LIMIT: Duration = Duration::from_secs(20);
/// How much of the log of a HEAD is read, in bytes: days of work.
const LOG_MAX: u64 = 8 << 20;
/// How long a line of a log is at most, in bytes, for us to read it.
const LINE_MAX: u64 = 1 << 16;
/// How much later than a directory its parent may look changed by it, in nanoseconds.
const TICK_NS: i128 = 10_000_000;
/// How many commits of an agent are told apart from others.
const COMMITS: &str = "--max-count=100000";
/// Answers may be as long as repositories have refs.
const LONG: usize = 1 << 28;

/// All refs, by their full names, with the id that each holds; one that stands for another one has `ref:` and its name.
pub fn refs_of(env: &GitEnv, common_dir: &Path) -> Result<Refs> {
    refs_below(env, common_dir, &[])
}

/// The same of those only that `patterns` say, if there are any.
fn refs_below(env: &GitEnv, common_dir: &Path, patterns: &[&str]) -> Result<Refs> {
    let doing = "list refs";
    let format = "--format=%(objectname)%(if)%(symref)%(then)ref:%(symref)%(end) %(refname)";
    let out = Git::without_work_tree(env, common_dir)
        .output_cap(LONG)
        .args(["for-each-ref", format])
        .args(patterns)
        .output(doing)?;
    let mut refs = Refs::new();
    for line in out.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
        let text = String::from_utf8_lossy(line);
        let (value, name) = text.split_once(' ').ok_or_else(|| answer(doing, line))?;
        let value = value.find("ref:").and_then(|at| value.get(at..)).unwrap_or(value);
        refs.insert(name.to_owned(), value.to_owned());
    }
    Ok(refs)
}

/// The checkouts of the repository, the main one first, with what their logs hold by now. One that cannot be read is at no branch and
/// has no log: an agent can make such a thing, and it must not hide all others.
pub fn checkouts(common_dir: &Path) -> Result<Vec<Checkout>> {
    let linked = common_dir.join("worktrees");
    let names = disk::names(&linked)?.unwrap_or_default();
    let dirs = std::iter::once(common_dir.to_owned()).chain(names.into_iter().map(|name| linked.join(name)));
    let checkout = |admin_dir: PathBuf| {
        let file = |path: PathBuf| disk::look(&path).ok().flatten().filter(std::fs::Metadata::is_file);
        let log = file(log_of(&admin_dir)).map(|meta| Log { bytes: meta.len(), file: meta.ino() });
        let index = file(admin_dir.join("index")).map(|meta| Index {
            bytes: meta.len(),
            file: meta.ino(),
            changed_ns: i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec()),
        });
        Checkout { branch: at(&admin_dir).ok().flatten(), log, index, admin_dir }
    };
    Ok(dirs.map(checkout).collect())
}

/// When a linked checkout came or went last, in nanoseconds since 1970; `None`: there is none.
pub fn checkouts_changed_ns(common_dir: &Path) -> Result<Option<i128>> {
    let meta = disk::look(&common_dir.join("worktrees"))?;
    Ok(meta.map(|meta| i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec())))
}

/// Whether a checkout may have gone since `changed` was when one came or went last, and since those of `before` were there.
pub fn has_left(common_dir: &Path, before: &[Checkout], changed: Option<i128>) -> Result<bool> {
    let now = checkouts_changed_ns(common_dir)?;
    if before.iter().any(|c| disk::look(&c.admin_dir).is_ok_and(|there| there.is_none())) {
        return Ok(true);
    }
    let (Some(now), Some(changed)) = (now, changed) else { return Ok(true) };
    // The newest that is there explains the last change, if that is when it was made.
    let linked = common_dir.join("worktrees");
    let mut newest = i128::MIN;
    for name in disk::names(&linked)?.unwrap_or_default() {
        let Some(made) = disk::look(&linked.join(name))?.and_then(|meta| meta.created().ok()) else {
            continue;
        };
        let since = made.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        newest = newest.max(i128::try_from(since.as_nanos()).unwrap_or_default());
    }
    Ok(now != changed && now > newest + TICK_NS)
}

fn log_of(admin_dir: &Path) -> PathBuf {
    admin_dir.join("logs/HEAD")
}

/// The ref that the HEAD of a checkout is at.
fn at(admin_dir: &Path) -> Result<Option<String>> {
    let head = disk::read_small(&admin_dir.join("HEAD"))?.unwrap_or_default();
    let name =
        head.strip_prefix(b"ref: ").map(|name| String::from_utf8_lossy(name.trim_ascii()).into_owned());
    Ok(name)
}

/// The commit that the HEAD of a checkout is at, if it is at no ref.
pub fn detached(admin_dir: &Path) -> Option<String> {
    let head = disk::read_small(&admin_dir.join("HEAD")).ok()??;
    let text = String::from_utf8_lossy(&head);
    CommitId::parse(text.trim()).map(|id| id.as_str().to_owned())
}

/// What the log of the HEAD of `now` says since it was `before`; `None` if it cannot be read. Where git has put another file in its place,
/// as it does when it forgets old lines, what was written `since` counts, in seconds since 1970.
pub fn walked(now: &Checkout, before: Option<Log>, since: i64) -> Option<Vec<LogLine>> {
    let log = now.log?;
    let same = is_whole(Some(log), before);
    let from = before.filter(|_| same).map_or(0, |before| before.bytes);
    let length = log.bytes.checked_sub(from).filter(|length| *length <= LOG_MAX)?;
    let lines = log_lines(&read(&log_of(&now.admin_dir), from, length)?);
    let counts =
        |(line, at): (LogLine, Option<i64>)| (same || at.is_none_or(|at| at >= since)).then_some(line);
    Some(lines.into_iter().filter_map(counts).collect())
}

/// Whether the log `now` is the one that it was `before`, with what was added.
pub fn is_whole(now: Option<Log>, before: Option<Log>) -> bool {
    let goes_on = |now: Log| before.is_none_or(|before| before.file == now.file && before.bytes <= now.bytes);
    now.is_some_and(goes_on)
}

/// So much of a file, from there on; `None` if there is less, or no file.
fn read(path: &Path, from: u64, length: u64) -> Option<Vec<u8>> {
    let file = crate::tools::file::open(path).ok()??;
    let mut bytes = vec![0; usize::try_from(length).ok()?];
    file.read_exact_at(&mut bytes, from).ok()?;
    Some(bytes)
}

/// The lines of a log, with their times in seconds since 1970.
fn log_lines(bytes: &[u8]) -> Vec<(LogLine, Option<i64>)> {
    let text = String::from_utf8_lossy(bytes);
    let line = |line: &str| {
        let (head, message) = line.split_once('\t').unwrap_or((line, ""));
        let mut ids = head.split(' ').map(str::to_owned);
        let (from, to) = (ids.next()?, ids.next()?);
        let at = head.rsplit(' ').nth(1).and_then(|at| at.parse().ok());
        Some((LogLine { from, to, message: message.to_owned(), at }, at))
    };
    text.lines().filter_map(line).collect()
}

/// The newest line of the log of the ref `name`; `None` if it has none that can be read.
pub fn newest(common_dir: &Path, name: &str) -> Option<LogLine> {
    let path = common_dir.join("logs").join(name);
    let length = disk::look(&path).ok().flatten().filter(std::fs::Metadata::is_file)?.len();
    let some = length.min(LINE_MAX);
    log_lines(&read(&path, length - some, some)?).pop().map(|(line, _)| line)
}

/// Those of `names`, remote-tracking refs, whose newest change was no push of ours.
pub fn fetched<'n>(common_dir: &Path, names: impl IntoIterator<Item = &'n String>) -> BTreeSet<String> {
    let by_fetch = |name: &&String| {
        newest(common_dir, name).is_some_and(|line| !line.message.starts_with("update by push"))
    };
    names.into_iter().filter(by_fetch).cloned().collect()
}

/// Whether the index of a checkout, which was `before` when it was looked at, still is what the branch was that it stands on, so that the
/// branch was not moved `from` there `to` there by anything done in this checkout.
pub fn is_unused(
    env: &GitEnv,
    common_dir: &Path,
    now: &Checkout,
    before: Option<Index>,
    (from, to): (&str, Option<&str>),
) -> bool {
    if now.index.is_none()
        || disk::look(&now.admin_dir.join("index.lock")).map_or(true, |lock| lock.is_some())
    {
        return false;
    }
    if now.index == before {
        return true;
    }
    let git = || Git::at(env, &now.admin_dir, common_dir, &now.admin_dir).output_cap(LONG);
    let names = |git: Git| -> Option<BTreeSet<Vec<u8>>> {
        let out = git.output("compare an index").ok()?;
        Some(out.split(|b| *b == 0).filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect())
    };
    let staged =
        names(git().args(["diff-index", "--cached", "--name-only", "--no-renames", "-z", from, "--"]));
    let Some(staged) = staged else { return false };
    let Some(to) = to else { return staged.is_empty() };
    let moved = names(git().args(["diff-tree", "-r", "--name-only", "--no-renames", "-z", from, to, "--"]));
    // What a person has staged beside that says nothing.
    moved.is_some_and(|moved| !moved.is_empty() && moved.is_disjoint(&staged))
}

/// Those of `ids` that are in the repository.
pub fn known(env: &GitEnv, common_dir: &Path, ids: &BTreeSet<String>) -> Result<BTreeSet<String>> {
    if ids.is_empty() {
        return Ok(BTreeSet::new());
    }
    let out = Git::without_work_tree(env, common_dir)
        .output_cap(LONG)
        .args(["cat-file", "--batch-check=%(objectname)"])
        .stdin(lines(ids.iter().map(String::as_str)))
        .output("look for objects")?;
    let text = String::from_utf8_lossy(&out);
    Ok(text.lines().filter(|line| !line.ends_with(" missing")).map(str::to_owned).collect())
}

/// The commits that `from` lead to and `without` do not. What is not there leads nowhere.
pub fn reached<'i>(
    env: &GitEnv,
    common_dir: &Path,
    from: impl IntoIterator<Item = &'i str>,
    without: impl IntoIterator<Item = &'i str>,
) -> Result<BTreeSet<String>> {
    let from: Vec<&str> = from.into_iter().filter(|id| CommitId::parse(id).is_some()).collect();
    if from.is_empty() {
        return Ok(BTreeSet::new());
    }
    let without: BTreeSet<&str> = without.into_iter().filter(|id| CommitId::parse(id).is_some()).collect();
    let mut input = lines(from.into_iter());
    for id in without {
        input.extend_from_slice(format!("^{id}\n").as_bytes());
    }
    let out = Git::without_work_tree(env, common_dir)
        .output_cap(LONG)
        .limit(env.long_limit)
        .args(["rev-list", "--ignore-missing", COMMITS, "--stdin"])
        .stdin(input)
        .output("list commits")?;
    Ok(String::from_utf8_lossy(&out).lines().map(str::to_owned).collect())
}

fn lines<'i>(ids: impl Iterator<Item = &'i str>) -> Vec<u8> {
    ids.flat_map(|id| [id, "\n"]).collect::<String>().into_bytes()
}

/// Whether `to` goes on from `from`.
pub fn goes_on(env: &GitEnv, common_dir: &Path, from: &str, to: &str) -> Result<bool> {
    let words = ["merge-base", "--is-ancestor", from, to];
    Ok(Git::without_work_tree(env, common_dir).args(words).run()?.status.success())
}

/// A remote as the repository has it configured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RemoteConfig {
    /// Its name.
    pub name: String,
    /// Its URLs, as they are written.
    pub urls: Vec<String>,
    /// Those that are for pushing only.
    pub push_urls: Vec<String>,
}

/// What the configuration of the repository says that guardrails have to know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Configured {
    /// The remotes.
    pub remotes: Vec<RemoteConfig>,
    /// Where hooks are, without links and relative parts where that can be told.
    pub hooks: PathBuf,
}

/// What is configured for `worktree`.
pub fn configured(env: &GitEnv, worktree: &Worktree) -> Result<Configured> {
    let wanted =
        r"^(remote\..*\.(url|pushurl)|remote\.pushdefault|branch\..*\.(remote|pushremote)|core\.hookspath)$";
    let out = Git::at(env, &worktree.admin_dir, &worktree.common_dir, &worktree.path)
        .args(["config", "-z", "--show-scope", "--get-regexp", wanted])
        .output("read the configuration")?;
    let mut configured = Configured { hooks: worktree.common_dir.join("hooks"), ..Configured::default() };
    let mut fields = out.split(|b| *b == 0);
    let mut unnamed = BTreeSet::new();
    while let (Some(scope), Some(pair)) = (fields.next(), fields.next()) {
        // What we say on every command line is not what is configured.
        if scope == b"command" {
            continue;
        }
        let at = pair.iter().position(|b| *b == b'\n').unwrap_or(pair.len());
        let (key, value) = pair.split_at(at);
        let (key, value) = (String::from_utf8_lossy(key), value.get(1..).unwrap_or_default());
        if key == "core.hookspath" {
            let value = String::from_utf8_lossy(value);
            let path = env.expanded(&value).unwrap_or_else(|| worktree.path.join(OsStr::new(&*value)));
            configured.hooks = path;
            continue;
        }
        if key == "remote.pushdefault" || key.starts_with("branch.") {
            unnamed.extend(String::from_utf8(value.to_vec()).ok());
            continue;
        }
        let name = key.strip_prefix("remote.").and_then(|key| key.rsplit_once('.'));
        let (Some((name, what)), Ok(url)) = (name, String::from_utf8(value.to_vec())) else { continue };
        let remotes = &mut configured.remotes;
        let at = remotes.iter().position(|remote| remote.name == name).unwrap_or_else(|| {
            remotes.push(RemoteConfig { name: name.to_owned(), ..RemoteConfig::default() });
            remotes.len() - 1
        });
        let Some(remote) = remotes.get_mut(at) else { continue };
        let list = if what == "url" { &mut remote.urls } else { &mut remote.push_urls };
        // An empty one takes back those before it.
        if url.is_empty() { list.clear() } else { list.push(url) }
    }
    // Where a branch goes may be said by a URL in place of a name; this repository is no remote.
    unnamed.retain(|url| {
        url.contains(['/', ':']) && configured.remotes.iter().all(|remote| remote.name != *url)
    });
    configured.remotes.extend(unnamed.into_iter().map(|url| RemoteConfig {
        name: url.clone(),
        urls: vec![url],
        push_urls: Vec::new(),
    }));
    Ok(configured)
}

/// Where `url`, as it is written for a remote, leads to by the settings of the repository; a path that is relative begins at `base`.
pub fn leads_to(env: &GitEnv, worktree: &Worktree, url: &str, base: &Path) -> Result<String> {
    let line = Git::at(env, &worktree.admin_dir, &worktree.common_dir, &worktree.path)
        .args(["ls-remote", "--get-url", url])
        .line("look up a URL")?;
    let url = line.to_string_lossy().into_owned();
    let is_path = !url.contains("://") && url.split('/').next().is_some_and(|first| !first.contains(':'));
    Ok(if is_path { base.join(&url).to_string_lossy().into_owned() } else { url })
}

/// What a remote has. No setting of a repository has a say: an agent can write those.
pub fn remote(env: &GitEnv, url: &str) -> Result<Refs> {
    let parent = env.scratch.parent().unwrap_or(&env.scratch);
    let out = Git::new(env)
        .with_network()
        .env("GIT_ALLOW_PROTOCOL", "file:git:http:https:ssh")
        .env("GIT_CEILING_DIRECTORIES", parent)
        .env("GIT_SSH_COMMAND", "ssh -o BatchMode=yes -o ConnectTimeout=10")
        .cwd(&env.scratch)
        .limit(REMOTE_LIMIT)
        .output_cap(LONG)
        .args(["ls-remote", "--refs", "--", url])
        .output("ask a remote what it has")?;
    let text = String::from_utf8_lossy(&out);
    let refs = text.lines().filter_map(|line| line.split_once('\t'));
    Ok(refs.map(|(id, name)| (name.to_owned(), id.to_owned())).collect())
}

/// Has the ref `name` hold `from` again, if it holds `to` now; `None` stands for no ref. `false`: somebody moved it meanwhile. Doing it
/// again is fine. Where it is checked out, no file and no index is touched.
pub fn put_back(
    env: &GitEnv,
    common_dir: &Path,
    name: &str,
    from: Option<&str>,
    to: Option<&str>,
) -> Result<bool> {
    let holds = || Ok::<_, Error>(refs_below(env, common_dir, &[name])?.remove(name));
    let now = holds()?;
    if now.as_deref() == from {
        return Ok(true);
    }
    if now.as_deref() != to || from.is_some_and(|from| from.starts_with("ref:")) {
        return Ok(false);
    }
    let length = from.or(to).map_or(40, str::len);
    let none = "0".repeat(length);
    // One that stands for another ref has no value of its own to be compared.
    let expected = match to {
        Some(to) if to.starts_with("ref:") => Vec::new(),
        to => vec![to.unwrap_or(&none)],
    };
    let verb: &[&str] = match from {
        Some(from) => &["update-ref", "--no-deref", "-m", "ai_orch: put back", name, from],
        None => &["update-ref", "--no-deref", "-m", "ai_orch: put back", "-d", name],
    };
    let write = || refs::at(env, common_dir).args(verb).args(&expected).output("put a ref back");
    match locks::past_stale(common_dir, write) {
        Ok(_) => Ok(true),
        Err(error) => match holds()? {
            now if now.as_deref() == from => Ok(true),
            now if now.as_deref() != to => Ok(false),
            _ => Err(error),
        },
    }
}

/// Takes the HEAD of `worktree` off the branch `name`, if it is there: it stays at the commit `commit`, with all files.
pub fn leave_branch(env: &GitEnv, worktree: &Worktree, name: &str, commit: &CommitId) -> Result<()> {
    if at(&worktree.admin_dir)?.as_deref() != Some(name) {
        return Ok(());
    }
    let words = ["update-ref", "--no-deref", "-m", "ai_orch: take off a branch", "HEAD", commit.as_str()];
    Git::at(env, &worktree.admin_dir, &worktree.common_dir, &worktree.path)
        .args(words)
        .output("take a worktree off its branch")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_log_tells_what_came_since_and_nothing_once_it_is_another_one() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("logs/HEAD");
        fs::create_dir(dir.path().join("logs")).unwrap();
        fs::write(dir.path().join("HEAD"), "ref: refs/heads/main\n").unwrap();
        let now = || checkouts(dir.path()).unwrap().remove(0);
        assert_eq!((now().branch.as_deref(), now().log), (Some("refs/heads/main"), None));
        assert_eq!(walked(&now(), None, 0), None);
        let line = |to: &str, at: u32, message: &str| format!("0 {to} A <a@b> {at} +0000\t{message}\n");
        fs::write(&log, line("1", 100, "commit (initial): x")).unwrap();
        let before = now().log;
        assert_eq!(walked(&now(), before, 200), Some(Vec::new()));
        let more = line("1", 100, "commit (initial): x") + &line("2", 199, "commit: y\tz");
        fs::write(&log, &more).unwrap();
        let came =
            LogLine { from: "0".into(), to: "2".into(), message: "commit: y\tz".into(), at: Some(199) };
        assert_eq!(walked(&now(), before, 200), Some(vec![came.clone()]), "the same file needs no clock");
        assert_eq!(walked(&now(), None, 200).map(|lines| lines.len()), Some(2), "it was not there before");
        // As git does when it forgets old lines.
        fs::write(dir.path().join("new"), more.repeat(2)).unwrap();
        fs::rename(dir.path().join("new"), &log).unwrap();
        assert_eq!(walked(&now(), before, 200), Some(Vec::new()));
        assert_eq!(walked(&now(), before, 199), Some(vec![came.clone(), came]));
        fs::write(&log, "").unwrap();
        let longer = now().log.map(|log| Log { bytes: 9, ..log });
        assert_eq!(walked(&now(), longer, 200), Some(Vec::new()), "it is shorter");
    }

    #[test]
    fn what_cannot_be_read_is_a_checkout_of_which_nothing_is_known() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("HEAD"), "ref: refs/heads/main\n").unwrap();
        fs::create_dir_all(dir.path().join("worktrees/broken/HEAD")).unwrap();
        let all = checkouts(dir.path()).unwrap();
        let known: Vec<_> = all.iter().map(|c| (c.branch.as_deref(), c.log, c.index)).collect();
        assert_eq!(known, [(Some("refs/heads/main"), None, None), (None, None, None)]);
    }
}
