//! Migrations and the sample schema are embedded at compile time: a new file must lead to a new build.
fn main() {
    println!("cargo:rerun-if-changed=../../migrations/tenant");
    println!("cargo:rerun-if-changed=../../deploy/tenant");
}
