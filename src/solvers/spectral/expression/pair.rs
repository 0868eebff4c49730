//! Complex formulas as pairs of real ones; imaginary parts that are zero cost nothing.

use num_complex::Complex;

use super::graph::{Function, Graph, Id};

/// Real and imaginary part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pair {
    pub re: Id,
    pub im: Id,
}

/// The functions of the input, by name: word and what it gives.
pub const FUNCTIONS: &[(&str, &str)] = &[
    ("sin", "sine"),
    ("cos", "cosine"),
    ("tan", "tangent"),
    ("exp", "exponential"),
    ("log", "natural logarithm"),
    ("sqrt", "square root"),
    ("sinh", "hyperbolic sine"),
    ("cosh", "hyperbolic cosine"),
    ("tanh", "hyperbolic tangent"),
    ("sech", "1/cosh"),
    ("abs", "modulus"),
    ("conj", "complex conjugate"),
    ("re", "real part"),
    ("im", "imaginary part"),
];

impl Graph {
    pub fn pair(&mut self, z: Complex<f64>) -> Pair {
        Pair { re: self.constant(z.re), im: self.constant(z.im) }
    }

    pub fn real(&mut self, re: Id) -> Pair {
        Pair { re, im: self.constant(0.0) }
    }

    /// True when the imaginary part is the number 0.
    pub fn is_real(&self, a: Pair) -> bool {
        self.number(a.im) == Some(0.0)
    }

    /// Its value, when it is a number.
    pub fn complex_number(&self, a: Pair) -> Option<Complex<f64>> {
        Some(Complex::new(self.number(a.re)?, self.number(a.im)?))
    }

    pub fn pair_add(&mut self, a: Pair, b: Pair) -> Pair {
        Pair { re: self.add(a.re, b.re), im: self.add(a.im, b.im) }
    }

    pub fn pair_neg(&mut self, a: Pair) -> Pair {
        Pair { re: self.neg(a.re), im: self.neg(a.im) }
    }

    pub fn pair_mul(&mut self, a: Pair, b: Pair) -> Pair {
        let (rr, ii) = (self.mul(a.re, b.re), self.mul(a.im, b.im));
        let (ri, ir) = (self.mul(a.re, b.im), self.mul(a.im, b.re));
        Pair { re: self.sub(rr, ii), im: self.add(ri, ir) }
    }

    pub fn pair_div(&mut self, a: Pair, b: Pair) -> Pair {
        if self.is_real(b) {
            let re = self.div(a.re, b.re);
            // The imaginary part of 1/0 is 0 too.
            let im = if self.is_real(a) { a.im } else { self.div(a.im, b.re) };
            return Pair { re, im };
        }
        let conjugate = self.conj(b);
        let (up, down) = (self.pair_mul(a, conjugate), self.square_modulus(b));
        Pair { re: self.div(up.re, down), im: self.div(up.im, down) }
    }

    pub fn conj(&mut self, a: Pair) -> Pair {
        Pair { re: a.re, im: self.neg(a.im) }
    }

    /// re² + im².
    pub fn square_modulus(&mut self, a: Pair) -> Id {
        let (rr, ii) = (self.mul(a.re, a.re), self.mul(a.im, a.im));
        self.add(rr, ii)
    }

    fn modulus(&mut self, a: Pair) -> Id {
        if self.is_real(a) {
            return self.call(Function::Abs, a.re);
        }
        let square = self.square_modulus(a);
        self.call(Function::Sqrt, square)
    }

    pub fn pair_pow(&mut self, a: Pair, b: Pair) -> Pair {
        if self.is_real(a) && self.is_real(b) {
            let re = self.pow(a.re, b.re);
            return self.real(re);
        }
        if let Some(n) = self.complex_number(b)
            && n.im == 0.0
            && n.re.fract() == 0.0
            && n.re.abs() <= 64.0
        {
            let up = self.pair_whole(a, n.re.abs() as u32);
            let one = self.pair(Complex::new(1.0, 0.0));
            return if n.re < 0.0 { self.pair_div(one, up) } else { up };
        }
        // a^b = exp(b log a).
        let log = self.pair_call("log", a).unwrap_or(a);
        let product = self.pair_mul(b, log);
        self.pair_call("exp", product).unwrap_or(product)
    }

    fn pair_whole(&mut self, a: Pair, n: u32) -> Pair {
        match n {
            0 => self.pair(Complex::new(1.0, 0.0)),
            1 => a,
            n => {
                let half = self.pair_whole(a, n / 2);
                let square = self.pair_mul(half, half);
                if n % 2 == 1 { self.pair_mul(square, a) } else { square }
            }
        }
    }

    /// A function of [`FUNCTIONS`]; None: there is none of this name.
    pub fn pair_call(&mut self, name: &str, a: Pair) -> Option<Pair> {
        let direct = match name {
            "sin" => Function::Sin,
            "cos" => Function::Cos,
            "tan" => Function::Tan,
            "exp" => Function::Exp,
            "log" => Function::Log,
            "sqrt" => Function::Sqrt,
            "sinh" => Function::Sinh,
            "cosh" => Function::Cosh,
            "tanh" => Function::Tanh,
            "sech" => Function::Sech,
            "abs" => {
                let modulus = self.modulus(a);
                return Some(self.real(modulus));
            }
            "conj" => return Some(self.conj(a)),
            "re" => return Some(self.real(a.re)),
            "im" => return Some(self.real(a.im)),
            _ => return None,
        };
        if self.is_real(a) {
            let re = self.call(direct, a.re);
            return Some(self.real(re));
        }
        let (x, y) = (a.re, a.im);
        let mut f = |function, id| self.call(function, id);
        let pair = match direct {
            Function::Exp => {
                let (e, c, s) = (f(Function::Exp, x), f(Function::Cos, y), f(Function::Sin, y));
                Pair { re: self.mul(e, c), im: self.mul(e, s) }
            }
            Function::Sin | Function::Cos => {
                let (s, c) = (f(Function::Sin, x), f(Function::Cos, x));
                let (sh, ch) = (f(Function::Sinh, y), f(Function::Cosh, y));
                if direct == Function::Sin {
                    Pair { re: self.mul(s, ch), im: self.mul(c, sh) }
                } else {
                    let im = self.mul(s, sh);
                    Pair { re: self.mul(c, ch), im: self.neg(im) }
                }
            }
            Function::Sinh | Function::Cosh => {
                let (s, c) = (f(Function::Sin, y), f(Function::Cos, y));
                let (sh, ch) = (f(Function::Sinh, x), f(Function::Cosh, x));
                if direct == Function::Sinh {
                    Pair { re: self.mul(sh, c), im: self.mul(ch, s) }
                } else {
                    Pair { re: self.mul(ch, c), im: self.mul(sh, s) }
                }
            }
            Function::Tan => {
                let (s, c) = (self.pair_call("sin", a)?, self.pair_call("cos", a)?);
                self.pair_div(s, c)
            }
            Function::Tanh => {
                let (s, c) = (self.pair_call("sinh", a)?, self.pair_call("cosh", a)?);
                self.pair_div(s, c)
            }
            Function::Sech => {
                let (one, c) = (self.pair(Complex::new(1.0, 0.0)), self.pair_call("cosh", a)?);
                self.pair_div(one, c)
            }
            Function::Log => {
                let modulus = self.modulus(a);
                Pair { re: self.call(Function::Log, modulus), im: self.angle(y, x) }
            }
            // Function::Sqrt: √z = √|z| e^{iφ/2}.
            _ => {
                let (modulus, angle, half) = (self.modulus(a), self.angle(y, x), self.constant(0.5));
                let (root, angle) = (self.call(Function::Sqrt, modulus), self.mul(angle, half));
                let (c, s) = (self.call(Function::Cos, angle), self.call(Function::Sin, angle));
                Pair { re: self.mul(root, c), im: self.mul(root, s) }
            }
        };
        Some(pair)
    }
}
