#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|header: &str| {
    let _ = netsuite_sim::fuzzing::authorization(header);
});
