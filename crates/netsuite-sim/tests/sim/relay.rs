//! An ingest that checks signatures, hands out the envelopes, and can be down, slow or out of sorts.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::{HeaderMap, StatusCode};
use serde_json::{Value as Json, json};
use standardwebhooks::Webhook;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::mpsc;

use crate::harness::SIGNING_SECRET;

/// How the relay answers.
#[derive(Clone, Copy)]
pub(crate) enum Mood {
    Accepts,
    Says(StatusCode),
    /// Takes the request and does not answer for a minute.
    Stalls,
}

/// The relay; `url` is the address of ingest.
pub(crate) struct Relay {
    pub(crate) url: String,
    address: SocketAddr,
    desk: Desk,
    envelopes: mpsc::UnboundedReceiver<Json>,
}

#[derive(Clone)]
struct Desk {
    sender: mpsc::UnboundedSender<Json>,
    mood: Arc<Mutex<Mood>>,
}

impl Relay {
    /// A relay that listens.
    pub(crate) async fn start() -> Self {
        let relay = Self::closed().await;
        relay.open().await;
        relay
    }

    /// A relay at whose address nobody listens yet.
    pub(crate) async fn closed() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, envelopes) = mpsc::unbounded_channel();
        let desk = Desk { sender, mood: Arc::new(Mutex::new(Mood::Accepts)) };
        Self { url: format!("http://{address}"), address, desk, envelopes }
    }

    /// Begins to listen.
    pub(crate) async fn open(&self) {
        let router = Router::new().route("/v1/accounts/{account}/events", post(receive)).with_state(self.desk.clone());
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(self.address).unwrap();
        let listener = socket.listen(64).unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
    }

    pub(crate) fn mood(&self, mood: Mood) {
        *self.desk.mood.lock().unwrap() = mood;
    }

    /// The next envelope that was accepted.
    pub(crate) async fn next(&mut self) -> Json {
        let wait = Duration::from_secs(20);
        tokio::time::timeout(wait, self.envelopes.recv()).await.expect("an envelope").unwrap()
    }

    /// Whether every accepted envelope was asked for.
    pub(crate) fn is_empty(&self) -> bool {
        self.envelopes.is_empty()
    }
}

async fn receive(State(desk): State<Desk>, headers: HeaderMap, body: Bytes) -> Response {
    Webhook::new(SIGNING_SECRET).unwrap().verify(&body, &headers).unwrap();
    assert_eq!(headers["content-type"], "application/json");
    let mood = *desk.mood.lock().unwrap();
    match mood {
        Mood::Says(status) => return status.into_response(),
        Mood::Stalls => {
            tokio::time::sleep(Duration::from_secs(60)).await;
            return StatusCode::ACCEPTED.into_response();
        }
        Mood::Accepts => {}
    }
    let envelopes: Vec<Json> = serde_json::from_slice(&body).unwrap();
    let accepted: Vec<Json> =
        envelopes.iter().map(|envelope| json!({ "eventId": envelope["eventId"], "messageId": "m" })).collect();
    envelopes.into_iter().for_each(|envelope| desk.sender.send(envelope).unwrap());
    (StatusCode::ACCEPTED, axum::Json(json!({ "accepted": accepted }))).into_response()
}
