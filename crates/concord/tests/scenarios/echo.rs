//! S1–S3: our own writes coming back.

use concord::sides::Side;
use model::{Clock, SystemClock};
use serde_json::json;

use crate::play::{Pair, Play};

pub(crate) async fn s01_echo_plain(play: &Play) {
    let pair = play.customer(json!({ "phone": "A" })).await;
    play.rest().await;
    let (version, before) = (play.version(&pair).await, play.writes(0).await);
    let (ours, theirs) = (play.last_hint(&pair, Side::Suitex).await, play.last_hint(&pair, Side::Netsuite).await);
    play.sx(&pair, "phone = 'B'").await;
    play.netsuite_reads(&pair, "phone", "B").await;
    play.rest().await;
    again(play, &pair).await;
    again(play, &pair).await;
    play.ends(&pair, "phone", "B").await;
    assert_eq!(play.version(&pair).await, version + 1);
    let written = play.writes(0).await - before;
    assert_eq!((written.creates, written.updates, written.suitex), (0, 1, 0), "{written:?}");
    assert_eq!(play.dispositions(&pair, Side::Suitex, ours).await, [Some("applied".to_owned())]);
    // The user event of our own write, and the two that came again; the poller's row was no news at all.
    let echoes = play.dispositions(&pair, Side::Netsuite, theirs).await;
    assert!(echoes.len() >= 2 && echoes.iter().all(|d| d.as_deref() == Some("noop_echo")), "{echoes:?}");
}

/// The user event of our write comes in once more.
async fn again(play: &Play, pair: &Pair) {
    let before = play.last_hint(pair, Side::Netsuite).await;
    let account = &play.manifest.accounts[pair.account];
    let now = SystemClock.now();
    let body = json!({ "accountId": account.account_id, "recordType": pair.kind, "recordId": pair.netsuite,
        "eventType": "update", "source": "UE", "timestamp": now.to_string(), "changes": { "phone": "B" },
        "authContext": { "executionContext": "RESTLET", "again": true } });
    let body = body.to_string();
    let id = format!("msg_{}_{}", std::process::id(), play.next());
    let secret = standardwebhooks::Webhook::new(&account.ingest.signing_secret).unwrap();
    let signature = secret.sign(&id, now.as_second(), body.as_bytes()).unwrap();
    let url = format!("{}/v1/accounts/{}/events", play.manifest.ingest_url, account.account_id);
    let request = play.http.post(url).header("content-type", "application/json");
    let request = request.header("webhook-id", id).header("webhook-timestamp", now.as_second().to_string());
    let answer = request.header("webhook-signature", signature).body(body).send().await.unwrap();
    assert_eq!(answer.status(), 202);
    play.fact("the event is stored", || async { (play.last_hint(pair, Side::Netsuite).await > before).then_some(()) })
        .await;
}

pub(crate) async fn s02_echo_with_edit(play: &Play) {
    let pair = play.customer(json!({ "companyname": "S2 A", "creditlimit": 10 })).await;
    play.rest().await;
    let (version, before) = (play.version(&pair).await, play.writes(0).await);
    let seen = play.audit(&pair, Side::Suitex).await.len();
    // Our write and the user's edit carry the same second; one poll row shows both.
    play.clock("virtual").await;
    play.stop("poller");
    play.sx(&pair, "company_name = 'S2 B'").await;
    play.netsuite_reads(&pair, "companyname", "S2 B").await;
    play.ns_quietly(&pair, json!({ "creditlimit": 20 })).await;
    play.go("poller");
    play.suitex_reads(&pair, "creditlimit", "20").await;
    play.clock("real").await;
    play.ends(&pair, "companyname", "S2 B").await;
    assert_eq!(play.version(&pair).await, version + 2);
    let written = play.writes(0).await - before;
    assert_eq!((written.updates, written.suitex), (1, 1), "{written:?}");
    let carried: Vec<_> = play.audit(&pair, Side::Suitex).await.split_off(seen);
    assert_eq!(carried.iter().map(|(_, fields)| fields.clone()).collect::<Vec<_>>(), [json!(["creditlimit"])]);
}

pub(crate) async fn s03_echo_before_ack_with_kill(play: &Play) {
    let pair = play.customer(json!({ "companyname": "S3 A" })).await;
    play.rest().await;
    let (version, before) = (play.version(&pair).await, play.writes(0).await);
    let last = play.last_hint(&pair, Side::Netsuite).await;
    let armed = play.arm("netsuite-writer", "K7");
    play.sx(&pair, "company_name = 'S3 B'").await;
    play.died(&armed).await;
    play.stop("netsuite-writer");
    assert_eq!(play.values(&pair, "companyname").await[0], "S3 B", "the send landed");
    // The echo arrives and waits: the side is in flight.
    play.fact("the echo waits", || async {
        let told = play.dispositions(&pair, Side::Netsuite, last).await;
        (!told.is_empty() && told.iter().all(Option::is_none)).then_some(())
    })
    .await;
    play.ns(&pair, json!({ "companyname": "S3 C" })).await;
    play.go("netsuite-writer");
    play.suitex_reads(&pair, "companyname", "S3 C").await;
    play.ends(&pair, "companyname", "S3 C").await;
    assert_eq!(play.version(&pair).await, version + 2);
    assert_eq!(play.overrides(&pair).await, [], "NetSuite's user saw B");
    let written = play.writes(0).await - before;
    assert_eq!((written.updates, written.suitex), (1, 1), "{written:?}");
}
