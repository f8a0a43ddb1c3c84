//! Which paths a policy opens. Pure.

/// Whether one of the patterns opens `path`. A `*` at the end stands for any rest, as in the policies of Vault.
pub(super) fn opens(patterns: &[String], path: &str) -> bool {
    patterns
        .iter()
        .any(|pattern| match pattern.strip_suffix('*') {
            Some(start) => path.starts_with(start),
            None => path == pattern,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_exact_paths_and_everything_below_a_star() {
        let patterns = ["secret/data/team-a/*".to_owned(), "kv1/app".to_owned()];
        for (path, open) in [
            ("secret/data/team-a/db", true),
            ("secret/data/team-ab", false),
            ("kv1/app", true),
            ("kv1/app2", false),
        ] {
            assert_eq!(opens(&patterns, path), open, "{path}");
        }
    }
}
