//! Puts or gets one batch of blocks through the C functions of the Rust WombatKV, embedded in this
//! process, and prints what it took in milliseconds:
//!
//! ```text
//! wombatkv-peer put|get KEYS PAYLOADS
//! ```
//!
//! KEYS has one key of 64 hex digits on each line; PAYLOADS has as many payloads of one size, one
//! after another. What `get` brings is compared with them, byte for byte.

use std::ffi::{c_char, CString};
use std::time::Instant;
use std::{env, fs, process, ptr};

extern crate wombatkv as _;

#[repr(C)]
struct Handle {
    _opaque: [u8; 0],
}

#[repr(C)]
struct Borrow {
    _opaque: [u8; 0],
}

extern "C" {
    fn wmbt_kv_init_from_env() -> *mut Handle;
    fn wmbt_kv_free(handle: *mut Handle);
    fn wmbt_kv_put_kv_blocks(
        handle: *mut Handle,
        namespace: *const c_char,
        hashes: *const *const c_char,
        payloads: *const *const u8,
        lengths: *const usize,
        count: usize,
    ) -> i64;
    fn wmbt_kv_get_kv_blocks_borrowed(
        handle: *mut Handle,
        namespace: *const c_char,
        hashes: *const *const c_char,
        count: usize,
        payloads: *mut *const *const u8,
        lengths: *mut *const usize,
        borrow: *mut *mut Borrow,
    ) -> i32;
    fn wmbt_kv_release_borrow(borrow: *mut Borrow);
}

fn main() {
    let words: Vec<String> = env::args().collect();
    let [_, verb, keys, payloads] = words.as_slice() else {
        fail("usage: wombatkv-peer put|get KEYS PAYLOADS");
    };
    let text = fs::read_to_string(keys).expect("KEYS can be read");
    let hashes: Vec<CString> = text
        .lines()
        .map(|line| CString::new(line).expect("a key has no zero byte"))
        .collect();
    let bytes = fs::read(payloads).expect("PAYLOADS can be read");
    if hashes.is_empty() || bytes.len() % hashes.len() != 0 {
        fail("PAYLOADS must hold one payload of the same size for each key");
    }
    let blocks: Vec<&[u8]> = bytes.chunks(bytes.len() / hashes.len()).collect();
    let pointers: Vec<*const c_char> = hashes.iter().map(|hash| hash.as_ptr()).collect();

    let opened = Instant::now();
    let handle = unsafe { wmbt_kv_init_from_env() };
    if handle.is_null() {
        fail("the store cannot be opened");
    }
    let open_ms = opened.elapsed().as_secs_f64() * 1000.0;
    let ms = match verb.as_str() {
        "put" => put(handle, &pointers, &blocks),
        "get" => get(handle, &pointers, &blocks),
        _ => fail("the verb must be put or get"),
    };
    unsafe { wmbt_kv_free(handle) };
    println!("{{\"openMs\":{open_ms},\"ms\":{ms}}}");
}

fn put(handle: *mut Handle, hashes: &[*const c_char], blocks: &[&[u8]]) -> f64 {
    let payloads: Vec<*const u8> = blocks.iter().map(|block| block.as_ptr()).collect();
    let lengths: Vec<usize> = blocks.iter().map(|block| block.len()).collect();
    let started = Instant::now();
    let stored = unsafe {
        wmbt_kv_put_kv_blocks(
            handle,
            c"default".as_ptr(),
            hashes.as_ptr(),
            payloads.as_ptr(),
            lengths.as_ptr(),
            blocks.len(),
        )
    };
    let ms = started.elapsed().as_secs_f64() * 1000.0;
    if stored != lengths.iter().sum::<usize>() as i64 {
        fail("not everything was put");
    }
    ms
}

fn get(handle: *mut Handle, hashes: &[*const c_char], blocks: &[&[u8]]) -> f64 {
    let mut payloads: *const *const u8 = ptr::null();
    let mut lengths: *const usize = ptr::null();
    let mut borrow: *mut Borrow = ptr::null_mut();
    let started = Instant::now();
    let answer = unsafe {
        wmbt_kv_get_kv_blocks_borrowed(
            handle,
            c"default".as_ptr(),
            hashes.as_ptr(),
            hashes.len(),
            &mut payloads,
            &mut lengths,
            &mut borrow,
        )
    };
    let ms = started.elapsed().as_secs_f64() * 1000.0;
    if answer != 1 {
        fail("not everything was found");
    }
    for (index, expected) in blocks.iter().enumerate() {
        let block = unsafe {
            std::slice::from_raw_parts(*payloads.add(index), *lengths.add(index))
        };
        if block != *expected {
            fail("a block has other bytes");
        }
    }
    unsafe { wmbt_kv_release_borrow(borrow) };
    ms
}

fn fail(message: &str) -> ! {
    eprintln!("{message}");
    process::exit(1);
}
