//! RGB rasters: resizing, PNG bytes, and images inside an SVG.

use image::ImageEncoder;

/// An image of 8-bit sRGB, row by row from the top.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raster {
    pub rows: usize,
    pub cols: usize,
    pub rgb: Vec<u8>,
}

impl Raster {
    /// `rgb` holds rows × cols × 3 bytes.
    pub fn new(rows: usize, cols: usize, rgb: Vec<u8>) -> Raster {
        assert_eq!(rgb.len(), 3 * rows * cols);
        Raster { rows, cols, rgb }
    }

    /// The same image on rows × cols pixels. `smooth`: averages on the way down, interpolates on the way up;
    /// otherwise every new pixel takes the old one under its centre, so that the cells of a matrix stay sharp.
    pub fn resized(&self, rows: usize, cols: usize, smooth: bool) -> Raster {
        if self.rows == 0 || self.cols == 0 {
            return Raster::new(rows, cols, vec![255; 3 * rows * cols]);
        }
        let down = self.taps(self.rows, rows, smooth);
        let across = self.taps(self.cols, cols, smooth);
        // Columns first, then rows; the weights of one new pixel sum to 1.
        let mut narrow = vec![0f32; 3 * self.rows * cols];
        for r in 0..self.rows {
            for (c, taps) in across.iter().enumerate() {
                for &(k, w) in taps {
                    for channel in 0..3 {
                        narrow[3 * (r * cols + c) + channel] += w * self.rgb[3 * (r * self.cols + k) + channel] as f32;
                    }
                }
            }
        }
        let mut rgb = Vec::with_capacity(3 * rows * cols);
        let mut line = vec![0f32; 3 * cols];
        for taps in &down {
            line.fill(0.0);
            for &(k, w) in taps {
                for (sum, v) in line.iter_mut().zip(&narrow[3 * k * cols..3 * (k + 1) * cols]) {
                    *sum += w * v;
                }
            }
            rgb.extend(line.iter().map(|v| v.round().clamp(0.0, 255.0) as u8));
        }
        Raster::new(rows, cols, rgb)
    }

    /// For each of `new` pixels along an axis of `old`: the old pixels it is made of, with their weights.
    fn taps(&self, old: usize, new: usize, smooth: bool) -> Vec<Vec<(usize, f32)>> {
        let ratio = old as f64 / new as f64;
        (0..new)
            .map(|i| {
                let centre = (i as f64 + 0.5) * ratio;
                if !smooth {
                    return vec![((centre as usize).min(old - 1), 1.0)];
                }
                // A tent as wide as the larger of the two pixels: linear interpolation upwards, averaging downwards.
                let reach = ratio.max(1.0);
                let first = (centre - reach - 0.5).floor().max(0.0) as usize;
                let last = ((centre + reach).ceil() as usize).min(old - 1);
                let mut taps: Vec<(usize, f32)> = (first..=last)
                    .map(|k| (k, (1.0 - ((k as f64 + 0.5 - centre) / reach).abs()).max(0.0) as f32))
                    .filter(|t| t.1 > 0.0)
                    .collect();
                let total: f32 = taps.iter().map(|t| t.1).sum();
                taps.iter_mut().for_each(|t| t.1 /= total);
                taps
            })
            .collect()
    }

    pub fn png(&self) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        image::codecs::png::PngEncoder::new(&mut bytes)
            .write_image(&self.rgb, self.cols as u32, self.rows as u32, image::ExtendedColorType::Rgb8)
            .map_err(|e| e.to_string())?;
        Ok(bytes)
    }
}

/// Puts images (x, y, width, height, smooth, raster) before the end of an SVG document, which `plotters` cannot write.
pub(super) fn embed(svg: &str, images: &[(i32, i32, u32, u32, bool, Raster)]) -> Result<String, String> {
    let end = svg.rfind("</svg>").unwrap_or(svg.len());
    let mut out = svg[..end].to_string();
    for (x, y, w, h, smooth, raster) in images {
        let rendering = if *smooth { "auto" } else { "pixelated" };
        out.push_str(&format!(
            "<image x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" preserveAspectRatio=\"none\" \
             style=\"image-rendering:{rendering}\" href=\"data:image/png;base64,{}\"/>\n",
            base64(&raster.png()?)
        ));
    }
    out.push_str("</svg>\n");
    Ok(out)
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().enumerate().fold(0u32, |w, (i, b)| w | (*b as u32) << (16 - 8 * i));
        for digit in 0..4 {
            let used = digit <= chunk.len();
            out.push(if used { DIGITS[(word >> (18 - 6 * digit)) as usize & 63] as char } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_gives_the_examples_of_rfc_4648() {
        for (plain, code) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(plain.as_bytes()), code);
        }
    }

    #[test]
    fn resizing_keeps_a_constant_and_the_mean() {
        let flat = Raster::new(7, 5, vec![93; 105]);
        assert!(flat.resized(20, 3, true).rgb.iter().all(|v| *v == 93));
        let ramp = Raster::new(1, 8, (0..8).flat_map(|i| [32 * i as u8; 3]).collect());
        let half = ramp.resized(1, 4, true);
        let mean = |r: &Raster| r.rgb.iter().map(|v| *v as f64).sum::<f64>() / r.rgb.len() as f64;
        assert!((mean(&half) - mean(&ramp)).abs() < 1.0);
    }

    #[test]
    fn sharp_resizing_invents_no_colour() {
        let r = Raster::new(1, 2, vec![0, 0, 0, 255, 255, 255]).resized(3, 8, false);
        assert!(r.rgb.iter().all(|v| *v == 0 || *v == 255));
        assert_eq!(r.rgb.iter().filter(|v| **v == 0).count(), 3 * 4 * 3);
    }
}
