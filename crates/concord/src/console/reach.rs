//! The console, as the CLI reaches it.

use std::path::Path;

use anyhow::{Context, Result, bail};
use reqwest::Method;
use serde_json::Value;

use super::Page;
use crate::dev::manifest::Manifest;

/// A console that answers, and the token it is asked with.
#[derive(Debug)]
pub struct Console {
    root: String,
    token: String,
    http: reqwest::Client,
}

impl Console {
    /// From the settings given, or from the local stack's `dev.json` (with its admin token).
    ///
    /// # Errors
    /// When neither says where the console is.
    pub fn reach(url: Option<String>, token: Option<String>, state_dir: &Path) -> Result<Self> {
        let (root, token) = match (url, token) {
            (Some(url), Some(token)) => (url, token),
            (Some(_), None) => bail!("CONCORD_URL is set and CONCORD_TOKEN is not: a bearer token is needed"),
            (None, token) => {
                let manifest = Manifest::read(&state_dir.join("dev.json"))
                    .context("CONCORD_URL is not set and no local stack was found")?;
                (manifest.console_url, token.unwrap_or(manifest.tokens.admin))
            }
        };
        let http = reqwest::Client::builder().timeout(std::time::Duration::from_secs(60)).build()?;
        Ok(Self { root: root.trim_end_matches('/').to_owned(), token, http })
    }

    /// One call; the answer's JSON (null when it has no body).
    ///
    /// # Errors
    /// When the console does not answer, or refuses: the problem's title, detail and code.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<Value>,
    ) -> Result<Value> {
        let mut request =
            self.http.request(method, format!("{}{path}", self.root)).bearer_auth(&self.token).query(query);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.with_context(|| format!("the console at {} does not answer", self.root))?;
        let status = answer.status();
        let text = answer.text().await.context("the console's answer broke off")?;
        let body: Value = match text.trim() {
            "" => Value::Null,
            text => serde_json::from_str(text).with_context(|| format!("{status}: the answer is not JSON"))?,
        };
        if !status.is_success() {
            let part = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            bail!("{status}: {} {} ({})", part("title"), part("detail"), part("code"));
        }
        Ok(body)
    }

    pub(super) async fn list(
        &self,
        path: &str,
        filters: Vec<(&'static str, Option<String>)>,
        page: Page,
    ) -> Result<Value> {
        let mut query: Vec<(&str, String)> = filters.into_iter().filter_map(|(k, v)| Some((k, v?))).collect();
        query.extend(page.cursor.map(|cursor| ("cursor", cursor)));
        let mut listing = self.call(Method::GET, path, &query, None).await?;
        if !page.all {
            return Ok(listing);
        }
        while let Some(cursor) = listing["next_cursor"].as_str().map(str::to_owned) {
            query.retain(|(name, _)| *name != "cursor");
            query.push(("cursor", cursor));
            let next = self.call(Method::GET, path, &query, None).await?;
            let more = next["items"].as_array().cloned().unwrap_or_default();
            listing["items"].as_array_mut().context("a listing has items")?.extend(more);
            listing["next_cursor"] = next["next_cursor"].clone();
        }
        Ok(listing)
    }
}
