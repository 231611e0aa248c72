//! Access tokens: opaque to the caller, self-contained, and still good after a restart.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fastrand::Rng;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::Scope;
use super::audit::Reason;

const KEY_BYTES: usize = 32;
const KEY_FILE: &str = "token.key";

/// What a token says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Grant {
    pub(crate) account: String,
    scopes: Vec<String>,
    /// Unix second at which it ends.
    expires: i64,
    /// Makes two tokens of one second differ.
    serial: u64,
}

/// The key that seals tokens, one per data folder.
pub(crate) struct TokenKey {
    key: Vec<u8>,
}

impl TokenKey {
    /// Reads the folder's key, making one the first time.
    pub(crate) fn load(data_dir: &Path, rng: &mut Rng) -> std::io::Result<Self> {
        let path = data_dir.join(KEY_FILE);
        match std::fs::read(&path) {
            Ok(key) if key.len() == KEY_BYTES => Ok(Self { key }),
            Ok(_) => Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "token.key is damaged: remove it")),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let mut key = vec![0; KEY_BYTES];
                rng.fill(&mut key);
                std::fs::write(&path, &key)?;
                Ok(Self { key })
            }
            Err(error) => Err(error),
        }
    }

    /// Makes a token that lasts until `expires` (Unix seconds).
    pub(crate) fn issue(&self, account: &str, scopes: Vec<String>, expires: i64, serial: u64) -> String {
        let grant = Grant { account: account.to_owned(), scopes, expires, serial };
        let body = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&grant).unwrap_or_default());
        let seal = URL_SAFE_NO_PAD.encode(self.seal(&body));
        format!("{body}.{seal}")
    }

    /// Reads a token of this key.
    pub(crate) fn open(&self, token: &str) -> Option<Grant> {
        let (body, seal) = token.split_once('.')?;
        let seal = URL_SAFE_NO_PAD.decode(seal).ok()?;
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).ok()?;
        mac.update(body.as_bytes());
        mac.verify_slice(&seal).ok()?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(body).ok()?).ok()
    }

    fn seal(&self, body: &str) -> Vec<u8> {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.key) else { return Vec::new() };
        mac.update(body.as_bytes());
        mac.finalize().into_bytes().to_vec()
    }
}

impl Grant {
    /// Whether the token still holds; `now` is in Unix seconds.
    pub(crate) fn verify(&self, now: i64) -> Result<(), Reason> {
        if now < self.expires { Ok(()) } else { Err(Reason::TokenExpired) }
    }

    /// Whether the token was granted for that.
    pub(crate) fn allows(&self, scope: Scope) -> bool {
        self.scopes.iter().any(|own| own == scope.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_a_restart_but_no_tampering() {
        let folder = tempfile::tempdir().unwrap();
        let mut rng = Rng::with_seed(1);
        let key = TokenKey::load(folder.path(), &mut rng).unwrap();
        let token = key.issue("A1", vec!["restlets".to_owned()], 100, 1);
        let grant = TokenKey::load(folder.path(), &mut rng).unwrap().open(&token).unwrap();
        assert!(grant.allows(Scope::Restlets) && !grant.allows(Scope::RestWebServices));
        assert_eq!(grant.verify(99), Ok(()));
        assert_eq!(grant.verify(100), Err(Reason::TokenExpired));
        assert!(key.open(&format!("x{token}")).is_none());
    }
}
