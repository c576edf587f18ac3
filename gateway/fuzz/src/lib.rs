//! Fuzz targets of every decoder of bytes from outside, in `tests/fuzz.rs`. The tests named `fuzz` of
//! the single crates damage valid samples and compare what is read; here the input is arbitrary, and
//! with `cargo bolero test -p ringwire-fuzz NAME` guided by coverage.
