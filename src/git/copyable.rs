//! Whether files may be put into a worktree as the bytes of their blobs: what settings, attributes and names say.
//!
//! Pure decisions, on the careful side: each `Some` is the reason why git has to write the files.

/// What a key may say without a change to bytes, modes, names or the kind of the index.
type Harmless = fn(&str) -> bool;
const HARMLESS: [(&str, Harmless); 13] = [
    // With `input` line ends change on the way into the repository only.
    ("core.autocrlf", |value| is_false(value) || value.eq_ignore_ascii_case("input")),
    ("core.eol", |value| matches!(value.to_ascii_lowercase().as_str(), "lf" | "native")),
    ("core.symlinks", is_true),
    ("core.filemode", is_true),
    ("core.ignorecase", is_false),
    ("core.precomposeunicode", is_false),
    ("core.protecthfs", is_false),
    ("core.sparsecheckout", is_false),
    ("index.sparse", is_false),
    ("core.splitindex", is_false),
    // Names another version of the index.
    ("feature.manyfiles", is_false),
    ("index.version", |value| value == "2"),
    ("extensions.partialclone", |_| false),
];
/// What puts more into an index than its entries and trees.
const IN_AN_INDEX: [&str; 4] =
    ["index.threads", "index.recordendofindexentries", "index.recordoffsettable", "index.skiphash"];
/// Where the user's attributes are.
pub(super) const ATTRIBUTES: &str = "core.attributesfile";

fn is_promisor(key: &str) -> bool {
    key.starts_with("remote.") && key.ends_with(".promisor")
}

/// Whether a setting of this key is looked at here, or where attributes are looked for.
pub(super) fn has_a_say(key: &str) -> bool {
    HARMLESS.iter().any(|(known, _)| *known == key)
        || IN_AN_INDEX.contains(&key)
        || key == ATTRIBUTES
        || is_promisor(key)
}

/// The reason that lies in the configuration, if there is one. `settings`: key (as git lists it, in lower case) and value, the last
/// one of a key counts.
pub(super) fn refused_by_settings(settings: &[(String, String)]) -> Option<String> {
    let last = |wanted: &str| settings.iter().rev().find(|(key, _)| key == wanted);
    for (key, harmless) in HARMLESS {
        if let Some((_, value)) = last(key)
            && !harmless(value)
        {
            return Some(format!("{key} is set"));
        }
    }
    settings
        .iter()
        .any(|(key, value)| is_promisor(key) && !is_false(value))
        .then(|| "it is a partial clone".into())
}

/// Whether the settings ask for nothing in an index beside its entries and trees.
pub(super) fn index_is_plain(settings: &[(String, String)]) -> bool {
    !settings.iter().any(|(key, _)| IN_AN_INDEX.contains(&key.as_str()))
}

fn is_false(value: &str) -> bool {
    matches!(value.to_ascii_lowercase().as_str(), "false" | "no" | "off" | "0" | "")
}

fn is_true(value: &str) -> bool {
    matches!(value.to_ascii_lowercase().as_str(), "true" | "yes" | "on" | "1")
}

/// The word in a file of attributes by which git may write other bytes than those of the blob, if there is one.
///
/// Patterns are not looked at, so it does not matter which files it is about, nor whether it comes by way of a macro: that is
/// defined in such a file, too. `text` and its kind change nothing on the way out as long as the settings do not ask for CRLF.
pub(super) fn refused_by_attributes(text: &[u8]) -> Option<String> {
    let words = text.split(|b| b.is_ascii_whitespace() || *b == 0).filter(|word| !word.is_empty());
    for word in words {
        let (name, value) = match word.iter().position(|b| *b == b'=') {
            Some(at) => (word.get(..at)?, word.get(at + 1..)),
            None => (word, None),
        };
        let changes = match name {
            b"filter" | b"ident" | b"working-tree-encoding" => true,
            b"eol" => value.is_none_or(|value| value != b"lf"),
            // What is quoted is a pattern, or nothing that git understands.
            _ => false,
        };
        if changes {
            return Some(format!("an attribute says {}", String::from_utf8_lossy(word)));
        }
    }
    None
}

/// Whether `name`, a part of a path, is one that git takes for its own directory on some file system, and refuses. Whether it does
/// is for git to say.
pub(super) fn is_odd_name(name: &[u8]) -> bool {
    // NTFS passes over dots and spaces at the end, a colon begins a stream, HFS+ passes over some characters.
    let own = |rest: &[u8]| rest.first().is_none_or(|b| b". :\\".contains(b) || !b.is_ascii());
    let behind = |four: &[u8]| {
        name.split_at_checked(four.len())
            .filter(|(begin, _)| begin.eq_ignore_ascii_case(four))
            .map(|(_, rest)| rest)
    };
    matches!(name, b"" | b"." | b"..")
        || name.contains(&b'/')
        || behind(b".git").is_some_and(own)
        || behind(b"git~").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_change_what_is_written_refuse() {
        let one = |key: &str, value: &str| refused_by_settings(&[(key.to_owned(), value.to_owned())]);
        for (key, value) in [
            ("core.autocrlf", "true"),
            ("core.autocrlf", "TRUE"),
            ("core.autocrlf", "1"),
            ("core.autocrlf", "nonsense"),
            ("core.eol", "crlf"),
            ("core.eol", "nonsense"),
            ("core.symlinks", "false"),
            ("core.filemode", "no"),
            ("core.ignorecase", "true"),
            ("core.precomposeunicode", "true"),
            ("core.protecthfs", "true"),
            ("core.sparsecheckout", "true"),
            ("index.sparse", "true"),
            ("core.splitindex", "true"),
            ("feature.manyfiles", "true"),
            ("index.version", "4"),
            ("extensions.partialclone", "origin"),
            ("remote.origin.promisor", "true"),
        ] {
            assert!(one(key, value).is_some(), "{key}={value}");
        }
        for (key, value) in [
            ("core.autocrlf", "false"),
            ("core.autocrlf", "input"),
            ("core.eol", "lf"),
            ("core.eol", "native"),
            ("core.symlinks", "true"),
            ("core.filemode", "true"),
            ("core.ignorecase", "false"),
            ("core.sparsecheckout", "false"),
            ("index.version", "2"),
            ("remote.origin.promisor", "false"),
            ("remote.origin.url", "core.autocrlf"),
            // A filter does nothing without an attribute that asks for it.
            ("filter.lfs.smudge", "git-lfs smudge -- %f"),
        ] {
            assert_eq!(one(key, value), None, "{key}={value}");
        }
        let both = [("core.autocrlf", "true"), ("core.autocrlf", "false")].map(|(k, v)| (k.into(), v.into()));
        assert_eq!(refused_by_settings(&both), None, "the last one counts");
    }

    #[test]
    fn attributes_that_change_bytes_refuse() {
        for text in [
            "*.psd filter=lfs diff=lfs merge=lfs -text",
            "* ident",
            "*.txt text eol=crlf",
            "*.txt eol=CRLF",
            "*.txt eol",
            "*.rc working-tree-encoding=UTF-16",
            "[attr]secret filter=crypt diff=crypt",
            "# filter=lfs is for later\n\n*.bin\tfilter=lfs\r\n",
            "\"a b\" filter",
        ] {
            assert!(refused_by_attributes(text.as_bytes()).is_some(), "{text}");
        }
        for text in [
            "",
            "* text=auto",
            "*.sh text eol=lf\n*.bat -text\n*.png binary\n",
            "*.c diff=cpp whitespace=tab-in-indent linguist-language=C++",
            "/doc export-ignore\nversion export-subst",
            "*.po merge=po -filter !ident -working-tree-encoding !eol",
            "* crlf=input\n*.x crlf\n*.y -crlf",
        ] {
            assert_eq!(refused_by_attributes(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn names_that_git_may_refuse_are_left_to_it() {
        for name in [
            "",
            ".",
            "..",
            ".git",
            ".GIT",
            ".Git",
            ".git ",
            ".git.",
            ".git::$INDEX",
            "git~1",
            "GIT~2",
            ".git\\x",
            ".git\u{feff}",
            "a/b",
        ] {
            assert!(is_odd_name(name.as_bytes()), "{name:?}");
        }
        for name in [".gitignore", ".gitattributes", ".github", "git", "x.git", "caf\u{e9}.txt", "...", ".gi"]
        {
            assert!(!is_odd_name(name.as_bytes()), "{name:?}");
        }
        assert!(!is_odd_name(b"caf\xe9 latin1"));
    }
}
