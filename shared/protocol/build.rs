//! Compiles `proto/openim/*.proto` with a pure-Rust compiler, so that no `protoc` is needed.

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("proto");
    println!("cargo:rerun-if-changed={}", root.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(root.join("openim"))? {
        files.push(entry?.path());
    }
    files.sort();
    let descriptors = protox::compile(&files, [&root])?;
    prost_build::Config::new()
        .btree_map(["."])
        .bytes([".openim.sdkws.MsgData.content"])
        .include_file("messages.rs")
        .compile_fds(descriptors)?;
    Ok(())
}
