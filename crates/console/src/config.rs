//! What the console can be told, and who may speak to it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use chassis::settings::{SettingError, Settings};
use chassis::snapshots::Snapshots;
use model::limits::Limits;
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// Settings of the console, beside those every service has.
#[derive(Debug, Clone)]
pub struct Config {
    /// Limits of the core, for what people do to records.
    pub limits: Limits,
    /// `CONCORD_TOKENS`, required: TOML with `[[token]]` tables of `name`, `role` (viewer, operator, admin) and `sha256` (hex).
    pub tokens: Tokens,
    /// `SNAPSHOT_URL`: where events lie that were too large for the bus.
    pub snapshots: Option<Arc<Snapshots>>,
}

/// What a token may do; each role may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Decides conflicts, locks, retries.
    Operator,
    /// Suspends accounts.
    Admin,
}

/// Tokens by the SHA-256 of their text; the texts are nowhere kept.
#[derive(Debug, Clone, Default)]
pub struct Tokens(BTreeMap<[u8; 32], (String, Role)>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    token: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    role: Role,
    sha256: String,
}

const ACCEPTED: &str = "the path of a TOML file with [[token]] tables of name, role and sha256 (64 hex digits)";

impl Config {
    /// Reads the settings.
    ///
    /// # Errors
    /// The first one that is wrong, by name.
    pub fn from_settings(settings: &Settings) -> Result<Self, SettingError> {
        let path = settings.path("CONCORD_TOKENS").ok_or_else(|| SettingError::missing("CONCORD_TOKENS", ACCEPTED))?;
        Ok(Self {
            limits: chassis::sync::limits(settings, "console")?,
            tokens: Tokens::read(&path)?,
            snapshots: Snapshots::from_settings(settings)?,
        })
    }
}

impl Tokens {
    fn read(path: &PathBuf) -> Result<Self, SettingError> {
        let wrong =
            |why: String| SettingError::wrong("CONCORD_TOKENS", format!("{} ({why})", path.display()), ACCEPTED);
        let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        match Self::parse(&text) {
            Ok(tokens) if tokens.0.is_empty() => Err(wrong("it names nobody".to_owned())),
            read => read.map_err(wrong),
        }
    }

    /// Reads the file's text.
    ///
    /// # Errors
    /// A sentence saying what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        let mut tokens = BTreeMap::new();
        for entry in file.token {
            let mut hash = [0_u8; 32];
            hex::decode_to_slice(&entry.sha256, &mut hash)
                .map_err(|_| format!("the sha256 of {} is not 64 hex digits", entry.name))?;
            tokens.insert(hash, (entry.name, entry.role));
        }
        Ok(Self(tokens))
    }

    /// Whose token this is. Looked up by its hash, so the time taken says nothing about the text.
    pub fn find(&self, token: &str) -> Option<(&str, Role)> {
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        self.0.get(&hash).map(|(name, role)| (name.as_str(), *role))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_found_by_their_hash_and_roles_are_ordered() {
        let hash = hex::encode(Sha256::digest(b"secret"));
        let tokens =
            Tokens::parse(&format!("[[token]]\nname = \"jo\"\nrole = \"operator\"\nsha256 = \"{hash}\"\n")).unwrap();
        assert_eq!(tokens.find("secret"), Some(("jo", Role::Operator)));
        assert_eq!(tokens.find("Secret"), None);
        assert!(Role::Viewer < Role::Operator && Role::Operator < Role::Admin);
        assert!(Tokens::parse("[[token]]\nname = \"jo\"\nrole = \"king\"\nsha256 = \"\"").is_err());
        assert!(
            Tokens::parse("[[token]]\nname = \"jo\"\nrole = \"admin\"\nsha256 = \"12\"").unwrap_err().contains("jo")
        );
    }
}
