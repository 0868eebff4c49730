//! Points as the kernels read them: scaled, in blocks of one vector of points, coordinate by coordinate.

use bytemuck::{Pod, Zeroable};

use super::lanes::Element;

/// A cache line, so that vectors of elements start on one.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// A vector of elements aligned to 64 bytes.
pub struct Aligned<E> {
    lines: Vec<Line>,
    len: usize,
    element: std::marker::PhantomData<E>,
}

impl<E: Element> Aligned<E> {
    pub fn zeros(len: usize) -> Aligned<E> {
        let lines = vec![Line([0; 64]); (len * size_of::<E>()).div_ceil(64)];
        Aligned { lines, len, element: std::marker::PhantomData }
    }

    pub fn as_slice(&self) -> &[E] {
        &bytemuck::cast_slice(&self.lines)[..self.len]
    }

    pub fn as_mut_slice(&mut self) -> &mut [E] {
        let len = self.len;
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..len]
    }

    /// First element; without the checks of a slice, for inner loops.
    #[inline(always)]
    pub fn pointer(&self) -> *const E {
        self.lines.as_ptr().cast()
    }

    pub fn bytes(&self) -> usize {
        self.lines.len() * 64
    }
}

impl<E: Element> AsRef<[E]> for Aligned<E> {
    fn as_ref(&self) -> &[E] {
        self.as_slice()
    }
}

impl<E: Element> AsMut<[E]> for Aligned<E> {
    fn as_mut(&mut self) -> &mut [E] {
        self.as_mut_slice()
    }
}

/// n points in blocks of `lanes` points; coordinate k of point i stands at ((i / lanes)·d + k)·lanes + i % lanes.
/// Padded with points at 0 to an even number of blocks.
pub struct Cloud<E> {
    dimension: usize,
    points: Aligned<E>,
    norms: Option<Aligned<E>>,
}

impl<E: Element> Cloud<E> {
    const LANES: usize = 64 / size_of::<E>();

    /// `scaled(i, x)` writes the scaled point i into x. `with_norms`: |x_i|² of the scaled points is kept as well.
    pub fn new(n: usize, dimension: usize, with_norms: bool, scaled: impl Fn(usize, &mut [f64])) -> Cloud<E> {
        let lanes = Self::LANES;
        let padded = n.next_multiple_of(2 * lanes);
        let mut points = Aligned::zeros(padded * dimension);
        let mut norms = with_norms.then(|| Aligned::zeros(padded));
        let slice = points.as_mut_slice();
        let mut point = vec![0.0; dimension];
        for i in 0..n {
            let mut square = 0.0;
            scaled(i, &mut point);
            for (k, &x) in point.iter().enumerate() {
                let x = E::from_f64(x);
                slice[((i / lanes) * dimension + k) * lanes + i % lanes] = x;
                square += x.to_f64() * x.to_f64();
            }
            if let Some(norms) = &mut norms {
                norms.as_mut_slice()[i] = E::from_f64(square);
            }
        }
        Cloud { dimension, points, norms }
    }

    #[inline(always)]
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    #[inline(always)]
    pub fn coordinate(&self, i: usize, k: usize) -> E {
        self.points.as_slice()[((i / Self::LANES) * self.dimension + k) * Self::LANES + i % Self::LANES]
    }

    /// |x_i|² of the scaled point.
    #[inline(always)]
    pub fn square(&self, i: usize) -> f64 {
        (0..self.dimension).map(|k| self.coordinate(i, k).to_f64().powi(2)).sum()
    }

    /// |x|² of the scaled points of block v, in D dimensions.
    #[inline(always)]
    pub fn squares<const D: usize>(&self, v: usize) -> impl Iterator<Item = f64> {
        let block = &self.points.as_slice()[v * D * Self::LANES..][..D * Self::LANES];
        (0..Self::LANES).map(move |lane| (0..D).map(|k| block[k * Self::LANES + lane].to_f64().powi(2)).sum())
    }

    /// First coordinate of point i; the next ones follow at steps of `lanes`.
    #[inline(always)]
    pub fn row(&self, i: usize) -> *const E {
        &self.points.as_slice()[(i / Self::LANES) * self.dimension * Self::LANES + i % Self::LANES]
    }

    /// First coordinates of block v.
    #[inline(always)]
    pub fn block(&self, v: usize) -> *const E {
        self.points.pointer().wrapping_add(v * self.dimension * Self::LANES)
    }

    #[inline(always)]
    pub fn norm(&self, i: usize) -> E {
        self.norms.as_ref().expect("a cloud of the product form keeps its norms").as_slice()[i]
    }

    /// |x|² of block v.
    #[inline(always)]
    pub fn norms(&self, v: usize) -> *const E {
        let norms = self.norms.as_ref().expect("a cloud of the product form keeps its norms");
        norms.as_slice().as_ptr().wrapping_add(v * Self::LANES)
    }
}
