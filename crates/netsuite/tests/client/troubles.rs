//! Reads while NetSuite, or the way to it, has trouble.

use std::sync::Arc;
use std::time::Duration;

use model::{Clock, ManualClock, Observed, Remote, RemoteError, SystemClock};
use serde_json::json;

use crate::account::{account, remote, remote_at, spec, tba, want};
use crate::mock::{Act, Mock, page, status, text, truncated, with_header};
use crate::reads::{customer, unavailable};

#[tokio::test]
async fn a_passing_trouble_is_waited_out() {
    for trouble in [500, 503, 429] {
        let mock =
            Mock::start(move |_, n| if n < 2 { status(trouble, &json!({})) } else { page(&[customer(1)]) }).await;
        let answers = remote(&tba(&mock.base)).read(&account(), &spec("customer"), &[want(1, Some(1))]).await;
        assert!(answers[0].is_ok(), "{trouble}: {answers:?}");
    }
    let mock = Mock::start(|_, n| if n < 2 { truncated(&json!({ "items": [] })) } else { page(&[customer(1)]) }).await;
    let answers = remote(&tba(&mock.base)).read(&account(), &spec("customer"), &[want(1, Some(1))]).await;
    assert!(answers[0].is_ok(), "{answers:?}");
}

#[tokio::test]
async fn a_lasting_trouble_is_told_with_its_code() {
    let cases = [(500, "http_500"), (429, "CONCURRENCY_LIMIT_EXCEEDED")];
    for (trouble, code) in cases {
        let mock = Mock::start(move |_, _| status(trouble, &json!({}))).await;
        let answers = remote(&tba(&mock.base)).read(&account(), &spec("customer"), &[want(1, Some(1))]).await;
        assert_eq!(answers, [unavailable(code)]);
        assert_eq!(mock.statements().len(), 3);
    }
    let mock = Mock::start(|_, _| Act::Hang).await;
    let mut config = tba(&mock.base);
    config.timeout = Duration::from_millis(50);
    let answers = remote(&config).read(&account(), &spec("customer"), &[want(1, Some(1))]).await;
    assert_eq!(answers, [unavailable("timeout")]);
    assert_eq!(mock.statements().len(), 1, "who has waited long enough does not wait again");
    let nobody = crate::mock::nobody().await;
    let answers = remote(&tba(&nobody)).read(&account(), &spec("customer"), &[want(1, Some(1))]).await;
    assert_eq!(answers, [unavailable("connect")]);
}

#[tokio::test]
async fn retry_after_is_obeyed_by_every_call_that_follows() {
    let mock = Mock::start(|_, n| match n {
        0 => with_header(429, "retry-after", "30", &json!({})),
        _ => page(&[customer(1)]),
    })
    .await;
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let remote = remote_at(&tba(&mock.base), Arc::clone(&clock) as Arc<dyn Clock>);
    let wants = [want(1, Some(1))];
    let after = |answers: Vec<Result<Observed, RemoteError>>| match answers.into_iter().next().unwrap() {
        Err(RemoteError::Unavailable { retry_after, .. }) => retry_after,
        other => panic!("{other:?}"),
    };
    let first = remote.read(&account(), &spec("customer"), &wants).await;
    assert_eq!(after(first), Some(Duration::from_secs(30)));
    clock.advance_micros(10_000_000);
    let second = remote.read(&account(), &spec("customer"), &wants).await;
    assert_eq!(after(second), Some(Duration::from_secs(20)));
    assert_eq!(mock.statements().len(), 1);
    clock.advance_micros(20_000_000);
    assert!(remote.read(&account(), &spec("customer"), &wants).await[0].is_ok());
}

#[tokio::test]
async fn what_is_no_page_of_rows_is_unreadable_and_quotes_nothing() {
    let bodies = [
        "secret-value".to_owned(),
        "{}".to_owned(),
        json!({ "items": [{ "concord_id": { "secret-value": 1 } }] }).to_string(),
        json!({ "items": [{ "concord_modified": "secret-value" }] }).to_string(),
        json!({ "items": [customer(1), customer(1)] }).to_string(),
    ];
    for body in bodies {
        let mock = Mock::start({
            let body = body.clone();
            move |_, _| text(200, &body)
        })
        .await;
        let answers = remote(&tba(&mock.base)).read(&account(), &spec("customer"), &[want(1, Some(1))]).await;
        let Err(error @ RemoteError::Unreadable { .. }) = &answers[0] else { panic!("{body}: {answers:?}") };
        assert!(!error.to_string().contains("secret-value"), "{error}");
    }
}
