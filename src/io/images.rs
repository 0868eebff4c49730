//! Pictures of inputs and results: PNG and JPEG as red, green, blue in [0, 1].
//!
//! Values are the file's sRGB-encoded ones; nothing is linearised. 8- and 16-bit samples become x/255 and x/65535.
//! Transparent pixels are laid over white.

use std::fs;
use std::io::{BufReader, Cursor};
use std::path::Path;

use image::imageops::FilterType;
use image::{ImageBuffer, ImageFormat, ImageReader, Rgb, RgbImage};

use super::arrays::regular_file;
use super::output::beside;
use crate::error::{Error, Result};

/// Row by row from the top; three values per pixel.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    pub rows: usize,
    pub cols: usize,
    pub rgb: Vec<f64>,
}

/// What decoding a picture may allocate: 512 megapixels of 8-bit colour.
const MAX_ALLOC: u64 = 2 << 30;

/// (rows, columns) from the header alone. Errors are sentences without the path, as for [`super::ArrayFile`].
pub fn size(path: &Path) -> std::result::Result<(usize, usize), String> {
    let (width, height) = reader(path)?.into_dimensions().map_err(describe)?;
    Ok((height as usize, width as usize))
}

fn reader(path: &Path) -> std::result::Result<ImageReader<BufReader<fs::File>>, String> {
    let cannot = |e: std::io::Error| format!("cannot be read: {e}");
    regular_file(path)?;
    let mut reader = ImageReader::open(path).and_then(|r| r.with_guessed_format()).map_err(cannot)?;
    match reader.format() {
        Some(ImageFormat::Png | ImageFormat::Jpeg) if has_magic(path).map_err(cannot)? => {}
        _ => return Err("not a PNG or JPEG image".into()),
    }
    let mut limits = image::Limits::default();
    limits.max_alloc = Some(MAX_ALLOC);
    reader.limits(limits);
    Ok(reader)
}

/// Whether the content, not the name, is that of a PNG or JPEG.
fn has_magic(path: &Path) -> std::io::Result<bool> {
    use std::io::Read;
    let mut magic = Vec::new();
    fs::File::open(path)?.take(8).read_to_end(&mut magic)?;
    Ok(magic.starts_with(b"\x89PNG\r\n\x1a\n") || magic.starts_with(b"\xff\xd8\xff"))
}

fn describe(error: image::ImageError) -> String {
    match error {
        image::ImageError::Limits(_) => format!("absurdly large image: {error}"),
        _ => format!("unreadable image (truncated or damaged): {error}"),
    }
}

impl Image {
    pub fn read(path: &Path) -> std::result::Result<Self, String> {
        let decoded = reader(path)?.decode().map_err(describe)?;
        let (rows, cols) = (decoded.height() as usize, decoded.width() as usize);
        let over_white = |p: [f64; 4]| [0, 1, 2].map(|c| if p[3] == 1.0 { p[c] } else { p[c] * p[3] + 1.0 - p[3] });
        let eight_bit = decoded.color().bytes_per_pixel() == decoded.color().channel_count();
        let rgb = if eight_bit {
            decoded.to_rgba8().pixels().flat_map(|p| over_white(p.0.map(|x| f64::from(x) / 255.0))).collect()
        } else {
            decoded.to_rgba16().pixels().flat_map(|p| over_white(p.0.map(|x| f64::from(x) / 65535.0))).collect()
        };
        Ok(Image { rows, cols, rgb })
    }

    /// sRGB values as bytes.
    pub fn bytes(&self) -> Vec<u8> {
        self.rgb.iter().map(|v| (v * 255.0).round().clamp(0.0, 255.0) as u8).collect()
    }

    /// Grey values by the Rec. 709 luma weights, taken on the encoded values (Y', not luminance).
    pub fn luma(&self) -> Vec<f64> {
        self.rgb.as_chunks().0.iter().map(|[r, g, b]| 0.2126 * r + 0.7152 * g + 0.0722 * b).collect()
    }

    /// The picture at another size by a Lanczos filter (three lobes), cut to [0, 1].
    pub fn resized(&self, rows: usize, cols: usize) -> Self {
        if (rows, cols) == (self.rows, self.cols) {
            return self.clone();
        }
        let raw = self.rgb.iter().map(|&x| x as f32).collect();
        let buffer: Option<ImageBuffer<Rgb<f32>, Vec<f32>>> =
            ImageBuffer::from_raw(self.cols as u32, self.rows as u32, raw);
        let buffer = buffer.expect("an image holds rows × cols pixels");
        let resized = image::imageops::resize(&buffer, cols as u32, rows as u32, FilterType::Lanczos3);
        Image { rows, cols, rgb: resized.into_raw().into_iter().map(|x| f64::from(x).clamp(0.0, 1.0)).collect() }
    }

    /// An 8-bit PNG, through a temporary name. Values outside [0, 1] are cut.
    pub fn write_png(&self, path: &Path) -> Result<()> {
        let raw = self.rgb.iter().map(|x| (x * 255.0).round() as u8).collect();
        let buffer = RgbImage::from_raw(self.cols as u32, self.rows as u32, raw);
        let buffer = buffer.expect("an image holds rows × cols pixels");
        let mut bytes = Cursor::new(Vec::new());
        buffer.write_to(&mut bytes, ImageFormat::Png).map_err(|e| Error::file(path, e))?;
        write_atomically(path, bytes.get_ref())
    }
}

/// A small file, whole or not at all: written beside its place, forced to disk, renamed.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    use std::io::Write;
    let temporary = beside(path, ".tmp");
    let write = || -> std::io::Result<()> {
        let mut file = fs::File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        super::output::sync_directory(path)
    };
    write().map_err(|e| {
        // Nothing to add when it cannot be removed: the error that brought us here says more.
        let _ = fs::remove_file(&temporary);
        Error::file(path, e)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkers(rows: usize, cols: usize) -> Image {
        let pixel = |i: usize| [(i % 256) as f64 / 255.0, (i / 3 % 256) as f64 / 255.0, 0.2];
        Image { rows, cols, rgb: (0..rows * cols).flat_map(pixel).collect() }
    }

    #[test]
    fn a_png_of_8_bit_values_comes_back_exactly() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("picture.png");
        let image = checkers(37, 53);
        image.write_png(&path).unwrap();
        assert_eq!(size(&path), Ok((37, 53)));
        assert_eq!(Image::read(&path), Ok(image));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn sixteen_bits_and_transparency_are_kept_and_laid_over_white() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep.png");
        let deep: ImageBuffer<image::Rgba<u16>, Vec<u16>> =
            ImageBuffer::from_raw(2, 1, vec![1, 2, 3, 65535, 65535, 0, 0, 0]).unwrap();
        deep.save(&path).unwrap();
        let image = Image::read(&path).unwrap();
        assert_eq!(image.rgb, [1.0 / 65535.0, 2.0 / 65535.0, 3.0 / 65535.0, 1.0, 1.0, 1.0]);
    }

    #[test]
    fn luma_is_rec_709_and_resizing_keeps_a_flat_picture() {
        let flat = Image { rows: 8, cols: 6, rgb: [1.0, 0.5, 0.0].repeat(48) };
        assert!(flat.luma().iter().all(|y| (y - 0.5702).abs() < 1e-12));
        let small = flat.resized(3, 2);
        assert_eq!((small.rows, small.cols, small.rgb.len()), (3, 2, 18));
        assert!(small.rgb.iter().zip([1.0, 0.5, 0.0].repeat(6)).all(|(a, b)| (a - b).abs() < 1e-6), "{small:?}");
    }

    #[test]
    fn unreadable_pictures_are_refused_in_words() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, bytes: &[u8]| {
            let path = dir.path().join(name);
            fs::write(&path, bytes).unwrap();
            path
        };
        assert_eq!(size(&dir.path().join("none.png")).unwrap_err(), "no such file");
        assert!(size(dir.path()).unwrap_err().starts_with("is a directory"));
        assert_eq!(Image::read(&put("text.png", b"no picture")).unwrap_err(), "not a PNG or JPEG image");
        assert_eq!(Image::read(&put("empty.jpg", b"")).unwrap_err(), "not a PNG or JPEG image");
        let good = dir.path().join("good.png");
        checkers(64, 64).write_png(&good).unwrap();
        let mut bytes = fs::read(&good).unwrap();
        let error = Image::read(&put("half.png", &bytes[..bytes.len() / 2])).unwrap_err();
        assert!(error.contains("truncated or damaged"), "{error}");
        // 2^30 × 2^30 pixels in the header: refused before anything is allocated.
        bytes[16..24].copy_from_slice(&[0x40, 0, 0, 0, 0x40, 0, 0, 0]);
        let error = Image::read(&put("absurd.png", &bytes)).unwrap_err();
        assert!(error.contains("image"), "{error}");
    }
}
