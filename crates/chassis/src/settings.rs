//! Settings: one reader over the environment and an optional TOML file, errors that name the variable.
//!
//! A service has one struct of settings and one function that reads it from [`Settings`]. Nothing else looks at the
//! environment. Names are those of the environment; the file named by `CONCORD_CONFIG` may hold the same names (in any
//! case) at its top level; the environment wins. A secret `NAME` may instead be given as `NAME_FILE`, the path of a file
//! that holds it.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use secrecy::SecretString;

mod core;

pub use core::{BusSettings, CoreSettings, LogFormat, PubSubSettings, Topics, topic};

pub(crate) use core::check_database_url;

/// One sentence that names the variable, what was read and what is accepted. Never contains a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// A required setting is absent.
    #[error("{name} is not set; accepted is {accepted}.")]
    Missing {
        /// The variable.
        name: String,
        /// What may stand there.
        accepted: String,
    },
    /// A setting cannot be read.
    #[error("{name} was read as {read}; accepted is {accepted}.")]
    Wrong {
        /// The variable.
        name: String,
        /// What stood there (its length only, for a secret).
        read: String,
        /// What may stand there.
        accepted: String,
    },
    /// A file named by a setting cannot be read.
    #[error("{name} names the file {path}, which cannot be read ({reason}); accepted is {accepted}.")]
    File {
        /// The variable.
        name: String,
        /// The path.
        path: String,
        /// The system's words.
        reason: String,
        /// What may stand there.
        accepted: String,
    },
}

impl SettingError {
    /// The setting `name` is absent and `accepted` would be right.
    pub fn missing(name: &str, accepted: &str) -> Self {
        Self::Missing { name: name.into(), accepted: accepted.into() }
    }

    /// The setting `name` reads `value`, quoted in the sentence: not for secrets.
    pub fn wrong(name: &str, value: impl Display, accepted: &str) -> Self {
        Self::Wrong { name: name.into(), read: format!("\"{value}\""), accepted: accepted.into() }
    }

    /// The secret setting `name` cannot be used; only its length is told.
    pub fn wrong_secret(name: &str, value: &str, accepted: &str) -> Self {
        let read = format!("{} characters that are not shown", value.chars().count());
        Self::Wrong { name: name.into(), read, accepted: accepted.into() }
    }

    pub(crate) fn file(name: &str, path: &Path, error: &std::io::Error, accepted: &str) -> Self {
        Self::File {
            name: name.into(),
            path: path.display().to_string(),
            reason: error.to_string(),
            accepted: accepted.into(),
        }
    }
}

/// The settings of one process as text, before they mean anything.
#[derive(Clone, Default)]
pub struct Settings {
    values: BTreeMap<String, String>,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Names only: values may be secrets.
        f.debug_set().entries(self.values.keys()).finish()
    }
}

impl Settings {
    /// Reads the environment and the file named by `CONCORD_CONFIG`.
    pub fn from_process() -> Result<Self, SettingError> {
        let environment: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self::from_environment(environment)
    }

    /// The same from a given environment.
    pub fn from_environment(environment: BTreeMap<String, String>) -> Result<Self, SettingError> {
        const ACCEPTED: &str = "the path of a TOML file with setting names at its top level";
        let mut values = BTreeMap::new();
        if let Some(path) = environment.get("CONCORD_CONFIG").filter(|path| !path.is_empty()) {
            let path = Path::new(path);
            let text = std::fs::read_to_string(path)
                .map_err(|error| SettingError::file("CONCORD_CONFIG", path, &error, ACCEPTED))?;
            let table: toml::Table = text.parse().map_err(|error: toml::de::Error| SettingError::File {
                name: "CONCORD_CONFIG".into(),
                path: path.display().to_string(),
                reason: error.message().to_owned(),
                accepted: ACCEPTED.into(),
            })?;
            for (name, value) in table {
                let text = scalar(&value)
                    .ok_or_else(|| SettingError::wrong(&name, value.type_str(), "text, a number or true/false"))?;
                values.insert(name.to_uppercase(), text);
            }
        }
        values.extend(environment);
        Ok(Self { values })
    }

    /// Settings from pairs, for tests and for services run inside another process.
    pub fn from_pairs<N: Into<String>, V: Into<String>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        Self { values: pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect() }
    }

    /// The text of a setting; absent and empty are the same. Surrounding space is dropped.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    /// The first of several names that is set, with the name it was found under.
    pub fn first_text<'n>(&self, names: &[&'n str]) -> Option<(&'n str, &str)> {
        names.iter().find_map(|name| Some((*name, self.text(name)?)))
    }

    /// A setting that must be there.
    pub fn required(&self, name: &str, accepted: &str) -> Result<&str, SettingError> {
        self.text(name).ok_or_else(|| SettingError::missing(name, accepted))
    }

    /// A setting of any type that reads itself from text.
    pub fn parsed<T: FromStr>(&self, name: &str, accepted: &str) -> Result<Option<T>, SettingError> {
        match self.text(name) {
            Some(value) => value.parse().map(Some).map_err(|_| SettingError::wrong(name, value, accepted)),
            None => Ok(None),
        }
    }

    /// A whole or decimal number within bounds.
    pub fn number<T>(&self, name: &str, default: T, bounds: RangeInclusive<T>) -> Result<T, SettingError>
    where
        T: FromStr + PartialOrd + Display,
    {
        let accepted = format!("a number from {} to {} (default {default})", bounds.start(), bounds.end());
        let number = self.parsed(name, &accepted)?.unwrap_or(default);
        match bounds.contains(&number) {
            true => Ok(number),
            false => Err(SettingError::wrong(name, number, &accepted)),
        }
    }

    /// A length of time given in seconds (decimals allowed).
    pub fn seconds(
        &self,
        name: &str,
        default: Duration,
        bounds: RangeInclusive<f64>,
    ) -> Result<Duration, SettingError> {
        Ok(Duration::from_secs_f64(self.number(name, default.as_secs_f64(), bounds)?))
    }

    /// A length of time given in whole milliseconds.
    pub fn milliseconds(
        &self,
        name: &str,
        default: Duration,
        bounds: RangeInclusive<u64>,
    ) -> Result<Duration, SettingError> {
        let default = u64::try_from(default.as_millis()).unwrap_or(u64::MAX);
        Ok(Duration::from_millis(self.number(name, default, bounds)?))
    }

    /// A switch: true/false, 1/0, yes/no, on/off.
    pub fn switch(&self, name: &str, default: bool) -> Result<bool, SettingError> {
        match self.text(name).map(str::to_lowercase).as_deref() {
            None => Ok(default),
            Some("true" | "1" | "yes" | "on") => Ok(true),
            Some("false" | "0" | "no" | "off") => Ok(false),
            Some(other) => Err(SettingError::wrong(name, other, "true or false")),
        }
    }

    /// One of several words.
    pub fn one_of<T: Copy>(&self, name: &str, choices: &[(&str, T)], default: T) -> Result<T, SettingError> {
        let Some(read) = self.text(name) else { return Ok(default) };
        choices.iter().find(|(word, _)| word.eq_ignore_ascii_case(read)).map(|(_, choice)| *choice).ok_or_else(|| {
            let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
            SettingError::wrong(name, read, &words.join(" or "))
        })
    }

    /// A path.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.text(name).map(PathBuf::from)
    }

    /// A secret: the value of `NAME`, or the content of the file named by `NAME_FILE` (trailing newline dropped).
    pub fn secret(&self, name: &str) -> Result<Option<SecretString>, SettingError> {
        if let Some(value) = self.text(name) {
            return Ok(Some(SecretString::from(value)));
        }
        let file_name = format!("{name}_FILE");
        self.path(&file_name).map(|path| read_secret(&file_name, &path)).transpose()
    }

    /// A secret that must be there.
    pub fn required_secret(&self, name: &str, accepted: &str) -> Result<SecretString, SettingError> {
        self.secret(name)?.ok_or_else(|| SettingError::missing(name, accepted))
    }
}

/// Reads a secret from a file named by the setting `name`.
pub(crate) fn read_secret(name: &str, path: &Path) -> Result<SecretString, SettingError> {
    let accepted = "a readable file that holds the secret";
    let text = std::fs::read_to_string(path).map_err(|error| SettingError::file(name, path, &error, accepted))?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(SettingError::File {
            name: name.into(),
            path: path.display().to_string(),
            reason: "it is empty".into(),
            accepted: accepted.into(),
        }),
        secret => Ok(SecretString::from(secret)),
    }
}

fn scalar(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        toml::Value::Boolean(switch) => Some(switch.to_string()),
        toml::Value::Datetime(_) | toml::Value::Array(_) | toml::Value::Table(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn errors_name_the_variable_what_was_read_and_what_is_accepted() {
        let settings = Settings::from_pairs([("MAX_RETRY_ATTEMPTS", "many"), ("SHARE", "7"), ("DEBUG", "perhaps")]);
        let wrong = settings.number("MAX_RETRY_ATTEMPTS", 5u32, 1..=100).unwrap_err().to_string();
        assert_eq!(wrong, "MAX_RETRY_ATTEMPTS was read as \"many\"; accepted is a number from 1 to 100 (default 5).");
        let outside = settings.number("SHARE", 1, 0..=1).unwrap_err().to_string();
        assert_eq!(outside, "SHARE was read as \"7\"; accepted is a number from 0 to 1 (default 1).");
        let missing = settings.required("DATABASE_URL", "a Postgres URL").unwrap_err().to_string();
        assert_eq!(missing, "DATABASE_URL is not set; accepted is a Postgres URL.");
        let switch = settings.switch("DEBUG", false).unwrap_err().to_string();
        assert_eq!(switch, "DEBUG was read as \"perhaps\"; accepted is true or false.");
    }

    #[test]
    fn absent_empty_and_blank_are_the_same() {
        let settings = Settings::from_pairs([("A", ""), ("B", "  ")]);
        for name in ["A", "B", "C"] {
            assert_eq!(settings.number(name, 3u8, 0..=9), Ok(3));
        }
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("concord.toml");
        std::fs::write(&path, "poll_interval_seconds = 7\nCRON_SECRET = \"from file\"\nRUST_LOG = \"warn\"").unwrap();
        let environment = [("CONCORD_CONFIG", path.to_str().unwrap()), ("RUST_LOG", "debug")];
        let environment = environment.map(|(n, v)| (n.to_owned(), v.to_owned())).into();
        let settings = Settings::from_environment(environment).unwrap();
        assert_eq!(settings.number("POLL_INTERVAL_SECONDS", 30, 1..=60), Ok(7));
        assert_eq!(settings.text("CRON_SECRET"), Some("from file"));
        assert_eq!(settings.text("RUST_LOG"), Some("debug"));
    }

    #[test]
    fn a_file_that_is_missing_or_broken_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("concord.toml");
        let read = |path: &Path| {
            Settings::from_environment([("CONCORD_CONFIG".to_owned(), path.display().to_string())].into())
                .unwrap_err()
                .to_string()
        };
        assert!(read(&path).contains("CONCORD_CONFIG names the file"), "{}", read(&path));
        std::fs::write(&path, "a = [").unwrap();
        assert!(read(&path).contains("cannot be read"), "{}", read(&path));
        std::fs::write(&path, "a = [1]").unwrap();
        assert_eq!(read(&path), "a was read as \"array\"; accepted is text, a number or true/false.");
    }

    #[test]
    fn secrets_come_by_value_or_by_file_and_never_show() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, "hidden\n").unwrap();
        let settings = Settings::from_pairs([("TOKEN_FILE", path.to_str().unwrap()), ("KEY", "visible?")]);
        assert_eq!(settings.secret("TOKEN").unwrap().unwrap().expose_secret(), "hidden");
        assert!(settings.secret("ABSENT").unwrap().is_none());
        assert!(!format!("{settings:?}").contains("visible?"));
        let error = SettingError::wrong_secret("KEY", "visible?", "a PEM key").to_string();
        assert_eq!(error, "KEY was read as 8 characters that are not shown; accepted is a PEM key.");
    }
}
