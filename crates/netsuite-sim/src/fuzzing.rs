//! What strangers' text is read by, for the fuzz targets and for their corpus as plain tests.

/// Translates a SuiteQL text, with and without `WITH`; the SQL, or what NetSuite would say about the query.
pub fn suiteql(text: &str) -> Result<String, String> {
    let told = |error: crate::suiteql::QueryError| error.detail().unwrap_or_default();
    let strict = crate::suiteql::translated(text, false).map_err(told);
    let lenient = crate::suiteql::translated(text, true).map_err(told);
    // Whatever is understood without WITH is understood with it, and means the same.
    if let Ok(sql) = &strict {
        assert_eq!(lenient.as_ref(), Ok(sql));
    }
    lenient
}

/// Reads an Authorization header of token based authentication; how many parameters it has.
pub fn authorization(header: &str) -> Option<usize> {
    let parsed = crate::auth::parse_header(header)?;
    // Signing what was read is the next thing that happens to it.
    let signature = crate::auth::signature("GET", "http://127.0.0.1/", &[], &parsed, "secret", "secret");
    assert_eq!(signature.len(), 44, "a digest in base64");
    Some(parsed.len())
}
