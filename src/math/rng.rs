//! Random numbers by address: a pure function of (seed, stream, step, item), so that order, ranks and restarts
//! cannot matter. Philox4x32-10 [Salmon2011]; transcendentals from `libm`, the same bits on every machine.

/// One constant per use of random numbers in the suite; never reuse or renumber.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Stream {
    TransportUniform = 1,
    TransportGaussian = 2,
    TransportComponent = 3,
    SpectralInitial = 16,
    SpectralForcing = 17,
    SpectralMember = 18,
    SpectralTangent = 19,
    ParticlesInitial = 32,
    ParticlesMutate = 33,
    ParticlesResample = 34,
    ParticlesMove = 35,
    ParticlesAccept = 36,
    ParticlesBackward = 37,
    ParticlesReference = 38,
    ParticlesPredictive = 39,
    ParticlesParameter = 40,
    ParticlesData = 41,
    ParticlesMultinomial = 42,
    ParticlesStratified = 43,
    ParticlesTournament = 44,
    ParticlesForecast = 45,
    PathsNoise = 48,
    PathsTrain = 49,
    PathsPropose = 50,
    PathsAccept = 51,
    PathsResample = 52,
    PathsPick = 53,
    PathsShoot = 54,
    PathsEnds = 55,
    PathsCommittor = 56,
    PathsTune = 57,
}

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// Ten rounds of Philox4x32 on `counter` under `key`.
fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let p0 = u64::from(MULTIPLIERS[0]) * u64::from(counter[0]);
        let p1 = u64::from(MULTIPLIERS[1]) * u64::from(counter[2]);
        counter =
            [(p1 >> 32) as u32 ^ counter[1] ^ key[0], p1 as u32, (p0 >> 32) as u32 ^ counter[3] ^ key[1], p0 as u32];
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    counter
}

/// [`philox`] on the counter (block, step, tag), as two words; straight-line, so that loops over blocks become vectors.
#[inline(always)]
pub(super) fn block_words(key: [u32; 2], step: u32, tag: u32, block: u64) -> (u64, u64) {
    const LOW: u64 = 0xFFFF_FFFF;
    let (m0, m1) = (u64::from(MULTIPLIERS[0]), u64::from(MULTIPLIERS[1]));
    let (mut c0, mut c1, mut c2, mut c3) = (block & LOW, block >> 32, u64::from(step), u64::from(tag));
    let mut k = key;
    macro_rules! round {
        () => {
            let (p0, p1) = (m0 * (c0 & LOW), m1 * (c2 & LOW));
            (c0, c1, c2, c3) = (p1 >> 32 ^ c1 ^ u64::from(k[0]), p1, p0 >> 32 ^ c3 ^ u64::from(k[1]), p0);
            k = [k[0].wrapping_add(WEYL[0]), k[1].wrapping_add(WEYL[1])];
        };
    }
    // c1 and c3 keep high words that no later use reads.
    round!();
    round!();
    round!();
    round!();
    round!();
    round!();
    round!();
    round!();
    round!();
    round!();
    let _ = k;
    ((c0 & LOW) << 32 | (c1 & LOW), (c2 & LOW) << 32 | (c3 & LOW))
}

/// 128 random bits at an address; `draw` numbers the draws of one item.
fn bits(seed: u64, stream: Stream, step: u32, item: u64, draw: u32) -> [u32; 4] {
    // The seed is the key; the stream joins the draw so that streams of one seed never share a counter.
    let tag = (stream as u32) << 20 | draw;
    philox([item as u32, (item >> 32) as u32, step, tag], [seed as u32, (seed >> 32) as u32])
}

/// 64 random bits, such as the seed of a part of a problem.
pub fn word(seed: u64, stream: Stream, step: u32, item: u64) -> u64 {
    let w = bits(seed, stream, step, item, 0);
    u64::from(w[0]) << 32 | u64::from(w[1])
}

/// Two uniform numbers in (0, 1), 53 bits each.
pub fn uniform_pair(seed: u64, stream: Stream, step: u32, item: u64, draw: u32) -> [f64; 2] {
    let w = bits(seed, stream, step, item, draw);
    [open_unit(w[0], w[1]), open_unit(w[2], w[3])]
}

fn open_unit(high: u32, low: u32) -> f64 {
    let k = (u64::from(high) << 32 | u64::from(low)) >> 11;
    // The largest k and a half is rounded up to 2^53.
    ((k as f64 + 0.5) * (1.0 / 9_007_199_254_740_992.0)).min(1.0 - f64::EPSILON / 2.0)
}

/// Two independent standard normal numbers (Box–Muller).
pub fn normal_pair(seed: u64, stream: Stream, step: u32, item: u64, draw: u32) -> [f64; 2] {
    let [u, v] = uniform_pair(seed, stream, step, item, draw);
    let r = libm::sqrt(-2.0 * libm::log(u));
    let (sin, cos) = libm::sincos(std::f64::consts::TAU * v);
    [r * cos, r * sin]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uniform_numbers_never_reach_the_ends() {
        assert_eq!(open_unit(0, 0), 2f64.powi(-54));
        assert_eq!(open_unit(u32::MAX, u32::MAX), 1.0 - 2f64.powi(-53));
    }

    #[test]
    fn philox_gives_the_known_answers_of_random123() {
        // kat_vectors of Random123 1.14, philox4x32 10.
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox([u32::MAX; 4], [u32::MAX; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        assert_eq!(
            philox([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn straight_line_philox_equals_the_loop() {
        for (i, block) in [0, 1, 12_345, u64::MAX, 1 << 33].into_iter().enumerate() {
            let (step, tag, key) = (7 * i as u32, 0xABC0_0123, [0x1234_5678 ^ i as u32, 0x9ABC_DEF0]);
            let w = philox([block as u32, (block >> 32) as u32, step, tag], key).map(u64::from);
            assert_eq!(block_words(key, step, tag, block), (w[0] << 32 | w[1], w[2] << 32 | w[3]));
        }
    }

    #[test]
    fn moments_of_normals_agree_with_0_1_0_3_to_four_standard_errors() {
        let n = 100_000u64;
        let x: Vec<f64> = (0..n).flat_map(|i| normal_pair(7, Stream::TransportGaussian, 0, i, 0)).collect();
        let count = x.len() as f64;
        let moment = |k: i32| x.iter().map(|v| v.powi(k)).sum::<f64>() / count;
        assert!(moment(1).abs() < 4.0 / count.sqrt());
        assert!((moment(2) - 1.0).abs() < 4.0 * (2.0 / count).sqrt());
        assert!(moment(3).abs() < 4.0 * (15.0 / count).sqrt());
        assert!((moment(4) - 3.0).abs() < 4.0 * (96.0 / count).sqrt());
    }

    #[test]
    fn different_addresses_give_different_bits() {
        let base = bits(1, Stream::TransportUniform, 2, 3, 4);
        for other in [
            bits(2, Stream::TransportUniform, 2, 3, 4),
            bits(1, Stream::TransportGaussian, 2, 3, 4),
            bits(1, Stream::TransportUniform, 3, 3, 4),
            bits(1, Stream::TransportUniform, 2, 4, 4),
            bits(1, Stream::TransportUniform, 2, 3, 5),
        ] {
            assert_ne!(base, other);
        }
    }
}
