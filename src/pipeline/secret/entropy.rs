//! Shannon entropy in whole numbers.
//!
//! Rests on nothing. What always holds: the same bytes have the same entropy on every machine, since no logarithm of a
//! floating-point library decides which row is exported.

/// Bits for each byte, in steps of 2^-16.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Bits(u64);

const ONE: u64 = 1 << 16;

impl Bits {
    /// `bits`, as a table writes them; 0 to 8.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within 0 and 8")]
    pub(super) fn new(bits: f64) -> Self {
        Self((bits.clamp(0.0, 8.0) * 65536.0) as u64)
    }

    /// The entropy of `text`: log2(n) less the mean of log2 of how often each byte is there.
    pub(super) fn of(text: &[u8]) -> Self {
        let mut counts = [0_u64; 256];
        for byte in text {
            counts[usize::from(*byte)] += 1;
        }
        let n = text.len() as u64;
        if n == 0 {
            return Self(0);
        }
        let sum: u64 = counts.iter().filter(|count| **count > 1).map(|count| count * log2(*count)).sum();
        Self(log2(n).saturating_sub(sum / n))
    }
}

/// log2 of `n` > 0 in steps of 2^-16, rounded down: the whole part by its length, then one bit for each squaring.
fn log2(n: u64) -> u64 {
    let whole = u64::from(n.ilog2());
    let mut result = whole * ONE;
    // 1 <= x < 2, with 31 bits behind the point.
    let mut x = if whole <= 31 { n << (31 - whole) } else { n >> (whole - 31) };
    let mut bit = ONE >> 1;
    while bit > 0 {
        x = (x * x) >> 31;
        if x >= 1 << 32 {
            x >>= 1;
            result += bit;
        }
        bit >>= 1;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bits_are_those_of_the_formula() {
        assert_eq!(Bits::of(b""), Bits(0));
        assert_eq!(Bits::of(b"aaaa"), Bits(0));
        assert_eq!(Bits::of(b"abcdabcd"), Bits::new(2.0));
        assert_eq!(Bits::of(&(0..=255).collect::<Vec<u8>>()), Bits::new(8.0));
        for n in 1..5000_u32 {
            let exact = f64::from(n).log2() * 65536.0;
            let ours = f64::from(u32::try_from(log2(u64::from(n))).expect("small"));
            assert!((exact - ours).abs() < 2.0, "{n}: {exact} {ours}");
        }
    }
}
