//! Keys and secrets of a stack: made once, kept in the state folder, the same after a restart.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result};
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::state::StateDir;

const FILE: &str = "secrets/identity.json";

/// Everything secret of one stack.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Identity {
    /// Names this state folder among others; a data folder outside of it carries the same id.
    pub stack: String,
    /// Password of the database role `concord`.
    pub database_password: String,
    /// Bearer tokens of the console, by role.
    pub tokens: Tokens,
    /// By account id.
    pub accounts: BTreeMap<String, AccountIdentity>,
}

/// Console tokens.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Tokens {
    /// May read.
    pub viewer: String,
    /// May decide.
    pub operator: String,
    /// May change limits and policies.
    pub admin: String,
}

/// One account's credentials towards the simulator and ingest.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AccountIdentity {
    /// OAuth 2.0 client id.
    pub client_id: String,
    /// Certificate id (`kid`).
    pub certificate_id: String,
    /// TBA consumer key.
    pub consumer_key: String,
    /// TBA consumer secret.
    pub consumer_secret: String,
    /// TBA token id.
    pub token_id: String,
    /// TBA token secret.
    pub token_secret: String,
    /// Standard Webhooks secret, `whsec_…`.
    pub signing_secret: String,
}

impl Identity {
    /// Reads what was made before and makes what is missing.
    ///
    /// # Errors
    /// When the file is there but no identity, or something cannot be written.
    pub fn load_or_make(state: &StateDir, accounts: &[String]) -> Result<Self> {
        let path = state.path(FILE);
        let mut identity = match fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text)
                .with_context(|| format!("{} is not an identity file; `make clean` starts afresh", path.display()))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Self::make()?,
            Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
        };
        for account in accounts {
            if !identity.accounts.contains_key(account) {
                identity.accounts.insert(account.clone(), AccountIdentity::make(state, account)?);
            }
        }
        state.write(FILE, &serde_json::to_string_pretty(&identity)?)?;
        Ok(identity)
    }

    fn make() -> Result<Self> {
        Ok(Self {
            stack: secret(8)?,
            database_password: secret(24)?,
            tokens: Tokens { viewer: secret(24)?, operator: secret(24)?, admin: secret(24)? },
            accounts: BTreeMap::new(),
        })
    }
}

impl AccountIdentity {
    fn make(state: &StateDir, account: &str) -> Result<Self> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).context("no EC key could be made")?;
        let private = pair.to_pkcs8v1().context("the EC key cannot be encoded")?;
        let public = pair.public_key().as_der().context("the public EC key cannot be encoded")?;
        state.write(&private_key(account), &pem("PRIVATE KEY", private.as_ref()))?;
        state.write(&public_key(account), &pem("PUBLIC KEY", public.as_ref()))?;
        Ok(Self {
            client_id: secret(32)?,
            certificate_id: secret(16)?,
            consumer_key: secret(32)?,
            consumer_secret: secret(32)?,
            token_id: secret(32)?,
            token_secret: secret(32)?,
            signing_secret: format!("whsec_{}", STANDARD.encode(random::<32>()?)),
        })
    }
}

/// The account's EC P-256 private key in the state folder: PKCS#8 PEM, unencrypted.
pub fn private_key(account: &str) -> String {
    format!("secrets/{account}.key.pem")
}

/// The matching public key.
pub fn public_key(account: &str) -> String {
    format!("secrets/{account}.pub.pem")
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).context("the system gives no random bytes")?;
    Ok(bytes)
}

/// `length` random bytes as hexadecimal digits.
fn secret(length: usize) -> Result<String> {
    let bytes: [u8; 32] = random()?;
    Ok(hex::encode(&bytes[..length]))
}

fn pem(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let lines: Vec<&str> = body.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_survives_a_restart_and_grows_with_the_accounts() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::take(folder.path()).unwrap();
        let one = Identity::load_or_make(&state, &["A1".to_owned()]).unwrap();
        let two = Identity::load_or_make(&state, &["A1".to_owned(), "A2".to_owned()]).unwrap();
        assert_eq!(one.database_password, two.database_password);
        assert_eq!(one.accounts["A1"].token_secret, two.accounts["A1"].token_secret);
        assert_ne!(two.accounts["A1"].token_secret, two.accounts["A2"].token_secret);
    }

    #[test]
    fn keys_are_pem_of_the_kinds_that_services_read() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::take(folder.path()).unwrap();
        let identity = Identity::load_or_make(&state, &["A1".to_owned()]).unwrap();
        let account = &identity.accounts["A1"];
        let private = fs::read_to_string(state.path(&private_key("A1"))).unwrap();
        assert!(private.starts_with("-----BEGIN PRIVATE KEY-----\n"));
        let public = fs::read_to_string(state.path(&public_key("A1"))).unwrap();
        assert!(public.starts_with("-----BEGIN PUBLIC KEY-----\n"));
        assert!(public.lines().all(|line| line.len() <= 64));
        assert!(STANDARD.decode(account.signing_secret.trim_start_matches("whsec_")).unwrap().len() == 32);
    }
}
