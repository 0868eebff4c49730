//! Sums without rounding until the end: what does not round does not depend on order, so any number of ranks and any
//! way to cut a grid give the same bits.
//!
//! Every f64 is a whole multiple of 2⁻¹⁰⁷⁴, so a sum of them is one fixed-point number of about 2200 bits
//! [Kulisch2013]. It is held in digits of 32 bits, each in a word of 64 that has room for 2³¹ carries.

/// Digits: 2098 bits for the largest f64, and room for 2⁶⁴ of them.
const DIGITS: usize = 68;
/// Additions after which a digit could overflow its word: each adds less than 2³².
const CARRY_EVERY: u32 = 1 << 30;

/// A sum of f64 as the exact number it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Exact {
    /// Σ digits[i]·2^(32 i − 1074).
    digits: [i64; DIGITS],
    added: u32,
    /// NaN and infinities that were added, as their plain sum; 0 when there was none.
    special: f64,
}

impl Default for Exact {
    fn default() -> Self {
        Exact { digits: [0; DIGITS], added: 0, special: 0.0 }
    }
}

impl Exact {
    /// Length of [`words`](Exact::words).
    pub const WORDS: usize = DIGITS + 1;

    /// Adds one number.
    #[inline]
    pub fn add(&mut self, x: f64) {
        self.put(x);
        self.added += 1;
        if self.added >= CARRY_EVERY {
            self.carry();
        }
    }

    /// Adds all numbers of a slice.
    pub fn add_all(&mut self, x: &[f64]) {
        for part in x.chunks(CARRY_EVERY as usize / 2) {
            if self.added + part.len() as u32 >= CARRY_EVERY {
                self.carry();
            }
            self.added += part.len() as u32;
            part.iter().for_each(|&x| self.put(x));
        }
    }

    #[inline(always)]
    fn put(&mut self, x: f64) {
        let bits = x.to_bits();
        let exponent = (bits >> 52) as usize & 0x7ff;
        if exponent == 0x7ff {
            // ∞ − ∞ is NaN here as in any order of plain sums.
            self.special += x;
            return;
        }
        // A subnormal number has the exponent of the smallest normal ones and no leading one.
        let mantissa = (bits & ((1 << 52) - 1)) | (u64::from(exponent != 0) << 52);
        let place = exponent.saturating_sub(1);
        let (digit, shift) = (place / 32, place % 32);
        let low = mantissa << shift;
        // The bits that the shift pushed out; in two steps, because a shift by 64 is none.
        let high = (mantissa >> 32) >> (32 - shift);
        // Negation of a digit is (d ^ −1) − (−1).
        let sign = (bits as i64) >> 63;
        let digits = &mut self.digits[digit..digit + 3];
        digits[0] += ((low & 0xffff_ffff) as i64 ^ sign) - sign;
        digits[1] += ((low >> 32) as i64 ^ sign) - sign;
        digits[2] += (high as i64 ^ sign) - sign;
    }

    /// Adds another sum.
    pub fn merge(&mut self, other: &Exact) {
        self.carry();
        let mut other = other.clone();
        other.carry();
        self.digits.iter_mut().zip(other.digits).for_each(|(mine, theirs)| *mine += theirs);
        self.special += other.special;
        self.added = 2;
    }

    /// Brings every digit but the last into 0..2³².
    fn carry(&mut self) {
        let mut carry = 0;
        for digit in &mut self.digits[..DIGITS - 1] {
            let total = *digit + carry;
            *digit = total & 0xffff_ffff;
            carry = total >> 32;
        }
        self.digits[DIGITS - 1] += carry;
        self.added = 1;
    }

    /// The f64 nearest to the sum; of two equally near the even one. NaN or an infinity when one was added.
    pub fn value(&self) -> f64 {
        if self.special != 0.0 {
            return self.special;
        }
        let mut sum = self.clone();
        sum.carry();
        let negative = sum.digits[DIGITS - 1] < 0;
        if negative {
            sum.digits.iter_mut().for_each(|d| *d = -*d);
            sum.carry();
        }
        let magnitude = magnitude(&sum.digits);
        if negative { -magnitude } else { magnitude }
    }

    /// The state as plain words, to be sent and read by [`from_words`](Exact::from_words).
    pub fn words(&self) -> [u64; Exact::WORDS] {
        let mut sum = self.clone();
        sum.carry();
        std::array::from_fn(|i| if i < DIGITS { sum.digits[i] as u64 } else { sum.special.to_bits() })
    }

    pub fn from_words(words: &[u64]) -> Exact {
        let digits = std::array::from_fn(|i| words[i] as i64);
        Exact { digits, added: 1, special: f64::from_bits(words[DIGITS]) }
    }
}

/// Σ digits[i]·2^(32 i − 1074), for digits in 0..2³².
fn magnitude(digits: &[i64; DIGITS]) -> f64 {
    let Some(top) = digits.iter().rposition(|&d| d != 0) else { return 0.0 };
    // The highest 96 to 128 bits, and whether anything lies below them.
    let lowest = top.saturating_sub(3);
    let bits = (lowest..=top).rev().fold(0u128, |all, i| all << 32 | digits[i] as u128);
    let below = digits[..lowest].iter().any(|&d| d != 0);
    let length = 128 - bits.leading_zeros() as usize;
    if lowest == 0 && length <= 53 {
        // The encoding of f64 counts multiples of 2⁻¹⁰⁷⁴ up to the 53rd bit.
        return f64::from_bits(bits as u64);
    }
    let drop = length - 53;
    let (kept, rest) = ((bits >> drop) as u64, bits & ((1 << drop) - 1));
    let half = 1u128 << (drop - 1);
    let up = rest > half || rest == half && (below || kept & 1 == 1);
    let exponent = (32 * lowest + drop + 1) as u64;
    // A carry out of the mantissa goes to the exponent, as it should.
    let encoded = (exponent << 52) + (kept - (1 << 52)) + u64::from(up);
    if encoded >= f64::INFINITY.to_bits() { f64::INFINITY } else { f64::from_bits(encoded) }
}

#[cfg(test)]
mod tests {
    use num_bigint::BigInt;
    use num_rational::BigRational;
    use proptest::prelude::*;

    use super::*;

    fn exact(x: &[f64]) -> BigRational {
        x.iter().fold(BigRational::from(BigInt::ZERO), |s, &x| s + BigRational::from_float(x).unwrap())
    }

    fn sum(x: &[f64]) -> Exact {
        let mut sum = Exact::default();
        sum.add_all(x);
        sum
    }

    /// No f64 is nearer to the exact sum, and of two equally near the even one was taken.
    fn assert_nearest(value: f64, x: &[f64]) {
        let truth = exact(x);
        let distance = |v: f64| {
            let d = BigRational::from_float(v).unwrap() - &truth;
            if d < BigRational::from(BigInt::ZERO) { -d } else { d }
        };
        for other in [value.next_up(), value.next_down()].into_iter().filter(|v| v.is_finite()) {
            let (mine, theirs) = (distance(value), distance(other));
            assert!(mine <= theirs, "{value:e} is farther from the sum than {other:e}");
            assert!(mine != theirs || value.to_bits() & 1 == 0, "{value:e} and {other:e} are equally near");
        }
    }

    /// All exponents, signs and subnormal numbers: any finite pattern of bits.
    fn any_finite() -> impl Strategy<Value = f64> {
        prop_oneof![
            any::<u64>().prop_map(f64::from_bits).prop_filter("finite", |x| x.is_finite() && x.abs() < 1e300),
            (-1.0..1.0f64, -60..60i32).prop_map(|(m, e)| m * 2f64.powi(e)),
            Just(5e-324),
        ]
    }

    proptest! {
        #[test]
        fn a_sum_is_the_f64_nearest_to_the_rational_sum_in_any_order_and_cut(
            x in prop::collection::vec(any_finite(), 0..60), cut in 0..60usize, cancel in any::<bool>()
        ) {
            let mut x = x;
            if cancel {
                // What nearly cancels shows the last bits.
                x.extend(x.clone().iter().skip(1).map(|v| -v));
            }
            let value = sum(&x).value();
            assert_nearest(value, &x);
            let mut backwards = Exact::default();
            x.iter().rev().for_each(|&v| backwards.add(v));
            prop_assert_eq!(backwards.value().to_bits(), value.to_bits());
            let (a, b) = x.split_at(cut.min(x.len()));
            let mut merged = Exact::from_words(&sum(b).words());
            merged.merge(&sum(a));
            prop_assert_eq!(merged.value().to_bits(), value.to_bits());
        }
    }

    #[test]
    fn a_tie_goes_to_the_even_number_and_a_bit_far_below_breaks_it() {
        let tie = [1.0, f64::EPSILON / 2.0];
        assert_eq!(sum(&tie).value(), 1.0);
        assert_eq!(sum(&[1.0, f64::EPSILON / 2.0, 5e-324]).value(), 1.0 + f64::EPSILON);
        assert_eq!(sum(&[1e300, 1.0, -1e300]).value(), 1.0);
        assert_eq!(sum(&[f64::MAX, f64::MAX, -f64::MAX]).value(), f64::MAX);
        assert_eq!(sum(&[f64::MAX, f64::MAX]).value(), f64::INFINITY);
        assert_eq!(sum(&[]).value().to_bits(), 0);
    }

    #[test]
    fn what_is_not_finite_is_not_hidden() {
        assert!(sum(&[1.0, f64::NAN, 2.0]).value().is_nan());
        assert_eq!(sum(&[1.0, f64::NEG_INFINITY]).value(), f64::NEG_INFINITY);
        assert!(sum(&[f64::INFINITY, f64::NEG_INFINITY]).value().is_nan());
    }

    /// The words hold 2³⁰ additions of the largest mantissa; 2²⁴ of them, carried as if 2³⁰ had gone before.
    #[test]
    fn many_additions_do_not_overflow_a_digit() {
        let x = 2.0 - f64::EPSILON;
        let mut many = Exact { added: CARRY_EVERY - 5, ..Exact::default() };
        for _ in 0..1 << 24 {
            many.add(x);
        }
        assert_eq!(many.value(), x * (1u64 << 24) as f64);
    }
}
