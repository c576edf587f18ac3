//! Measurements of hot-path parts. Each file beside this folder is one; run it with
//! `cargo bench -p ringwire-benches --bench NAME`.
