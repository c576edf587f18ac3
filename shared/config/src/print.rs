//! `--print-config`: the documented file with the values in force.

use crate::Config;

/// `deploy/ringwire.toml`, whose comments are the documentation of the options.
const DOCUMENTED: &str = include_str!("../../../deploy/ringwire.toml");

/// The configuration as a file that [`load`](crate::load()) reads back to the same values, with the comments of
/// `deploy/ringwire.toml`. A password inside `database_url` is replaced by `***`.
#[must_use]
pub fn print(config: &Config) -> String {
    let mut shown = config.clone();
    hide_password(&mut shown.control.database_url);
    let values = toml::Table::try_from(&shown).unwrap_or_default();
    let mut section = "";
    let mut out = String::with_capacity(DOCUMENTED.len());
    for line in DOCUMENTED.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            section = name;
        }
        let value =
            option_name(line).and_then(|name| Some((name, values.get(section)?.get(name)?)));
        match value {
            Some((name, value)) => out.push_str(&format!("{name} = {value}")),
            None => out.push_str(line),
        }
        out.push('\n');
    }
    out
}

fn option_name(line: &str) -> Option<&str> {
    let (name, _) = line.split_once(" = ")?;
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    name.bytes().all(plain).then_some(name)
}

fn hide_password(url: &mut String) {
    let Some((scheme, rest)) = url.split_once("://") else {
        return;
    };
    let mut shown = rest.to_owned();
    // From the first colon to the last at-sign: a password with unescaped separators is hidden whole.
    if let Some((credentials, host)) = rest.rsplit_once('@')
        && let Some((user, _)) = credentials.split_once(':')
    {
        shown = format!("{user}:***@{host}");
    }
    if let Some((before, after)) = shown.split_once("password=") {
        let kept = after.split_once('&').map_or("", |(_, more)| more);
        let joint = if kept.is_empty() { "" } else { "&" };
        shown = format!("{before}password=***{joint}{kept}");
    }
    *url = format!("{scheme}://{shown}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;
    use std::path::Path;

    #[test]
    fn reads_back_to_the_same_values() {
        let text = "[shared]\nlogin_policy = 5\nadmin_user_ids = [\"a\\\"b\", \"c\"]\n[control]\nnull_lists = false\n";
        let config = parse(text, Path::new("f"), Path::new("/data")).unwrap();
        let printed = print(&config);
        let again = parse(&printed, Path::new("f"), Path::new("/elsewhere")).unwrap();
        let table = |c: &Config| toml::Table::try_from(c).unwrap();
        assert_eq!(table(&again), table(&config));
        assert!(printed.contains("login_policy = 5\n"));
        assert!(printed.contains("# Life of a token in days."));
    }

    #[test]
    fn hides_the_database_password() {
        let mut config = Config::default();
        config.control.database_url = "postgres://im:s3:c/r@t@db:5432/im?sslmode=x".into();
        let printed = print(&config);
        assert!(!printed.contains("s3:c"), "{printed}");
        config.control.database_url = "postgres://im:s3cr3t@db:5432/im?sslmode=require".into();
        let printed = print(&config);
        assert!(printed.contains("postgres://im:***@db:5432/im?sslmode=require"));
        config.control.database_url = "postgres:///im?user=im&password=s3cr3t&host=db".into();
        assert!(print(&config).contains("postgres:///im?user=im&password=***&host=db"));
        config.control.database_url = "postgres://im@db/im".into();
        assert!(print(&config).contains("\"postgres://im@db/im\""));
    }
}
