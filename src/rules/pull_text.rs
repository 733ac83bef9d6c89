//! Title and text of a pull request, from a task and what came of it, by a template.
//!
//! A template is one text: its first line makes the title, what stands below makes the body. Its language is Jinja's, as
//! [minijinja](https://docs.rs/minijinja) has it; a word that is not known is an error, and not empty text.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;

/// The template where the user has none.
pub const DEFAULT: &str = include_str!("pull_text.md");

/// The longest title, in characters, and the longest body, in bytes, that hosts take.
const TITLE: usize = 250;
const BODY: usize = 60_000;

/// What a template can tell of.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Facts {
    /// The beginning of the task, one line.
    pub title: String,
    /// The whole task.
    pub task: String,
    /// What the agent said at its end.
    pub answer: String,
    /// The name of the agent.
    pub agent: String,
    /// Its branch.
    pub branch: String,
    /// What it began at.
    pub base: String,
    /// The agent CLIs that worked on it.
    pub clis: Vec<String>,
    /// The first lines of its commits, oldest first.
    pub commits: Vec<String>,
    /// Files that it changed.
    pub files: u32,
    /// Lines added.
    pub insertions: u32,
    /// Lines removed.
    pub deletions: u32,
    /// The validation command, which succeeded; empty if there is none.
    pub validation: String,
}

/// A pull request in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullText {
    /// One line.
    pub title: String,
    /// Markdown.
    pub body: String,
}

/// What `template` makes of `facts`.
///
/// # Errors
/// What is wrong with the template, with its line.
pub fn render(template: &str, facts: &Facts) -> Result<PullText, String> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.map_err(|e| e.to_string())?);
    environment.add_filter("quote", |text: &str| {
        text.lines().map(|line| format!("> {line}").trim_end().to_owned()).collect::<Vec<_>>().join("\n")
    });
    // What an agent wrote is published in the user's name, and must not call people.
    let told = Facts {
        answer: quiet(&facts.answer),
        commits: facts.commits.iter().map(|subject| quiet(subject)).collect(),
        ..facts.clone()
    };
    let text = environment.render_str(template, Serde(&told));
    let text = text.map_err(|e| match e.line() {
        Some(line) => {
            format!("line {line}: {}", e.detail().map_or_else(|| e.kind().to_string(), str::to_owned))
        }
        None => e.to_string(),
    })?;
    let (title, body) = text.split_once('\n').unwrap_or((&text, ""));
    let title: String = title.split_whitespace().collect::<Vec<_>>().join(" ");
    if title.is_empty() {
        return Err("its first line makes an empty title".to_owned());
    }
    Ok(PullText { title: cut(&title, TITLE), body: shorter(body.trim()) })
}

/// A text in which nobody is called by `@name`: a sign that takes no room stands behind the `@`.
fn quiet(text: &str) -> String {
    text.replace('@', "@\u{200b}")
}

fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

/// A body that hosts take, and that says what is not in it.
fn shorter(body: &str) -> String {
    if body.len() <= BODY {
        return format!("{body}\n");
    }
    let mut end = BODY;
    while !body.is_char_boundary(end) {
        end -= 1;
    }
    format!(
        "{}\n\n(cut: the whole text is longer than a pull request can hold)\n",
        body.get(..end).unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            title: "Fix the login bug".into(),
            task: "Fix the login bug\n\nIt is in auth.rs.".into(),
            answer: "Mended, @alice should look.".into(),
            agent: "fix-the-login-bug".into(),
            branch: "ai_orch/fix-the-login-bug".into(),
            base: "main".into(),
            clis: vec!["gemini".into(), "claude".into()],
            commits: vec!["Check the token".into(), "Ask @bob".into()],
            files: 2,
            insertions: 10,
            deletions: 1,
            validation: "cargo test".into(),
        }
    }

    #[test]
    fn by_the_template_of_our_own() {
        let text = render(DEFAULT, &facts()).unwrap();
        let seen = format!("{}\n====\n{}", text.title, text.body).replace('\u{200b}', "<0>");
        insta::assert_snapshot!(seen, @r"
        Fix the login bug
        ====
        Mended, @<0>alice should look.

        ### Task

        > Fix the login bug
        >
        > It is in auth.rs.

        ### Commits

        - Check the token
        - Ask @<0>bob

        Its validation succeeded.

        Made by gemini, claude with [ai_orch](https://github.com/ai-orch/ai_orch), as the agent `fix-the-login-bug`.
        ");
        let bare = Facts { title: "T".into(), task: "T".into(), clis: vec!["sh".into()], ..Facts::default() };
        insta::assert_snapshot!(render(DEFAULT, &bare).unwrap().body, @r"
        ### Task

        > T

        Made by sh with [ai_orch](https://github.com/ai-orch/ai_orch), as the agent ``.
        ");
    }

    #[test]
    fn by_the_users_own_and_its_errors_are_told() {
        let text =
            render("[bot] {{ title }}\n\n{{ files }} files by {{ clis | join(', ') }}", &facts()).unwrap();
        assert_eq!(text.title, "[bot] Fix the login bug");
        assert_eq!(text.body, "2 files by gemini, claude\n");
        for (template, why) in [
            ("{{ title }}\n{{ titel }}", "line 2"),
            ("{{ title }}\n{% if %}", "line 2"),
            ("\n{{ title }}", "empty title"),
        ] {
            let error = render(template, &facts()).unwrap_err();
            assert!(error.contains(why), "{template}: {error}");
        }
    }

    #[test]
    fn what_no_host_takes_is_cut() {
        let long = Facts { title: "ü".repeat(400), answer: "ö".repeat(50_000), ..facts() };
        let text = render("{{ title }}\n{{ answer }}", &long).unwrap();
        assert_eq!(text.title.chars().count(), TITLE);
        assert!(text.body.len() < BODY + 200 && text.body.contains("(cut:"), "{}", text.body.len());
    }
}
