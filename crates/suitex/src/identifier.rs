//! Names of tables and columns come from configuration: they are quoted, never trusted.

use crate::SuitexError;

/// A column or other single name, quoted.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A table name with or without its schema, each part quoted.
///
/// # Errors
/// [`SuitexError::Name`] for empty parts, more than one dot, and U+0000.
pub(crate) fn quoted_table(name: &str) -> Result<String, SuitexError> {
    let parts: Vec<_> = name.split('.').collect();
    let fits = parts.len() <= 2 && parts.iter().all(|part| !part.is_empty() && !part.contains('\0'));
    if !fits {
        return Err(SuitexError::Name { what: "a table", found: name.to_owned() });
    }
    Ok(parts.into_iter().map(quoted).collect::<Vec<_>>().join("."))
}

/// A literal for statements that take no parameters (`create trigger`).
pub(crate) fn literal(text: &str) -> String {
    // The E form reads backslashes the same whatever standard_conforming_strings says.
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_and_schemas_kept_apart() {
        assert_eq!(quoted_table("app.customers").unwrap(), r#""app"."customers""#);
        assert_eq!(quoted_table(r#"odd"name"#).unwrap(), r#""odd""name""#);
        for bad in ["", "a.b.c", "a.", ".b", "a\0"] {
            assert!(quoted_table(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn literals_cannot_be_left() {
        assert_eq!(literal(r"a'b\"), r"E'a''b\\'");
    }
}
