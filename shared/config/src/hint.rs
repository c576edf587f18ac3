//! The nearest known name to a misspelt one.

/// The candidate that `name` was most likely meant to be, or `None` if none is close: more than a third of the
/// letters would have to change.
pub(crate) fn nearest<'a>(
    name: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    let folded = fold(name);
    candidates
        .map(|c| (distance(&folded, &fold(c)), c))
        .filter(|(d, c)| *d <= c.len().max(name.len()) / 3)
        .min_by_key(|(d, _)| *d)
        .map(|(_, c)| c)
}

/// Spellings that differ only in case, `-` or `_` count as the same.
fn fold(name: &str) -> Vec<char> {
    name.chars()
        .filter(|c| *c != '_' && *c != '-')
        .flat_map(char::to_lowercase)
        .collect()
}

/// Levenshtein distance.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let known = ["listen", "max_connections", "login_policy"];
        let near = |name| nearest(name, known.into_iter());
        assert_eq!(near("maxConnections"), Some("max_connections"));
        assert_eq!(near("lisen"), Some("listen"));
        assert_eq!(near("login-policies"), Some("login_policy"));
        assert_eq!(near("kafka_address"), None);
        assert_eq!(near(""), None);
    }
}
