//! JSON as text on its way into Postgres.
//!
//! Text goes as it is written into `json` columns: Postgres checks it and keeps it. Taking it apart (`jsonb`) is left to
//! the views, which few read. What a view could not take apart must not get in: NUL.

use serde::Serialize;
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo, Postgres};
use sqlx::{Encode, Type};

/// NUL as JSON writes it.
const NUL: &str = "\\u0000";

/// JSON text bound as `json`, so that nothing is converted on the way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct JsonText<'a>(pub(crate) &'a str);

impl Type<Postgres> for JsonText<'_> {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(114))
    }
}

impl PgHasArrayType for JsonText<'_> {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(199))
    }
}

impl Encode<'_, Postgres> for JsonText<'_> {
    fn encode_by_ref(&self, buf: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buf.extend_from_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }

    fn size_hint(&self) -> usize {
        self.0.len()
    }
}

/// The JSON text of a value of the model.
pub(crate) fn write<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value)
        .expect("values of the model have text keys and finite numbers, so they have a JSON form")
}

/// The JSON text, or `None` when it holds a NUL.
pub(crate) fn write_clean<T: Serialize>(value: &T) -> Option<String> {
    let text = write(value);
    (!holds_nul(&text)).then_some(text)
}

/// The JSON text with every NUL shown as U+FFFD, and whether there was one.
pub(crate) fn write_mended<T: Serialize>(value: &T) -> (String, bool) {
    let text = write(value);
    match holds_nul(&text) {
        true => (mend(&text), true),
        false => (text, false),
    }
}

/// Text with every NUL shown as U+FFFD.
pub(crate) fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// True when an escape in this JSON text is a NUL: `\u0000` behind an even number of backslashes.
fn holds_nul(text: &str) -> bool {
    text.match_indices(NUL).any(|(at, _)| is_escape(text, at))
}

fn is_escape(text: &str, at: usize) -> bool {
    text[..at].bytes().rev().take_while(|b| *b == b'\\').count().is_multiple_of(2)
}

fn mend(text: &str) -> String {
    let mut mended = String::with_capacity(text.len());
    let mut from = 0;
    for (at, _) in text.match_indices(NUL).filter(|(at, _)| is_escape(text, *at)) {
        mended.push_str(&text[from..at]);
        mended.push_str("\\ufffd");
        from = at + NUL.len();
    }
    mended.push_str(&text[from..]);
    mended
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nul_is_seen_and_mended_and_a_written_backslash_is_not_taken_for_one() {
        assert_eq!(write_clean(&"a\0b"), None);
        assert_eq!(write_mended(&"a\0b\0"), ("\"a\\ufffdb\\ufffd\"".to_owned(), true));
        for harmless in ["\\u0000", "\\\\u0000", "plain", "\u{1}"] {
            assert_eq!(write_mended(&harmless), (write(&harmless), false));
            assert!(write_clean(&harmless).is_some());
        }
        assert_eq!(write_clean(&"\\\0"), None);
    }
}
