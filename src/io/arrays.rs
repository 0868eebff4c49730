//! Arrays of inputs: HDF5, NumPy (`.npy`, `.npz`) and text (`.csv` and its kin), as rows of f64.
//!
//! Opening reads headers only (text is read whole); reading takes rows, so that each rank reads its own where the
//! format allows: HDF5 and `.npy` do, a member of a `.npz` is decompressed up to the last row wanted, and once to its
//! end, where its checksum is compared.
//! Errors are sentences without a path or key; the caller, who knows the key of the input, adds them.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use hdf5::types::TypeDescriptor;

use super::h5::{self, Kind, text};
use super::npy::Header;
use super::read::{datasets_of, groups_of, is_placeholder};

/// An array in a file, known by its header.
#[derive(Debug)]
pub struct ArrayFile {
    path: PathBuf,
    source: Source,
    shape: Vec<usize>,
    dtype: String,
}

#[derive(Debug)]
enum Source {
    Hdf5(hdf5::Dataset),
    Npy(Header),
    /// The member's index in the archive, and whether its checksum was compared.
    Npz(usize, Header, AtomicBool),
    Text(Vec<f64>),
}

type Outcome<T> = std::result::Result<T, String>;

impl ArrayFile {
    /// Opens by content, whatever the file is called. `dataset` names an HDF5 dataset or a member of a `.npz`; it may
    /// be left out when there is only one.
    pub fn open(path: &Path, dataset: Option<&str>) -> Outcome<Self> {
        let what = regular_file(path)?;
        let mut file = File::open(path).map_err(|e| unreadable(&e))?;
        let mut magic = Vec::new();
        file.by_ref().take(8).read_to_end(&mut magic).map_err(|e| unreadable(&e))?;
        if magic.is_empty() {
            return Err("the file is empty".into());
        }
        file.rewind().map_err(|e| unreadable(&e))?;
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
        let path = path.to_path_buf();
        let alone = |kind: &str| match dataset {
            Some(name) => Err(format!("a {kind} holds one array; leave out the dataset \"{name}\"")),
            None => Ok(()),
        };
        if magic.starts_with(b"\x89HDF\r\n\x1a\n") {
            return open_hdf5(path, dataset);
        }
        if magic.starts_with(b"PK") {
            return open_npz(path, file, dataset);
        }
        match extension.as_str() {
            "h5" | "hdf5" | "hdf" | "he5" | "nc" => Err("not an HDF5 file".into()),
            "npz" => Err("not a NumPy archive (.npz)".into()),
            _ if magic.starts_with(b"\x93NUMPY") || extension == "npy" => {
                alone(".npy file")?;
                let header = Header::read(&mut BufReader::new(file))?;
                header.check_length(what.len())?;
                let (shape, dtype) = (header.shape.clone(), header.descr.name());
                Ok(ArrayFile { path, source: Source::Npy(header), shape, dtype })
            }
            "csv" | "tsv" | "txt" | "dat" | "xyz" | "" => {
                alone("text file")?;
                let (values, rows, columns) = read_text(file)?;
                let shape = if columns == 1 { vec![rows] } else { vec![rows, columns] };
                Ok(ArrayFile { path, source: Source::Text(values), shape, dtype: "text".into() })
            }
            other => Err(format!("unknown format \".{other}\"; expected HDF5, .npy, .npz or .csv")),
        }
    }

    /// Text of one column is a list; all other shapes are as stored.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The stored type in words: `float64`, `int32`, `text`, …
    pub fn dtype(&self) -> &str {
        &self.dtype
    }

    /// Refuses an array that has not `axes` axes or has an axis of length 0.
    pub fn expect_axes(&self, axes: usize) -> Outcome<()> {
        if self.shape.len() != axes {
            return Err(format!("has shape {:?}, expected {axes} axes", self.shape));
        }
        if self.shape.contains(&0) {
            return Err(format!("is empty (shape {:?})", self.shape));
        }
        Ok(())
    }

    /// Values per row: the product of all axes but the first.
    pub fn row_len(&self) -> usize {
        self.shape.iter().skip(1).product()
    }

    /// All rows.
    pub fn read(&self) -> Outcome<Vec<f64>> {
        self.read_rows(0..self.shape.first().copied().unwrap_or(1))
    }

    /// Rows `rows` of the first axis as f64, in C order. A 0-d array is one row.
    ///
    /// # Panics
    /// When the rows are not in the array.
    pub fn read_rows(&self, rows: Range<usize>) -> Outcome<Vec<f64>> {
        let all = self.shape.first().copied().unwrap_or(1);
        assert!(rows.start <= rows.end && rows.end <= all, "rows {rows:?} of {all}");
        let row = self.row_len();
        let count = rows.len().checked_mul(row).filter(|n| n.checked_mul(8).is_some());
        let count = count.ok_or_else(|| format!("absurd shape {:?}", self.shape))?;
        let mut out: Vec<f64> = Vec::new();
        out.try_reserve_exact(count).map_err(|_| format!("{count} values do not fit in memory"))?;
        if count == 0 {
            return Ok(out);
        }
        match &self.source {
            Source::Text(values) => out.extend_from_slice(&values[rows.start * row..rows.end * row]),
            Source::Hdf5(dataset) => {
                out.resize(count, 0.0);
                let (mut start, mut extent) = (vec![0; self.shape.len()], self.shape.clone());
                if let (Some(s), Some(e)) = (start.first_mut(), extent.first_mut()) {
                    (*s, *e) = (rows.start, rows.len());
                }
                h5::read(dataset, Kind::F64, &start, &extent, bytemuck::cast_slice_mut(&mut out))?;
            }
            Source::Npy(header) => {
                let mut file = File::open(&self.path).map_err(|e| unreadable(&e))?;
                if header.fortran && self.shape.len() > 1 {
                    read_fortran(header, &rows, &mut out, |at, bytes| {
                        file.seek(SeekFrom::Start(header.offset + at)).and_then(|_| file.read_exact(bytes))
                    })?;
                } else {
                    let first = header.offset + (rows.start * row * header.descr.size) as u64;
                    file.seek(SeekFrom::Start(first)).map_err(|e| unreadable(&e))?;
                    read_values(header, &mut file, count, &mut out)?;
                }
            }
            Source::Npz(index, header, compared) => {
                let mut archive = archive(File::open(&self.path).map_err(|e| unreadable(&e))?)?;
                let mut member = archive.by_index(*index).map_err(|e| e.to_string())?;
                let fortran = header.fortran && self.shape.len() > 1;
                let skip = header.offset + if fortran { 0 } else { (rows.start * row * header.descr.size) as u64 };
                let skipped = std::io::copy(&mut member.by_ref().take(skip), &mut std::io::sink());
                skipped.map_err(|e| unreadable(&e))?;
                if fortran {
                    let mut whole = Vec::new();
                    member.by_ref().take(header.bytes()?).read_to_end(&mut whole).map_err(|e| unreadable(&e))?;
                    read_fortran(header, &rows, &mut out, |at, mut bytes| {
                        let at = usize::try_from(at).unwrap_or(usize::MAX).min(whole.len());
                        std::io::copy(&mut whole[at..].take(bytes.len() as u64), &mut bytes).map(drop)
                    })?;
                } else {
                    read_values(header, &mut member, count, &mut out)?;
                }
                // Once is enough where a file is read row by row.
                if !compared.load(Ordering::Relaxed) {
                    std::io::copy(&mut member, &mut std::io::sink()).map_err(|e| format!("damaged archive: {e}"))?;
                    compared.store(true, Ordering::Relaxed);
                }
            }
        }
        Ok(out)
    }
}

/// The first value that is NaN or infinite, as (row, column).
pub fn first_not_finite(values: &[f64], row_len: usize) -> Option<(usize, usize)> {
    values.iter().position(|v| !v.is_finite()).map(|i| (i / row_len.max(1), i % row_len.max(1)))
}

/// What the system says of a file that can be read to its end. A pipe or a device could keep its reader waiting for ever.
pub fn regular_file(path: &Path) -> Outcome<std::fs::Metadata> {
    let what = std::fs::metadata(path).map_err(|e| unreadable(&e))?;
    if what.is_file() {
        return Ok(what);
    }
    Err(if what.is_dir() { "is a directory, expected a file" } else { "is a pipe or a device, expected a file" }.into())
}

fn unreadable(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "no such file".into(),
        std::io::ErrorKind::PermissionDenied => "not readable (permission denied)".into(),
        std::io::ErrorKind::UnexpectedEof => "truncated: the file ends before its data".into(),
        _ => format!("cannot be read: {error}"),
    }
}

/// Decodes `count` values that lie in a row, a mebibyte at a time.
fn read_values(header: &Header, from: &mut impl Read, count: usize, out: &mut Vec<f64>) -> Outcome<()> {
    let mut buffer = vec![0; (1 << 20).min(count * header.descr.size)];
    let mut left = count * header.descr.size;
    while left > 0 {
        let part = left.min(buffer.len());
        from.read_exact(&mut buffer[..part]).map_err(|e| unreadable(&e))?;
        header.descr.decode(&buffer[..part], out);
        left -= part;
    }
    Ok(())
}

/// Rows of an array in Fortran order: for each combination of the other axes the rows lie together.
fn read_fortran(
    header: &Header,
    rows: &Range<usize>,
    out: &mut Vec<f64>,
    mut read_at: impl FnMut(u64, &mut [u8]) -> std::io::Result<()>,
) -> Outcome<()> {
    let rest = &header.shape[1..];
    let width: usize = rest.iter().product();
    out.resize(rows.len() * width, 0.0);
    let size = header.descr.size;
    let mut bytes = vec![0; rows.len() * size];
    let mut column = Vec::with_capacity(rows.len());
    for f in 0..width {
        read_at(((f * header.shape[0] + rows.start) * size) as u64, &mut bytes).map_err(|e| unreadable(&e))?;
        column.clear();
        header.descr.decode(&bytes, &mut column);
        // The same combination counted with the last axis fastest.
        let (mut left, mut stride, mut c) = (f, width, 0);
        for &n in rest {
            stride /= n;
            c += left % n * stride;
            left /= n;
        }
        column.iter().enumerate().for_each(|(i, &x)| out[i * width + c] = x);
    }
    Ok(())
}

/// One of `available`: the one called `wanted`, or the only one.
fn choose<'a>(wanted: Option<&str>, available: &'a [String], what: &str) -> Outcome<&'a String> {
    let list = || {
        let mut shown: Vec<&str> = available.iter().map(String::as_str).take(20).collect();
        if available.len() > 20 {
            shown.push("…");
        }
        shown.join(", ")
    };
    match (wanted, available) {
        (_, []) => Err(format!("holds no {what}")),
        (None, [only]) => Ok(only),
        (None, _) => Err(format!("holds several {what}s, name one with `dataset`: {}", list())),
        (Some(wanted), _) => available.iter().find(|a| *a == wanted.trim_matches('/')).ok_or_else(|| {
            let close = available.iter().map(|a| (strsim::jaro_winkler(a, wanted), a));
            let close = close.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|c| c.0 > 0.75);
            let hint = close.map_or(String::new(), |(_, a)| format!("; did you mean \"{a}\"?"));
            format!("has no {what} \"{wanted}\"{hint}; it holds: {}", list())
        }),
    }
}

fn open_hdf5(path: PathBuf, dataset: Option<&str>) -> Outcome<ArrayFile> {
    let file = h5::open(&path).map_err(|e| format!("truncated or damaged HDF5 file: {e}"))?;
    let mut names = Vec::new();
    list_datasets(&file, "", 0, &mut names);
    let name = choose(dataset, &names, "dataset")?;
    let dataset = file.dataset(name).map_err(text)?;
    let dtype = match dataset.dtype().and_then(|t| t.to_descriptor()).map_err(text)? {
        TypeDescriptor::Float(size) => format!("float{}", 8 * size as usize),
        TypeDescriptor::Integer(size) => format!("int{}", 8 * size as usize),
        TypeDescriptor::Unsigned(size) => format!("uint{}", 8 * size as usize),
        other => return Err(format!("dataset \"{name}\" has values of type {other}; expected real numbers")),
    };
    let shape = dataset.shape();
    let count = shape.iter().try_fold(8usize, |n, &axis| n.checked_mul(axis));
    let count = count.ok_or_else(|| format!("absurd shape {shape:?}"))?;
    // SAFETY: a live dataset.
    let stored = hdf5::sync::sync(|| unsafe { hdf5_sys::h5d::H5Dget_storage_size(dataset.id()) });
    if count > 0 && stored == 0 {
        return Err(format!("dataset \"{name}\" of shape {shape:?} was never written"));
    }
    Ok(ArrayFile { path, source: Source::Hdf5(dataset), shape, dtype })
}

fn list_datasets(group: &hdf5::Group, prefix: &str, depth: usize, names: &mut Vec<String>) {
    let datasets = datasets_of(group).into_iter().filter(|(_, d)| !is_placeholder(d));
    names.extend(datasets.map(|(name, _)| format!("{prefix}{name}")));
    // Links may form circles.
    if depth < 8 {
        for (name, inner) in groups_of(group) {
            list_datasets(&inner, &format!("{prefix}{name}/"), depth + 1, names);
        }
    }
}

fn archive(file: File) -> Outcome<zip::ZipArchive<BufReader<File>>> {
    zip::ZipArchive::new(BufReader::new(file)).map_err(|e| format!("truncated or damaged archive: {e}"))
}

fn open_npz(path: PathBuf, file: File, dataset: Option<&str>) -> Outcome<ArrayFile> {
    let mut archive = archive(file)?;
    let names: Vec<String> = archive.file_names().filter_map(|n| n.strip_suffix(".npy")).map(str::to_string).collect();
    let name = choose(dataset, &names, "array")?;
    let index = archive.index_for_name(&format!("{name}.npy")).ok_or("damaged archive")?;
    let mut member = archive.by_index(index).map_err(|e| e.to_string())?;
    let header = Header::read(&mut member)?;
    header.check_length(member.size())?;
    let (shape, dtype) = (header.shape.clone(), header.descr.name());
    Ok(ArrayFile { path, source: Source::Npz(index, header, AtomicBool::new(false)), shape, dtype })
}

/// Numbers separated by commas, semicolons or white space; `#` starts a comment, a first line of words is a header.
/// Returns the values, rows and columns.
fn read_text(mut file: File) -> Outcome<(Vec<f64>, usize, usize)> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(|e| unreadable(&e))?;
    let content = std::str::from_utf8(&bytes).map_err(|_| "neither text nor a format that is known".to_string())?;
    let (mut values, mut rows, mut columns) = (Vec::new(), 0, 0);
    let mut header_allowed = true;
    for (number, line) in content.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let cells: Vec<&str> = match [',', ';'].into_iter().find(|&s| line.contains(s)) {
            Some(separator) => line.split(separator).map(|c| c.trim().trim_matches('"')).collect(),
            None => line.split_whitespace().map(|c| c.trim_matches('"')).collect(),
        };
        let is_header = header_allowed && cells.iter().all(|c| c.parse::<f64>().is_err() && !c.is_empty());
        header_allowed = false;
        if is_header {
            continue;
        }
        for (column, cell) in cells.iter().enumerate() {
            let at = || format!("line {}, column {}", number + 1, column + 1);
            values.push(cell.parse::<f64>().map_err(|_| match *cell {
                "" => format!("{}: empty cell, expected a number", at()),
                _ => format!("{}: \"{cell}\" is not a number", at()),
            })?);
        }
        if rows > 0 && cells.len() != columns {
            return Err(format!("line {} has {} cells, the lines before {columns}", number + 1, cells.len()));
        }
        columns = cells.len();
        rows += 1;
    }
    if rows == 0 {
        return Err("holds no numbers".into());
    }
    Ok((values, rows, columns))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    struct Dir(tempfile::TempDir);

    impl Dir {
        fn new() -> Self {
            Dir(tempfile::tempdir().unwrap())
        }
        fn put(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
            let path = self.0.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        }
        /// The error of opening a file of these bytes.
        fn fails(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
            ArrayFile::open(&self.put(name, bytes), None).unwrap_err()
        }
    }

    fn npy(descr: &str, fortran: bool, shape: &str, data: &[u8]) -> Vec<u8> {
        let fortran = if fortran { "True" } else { "False" };
        let mut header = format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}");
        while (header.len() + 11) % 64 > 0 {
            header.push(' ');
        }
        header.push('\n');
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

    fn doubles(n: usize) -> Vec<u8> {
        (0..n).flat_map(|i| (i as f64).to_le_bytes()).collect()
    }

    /// Member `points.npy` and another, compressed.
    fn npz(points: &[u8]) -> Vec<u8> {
        let mut bytes = std::io::Cursor::new(Vec::new());
        let mut writer = zip::ZipWriter::new(&mut bytes);
        for (name, data) in [("points.npy", points), ("weights.npy", &npy("<f8", false, "(2,)", &doubles(2)))] {
            writer.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
            writer.write_all(data).unwrap();
        }
        writer.finish().unwrap();
        bytes.into_inner()
    }

    #[test]
    fn rows_of_numpy_files_are_read_in_either_order() {
        let dir = Dir::new();
        // a[i, j, k] = 100 i + 10 j + k, of shape (4, 2, 3), in Fortran order: i fastest.
        let value = |i: usize, j: usize, k: usize| (100 * i + 10 * j + k) as i32;
        let expected: Vec<f64> =
            (1..3).flat_map(|i| (0..2).flat_map(move |j| (0..3).map(move |k| f64::from(value(i, j, k))))).collect();
        let c: Vec<u8> = (0..24).flat_map(|n| value(n / 6, n / 3 % 2, n % 3).to_be_bytes()).collect();
        let f: Vec<u8> = (0..24).flat_map(|n| value(n % 4, n / 4 % 2, n / 8).to_be_bytes()).collect();
        for (fortran, data) in [(false, &c), (true, &f)] {
            let bytes = npy(">i4", fortran, "(4, 2, 3)", data);
            for (path, name) in [(dir.put("a.npy", &bytes), None), (dir.put("a.npz", npz(&bytes)), Some("points"))] {
                let array = ArrayFile::open(&path, name).unwrap();
                assert_eq!((array.shape(), array.dtype(), array.row_len()), (&[4, 2, 3][..], "int32", 6));
                assert_eq!(array.read_rows(1..3).unwrap(), expected, "fortran: {fortran}, {path:?}");
                assert!(array.read_rows(2..2).unwrap().is_empty());
                assert_eq!(array.read().unwrap().len(), 24);
            }
        }
    }

    #[test]
    fn rows_of_hdf5_are_read_and_names_are_suggested() {
        use crate::io::{Header, Storage, save};
        use crate::state::{Hyperslab, Name};
        let dir = Dir::new();
        let path = dir.0.path().join("data.bin"); // known by its content
        let points = Name { name: "points", units: "m", meaning: "", axes: &["point", "axis"] };
        let mut x: Vec<f32> = (0..12).map(|i| i as f32).collect();
        let whole = Hyperslab::rows(0..4, &[3]);
        save(&path, &Header::default(), Storage::output(0), &crate::team::Solo, &mut |s| {
            s.section("inputs").block(&points, &[4, 3], &whole, (&mut x).into())
        })
        .unwrap();
        let array = ArrayFile::open(&path, Some("inputs/points")).unwrap();
        assert_eq!((array.shape(), array.dtype()), (&[4, 3][..], "float32"));
        assert_eq!(array.read_rows(1..3).unwrap(), [3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
        assert!(array.expect_axes(2).is_ok());
        assert_eq!(array.expect_axes(1).unwrap_err(), "has shape [4, 3], expected 1 axes");
        // Neither the axis `point` nor anything else is offered under a name that is not a dataset's.
        let error = ArrayFile::open(&path, Some("inputs/point")).unwrap_err();
        assert!(error.contains("did you mean \"inputs/points\"?"), "{error}");
        assert_eq!(ArrayFile::open(&path, None).unwrap().shape(), [4, 3], "the only one needs no name");
    }

    #[test]
    fn links_that_lead_nowhere_hide_nothing() {
        let dir = Dir::new();
        let path = dir.0.path().join("links.h5");
        let file = hdf5::File::create(&path).unwrap();
        let points = [0.0, 1.0, 2.0, 3.0];
        file.new_dataset::<f64>().shape((2, 2)).create("points").unwrap().write_raw(&points).unwrap();
        let group = file.create_group("deep").unwrap();
        group.new_dataset::<f64>().shape(4).create("weights").unwrap().write_raw(&points).unwrap();
        for at in [&*file, &group] {
            at.link_soft("/nowhere", "a_soft_link").unwrap();
            at.link_external("absent.h5", "/x", "an_external_link").unwrap();
        }
        drop(group);
        file.close().unwrap();
        assert_eq!(ArrayFile::open(&path, Some("points")).unwrap().read().unwrap(), points);
        assert_eq!(ArrayFile::open(&path, Some("deep/weights")).unwrap().read().unwrap(), points);
        let several = ArrayFile::open(&path, None).unwrap_err();
        assert!(several.ends_with(": points, deep/weights"), "{several}");
        let reader = crate::io::read::Reader::open(&path).unwrap();
        assert_eq!((reader.groups(), reader.datasets("/")), (vec!["deep".to_string()], vec!["points".to_string()]));
        assert_eq!(reader.datasets("deep"), ["weights"]);
    }

    /// A stored member has no redundancy but its checksum.
    #[test]
    fn a_flipped_bit_in_an_archive_is_found() {
        let dir = Dir::new();
        let mut bytes = std::io::Cursor::new(Vec::new());
        let mut writer = zip::ZipWriter::new(&mut bytes);
        let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        writer.start_file("points.npy", stored).unwrap();
        writer.write_all(&npy("<f8", false, "(6,)", &doubles(6))).unwrap();
        writer.finish().unwrap();
        let mut bytes = bytes.into_inner();
        let array = ArrayFile::open(&dir.put("good.npz", &bytes), None).unwrap();
        assert_eq!(array.read_rows(0..1).unwrap(), [0.0]);
        assert_eq!(array.read().unwrap(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        let at = bytes.windows(8).position(|b| b == 5f64.to_le_bytes()).unwrap();
        bytes[at] ^= 1;
        let array = ArrayFile::open(&dir.put("bad.npz", &bytes), None).unwrap();
        for error in [array.read_rows(0..1).unwrap_err(), array.read().unwrap_err()] {
            assert!(error.starts_with("damaged archive: "), "{error}");
        }
    }

    #[test]
    fn text_is_read_with_or_without_a_header() {
        let dir = Dir::new();
        let read = |name: &str, text: &str| {
            let array = ArrayFile::open(&dir.put(name, text), None).unwrap();
            (array.shape().to_vec(), array.read().unwrap())
        };
        let expected = (vec![2, 2], vec![1.0, -2.5, 3e-3, 4.0]);
        assert_eq!(read("a.csv", "x,y\n1, -2.5\n3e-3,4\n"), expected);
        assert_eq!(read("b.csv", "\u{feff}\"x\";\"y\"\r\n1;-2.5\r\n\r\n3e-3;4"), expected);
        assert_eq!(read("c.txt", "# x y\n1   -2.5 # first\n3e-3\t4\n"), expected);
        assert_eq!(read("weights.csv", "0.25\n0.75\n"), (vec![2], vec![0.25, 0.75]));
        let (_, values) = read("d.csv", "1,2\nnan,inf\n");
        assert_eq!(first_not_finite(&values, 2), Some((1, 0)));
        assert_eq!(first_not_finite(&values[..2], 2), None);
    }

    #[test]
    fn what_cannot_be_read_is_said_in_words() {
        let dir = Dir::new();
        let open = |path: &Path| ArrayFile::open(path, None).unwrap_err();
        assert_eq!(open(&dir.0.path().join("none.npy")), "no such file");
        assert_eq!(open(dir.0.path()), "is a directory, expected a file");
        assert_eq!(dir.fails("a.npy", ""), "the file is empty");
        assert_eq!(dir.fails("a.h5", "no HDF5 at all"), "not an HDF5 file");
        assert_eq!(dir.fails("a.npy", "no NumPy at all"), "not a NumPy file");
        assert_eq!(dir.fails("a.npz", "no archive at all"), "not a NumPy archive (.npz)");
        assert!(dir.fails("a.npz", &npz(&doubles(3))[..60]).contains("truncated or damaged archive"));
        assert!(dir.fails("a.h5", b"\x89HDF\r\n\x1a\n and no more").contains("truncated or damaged HDF5 file"));
        assert!(dir.fails("a.xlsx", "something").contains("unknown format \".xlsx\""));
        assert!(dir.fails("a.csv", [0xff, 0xfe, 0x00]).contains("neither text"));
        assert_eq!(dir.fails("a.csv", "x,y\n"), "holds no numbers");
        assert_eq!(dir.fails("a.csv", "1,2\n3,four\n"), "line 2, column 2: \"four\" is not a number");
        assert_eq!(dir.fails("a.csv", "1,2\n3,\n"), "line 2, column 2: empty cell, expected a number");
        assert_eq!(dir.fails("a.csv", "1,2\n\n3\n"), "line 3 has 1 cells, the lines before 2");
        let several = dir.put("b.npz", npz(&npy("<f8", false, "(2,)", &doubles(2))));
        assert_eq!(open(&several), "holds several arrays, name one with `dataset`: points, weights");
        let one = dir.put("b.npy", npy("<f8", false, "(2,)", &doubles(2)));
        assert!(ArrayFile::open(&one, Some("x")).unwrap_err().contains("leave out the dataset \"x\""));
    }

    /// A header that promises 8 TB is refused by the length of the file, before anything is allocated.
    #[test]
    fn a_header_that_promises_more_than_is_there_is_refused() {
        let dir = Dir::new();
        let absurd = npy("<f8", false, "(1000000000000,)", &doubles(4));
        for error in
            [dir.fails("a.npy", &absurd), ArrayFile::open(&dir.put("a.npz", npz(&absurd)), Some("points")).unwrap_err()]
        {
            assert!(
                error.starts_with("truncated: float64 values of shape [1000000000000] need 8000000000000"),
                "{error}"
            );
        }
    }
}
