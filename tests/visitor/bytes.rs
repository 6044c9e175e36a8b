//! Test data in which every loss shows, and a comparison that does not print megabytes.

/// Pseudorandom bytes that depend on the seed. A comparison shows lost, repeated or swapped bytes.
pub fn pattern(seed: u64, length: usize) -> Vec<u8> {
    let mut random = Random(seed | 1);
    (0..length.div_euclid(8) + 1).flat_map(|_| random.next().to_le_bytes()).take(length).collect()
}

/// Compares without printing megabytes.
pub fn assert_same(got: &[u8], expected: &[u8]) {
    assert_eq!(got.len(), expected.len(), "length");
    if let Some(at) = got.iter().zip(expected).position(|(a, b)| a != b) {
        panic!("byte {at} of {} differs", expected.len());
    }
}

/// A pseudorandom number generator that repeats its sequence for the same seed (xorshift64*).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 11) % limit
    }
}
