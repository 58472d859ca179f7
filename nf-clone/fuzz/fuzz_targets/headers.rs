#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nf_clone_fuzz::headers(data));
