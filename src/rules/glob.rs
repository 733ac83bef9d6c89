//! Whether two patterns for files can mean the same file: exactly, by the product of two automata, one over the names of a path and
//! in it one over the characters of a name.

use crate::model::glob::{Glob, Part, Pattern, Set, Token};

/// Whether any path matches both.
pub fn overlap(a: &Glob, b: &Glob) -> bool {
    a.patterns().iter().any(|a| b.patterns().iter().any(|b| meet(&a.0, &b.0)))
}

/// Whether `path`, below the root of the repository and as text, matches.
pub fn matches(glob: &Glob, path: &str) -> bool {
    let path = Pattern::path(path);
    glob.patterns().iter().any(|pattern| meet(&pattern.0, &path.0))
}

/// The places in two sequences that were come to, and those of them that are still to be looked at.
struct Reached {
    known: Vec<bool>,
    width: usize,
    todo: Vec<(usize, usize)>,
}

impl Reached {
    fn from_the_beginning(a: usize, b: usize) -> Self {
        let mut reached = Self { known: vec![false; (a + 1) * (b + 1)], width: b + 1, todo: Vec::new() };
        reached.add(0, 0);
        reached
    }

    fn add(&mut self, i: usize, j: usize) {
        if let Some(known) = self.known.get_mut(i * self.width + j)
            && !std::mem::replace(known, true)
        {
            self.todo.push((i, j));
        }
    }
}

/// What a name has to be there.
fn names(part: &Part) -> &[Token] {
    match part {
        Part::Deep => &[Token::Star],
        Part::Name(tokens) => tokens,
    }
}

fn meet(a: &[Part], b: &[Part]) -> bool {
    let mut reached = Reached::from_the_beginning(a.len(), b.len());
    while let Some((i, j)) = reached.todo.pop() {
        let (left, right) = (a.get(i), b.get(j));
        if left.is_none() && right.is_none() {
            return true;
        }
        if left == Some(&Part::Deep) {
            reached.add(i + 1, j);
        }
        if right == Some(&Part::Deep) {
            reached.add(i, j + 1);
        }
        // Both take one more name.
        let (Some(left), Some(right)) = (left, right) else { continue };
        let taken = |part: &Part| usize::from(*part != Part::Deep);
        let to = (i + taken(left), j + taken(right));
        if to != (i, j) && names_meet(names(left), names(right)) {
            reached.add(to.0, to.1);
        }
    }
    false
}

/// What the beginning of a name is: `.` and `..` are none, and neither is nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum So {
    Nothing,
    Dot,
    DotDot,
    Name,
}

/// Whether `token` can take `c`, which a name can have.
fn takes(token: &Token, c: char) -> bool {
    match token {
        Token::Star => true,
        Token::Char(own) => *own == c,
        Token::One(set) => set.has(c),
    }
}

/// Whether both can take one `.`, and whether they can take one other character.
fn both_take(a: &Token, b: &Token) -> (bool, bool) {
    let of = |set: &Set| (set.has('.'), set.has_other_than('.'));
    match (a, b) {
        (Token::Char(c), other) | (other, Token::Char(c)) => {
            let taken = takes(other, *c);
            (taken && *c == '.', taken && *c != '.')
        }
        (Token::One(a), Token::One(b)) => of(&a.both(b)),
        (Token::One(set), Token::Star) | (Token::Star, Token::One(set)) => of(set),
        (Token::Star, Token::Star) => (true, true),
    }
}

/// Whether there is a name that both match.
fn names_meet(a: &[Token], b: &[Token]) -> bool {
    // One more coordinate than two: which beginning it is lies in the second one.
    let wide = |j: usize, so: So| j * 4 + so as usize;
    let mut reached = Reached::from_the_beginning(a.len(), wide(b.len(), So::Name));
    while let Some((i, at)) = reached.todo.pop() {
        let (j, so) = (at / 4, [So::Nothing, So::Dot, So::DotDot, So::Name][at % 4]);
        let (left, right) = (a.get(i), b.get(j));
        if left.is_none() && right.is_none() && so == So::Name {
            return true;
        }
        if left == Some(&Token::Star) {
            reached.add(i + 1, at);
        }
        if right == Some(&Token::Star) {
            reached.add(i, wide(j + 1, so));
        }
        // Both take one more character.
        let (Some(left), Some(right)) = (left, right) else { continue };
        let step = |token: &Token| usize::from(*token != Token::Star);
        let (i, j) = (i + step(left), j + step(right));
        let (dot, other) = both_take(left, right);
        if dot {
            let next = match so {
                So::Nothing => So::Dot,
                So::Dot => So::DotDot,
                So::DotDot | So::Name => So::Name,
            };
            reached.add(i, wide(j, next));
        }
        if other {
            reached.add(i, wide(j, So::Name));
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn glob(text: &str) -> Glob {
        text.parse().unwrap_or_else(|e| panic!("{e}"))
    }

    #[test]
    fn a_path_matches_as_people_expect() {
        for (pattern, fits, fits_not) in [
            ("src/a.rs", &["src/a.rs", "src/a.rs/b"][..], &["src/a.rsx", "src", "a.rs", "x/src/a.rs"][..]),
            ("src", &["src", "src/a", "src/a/b"], &["srcs", "a/src"]),
            ("src/", &["src/a", "src/a/b"], &["src", "srcs/a"]),
            ("./src/.", &["src/a"], &["src"]),
            (".", &["a", "a/b", ".git"], &[]),
            ("*", &["a", ".a"], &["a/b"]),
            ("*.rs", &["a.rs", ".rs"], &["src/a.rs", "a.rs/b", "a.r"]),
            ("**/*.rs", &["a.rs", "a/b/c.rs"], &["a.r", "a.rs/b"]),
            ("**", &["a", "a/b"], &[]),
            ("src/**", &["src/a", "src/a/b"], &["src", "b/src/a"]),
            ("src/**/a", &["src/a", "src/b/a", "src/b/c/a", "src/a/below"], &["a", "src/b"]),
            ("a**b", &["ab", "axxb"], &["a/b"]),
            ("?[b-d]", &["ab", "cd"], &["ae", "b", "abb"]),
            ("{a,b/{c,d}}.rs", &["a.rs", "b/c.rs", "b/d.rs"], &["b.rs", "c.rs"]),
            ("{src,tests}/x", &["src/x", "tests/x/y"], &["x"]),
            ("\\[id\\].tsx", &["[id].tsx"], &["i.tsx"]),
            ("a,b", &["a,b"], &["a", "b"]),
            ("a//b", &["a/b"], &["a"]),
            ("漢?", &["漢字"], &["漢"]),
        ] {
            let glob = glob(pattern);
            assert!(fits.iter().all(|path| matches(&glob, path)), "{pattern} {fits:?}");
            assert!(!fits_not.iter().any(|path| matches(&glob, path)), "{pattern} {fits_not:?}");
        }
    }

    #[test]
    fn two_patterns_overlap_if_a_path_matches_both() {
        for (a, b, both) in [
            ("src/*.rs", "src/parser.rs", true),
            ("src/*.rs", "src/parser", false),
            ("src/*.rs", "src", true),
            ("src/*.rs", "src/?", false),
            ("src/*.rs", "tests/*.rs", false),
            ("src/**", "**/*.md", true),
            ("src/parser", "src/parser/lex.rs", true),
            ("src/parser/", "src/parser", true),
            ("src/parser/", "src/parser?", false),
            ("*a", "b*", true),
            ("*a", "b", false),
            ("a*b*c", "*bb*", true),
            ("a*b", "*c", false),
            ("**/a/**/b", "x/a/y/b", true),
            ("**/a/*", "a/**/b/c?", false),
            ("**/a/*/*", "a/**/b/c", true),
            ("[a-m]*", "[n-z]*", false),
            ("[a-n]*", "[n-z]*", true),
            ("[!a]", "a", false),
            ("[!a]", "[!b]", true),
            ("{a,b}.rs", "{b,c}.rs", true),
            ("{a,b}.rs", "{c,d}.rs", false),
            // No name is `.` or `..`.
            ("[.]", "?", false),
            ("[.][.]", "??", false),
            ("[.][.][.]", "???", true),
            ("[.]*", "?", false),
            ("[.]*", "??", true),
            ("**", "a/b/c", true),
        ] {
            assert_eq!(overlap(&glob(a), &glob(b)), both, "{a} {b}");
            assert_eq!(overlap(&glob(b), &glob(a)), both, "{b} {a}");
        }
    }

    #[test]
    fn the_largest_patterns_are_compared_at_once() {
        let wide = |c: &str| format!("{{{}}}", vec![format!("*{c}").repeat(3); 55].join(","));
        assert!(!overlap(&glob(&format!("{}x", wide("a"))), &glob(&format!("{}y", wide("b")))));
        let deep = |end: &str| format!("{}{end}", "**/a*/".repeat(80));
        assert!(overlap(&glob(&deep("x")), &glob(&deep("*"))));
        assert!(!overlap(&glob(&deep("x*")), &glob(&deep("y*"))));
    }

    /// Whether `name` matches `pattern`, tried out.
    fn tried(pattern: &[char], name: &[char]) -> bool {
        match (pattern, name) {
            ([], _) => name.is_empty(),
            (['*', rest @ ..], _) => tried(rest, name) || !name.is_empty() && tried(pattern, &name[1..]),
            ([p, rest @ ..], [n, more @ ..]) => {
                (match p {
                    '?' => true,
                    '!' => *n != 'a',
                    p => p == n,
                }) && tried(rest, more)
            }
            _ => false,
        }
    }

    /// Whether the path of `names` matches `parts`, tried out.
    fn path_tried(parts: &[&str], names: &[&str]) -> bool {
        match (parts, names) {
            ([], _) => names.is_empty(),
            (["**"], _) => !names.is_empty(),
            (["**", rest @ ..], _) => {
                path_tried(rest, names) || !names.is_empty() && path_tried(parts, &names[1..])
            }
            ([part, rest @ ..], [name, more @ ..]) => {
                let chars = |text: &str| text.chars().collect::<Vec<_>>();
                tried(&chars(part), &chars(name)) && path_tried(rest, more)
            }
            _ => false,
        }
    }

    /// Every path of at most seven characters over `a`, `b` and `/`.
    fn paths() -> Vec<String> {
        let mut all = vec![String::new()];
        let mut at = 0;
        while let Some(path) = all.get(at).filter(|path| path.len() < 7).cloned() {
            all.extend(['a', 'b', '/'].map(|c| format!("{path}{c}")));
            at += 1;
        }
        all.retain(|path| path.split('/').all(|name| !name.is_empty()));
        all
    }

    /// The paths that match what `parts` stand for, tried out; `!` is `[!a]`.
    fn found(parts: &[String], paths: &[String]) -> Vec<bool> {
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let plain = parts.last().unwrap().chars().all(|c| matches!(c, 'a' | 'b'));
        let fits = |path: &String| {
            let names: Vec<&str> = path.split('/').collect();
            path_tried(&parts, &names) || plain && (1..names.len()).any(|n| path_tried(&parts, &names[..n]))
        };
        paths.iter().map(fits).collect()
    }

    fn written(parts: &[String]) -> Glob {
        glob(&parts.join("/").replace('!', "[!a]"))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn patterns_match_and_overlap_as_trying_all_paths_says(
            a in prop::collection::vec("[ab*?!]{1,2}|[*][*]", 1..3),
            b in prop::collection::vec("[ab*?!]{1,2}|[*][*]", 1..3),
        ) {
            let paths = paths();
            let (in_a, in_b) = (found(&a, &paths), found(&b, &paths));
            let (a, b) = (written(&a), written(&b));
            let any = in_a.iter().zip(&in_b).any(|(a, b)| *a && *b);
            prop_assert_eq!(overlap(&a, &b), any, "{} {}", a, b);
            for (path, fits) in paths.iter().zip(&in_a).step_by(7) {
                prop_assert_eq!(matches(&a, path), *fits, "{} {}", a, path);
            }
        }
    }
}
