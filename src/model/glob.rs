//! Patterns for the files of a repository, parsed: what holds one is known to be well formed.
//!
//! `*` stands for any characters of a name, `?` for one, `[a-z]` and `[!a-z]` for one of (or not of) a set, `**` for any directories,
//! `{a,b}` for one or the other; `\` takes the meaning from the character behind it. A last name without any of these is that
//! file, or everything in that directory; so is whatever ends with `/`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The most characters of a pattern.
pub const LENGTH_MAX: usize = 500;
/// The most that `{a,b}` may come to: patterns without any.
const ALTERNATIVES_MAX: usize = 64;
/// The most that all of them may hold together.
const SIZE_MAX: usize = 4096;

/// A pattern for paths below the root of a repository.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Glob {
    text: String,
    patterns: Arc<[Pattern]>,
}

/// One way to match: a path does so part by part. The last part is a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pattern(pub Vec<Part>);

/// What stands between two `/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Any number of directories, none included.
    Deep,
    /// One name.
    Name(Vec<Token>),
}

/// A piece of a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Token {
    /// Any characters, or none.
    Star,
    /// This character.
    Char(char),
    /// One character of these.
    One(Set),
}

/// Characters that a name can have, as ranges in order and apart from each other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Set(Vec<(u32, u32)>);

/// The characters that no name can have, and the gap in Unicode.
const NEVER: [(u32, u32); 3] = [(0, 0), (0x2f, 0x2f), (0xd800, 0xdfff)];

impl Set {
    /// Every character that a name can have.
    pub fn any() -> Self {
        Self::except(&NEVER)
    }

    /// All but `ranges`, which are in order.
    fn except(ranges: &[(u32, u32)]) -> Self {
        let mut left = Vec::new();
        let mut from = 0;
        for &(first, last) in ranges {
            if first > from {
                left.push((from, first - 1));
            }
            from = from.max(last + 1);
        }
        left.push((from, u32::from(char::MAX)));
        left.retain(|(first, last)| first <= last);
        Self(left)
    }

    /// What a `[...]` stands for.
    fn class(mut ranges: Vec<(u32, u32)>, negated: bool) -> Self {
        ranges.sort_unstable();
        let others = Self::except(&ranges);
        let chosen = if negated { others } else { Self::except(&others.0) };
        chosen.both(&Self::any())
    }

    /// What is in both.
    #[must_use]
    pub fn both(&self, other: &Self) -> Self {
        let pairs = self.0.iter().flat_map(|a| other.0.iter().map(move |b| (a.0.max(b.0), a.1.min(b.1))));
        Self(pairs.filter(|(first, last)| first <= last).collect())
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `c` is in it.
    pub fn has(&self, c: char) -> bool {
        self.0.iter().any(|(first, last)| (*first..=*last).contains(&u32::from(c)))
    }

    /// Whether anything but `c` is in it.
    pub fn has_other_than(&self, c: char) -> bool {
        !self.is_empty() && self.0 != [(u32::from(c), u32::from(c))]
    }
}

/// A text that is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{}' is no pattern for files of the repository: {why}", super::text::Shown(.text))]
pub struct BadGlob {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl Glob {
    /// The ways to match it.
    pub fn patterns(&self) -> &[Pattern] {
        &self.patterns
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// How much work it is to compare with it.
    pub fn size(&self) -> usize {
        self.patterns.iter().map(Pattern::size).sum()
    }
}

impl Pattern {
    /// The one that only `path` matches.
    pub fn path(path: &str) -> Self {
        let name = |name: &str| Part::Name(name.chars().map(Token::Char).collect());
        Self(path.split('/').filter(|name| !name.is_empty()).map(name).collect())
    }

    fn size(&self) -> usize {
        let part = |part: &Part| match part {
            Part::Deep => 1,
            Part::Name(tokens) => tokens.len() + 1,
        };
        self.0.iter().map(part).sum()
    }
}

/// What a text consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Sign {
    Char(char),
    Star,
    One(Set),
    Slash,
    Open,
    Comma,
    Close,
}

impl FromStr for Glob {
    type Err = BadGlob;

    fn from_str(text: &str) -> Result<Self, BadGlob> {
        let patterns = parse(text).map_err(|why| BadGlob { text: text.to_owned(), why })?;
        Ok(Self { text: text.to_owned(), patterns: patterns.into() })
    }
}

fn parse(text: &str) -> Result<Vec<Pattern>, &'static str> {
    if text.is_empty() {
        return Err("it is empty");
    }
    if text.chars().count() > LENGTH_MAX {
        return Err("it has more than 500 characters");
    }
    if text.chars().any(char::is_control) {
        return Err("it has a control character");
    }
    let signs = signs(text)?;
    let mut rest = signs.as_slice();
    let all = alternatives(&mut rest, false)?;
    let mut patterns = Vec::new();
    for one in &all {
        patterns.extend(ways(one)?);
    }
    patterns.sort_unstable();
    patterns.dedup();
    if patterns.iter().map(Pattern::size).sum::<usize>() > SIZE_MAX {
        return Err("its alternatives are too long together");
    }
    Ok(patterns)
}

fn signs(text: &str) -> Result<Vec<Sign>, &'static str> {
    let mut signs = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        signs.push(match c {
            '\\' => match chars.next() {
                Some('/') => return Err("a '/' behind a '\\' means nothing"),
                Some(c) => Sign::Char(c),
                None => return Err("there is nothing behind its last '\\'"),
            },
            '*' => Sign::Star,
            '?' => Sign::One(Set::any()),
            '[' => Sign::One(class(&mut chars)?),
            '/' => Sign::Slash,
            '{' => Sign::Open,
            ',' => Sign::Comma,
            '}' => Sign::Close,
            c => Sign::Char(c),
        });
    }
    Ok(signs)
}

/// What stands behind a `[`, up to its `]`.
fn class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Set, &'static str> {
    const OPEN: &str = "a '[' has no ']'; a '[' that is meant as such is written '\\['";
    let negated = chars.next_if(|c| matches!(c, '!' | '^')).is_some();
    let mut ranges = Vec::new();
    loop {
        let mut one = |first: bool| match chars.next() {
            None => Err(OPEN),
            Some(']') if !first => Ok(None),
            Some('/') => Err("a '/' cannot be in a '[...]'"),
            Some('\\') => chars.next().map(Some).ok_or(OPEN),
            Some('[') if chars.peek() == Some(&':') => Err("'[:...:]' is not known here"),
            Some(c) => Ok(Some(c)),
        };
        let Some(first) = one(ranges.is_empty())? else { break };
        let last = if chars.next_if_eq(&'-').is_none() {
            first
        } else if chars.peek() == Some(&']') {
            // A `-` at the end is meant as such.
            ranges.push((u32::from('-'), u32::from('-')));
            first
        } else {
            match chars.next() {
                None => return Err(OPEN),
                Some('\\') => chars.next().ok_or(OPEN)?,
                Some(c) => c,
            }
        };
        if first > last {
            return Err("a range in '[...]' ends before it begins");
        }
        ranges.push((u32::from(first), u32::from(last)));
    }
    let set = Set::class(ranges, negated);
    if set.is_empty() { Err("a '[...]' stands for no character of a name") } else { Ok(set) }
}

/// All that `signs` can be with one choice for each `{...}`; up to a `,` or `}` if `inside` one.
fn alternatives<'s>(signs: &mut &'s [Sign], inside: bool) -> Result<Vec<Vec<Sign>>, &'static str> {
    const OPEN: &str = "a '{' has no '}'; a '{' that is meant as such is written '\\{'";
    let mut all = vec![Vec::new()];
    while let Some((sign, rest)) = (*signs as &'s [Sign]).split_first() {
        match sign {
            Sign::Comma | Sign::Close if inside => return Ok(all),
            Sign::Close => return Err("a '}' has no '{'; a '}' that is meant as such is written '\\}'"),
            Sign::Comma => all.iter_mut().for_each(|one| one.push(Sign::Char(','))),
            Sign::Open => {
                *signs = rest;
                let mut choice = Vec::new();
                loop {
                    choice.extend(alternatives(signs, true)?);
                    let (end, rest) = signs.split_first().ok_or(OPEN)?;
                    if *end == Sign::Close {
                        break;
                    }
                    *signs = rest;
                }
                if all.len() * choice.len() > ALTERNATIVES_MAX {
                    return Err("its '{...}' come to more than 64 patterns");
                }
                let with =
                    |one: &Vec<Sign>| choice.iter().map(|c| [&one[..], c].concat()).collect::<Vec<_>>();
                all = all.iter().flat_map(with).collect();
            }
            sign => all.iter_mut().for_each(|one| one.push(sign.clone())),
        }
        *signs = signs.get(1..).unwrap_or_default();
    }
    if inside { Err(OPEN) } else { Ok(all) }
}

/// The ways to match `signs`, in which there is no choice left.
fn ways(signs: &[Sign]) -> Result<Vec<Pattern>, &'static str> {
    let names: Vec<&[Sign]> = signs.split(|sign| *sign == Sign::Slash).collect();
    match names.as_slice() {
        [[]] => return Err("one of its alternatives is empty"),
        [[], ..] => return Err("it is absolute; paths begin at the root of the repository"),
        _ => {}
    }
    let dot = Sign::Char('.');
    let mut parts = Vec::new();
    for name in &names {
        match name {
            [] => {}
            [one] if *one == dot => {}
            [one, two] if *one == dot && *two == dot => return Err("it leads out of the repository by '..'"),
            [Sign::Star, Sign::Star] => parts.push(Part::Deep),
            name => parts.push(Part::Name(tokens(name))),
        }
    }
    let last = names.last().copied().unwrap_or_default();
    let is_plain = last.iter().all(|sign| matches!(sign, Sign::Char(_)));
    let all_below = [Part::Deep, Part::Name(vec![Token::Star])];
    let mut ways = Vec::new();
    match parts.last() {
        // `.`, `src/`, `src/.` and `src/**`: what is in there.
        Some(Part::Name(_)) if !(last.is_empty() || *last == [dot]) => {
            ways.push(Pattern(parts.clone()));
            if is_plain {
                ways.push(Pattern([parts, all_below.to_vec()].concat()));
            }
        }
        _ => ways.push(Pattern([parts, all_below.to_vec()].concat())),
    }
    Ok(ways)
}

fn tokens(name: &[Sign]) -> Vec<Token> {
    let mut tokens: Vec<Token> = name
        .iter()
        .filter_map(|sign| match sign {
            Sign::Char(c) => Some(Token::Char(*c)),
            Sign::One(set) => Some(Token::One(set.clone())),
            Sign::Star => Some(Token::Star),
            Sign::Slash | Sign::Open | Sign::Comma | Sign::Close => None,
        })
        .collect();
    tokens.dedup_by(|a, b| *a == Token::Star && *b == Token::Star);
    tokens
}

impl TryFrom<String> for Glob {
    type Error = BadGlob;

    fn try_from(text: String) -> Result<Self, BadGlob> {
        text.parse()
    }
}

impl From<Glob> for String {
    fn from(glob: Glob) -> Self {
        glob.text
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::text::Shown(&self.text).fmt(f)
    }
}

impl JsonSchema for Glob {
    fn schema_name() -> Cow<'static, str> {
        "Glob".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_pattern_is_refused_and_says_why() {
        for (text, why) in [
            ("", "it is empty"),
            ("/etc/passwd", "absolute"),
            ("{a,/b}", "absolute"),
            ("..", "'..'"),
            ("src/../../x", "'..'"),
            ("src/.{.,git}/x", "'..'"),
            ("{,a}", "alternatives is empty"),
            ("{}", "alternatives is empty"),
            ("a\\", "nothing behind"),
            ("a\\/b", "means nothing"),
            ("a[b", "no ']'"),
            ("a[]", "no ']'"),
            ("[z-a]", "ends before it begins"),
            ("[a/b]", "cannot be in"),
            ("[[:alpha:]]", "not known"),
            ("a{b", "no '}'"),
            ("a{b,{c}", "no '}'"),
            ("a}", "no '{'"),
            ("a\nb", "control"),
            ("{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}", "more than 64"),
        ] {
            let bad = text.parse::<Glob>().unwrap_err();
            assert!(bad.why.contains(why), "{text}: {bad}");
        }
        assert!("a".repeat(LENGTH_MAX + 1).parse::<Glob>().is_err());
        let wide = format!("{}{{a,b}}{{a,b}}{{a,b}}{{a,b}}", "x".repeat(400));
        assert!(wide.parse::<Glob>().unwrap_err().why.contains("too long together"));
    }

    #[test]
    fn a_set_is_what_its_ranges_say() {
        let set = |text: &str| -> Set {
            let glob: Glob = text.parse().unwrap();
            let Part::Name(tokens) = &glob.patterns()[0].0[0] else { panic!("{text}") };
            let Token::One(set) = &tokens[0] else { panic!("{text}") };
            set.clone()
        };
        for (text, has, has_not) in [
            ("[abc]", "abc", "d/"),
            ("[a-cx]", "abcx", "dw"),
            ("[!a-c]", "dé漢.", "abc/\0"),
            ("[^a]", "b", "a"),
            ("[]a]", "]a", "b"),
            ("[!]a]", "b", "]a"),
            ("[a-]", "a-", "b"),
            ("[\\]a]", "]a", "\\"),
            ("[b-da-c]", "abcd", "e"),
            ("?", "aé\u{10ffff}", "/\0"),
        ] {
            let set = set(text);
            assert!(has.chars().all(|c| set.has(c)), "{text}: {set:?}");
            assert!(!has_not.chars().any(|c| set.has(c)), "{text}: {set:?}");
            assert!(set.0.windows(2).all(|w| w[0].1 < w[1].0), "in order: {set:?}");
        }
    }
}
