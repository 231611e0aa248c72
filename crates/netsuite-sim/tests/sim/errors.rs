//! Every error body that record REST is known to give, by status and code.

use reqwest::{Method, Response};
use serde_json::{Value as Json, json};

use crate::clients::{SUITEQL, Tba};
use crate::harness::Sim;

const CUSTOMER: &str = "/services/rest/record/v1/customer";

struct Case {
    method: Method,
    path: String,
    headers: Vec<(&'static str, &'static str)>,
    body: String,
    status: u16,
    code: &'static str,
    title: &'static str,
    /// Member that says what it is about, and what it says.
    about: Option<(&'static str, &'static str)>,
    detail: &'static str,
}

fn case(method: Method, path: impl Into<String>, status: u16, code: &'static str, detail: &'static str) -> Case {
    let title = match status {
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        415 => "Unsupported Media Type",
        500 => "Internal Server Error",
        _ => "Bad Request",
    };
    let headers = vec![("content-type", "application/json")];
    Case { method, path: path.into(), headers, body: String::new(), status, code, title, about: None, detail }
}

impl Case {
    fn body(mut self, body: Json) -> Self {
        self.body = body.to_string();
        self
    }

    fn text(mut self, body: &str) -> Self {
        self.body = body.to_owned();
        self
    }

    fn about(mut self, member: &'static str, name: &'static str) -> Self {
        self.about = Some((member, name));
        self
    }

    fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.retain(|(own, _)| *own != name);
        self.headers.push((name, value));
        self
    }
}

async fn send(sim: &Sim, case: &Case) -> Response {
    let mut request = sim.tba(case.method.clone(), &case.path);
    for (name, value) in &case.headers {
        request = request.header(*name, *value);
    }
    request.body(case.body.clone()).send().await.unwrap()
}

async fn check(case: &Case, reply: Response) {
    let what = format!("{} {} {}", case.method, case.path, case.body);
    assert_eq!(reply.status().as_u16(), case.status, "{what}");
    assert_eq!(reply.headers()["content-type"], "application/vnd.oracle.resource+json; type=error", "{what}");
    let body: Json = reply.json().await.unwrap();
    let kind = body["type"].as_str().unwrap();
    assert!(kind.starts_with("https://www.rfc-editor.org/rfc/rfc9110.html#section-15."), "{what}: {kind}");
    assert_eq!((&body["status"], &body["title"]), (&json!(case.status), &json!(case.title)), "{what}");
    let detail = &body["o:errorDetails"][0];
    assert_eq!(detail["o:errorCode"], case.code, "{what}: {detail}");
    assert!(detail["detail"].as_str().unwrap().contains(case.detail), "{what}: {detail}");
    if let Some((member, name)) = case.about {
        assert_eq!(detail[member], name, "{what}: {detail}");
    }
}

#[tokio::test]
async fn every_documented_error_has_its_body() {
    let sim = Sim::start().await;
    let id = sim.customer(json!({ "externalid": "X1", "entityid": "C1" })).await;
    let one = format!("{CUSTOMER}/{id}");
    sim.set(json!({ "forbidden_records": ["vendor"] })).await;
    let required = "Error while accessing a resource. Please enter value(s) for: Company Name";
    let invalid = "You have entered an Invalid Field Value";
    let cases = [
        case(Method::GET, "/services/rest/record/v1/vendor", 403, "INSUFFICIENT_PERMISSION", "permission"),
        case(
            Method::GET,
            format!("{CUSTOMER}/99"),
            404,
            "NONEXISTENT_ID",
            "The record instance does not exist. Provide a valid record instance ID.",
        ),
        case(
            Method::GET,
            "/services/rest/record/v1/bad-path",
            404,
            "NONEXISTENT_RECORD_TYPE",
            "Record type 'bad-path' does not exist",
        ),
        case(Method::GET, format!("{CUSTOMER}/abc"), 400, "INVALID_ID", "abc"),
        case(Method::PATCH, &one, 400, "INVALID_CONTENT", "Invalid content in the request body").text("{\"a\""),
        case(Method::PATCH, &one, 400, "INVALID_CONTENT", "shoeSize")
            .body(json!({ "shoeSize": 1 }))
            .about("o:errorPath", "shoeSize"),
        case(Method::PATCH, &one, 400, "INVALID_KEY_OR_REF", "99")
            .body(json!({ "terms": { "id": "99" } }))
            .about("o:errorPath", "terms"),
        case(Method::PUT, &one, 400, "INVALID_REQUEST", "eid:").body(json!({})),
        case(Method::GET, format!("{CUSTOMER}?limit=0"), 400, "INVALID_PARAMETER", "limit")
            .about("o:errorQueryParam", "limit"),
        case(Method::GET, format!("{CUSTOMER}?q=shoe%20IS%201"), 400, "NONEXISTENT_FIELD", "shoe")
            .about("o:errorQueryParam", "q"),
        case(Method::POST, SUITEQL, 400, "INVALID_HEADER", "Prefer")
            .body(json!({ "q": "SELECT id FROM customer" }))
            .about("o:errorHeader", "Prefer"),
        case(Method::POST, CUSTOMER, 400, "USER_ERROR", required).body(json!({})),
        case(Method::POST, CUSTOMER, 400, "USER_ERROR", "This entity already exists.")
            .body(json!({ "companyName": "A", "entityId": "C1" })),
        case(Method::PATCH, &one, 400, "USER_ERROR", invalid).body(json!({ "isInactive": "maybe" })),
        case(Method::POST, &one, 405, "METHOD_NOT_ALLOWED", "Method not allowed").body(json!({})),
        case(Method::GET, &one, 406, "NOT_ACCEPTABLE", "text/html").header("accept", "text/html"),
        case(Method::POST, CUSTOMER, 415, "UNSUPPORTED_MEDIA_TYPE", "text/xml")
            .header("content-type", "text/xml")
            .text("<customer/>"),
    ];
    for case in &cases {
        check(case, send(&sim, case).await).await;
    }
}

#[tokio::test]
async fn a_failed_login_and_a_failed_server_have_theirs() {
    let sim = Sim::start().await;
    let path = format!("{CUSTOMER}/1");
    let unauthorized = case(Method::GET, &path, 401, "INVALID_LOGIN", "Invalid login attempt. For more details");
    let header = Tba { token: "other", ..Tba::default() }.header("GET", &sim.url(&path));
    let reply = sim.http.get(sim.url(&path)).header("authorization", header).send().await.unwrap();
    let challenge = reply.headers()["www-authenticate"].to_str().unwrap().to_owned();
    assert!(
        challenge.contains("error=\"token_rejected\", error_description=\"Invalid login attempt.\""),
        "{challenge}"
    );
    check(&unauthorized, reply).await;
    sim.tell("faults", json!({ "rules": [{ "fault": "status", "status": 500, "times": 1 }] })).await;
    let failed = case(Method::GET, &path, 500, "UNEXPECTED_ERROR", "An unexpected error occurred. Error ID: ");
    check(&failed, send(&sim, &failed).await).await;
}

#[tokio::test]
async fn over_the_limit_the_body_says_so_twice() {
    let sim = Sim::start().await;
    sim.tell("phantom", json!({ "concurrency": 5 })).await;
    let reply = sim.tba(Method::GET, CUSTOMER).send().await.unwrap();
    assert_eq!(reply.status().as_u16(), 429);
    let body: Json = reply.json().await.unwrap();
    assert_eq!((&body["title"], &body["o:errorCode"]), (&json!("Bad Request"), &json!("USER_ERROR")));
    let detail = &body["o:errorDetails"][0];
    assert_eq!(detail["detail"], "Concurrent request limit exceeded. Request blocked.");
    assert_eq!(detail["o:errorCode"], "CONCURRENCY_LIMIT_EXCEEDED");
}
