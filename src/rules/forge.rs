//! Which repository at a host of pull requests an address means, and which remote is the one to deliver to.

use crate::model::delivery::Home;

/// A remote of a repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Remote {
    /// Its name.
    pub name: String,
    /// What is fetched from, as it is written in the configuration.
    pub url: String,
    /// What is pushed to, if that is another one.
    pub push_url: Option<String>,
    /// `gh repo set-default` chose it.
    pub is_base: bool,
}

impl Remote {
    /// The repository that it leads to, if that is at a host.
    pub fn home(&self) -> Option<Home> {
        home(&self.url)
    }

    /// The repository that is pushed to.
    pub fn push_home(&self) -> Option<Home> {
        home(self.push_url.as_deref().unwrap_or(&self.url))
    }
}

/// A pull request as people name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Its number.
    pub number: u64,
    /// The repository, if an address was given.
    pub home: Option<Home>,
}

/// What `--pr` names: `7`, `#7`, or the address of a pull request, whatever page of it that leads to.
///
/// ```
/// use ai_orch::rules::forge::pull_request;
/// assert_eq!(pull_request("#7").unwrap().number, 7);
/// let named = pull_request("https://github.com/acme/widgets/pull/12/files").unwrap();
/// assert_eq!((named.number, named.home.unwrap().to_string()), (12, "github.com/acme/widgets".into()));
/// assert!(pull_request("the PR").is_none());
/// ```
pub fn pull_request(text: &str) -> Option<Named> {
    let text = text.trim();
    let number = |digits: &str| {
        let all = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        digits.parse().ok().filter(|n| all && *n > 0)
    };
    if let Some(number) = number(text.strip_prefix('#').unwrap_or(text)) {
        return Some(Named { number, home: None });
    }
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let mut parts = rest.split('/');
    let home = Home { host: host(parts.next()?)?, owner: word(parts.next()?)?, name: word(parts.next()?)? };
    (parts.next()? == "pull").then_some(())?;
    Some(Named { number: number(parts.next()?)?, home: Some(home) })
}

/// The repository that the address of a remote leads to, in each of the forms that git takes; `None` for a path, and for
/// anything else that is not `host`, `owner`, `name`.
pub fn home(url: &str) -> Option<Home> {
    const SCHEMES: [&str; 5] = ["https://", "http://", "ssh://", "git://", "git+ssh://"];
    let (authority, path) = match SCHEMES.iter().find_map(|scheme| url.strip_prefix(scheme)) {
        Some(rest) => rest.split_once('/')?,
        // As ssh has it: no slash before the first colon.
        None => url.split_once(':').filter(|(before, _)| !before.contains('/'))?,
    };
    let path = path.trim_matches('/');
    let (owner, name) = path.strip_suffix(".git").unwrap_or(path).split_once('/')?;
    Some(Home { host: host(authority)?, owner: word(owner)?, name: word(name)? })
}

/// A host, without whoever logs in there and without the port of a shell.
fn host(authority: &str) -> Option<String> {
    let host = authority.rsplit('@').next().unwrap_or_default();
    let (host, port) = host.split_once(':').unwrap_or((host, ""));
    let good = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
    let fine = !host.is_empty() && !host.starts_with('-') && host.chars().all(good);
    // GitHub serves the same repositories by a shell on the port of https, under a name of its own.
    let host = if host == "ssh.github.com" { "github.com" } else { host };
    (fine && port.bytes().all(|b| b.is_ascii_digit())).then(|| host.to_ascii_lowercase())
}

/// The name of an owner or a repository, as hosts allow them.
fn word(text: &str) -> Option<String> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    (!text.is_empty() && !text.starts_with('-') && text.chars().all(good)).then(|| text.to_owned())
}

/// Whether two names of a repository mean the same one: hosts do not tell upper from lower case.
pub fn is_same(one: &Home, other: &Home) -> bool {
    one.host.eq_ignore_ascii_case(&other.host)
        && one.owner.eq_ignore_ascii_case(&other.owner)
        && one.name.eq_ignore_ascii_case(&other.name)
}

/// The address of another repository of the same host, in the form in which `like` is written.
pub fn sibling(like: &str, home: &Home) -> Option<String> {
    let old = self::home(like)?;
    // The last two parts of it are owner and name.
    let path = format!("{}/{}", old.owner, old.name);
    let (before, after) = like.rsplit_once(&path)?;
    Some(format!("{before}{}/{}{after}", home.owner, home.name))
}

/// The remote that new branches are pushed to: the one that was set for it, else `origin`, else the only one.
pub fn to_push<'r>(remotes: &'r [Remote], push_default: Option<&str>) -> Option<&'r Remote> {
    let called = |name: &str| remotes.iter().find(|remote| remote.name == name);
    match (push_default.and_then(called), called("origin"), remotes) {
        (Some(remote), _, _) | (None, Some(remote), _) | (None, None, [remote]) => Some(remote),
        _ => None,
    }
}

/// The remote whose pull requests are meant: what `gh repo set-default` chose, else `upstream`, else where is pushed to.
pub fn base<'r>(remotes: &'r [Remote], push_default: Option<&str>) -> Option<&'r Remote> {
    let upstream = || remotes.iter().find(|remote| remote.name == "upstream" && remote.home().is_some());
    remotes.iter().find(|r| r.is_base).or_else(upstream).or_else(|| to_push(remotes, push_default))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(host: &str, owner: &str, name: &str) -> Home {
        Home { host: host.into(), owner: owner.into(), name: name.into() }
    }

    #[test]
    fn addresses_in_all_their_forms() {
        let widgets = || Some(is("github.com", "acme", "widgets"));
        for (url, home) in [
            ("https://github.com/acme/widgets.git", widgets()),
            ("https://github.com/acme/widgets", widgets()),
            ("https://github.com/acme/widgets/", widgets()),
            ("https://user:secret@github.com/acme/widgets.git", widgets()),
            ("https://GitHub.com/acme/widgets", widgets()),
            ("git@github.com:acme/widgets.git", widgets()),
            ("github.com:acme/widgets", widgets()),
            ("ssh://git@github.com/acme/widgets.git", widgets()),
            ("ssh://git@ssh.github.com:443/acme/widgets.git", widgets()),
            ("git://git.example.org/a_b/c.d", Some(is("git.example.org", "a_b", "c.d"))),
            ("/srv/git/widgets.git", None),
            ("../widgets", None),
            ("file:///srv/git/widgets.git", None),
            ("https://example.org/widgets", None),
            ("https://gitlab.com/group/sub/widgets", None),
            ("ext::sh -c 'x' acme/widgets", None),
            ("https://github.com/--upload/widgets", None),
            ("git@-oProxyCommand=x:acme/widgets", None),
            ("./a:b/c", None),
            ("", None),
        ] {
            assert_eq!(super::home(url), home, "{url}");
        }
    }

    #[test]
    fn a_fork_is_reached_as_its_origin_is() {
        let fork = is("github.com", "bob", "gadgets");
        for (like, url) in [
            ("https://github.com/acme/widgets.git", Some("https://github.com/bob/gadgets.git")),
            ("https://t@github.com/acme/widgets", Some("https://t@github.com/bob/gadgets")),
            ("git@github.com:acme/widgets.git", Some("git@github.com:bob/gadgets.git")),
            ("/srv/git/widgets.git", None),
        ] {
            assert_eq!(sibling(like, &fork).as_deref(), url, "{like}");
        }
    }

    #[test]
    fn pull_requests_as_people_name_them() {
        for (text, number, home) in [
            ("7", 7, None),
            ("#7", 7, None),
            (" 7 ", 7, None),
            ("https://github.com/acme/widgets/pull/7", 7, Some(is("github.com", "acme", "widgets"))),
            (
                "https://github.com/acme/widgets/pull/7/commits?x#y",
                7,
                Some(is("github.com", "acme", "widgets")),
            ),
        ] {
            assert_eq!(pull_request(text), Some(Named { number, home }), "{text}");
        }
        for text in
            ["", "0", "#", "-7", "+7", "7a", "PR 7", "https://github.com/acme/widgets/issues/7", "7 8"]
        {
            assert_eq!(pull_request(text), None, "{text}");
        }
    }

    #[test]
    fn which_remote() {
        let remote = |name: &str, is_base| Remote {
            name: name.into(),
            url: format!("https://github.com/{name}/x"),
            push_url: None,
            is_base,
        };
        let name = |remote: Option<&Remote>| remote.map(|remote| remote.name.clone());
        let of = |names: &[&str]| names.iter().map(|n| remote(n, false)).collect::<Vec<_>>();
        for (names, default, push, from) in [
            (&[][..], None, None, None),
            (&["origin"], None, Some("origin"), Some("origin")),
            (&["mine"], None, Some("mine"), Some("mine")),
            (&["a", "b"], None, None, None),
            (&["a", "b"], Some("b"), Some("b"), Some("b")),
            (&["a", "origin"], Some("gone"), Some("origin"), Some("origin")),
            (&["origin", "upstream"], None, Some("origin"), Some("upstream")),
        ] {
            let remotes = of(names);
            assert_eq!(name(to_push(&remotes, default)).as_deref(), push, "{names:?}");
            assert_eq!(name(base(&remotes, default)).as_deref(), from, "{names:?}");
        }
        let chosen = [remote("origin", true), remote("upstream", false)];
        assert_eq!(name(base(&chosen, None)).as_deref(), Some("origin"));
    }
}
