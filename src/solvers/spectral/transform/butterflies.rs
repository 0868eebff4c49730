//! Transforms of a few numbers per lane, within registers.

use std::f64::consts::FRAC_1_SQRT_2;

use num_complex::Complex;

use super::fft::{Sink, Source};
use super::vector::Vector;
use crate::math::real::Real;

/// Real and imaginary parts of a number in every lane.
pub type Pair<V> = (V, V);

/// Elements `at`, `at + step`, … of a source.
pub struct Input<'a, S> {
    pub source: &'a S,
    pub at: usize,
    pub step: usize,
}

impl<S> Input<'_, S> {
    #[inline(always)]
    unsafe fn take<T: Real, V: Vector<T>>(&self, i: usize) -> Pair<V>
    where
        S: Source<T, V>,
    {
        unsafe { self.source.take(self.at + self.step * i) }
    }
}

/// Elements `at`, `at + step`, … of a sink; if `TURNED`, all but the first are multiplied by the numbers of `w`.
pub struct Output<'a, T, K, const TURNED: bool> {
    pub sink: &'a K,
    pub at: usize,
    pub step: usize,
    pub w: *const Complex<T>,
}

impl<T: Real, K, const TURNED: bool> Output<'_, T, K, TURNED> {
    #[inline(always)]
    unsafe fn put<V: Vector<T>>(&self, j: usize, z: Pair<V>)
    where
        K: Sink<T, V>,
    {
        unsafe {
            if TURNED && j > 0 {
                let w = *self.w.add(j - 1);
                self.sink.put(self.at + self.step * j, times(z, V::splat(w.re), V::splat(w.im)));
            } else {
                self.sink.put(self.at + self.step * j, z);
            }
        }
    }

    #[inline(always)]
    unsafe fn put_four<V: Vector<T>>(&self, first: usize, step: usize, [a, b, c, d]: [Pair<V>; 4])
    where
        K: Sink<T, V>,
    {
        unsafe {
            self.put(first, a);
            self.put(first + step, b);
            self.put(first + 2 * step, c);
            self.put(first + 3 * step, d);
        }
    }
}

/// A transform of length `R` within registers. It takes its numbers when it needs them, so that few are under way; a
/// trait, and without closures, so that all of it is inlined: a function of its own would lose the level's instructions.
pub trait Butterfly<const R: usize> {
    /// # Safety
    /// As [`Vector`]'s methods and those of source and sink.
    unsafe fn apply<T: Real, V: Vector<T>, S: Source<T, V>, K: Sink<T, V>, const TURNED: bool>(
        from: Input<S>,
        to: Output<T, K, TURNED>,
    );
}

macro_rules! butterfly {
    ($r:literal, $from:ident, $to:ident, $body:block) => {
        impl Butterfly<$r> for () {
            #[inline(always)]
            unsafe fn apply<T: Real, V: Vector<T>, S: Source<T, V>, K: Sink<T, V>, const TURNED: bool>(
                $from: Input<S>,
                $to: Output<T, K, TURNED>,
            ) {
                unsafe { $body }
            }
        }
    };
}

butterfly!(2, from, to, {
    let [a, b] = two::<T, V>([from.take(0), from.take(1)]);
    to.put(0, a);
    to.put(1, b);
});

butterfly!(3, from, to, {
    let [a, b, c] = three::<T, V>([from.take(0), from.take(1), from.take(2)]);
    to.put(0, a);
    to.put(1, b);
    to.put(2, c);
});

butterfly!(4, from, to, {
    to.put_four(0, 1, four::<T, V>([from.take(0), from.take(1), from.take(2), from.take(3)]));
});

butterfly!(5, from, to, {
    let b = five::<T, V>([from.take(0), from.take(1), from.take(2), from.take(3), from.take(4)]);
    to.put(0, b[0]);
    to.put_four(1, 1, [b[1], b[2], b[3], b[4]]);
});

// Lengths A · B of factors without a common divisor need no twiddles between them (I. J. Good, J. R. Stat. Soc. B 20 (1958)
// 361): element B i + A j mod AB in, element x k + y l mod AB out, x ≡ (1, 0) and y ≡ (0, 1) mod (A, B).

butterfly!(6, from, to, {
    let a = two::<T, V>([from.take(0), from.take(3)]);
    let b = two::<T, V>([from.take(2), from.take(5)]);
    let c = two::<T, V>([from.take(4), from.take(1)]);
    let (u, v) = (three::<T, V>([a[0], b[0], c[0]]), three::<T, V>([a[1], b[1], c[1]]));
    to.put(0, u[0]);
    to.put(1, v[1]);
    to.put(2, u[2]);
    to.put(3, v[0]);
    to.put(4, u[1]);
    to.put(5, v[2]);
});

butterfly!(8, from, to, {
    let [e0, e1, e2, e3] = four::<T, V>([from.take(0), from.take(2), from.take(4), from.take(6)]);
    let [o0, o1, o2, o3] = four::<T, V>([from.take(1), from.take(3), from.take(5), from.take(7)]);
    let (o1, o3) = (second::<T, V>(o1), sixth::<T, V>(o3));
    let (b2, b6) = turned::<T, V>(e2, o2);
    to.put_four(0, 1, [plus::<T, V>(e0, o0), plus::<T, V>(e1, o1), b2, plus::<T, V>(e3, o3)]);
    to.put_four(4, 1, [minus::<T, V>(e0, o0), minus::<T, V>(e1, o1), b6, minus::<T, V>(e3, o3)]);
});

butterfly!(9, from, to, {
    // cos and −sin of 2π/9, 4π/9 and 8π/9.
    let [w1, w2, w4] = [
        (0.766_044_443_118_978, -0.642_787_609_686_539_4),
        (0.173_648_177_666_930_33, -0.984_807_753_012_208),
        (-0.939_692_620_785_908_4, -0.342_020_143_325_668_7),
    ];
    let t0 = three::<T, V>([from.take(0), from.take(3), from.take(6)]);
    let t1 = three::<T, V>([from.take(1), from.take(4), from.take(7)]);
    let t2 = three::<T, V>([from.take(2), from.take(5), from.take(8)]);
    let x = three::<T, V>([t0[0], t1[0], t2[0]]);
    to.put(0, x[0]);
    to.put(3, x[1]);
    to.put(6, x[2]);
    let y = three::<T, V>([t0[1], times_root(t1[1], w1.0, w1.1), times_root(t2[1], w2.0, w2.1)]);
    to.put(1, y[0]);
    to.put(4, y[1]);
    to.put(7, y[2]);
    let z = three::<T, V>([t0[2], times_root(t1[2], w2.0, w2.1), times_root(t2[2], w4.0, w4.1)]);
    to.put(2, z[0]);
    to.put(5, z[1]);
    to.put(8, z[2]);
});

butterfly!(10, from, to, {
    let a = two::<T, V>([from.take(0), from.take(5)]);
    let b = two::<T, V>([from.take(2), from.take(7)]);
    let c = two::<T, V>([from.take(4), from.take(9)]);
    let d = two::<T, V>([from.take(6), from.take(1)]);
    let e = two::<T, V>([from.take(8), from.take(3)]);
    let u = five::<T, V>([a[0], b[0], c[0], d[0], e[0]]);
    to.put(0, u[0]);
    to.put_four(2, 2, [u[2], u[4], u[1], u[3]]);
    let v = five::<T, V>([a[1], b[1], c[1], d[1], e[1]]);
    to.put(5, v[0]);
    to.put(1, v[1]);
    to.put(7, v[2]);
    to.put(3, v[3]);
    to.put(9, v[4]);
});

butterfly!(12, from, to, {
    let a = three::<T, V>([from.take(0), from.take(4), from.take(8)]);
    let b = three::<T, V>([from.take(3), from.take(7), from.take(11)]);
    let c = three::<T, V>([from.take(6), from.take(10), from.take(2)]);
    let d = three::<T, V>([from.take(9), from.take(1), from.take(5)]);
    let u = four::<T, V>([a[0], b[0], c[0], d[0]]);
    to.put_four(0, 3, [u[0], u[3], u[2], u[1]]);
    let v = four::<T, V>([a[1], b[1], c[1], d[1]]);
    to.put_four(1, 3, [v[1], v[0], v[3], v[2]]);
    let w = four::<T, V>([a[2], b[2], c[2], d[2]]);
    to.put_four(2, 3, [w[2], w[1], w[0], w[3]]);
});

butterfly!(16, from, to, {
    // cos and sin of π/8.
    const C: f64 = 0.923_879_532_511_286_7;
    const S: f64 = 0.382_683_432_365_089_8;
    let t0 = four::<T, V>([from.take(0), from.take(4), from.take(8), from.take(12)]);
    let t1 = four::<T, V>([from.take(1), from.take(5), from.take(9), from.take(13)]);
    let t2 = four::<T, V>([from.take(2), from.take(6), from.take(10), from.take(14)]);
    let t3 = four::<T, V>([from.take(3), from.take(7), from.take(11), from.take(15)]);
    to.put_four(0, 4, four::<T, V>([t0[0], t1[0], t2[0], t3[0]]));
    let u = [t0[1], times_root(t1[1], C, -S), second::<T, V>(t2[1]), times_root(t3[1], S, -C)];
    to.put_four(1, 4, four::<T, V>(u));
    // The fourth root of unity only turns t2[2].
    let (p, q) = (second::<T, V>(t1[2]), sixth::<T, V>(t3[2]));
    let (s, d) = turned::<T, V>(t0[2], t2[2]);
    let (t, e) = (plus::<T, V>(p, q), minus::<T, V>(p, q));
    let (b, c) = turned::<T, V>(d, e);
    to.put_four(2, 4, [plus::<T, V>(s, t), b, minus::<T, V>(s, t), c]);
    let u = [t0[3], times_root(t1[3], S, -C), sixth::<T, V>(t2[3]), times_root(t3[3], -C, S)];
    to.put_four(3, 4, four::<T, V>(u));
});

/// z (c + i d).
#[inline(always)]
unsafe fn times<T: Real, V: Vector<T>>(z: Pair<V>, c: V, d: V) -> Pair<V> {
    unsafe { (z.0.mul_sub(c, z.1.mul(d)), z.0.mul_add(d, z.1.mul(c))) }
}

#[inline(always)]
unsafe fn times_root<T: Real, V: Vector<T>>(z: Pair<V>, c: f64, d: f64) -> Pair<V> {
    unsafe { times(z, V::splat(T::of(c)), V::splat(T::of(d))) }
}

#[inline(always)]
unsafe fn plus<T: Real, V: Vector<T>>(a: Pair<V>, b: Pair<V>) -> Pair<V> {
    unsafe { (a.0.add(b.0), a.1.add(b.1)) }
}

#[inline(always)]
unsafe fn minus<T: Real, V: Vector<T>>(a: Pair<V>, b: Pair<V>) -> Pair<V> {
    unsafe { (a.0.sub(b.0), a.1.sub(b.1)) }
}

/// a − i b and a + i b.
#[inline(always)]
unsafe fn turned<T: Real, V: Vector<T>>(a: Pair<V>, b: Pair<V>) -> (Pair<V>, Pair<V>) {
    unsafe { ((a.0.add(b.1), a.1.sub(b.0)), (a.0.sub(b.1), a.1.add(b.0))) }
}

#[inline(always)]
unsafe fn two<T: Real, V: Vector<T>>(a: [Pair<V>; 2]) -> [Pair<V>; 2] {
    unsafe { [plus(a[0], a[1]), minus(a[0], a[1])] }
}

#[inline(always)]
unsafe fn three<T: Real, V: Vector<T>>(a: [Pair<V>; 3]) -> [Pair<V>; 3] {
    unsafe {
        let (half, sine) = (V::splat(T::of(0.5)), V::splat(T::of(0.866_025_403_784_438_6)));
        let (t, d) = (plus(a[1], a[2]), minus(a[1], a[2]));
        let m = (t.0.neg_mul_add(half, a[0].0), t.1.neg_mul_add(half, a[0].1));
        let (b, c) = turned(m, (d.0.mul(sine), d.1.mul(sine)));
        [plus(a[0], t), b, c]
    }
}

#[inline(always)]
unsafe fn four<T: Real, V: Vector<T>>(a: [Pair<V>; 4]) -> [Pair<V>; 4] {
    unsafe {
        let (s, d) = (plus(a[0], a[2]), minus(a[0], a[2]));
        let (t, e) = (plus(a[1], a[3]), minus(a[1], a[3]));
        let (b, c) = turned(d, e);
        [plus(s, t), b, minus(s, t), c]
    }
}

#[inline(always)]
unsafe fn five<T: Real, V: Vector<T>>(a: [Pair<V>; 5]) -> [Pair<V>; 5] {
    unsafe {
        // cos and sin of 2π/5 and 4π/5.
        let number = |x: f64| V::splat(T::of(x));
        let (c1, c2) = (number(0.309_016_994_374_947_45), number(-0.809_016_994_374_947_5));
        let (s1, s2) = (number(0.951_056_516_295_153_5), number(0.587_785_252_292_473_1));
        let (t1, t2) = (plus(a[1], a[4]), plus(a[2], a[3]));
        let (d1, d2) = (minus(a[1], a[4]), minus(a[2], a[3]));
        let m1 = (t2.0.mul_add(c2, t1.0.mul_add(c1, a[0].0)), t2.1.mul_add(c2, t1.1.mul_add(c1, a[0].1)));
        let m2 = (t2.0.mul_add(c1, t1.0.mul_add(c2, a[0].0)), t2.1.mul_add(c1, t1.1.mul_add(c2, a[0].1)));
        let n1 = (d2.0.mul_add(s2, d1.0.mul(s1)), d2.1.mul_add(s2, d1.1.mul(s1)));
        let n2 = (d2.0.neg_mul_add(s1, d1.0.mul(s2)), d2.1.neg_mul_add(s1, d1.1.mul(s2)));
        let (b1, b4) = turned(m1, n1);
        let (b2, b3) = turned(m2, n2);
        [plus(a[0], plus(t1, t2)), b1, b2, b3, b4]
    }
}

/// e^{−iπ/4} z.
#[inline(always)]
unsafe fn second<T: Real, V: Vector<T>>(z: Pair<V>) -> Pair<V> {
    unsafe {
        let h = V::splat(T::of(FRAC_1_SQRT_2));
        (z.0.add(z.1).mul(h), z.1.sub(z.0).mul(h))
    }
}

/// e^{−3iπ/4} z.
#[inline(always)]
unsafe fn sixth<T: Real, V: Vector<T>>(z: Pair<V>) -> Pair<V> {
    unsafe {
        let (h, minus) = (V::splat(T::of(FRAC_1_SQRT_2)), V::splat(T::of(-FRAC_1_SQRT_2)));
        (z.1.sub(z.0).mul(h), z.0.add(z.1).mul(minus))
    }
}
