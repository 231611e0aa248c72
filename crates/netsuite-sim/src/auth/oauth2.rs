//! OAuth 2.0 client credentials: the signed assertion of a certificate mapping.

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;

use super::audit::Reason;
use crate::config::OAuth2Config;

const MAX_LIFETIME_SECONDS: i64 = 3_600;
/// How far a client's clock may run ahead.
const LEEWAY_SECONDS: i64 = 60;
const SCOPES: [&str; 3] = ["rest_webservices", "restlets", "suite_analytics"];

/// A certificate mapping with its key.
pub(crate) struct Mapping {
    client_id: String,
    certificate_id: String,
    key: PublicKey,
}

enum PublicKey {
    Rsa(DecodingKey),
    Ec(DecodingKey),
}

/// Why a certificate mapping cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MappingError {
    /// The file could not be read.
    #[error("oauth2.public_key_path cannot be read")]
    Unreadable(#[from] std::io::Error),
    /// The file is no public key.
    #[error("oauth2.public_key_path is accepted as PEM with an RSA or EC public key (BEGIN PUBLIC KEY)")]
    NoKey(#[source] jsonwebtoken::errors::Error),
}

/// The parts of an assertion that say whose it is, before anything is verified.
#[derive(Debug, Clone)]
pub(crate) struct Assertion {
    pub(crate) client_id: String,
    certificate_id: String,
    algorithm: Option<Algorithm>,
}

#[derive(Debug, Deserialize)]
struct RawHeader {
    alg: String,
    #[serde(default)]
    kid: String,
}

#[derive(Debug, Deserialize)]
struct Claims {
    iss: String,
    aud: OneOrMany,
    iat: i64,
    exp: i64,
    scope: OneOrMany,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    /// The words; a single text may hold several, with commas or spaces between.
    fn words(&self) -> Vec<&str> {
        match self {
            Self::One(text) => text.split([',', ' ']).filter(|word| !word.is_empty()).collect(),
            Self::Many(list) => list.iter().map(String::as_str).collect(),
        }
    }

    fn names(&self, word: &str) -> bool {
        match self {
            Self::One(text) => text == word,
            Self::Many(list) => list.iter().any(|own| own == word),
        }
    }
}

impl Assertion {
    /// Reads header and issuer of a JWT without believing them.
    pub(crate) fn peek(jwt: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Issuer {
            iss: String,
        }
        let mut parts = jwt.split('.');
        let header: RawHeader = decode_part(parts.next()?)?;
        let claims: Issuer = decode_part(parts.next()?)?;
        let algorithm = header.alg.parse::<Algorithm>().ok();
        Some(Self { client_id: claims.iss, certificate_id: header.kid, algorithm })
    }
}

fn decode_part<T: serde::de::DeserializeOwned>(part: &str) -> Option<T> {
    use base64::Engine;
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).ok()?;
    serde_json::from_slice(&bytes).ok()
}

impl Mapping {
    /// Reads the key file.
    pub(crate) fn load(config: &OAuth2Config) -> Result<Self, MappingError> {
        let pem = std::fs::read(&config.public_key_path)?;
        let key = DecodingKey::from_rsa_pem(&pem)
            .map(PublicKey::Rsa)
            .or_else(|_| DecodingKey::from_ec_pem(&pem).map(PublicKey::Ec))
            .map_err(MappingError::NoKey)?;
        Ok(Self { client_id: config.client_id.clone(), certificate_id: config.certificate_id.clone(), key })
    }

    /// Whether the assertion names this mapping's integration.
    pub(crate) fn is_of(&self, assertion: &Assertion) -> bool {
        self.client_id == assertion.client_id
    }

    /// Whether the assertion names this mapping's certificate too.
    pub(crate) fn is_mapped(&self, assertion: &Assertion) -> bool {
        self.is_of(assertion) && self.certificate_id == assertion.certificate_id
    }

    /// Verifies a JWT against this mapping and returns the scopes it asks for; `now` is in Unix seconds.
    ///
    /// # Errors
    /// The reason for the audit trail.
    pub(crate) fn verify(
        &self,
        jwt: &str,
        assertion: &Assertion,
        audience: &str,
        now: i64,
    ) -> Result<Vec<String>, Reason> {
        if !self.is_mapped(assertion) {
            return Err(Reason::CertificateUnknown);
        }
        let algorithm = assertion.algorithm.ok_or(Reason::UnknownAlgorithm)?;
        let key = match (&self.key, algorithm) {
            (PublicKey::Rsa(key), Algorithm::PS256 | Algorithm::PS384 | Algorithm::PS512)
            | (PublicKey::Ec(key), Algorithm::ES256 | Algorithm::ES384) => key,
            _ => return Err(Reason::UnknownAlgorithm),
        };
        let mut validation = Validation::new(algorithm);
        // Time and audience are examined below, each with its own reason.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        let claims = jsonwebtoken::decode::<Claims>(jwt, key, &validation).map_err(|error| match error.kind() {
            jsonwebtoken::errors::ErrorKind::InvalidSignature => Reason::InvalidSignature,
            _ => Reason::MalformedAssertion,
        })?;
        let claims = claims.claims;
        if claims.iss != self.client_id {
            return Err(Reason::ConsumerKeyUnknown);
        }
        if !claims.aud.names(audience) {
            return Err(Reason::InvalidAudience);
        }
        let lifetime = claims.exp.saturating_sub(claims.iat);
        let is_current = claims.exp > now && claims.iat <= now + LEEWAY_SECONDS;
        if !is_current || !(1..=MAX_LIFETIME_SECONDS).contains(&lifetime) {
            return Err(Reason::InvalidLifetime);
        }
        let scopes = claims.scope.words();
        if scopes.is_empty() || scopes.iter().any(|scope| !SCOPES.contains(scope)) {
            return Err(Reason::InvalidScope);
        }
        Ok(scopes.into_iter().map(str::to_owned).collect())
    }
}
