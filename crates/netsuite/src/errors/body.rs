//! The shapes in which NetSuite tells what went wrong.

use serde_json::Value;

/// Longest part of a body that is looked at.
const LONGEST_LOOK: usize = 64 * 1024;
/// Longest name (of a field, column or table) that is taken over into a sentence of ours.
const LONGEST_NAME: usize = 60;

/// What a body says. The detail is for recognising known wordings only; it may quote values and goes nowhere else.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) code: Option<String>,
    detail: Option<String>,
    /// The header, path or query parameter that was objected to.
    pub(super) about: Option<String>,
}

impl Told {
    /// Reads JSON (SuiteTalk's problem document, a RESTlet's error, a token endpoint's), XML or text.
    pub(super) fn read(body: &[u8]) -> Self {
        let body = &body[..body.len().min(LONGEST_LOOK)];
        match serde_json::from_slice::<Value>(body) {
            Ok(json) => Self::from_json(&json),
            Err(_) => Self::from_text(&String::from_utf8_lossy(body)),
        }
    }

    fn from_json(json: &Value) -> Self {
        let detail = json.get("o:errorDetails").and_then(|details| details.get(0));
        if detail.is_some() || json.get("o:errorCode").is_some() {
            let text = |of: Option<&Value>, key: &str| of.and_then(|of| of.get(key)?.as_str().map(str::to_owned));
            let about = ["o:errorHeader", "o:errorPath", "o:errorQueryParam"];
            return Self {
                code: text(detail, "o:errorCode").or_else(|| text(Some(json), "o:errorCode")),
                detail: text(detail, "detail"),
                about: about.into_iter().find_map(|key| text(detail, key)),
            };
        }
        match json.get("error") {
            // The token endpoint: {"error":"invalid_grant"}
            Some(Value::String(code)) => Self { code: Some(code.clone()), ..Self::default() },
            Some(error) => Self::from_script_error(error),
            None => Self::default(),
        }
    }

    /// The code and text of one record's refusal.
    pub(super) fn of_record(code: Option<&str>, message: Option<&str>) -> Self {
        Self { code: code.map(str::to_owned), detail: message.map(str::to_owned), about: None }
    }

    /// `{"code","message"}`, where the message of a SuiteScript 2.x error is JSON once more.
    fn from_script_error(error: &Value) -> Self {
        let text = |of: &Value, key: &str| of.get(key).and_then(Value::as_str).map(str::to_owned);
        let message = text(error, "message");
        let inner = message.as_deref().and_then(|message| serde_json::from_str::<Value>(message).ok());
        let name = inner.as_ref().and_then(|inner| text(inner, "name"));
        let inner_message = inner.as_ref().and_then(|inner| text(inner, "message"));
        Self { code: text(error, "code").or(name), detail: inner_message.or(message), about: None }
    }

    /// `<error><code>X</code><message>Y</message></error>`, or `error code: X` and `error message: Y` on two lines.
    fn from_text(text: &str) -> Self {
        let tagged = |tag: &str| between(text, &format!("<{tag}>"), &format!("</{tag}>"));
        let lined = |label: &str| {
            let line = text.lines().find_map(|line| line.trim().strip_prefix(label));
            line.map(|rest| rest.trim().to_owned())
        };
        Self {
            code: tagged("code").or_else(|| lined("error code:")),
            detail: tagged("message").or_else(|| lined("error message:")).or_else(|| Some(text.to_owned())),
            about: None,
        }
    }

    /// Does the detail hold these words?
    pub(super) fn says(&self, words: &str) -> bool {
        self.detail.as_deref().is_some_and(|detail| detail.contains(words))
    }

    /// A deletion refused for the sake of other records, in the code or in the words.
    pub(super) fn names_dependents(&self) -> bool {
        self.code.as_deref().is_some_and(|code| code.contains("DEPENDENT")) || self.says("dependent record")
    }

    /// The name between two markers of the detail, if it has the shape of a name.
    pub(super) fn name(&self, before: &str, after: &str) -> Option<String> {
        let found = between(self.detail.as_deref()?, before, after)?;
        let fits = !found.is_empty()
            && found.chars().count() <= LONGEST_NAME
            && found.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | ' ' | '-' | '/' | '(' | ')' | ','));
        fits.then_some(found)
    }
}

/// The text between two markers; to the end where the second is empty or missing.
fn between(text: &str, before: &str, after: &str) -> Option<String> {
    let rest = &text[text.find(before)? + before.len()..];
    let end = if after.is_empty() { rest.len() } else { rest.find(after)? };
    Some(rest[..end].trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_errors_message_may_be_json_inside_the_string() {
        let inner = r#"{"type":"error.SuiteScriptError","name":"RCRD_DSNT_EXIST","message":"That record does not exist.","stack":[]}"#;
        let body = serde_json::json!({ "error": { "message": inner } }).to_string();
        let told = Told::read(body.as_bytes());
        assert_eq!(told.code.as_deref(), Some("RCRD_DSNT_EXIST"));
        assert!(told.says("does not exist"));
    }

    #[test]
    fn text_and_xml_bodies_are_read_as_well() {
        for body in [
            "error code: SSS_REQUEST_LIMIT_EXCEEDED\nerror message: Request Limit Exceeded.",
            "<?xml version=\"1.0\"?><error><code>SSS_REQUEST_LIMIT_EXCEEDED</code><message>M</message></error>",
        ] {
            assert_eq!(Told::read(body.as_bytes()).code.as_deref(), Some("SSS_REQUEST_LIMIT_EXCEEDED"), "{body}");
        }
    }

    #[test]
    fn what_does_not_look_like_a_name_is_not_taken_over() {
        let told = |detail: &str| Told { detail: Some(detail.to_owned()), ..Told::default() };
        assert_eq!(told("identifier 'a_b'.").name("identifier '", "'"), Some("a_b".to_owned()));
        assert_eq!(told("identifier 'a@b.example'.").name("identifier '", "'"), None);
        assert_eq!(told(&format!("identifier '{}'.", "a".repeat(61))).name("identifier '", "'"), None);
    }
}
