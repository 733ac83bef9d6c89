//! Names made from what people typed.

use crate::model::ids::{Project, SESSION_MAX, Session, USER};
use crate::model::text::fit;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use uuid::Uuid;

/// How long a name made from a task may get; long enough to know the task by, short enough to type.
const FROM_TASK_MAX: usize = 32;

/// `text` in lower case with everything but letters and digits of ASCII turned into single dashes.
fn slug(text: &str) -> String {
    let mut slug = String::new();
    for c in text.chars().take(4 * SESSION_MAX) {
        if c.is_ascii_alphanumeric() {
            slug.push(c.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') && c != '\'' {
            slug.push('-');
        }
    }
    slug.truncate(SESSION_MAX);
    slug.trim_end_matches('-').to_owned()
}

/// A session name for a task: its first words.
pub fn session_for(task: &str) -> Session {
    let mut name = String::new();
    for word in slug(task).split('-') {
        if !name.is_empty() && name.len() + 1 + word.len() > FROM_TASK_MAX {
            break;
        }
        if !name.is_empty() {
            name.push('-');
        }
        name.push_str(word);
    }
    // A task in another script, or of signs only, has no slug.
    name.parse().unwrap_or_else(|_| fallback())
}

fn fallback() -> Session {
    #[expect(clippy::expect_used, reason = "a constant that a test parses")]
    "agent".parse().expect("a valid name")
}

/// The id that is made from `words`, in this order: the same for the same.
pub fn id_from(words: &[&[u8]]) -> Uuid {
    let mut hash = Sha256::new();
    for word in words {
        // With its length, so that no two lists are the same bytes.
        hash.update((word.len() as u64).to_le_bytes());
        hash.update(word);
    }
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(hash.finalize()).for_each(|(to, from)| *to = from);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// The URL of a file: every byte but letters, digits and `/._-~` percent-encoded.
pub fn file_url(path: &Path) -> String {
    let mut url = "file://".to_owned();
    for byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-~".contains(byte) {
            url.push(char::from(*byte));
        } else {
            // Writing to a string cannot fail.
            write!(url, "%{byte:02X}").ok();
        }
    }
    url
}

/// Whether no agent can ever have this name, because it means somebody else.
pub fn is_taken_for_good(name: &Session) -> bool {
    name.as_str() == USER
}

/// The names to try in turn for `wanted`: itself, then with `-2`, `-3`, ...
pub fn candidates(wanted: &Session) -> impl Iterator<Item = Session> + '_ {
    let all = std::iter::once(wanted.clone()).chain((2..).map(|number| wanted.numbered(number)));
    all.filter(|name| !is_taken_for_good(name))
}

/// The directory name of the repository with this git common directory (absolute, links resolved): readable, and
/// different for every repository.
pub fn project_for(common_dir: &Path) -> Project {
    let named = if common_dir.file_name().is_some_and(|n| n == ".git") {
        common_dir.parent()
    } else {
        Some(common_dir)
    };
    let name = named.and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    let mut slug = slug(name.strip_suffix(".git").unwrap_or(&name));
    slug.truncate(30);
    let slug = slug.trim_end_matches('-');
    let slug = if slug.is_empty() { "repo" } else { slug };
    Project(format!("{slug}-{}", short_hash(common_dir.as_os_str().as_bytes())))
}

/// Eight hex digits that tell `bytes` from others.
pub fn short_hash(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    let first = digest.iter().take(4).fold(0u32, |sum, b| sum << 8 | u32::from(*b));
    format!("{first:08x}")
}

/// The SHA-256 of `bytes`, in hex digits.
pub fn checksum(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, b| {
        write!(text, "{b:02x}").ok();
        text
    })
}

/// The first line of a task that says something, cut to one line of a table.
pub fn title_for(task: &str) -> String {
    fit(task.lines().map(str::trim).find(|l| !l.is_empty()).unwrap_or(""), 120)
}

/// The subject of a commit of what an agent left: the title without what git or a log would trip over.
pub fn subject_for(title: &str) -> String {
    let subject = fit(title.trim_start_matches('#').trim(), 72);
    if subject.is_empty() { "Work of an agent".to_owned() } else { subject }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_come_from_the_first_words() {
        for (task, name) in [
            ("Fix the login bug", "fix-the-login-bug"),
            ("don't break it", "dont-break-it"),
            ("#(touch x) $(rm) `ls`; #{pid}", "touch-x-rm-ls-pid"),
            ("日本語のタスク", "agent"),
            ("", "agent"),
            ("-rf /", "rf"),
            ("a very long description of a task that never ends", "a-very-long-description-of-a"),
        ] {
            assert_eq!(session_for(task).as_str(), name, "{task}");
        }
        assert_eq!(fallback().as_str(), "agent");
    }

    #[test]
    fn a_repository_is_named_by_its_directory_and_told_apart_by_its_path() {
        let a = project_for(Path::new("/home/a/My Project/.git"));
        let b = project_for(Path::new("/home/b/My Project/.git"));
        assert!(a.0.starts_with("my-project-") && b.0.starts_with("my-project-"));
        assert_ne!(a, b);
        assert!(project_for(Path::new("/srv/thing.git")).0.starts_with("thing-"));
        assert!(project_for(Path::new("/x/#(touch y)/.git")).0.starts_with("touch-y-"));
    }

    #[test]
    fn no_agent_has_the_name_of_the_person() {
        let tries: Vec<_> = candidates(&session_for("User!")).take(2).map(|n| n.to_string()).collect();
        assert_eq!(tries, ["user-2", "user-3"]);
    }

    proptest! {
        #[test]
        fn any_task_gives_a_name(task in any::<String>()) {
            let name = session_for(&task);
            prop_assert!(name.as_str().len() <= SESSION_MAX);
            prop_assert!(name.as_str().parse::<Session>().is_ok());
        }

        #[test]
        fn candidates_differ(base in "[a-z0-9][a-z0-9-]{0,49}") {
            let base: Session = base.parse().unwrap();
            let some: std::collections::HashSet<_> = candidates(&base).take(20).collect();
            // A long name that ends in a number may meet itself once.
            prop_assert!(some.len() >= 19);
        }
    }
}
