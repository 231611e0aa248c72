#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = netsuite_sim::fuzzing::suiteql(text);
});
