//! Makes the hash maps of a run the same every time.
//!
//! The standard library draws the keys of a thread's first hash map from the system and counts up for
//! the next ones. This program answers that question itself, always alike; each seed runs on a thread
//! of its own, so every run walks its maps in the same order.

/// Stands in for the system's `getrandom` in this test program.
///
/// # Safety
/// `buffer` must be valid for writes of `length` bytes, as for the system call.
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(buffer: *mut u8, length: usize, _flags: u32) -> isize {
    for at in 0..length {
        // SAFETY: the caller promises `length` writable bytes.
        unsafe {
            buffer
                .add(at)
                .write((at as u8).wrapping_mul(37).wrapping_add(11))
        };
    }
    length as isize
}
