//! The generator's randomness: `SplitMix64` to spread a seed, `xoshiro256**` to draw from it.
//!
//! Rests on nothing but integer arithmetic (Blackman and Vigna, "Scrambled linear pseudorandom number generators",
//! 2018). Invariant: the same seed and the same calls give the same numbers on every machine, so a row of the sample
//! is a function of its place and a changed row is a changed program.

/// One step of `SplitMix64`: a bijection of 64 bits in which every input bit reaches every output bit.
pub const fn mix(value: u64) -> u64 {
    let z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A stream of numbers drawn from one seed.
#[derive(Clone, Debug)]
pub struct Rng {
    state: [u64; 4],
}

impl Rng {
    /// The stream that belongs to `seed` and `salt`; two salts under one seed share nothing.
    pub const fn new(seed: u64, salt: u64) -> Self {
        let a = mix(seed ^ mix(salt));
        let b = mix(a);
        let c = mix(b);
        Self { state: [a, b, c, mix(c)] }
    }

    /// The next 64 bits.
    pub const fn next(&mut self) -> u64 {
        let [a, b, c, d] = self.state;
        let out = b.wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let (c, d) = (c ^ a, d ^ b);
        self.state = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        out
    }

    /// A number below `bound`; 0 where `bound` is 0. The bias is below 2⁻³² for bounds below 2³².
    pub const fn below(&mut self, bound: u64) -> u64 {
        ((self.next() as u128 * bound as u128) >> 64) as u64
    }

    /// A number from `low` to `high`, both included.
    pub const fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True `percent` times in a hundred.
    pub const fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of `items`, each as likely as the others. `items` is never empty: every table is a constant.
    pub const fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        #[expect(clippy::cast_possible_truncation, reason = "below the length of a slice")]
        let at = self.below(items.len() as u64) as usize;
        items[at]
    }

    /// A position below `len` where low positions are common and high ones rare: rank r comes about as 1/r, as words
    /// do in prose.
    pub const fn zipf(&mut self, len: usize) -> usize {
        // A uniform number of bits, then a uniform number of that many bits: each octave of ranks is equally likely.
        let octaves = usize::BITS - len.leading_zeros();
        let octave = self.below(octaves as u64);
        #[expect(clippy::cast_possible_truncation, reason = "below twice the length of a slice")]
        let at = ((1 << octave) + self.below(1 << octave) - 1) as usize;
        if at < len { at } else { at - len }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn split_mix_gives_the_published_numbers() {
        // Reference: the first outputs of splitmix64.c for the seed 1234567.
        let first = mix(1_234_567);
        let second = mix(1_234_567_u64.wrapping_add(0x9e37_79b9_7f4a_7c15));
        assert_eq!((first, second), (6_457_827_717_110_365_317, 3_203_168_211_198_807_973));
    }

    #[test]
    fn xoshiro_gives_the_published_numbers() {
        // Reference: the first outputs of xoshiro256starstar.c for the state 1, 2, 3, 4.
        let mut rng = Rng { state: [1, 2, 3, 4] };
        assert_eq!([rng.next(), rng.next(), rng.next()], [11_520, 0, 1_509_978_240]);
    }

    #[test]
    fn draws_stay_in_their_bounds_and_reach_them() {
        let mut rng = Rng::new(7, 7);
        let mut seen = [0_u32; 10];
        for _ in 0..10_000 {
            seen[rng.zipf(10)] += 1;
            assert!(rng.below(3) < 3);
        }
        assert!(seen.iter().all(|n| *n > 100), "every rank comes: {seen:?}");
        assert!(seen[0] > 2 * seen[9], "low ranks come more often: {seen:?}");
        assert_eq!(rng.below(0), 0);
    }
}
