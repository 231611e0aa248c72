//! One account from the `NETSUITE_*` settings (contracts §7), for installations that have just one.

use model::AccountId;
use secrecy::{ExposeSecret, SecretString};

use super::{AccountSettings, NetsuiteAuth, NetsuiteSettings, OAuth2Settings, Scripts, TbaSettings};
use crate::settings::{SettingError, Settings, check_database_url, read_secret};

const ACCOUNT: &str = "a NetSuite account id such as 1234567 or 1234567_SB1";

/// The account, or none when `NETSUITE_ACCOUNT` is not set.
pub(super) fn read(settings: &Settings) -> Result<Option<AccountSettings>, SettingError> {
    let Some((name, id)) = settings.first_text(&["NETSUITE_ACCOUNT", "NETSUITE_ACCOUNT_ID"]) else { return Ok(None) };
    let id = AccountId::parse(id).map_err(|_| SettingError::wrong(name, id, ACCOUNT))?;
    // NetSuite's hosts spell 1234567_SB1 as 1234567-sb1.
    let host = id.as_str().to_lowercase().replace('_', "-");
    let rest_url = match settings.text("NETSUITE_REST_URL") {
        Some(url) => super::host_root("NETSUITE_REST_URL", url)?,
        None => format!("https://{host}.suitetalk.api.netsuite.com"),
    };
    let restlet = match settings.text("NETSUITE_RESTLET_URL") {
        Some(url) => super::http_url("NETSUITE_RESTLET_URL", url)?.to_owned(),
        None => format!("https://{host}.restlets.api.netsuite.com/app/site/hosting/restlet.nl"),
    };
    let suitex_database_url = settings.secret("SUITEX_DATABASE_URL")?;
    if let Some(url) = &suitex_database_url {
        check_database_url("SUITEX_DATABASE_URL", url)?;
    }
    let netsuite = NetsuiteSettings {
        token_url: super::default_token_url(&rest_url),
        restlet_url: super::restlet_base(&restlet),
        scripts: scripts(settings, &restlet),
        auth: auth(settings, &id)?,
        concurrency_limit: settings.number(
            "NETSUITE_CONCURRENCY_LIMIT",
            super::DEFAULT_CONCURRENCY,
            1..=super::MAX_CONCURRENCY,
        )?,
        integration_user: settings
            .text("NETSUITE_INTEGRATION_USER")
            .map(|text| {
                text.parse()
                    .map_err(|_| SettingError::wrong("NETSUITE_INTEGRATION_USER", text, "an internal id: digits"))
            })
            .transpose()?,
        rest_url,
    };
    let ingest_secrets: Vec<SecretString> = settings
        .secret("INGEST_SIGNING_SECRET")?
        .map(|all| all.expose_secret().split_whitespace().map(SecretString::from).collect())
        .unwrap_or_default();
    Ok(Some(AccountSettings { id, suspended: false, netsuite, suitex_database_url, ingest_secrets }))
}

fn scripts(settings: &Settings, restlet: &str) -> Scripts {
    let defaults = Scripts::default();
    let in_url = |name: &str| {
        reqwest::Url::parse(restlet)
            .ok()
            .and_then(|url| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned()))
    };
    let named = |name: &str| settings.text(name).map(str::to_owned);
    Scripts {
        query_script: named("NETSUITE_SCRIPT_ID").or_else(|| in_url("script")).unwrap_or(defaults.query_script),
        query_deploy: named("NETSUITE_DEPLOY_ID").or_else(|| in_url("deploy")).unwrap_or(defaults.query_deploy),
        write_script: named("NETSUITE_WRITE_SCRIPT_ID").unwrap_or(defaults.write_script),
        write_deploy: named("NETSUITE_WRITE_DEPLOY_ID").unwrap_or(defaults.write_deploy),
    }
}

fn auth(settings: &Settings, id: &AccountId) -> Result<NetsuiteAuth, SettingError> {
    let required = |name: &str, accepted: &str| settings.required(name, accepted).map(str::to_owned);
    if settings.text("NETSUITE_CLIENT_ID").is_some() {
        let key = "an unencrypted PEM private key, or its path in NETSUITE_PRIVATE_KEY_PATH";
        let private_key = match settings.path("NETSUITE_PRIVATE_KEY_PATH") {
            Some(path) if settings.text("NETSUITE_PRIVATE_KEY").is_none() => {
                read_secret("NETSUITE_PRIVATE_KEY_PATH", &path)?
            }
            Some(_) | None => settings.required_secret("NETSUITE_PRIVATE_KEY", key)?,
        };
        return Ok(NetsuiteAuth::OAuth2(OAuth2Settings {
            client_id: required("NETSUITE_CLIENT_ID", "the integration's client id")?,
            certificate_id: required("NETSUITE_CERTIFICATE_ID", "the id NetSuite gave the certificate")?,
            private_key,
        }));
    }
    let consumer = "the consumer key of the integration (or NETSUITE_CLIENT_ID for OAuth 2.0)";
    Ok(NetsuiteAuth::Tba(TbaSettings {
        realm: id.as_str().to_uppercase().replace('-', "_"),
        consumer_key: required("NETSUITE_CONSUMER_KEY", consumer)?,
        consumer_secret: settings.required_secret("NETSUITE_CONSUMER_SECRET", "the consumer secret")?,
        token_id: required("NETSUITE_TOKEN_ID", "the token id")?,
        token_secret: settings.required_secret("NETSUITE_TOKEN_SECRET", "the token secret")?,
    }))
}
