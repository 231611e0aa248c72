//! Compiles the wire messages without a system `protoc`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = "../../proto";
    println!("cargo:rerun-if-changed={root}");
    let files = ["concord/events/v1/change_event.proto", "concord/events/v1/merged_event.proto"];
    let messages = protox::compile(files, [root])?;
    // Ordered maps, so that one event always has the same bytes.
    prost_build::Config::new().btree_map(["."]).compile_fds(messages)?;
    Ok(())
}
