//! Colours: a set that colour-blind readers can tell apart, and a map with even steps of lightness.

use plotters::style::RGBColor;

/// sRGB, 0 to 255.
pub type Rgb = [u8; 3];

// The qualitative colours of [Okabe2008].
pub const BLUE: Rgb = [0, 114, 178];
pub const ORANGE: Rgb = [230, 159, 0];
pub const GREEN: Rgb = [0, 158, 115];
pub const VERMILION: Rgb = [213, 94, 0];
pub const PURPLE: Rgb = [204, 121, 167];
pub const SKY: Rgb = [86, 180, 233];

/// Text, second-rank text, and grid lines.
pub const INK: Rgb = [32, 33, 36];
pub const GREY: Rgb = [95, 99, 104];
pub const LIGHT: Rgb = [226, 228, 231];

pub(super) fn plain(c: Rgb) -> RGBColor {
    RGBColor(c[0], c[1], c[2])
}

/// The map from dark violet over blue and green to yellow. Made in CIELAB: lightness from 14 to 92 in equal steps, hue
/// from 315° down to 100°, chroma as large as sRGB allows up to 62, smoothed over five neighbours.
const MAP: [Rgb; 33] = [
    [57, 3, 94],
    [44, 22, 108],
    [28, 35, 116],
    [8, 46, 119],
    [10, 55, 115],
    [9, 63, 115],
    [13, 70, 115],
    [12, 77, 118],
    [17, 84, 120],
    [18, 90, 124],
    [15, 97, 128],
    [15, 104, 132],
    [18, 111, 135],
    [24, 118, 138],
    [23, 125, 141],
    [26, 133, 144],
    [22, 140, 146],
    [23, 148, 148],
    [28, 155, 149],
    [30, 163, 149],
    [30, 170, 147],
    [30, 178, 144],
    [32, 186, 138],
    [50, 194, 131],
    [74, 200, 124],
    [97, 206, 117],
    [122, 212, 112],
    [145, 216, 108],
    [167, 221, 106],
    [188, 225, 104],
    [208, 229, 105],
    [229, 232, 107],
    [249, 235, 110],
];

/// From blue over white to red. Made in CIELAB: lightness 21 at both ends, rising by 15 an entry to the neutral middle.
const DIVERGING: [Rgb; 11] = [
    [0, 49, 107],
    [0, 86, 157],
    [23, 125, 203],
    [104, 165, 224],
    [171, 205, 237],
    [245, 244, 241],
    [239, 191, 171],
    [224, 138, 115],
    [199, 86, 71],
    [161, 35, 44],
    [109, 0, 27],
];

/// The colour of `t` in [0, 1] where one half is neutral; values outside are clamped, NaN is light grey.
pub fn diverging(t: f64) -> Rgb {
    between(&DIVERGING, t)
}

/// The colour of `t` in [0, 1]; values outside are clamped, NaN is light grey.
pub fn map(t: f64) -> Rgb {
    between(&MAP, t)
}

fn between(map: &[Rgb], t: f64) -> Rgb {
    if t.is_nan() {
        return LIGHT;
    }
    let position = t.clamp(0.0, 1.0) * (map.len() - 1) as f64;
    let i = (position as usize).min(map.len() - 2);
    let w = position - i as f64;
    std::array::from_fn(|k| ((1.0 - w) * map[i][k] as f64 + w * map[i + 1][k] as f64).round() as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// L* of CIELAB from sRGB.
    fn lightness(c: Rgb) -> f64 {
        let linear = c.map(|v| {
            let v = v as f64 / 255.0;
            if v <= 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
        });
        let y = 0.2126729 * linear[0] + 0.7151522 * linear[1] + 0.0721750 * linear[2];
        if y > 216.0 / 24389.0 { 116.0 * y.cbrt() - 16.0 } else { y * 24389.0 / 27.0 }
    }

    #[test]
    fn lightness_rises_by_equal_steps_along_the_map() {
        // 78 / 32 per entry; rounding to 8 bits moves L* by up to 0.3.
        for (i, pair) in MAP.windows(2).enumerate() {
            let step = lightness(pair[1]) - lightness(pair[0]);
            assert!((step - 78.0 / 32.0).abs() < 0.6, "step {i}: {step}");
        }
    }

    #[test]
    fn the_two_halves_of_the_diverging_map_are_equally_dark_and_fall_evenly() {
        let l: Vec<f64> = DIVERGING.iter().map(|c| lightness(*c)).collect();
        for i in 0..5 {
            assert!((l[i] - l[10 - i]).abs() < 3.0, "entry {i}: {} and {}", l[i], l[10 - i]);
            assert!(l[i + 1] - l[i] > 10.0 && l[i + 1] - l[i] < 20.0, "step {i}: {}", l[i + 1] - l[i]);
        }
    }

    #[test]
    fn the_ends_of_the_map_are_its_first_and_last_entries() {
        assert_eq!(map(-1.0), MAP[0]);
        assert_eq!(map(1.0), MAP[32]);
        assert_eq!(map(f64::NAN), LIGHT);
    }
}
