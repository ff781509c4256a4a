//! The memory functions that the compiler calls by name.
//!
//! In: pointers and lengths. Out: copied, filled, compared or counted bytes. Never called by our own code.

use core::ptr::{read_volatile, write_volatile};

/// # Safety
/// As in C: `count` bytes at both places, which do not overlap.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the caller's promise.
    unsafe {
        core::arch::asm!("rep movsb", inout("rcx") count => _, inout("rdi") to => _, inout("rsi") from => _,
            options(nostack, preserves_flags));
    }
    #[cfg(not(target_arch = "x86_64"))]
    for index in 0..count {
        // SAFETY: the caller's promise.
        unsafe { write_volatile(to.add(index), read_volatile(from.add(index))) };
    }
    to
}

/// # Safety
/// As in C: `count` bytes at both places.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    if (to as usize) <= (from as usize) {
        // SAFETY: ascending copies are right when the target is before the source.
        return unsafe { memcpy(to, from, count) };
    }
    for index in (0..count).rev() {
        // SAFETY: the caller's promise.
        unsafe { write_volatile(to.add(index), read_volatile(from.add(index))) };
    }
    to
}

/// # Safety
/// As in C: `count` bytes at `to`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memset(to: *mut u8, byte: i32, count: usize) -> *mut u8 {
    for index in 0..count {
        // SAFETY: the caller's promise.
        unsafe { write_volatile(to.add(index), byte as u8) };
    }
    to
}

/// # Safety
/// As in C: `count` bytes at both places.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memcmp(left: *const u8, right: *const u8, count: usize) -> i32 {
    for index in 0..count {
        // SAFETY: the caller's promise.
        let (a, b) = unsafe { (read_volatile(left.add(index)), read_volatile(right.add(index))) };
        if a != b {
            return i32::from(a) - i32::from(b);
        }
    }
    0
}

/// # Safety
/// As in C: `count` bytes at both places.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bcmp(left: *const u8, right: *const u8, count: usize) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { memcmp(left, right, count) }
}

/// # Safety
/// As in C: bytes up to a NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn strlen(text: *const u8) -> usize {
    let mut count = 0;
    // SAFETY: the caller's promise.
    while unsafe { read_volatile(text.add(count)) } != 0 {
        count += 1;
    }
    count
}

/// Named by the unwind tables of the prebuilt core library; nothing here unwinds.
#[unsafe(no_mangle)]
pub extern "C" fn rust_eh_personality() {}
