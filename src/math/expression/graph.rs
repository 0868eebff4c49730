//! Real formulas as a directed acyclic graph in which every subexpression stands once (hash-consing).

use std::collections::HashMap;

use crate::math::elementary;

/// A node of a [`Graph`].
pub type Id = u32;

/// Functions of one real number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Function {
    Sin,
    Cos,
    Tan,
    Exp,
    Log,
    Sqrt,
    Sinh,
    Cosh,
    Tanh,
    Sech,
    Abs,
    /// 1/x, and 0 at 0.
    Reciprocal,
    /// 1 at 0, else 0.
    IsZero,
    /// ln(1 + x)
    LogOnePlus,
    /// e^x − 1
    ExpMinusOne,
    /// ln |Γ(x)|
    LogGamma,
    /// 1/(1 + e^−x)
    Logistic,
    /// 1 above 0, else 0.
    Step,
    Floor,
}

impl Function {
    pub fn of(self, x: f64) -> f64 {
        match self {
            Function::Sin => elementary::sin(x),
            Function::Cos => elementary::cos(x),
            Function::Tan => elementary::tan(x),
            Function::Exp => elementary::exp(x),
            Function::Log => elementary::ln(x),
            Function::Sqrt => x.sqrt(),
            Function::Sinh => elementary::sinh(x),
            Function::Cosh => elementary::cosh(x),
            Function::Tanh => elementary::tanh(x),
            Function::Sech => elementary::sech(x),
            Function::Abs => x.abs(),
            Function::Reciprocal if x == 0.0 => 0.0,
            Function::Reciprocal => 1.0 / x,
            Function::IsZero => f64::from(u8::from(x == 0.0)),
            Function::LogOnePlus => elementary::ln_1p(x),
            Function::ExpMinusOne => elementary::exp_m1(x),
            Function::LogGamma => elementary::ln_gamma(x),
            Function::Logistic => 1.0 / (1.0 + elementary::exp(-x)),
            Function::Step => f64::from(u8::from(x > 0.0)),
            Function::Floor => x.floor(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    /// The bits of a number.
    Constant(u64),
    /// Coordinate (or wavenumber) on an internal axis.
    Coordinate(u8),
    Time,
    /// Something read from an array; what it is belongs to the owner of the graph.
    Leaf(u32),
    Add(Id, Id),
    Sub(Id, Id),
    Mul(Id, Id),
    Div(Id, Id),
    Neg(Id),
    Pow(Id, Id),
    Atan2(Id, Id),
    /// The other operand where one is NaN, as `f64::min` does.
    Min(Id, Id),
    Max(Id, Id),
    Call(Function, Id),
}

impl Op {
    pub fn operands(self) -> impl Iterator<Item = Id> {
        let (a, b) = match self {
            Op::Constant(_) | Op::Coordinate(_) | Op::Time | Op::Leaf(_) => (None, None),
            Op::Add(a, b) | Op::Sub(a, b) | Op::Mul(a, b) | Op::Div(a, b) | Op::Pow(a, b) => (Some(a), Some(b)),
            Op::Atan2(a, b) | Op::Min(a, b) | Op::Max(a, b) => (Some(a), Some(b)),
            Op::Neg(a) | Op::Call(_, a) => (Some(a), None),
        };
        a.into_iter().chain(b)
    }
}

/// What a node depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Depends {
    /// Bit a: the coordinate of internal axis a.
    pub coordinates: u8,
    pub time: bool,
    pub leaves: bool,
}

/// What a derivative is where |·| has its kink and a root its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kinks {
    /// There is none: such functions are refused, and the slope of a root is infinite.
    Refused,
    /// 0.
    Flat,
}

/// Formulas over coordinates, time and leaves. Operands stand before what is made of them.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    ops: Vec<Op>,
    depends: Vec<Depends>,
    known: HashMap<Op, Id>,
}

impl Graph {
    pub fn op(&self, id: Id) -> Op {
        self.ops[id as usize]
    }

    pub fn depends(&self, id: Id) -> Depends {
        self.depends[id as usize]
    }

    /// Its value, when it is a number.
    pub fn number(&self, id: Id) -> Option<f64> {
        match self.op(id) {
            Op::Constant(bits) => Some(f64::from_bits(bits)),
            _ => None,
        }
    }

    fn node(&mut self, op: Op) -> Id {
        if let Some(&id) = self.known.get(&op) {
            return id;
        }
        let mut depends = Depends::default();
        match op {
            Op::Coordinate(a) => depends.coordinates = 1 << a,
            Op::Time => depends.time = true,
            Op::Leaf(_) => depends.leaves = true,
            _ => {}
        }
        for operand in op.operands() {
            let of = self.depends(operand);
            depends.coordinates |= of.coordinates;
            depends.time |= of.time;
            depends.leaves |= of.leaves;
        }
        let id = self.ops.len() as Id;
        self.ops.push(op);
        self.depends.push(depends);
        self.known.insert(op, id);
        id
    }

    pub fn constant(&mut self, x: f64) -> Id {
        // −0 and 0 are the same number here.
        self.node(Op::Constant((x + 0.0).to_bits()))
    }

    pub fn coordinate(&mut self, axis: usize) -> Id {
        self.node(Op::Coordinate(axis as u8))
    }

    pub fn time(&mut self) -> Id {
        self.node(Op::Time)
    }

    pub fn leaf(&mut self, leaf: u32) -> Id {
        self.node(Op::Leaf(leaf))
    }

    pub fn add(&mut self, a: Id, b: Id) -> Id {
        match (self.number(a), self.number(b), self.op(a), self.op(b)) {
            (Some(x), Some(y), ..) => self.constant(x + y),
            (Some(0.0), ..) => b,
            (_, Some(0.0), ..) => a,
            (.., Op::Neg(b)) => self.sub(a, b),
            (_, _, Op::Neg(a), _) => self.sub(b, a),
            _ => self.node(Op::Add(a.min(b), a.max(b))),
        }
    }

    pub fn sub(&mut self, a: Id, b: Id) -> Id {
        match (self.number(a), self.number(b), self.op(b)) {
            (Some(x), Some(y), _) => self.constant(x - y),
            (Some(0.0), ..) => self.neg(b),
            (_, Some(0.0), _) => a,
            (.., Op::Neg(b)) => self.add(a, b),
            _ if a == b => self.constant(0.0),
            _ => self.node(Op::Sub(a, b)),
        }
    }

    pub fn neg(&mut self, a: Id) -> Id {
        match (self.number(a), self.op(a)) {
            (Some(x), _) => self.constant(-x),
            (_, Op::Neg(a)) => a,
            (_, Op::Sub(a, b)) => self.sub(b, a),
            _ => self.node(Op::Neg(a)),
        }
    }

    pub fn mul(&mut self, a: Id, b: Id) -> Id {
        match (self.number(a), self.number(b), self.op(a), self.op(b)) {
            (Some(x), Some(y), ..) => self.constant(x * y),
            (Some(0.0), ..) | (_, Some(0.0), ..) => self.constant(0.0),
            (Some(1.0), ..) => b,
            (_, Some(1.0), ..) => a,
            (Some(-1.0), ..) => self.neg(b),
            (_, Some(-1.0), ..) => self.neg(a),
            // |z|·|z| = re² + im² without the root.
            (_, _, Op::Call(Function::Sqrt, x), _) if a == b => x,
            (_, _, Op::Call(Function::Abs, x), _) if a == b => self.mul(x, x),
            (_, _, Op::Neg(a), Op::Neg(b)) => self.mul(a, b),
            (_, _, Op::Neg(a), _) => {
                let product = self.mul(a, b);
                self.neg(product)
            }
            (_, _, _, Op::Neg(b)) => {
                let product = self.mul(a, b);
                self.neg(product)
            }
            _ => self.node(Op::Mul(a.min(b), a.max(b))),
        }
    }

    pub fn div(&mut self, a: Id, b: Id) -> Id {
        match (self.number(a), self.number(b)) {
            (Some(x), Some(y)) => self.constant(x / y),
            (Some(0.0), _) => a,
            (_, Some(1.0)) => a,
            (_, Some(-1.0)) => self.neg(a),
            _ => self.node(Op::Div(a, b)),
        }
    }

    pub fn pow(&mut self, a: Id, b: Id) -> Id {
        if let Some(n) = self.number(b) {
            if let Some(x) = self.number(a) {
                return self.constant(power(x, n));
            }
            if n == 0.5 {
                return self.call(Function::Sqrt, a);
            }
            if n.fract() == 0.0 && n.abs() <= 64.0 {
                let up = self.whole_power(a, n.abs() as u32);
                let one = self.constant(1.0);
                return if n < 0.0 { self.div(one, up) } else { up };
            }
        }
        self.node(Op::Pow(a, b))
    }

    /// a^n by squaring.
    fn whole_power(&mut self, a: Id, n: u32) -> Id {
        match n {
            0 => self.constant(1.0),
            1 => a,
            n => {
                let half = self.whole_power(a, n / 2);
                let square = self.mul(half, half);
                if n % 2 == 1 { self.mul(square, a) } else { square }
            }
        }
    }

    pub fn angle(&mut self, y: Id, x: Id) -> Id {
        match (self.number(y), self.number(x)) {
            (Some(y), Some(x)) => self.constant(elementary::atan2(y, x)),
            _ => self.node(Op::Atan2(y, x)),
        }
    }

    pub fn min(&mut self, a: Id, b: Id) -> Id {
        match (self.number(a), self.number(b)) {
            (Some(x), Some(y)) => self.constant(x.min(y)),
            _ if a == b => a,
            _ => self.node(Op::Min(a.min(b), a.max(b))),
        }
    }

    pub fn max(&mut self, a: Id, b: Id) -> Id {
        match (self.number(a), self.number(b)) {
            (Some(x), Some(y)) => self.constant(x.max(y)),
            _ if a == b => a,
            _ => self.node(Op::Max(a.min(b), a.max(b))),
        }
    }

    pub fn call(&mut self, function: Function, a: Id) -> Id {
        match self.number(a) {
            Some(x) => self.constant(function.of(x)),
            None => self.node(Op::Call(function, a)),
        }
    }

    /// Rebuilds `roots` of this graph in `target`, with `leaf` deciding what its leaves become there.
    pub fn rebuild(&self, roots: &[Id], target: &mut Graph, mut leaf: impl FnMut(u32, &mut Graph) -> Id) -> Vec<Id> {
        let mut new: Vec<Option<Id>> = vec![None; self.ops.len()];
        for id in self.reachable(roots) {
            let at = |id: Id| new[id as usize].expect("operands come first");
            let made = match self.op(id) {
                Op::Constant(bits) => target.constant(f64::from_bits(bits)),
                Op::Coordinate(a) => target.coordinate(a.into()),
                Op::Time => target.time(),
                Op::Leaf(l) => leaf(l, target),
                Op::Add(a, b) => target.add(at(a), at(b)),
                Op::Sub(a, b) => target.sub(at(a), at(b)),
                Op::Mul(a, b) => target.mul(at(a), at(b)),
                Op::Div(a, b) => target.div(at(a), at(b)),
                Op::Neg(a) => target.neg(at(a)),
                Op::Pow(a, b) => target.pow(at(a), at(b)),
                Op::Atan2(a, b) => target.angle(at(a), at(b)),
                Op::Min(a, b) => target.min(at(a), at(b)),
                Op::Max(a, b) => target.max(at(a), at(b)),
                Op::Call(f, a) => target.call(f, at(a)),
            };
            new[id as usize] = Some(made);
        }
        roots.iter().map(|&r| new[r as usize].expect("roots are reachable")).collect()
    }

    /// The derivative of `root` by a leaf or coordinate, the others held; None: it has none (|·|, or a power that
    /// varies).
    pub fn derivative(&mut self, root: Id, variable: Op) -> Option<Id> {
        let rates = self.rates(&[root], Kinks::Refused, |op, graph| (op == variable).then(|| graph.constant(1.0)));
        rates.map(|rates| rates[0])
    }

    /// The derivative of `roots` along a direction: `rate` says how fast each leaf changes. Where |·| and a root are not
    /// smooth it is 0. None: a function has no derivative here.
    pub fn tangents(&mut self, roots: &[Id], rate: impl Fn(u32, &mut Graph) -> Id) -> Option<Vec<Id>> {
        self.rates(roots, Kinks::Flat, |op, graph| match op {
            Op::Leaf(leaf) => Some(rate(leaf, graph)),
            _ => None,
        })
    }

    /// How fast `roots` change where what `own` names does at the rate it gives.
    fn rates(&mut self, roots: &[Id], kinks: Kinks, own: impl Fn(Op, &mut Graph) -> Option<Id>) -> Option<Vec<Id>> {
        let mut by: HashMap<Id, Id> = HashMap::new();
        let zero = self.constant(0.0);
        for id in self.reachable(roots) {
            let d = |id: Id| by[&id];
            let op = self.op(id);
            let made = match (own(op, self), op) {
                (Some(rate), _) => rate,
                _ if op.operands().all(|o| by[&o] == zero) => zero,
                (_, Op::Add(a, b)) => self.add(d(a), d(b)),
                (_, Op::Sub(a, b)) => self.sub(d(a), d(b)),
                (_, Op::Neg(a)) => self.neg(d(a)),
                (_, Op::Mul(a, b)) => {
                    let (left, right) = (self.mul(d(a), b), self.mul(a, d(b)));
                    self.add(left, right)
                }
                (_, Op::Div(a, b)) => {
                    let inner = self.mul(id, d(b));
                    let up = self.sub(d(a), inner);
                    self.div(up, b)
                }
                (_, Op::Pow(a, b)) if d(b) == zero => self.power_rate(a, b, d(a)),
                (_, Op::Pow(a, b)) if kinks == Kinks::Flat => {
                    // a^b ln a is 0 at a = 0.
                    let at_zero = self.call(Function::IsZero, a);
                    let base = self.add(a, at_zero);
                    let log = self.call(Function::Log, base);
                    let (own, inner) = (self.mul(id, log), self.power_rate(a, b, d(a)));
                    let outer = self.mul(own, d(b));
                    self.add(inner, outer)
                }
                (_, Op::Atan2(y, x)) if kinks == Kinks::Flat => {
                    let (xx, yy) = (self.mul(x, x), self.mul(y, y));
                    let square = self.add(xx, yy);
                    let (left, right) = (self.mul(x, d(y)), self.mul(y, d(x)));
                    let (up, over) = (self.sub(left, right), self.call(Function::Reciprocal, square));
                    self.mul(up, over)
                }
                (_, Op::Call(f, a)) => {
                    let outer = self.outer_derivative(f, a, id, kinks)?;
                    self.mul(outer, d(a))
                }
                _ => return None,
            };
            by.insert(id, made);
        }
        Some(roots.iter().map(|root| by[root]).collect())
    }

    /// b a^(b − 1) times the rate of a.
    fn power_rate(&mut self, a: Id, b: Id, rate: Id) -> Id {
        let one = self.constant(1.0);
        let less = self.sub(b, one);
        let power = self.pow(a, less);
        let outer = self.mul(b, power);
        self.mul(outer, rate)
    }

    /// f'(a), where `id` is f(a).
    fn outer_derivative(&mut self, f: Function, a: Id, id: Id, kinks: Kinks) -> Option<Id> {
        let one = self.constant(1.0);
        Some(match f {
            Function::Sin => self.call(Function::Cos, a),
            Function::Cos => {
                let sin = self.call(Function::Sin, a);
                self.neg(sin)
            }
            Function::Exp => id,
            Function::Log => self.div(one, a),
            Function::Sqrt => {
                let half = self.constant(0.5);
                match kinks {
                    Kinks::Refused => self.div(half, id),
                    Kinks::Flat => {
                        let over = self.call(Function::Reciprocal, id);
                        self.mul(half, over)
                    }
                }
            }
            Function::Abs if kinks == Kinks::Flat => {
                let over = self.call(Function::Reciprocal, id);
                self.mul(a, over)
            }
            Function::Sinh => self.call(Function::Cosh, a),
            Function::Cosh => self.call(Function::Sinh, a),
            Function::Tan => {
                let square = self.mul(id, id);
                self.add(one, square)
            }
            Function::Tanh => {
                let square = self.mul(id, id);
                self.sub(one, square)
            }
            Function::Sech => {
                let tanh = self.call(Function::Tanh, a);
                let product = self.mul(id, tanh);
                self.neg(product)
            }
            Function::LogOnePlus => {
                let sum = self.add(one, a);
                self.div(one, sum)
            }
            Function::ExpMinusOne => self.call(Function::Exp, a),
            Function::Logistic => {
                let rest = self.sub(one, id);
                self.mul(id, rest)
            }
            Function::Abs | Function::Reciprocal | Function::IsZero | Function::Step | Function::Floor => return None,
            Function::LogGamma => return None,
        })
    }

    /// All nodes that `roots` are made of, operands first.
    pub fn reachable(&self, roots: &[Id]) -> Vec<Id> {
        let mut wanted = vec![false; self.ops.len()];
        roots.iter().for_each(|&r| wanted[r as usize] = true);
        for id in (0..self.ops.len()).rev() {
            if wanted[id] {
                self.ops[id].operands().for_each(|o| wanted[o as usize] = true);
            }
        }
        (0..self.ops.len() as Id).filter(|&id| wanted[id as usize]).collect()
    }

    /// The value of a node at one place, with given leaves.
    pub fn value(&self, root: Id, place: [f64; 3], time: f64, leaves: &dyn Fn(u32) -> f64) -> f64 {
        let mut values: HashMap<Id, f64> = HashMap::new();
        for id in self.reachable(&[root]) {
            let at = |id: Id| values[&id];
            let value = match self.op(id) {
                Op::Constant(bits) => f64::from_bits(bits),
                Op::Coordinate(a) => place[a as usize],
                Op::Time => time,
                Op::Leaf(l) => leaves(l),
                Op::Add(a, b) => at(a) + at(b),
                Op::Sub(a, b) => at(a) - at(b),
                Op::Mul(a, b) => at(a) * at(b),
                Op::Div(a, b) => at(a) / at(b),
                Op::Neg(a) => -at(a),
                Op::Pow(a, b) => power(at(a), at(b)),
                Op::Atan2(a, b) => elementary::atan2(at(a), at(b)),
                Op::Min(a, b) => at(a).min(at(b)),
                Op::Max(a, b) => at(a).max(at(b)),
                Op::Call(f, a) => f.of(at(a)),
            };
            values.insert(id, value);
        }
        values[&root]
    }
}

/// x^y; whole powers by squaring, as programs compute them.
pub fn power(x: f64, y: f64) -> f64 {
    fn whole(x: f64, n: u32) -> f64 {
        match n {
            0 => 1.0,
            1 => x,
            n => {
                let half = whole(x, n / 2);
                if n % 2 == 1 { half * half * x } else { half * half }
            }
        }
    }
    match y.fract() == 0.0 && y.abs() <= 64.0 {
        true if y < 0.0 => 1.0 / whole(x, -y as u32),
        true => whole(x, y as u32),
        false => elementary::pow(x, y),
    }
}
