//! Every error body of the fact sheet, and what we make of it.

use http::StatusCode;
use model::ErrorClass::{self, Conflict, Irrecoverable, Operational, Transient, Validation};
use netsuite::Surface::{self, Rest, Restlet, Token};
use netsuite::{Meaning, refusal};

const LOGIN: &str = r#"{"type":"https://www.rfc-editor.org/rfc/rfc9110.html#section-15.5.2","title":"Unauthorized","status":401,"o:errorDetails":[{"detail":"Invalid login attempt. For more details, see the Login Audit Trail in the NetSuite UI at Setup > Users/Roles > User Management > View Login Audit Trail.","o:errorCode":"INVALID_LOGIN"}]}"#;
const OLD_LOGIN: &str = r#"{"type":"https://www.w3.org/Protocols/rfc2616/rfc2616-sec10.html#sec10.4.2","title":"Unauthorized","status":401,"o:errorCode":"INVALID_LOGIN"}"#;
const CONCURRENCY: &str = r#"{"type":"x","title":"Bad Request","status":429,"o:errorCode":"USER_ERROR","o:errorDetails":[{"detail":"Concurrent request limit exceeded. Request blocked.","o:errorCode":"CONCURRENCY_LIMIT_EXCEEDED"}]}"#;
const NO_ACCEPT_LANGUAGE: &str = r#"{"title":"Bad Request","status":400,"o:errorDetails":[{"detail":"…","o:errorHeader":"Accept-Language","o:errorCode":"INVALID_HEADER"}]}"#;
const THROWN: &str = r#"{"error":{"code":"UNEXPECTED_ERROR_IN_SCRIPT","message":"{\"type\":\"error.SuiteScriptError\",\"name\":\"UNEXPECTED_ERROR_IN_SCRIPT\",\"message\":\"secret-value\",\"stack\":[]}"}}"#;

fn query_error(rest: &str) -> String {
    let detail = format!("Invalid search query. Detailed unprocessed description follows. {rest}");
    serde_json::json!({ "title": "Bad Request", "status": 400, "o:errorDetails": [
        { "detail": detail, "o:errorQueryParam": "q", "o:errorCode": "INVALID_PARAMETER" } ] })
    .to_string()
}

fn record_error(code: &str, detail: &str) -> String {
    serde_json::json!({ "title": "Bad Request", "o:errorDetails": [{ "detail": detail, "o:errorCode": code }] })
        .to_string()
}

struct Case(Surface, u16, String, ErrorClass, &'static str, &'static str);

fn case(
    surface: Surface,
    status: u16,
    body: impl Into<String>,
    class: ErrorClass,
    code: &'static str,
    says: &'static str,
) -> Case {
    Case(surface, status, body.into(), class, code, says)
}

fn logins_and_limits() -> Vec<Case> {
    vec![
        // §2.3
        case(Rest, 401, LOGIN, Operational, "INVALID_LOGIN", "Login Audit Trail"),
        case(Rest, 401, OLD_LOGIN, Operational, "INVALID_LOGIN", "Login Audit Trail"),
        case(Rest, 401, "", Operational, "http_401", "Login Audit Trail"),
        case(
            Restlet,
            401,
            r#"{"error" : {"code" : "INVALID_LOGIN_ATTEMPT", "message" : "Invalid login attempt."}}"#,
            Operational,
            "INVALID_LOGIN_ATTEMPT",
            "Login Audit Trail",
        ),
        case(
            Restlet,
            400,
            r#"{"error":{"code":"INVALID_REQUEST","message":"The request could not be understood by the server due to malformed syntax."}}"#,
            Operational,
            "INVALID_REQUEST",
            "not set up",
        ),
        // §2.5
        case(Token, 400, r#"{"error":"invalid_grant"}"#, Operational, "invalid_grant", "refused the login"),
        case(Token, 400, r#"{"error":"invalid_request"}"#, Operational, "invalid_request", "refused the login"),
        case(Token, 401, r#"{"error":"invalid_client"}"#, Operational, "invalid_client", "refused the login"),
        case(Token, 503, "", Transient, "http_503", "trouble"),
        // §1
        case(Restlet, 302, "", Operational, "wrong_data_centre", "another data centre"),
        case(Rest, 403, "", Operational, "http_403", "may not"),
        // §6.2
        case(Rest, 429, CONCURRENCY, Transient, "CONCURRENCY_LIMIT_EXCEEDED", "no room"),
        case(Rest, 429, "", Transient, "CONCURRENCY_LIMIT_EXCEEDED", "no room"),
        case(
            Restlet,
            400,
            r#"{"error" : {"code" : "SSS_REQUEST_LIMIT_EXCEEDED", "message" : "Request Limit Exceeded."}}"#,
            Transient,
            "SSS_REQUEST_LIMIT_EXCEEDED",
            "no room",
        ),
        case(Restlet, 429, "", Transient, "CONCURRENCY_LIMIT_EXCEEDED", "no room"),
    ]
}

fn queries() -> Vec<Case> {
    let unknown =
        "Search error occurred: Unknown identifier 'subsidiary'. Available identifiers are: {transaction=transaction}.";
    let date = "Search error occurred: Parse of date/time \"2022-12-31\" failed with date format \"dd/MM/yy\" in time zone America/Los_Angeles";
    vec![
        // §3.7
        case(Rest, 400, query_error(unknown), Operational, "unknown_column", "column subsidiary is not there"),
        case(Rest, 400, query_error("Invalid search type: Email."), Operational, "unknown_table", "table Email"),
        case(
            Rest,
            400,
            query_error("Search error occurred: Record 'customer' was not found."),
            Operational,
            "table_not_visible",
            "table customer is hidden",
        ),
        case(
            Rest,
            400,
            query_error("Search error occurred: Invalid or unsupported search."),
            Operational,
            "unsupported_query",
            "could not carry out",
        ),
        case(
            Rest,
            400,
            query_error("Search error occurred: Field 'balance' for record 'customer' is not exposed"),
            Operational,
            "field_not_exposed",
            "field balance",
        ),
        case(Rest, 400, query_error(date), Operational, "date_not_parsed", "could not carry out"),
        case(Rest, 400, query_error("Node class: x state: N("), Operational, "query_refused", "could not carry out"),
        case(
            Restlet,
            400,
            r#"{"error":{"code":"SSS_SEARCH_ERROR_OCCURRED","message":"Search error occurred: Unknown identifier 'x'."}}"#,
            Operational,
            "SSS_SEARCH_ERROR_OCCURRED",
            "could not carry out",
        ),
        // §3.1
        case(Rest, 400, NO_ACCEPT_LANGUAGE, Operational, "INVALID_HEADER", "accept_language"),
        case(
            Rest,
            400,
            record_error("INVALID_HEADER", "The required request header 'Prefer' is missing"),
            Operational,
            "INVALID_HEADER",
            "header",
        ),
    ]
}

fn scripts() -> Vec<Case> {
    let named = |code: &str| format!(r#"{{"error" : {{"code" : "{code}", "message" : "secret-value"}}}}"#);
    vec![
        // §3.9
        case(Restlet, 400, THROWN, Operational, "script_error", "not set up"),
        case(Restlet, 403, "", Operational, "http_403", "may not"),
        case(Restlet, 404, named("SSS_INVALID_SCRIPTLET_ID"), Operational, "SSS_INVALID_SCRIPTLET_ID", "not set up"),
        case(Restlet, 404, "", Operational, "http_404", "not set up"),
        case(Restlet, 405, "", Operational, "http_405", "not set up"),
        case(Restlet, 415, "", Operational, "http_415", "not set up"),
        case(Restlet, 500, named("UNEXPECTED_ERROR"), Transient, "UNEXPECTED_ERROR", "trouble"),
        case(Restlet, 503, "", Transient, "http_503", "trouble"),
        case(Restlet, 400, named("SSS_USAGE_LIMIT_EXCEEDED"), Transient, "SSS_USAGE_LIMIT_EXCEEDED", "no units left"),
        case(Restlet, 400, named("SSS_TIME_LIMIT_EXCEEDED"), Transient, "SSS_TIME_LIMIT_EXCEEDED", "trouble"),
        case(
            Restlet,
            400,
            named("INVALID_RETURN_DATA_FORMAT"),
            Operational,
            "INVALID_RETURN_DATA_FORMAT",
            "not set up",
        ),
        case(Restlet, 400, named("MODULE_DOES_NOT_EXIST"), Operational, "MODULE_DOES_NOT_EXIST", "not set up"),
        case(Restlet, 403, named("TWO_FA_REQD"), Operational, "TWO_FA_REQD", "refused the login"),
        case(
            Restlet,
            400,
            "error code: SSS_REQUEST_LIMIT_EXCEEDED\nerror message: Request Limit Exceeded.",
            Transient,
            "SSS_REQUEST_LIMIT_EXCEEDED",
            "no room",
        ),
        case(
            Restlet,
            401,
            "<error><code>INVALID_LOGIN_ATTEMPT</code><message>Invalid login attempt.</message></error>",
            Operational,
            "INVALID_LOGIN_ATTEMPT",
            "Login Audit Trail",
        ),
    ]
}

fn records() -> Vec<Case> {
    let gone = "The record instance does not exist. Provide a valid record instance ID.";
    let invalid_field = "Error while accessing a resource. You have entered an Invalid Field Value secret-value for the following field: location.";
    vec![
        // §5.4
        case(
            Rest,
            403,
            record_error("INSUFFICIENT_PERMISSION", "Permission Violation"),
            Operational,
            "INSUFFICIENT_PERMISSION",
            "may not",
        ),
        case(Rest, 404, record_error("NONEXISTENT_ID", gone), Irrecoverable, "NONEXISTENT_ID", "does not exist"),
        case(
            Rest,
            404,
            record_error("SOMETHING_ELSE", "Record type 'bad-path' does not exist"),
            Operational,
            "http_404",
            "not set up",
        ),
        case(Rest, 404, "<html>", Operational, "http_404", "not set up"),
        case(Rest, 400, record_error("INVALID_ID", "secret-value"), Validation, "INVALID_ID", "content"),
        case(Rest, 400, record_error("INVALID_CONTENT", "secret-value"), Validation, "INVALID_CONTENT", "content"),
        case(Rest, 400, record_error("NONEXISTENT_FIELD", "secret-value"), Validation, "NONEXISTENT_FIELD", "content"),
        case(Rest, 400, record_error("INVALID_KEY_OR_REF", "x"), Validation, "INVALID_KEY_OR_REF", "content"),
        case(
            Rest,
            400,
            record_error("USER_ERROR", "Error while accessing a resource. This entity already exists."),
            Validation,
            "already_exists",
            "already exists",
        ),
        case(
            Rest,
            400,
            record_error("USER_ERROR", "Error while accessing a resource. Please enter value(s) for: Company Name"),
            Validation,
            "USER_ERROR",
            "requires a value for Company Name",
        ),
        case(Rest, 400, record_error("USER_ERROR", invalid_field), Validation, "USER_ERROR", "value for location"),
        case(Rest, 400, record_error("USER_ERROR", "secret-value"), Validation, "USER_ERROR", "refused the record"),
        case(Rest, 400, record_error("IDEMPOTENCY_ERROR", "x"), Conflict, "IDEMPOTENCY_ERROR", "changed or is held"),
        case(Rest, 409, record_error("RCRD_HAS_BEEN_CHANGED", "x"), Conflict, "RCRD_HAS_BEEN_CHANGED", "changed"),
        case(
            Rest,
            500,
            record_error("UNEXPECTED_ERROR", "An unexpected error occurred. Error ID: abc"),
            Transient,
            "UNEXPECTED_ERROR",
            "trouble",
        ),
        case(Rest, 405, "", Operational, "http_405", "not set up"),
        case(Rest, 406, "", Operational, "http_406", "not set up"),
        case(Rest, 400, "\u{0}\u{1}not json at all", Validation, "http_400", "content"),
        case(Rest, 504, "<html>gateway</html>", Transient, "http_504", "trouble"),
        case(Rest, 599, "", Transient, "http_5xx", "trouble"),
        case(Rest, 418, "", Operational, "http_other", "not set up"),
    ]
}

#[test]
fn every_error_body_has_a_class_a_bounded_code_and_a_sentence_without_values() {
    let cases: Vec<Case> = [logins_and_limits(), queries(), scripts(), records()].into_iter().flatten().collect();
    assert!(cases.len() > 55);
    for Case(surface, status, body, class, code, says) in cases {
        let refused = refusal(surface, StatusCode::from_u16(status).unwrap(), None, body.as_bytes());
        assert_eq!((refused.class(), refused.code), (class, code), "{surface:?} {status} {body}");
        assert!(refused.sentence.contains(says), "{surface:?} {status} {body}: {}", refused.sentence);
        assert!(!refused.sentence.contains("secret-value"), "{}", refused.sentence);
        assert!(!refused.to_string().contains("secret-value"), "{refused}");
        assert_eq!(refused.failure().class, class);
    }
}

#[test]
fn only_what_came_before_any_work_counts_as_not_carried_out() {
    let said = |status: u16, code: &str| {
        let body = format!(r#"{{"error":{{"code":"{code}","message":""}}}}"#);
        refusal(Restlet, StatusCode::from_u16(status).unwrap(), None, body.as_bytes()).before_any_work()
    };
    for (status, code) in [
        (400, "SSS_REQUEST_LIMIT_EXCEEDED"),
        (429, ""),
        (401, "INVALID_LOGIN_ATTEMPT"),
        (403, ""),
        (302, ""),
        (404, "SSS_INVALID_SCRIPTLET_ID"),
        (405, ""),
        (415, ""),
        (400, "INVALID_REQUEST"),
    ] {
        assert!(said(status, code), "{status} {code}");
    }
    // A script that stops in its middle has done half of its work.
    for (status, code) in [
        (400, "SSS_USAGE_LIMIT_EXCEEDED"),
        (400, "SSS_TIME_LIMIT_EXCEEDED"),
        (400, "INSUFFICIENT_PERMISSION"),
        (400, "INVALID_RETURN_DATA_FORMAT"),
        (400, "WHATEVER_IT_THREW"),
        (500, "UNEXPECTED_ERROR"),
        (503, ""),
        (408, ""),
        (418, ""),
    ] {
        assert!(!said(status, code), "{status} {code}");
    }
}

#[test]
fn a_hidden_table_is_a_matter_of_permission_and_an_absent_record_is_not() {
    let hidden = query_error("Search error occurred: Record 'customer' was not found.");
    assert_eq!(refusal(Rest, StatusCode::BAD_REQUEST, None, hidden.as_bytes()).meaning, Meaning::Permission);
    let gone = record_error("NONEXISTENT_ID", "The record instance does not exist.");
    assert_eq!(refusal(Rest, StatusCode::NOT_FOUND, None, gone.as_bytes()).meaning, Meaning::Absent);
}
