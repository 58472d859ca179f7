#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use nf_clone_fuzz::process;

fuzz_target!(|data: &[u8]| process::process(data));

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    process::mutate(data, size, max_size, seed, fuzzer_mutate)
});
