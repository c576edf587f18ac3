//! Compiles `proto/openim/*.proto` with a pure-Rust compiler, so that no `protoc` is needed, and
//! lists every message with its fields for the JSON shapes of `src/json.rs`.

use std::fmt::Write as _;
use std::path::PathBuf;

use heck::{ToSnakeCase, ToUpperCamelCase};
use prost_types::{DescriptorProto, FileDescriptorSet};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("proto");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed={}", root.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(root.join("openim"))? {
        files.push(entry?.path());
    }
    files.sort();
    let descriptors = protox::compile(&files, [&root])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("json_messages.rs"), json_messages(&descriptors)?)?;
    prost_build::Config::new()
        .btree_map(["."])
        .bytes([".openim.sdkws.MsgData.content"])
        .include_file("messages.rs")
        .compile_fds(descriptors)?;
    Ok(())
}

/// One `message!` line for every message: its Rust type, and index, Rust name and JSON name of its
/// fields in the order of declaration.
fn json_messages(descriptors: &FileDescriptorSet) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    for file in &descriptors.file {
        if let Some(package) = file.package().strip_prefix("openim.") {
            for message in &file.message_type {
                append(&mut text, &format!("crate::pb::{package}"), message)?;
            }
        }
    }
    Ok(text)
}

fn append(text: &mut String, module: &str, message: &DescriptorProto) -> std::fmt::Result {
    let is_map_entry = message
        .options
        .as_ref()
        .is_some_and(|options| options.map_entry());
    if is_map_entry {
        return Ok(());
    }
    write!(
        text,
        "message!({module}::{} {{",
        message.name().to_upper_camel_case()
    )?;
    for (index, field) in message.field.iter().enumerate() {
        write!(
            text,
            " {index} {} {:?},",
            rust_field(field.name()),
            field.name()
        )?;
    }
    writeln!(text, " }});")?;
    let inner = format!("{module}::{}", message.name().to_snake_case());
    message
        .nested_type
        .iter()
        .try_for_each(|nested| append(text, &inner, nested))
}

/// The field's name as the message generator writes it.
fn rust_field(name: &str) -> String {
    let name = name.to_snake_case();
    match name.as_str() {
        "type" | "match" | "ref" | "use" | "move" | "in" | "where" => format!("r#{name}"),
        _ => name,
    }
}
