//! Regular expressions as Go reads them (RE2), and its `ReplaceAllString`.
//!
//! The engine is the `regex` crate, which matches in the same order (leftmost, first alternative) but reads a wider
//! language. [`translate`] therefore rewrites an expression into the crate's: Perl classes and word boundaries are ASCII,
//! `{` that is no repetition is a character, classes know no set operations, escaped punctuation is itself, and what Go
//! refuses is refused. Syntax: <https://github.com/google/re2/wiki/Syntax>.

use std::fmt::Write as _;

use regex::bytes::{Captures, Regex, RegexBuilder};

/// Go's bound of a counted repetition.
const MOST_REPEATS: u32 = 1000;

/// Why a text is no expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PatternError(String);

/// An expression that has been read. Two are equal if their texts are.
#[derive(Clone, Debug)]
pub struct Pattern {
    source: String,
    regex: Regex,
    /// Groups by name, in order; a name may stand for several.
    names: Vec<(String, usize)>,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Pattern {}

impl Pattern {
    /// Reads an expression.
    pub fn parse(source: &str) -> Result<Self, PatternError> {
        let (translated, names) = translate(source)?;
        // Bytes, because an ASCII "no word boundary" is not offered for texts; `replace_all` sees to characters.
        let built = RegexBuilder::new(&translated).build();
        let regex = built.map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => PatternError("the expression is too large".into()),
            _ => PatternError("a part of the expression is missing or not known to RE2".into()),
        })?;
        Ok(Self {
            source: source.to_owned(),
            regex,
            names,
        })
    }

    /// The text it was read from.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.source
    }

    /// Whether it matches anywhere.
    #[must_use]
    pub fn is_match(&self, text: &str) -> bool {
        self.regex
            .find_iter(text.as_bytes())
            .any(|found| text.is_char_boundary(found.start()))
    }

    /// Replaces every match; `$1`, `$name`, `${name}` and `$$` in the replacement mean what they mean in Go.
    #[must_use]
    pub fn replace_all(&self, text: &str, replacement: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut last = 0;
        for captures in self.regex.captures_iter(text.as_bytes()) {
            let Some(found) = captures.get(0) else {
                continue;
            };
            // Between the bytes of one character there is no position in Go.
            if !text.is_char_boundary(found.start()) {
                continue;
            }
            out.push_str(text.get(last..found.start()).unwrap_or_default());
            self.expand(replacement, text, &captures, &mut out);
            last = found.end();
        }
        out.push_str(text.get(last..).unwrap_or_default());
        out
    }

    fn expand(&self, mut rest: &str, text: &str, captures: &Captures<'_>, out: &mut String) {
        while let Some(at) = rest.find('$') {
            out.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix('$') {
                out.push('$');
                rest = after;
                continue;
            }
            let Some((name, after)) = reference(rest) else {
                out.push('$');
                continue;
            };
            if let Some(group) = self.group(name, captures) {
                out.push_str(text.get(group).unwrap_or_default());
            }
            rest = after;
        }
        out.push_str(rest);
    }

    /// Where a group matched; a number without leading zeros, else a name.
    fn group(&self, name: &str, captures: &Captures<'_>) -> Option<std::ops::Range<usize>> {
        let is_number =
            name.bytes().all(|b| b.is_ascii_digit()) && !(name.len() > 1 && name.starts_with('0'));
        let found = if is_number {
            captures.get(name.parse().ok()?)
        } else {
            let mut groups = self.names.iter().filter(|(of, _)| of == name);
            groups.find_map(|(_, group)| captures.get(*group))
        };
        found.map(|found| found.range())
    }
}

/// The name behind a `$`, and what follows it: as long as possible, or in braces.
fn reference(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix('{');
    let body = inner.unwrap_or(text);
    let end = body
        .find(|c: char| !(c.is_alphanumeric() || c == '_'))
        .unwrap_or(body.len());
    let (name, after) = body.split_at(end);
    if name.is_empty() {
        return None;
    }
    match inner {
        None => Some((name, after)),
        Some(_) => Some((name, after.strip_prefix('}')?)),
    }
}

/// Go's expression in the language of the `regex` crate, and the names of its groups, which are left out of it.
fn translate(source: &str) -> Result<(String, Vec<(String, usize)>), PatternError> {
    let mut translator = Translator {
        chars: source.chars().collect(),
        at: 0,
        out: String::with_capacity(source.len() * 2),
        groups: 0,
        names: Vec::new(),
    };
    translator.run()?;
    Ok((translator.out, translator.names))
}

struct Translator {
    chars: Vec<char>,
    at: usize,
    out: String,
    /// Groups so far; each is counted where it opens.
    groups: usize,
    names: Vec<(String, usize)>,
}

fn wrong<T>(text: impl Into<String>) -> Result<T, PatternError> {
    Err(PatternError(text.into()))
}

impl Translator {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek();
        self.at += usize::from(c.is_some());
        c
    }

    fn eat(&mut self, text: &str) -> bool {
        let n = text.chars().count();
        let found = self
            .chars
            .get(self.at..self.at + n)
            .is_some_and(|found| found.iter().copied().eq(text.chars()));
        if found {
            self.at += n;
        }
        found
    }

    fn literal(&mut self, c: char) {
        if c.is_ascii_alphanumeric() {
            self.out.push(c);
        } else {
            let _ = write!(self.out, "\\x{{{:x}}}", u32::from(c));
        }
    }

    fn run(&mut self) -> Result<(), PatternError> {
        let mut repeated = false;
        while let Some(c) = self.next() {
            let repeats = match c {
                '*' | '+' | '?' => Some(c.to_string()),
                '{' => self.repetition()?,
                _ => None,
            };
            if let Some(repeats) = repeats {
                if repeated {
                    return wrong("invalid nested repetition operator");
                }
                self.out.push_str(&repeats);
                if self.eat("?") {
                    self.out.push('?');
                }
                repeated = true;
                continue;
            }
            repeated = false;
            match c {
                // It was no repetition, and is written already.
                '{' => {}
                '.' | '^' | '$' | '|' | ')' => self.out.push(c),
                '(' => self.group()?,
                '[' => self.class()?,
                '\\' if self.eat("Q") => self.quoted(),
                '\\' => self.escape()?,
                other => self.literal(other),
            }
        }
        Ok(())
    }

    /// A counted repetition behind `{`; none where the brace is a character.
    fn repetition(&mut self) -> Result<Option<String>, PatternError> {
        let start = self.at;
        let Some((least, most)) = self.bounds() else {
            self.at = start;
            self.literal('{');
            return Ok(None);
        };
        let largest = most.unwrap_or(least);
        if least > MOST_REPEATS || largest > MOST_REPEATS || largest < least {
            return wrong(format!(
                "invalid repeat count: at most {MOST_REPEATS}, and the first no larger than the second"
            ));
        }
        Ok(Some(match most {
            None => format!("{{{least},}}"),
            Some(most) => format!("{{{least},{most}}}"),
        }))
    }

    fn bounds(&mut self) -> Option<(u32, Option<u32>)> {
        let least = self.number()?;
        let most = if self.eat(",") {
            match self.peek() {
                Some('}') => None,
                _ => Some(self.number()?),
            }
        } else {
            Some(least)
        };
        self.eat("}").then_some((least, most))
    }

    /// Digits without a leading zero; what is too large for any bound stays so.
    fn number(&mut self) -> Option<u32> {
        let start = self.at;
        while self.peek().is_some_and(|c| c.is_ascii_digit()) {
            self.at += 1;
        }
        let digits: String = self.chars.get(start..self.at)?.iter().collect();
        if digits.is_empty() || (digits.len() > 1 && digits.starts_with('0')) {
            return None;
        }
        Some(digits.parse().unwrap_or(u32::MAX))
    }

    /// What follows a `(`: a name, flags that Go knows, or nothing of the kind.
    fn group(&mut self) -> Result<(), PatternError> {
        self.out.push('(');
        if !self.eat("?") {
            self.groups += 1;
            return Ok(());
        }
        if self.eat("P<") || self.eat("<") {
            self.groups += 1;
            return self.name();
        }
        self.out.push('?');
        while let Some(c) = self.next() {
            match c {
                'i' | 'm' | 's' | 'U' | '-' => self.out.push(c),
                ':' | ')' => {
                    self.out.push(c);
                    return Ok(());
                }
                _ => break,
            }
        }
        wrong("invalid or unsupported Perl syntax: only the flags i, m, s and U are known")
    }

    fn name(&mut self) -> Result<(), PatternError> {
        let rest = self.chars.get(self.at..).unwrap_or_default();
        let name: String = rest.iter().take_while(|c| **c != '>').collect();
        self.at += name.chars().count();
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(fits) || !self.eat(">") {
            return wrong("invalid named capture");
        }
        self.names.push((name, self.groups));
        Ok(())
    }

    fn quoted(&mut self) {
        while self.at < self.chars.len() {
            if self.eat("\\E") {
                return;
            }
            if let Some(c) = self.next() {
                self.literal(c);
            }
        }
    }

    /// An escape outside a class.
    fn escape(&mut self) -> Result<(), PatternError> {
        match self.peek() {
            Some(c @ ('A' | 'z')) => {
                self.at += 1;
                self.out.push('\\');
                self.out.push(c);
            }
            Some(c @ ('b' | 'B')) => {
                self.at += 1;
                let _ = write!(self.out, "(?-u:\\{c})");
            }
            _ => {
                if !self.class_escape()? {
                    let c = self.escaped_char()?;
                    self.literal(c);
                }
            }
        }
        Ok(())
    }

    /// An escape that stands for many characters, also inside a class; whether there was one.
    fn class_escape(&mut self) -> Result<bool, PatternError> {
        let ascii = match self.peek() {
            Some('d') => "[0-9]",
            Some('D') => "[^0-9]",
            Some('s') => "[\\t\\n\\x0C\\r\\x20]",
            Some('S') => "[^\\t\\n\\x0C\\r\\x20]",
            Some('w') => "[0-9A-Za-z_]",
            Some('W') => "[^0-9A-Za-z_]",
            Some('p' | 'P') => return self.property().map(|()| true),
            _ => return Ok(false),
        };
        self.at += 1;
        self.out.push_str(ascii);
        Ok(true)
    }

    fn property(&mut self) -> Result<(), PatternError> {
        let mut negated = self.next() == Some('P');
        let name: String = if self.eat("{") {
            negated ^= self.eat("^");
            let rest = self.chars.get(self.at..).unwrap_or_default();
            let name: String = rest.iter().take_while(|c| **c != '}').collect();
            self.at += name.chars().count();
            if !self.eat("}") {
                return wrong("invalid character class range: a } is missing");
            }
            name
        } else {
            self.next().map(String::from).unwrap_or_default()
        };
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return wrong("invalid character class range: no such property");
        }
        let _ = write!(self.out, "\\{}{{{name}}}", if negated { 'P' } else { 'p' });
        Ok(())
    }

    /// An escape that stands for one character.
    fn escaped_char(&mut self) -> Result<char, PatternError> {
        let invalid = || PatternError("invalid escape sequence".into());
        let c = self
            .next()
            .ok_or_else(|| PatternError("trailing backslash at end of expression".into()))?;
        let code = match c {
            '1'..='7' if !self.peek().is_some_and(|c| ('0'..='7').contains(&c)) => {
                return Err(invalid());
            }
            '0'..='7' => self.octal(c),
            'x' => self.hexadecimal().ok_or_else(invalid)?,
            'a' => 7,
            'f' => 12,
            'n' => 10,
            'r' => 13,
            't' => 9,
            'v' => 11,
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => u32::from(c),
            _ => return Err(invalid()),
        };
        char::from_u32(code).ok_or_else(invalid)
    }

    fn octal(&mut self, first: char) -> u32 {
        let mut code = first.to_digit(8).unwrap_or_default();
        for _ in 0..2 {
            match self.peek().and_then(|c| c.to_digit(8)) {
                Some(digit) => {
                    code = code * 8 + digit;
                    self.at += 1;
                }
                None => break,
            }
        }
        code
    }

    fn hexadecimal(&mut self) -> Option<u32> {
        if !self.eat("{") {
            let high = self.next()?.to_digit(16)?;
            let low = self.next()?.to_digit(16)?;
            return Some(high * 16 + low);
        }
        let mut code = 0u32;
        let mut digits = 0;
        loop {
            match self.next()? {
                '}' if digits > 0 => return Some(code),
                c => {
                    code = code.checked_mul(16)?.checked_add(c.to_digit(16)?)?;
                    digits += 1;
                }
            }
        }
    }

    /// A class, behind its `[`.
    fn class(&mut self) -> Result<(), PatternError> {
        self.out.push('[');
        if self.eat("^") {
            self.out.push('^');
        }
        let mut first = true;
        loop {
            match self.peek() {
                None => return wrong("missing closing ]"),
                Some(']') if !first => {
                    self.at += 1;
                    self.out.push(']');
                    return Ok(());
                }
                Some(_) => {}
            }
            first = false;
            if self.eat("[:") {
                if self.posix()? {
                    continue;
                }
                self.at -= 2;
            }
            if self.peek() == Some('\\') {
                self.at += 1;
                if self.class_escape()? {
                    continue;
                }
                self.at -= 1;
            }
            self.range()?;
        }
    }

    /// A named class behind `[:`; whether it is one.
    fn posix(&mut self) -> Result<bool, PatternError> {
        const NAMES: [&str; 14] = [
            "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print",
            "punct", "space", "upper", "word", "xdigit",
        ];
        let rest = self.chars.get(self.at..).unwrap_or_default();
        let Some(end) = rest.windows(2).position(|pair| pair == [':', ']']) else {
            return Ok(false);
        };
        let name: String = rest.iter().take(end).collect();
        if !NAMES.contains(&name.strip_prefix('^').unwrap_or(&name)) {
            return wrong("invalid character class range: no such class");
        }
        self.at += end + 2;
        let _ = write!(self.out, "[:{name}:]");
        Ok(true)
    }

    fn range(&mut self) -> Result<(), PatternError> {
        let low = self.class_char()?;
        let mut high = low;
        let rest = self.chars.get(self.at..).unwrap_or_default();
        if matches!(rest, ['-', end, ..] if *end != ']') {
            self.at += 1;
            high = self.class_char()?;
            if high < low {
                return wrong("invalid character class range: it runs backwards");
            }
        }
        let (low, high) = (u32::from(low), u32::from(high));
        let _ = write!(self.out, "\\x{{{low:x}}}-\\x{{{high:x}}}");
        Ok(())
    }

    fn class_char(&mut self) -> Result<char, PatternError> {
        match self.next() {
            Some('\\') => self.escaped_char(),
            Some(c) => Ok(c),
            None => wrong("missing closing ]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Case {
        source: String,
        target: String,
        text: String,
        /// None where Go refuses the expression.
        result: Option<String>,
    }

    /// What Go 1.26 made of them: `regexp.Compile`, then `ReplaceAllString`.
    #[test]
    fn expressions_mean_what_they_mean_in_go() {
        let cases: Vec<Case> =
            serde_json::from_str(include_str!("../tests/data/re2.json")).unwrap();
        assert!(cases.len() > 1000);
        let mut wrong = Vec::new();
        for case in &cases {
            let pattern = Pattern::parse(&case.source);
            let result = pattern
                .as_ref()
                .ok()
                .map(|p| p.replace_all(&case.text, &case.target));
            if result != case.result {
                wrong.push(format!(
                    "{:?} -> {:?} on {:?}: {result:?}, Go {:?}",
                    case.source, case.target, case.text, case.result
                ));
            }
        }
        assert!(
            wrong.is_empty(),
            "{} wrong:\n{}",
            wrong.len(),
            wrong.join("\n")
        );
    }

    #[test]
    fn a_match_is_found_anywhere() {
        let pattern = Pattern::parse("b/[cd]").unwrap();
        assert!(pattern.is_match("a/b/c") && !pattern.is_match("a/b/e"));
        assert_eq!(pattern, Pattern::parse("b/[cd]").unwrap());
        assert_eq!(pattern.as_str(), "b/[cd]");
    }

    #[test]
    fn what_is_refused_says_why() {
        let error = |source| Pattern::parse(source).unwrap_err().to_string();
        assert_eq!(error("a**"), "invalid nested repetition operator");
        assert_eq!(error("[a"), "missing closing ]");
        assert_eq!(
            error("(?=x)"),
            "invalid or unsupported Perl syntax: only the flags i, m, s and U are known"
        );
    }
}
