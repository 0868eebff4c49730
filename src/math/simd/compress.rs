//! Sorting lanes by their counts into two lists: with AVX-512 eight at a time in registers, else one by one without
//! branches. Integers only: the same lists at every level.

use super::Level;

/// Room of a list of 1024 with a vector to spare.
pub const ROOM: usize = 1024 + 8;

/// Lengths of the two lists, and the sum of the counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Found {
    pub dead: usize,
    pub surplus: usize,
    pub total: u64,
}

/// `dead` gets the lanes with count 0, `surplus` (count − 1) · 2^bits + lane of those with more than 1, in order.
pub fn sort(level: Level, bits: u32, counts: &[u64], dead: &mut [u64; ROOM], surplus: &mut [u64; ROOM]) -> Found {
    assert!(counts.len() <= 1024);
    #[cfg(target_arch = "x86_64")]
    if level == Level::Avx512 && level.is_available() {
        // SAFETY: available.
        return unsafe { sort_avx512(bits, counts, dead, surplus) };
    }
    let _ = level;
    let mut found = Found::default();
    plain(bits, counts, 0, &mut found, dead, surplus);
    found
}

#[inline(always)]
fn plain(bits: u32, counts: &[u64], first: u64, found: &mut Found, dead: &mut [u64; ROOM], surplus: &mut [u64; ROOM]) {
    for (lane, &count) in (first..).zip(counts) {
        // Both lists have room for one more than they may hold.
        dead[found.dead % ROOM] = lane;
        surplus[found.surplus % ROOM] = count.wrapping_sub(1) << bits | lane;
        found.dead += usize::from(count == 0);
        found.surplus += usize::from(count > 1);
        found.total += count;
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512bw,popcnt")]
fn sort_avx512(bits: u32, counts: &[u64], dead: &mut [u64; ROOM], surplus: &mut [u64; ROOM]) -> Found {
    use std::arch::x86_64::*;
    let mut found = Found::default();
    let mut lanes = _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7);
    let (eight, one) = (_mm512_set1_epi64(8), _mm512_set1_epi64(1));
    let shift = _mm_cvtsi32_si128(bits as i32);
    let mut total = _mm512_setzero_si512();
    let chunks = counts.chunks_exact(8);
    let rest = chunks.remainder();
    for chunk in chunks {
        // SAFETY: eight counts; the lists have a vector to spare beyond 1024.
        unsafe {
            let count = _mm512_loadu_si512(chunk.as_ptr().cast());
            let none = _mm512_testn_epi64_mask(count, count);
            let more = _mm512_cmpgt_epu64_mask(count, one);
            let entry = _mm512_or_si512(_mm512_sll_epi64(_mm512_sub_epi64(count, one), shift), lanes);
            // In registers: compressing stores are slow on some processors.
            let d = _mm512_maskz_compress_epi64(none, lanes);
            let s = _mm512_maskz_compress_epi64(more, entry);
            _mm512_storeu_si512(dead.as_mut_ptr().add(found.dead).cast(), d);
            _mm512_storeu_si512(surplus.as_mut_ptr().add(found.surplus).cast(), s);
            found.dead += none.count_ones() as usize;
            found.surplus += more.count_ones() as usize;
            total = _mm512_add_epi64(total, count);
            lanes = _mm512_add_epi64(lanes, eight);
        }
    }
    found.total = _mm512_reduce_add_epi64(total) as u64;
    plain(bits, rest, (counts.len() - rest.len()) as u64, &mut found, dead, surplus);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_gives_the_lists_of_a_plain_loop() {
        for n in [0, 1, 7, 8, 100, 1000, 1024] {
            for kind in 0..4u64 {
                let counts: Vec<u64> =
                    (0..n as u64).map(|i| [0, 2, (i * 7919) % 5 / 2, (i * 31) % 4][kind as usize]).collect();
                let dead: Vec<u64> = (0..n as u64).filter(|i| counts[*i as usize] == 0).collect();
                let more = |i: &u64| counts[*i as usize] > 1;
                let surplus: Vec<u64> =
                    (0..n as u64).filter(more).map(|i| (counts[i as usize] - 1) << 10 | i).collect();
                for level in Level::ALL.into_iter().filter(|l| l.is_available()) {
                    let (mut d, mut s) = ([0; ROOM], [0; ROOM]);
                    let found = sort(level, 10, &counts, &mut d, &mut s);
                    assert_eq!(found.total, counts.iter().sum::<u64>());
                    assert_eq!(
                        (&d[..found.dead], &s[..found.surplus]),
                        (&dead[..], &surplus[..]),
                        "{level:?} {n} {kind}"
                    );
                }
            }
        }
    }
}
