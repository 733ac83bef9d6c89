//! Words as a shell reads them, for commands that people are told to type.

/// `text` as one word. A NUL, which no word can hold, makes it empty.
pub fn word(text: &str) -> String {
    shlex::try_quote(text).unwrap_or_default().into_owned()
}

/// A command of these words.
pub fn command(words: &[&str]) -> String {
    words.iter().map(|text| word(text)).collect::<Vec<_>>().join(" ")
}
