//! The accounts file.

use std::path::Path;

use model::AccountId;
use secrecy::SecretString;
use serde::Deserialize;

use super::{AccountSettings, Accounts, NetsuiteAuth, NetsuiteSettings, OAuth2Settings, Scripts, TbaSettings};
use crate::settings::{SettingError, Settings, check_database_url, read_secret};

const NAME: &str = "CONCORD_ACCOUNTS";
const ACCEPTED: &str = "a TOML file with one [[account]] per account";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    account: Vec<Account>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Account {
    id: String,
    #[serde(default)]
    suspended: bool,
    netsuite: Netsuite,
    suitex: Option<Suitex>,
    #[serde(default)]
    ingest: Ingest,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Netsuite {
    rest_url: String,
    restlet_url: String,
    token_url: Option<String>,
    auth: Scheme,
    query_script: Option<String>,
    query_deploy: Option<String>,
    write_script: Option<String>,
    write_deploy: Option<String>,
    concurrency_limit: Option<u32>,
    integration_user: Option<i64>,
    oauth2: Option<OAuth2>,
    tba: Option<Tba>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Scheme {
    OAuth2,
    Tba,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OAuth2 {
    client_id: String,
    certificate_id: String,
    private_key: Secret,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tba {
    realm: String,
    consumer_key: String,
    consumer_secret: Secret,
    token_id: String,
    token_secret: Secret,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Suitex {
    database_url: Secret,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Ingest {
    #[serde(default)]
    signing_secrets: Vec<Secret>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Secret {
    File(String),
    Env(String),
    Value(String),
}

/// Reads the file at `path`.
pub(super) fn read(settings: &Settings, path: &Path) -> Result<Accounts, SettingError> {
    let text = std::fs::read_to_string(path).map_err(|error| SettingError::file(NAME, path, &error, ACCEPTED))?;
    parse(settings, &text, path.parent().unwrap_or(Path::new(".")))
}

/// Reads the text of an accounts file; relative paths start at `folder`.
pub(super) fn parse(settings: &Settings, text: &str, folder: &Path) -> Result<Accounts, SettingError> {
    let file: File = toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(0, |span| text.bytes().take(span.start).filter(|b| *b == b'\n').count() + 1);
        // Only these two name a field; any other message of the parser may quote a value, which may be a secret.
        let told = ["missing field", "unknown field"].iter().any(|start| error.message().starts_with(start));
        let why = if told { error.message() } else { "not of the accepted form" };
        SettingError::wrong(NAME, format!("a file whose line {line} is wrong: {why}"), ACCEPTED)
    })?;
    let mut accounts: Vec<AccountSettings> = Vec::with_capacity(file.account.len());
    for account in file.account {
        let account = resolve(settings, folder, account)?;
        if accounts.iter().any(|other| other.id == account.id) {
            return Err(SettingError::wrong(NAME, format!("a file with account {} twice", account.id), ACCEPTED));
        }
        accounts.push(account);
    }
    Ok(accounts.into_iter().collect())
}

fn resolve(settings: &Settings, folder: &Path, account: Account) -> Result<AccountSettings, SettingError> {
    let id = AccountId::parse(&account.id)
        .map_err(|error| SettingError::wrong(NAME, format!("account id {}", account.id), &error.to_string()))?;
    let at = |what: &str| format!("{NAME} account {id} {what}");
    let secret = |what: &str, secret: &Secret| resolve_secret(settings, folder, &at(what), secret);
    let suitex_database_url = match &account.suitex {
        Some(suitex) => {
            let url = secret("suitex.database_url", &suitex.database_url)?;
            check_database_url(&at("suitex.database_url"), &url)?;
            Some(url)
        }
        None => None,
    };
    let ingest_secrets = account.ingest.signing_secrets.iter();
    let ingest_secrets: Vec<SecretString> =
        ingest_secrets.map(|s| secret("ingest.signing_secrets", s)).collect::<Result<_, _>>()?;
    let netsuite = resolve_netsuite(account.netsuite, &at, &secret)?;
    Ok(AccountSettings { id: id.clone(), suspended: account.suspended, netsuite, suitex_database_url, ingest_secrets })
}

fn resolve_netsuite(
    netsuite: Netsuite,
    at: &dyn Fn(&str) -> String,
    secret: &dyn Fn(&str, &Secret) -> Result<SecretString, SettingError>,
) -> Result<NetsuiteSettings, SettingError> {
    let rest_url = super::host_root(&at("netsuite.rest_url"), &netsuite.rest_url)?;
    super::http_url(&at("netsuite.restlet_url"), &netsuite.restlet_url)?;
    let token_url = match netsuite.token_url {
        Some(url) => super::http_url(&at("netsuite.token_url"), &url)?.to_owned(),
        None => super::default_token_url(&rest_url),
    };
    let auth = match (netsuite.auth, netsuite.oauth2, netsuite.tba) {
        (Scheme::OAuth2, Some(oauth2), _) => NetsuiteAuth::OAuth2(OAuth2Settings {
            client_id: oauth2.client_id,
            certificate_id: oauth2.certificate_id,
            private_key: secret("netsuite.oauth2.private_key", &oauth2.private_key)?,
        }),
        (Scheme::Tba, _, Some(tba)) => NetsuiteAuth::Tba(TbaSettings {
            realm: tba.realm,
            consumer_key: tba.consumer_key,
            consumer_secret: secret("netsuite.tba.consumer_secret", &tba.consumer_secret)?,
            token_id: tba.token_id,
            token_secret: secret("netsuite.tba.token_secret", &tba.token_secret)?,
        }),
        (Scheme::OAuth2, None, _) => {
            return Err(SettingError::missing(
                &at("[account.netsuite.oauth2]"),
                "client_id, certificate_id and private_key",
            ));
        }
        (Scheme::Tba, _, None) => {
            return Err(SettingError::missing(&at("[account.netsuite.tba]"), "realm, consumer and token"));
        }
    };
    let concurrency_limit = netsuite.concurrency_limit.unwrap_or(super::DEFAULT_CONCURRENCY);
    if !(1..=super::MAX_CONCURRENCY).contains(&concurrency_limit) {
        return Err(SettingError::wrong(
            &at("netsuite.concurrency_limit"),
            concurrency_limit,
            "a number from 1 to 500",
        ));
    }
    let defaults = Scripts::default();
    Ok(NetsuiteSettings {
        rest_url,
        restlet_url: super::restlet_base(&netsuite.restlet_url),
        token_url,
        auth,
        scripts: Scripts {
            query_script: netsuite.query_script.unwrap_or(defaults.query_script),
            query_deploy: netsuite.query_deploy.unwrap_or(defaults.query_deploy),
            write_script: netsuite.write_script.unwrap_or(defaults.write_script),
            write_deploy: netsuite.write_deploy.unwrap_or(defaults.write_deploy),
        },
        concurrency_limit,
        integration_user: netsuite.integration_user,
    })
}

fn resolve_secret(
    settings: &Settings,
    folder: &Path,
    place: &str,
    secret: &Secret,
) -> Result<SecretString, SettingError> {
    match secret {
        Secret::Value(value) => Ok(SecretString::from(value.as_str())),
        Secret::File(path) => read_secret(place, &folder.join(path)),
        Secret::Env(name) => settings
            .secret(name)?
            .ok_or_else(|| SettingError::missing(name, &format!("the secret that {place} refers to"))),
    }
}
