//! Patterns of remote keys, read once, and made for one namespace.
//!
//! `*` stands for characters of one segment, `**` for characters of any, `{{namespace}}` and `{{label "NAME"}}` for the
//! namespace's own words. Those are put in as text after the pattern was read, so none of them can act as a pattern.

use std::collections::BTreeMap;

/// Never matched by `*` and `**`: some HTTP interfaces read them as an end or an escape. Who has such keys names them.
const NOT_BY_WILDCARD: [char; 4] = ['?', '#', '%', '\\'];

/// A pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPattern(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Namespace,
    Label(String),
    Segment,
    Anything,
}

/// A pattern with the words of one namespace put in.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Matcher(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Step {
    Text(String),
    /// One character or more, up to a slash.
    Segment,
    /// One character or more.
    Anything,
}

impl KeyPattern {
    /// Reads a pattern. The error says what is wrong in it.
    pub fn parse(source: &str) -> Result<Self, String> {
        if source.is_empty() {
            return Err("a pattern is empty; ** stands for every key".to_owned());
        }
        let mut pieces = Vec::new();
        let mut rest = source;
        while !rest.is_empty() {
            let (piece, after) = piece(rest)?;
            pieces.push(piece);
            rest = after;
        }
        for pair in pieces.windows(2) {
            let open = |piece: &Piece| matches!(piece, Piece::Segment | Piece::Anything);
            let word = |piece: &Piece| matches!(piece, Piece::Namespace | Piece::Label(_));
            match pair {
                [a, b] if open(a) && open(b) => {
                    return Err("more than two * stand together; use * or **".to_owned());
                }
                // Namespace `a` would read what is meant for `ab`.
                [a, b] if word(a) && (open(b) || word(b)) || open(a) && word(b) => {
                    return Err(
                        "a placeholder has to be parted from what is around it, best by a slash"
                            .to_owned(),
                    );
                }
                _ => {}
            }
        }
        Ok(Self(pieces))
    }

    /// The pattern for one namespace; none where a label that it names is missing or empty there.
    #[must_use]
    pub fn of(&self, namespace: &str, labels: &BTreeMap<String, String>) -> Option<Matcher> {
        let mut steps: Vec<Step> = Vec::new();
        for piece in &self.0 {
            let text = match piece {
                Piece::Text(text) => text.as_str(),
                Piece::Namespace => Some(namespace).filter(|n| !n.is_empty())?,
                Piece::Label(name) => labels.get(name).filter(|v| !v.is_empty())?,
                Piece::Segment => {
                    steps.push(Step::Segment);
                    continue;
                }
                Piece::Anything => {
                    steps.push(Step::Anything);
                    continue;
                }
            };
            match steps.last_mut() {
                Some(Step::Text(before)) => before.push_str(text),
                _ => steps.push(Step::Text(text.to_owned())),
            }
        }
        Some(Matcher(steps))
    }
}

fn piece(rest: &str) -> Result<(Piece, &str), String> {
    if let Some(after) = rest.strip_prefix("**") {
        return Ok((Piece::Anything, after));
    }
    if let Some(after) = rest.strip_prefix('*') {
        return Ok((Piece::Segment, after));
    }
    if let Some(inside) = rest.strip_prefix("{{") {
        let Some((inside, after)) = inside.split_once("}}") else {
            return Err("a placeholder is not closed with }}".to_owned());
        };
        return Ok((placeholder(inside.trim())?, after));
    }
    let end = rest
        .char_indices()
        .skip(1)
        .find(|(at, c)| *c == '*' || rest[*at..].starts_with("{{"))
        .map_or(rest.len(), |(at, _)| at);
    let (text, after) = rest.split_at(end);
    if text.contains("}}") {
        return Err("}} closes no placeholder".to_owned());
    }
    Ok((Piece::Text(text.to_owned()), after))
}

fn placeholder(inside: &str) -> Result<Piece, String> {
    if inside == "namespace" {
        return Ok(Piece::Namespace);
    }
    let label = inside.strip_prefix("label").map(str::trim_start);
    let quoted = label.and_then(|l| l.strip_prefix('"')?.strip_suffix('"'));
    match quoted {
        Some(name) if !name.is_empty() && !name.contains('"') => Ok(Piece::Label(name.to_owned())),
        _ => Err("a placeholder is {{namespace}} or {{label \"NAME\"}}".to_owned()),
    }
}

impl Matcher {
    /// Whether a key matches as a whole.
    #[must_use]
    pub fn matches(&self, key: &str) -> bool {
        // Where in the key the steps so far can end. Its size bounds the work, whatever the pattern.
        let mut ends = vec![false; key.len() + 1];
        ends[0] = true;
        for step in &self.0 {
            let mut next = vec![false; key.len() + 1];
            match step {
                Step::Text(text) => {
                    for at in (0..=key.len()).filter(|at| ends[*at]) {
                        if key[at..].starts_with(text.as_str()) {
                            next[at + text.len()] = true;
                        }
                    }
                }
                Step::Segment | Step::Anything => {
                    let mut inside = false;
                    for (at, c) in key.char_indices() {
                        let taken = !c.is_control()
                            && !NOT_BY_WILDCARD.contains(&c)
                            && (c != '/' || *step == Step::Anything);
                        inside = taken && (inside || ends[at]);
                        if inside {
                            next[at + c.len_utf8()] = true;
                        }
                    }
                }
            }
            ends = next;
        }
        ends[key.len()]
    }

    /// What every key begins with, where the pattern allows all that begins so.
    #[must_use]
    pub fn prefix(&self) -> Option<&str> {
        match self.0.as_slice() {
            [Step::Anything] => Some(""),
            [Step::Text(text), Step::Anything] => Some(text),
            _ => None,
        }
    }

    /// The same within one level: all that begins so and has no further slash.
    #[must_use]
    pub fn level(&self) -> Option<&str> {
        match self.0.as_slice() {
            [Step::Segment] => Some(""),
            [Step::Text(text), Step::Segment] => Some(text),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matcher(pattern: &str) -> Option<Matcher> {
        let labels = BTreeMap::from([
            ("team".to_owned(), "pay".to_owned()),
            ("odd".to_owned(), "**".to_owned()),
            ("empty".to_owned(), String::new()),
        ]);
        KeyPattern::parse(pattern).unwrap().of("team-a", &labels)
    }

    #[test]
    fn a_pattern_matches_the_whole_key_and_nothing_beside_it() {
        let table = [
            ("db", "db", true),
            ("db", "db2", false),
            ("db", "DB", false),
            ("team/*", "team/db", true),
            ("team/*", "team/", false),
            ("team/*", "team/db/password", false),
            ("team/*/password", "team/db/password", true),
            ("team/**", "team/db/password", true),
            ("team/**", "team", false),
            ("team/**", "team-b/db", false),
            ("*-prod", "db-prod", true),
            ("*-prod", "-prod", false),
            ("**", "a/b", true),
            ("a*c*e", "abcde", true),
            ("a*c*e", "ace", false),
            ("ü*", "üß", true),
            ("{a}*", "{a}b", true),
            ("team-{{namespace}}/**", "team-team-a/db", true),
            ("{{ namespace }}/**", "team-a/db", true),
            ("{{namespace}}/**", "team-ab/db", false),
            ("{{label \"team\"}}/{{namespace}}", "pay/team-a", true),
            ("{{label \"team\"}}/*", "other/db", false),
        ];
        for (pattern, key, matched) in table {
            let matcher = matcher(pattern).unwrap();
            assert_eq!(matcher.matches(key), matched, "{pattern} {key}");
        }
    }

    #[test]
    fn words_of_the_namespace_never_act_as_a_pattern() {
        let odd = matcher("{{label \"odd\"}}").unwrap();
        assert!(odd.matches("**") && !odd.matches("anything"));
        assert_eq!(matcher("x-{{label \"empty\"}}/**"), None);
        assert_eq!(matcher("{{label \"none\"}}/**"), None);
        let parsed = KeyPattern::parse("{{namespace}}/**").unwrap();
        assert_eq!(parsed.of("", &BTreeMap::new()), None);
        let star = parsed.of("*", &BTreeMap::new()).unwrap();
        assert!(!star.matches("team-b/db"));
    }

    #[test]
    fn wildcards_take_no_character_that_ends_or_escapes_a_path() {
        for key in ["t/a?b", "t/a#b", "t/a%2fb", "t/a\\b", "t/a\nb", "t/a\0b"] {
            assert!(!matcher("t/**").unwrap().matches(key), "{key:?}");
            assert!(!matcher("t/*").unwrap().matches(key), "{key:?}");
        }
        assert!(matcher("t/a?b").unwrap().matches("t/a?b"));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for (pattern, said) in [
            ("", "is empty"),
            ("a***", "stand together"),
            ("a****", "stand together"),
            ("{{namespace", "not closed"),
            ("a}}", "closes no placeholder"),
            ("{{name}}/*", "a placeholder is"),
            ("{{label team}}/*", "a placeholder is"),
            ("{{label \"\"}}/*", "a placeholder is"),
            ("{{namespace}}*", "has to be parted"),
            ("*{{namespace}}", "has to be parted"),
            ("{{namespace}}{{label \"a\"}}", "has to be parted"),
        ] {
            let failed = KeyPattern::parse(pattern).unwrap_err();
            assert!(failed.contains(said), "{pattern}: {failed}");
        }
    }

    #[test]
    fn a_pattern_knows_the_prefix_that_it_opens() {
        let prefix = |pattern| matcher(pattern).unwrap().prefix().map(str::to_owned);
        assert_eq!(prefix("**").as_deref(), Some(""));
        assert_eq!(prefix("t/{{namespace}}/**").as_deref(), Some("t/team-a/"));
        assert_eq!(prefix("t/*"), None);
        assert_eq!(prefix("*/**"), None);
        assert_eq!(matcher("t-*").unwrap().level(), Some("t-"));
        assert_eq!(matcher("t-**").unwrap().level(), None);
    }
}
