//! The record types that code itself has to name; all others are only in the catalogue.

use std::sync::LazyLock;

pub(crate) use crate::catalog::RecordType;

fn built_in(name: &str) -> &'static RecordType {
    match RecordType::named(name) {
        Some(kind) => kind,
        None => panic!("the built-in catalogue has no {name}"),
    }
}

/// Customers.
pub(crate) static CUSTOMER: LazyLock<&'static RecordType> = LazyLock::new(|| built_in("customer"));
