#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nf_core_fuzz::layers(data));
