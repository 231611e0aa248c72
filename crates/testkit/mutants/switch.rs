//! Put into `model` of the mutated copy only: which mutations are on, and what a few of them remember.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::LazyLock;

static ON: LazyLock<u128> = LazyLock::new(|| {
    let names = std::env::var("MUTATIONS").unwrap_or_default();
    let mut on = 0;
    for name in names.split(',').filter(|name| !name.is_empty()) {
        on |= 1 << NAMES.iter().position(|known| *known == name).unwrap_or_else(|| panic!("no mutation {name}"));
    }
    on
});

thread_local! {
    static WRITTEN: RefCell<BTreeMap<String, i64>> = const { RefCell::new(BTreeMap::new()) };
    static PAYLOADS: RefCell<BTreeMap<String, crate::Fields>> = const { RefCell::new(BTreeMap::new()) };
}

/// Is the mutation of this number on?
pub fn on(number: u32) -> bool {
    *ON >> number & 1 == 1
}

/// A new world remembers nothing.
pub fn reset() {
    WRITTEN.with_borrow_mut(BTreeMap::clear);
    PAYLOADS.with_borrow_mut(BTreeMap::clear);
}

/// We wrote this row in this second: it shows our name as the last who modified it.
pub fn wrote(row: &impl ToString, second: i64) {
    WRITTEN.with_borrow_mut(|written| written.insert(row.to_string(), second));
}

/// The row shows our name, as of this second.
pub fn shows_our_name(row: &impl ToString, second: i64) -> bool {
    WRITTEN.with_borrow(|written| written.get(&row.to_string()) == Some(&second))
}

/// A doorbell of this target carried these values.
pub fn carried(target: String, changes: &crate::Fields) {
    PAYLOADS.with_borrow_mut(|payloads| payloads.insert(target, changes.clone()));
}

/// What the last doorbell of this target carried.
pub fn payload(target: &str) -> Option<crate::Fields> {
    PAYLOADS.with_borrow(|payloads| payloads.get(target).cloned())
}

/// One account for all.
pub fn anybody() -> crate::AccountId {
    crate::AccountId::parse("ANYBODY").expect("letters are an account id")
}
