//! The NumPy format: the header, and values of any real type as f64.
//!
//! `\x93NUMPY`, version (2 bytes), header length (2 bytes little-endian; 4 from version 2 on), then a Python
//! dictionary with `descr`, `fortran_order` and `shape`, then the values.

use std::io::Read;

use super::h5::Outcome;

/// What a `.npy` header says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Header {
    pub descr: Descr,
    pub fortran: bool,
    pub shape: Vec<usize>,
    /// Bytes before the first value.
    pub offset: u64,
}

/// A type such as `<f8`: byte order, kind, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Descr {
    big_endian: bool,
    kind: u8,
    pub size: usize,
}

impl Descr {
    fn parse(text: &str) -> Outcome<Self> {
        let refuse = || format!("values of type '{text}' are not supported; use real numbers such as float64");
        let [order, kind, digits @ ..] = text.as_bytes() else { return Err(refuse()) };
        let size = std::str::from_utf8(digits).ok().and_then(|d| d.parse().ok()).ok_or_else(refuse)?;
        let known = matches!((kind, size), (b'f', 4 | 8) | (b'i' | b'u', 1 | 2 | 4 | 8) | (b'b', 1));
        if !known || !matches!(order, b'<' | b'>' | b'|' | b'=') {
            return Err(refuse());
        }
        Ok(Descr { big_endian: *order == b'>', kind: *kind, size })
    }

    pub fn name(&self) -> String {
        match self.kind {
            b'f' => format!("float{}", 8 * self.size),
            b'i' => format!("int{}", 8 * self.size),
            b'u' => format!("uint{}", 8 * self.size),
            _ => "bool".into(),
        }
    }

    /// Appends the values in `bytes` to `out` as f64.
    pub fn decode(&self, bytes: &[u8], out: &mut Vec<f64>) {
        macro_rules! as_f64 {
            ($t:ty) => {
                out.extend(
                    bytes.as_chunks().0.iter().map(|&b| {
                        (if self.big_endian { <$t>::from_be_bytes(b) } else { <$t>::from_le_bytes(b) }) as f64
                    }),
                )
            };
        }
        match (self.kind, self.size) {
            (b'f', 4) => as_f64!(f32),
            (b'f', _) => as_f64!(f64),
            (b'i', 1) => as_f64!(i8),
            (b'i', 2) => as_f64!(i16),
            (b'i', 4) => as_f64!(i32),
            (b'i', _) => as_f64!(i64),
            (b'u', 2) => as_f64!(u16),
            (b'u', 4) => as_f64!(u32),
            (b'u', 8) => as_f64!(u64),
            _ => as_f64!(u8),
        }
    }
}

impl Header {
    /// Reads the header from the start of a file or of an archive's member.
    pub fn read(from: &mut impl Read) -> Outcome<Self> {
        let short = |_| "truncated: the NumPy header is incomplete".to_string();
        let mut start = [0u8; 8];
        from.read_exact(&mut start).map_err(short)?;
        if &start[..6] != b"\x93NUMPY" {
            return Err("not a NumPy file".into());
        }
        let mut length = [0u8; 4];
        let width = if start[6] == 1 { 2 } else { 4 };
        from.read_exact(&mut length[..width]).map_err(short)?;
        let length = u32::from_le_bytes(length);
        if start[6] > 3 || length > 1 << 20 {
            return Err(format!("not a NumPy file that can be read: version {}, header of {length} bytes", start[6]));
        }
        let mut text = vec![0; length as usize];
        from.read_exact(&mut text).map_err(short)?;
        let text = String::from_utf8_lossy(&text);
        let broken = || format!("malformed NumPy header {}", text.trim());
        let descr = value_of(&text, "descr").ok_or_else(broken)?;
        if descr.starts_with('[') {
            return Err("structured arrays are not supported; save one plain array".into());
        }
        let descr = Descr::parse(descr.split(['\'', '"']).nth(1).ok_or_else(broken)?)?;
        let fortran = match value_of(&text, "fortran_order").ok_or_else(broken)? {
            v if v.starts_with("True") => true,
            v if v.starts_with("False") => false,
            _ => return Err(broken()),
        };
        let tuple = value_of(&text, "shape").and_then(|v| v.strip_prefix('(')).ok_or_else(broken)?;
        let tuple = tuple.split(')').next().unwrap_or_default();
        let axes = tuple.split(',').map(str::trim).filter(|a| !a.is_empty());
        let shape: Vec<usize> = axes
            .map(|a| a.parse().map_err(|_| format!("absurd shape ({tuple}) in NumPy header")))
            .collect::<Outcome<_>>()?;
        let header = Header { descr, fortran, shape, offset: 8 + width as u64 + u64::from(length) };
        header.bytes()?;
        Ok(header)
    }

    /// Bytes of all values.
    pub fn bytes(&self) -> Outcome<u64> {
        let count = self.shape.iter().try_fold(self.descr.size as u64, |n, &axis| n.checked_mul(axis as u64));
        count.filter(|&n| n < 1 << 62).ok_or_else(|| format!("absurd shape {:?} in NumPy header", self.shape))
    }

    /// Refuses a member or file of `length` bytes that cannot hold what the header promises.
    pub fn check_length(&self, length: u64) -> Outcome<()> {
        let (need, have) = (self.bytes()?, length.saturating_sub(self.offset));
        if have < need {
            return Err(format!(
                "truncated: {} values of shape {:?} need {need} bytes, {have} are there",
                self.descr.name(),
                self.shape
            ));
        }
        Ok(())
    }
}

/// What follows `'key':` in a printed dictionary.
fn value_of<'a>(dictionary: &'a str, key: &str) -> Option<&'a str> {
    let after = ['\'', '"'].iter().find_map(|q| dictionary.split_once(&format!("{q}{key}{q}")))?.1;
    Some(after.trim_start().strip_prefix(':')?.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn npy(dictionary: &str) -> Vec<u8> {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((dictionary.len() as u16).to_le_bytes());
        bytes.extend(dictionary.as_bytes());
        bytes
    }

    #[test]
    fn headers_are_understood_whatever_their_spacing() {
        for text in [
            "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 4), }   \n",
            "{\"shape\":(3,4),\"fortran_order\":False,\"descr\":\"<f8\"}",
        ] {
            let header = Header::read(&mut &npy(text)[..]).unwrap();
            assert_eq!((header.shape.as_slice(), header.fortran), (&[3, 4][..], false));
            assert_eq!(header.descr.name(), "float64");
            assert_eq!(header.bytes(), Ok(96));
        }
    }

    #[test]
    fn values_of_every_type_and_byte_order_become_f64() {
        let one = |descr: &str, bytes: &[u8]| {
            let mut out = vec![];
            Descr::parse(descr).unwrap().decode(bytes, &mut out);
            out
        };
        assert_eq!(one(">f4", &(-1.5f32).to_be_bytes()), [-1.5]);
        assert_eq!(one("<i2", &[0xfe, 0xff, 1, 0]), [-2.0, 1.0]);
        assert_eq!(one(">i2", &[0xff, 0xfe]), [-2.0]);
        assert_eq!(one("|u1", &[255]), [255.0]);
        assert_eq!(one("<u8", &7u64.to_le_bytes()), [7.0]);
        assert_eq!(one("|b1", &[1, 0]), [1.0, 0.0]);
    }

    #[test]
    fn absurd_and_malformed_headers_are_refused_in_words() {
        let fails = |text: &str| Header::read(&mut &npy(text)[..]).unwrap_err();
        let with_shape = |shape: &str| fails(&format!("{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}}}"));
        assert!(with_shape("(1000000000000, 1000000000000)").contains("absurd shape"));
        assert!(with_shape("(99999999999999999999999,)").contains("absurd shape"));
        assert!(with_shape("(-3,)").contains("absurd shape"));
        assert!(fails("{'descr': '<c16', 'fortran_order': False, 'shape': (2,)}").contains("'<c16'"));
        assert!(fails("{'descr': [('x', '<f8')], 'fortran_order': False, 'shape': (2,)}").contains("structured"));
        assert!(fails("{'fortran_order': False}").contains("malformed"));
        assert!(Header::read(&mut &b"\x93NUMPY\x01"[..]).unwrap_err().contains("truncated"));
        assert!(Header::read(&mut &b"P6 3 4 255 xx"[..]).unwrap_err().contains("not a NumPy file"));
    }
}
