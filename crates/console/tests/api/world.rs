//! A console that runs, and callers with every role.

use axum::Router;
use axum::body::Body;
use chassis::settings::Settings;
use console::{Config, Tokens};
use http::{Request, Response, StatusCode, header};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tower::ServiceExt;

use crate::given::Core;
use crate::stage::{ACCOUNT, NOBODY, Running, Stage, account, until};

/// The three roles, lowest first; the token of a role is its name.
pub(crate) const ROLES: [&str; 3] = ["viewer", "operator", "admin"];

pub(crate) struct World {
    pub(crate) stage: Stage,
    pub(crate) core: Core,
    router: Router,
    _running: Running,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) etag: Option<String>,
    pub(crate) kind: String,
    pub(crate) body: Value,
}

fn tokens() -> Tokens {
    let entry = |role: &str| {
        let hash: String = Sha256::digest(role.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("[[token]]\nname = \"{role}-jo\"\nrole = \"{role}\"\nsha256 = \"{hash}\"\n")
    };
    Tokens::parse(&ROLES.map(entry).concat()).unwrap()
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(&[]).await
    }

    /// With these settings beside the quick ones.
    pub(crate) async fn with(settings: &[(&str, &str)]) -> Self {
        let tenant = Some("postgres://nobody@127.0.0.1:9/nowhere"); // the console speaks to no tenant
        let stage = Stage::with([account(ACCOUNT, NOBODY, tenant)], settings).await;
        let snapshots = chassis::snapshots::Snapshots::from_settings(&stage.settings).unwrap();
        let limits = chassis::sync::limits(&Settings::default(), "console").unwrap();
        let running =
            stage.run("console", |parts| console::start(parts, Config { limits, tokens: tokens(), snapshots }));
        let router = chassis::health::router("console", running.parts.health.clone(), running.parts.routes.clone());
        let world = Self { core: Core::on(&stage), stage, router, _running: running };
        until("the API is mounted", async || world.get("viewer", "/openapi.json").await.status == StatusCode::OK).await;
        world
    }

    pub(crate) async fn call(&self, token: Option<&str>, method: &str, path: &str, body: &str) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, "application/json");
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let response = self.router.clone().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap();
        answer(response).await
    }

    pub(crate) async fn get(&self, role: &str, path: &str) -> Answer {
        self.call(Some(role), "GET", path, "").await
    }

    pub(crate) async fn post(&self, role: &str, path: &str, body: Value) -> Answer {
        self.call(Some(role), "POST", path, &body.to_string()).await
    }

    /// A post with an `Idempotency-Key`.
    pub(crate) async fn keyed(&self, role: &str, path: &str, key: &str, body: Value) -> Answer {
        let request = Request::builder()
            .method("POST")
            .uri(path)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, format!("Bearer {role}"))
            .header("idempotency-key", key);
        let request = request.body(Body::from(body.to_string())).unwrap();
        answer(self.router.clone().oneshot(request).await.unwrap()).await
    }

    /// The items of a listing.
    pub(crate) async fn items(&self, path: &str) -> Vec<Value> {
        let answer = self.get("admin", path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {answer:?}");
        answer.body["items"].as_array().unwrap().clone()
    }
}

async fn answer(response: Response<Body>) -> Answer {
    let text = |name: header::HeaderName| Some(response.headers().get(name)?.to_str().unwrap().to_owned());
    let (status, etag, kind) = (response.status(), text(header::ETAG), text(header::CONTENT_TYPE).unwrap_or_default());
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 24).await.unwrap();
    Answer { status, etag, kind, body: serde_json::from_slice(&bytes).unwrap_or_default() }
}

impl Answer {
    /// Checks that this is a problem of that status and code.
    pub(crate) fn refuses(&self, status: u16, code: &str) {
        assert_eq!((self.status.as_u16(), self.body["code"].as_str()), (status, Some(code)), "{self:?}");
        assert_eq!(self.kind, "application/problem+json", "{self:?}");
        assert!(self.body["type"].is_string() && self.body["title"].is_string() && self.body["status"] == status);
    }
}
