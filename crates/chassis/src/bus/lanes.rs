//! Lanes: a fixed number of ordering keys onto which record keys are hashed.
//!
//! One ordering key per record would cost the client one task per record that is never freed, one RPC per message, and
//! Google's emulator one thread per record. A lane keeps the order of a record all the same: a record never changes lane.

/// Lanes used when `PUBSUB_ORDERING_LANES` says nothing.
pub const DEFAULT_LANES: u16 = 64;
/// Most lanes that may be configured.
pub const MAX_LANES: u16 = 1000;

const PREFIX: &str = "lane-";

/// The ordering key of a record: `lane-00` … `lane-63` for 64 lanes, or the record key itself for 0 lanes. A name that
/// already is a lane stays as it is, so that a dead letter keeps the lane it came with.
///
/// The hash is FNV-1a with a final mix: stable over processes, machines and versions, because two services that
/// disagreed about a record's lane would lose its order.
pub fn lane(record_key: &str, lanes: u16) -> String {
    if lanes == 0 || is_lane(record_key) {
        return record_key.to_owned();
    }
    format!("{PREFIX}{:02}", stable_hash(record_key.as_bytes()) % u64::from(lanes))
}

fn is_lane(key: &str) -> bool {
    key.strip_prefix(PREFIX)
        .is_some_and(|n| (2..=3).contains(&n.len()) && n.bytes().all(|digit| digit.is_ascii_digit()))
}

fn stable_hash(bytes: &[u8]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in bytes {
        hash ^= u64::from(*byte);
        hash = hash.wrapping_mul(0x0000_0100_0000_01b3);
    }
    // FNV's low bits are weak for keys that differ in one trailing digit; one multiply-xorshift spreads them.
    hash ^= hash >> 32;
    hash = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash ^ (hash >> 29)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_keeps_its_lane_over_versions() {
        let seen: Vec<String> =
            ["A1|customer|1", "A1|customer|2", "TSTDRV100001|salesorder|12345"].iter().map(|k| lane(k, 64)).collect();
        assert_eq!(seen, ["lane-31", "lane-09", "lane-39"]);
    }

    #[test]
    fn no_lanes_means_the_record_key_itself() {
        assert_eq!(lane("A1|customer|1", 0), "A1|customer|1");
    }

    #[test]
    fn a_lane_stays_a_lane() {
        assert_eq!(lane("lane-07", 64), "lane-07");
        assert_ne!(lane("lane-7", 64), "lane-7");
    }

    #[test]
    fn records_spread_over_all_lanes() {
        let mut counts = [0usize; 64];
        for id in 0..6400 {
            let name = lane(&format!("TSTDRV100001|customer|{id}"), 64);
            let index: usize = name.trim_start_matches(PREFIX).parse().expect("a lane ends in its number");
            counts[index] += 1;
        }
        assert!(counts.iter().all(|&n| (50..200).contains(&n)), "{counts:?}");
    }
}
