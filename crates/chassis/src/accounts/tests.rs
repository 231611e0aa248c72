use std::path::Path;

use secrecy::ExposeSecret;

use super::*;

const FILE: &str = r#"
[[account]]
id = "TSTDRV100001"
[account.netsuite]
rest_url = "http://127.0.0.1:9000/services/rest/"
restlet_url = "http://127.0.0.1:9000/app/site/hosting/restlet.nl"
auth = "oauth2"
write_script = "customscript_other"
concurrency_limit = 15
integration_user = 44
[account.netsuite.oauth2]
client_id = "c1"
certificate_id = "k1"
private_key = { file = "key.pem" }
[account.suitex]
database_url = { env = "TENANT_URL" }
[account.ingest]
signing_secrets = [{ value = "whsec_one" }, { value = "whsec_two" }]

[[account]]
id = "7654321_SB1"
suspended = true
[account.netsuite]
rest_url = "https://7654321-sb1.suitetalk.api.netsuite.com"
restlet_url = "https://7654321-sb1.restlets.api.netsuite.com/app/site/hosting/restlet.nl?script=1&deploy=2"
token_url = "https://elsewhere.example/token"
auth = "tba"
[account.netsuite.tba]
realm = "7654321_SB1"
consumer_key = "ck"
consumer_secret = { value = "cs" }
token_id = "ti"
token_secret = { value = "ts" }
"#;

fn read(text: &str) -> Result<Accounts, SettingError> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("key.pem"), "-----BEGIN PRIVATE KEY-----\n").unwrap();
    let settings = Settings::from_pairs([("TENANT_URL", "postgres://tenant@db/suitex")]);
    Accounts::from_toml(&settings, text, dir.path())
}

fn account<'a>(accounts: &'a Accounts, id: &str) -> &'a AccountSettings {
    accounts.get(&AccountId::parse(id).unwrap()).expect("the account is there")
}

#[test]
fn a_file_names_accounts_with_their_sides_and_secrets() {
    let accounts = read(FILE).unwrap();
    assert_eq!(accounts.len(), 2);
    let first = account(&accounts, "TSTDRV100001");
    assert!(!first.suspended);
    assert_eq!(first.netsuite.rest_url, "http://127.0.0.1:9000");
    assert_eq!(first.netsuite.token_url, "http://127.0.0.1:9000/services/rest/auth/oauth2/v1/token");
    assert_eq!(first.netsuite.concurrency_limit, 15);
    assert_eq!(first.netsuite.integration_user, Some(44));
    assert_eq!(first.netsuite.scripts.query_script, "customscript_concord_query");
    assert_eq!(first.netsuite.scripts.write_script, "customscript_other");
    let NetsuiteAuth::OAuth2(oauth2) = &first.netsuite.auth else { panic!("oauth2 was asked for") };
    assert_eq!((oauth2.client_id.as_str(), oauth2.certificate_id.as_str()), ("c1", "k1"));
    assert_eq!(oauth2.private_key.expose_secret(), "-----BEGIN PRIVATE KEY-----");
    assert_eq!(first.suitex_database_url.as_ref().unwrap().expose_secret(), "postgres://tenant@db/suitex");
    let secrets: Vec<&str> = first.ingest_secrets.iter().map(ExposeSecret::expose_secret).collect();
    assert_eq!(secrets, ["whsec_one", "whsec_two"]);

    let second = account(&accounts, "7654321_SB1");
    assert!(second.suspended && second.suitex_database_url.is_none() && second.ingest_secrets.is_empty());
    assert_eq!(
        second.netsuite.restlet_url,
        "https://7654321-sb1.restlets.api.netsuite.com/app/site/hosting/restlet.nl"
    );
    assert_eq!(second.netsuite.token_url, "https://elsewhere.example/token");
    assert_eq!(second.netsuite.concurrency_limit, 5);
    assert!(matches!(&second.netsuite.auth, NetsuiteAuth::Tba(tba) if tba.realm == "7654321_SB1"));
}

#[test]
fn what_is_wrong_in_the_file_is_named_and_no_secret_shown() {
    let cases = [
        ("id = \"TSTDRV100001\"", "id = \"a/b\"", "account id a/b"),
        ("auth = \"oauth2\"", "auth = \"tba\"", "[account.netsuite.tba]"),
        ("concurrency_limit = 15", "concurrency_limit = 0", "netsuite.concurrency_limit"),
        ("rest_url = \"http://127.0.0.1:9000/services/rest/\"", "rest_url = \"127.0.0.1\"", "netsuite.rest_url"),
        ("{ file = \"key.pem\" }", "{ file = \"absent.pem\" }", "netsuite.oauth2.private_key"),
        ("{ file = \"key.pem\" }", "\"hunter2\"", "line 14"),
        ("{ file = \"key.pem\" }", "{ value = 7 }", "line 14"),
        ("{ env = \"TENANT_URL\" }", "{ env = \"NOT_SET\" }", "NOT_SET is not set"),
        ("{ env = \"TENANT_URL\" }", "{ value = \"hunter2\" }", "suitex.database_url"),
        ("client_id = \"c1\"", "client = \"c1\"", "unknown field `client`"),
        ("7654321_SB1\"\nsuspended", "TSTDRV100001\"\nsuspended", "twice"),
    ];
    for (old, new, named) in cases {
        assert!(FILE.contains(old), "{old} is in the file");
        let error = read(&FILE.replacen(old, new, 1)).expect_err(new).to_string();
        assert!(error.contains(named), "{new}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn debug_output_shows_no_secret() {
    let shown = format!("{:?}", read(FILE).unwrap());
    for secret in ["whsec_one", "BEGIN PRIVATE KEY", "postgres://tenant"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn an_absent_file_is_named() {
    let settings = Settings::from_pairs([("CONCORD_ACCOUNTS", "/nowhere/accounts.toml")]);
    let error = Accounts::from_settings(&settings).unwrap_err().to_string();
    assert!(error.starts_with("CONCORD_ACCOUNTS names the file /nowhere/accounts.toml"), "{error}");
}

fn single(pairs: &[(&str, &str)]) -> Result<Accounts, SettingError> {
    Accounts::from_settings(&Settings::from_pairs(pairs.iter().copied()))
}

#[test]
fn without_a_file_one_account_comes_from_the_environment() {
    assert!(single(&[]).unwrap().is_empty());
    let tba = [
        ("NETSUITE_ACCOUNT_ID", "7654321_SB1"),
        ("NETSUITE_RESTLET_URL", "https://x.example/restlet.nl?script=77&deploy=3"),
        ("NETSUITE_CONSUMER_KEY", "ck"),
        ("NETSUITE_CONSUMER_SECRET", "cs"),
        ("NETSUITE_TOKEN_ID", "ti"),
        ("NETSUITE_TOKEN_SECRET", "ts"),
        ("SUITEX_DATABASE_URL", "postgres://t@db/t"),
        ("INGEST_SIGNING_SECRET", "whsec_a whsec_b"),
    ];
    let accounts = single(&tba).unwrap();
    let one = account(&accounts, "7654321_SB1");
    assert_eq!(one.netsuite.rest_url, "https://7654321-sb1.suitetalk.api.netsuite.com");
    assert_eq!(one.netsuite.restlet_url, "https://x.example/restlet.nl");
    assert_eq!((one.netsuite.scripts.query_script.as_str(), one.netsuite.scripts.query_deploy.as_str()), ("77", "3"));
    assert_eq!(one.ingest_secrets.len(), 2);
    assert!(matches!(&one.netsuite.auth, NetsuiteAuth::Tba(tba) if tba.realm == "7654321_SB1"));

    for left_out in 2..6 {
        let mut pairs = tba.to_vec();
        let (name, _) = pairs.remove(left_out);
        let error = single(&pairs).expect_err(name).to_string();
        assert!(error.starts_with(&format!("{name} is not set")), "{error}");
    }
}

#[test]
fn oauth2_is_chosen_by_its_client_id() {
    let base = [("NETSUITE_ACCOUNT", "1234567"), ("NETSUITE_CLIENT_ID", "c"), ("NETSUITE_CERTIFICATE_ID", "k")];
    let error = single(&base).unwrap_err().to_string();
    assert!(error.starts_with("NETSUITE_PRIVATE_KEY is not set"), "{error}");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key.pem");
    std::fs::write(&path, "PEM\n").unwrap();
    let mut pairs = base.to_vec();
    pairs.push(("NETSUITE_PRIVATE_KEY_PATH", path.to_str().unwrap()));
    let accounts = single(&pairs).unwrap();
    let NetsuiteAuth::OAuth2(oauth2) = &account(&accounts, "1234567").netsuite.auth else { panic!("oauth2") };
    assert_eq!(oauth2.private_key.expose_secret(), "PEM");
    pairs.push(("NETSUITE_RESTLET_URL", "restlet"));
    assert!(single(&pairs).unwrap_err().to_string().starts_with("NETSUITE_RESTLET_URL was read as \"restlet\""));
    assert!(Path::new(&path).exists());
}
