//! What the two databases say differently.

/// Which database speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    /// `column` is one of the list in parameter `n`. One parameter whatever the length, so that the
    /// statement stays prepared.
    pub(super) fn any(self, column: &str, n: usize) -> String {
        match self {
            Self::Sqlite => format!("{column} IN (SELECT value FROM json_each(${n}))"),
            Self::Postgres => format!("{column} = ANY(${n})"),
        }
    }

    /// A table with the texts of the list in parameter `n` as column `id`.
    pub(super) fn keys(self, n: usize) -> String {
        match self {
            Self::Sqlite => format!("(SELECT value AS id FROM json_each(${n}))"),
            Self::Postgres => format!("(SELECT unnest(${n}) AS id)"),
        }
    }

    /// A table with the pairs of parameter `n` as columns `a` and `b`.
    pub(super) fn pairs(self, n: usize) -> String {
        match self {
            Self::Sqlite => {
                format!("(SELECT value ->> 0 AS a, value ->> 1 AS b FROM json_each(${n}))")
            }
            Self::Postgres => {
                format!(
                    "(SELECT value ->> 0 AS a, value ->> 1 AS b FROM jsonb_array_elements(${n}::jsonb))"
                )
            }
        }
    }

    /// Locks the rows read until the transaction ends. SQLite has one writer, so its rows are locked anyway.
    pub(super) fn for_update(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => " FOR UPDATE",
        }
    }

    /// `VALUES` of so many rows and columns. SQLite gets bare question marks: it looks named
    /// parameters up one by one, which is quadratic in their number.
    pub(super) fn values(self, rows: usize, columns: usize) -> String {
        let mut text = String::with_capacity(8 + rows * (columns * 6 + 3));
        text.push_str("VALUES ");
        let mut n = 0;
        for row in 0..rows {
            text.push_str(if row == 0 { "(" } else { ",(" });
            for column in 0..columns {
                if column > 0 {
                    text.push(',');
                }
                n += 1;
                match self {
                    Self::Sqlite => text.push('?'),
                    Self::Postgres => {
                        text.push('$');
                        text.push_str(&n.to_string());
                    }
                }
            }
            text.push(')');
        }
        text
    }
}

/// A `LIKE` pattern (escape character `\`) for a literal substring.
pub(super) fn contains(literal: &str) -> String {
    let mut pattern = String::with_capacity(literal.len() + 2);
    pattern.push('%');
    for c in literal.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_in_a_search_word_are_literal() {
        assert_eq!(contains(r"5%_\a"), r"%5\%\_\\a%");
    }

    #[test]
    fn parameters_are_numbered_row_by_row() {
        assert_eq!(Dialect::Postgres.values(2, 2), "VALUES ($1,$2),($3,$4)");
        assert_eq!(Dialect::Sqlite.values(2, 2), "VALUES (?,?),(?,?)");
    }
}
