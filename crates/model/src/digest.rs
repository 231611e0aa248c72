//! A hash of many things in whatever order they come: what two collections that were read in different orders are
//! compared by.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Fields, Rid, Value};

/// The name of the algorithm, as certificates carry it: the sum modulo 2^128 of, for each element, the first 16 bytes
/// (big-endian) of its SHA-256. It tells apart collections that differ by accident; it is no proof against somebody who
/// chooses records to make sums meet.
pub const SUM_HASH: &str = "sha256-sum128/1";

/// An order-free hash of a collection. As text: 32 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SumHash(u128);

impl SumHash {
    /// Adds an element by its bytes.
    pub fn add_bytes(&mut self, element: &[u8]) {
        self.add_digest(Sha256::digest(element).into());
    }

    /// Adds a record: the rid's 16 bytes, then for each field that is not empty, by name, the lengths (8 bytes,
    /// big-endian) and bytes of its name and of its value as JSON without space.
    pub fn add_record(&mut self, rid: Rid, state: &Fields) {
        let mut hash = Sha256::new();
        hash.update(rid.0.as_bytes());
        for (name, value) in state.iter().filter(|(_, value)| **value != Value::Null) {
            let json = serde_json::to_vec(value).expect("a value is plain JSON");
            for part in [name.as_bytes(), &json] {
                hash.update((part.len() as u64).to_be_bytes());
                hash.update(part);
            }
        }
        self.add_digest(hash.finalize().into());
    }

    fn add_digest(&mut self, digest: [u8; 32]) {
        let mut first = [0_u8; 16];
        first.copy_from_slice(&digest[..16]);
        self.0 = self.0.wrapping_add(u128::from_be_bytes(first));
    }
}

impl fmt::Display for SumHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl From<SumHash> for String {
    fn from(hash: SumHash) -> Self {
        hash.to_string()
    }
}

impl FromStr for SumHash {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let read = digits.then(|| u128::from_str_radix(text, 16).ok()).flatten();
        read.map(Self).ok_or_else(|| "a sum hash is 32 hex digits".to_owned())
    }
}

impl TryFrom<String> for SumHash {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn record(n: u128, pairs: &[(&str, Value)]) -> (Rid, Fields) {
        (Rid(Uuid::from_u128(n)), pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
    }

    fn sum(records: &[(Rid, Fields)]) -> SumHash {
        let mut sum = SumHash::default();
        for (rid, state) in records {
            sum.add_record(*rid, state);
        }
        sum
    }

    #[test]
    fn order_and_empty_fields_do_not_count_and_everything_else_does() {
        let one = record(1, &[("a", Value::text("x")), ("b", Value::Int(1))]);
        let two = record(2, &[("a", Value::text("x"))]);
        let base = sum(&[one.clone(), two.clone()]);
        assert_eq!(base, sum(&[two.clone(), one.clone()]));
        let with_empty = record(2, &[("a", Value::text("x")), ("z", Value::Null)]);
        assert_eq!(base, sum(&[one.clone(), with_empty]));
        let others = [
            record(3, &[("a", Value::text("x"))]),
            record(2, &[("b", Value::text("x"))]),
            record(2, &[("a", Value::text("y"))]),
            record(2, &[("a", Value::text("x")), ("b", Value::Bool(false))]),
        ];
        for other in others {
            assert_ne!(base, sum(&[one.clone(), other]));
        }
        assert_ne!(base, sum(&[one.clone(), two.clone(), two]), "a record counted twice is seen");
    }

    #[test]
    fn a_number_is_not_its_text() {
        assert_ne!(sum(&[record(1, &[("a", Value::Int(1))])]), sum(&[record(1, &[("a", Value::text("1"))])]));
    }

    #[test]
    fn it_reads_back_from_its_text_and_nothing_else_does() {
        let hash = sum(&[record(1, &[("a", Value::text("x"))])]);
        assert_eq!(hash.to_string().parse(), Ok(hash));
        assert_eq!(serde_json::from_str::<SumHash>(&serde_json::to_string(&hash).unwrap()).unwrap(), hash);
        for text in ["", "12", "+0000000000000000000000000000001", "zz"] {
            assert!(text.parse::<SumHash>().is_err(), "{text}");
        }
    }
}
