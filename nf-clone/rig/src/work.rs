//! What is asked and answered: either side can tell a wrong answer from a right one.

use nf_clone::random::Random;

/// Bytes of the shortest request: the client's number and the request's.
const LEAST: usize = 16;

/// Request number `token` of client number `client`: 16 to `longest` bytes that no other request has.
pub fn request(client: u64, token: u64, longest: usize) -> Vec<u8> {
    let mut random = Random::new(client << 40 ^ token);
    let room = longest.saturating_sub(LEAST) as u32;
    let len = LEAST + random.below(room + 1) as usize;
    let mut bytes = Vec::with_capacity(len + 8);
    bytes.extend(client.to_be_bytes());
    bytes.extend(token.to_be_bytes());
    while bytes.len() < len {
        bytes.extend(random.next_u64().to_be_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Writes the one right answer to a request: it depends on every bit.
pub fn answer(request: &[u8], out: &mut Vec<u8>) {
    // FNV-1a.
    let digest = request
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
    out.extend(digest.to_be_bytes());
    out.extend(request.iter().rev());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_differ_and_so_do_their_answers() {
        let answers: std::collections::HashSet<Vec<u8>> = (0..1000)
            .map(|n| {
                let request = request(n % 10, n / 10, 600);
                assert!((16..=600).contains(&request.len()));
                let mut out = Vec::new();
                answer(&request, &mut out);
                out
            })
            .collect();
        assert_eq!(answers.len(), 1000);
    }
}
