//! libFuzzer around one target, whose name is in the variable `TARGET`.
//!
//! Beside what a target itself checks, an input may not take more memory than [`MOST`] at a time.

#![no_main]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    env, process,
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use rendezvous_fuzz::{TARGETS, Target};

/// The most memory that an input may take, in bytes.
const MOST: usize = 64 * 1024 * 1024;

/// Bytes in use, and what they were when the input began.
static USED: AtomicUsize = AtomicUsize::new(0);
static BEGAN: AtomicUsize = AtomicUsize::new(usize::MAX / 2);

/// The allocator of the system, which counts, and ends the process where an input takes too much.
struct Counted;

#[global_allocator]
static ALLOCATOR: Counted = Counted;

// SAFETY: it hands every call to the allocator of the system as it is.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        take(layout.size());
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        USED.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        take(size);
        USED.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller keeps the contract.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        take(layout.size());
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc_zeroed(layout) }
    }
}

fn take(bytes: usize) {
    let used = USED.fetch_add(bytes, Relaxed) + bytes;
    if used > BEGAN.load(Relaxed).saturating_add(MOST) {
        BEGAN.store(usize::MAX / 2, Relaxed);
        eprintln!("an input takes more than {MOST} bytes, {bytes} of them now");
        process::abort();
    }
}

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    // libFuzzer aborts on every panic; the system turns some into errors.
    std::panic::set_hook(Box::new(|panic| {
        if env::var_os("PANICS").is_some() {
            eprintln!("{panic}");
        }
    }));
    let name = env::var("TARGET").unwrap_or_default();
    let found = TARGETS.iter().find(|target| target.name == name);
    *found.unwrap_or_else(|| {
        let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        eprintln!("TARGET must be one of {}", names.join(" "));
        process::exit(2)
    })
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let target = *TARGET;
    BEGAN.store(USED.load(Relaxed), Relaxed);
    if let Err(panic) = std::panic::catch_unwind(|| (target.run)(bytes)) {
        let message = panic.downcast_ref::<String>().map(String::as_str);
        let message = message.or(panic.downcast_ref::<&str>().copied());
        eprintln!("the target panicked: {}", message.unwrap_or_default());
        process::abort();
    }
    BEGAN.store(usize::MAX / 2, Relaxed);
});
