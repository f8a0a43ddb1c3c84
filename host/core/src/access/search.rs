//! Whether a search stays within what a namespace may read, by its own words and before anything is asked.
//!
//! A search that went further and lost the hits that are not allowed would lose keys of a Secret whenever a rule changes,
//! and would tell by its failures what others have. So it has to confine itself: by its path, or by an expression on names
//! that begins with `^` and the prefix.

use super::names::plain;
use super::pattern::Matcher;
use crate::plugin::Query;

/// Whether all that a search can find lies within what these patterns allow.
pub(super) fn is_confined(query: &Query, patterns: &[Matcher]) -> bool {
    let prefixes = || patterns.iter().filter_map(Matcher::prefix);
    if let Some(path) = &query.path {
        let below = format!("{}/", path.trim_end_matches('/'));
        let is_plain = plain(path.trim_end_matches('/')).is_ok();
        if is_plain && prefixes().any(|prefix| path.starts_with(prefix) || below == prefix) {
            return true;
        }
    }
    let name = query.name.as_deref().and_then(literal_prefix);
    let name = name.unwrap_or_default();
    let levels = patterns.iter().filter_map(Matcher::level);
    prefixes()
        .chain(levels.filter(|level| !level.is_empty()))
        .any(|prefix| name.starts_with(prefix))
}

/// What every text that an expression finds begins with, as far as that is plain to see.
fn literal_prefix(expression: &str) -> Option<String> {
    let rest = expression.strip_prefix('^')?;
    if rest.contains('|') && !is_inside_groups(rest) {
        return None;
    }
    let mut prefix = String::new();
    let mut chars = rest.chars().peekable();
    while let Some(c) = chars.next() {
        let literal = match c {
            '\\' => match chars.next() {
                Some(escaped) if escaped.is_ascii_punctuation() => escaped,
                _ => break,
            },
            '.' | '[' | '(' | ')' | '*' | '+' | '?' | '{' | '}' | '^' | '$' | '|' => break,
            c => c,
        };
        // What may be left out or repeated is no part of it.
        if matches!(chars.peek(), Some('*' | '+' | '?' | '{')) {
            break;
        }
        prefix.push(literal);
    }
    Some(prefix)
}

/// Whether every alternative stands in a group. Where classes or escapes could hide a bracket it counts as if not.
fn is_inside_groups(expression: &str) -> bool {
    if expression.contains(['[', '\\']) {
        return false;
    }
    let mut depth = 0_usize;
    for c in expression.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            '|' if depth == 0 => return false,
            _ => {}
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::pattern::KeyPattern;
    use super::*;

    fn confined(patterns: &[&str], path: Option<&str>, name: Option<&str>) -> bool {
        let parse = |p: &&str| KeyPattern::parse(p).unwrap().of("n", &BTreeMap::new());
        let patterns: Vec<Matcher> = patterns.iter().filter_map(parse).collect();
        let query = Query {
            path: path.map(str::to_owned),
            name: name.map(str::to_owned),
            ..Query::default()
        };
        is_confined(&query, &patterns)
    }

    #[test]
    fn a_path_confines_where_all_below_it_may_be_read() {
        for (path, is) in [
            ("t/", true),
            ("t", true),
            ("t/deeper", true),
            ("t/deeper/", true),
            ("t-b", false),
            ("", false),
            ("/", false),
            ("t/../u", false),
            ("t/%2e%2e", false),
            ("/t/", false),
        ] {
            assert_eq!(confined(&["t/**"], Some(path), None), is, "{path}");
        }
        assert!(!confined(&["t/*"], Some("t/"), None));
        assert!(!confined(&["t/db"], Some("t/"), None));
        assert!(confined(&["x", "t/**"], Some("t"), Some(".*")));
    }

    #[test]
    fn an_expression_confines_by_what_all_its_texts_begin_with() {
        for (name, is) in [
            ("^t-", true),
            ("^t-.*$", true),
            ("^t-a(b|c)", true),
            ("^t\\-x", true),
            ("t-", false),
            ("^t", false),
            ("^t-?x", false),
            ("^t-*", false),
            ("^t-{0,1}", false),
            ("^t-|x", false),
            ("^t-[(]|x)", false),
            ("^t-\\(|x)", false),
            ("^t.x", false),
            ("^(t-)", false),
            ("(?i)^t-", false),
            ("^\\Qt-\\E", false),
        ] {
            assert_eq!(confined(&["t-*"], None, Some(name)), is, "{name}");
            assert_eq!(confined(&["t-**"], None, Some(name)), is, "{name}");
        }
    }

    #[test]
    fn all_keys_allow_every_search() {
        assert!(confined(&["**"], None, None));
        assert!(!confined(&["*"], None, None));
        assert!(!confined(&[], Some("t"), Some("^t")));
        assert!(!confined(&["{{label \"none\"}}/**"], Some("t"), None));
    }
}
