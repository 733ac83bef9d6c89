//! What an attempt needs to reach us: our program in its PATH, and our MCP server in the form that its CLI takes. Nothing of
//! it lies in the worktree or among the user's files.

use crate::a2a::identity;
use crate::a2a::look::AGENT;
use crate::agents::launch::{HomeOfLinks, Launch};
use crate::agents::mcp::McpServer;
use crate::model::entry::Spec;
use crate::model::places::{Attempt as AttemptPlaces, Places, Record};
use crate::settings::environment::Environment;
use crate::tools::file;
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The name that our program has in the PATH of agents.
const PROGRAM: &str = "ai_orch";

/// Our MCP server for an attempt by `cli`.
pub(super) fn server(
    program: &Path,
    places: &Places,
    spec: &Spec,
    token: &str,
    (record, attempt): (&Record, &AttemptPlaces),
    cli: &str,
) -> McpServer {
    let home_of = |dir: &Path| dir.parent().map(Path::to_owned);
    let told = [
        ("AI_ORCH_ROOT", Some(places.root.clone())),
        ("XDG_STATE_HOME", home_of(&places.state)),
        ("XDG_DATA_HOME", home_of(&places.data)),
        ("XDG_CONFIG_HOME", home_of(&places.config)),
    ];
    // What is no text cannot be told so; most CLIs hand it down anyway.
    let told =
        told.into_iter().filter_map(|(name, path)| Some((name.to_owned(), path?.to_str()?.to_owned())));
    let identity = [
        (AGENT, spec.id.to_string()),
        (identity::SESSION, spec.session.to_string()),
        (identity::TOKEN, token.to_owned()),
    ];
    McpServer {
        program: program.to_owned(),
        places: told.collect(),
        identity: identity.map(|(name, value)| (name.to_owned(), value)).to_vec(),
        file: attempt.mcp(),
        home: record.home(cli),
    }
}

/// Makes what the launch needs, and tells `environment` of it.
pub(super) fn prepare(
    launch: &Launch,
    server: &McpServer,
    record: &Record,
    environment: &mut Environment,
) -> file::Result<()> {
    if launch.reads_mcp_file {
        file::post(&server.file, server.file_text().as_bytes())?;
    }
    if let Some(home) = &launch.home {
        let named = |name: &str| environment.value(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let users = named(&home.variable).or_else(|| named("HOME"));
        make_home(home, users.as_deref())?;
        environment.set(&home.variable, &home.at);
    }
    let bin = record.bin();
    file::make_dirs(&bin)?;
    // The program may lie elsewhere than it did for the keeper before.
    file::remove(&bin.join(PROGRAM))?;
    file::link(&bin.join(PROGRAM), &server.program)?;
    if let Some(path) = environment.value("PATH").and_then(|path| first_in(path, &bin)) {
        environment.set("PATH", path);
    }
    Ok(())
}

/// `path` with `dir` in front; `None` for one that cannot stand in a list.
fn first_in(path: &OsStr, dir: &Path) -> Option<OsString> {
    if dir.as_os_str().as_bytes().contains(&b':') {
        return None;
    }
    let mut list = dir.as_os_str().to_owned();
    list.push(":");
    list.push(path);
    Some(list)
}

/// Makes the home of links, or makes it anew: what of `users` is not on the way to a file of ours is a link. What the CLI
/// made itself, because there was no link in its place, stays.
fn make_home(home: &HomeOfLinks, users: Option<&Path>) -> file::Result<()> {
    let ancestors = |path: &Path| path.ancestors().skip(1).map(Path::to_owned).collect::<Vec<_>>();
    // In their order, a directory comes before what is in it.
    let dirs: BTreeSet<PathBuf> = home.files.iter().flat_map(|(path, _)| ancestors(path)).collect();
    for dir in &dirs {
        let at = home.at.join(dir);
        file::make_dirs(&at)?;
        for name in file::names(&at)?.unwrap_or_default() {
            let entry = at.join(name);
            if file::read_link(&entry).is_ok_and(|link| link.is_some()) {
                file::remove(&entry)?;
            }
        }
        let Some(theirs) = users.map(|users| users.join(dir)) else { continue };
        // What cannot be listed has nothing that the CLI could read.
        for name in file::names(&theirs).ok().flatten().unwrap_or_default() {
            let ours = dir.join(&name);
            if !dirs.contains(&ours) && !home.files.iter().any(|(path, _)| *path == ours) {
                file::link(&at.join(&name), &theirs.join(&name))?;
            }
        }
    }
    home.files.iter().try_for_each(|(path, text)| file::post(&home.at.join(path), text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_home_of_links_is_the_users_with_our_files_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let (users, at) = (dir.path().join("user"), dir.path().join("record/homes/x"));
        fs::create_dir_all(users.join(".cli/extensions/theirs")).unwrap();
        fs::write(users.join(".cli/settings.json"), "mine").unwrap();
        fs::write(users.join(".env"), "KEY=1").unwrap();
        let file = |path: &str| (PathBuf::from(path), b"ours".to_vec());
        let home = HomeOfLinks {
            variable: "CLI_HOME".into(),
            at: at.clone(),
            files: vec![file(".cli/extensions/us/config.json"), file(".cli/policies/us.toml")],
        };
        for _ in 0..2 {
            make_home(&home, Some(&users)).unwrap();
            assert_eq!(fs::read_to_string(at.join(".env")).unwrap(), "KEY=1");
            assert_eq!(fs::read_to_string(at.join(".cli/extensions/us/config.json")).unwrap(), "ours");
            assert_eq!(fs::read_to_string(at.join(".cli/policies/us.toml")).unwrap(), "ours");
            assert!(at.join(".cli/extensions/theirs").is_dir());
            // A login that is renewed is the user's; what the user did not have is the agent's.
            fs::write(at.join(".cli/settings.json"), "renewed").unwrap();
            assert_eq!(fs::read_to_string(users.join(".cli/settings.json")).unwrap(), "renewed");
            fs::create_dir_all(at.join(".cli/tmp")).unwrap();
        }
        assert!(!users.join(".cli/tmp").exists() && !users.join(".cli/policies").exists());
        // Gone at the user's: gone here.
        fs::remove_file(users.join(".env")).unwrap();
        make_home(&home, Some(&users)).unwrap();
        assert!(fs::symlink_metadata(at.join(".env")).is_err());
        assert!(at.join(".cli/tmp").is_dir(), "what the CLI made itself stays");
        make_home(&home, None).unwrap();
        assert!(fs::symlink_metadata(at.join(".cli/settings.json")).is_err());
    }

    #[test]
    fn our_program_is_the_first_in_the_path() {
        assert_eq!(first_in(OsStr::new("/bin:/x"), Path::new("/r/bin")).unwrap(), "/r/bin:/bin:/x");
        assert_eq!(first_in(OsStr::new("/bin"), Path::new("/a:b")), None);
    }
}
