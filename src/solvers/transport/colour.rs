//! Colours as points: sRGB, CIELAB, the palette of a photograph, and a photograph in another palette.
//!
//! | here     | meaning                                                                                     |
//! |----------|---------------------------------------------------------------------------------------------|
//! | srgb     | red, green, blue in [0, 1], as stored in image files                                        |
//! | point    | where the transport happens: srgb itself, or L*, a*, b* divided by 100 ([`ColourSpace`])     |
//! | level    | an 8-bit channel v rounded to one of L values: round(v (L − 1)/255), standing for level/(L−1) |
//!
//! CIELAB is CIE 1976 with the D65 white of sRGB [CIE15]; the transfer curve and the primaries are those of
//! IEC 61966-2-1 [IEC61966].

use super::problem::ColourSpace;
use crate::math::elementary::{cbrt, pow};

/// Linear sRGB to XYZ relative to the white point: the rows sum to 1, so that white is exactly (1, 1, 1).
const TO_XYZ: [[f64; 3]; 3] = [
    [0.4124564 / WHITE_X, 0.3575761 / WHITE_X, 0.1804375 / WHITE_X],
    [0.2126729, 0.7151522, 0.0721749],
    [0.0193339 / WHITE_Z, 0.1191920 / WHITE_Z, 0.9503041 / WHITE_Z],
];
const WHITE_X: f64 = 0.4124564 + 0.3575761 + 0.1804375;
const WHITE_Z: f64 = 0.0193339 + 0.1191920 + 0.9503041;

/// Below this, the cube root of CIELAB is replaced by its tangent [CIE15].
const DELTA: f64 = 6.0 / 29.0;

fn linear(v: f64) -> f64 {
    if v <= 0.04045 { v / 12.92 } else { pow((v + 0.055) / 1.055, 2.4) }
}

fn companded(v: f64) -> f64 {
    if v <= 0.0031308 { 12.92 * v } else { 1.055 * pow(v, 1.0 / 2.4) - 0.055 }
}

fn times(m: &[[f64; 3]; 3], v: [f64; 3]) -> [f64; 3] {
    m.map(|row| row[0] * v[0] + row[1] * v[1] + row[2] * v[2])
}

/// The inverse of a 3 × 3 matrix, by cofactors.
fn inverse(m: &[[f64; 3]; 3]) -> [[f64; 3]; 3] {
    let cofactor = |i: usize, j: usize| {
        let (a, b) = ((i + 1) % 3, (i + 2) % 3);
        let (c, d) = ((j + 1) % 3, (j + 2) % 3);
        m[a][c] * m[b][d] - m[a][d] * m[b][c]
    };
    let determinant: f64 = (0..3).map(|j| m[0][j] * cofactor(0, j)).sum();
    std::array::from_fn(|i| std::array::from_fn(|j| cofactor(j, i) / determinant))
}

/// L*, a*, b* divided by 100, from sRGB in [0, 1].
pub fn cielab(srgb: [f64; 3]) -> [f64; 3] {
    let [x, y, z] = times(&TO_XYZ, srgb.map(linear))
        .map(|t| if t > DELTA * DELTA * DELTA { cbrt(t) } else { t / (3.0 * DELTA * DELTA) + 4.0 / 29.0 });
    [1.16 * y - 0.16, 5.0 * (x - y), 2.0 * (y - z)]
}

/// sRGB from L*, a*, b* divided by 100; colours outside sRGB leave [0, 1].
pub fn srgb_of_cielab([l, a, b]: [f64; 3]) -> [f64; 3] {
    let y = (l + 0.16) / 1.16;
    let xyz = [y + a / 5.0, y, y - b / 2.0]
        .map(|t| if t > DELTA { t * t * t } else { 3.0 * DELTA * DELTA * (t - 4.0 / 29.0) });
    times(&inverse(&TO_XYZ), xyz).map(companded)
}

/// The point of a colour.
pub fn point(srgb: [f64; 3], space: ColourSpace) -> [f64; 3] {
    match space {
        ColourSpace::Rgb => srgb,
        ColourSpace::Cielab => cielab(srgb),
    }
}

/// The colour of a point; may lie outside [0, 1].
pub fn srgb(point: [f64; 3], space: ColourSpace) -> [f64; 3] {
    match space {
        ColourSpace::Rgb => point,
        ColourSpace::Cielab => srgb_of_cielab(point),
    }
}

/// The colours of a photograph after rounding to levels, in increasing order of (red, green, blue).
#[derive(Debug, Clone, PartialEq)]
pub struct Palette {
    pub space: ColourSpace,
    /// Levels per channel, 2 to 256.
    pub levels: usize,
    /// (red level · L + green level) · L + blue level, strictly increasing.
    pub keys: Vec<u32>,
    /// keys.len() × 3: the points of the rounded colours.
    pub points: Vec<f64>,
    /// How many pixels have the colour.
    pub counts: Vec<u64>,
}

fn level(v: u8, levels: usize) -> u32 {
    (v as f64 * (levels - 1) as f64 / 255.0).round() as u32
}

fn key(level: [u32; 3], levels: usize) -> u32 {
    (level[0] * levels as u32 + level[1]) * levels as u32 + level[2]
}

impl Palette {
    /// The palette of `rgb`, three bytes per pixel. Panics unless 2 ≤ levels ≤ 256.
    pub fn of(rgb: &[u8], space: ColourSpace, levels: usize) -> Palette {
        assert!((2..=256).contains(&levels));
        let mut all: Vec<u32> =
            rgb.chunks_exact(3).map(|c| key([c[0], c[1], c[2]].map(|v| level(v, levels)), levels)).collect();
        all.sort_unstable();
        let mut palette = Palette { space, levels, keys: Vec::new(), points: Vec::new(), counts: Vec::new() };
        for group in all.chunk_by(|a, b| a == b) {
            let l = levels as u32;
            let srgb = [group[0] / (l * l), group[0] / l % l, group[0] % l].map(|v| v as f64 / (l - 1) as f64);
            palette.keys.push(group[0]);
            palette.points.extend(point(srgb, space));
            palette.counts.push(group.len() as u64);
        }
        palette
    }

    pub fn len(&self) -> usize {
        self.keys.len()
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The photograph with the palette's colour k moved to `mapped[3k..3k+3]`, a point of the same space.
    ///
    /// The displacement mapped − point is interpolated linearly between the (up to eight) palette colours around a
    /// pixel's own colour and added to it, so that what the rounding removed comes back and no edge of a level shows.
    /// Results outside sRGB are clipped. `rgb` is the photograph that the palette was made of.
    pub fn recolour(&self, rgb: &[u8], mapped: &[f64]) -> Vec<u8> {
        assert_eq!(mapped.len(), self.points.len());
        let mut out = Vec::with_capacity(rgb.len());
        for pixel in rgb.chunks_exact(3) {
            let colour = [pixel[0], pixel[1], pixel[2]];
            let shift = self.displacement(colour, mapped);
            let from = point(colour.map(|v| v as f64 / 255.0), self.space);
            let to = srgb(std::array::from_fn(|k| from[k] + shift[k]), self.space);
            out.extend(to.map(|v| (v * 255.0).round().clamp(0.0, 255.0) as u8));
        }
        out
    }

    fn displacement(&self, colour: [u8; 3], mapped: &[f64]) -> [f64; 3] {
        let at = colour.map(|v| v as f64 * (self.levels - 1) as f64 / 255.0);
        let low = at.map(|v| (v as u32).min(self.levels as u32 - 2));
        let share: [f64; 3] = std::array::from_fn(|k| at[k] - low[k] as f64);
        let (mut sum, mut total) = ([0.0; 3], 0.0);
        for corner in 0..8u32 {
            let up: [u32; 3] = std::array::from_fn(|k| corner >> k & 1);
            let weight: f64 = (0..3).map(|k| if up[k] == 1 { share[k] } else { 1.0 - share[k] }).product();
            let found = self.keys.binary_search(&key(std::array::from_fn(|k| low[k] + up[k]), self.levels));
            if let (Ok(i), true) = (found, weight > 0.0) {
                for k in 0..3 {
                    sum[k] += weight * (mapped[3 * i + k] - self.points[3 * i + k]);
                }
                total += weight;
            }
        }
        // A pixel's own rounded colour is always there, with weight 1/8 or more; an unknown colour stays as it is.
        if total > 0.0 { sum.map(|s| s / total) } else { [0.0; 3] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All combinations of a few bytes: 729 colours.
    fn some_colours() -> Vec<u8> {
        const BYTES: [u8; 9] = [0, 3, 17, 64, 100, 128, 200, 251, 255];
        (0..729).flat_map(|i| [BYTES[i / 81], BYTES[i / 9 % 9], BYTES[i % 9]]).collect()
    }

    #[test]
    fn cielab_of_the_primaries_agrees_with_published_values_to_two_decimals() {
        // sRGB red, green, blue under D65, as listed by B. Lindbloom's calculator and by scikit-image's rgb2lab.
        for (srgb, lab) in [
            ([1.0, 0.0, 0.0], [53.24, 80.09, 67.20]),
            ([0.0, 1.0, 0.0], [87.73, -86.18, 83.18]),
            ([0.0, 0.0, 1.0], [32.30, 79.19, -107.86]),
        ] {
            for (ours, theirs) in cielab(srgb).iter().zip(lab) {
                assert!((100.0 * ours - theirs).abs() < 0.02, "{srgb:?}: {ours} {theirs}");
            }
        }
    }

    #[test]
    fn greys_have_no_chroma_and_white_has_lightness_one() {
        for v in [0.0, 0.02, 0.3, 1.0] {
            let [_, a, b] = cielab([v; 3]);
            assert!(a.abs() < 1e-14 && b.abs() < 1e-14, "{a} {b}");
        }
        assert!((cielab([1.0; 3])[0] - 1.0).abs() < 1e-15);
    }

    #[test]
    fn cielab_and_back_is_the_identity_to_rounding() {
        for c in some_colours().chunks_exact(3) {
            let srgb = [c[0], c[1], c[2]].map(|v| v as f64 / 255.0);
            for (a, b) in srgb_of_cielab(cielab(srgb)).iter().zip(srgb) {
                // The two branches of the transfer curve meet to 1e-8 only.
                assert!((a - b).abs() < 1e-7, "{srgb:?}: {a} {b}");
            }
        }
    }

    #[test]
    fn a_palette_counts_every_pixel_and_keeps_every_colour_at_256_levels() {
        let rgb = some_colours();
        let all = Palette::of(&rgb, ColourSpace::Rgb, 256);
        assert_eq!((all.len(), all.counts.iter().sum::<u64>()), (729, 729));
        let few = Palette::of(&rgb, ColourSpace::Rgb, 2);
        assert_eq!((few.len(), few.counts.iter().sum::<u64>()), (8, 729));
        assert_eq!(few.points[21..], [1.0, 1.0, 1.0]);
    }

    #[test]
    fn the_identity_map_gives_the_photograph_back_in_both_spaces_and_at_any_level() {
        let rgb = some_colours();
        for space in [ColourSpace::Rgb, ColourSpace::Cielab] {
            for levels in [2, 7, 32, 256] {
                let palette = Palette::of(&rgb, space, levels);
                assert_eq!(palette.recolour(&rgb, &palette.points), rgb, "{space:?} {levels}");
            }
        }
    }

    #[test]
    fn a_constant_displacement_moves_every_pixel_by_it() {
        let rgb: Vec<u8> = (0..300).map(|i| 20 + (i * 7 % 150) as u8).collect();
        let palette = Palette::of(&rgb, ColourSpace::Rgb, 16);
        let mapped: Vec<f64> = palette.points.iter().map(|v| v + 51.0 / 255.0).collect();
        let moved: Vec<u8> = rgb.iter().map(|v| v + 51).collect();
        assert_eq!(palette.recolour(&rgb, &mapped), moved);
    }

    #[test]
    fn all_colours_mapped_to_one_give_it_up_to_what_rounding_removed() {
        let rgb = some_colours();
        let palette = Palette::of(&rgb, ColourSpace::Rgb, 32);
        let mapped = [0.5, 0.25, 0.75].repeat(palette.len());
        for (k, v) in palette.recolour(&rgb, &mapped).iter().enumerate() {
            let wanted = [127.5, 63.75, 191.25][k % 3];
            // Between palette colours the interpolated displacement is off by at most one level, 255/31.
            assert!((*v as f64 - wanted).abs() <= 255.0 / 31.0 + 1.0, "{v} {wanted}");
        }
    }
}
