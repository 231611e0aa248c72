//! A server whose answers are a function of the request and of how many came before it.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderMap, Method, Uri};
use serde_json::{Value, json};

/// A request as it came in.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Seen {
    pub(crate) fn path(&self) -> &str {
        self.uri.path()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The SuiteQL statement of either transport.
    pub(crate) fn statement(&self) -> String {
        let body = self.json();
        body.get("q").or_else(|| body.get("query")).unwrap().as_str().unwrap().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn form(&self, name: &str) -> String {
        url::form_urlencoded::parse(&self.body).find(|(key, _)| key == name).unwrap().1.into_owned()
    }
}

/// What the server does with a request.
pub(crate) enum Act {
    Answer(Response),
    /// Never answers.
    Hang,
}

type Script = dyn Fn(&Seen, usize) -> Act + Send + Sync;

/// The server.
pub(crate) struct Mock {
    pub(crate) base: String,
    shared: Arc<Shared>,
}

struct Shared {
    script: Box<Script>,
    seen: Mutex<Vec<Seen>>,
}

impl Mock {
    /// Starts a server. The script gets each request and its number, from 0, among those of the same path.
    pub(crate) async fn start(script: impl Fn(&Seen, usize) -> Act + Send + Sync + 'static) -> Self {
        let shared = Arc::new(Shared { script: Box::new(script), seen: Mutex::default() });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { base, shared }
    }

    /// All requests whose path ends so, in order.
    pub(crate) fn requests(&self, path_end: &str) -> Vec<Seen> {
        let seen = self.shared.seen.lock().unwrap();
        seen.iter().filter(|seen| seen.path().ends_with(path_end)).cloned().collect()
    }

    /// All statements that were asked.
    pub(crate) fn statements(&self) -> Vec<String> {
        self.requests("suiteql").iter().map(Seen::statement).collect()
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 100 << 20).await.unwrap();
    let seen = Seen { method: parts.method, uri: parts.uri, headers: parts.headers, body };
    let number = {
        let mut all = shared.seen.lock().unwrap();
        let number = all.iter().filter(|before| before.path() == seen.path()).count();
        all.push(seen.clone());
        number
    };
    match (shared.script)(&seen, number) {
        Act::Answer(response) => response,
        Act::Hang => std::future::pending().await,
    }
}

/// JSON of this status.
pub(crate) fn status(status: u16, body: &Value) -> Act {
    text(status, &body.to_string())
}

/// Any body of this status.
pub(crate) fn text(status: u16, body: &str) -> Act {
    Act::Answer(Response::builder().status(status).body(Body::from(body.to_owned())).unwrap())
}

/// JSON of this status with one further header.
pub(crate) fn with_header(status: u16, name: &str, value: &str, body: &Value) -> Act {
    let response = Response::builder().status(status).header(name, value).body(Body::from(body.to_string()));
    Act::Answer(response.unwrap())
}

/// A body that promises more than it holds.
pub(crate) fn truncated(body: &Value) -> Act {
    let part = body.to_string().into_bytes();
    let stream = futures::stream::iter([Ok(part), Err(std::io::Error::other("cut"))]);
    Act::Answer(Response::builder().status(200).body(Body::from_stream(stream)).unwrap())
}

/// One page of SuiteQL rows, as SuiteTalk wraps it.
pub(crate) fn page(rows: &[Value]) -> Act {
    let items: Vec<Value> = rows
        .iter()
        .map(|row| {
            let mut row = row.clone();
            row["links"] = json!([]);
            row
        })
        .collect();
    status(200, &json!({ "links": [], "count": items.len(), "hasMore": false, "items": items, "offset": 0 }))
}

/// A token that lives this many seconds.
pub(crate) fn token(number: usize, expires_in: &Value) -> Act {
    let body = json!({ "access_token": format!("token-{number}"), "expires_in": expires_in, "token_type": "Bearer" });
    status(200, &body)
}

/// Takes a connection, reads a little and hangs up.
pub(crate) async fn hangs_up() -> String {
    use tokio::io::AsyncReadExt;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut some = [0; 64];
            let _ = stream.read(&mut some).await;
        }
    });
    base
}

/// An address nobody listens at.
pub(crate) async fn nobody() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}
