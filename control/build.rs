//! A new migration file must make the crate build again: the files are embedded.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
