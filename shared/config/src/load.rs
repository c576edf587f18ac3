//! Reading the file: what stops a start, and where in the file it stands.

use crate::check;
use crate::hint::nearest;
use crate::{Config, Gateway};
use serde::Deserialize;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file (the configuration or the secret) cannot be read.
    #[error("{path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file can be read but not used. All problems found, in the order of the file; never empty.
    #[error("{}", join(problems))]
    Invalid {
        /// What is wrong, one entry an option or a syntax error.
        problems: Vec<Problem>,
    },
    /// The secret is missing, too short or publicly known. The text never contains it.
    #[error("{path}: {reason}", path = path.display())]
    Secret {
        /// The secret file.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
}

/// One thing wrong with the file. Displayed as `FILE:LINE: what. hint`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The configuration file.
    pub file: PathBuf,
    /// Line from 1, or `None` if the option is not in the file (its default does not fit the others).
    pub line: Option<usize>,
    /// What is wrong, with the option's name.
    pub message: String,
    /// What to write instead, if that can be guessed.
    pub hint: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

fn join(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
    lines.join("\n")
}

/// Reads the configuration file at `path`.
///
/// Relative paths in it are resolved against the folder of `path`, so that the result does not depend on the
/// working directory of the process.
///
/// # Errors
/// [`ConfigError::Read`] if the file cannot be read; [`ConfigError::Invalid`] with every unknown option, or the
/// first syntax or type error, or every value out of its range.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let read = |source| ConfigError::Read {
        path: path.to_path_buf(),
        source,
    };
    let text = std::fs::read_to_string(path).map_err(read)?;
    let absolute = std::path::absolute(path).map_err(read)?;
    let folder = absolute.parent().unwrap_or(Path::new("/"));
    parse(&text, path, folder)
}

/// Like [`load`], for a text already read: `file` is named in errors, `folder` is where relative paths start.
///
/// # Errors
/// [`ConfigError::Invalid`], as for [`load`].
pub fn parse(text: &str, file: &Path, folder: &Path) -> Result<Config, ConfigError> {
    let source = Source { text, file };
    let table = DeTable::parse(text).map_err(|e| source.syntax(&e))?;
    let unknown = source.unknown_options(table.get_ref());
    if !unknown.is_empty() {
        return Err(ConfigError::Invalid { problems: unknown });
    }
    let lines = Lines::new(&source, table.get_ref());
    let config = Config::deserialize(toml::de::Deserializer::from(table))
        .map_err(|e| source.mistyped(&e, &lines))?;
    let mut config = config;
    resolve(&mut config, folder);
    let problems: Vec<Problem> = check::problems(&config)
        .into_iter()
        .map(|bad| Problem {
            file: file.to_path_buf(),
            line: lines.of(bad.section, bad.option),
            message: format!("{}.{}: {}", bad.section, bad.option, bad.reason),
            hint: None,
        })
        .collect();
    if problems.is_empty() {
        Ok(config)
    } else {
        Err(ConfigError::Invalid { problems })
    }
}

/// The names of all sections and their options. Taken from the defaults, so a new
/// field is known here without being listed twice.
pub(crate) fn known_options() -> Vec<(String, Vec<String>)> {
    let defaults = toml::Table::try_from(Config::default()).unwrap_or_default();
    defaults
        .into_iter()
        .map(|(section, value)| {
            let options = match value {
                toml::Value::Table(t) => t.into_iter().map(|(name, _)| name).collect(),
                _ => Vec::new(),
            };
            (section, options)
        })
        .collect()
}

struct Source<'a> {
    text: &'a str,
    file: &'a Path,
}

impl Source<'_> {
    fn line(&self, span: Range<usize>) -> usize {
        let before = self.text.as_bytes().get(..span.start).unwrap_or_default();
        1 + before.iter().filter(|b| **b == b'\n').count()
    }

    fn problem(&self, span: Option<Range<usize>>, message: String) -> Problem {
        Problem {
            file: self.file.to_path_buf(),
            line: span.map(|s| self.line(s)),
            message,
            hint: None,
        }
    }

    fn syntax(&self, error: &toml::de::Error) -> ConfigError {
        let problem = self.problem(error.span(), one_line(error.message()));
        ConfigError::Invalid {
            problems: vec![problem],
        }
    }

    fn mistyped(&self, error: &toml::de::Error, lines: &Lines) -> ConfigError {
        let span = error.span();
        let line = span.clone().map(|s| self.line(s));
        let option = line.and_then(|l| lines.option_at(l));
        let message = match option {
            Some(option) => format!("{option}: {}", one_line(error.message())),
            None => one_line(error.message()),
        };
        ConfigError::Invalid {
            problems: vec![self.problem(span, message)],
        }
    }

    fn unknown_options(&self, table: &DeTable<'_>) -> Vec<Problem> {
        let known = known_options();
        let mut problems = Vec::new();
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            let Some((section, options)) = known.iter().find(|(s, _)| s == name) else {
                problems.push(self.unknown_section(key.span(), name, &known));
                continue;
            };
            let DeValue::Table(inside) = value.get_ref() else {
                problems.push(Problem {
                    hint: Some(format!("write it as [{section}] on a line of its own")),
                    ..self.problem(Some(key.span()), format!("{section} is a section"))
                });
                continue;
            };
            for key in inside.keys() {
                let name = key.get_ref().as_ref();
                if !options.iter().any(|o| o == name) {
                    problems.push(self.unknown_option(key.span(), name, section, &known));
                }
            }
        }
        problems.sort_by_key(|p| p.line);
        problems
    }

    fn unknown_section(
        &self,
        span: Range<usize>,
        name: &str,
        known: &[(String, Vec<String>)],
    ) -> Problem {
        let names: Vec<&str> = known.iter().map(|(s, _)| s.as_str()).collect();
        let inside = known
            .iter()
            .find(|(_, options)| options.iter().any(|o| o == name));
        let hint = match inside {
            Some((section, _)) => format!("{name} belongs in [{section}]"),
            None => match nearest(name, names.iter().copied()) {
                Some(near) => format!("did you mean [{near}]?"),
                None => format!("the sections are {}", names.join(", ")),
            },
        };
        Problem {
            hint: Some(hint),
            ..self.problem(Some(span), format!("unknown section or option {name:?}"))
        }
    }

    fn unknown_option(
        &self,
        span: Range<usize>,
        name: &str,
        section: &str,
        known: &[(String, Vec<String>)],
    ) -> Problem {
        let elsewhere = known
            .iter()
            .find(|(s, options)| s != section && options.iter().any(|o| o == name));
        let own = known
            .iter()
            .filter(|(s, _)| s == section)
            .flat_map(|(_, options)| options.iter().map(String::as_str));
        let hint = match (elsewhere, nearest(name, own)) {
            (Some((s, _)), _) => format!("it belongs in [{s}]"),
            (None, Some(near)) => format!("did you mean {near}?"),
            (None, None) => "see deploy/ringwire.toml for all options".to_owned(),
        };
        Problem {
            hint: Some(hint),
            ..self.problem(
                Some(span),
                format!("unknown option {name:?} in [{section}]"),
            )
        }
    }
}

fn one_line(message: &str) -> String {
    message.trim().replace('\n', " ")
}

/// Where each option stands in the file.
struct Lines(Vec<(String, String, usize)>);

impl Lines {
    fn new(source: &Source<'_>, table: &DeTable<'_>) -> Self {
        let mut lines = Vec::new();
        for (section, value) in table {
            if let DeValue::Table(inside) = value.get_ref() {
                lines.extend(inside.keys().map(|key: &Spanned<_>| {
                    let name = key.get_ref().to_string();
                    (section.get_ref().to_string(), name, source.line(key.span()))
                }));
            }
        }
        lines.sort_by_key(|(_, _, line)| *line);
        Self(lines)
    }

    fn of(&self, section: &str, option: &str) -> Option<usize> {
        self.0
            .iter()
            .find(|(s, o, _)| s == section && o == option)
            .map(|(_, _, line)| *line)
    }

    /// The option whose value reaches over `line`: the last one that starts there or above.
    fn option_at(&self, line: usize) -> Option<String> {
        let (section, option, _) = self.0.iter().rev().find(|(_, _, l)| *l <= line)?;
        Some(format!("{section}.{option}"))
    }
}

fn resolve(config: &mut Config, folder: &Path) {
    config.shared.secret_file = folder.join(&config.shared.secret_file);
    config.shared.link_socket = folder.join(&config.shared.link_socket);
    let Gateway { journal_dir, .. } = &mut config.gateway;
    *journal_dir = folder.join(&*journal_dir);
    if let Some(rest) = config.control.database_url.strip_prefix("sqlite:") {
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, format!("?{query}")),
            None => (rest, String::new()),
        };
        let path = path.strip_prefix("//").unwrap_or(path);
        // `sqlite::memory:` names no file.
        if !path.is_empty() && !path.starts_with(':') {
            let path = folder.join(path);
            config.control.database_url = format!("sqlite:{}{query}", path.display());
        }
    }
}
