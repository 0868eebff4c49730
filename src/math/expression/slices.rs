//! Formulas as a list of instructions, each a loop over a piece of the slices: nothing is interpreted per particle.
//!
//! What depends on no slice is computed once per call. A value depends on the values of its own particle only, so its
//! bits are the same wherever it lies in its slice and however the slices are cut.

use std::cell::Cell;
use std::collections::HashMap;

use super::graph::{Function, Graph, Id, Op, power};
use crate::math::elementary;
use crate::math::simd::Level;
use crate::math::simd::scalar::Scalar;

/// Values of a piece: registers of this length stay in the nearest cache.
const PIECE: usize = 512;

/// Where a leaf of the graph is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// An input slice: one value per particle.
    Slice(usize),
    /// A number of the call.
    Number(usize),
}

/// What becomes of a formula.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// out = value
    Set(Id),
    /// out += value
    Add(Id),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// One number per call.
    Small(usize),
    Register(usize),
    Input(usize),
    /// An operand that the instruction does not have.
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Code {
    Copy,
    /// out += a
    Accumulate,
    Add,
    Sub,
    Mul,
    Div,
    Neg,
    Pow,
    Atan2,
    Min,
    Max,
    /// a·b + c
    MulAdd,
    /// c − a·b
    MulSub,
    Call(Function),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Register(usize),
    Output(usize),
}

#[derive(Debug, Clone, Copy)]
struct Instruction {
    code: Code,
    operands: [Place; 3],
    target: Target,
}

/// A value that does not vary over the slices.
#[derive(Debug, Clone, Copy)]
struct Small {
    op: Op,
    operands: [usize; 2],
    /// Of a leaf: which number of the call.
    number: usize,
}

/// Work space of a thread, for whichever program it runs: thousands of models may be held at once (SMC²).
#[derive(Debug, Default)]
struct Scratch {
    small: Vec<f64>,
    registers: Vec<Vec<f64>>,
}

thread_local! {
    static SPARE: Cell<Scratch> = Cell::default();
}

/// A compiled list of formulas.
#[derive(Debug)]
pub struct Program {
    small: Vec<Small>,
    full: Vec<Instruction>,
    registers: usize,
    outputs: usize,
}

impl Program {
    /// Compiles `outputs` of `graph`; `source` says where a leaf is read from.
    pub fn new(graph: &Graph, outputs: &[Output], source: impl Fn(u32) -> Source) -> Program {
        Compiler::new(graph, outputs, &source).compile()
    }

    /// Number of loops per piece.
    pub fn instructions(&self) -> usize {
        self.full.len()
    }

    /// Fills or adds to `outputs`, all of one length, from `inputs` of that length and the `numbers` of this call.
    pub fn run(&self, level: Level, numbers: &[f64], inputs: &[&[f64]], outputs: &mut [&mut [f64]]) {
        debug_assert_eq!(outputs.len(), self.outputs);
        let mut scratch = SPARE.take();
        let lacking = self.registers.saturating_sub(scratch.registers.len());
        scratch.registers.extend((0..lacking).map(|_| vec![0.0; PIECE]));
        scratch.small.clear();
        for small in &self.small {
            let [a, b] = small.operands.map(|o| scratch.small.get(o).copied().unwrap_or_default());
            let value = match small.op {
                Op::Leaf(_) => numbers[small.number],
                op => apply(op, a, b),
            };
            scratch.small.push(value);
        }
        crate::enter!(level, S => pieces::<S>(self, inputs, outputs, &mut scratch));
        SPARE.set(scratch);
    }
}

#[inline(always)]
fn pieces<S: Scalar>(program: &Program, inputs: &[&[f64]], outputs: &mut [&mut [f64]], scratch: &mut Scratch) {
    let Scratch { small, registers } = scratch;
    let length = outputs.first().map_or(0, |o| o.len());
    let mut first = 0;
    while first < length {
        let n = PIECE.min(length - first);
        for instruction in &program.full {
            let mut hold = Vec::new();
            let d: &mut [f64] = match instruction.target {
                Target::Register(r) => {
                    std::mem::swap(&mut hold, &mut registers[r]);
                    &mut hold[..n]
                }
                Target::Output(o) => &mut outputs[o][first..first + n],
            };
            let values = |p: Place| match p {
                Place::Register(r) => Values::Slice(&registers[r][..n]),
                Place::Input(i) => Values::Slice(&inputs[i][first..first + n]),
                Place::Small(s) => Values::One(small[s]),
                Place::None => Values::One(0.0),
            };
            let [a, b, c] = instruction.operands;
            execute::<S>(instruction.code, d, values(a), values(b), values(c));
            if let Target::Register(r) = instruction.target {
                std::mem::swap(&mut hold, &mut registers[r]);
            }
        }
        first += n;
    }
}

#[derive(Clone, Copy)]
enum Values<'a> {
    Slice(&'a [f64]),
    One(f64),
}

#[inline(always)]
fn unary(d: &mut [f64], a: Values, f: impl Fn(f64) -> f64) {
    match a {
        Values::Slice(a) => d.iter_mut().zip(a).for_each(|(d, &a)| *d = f(a)),
        Values::One(a) => d.fill(f(a)),
    }
}

#[inline(always)]
fn binary(d: &mut [f64], a: Values, b: Values, f: impl Fn(f64, f64) -> f64) {
    match (a, b) {
        (Values::Slice(a), Values::Slice(b)) => d.iter_mut().zip(a).zip(b).for_each(|((d, &a), &b)| *d = f(a, b)),
        (Values::One(a), b) => unary(d, b, |b| f(a, b)),
        (a, Values::One(b)) => unary(d, a, |a| f(a, b)),
    }
}

#[inline(always)]
fn ternary(d: &mut [f64], a: Values, b: Values, c: Values, f: impl Fn(f64, f64, f64) -> f64) {
    match (a, b, c) {
        (Values::Slice(a), Values::Slice(b), Values::Slice(c)) => {
            d.iter_mut().zip(a).zip(b).zip(c).for_each(|(((d, &a), &b), &c)| *d = f(a, b, c));
        }
        (Values::One(a), b, c) => binary(d, b, c, |b, c| f(a, b, c)),
        (a, Values::One(b), c) => binary(d, a, c, |a, c| f(a, b, c)),
        (a, b, Values::One(c)) => binary(d, a, b, |a, b| f(a, b, c)),
    }
}

#[inline(always)]
fn execute<S: Scalar>(code: Code, d: &mut [f64], a: Values, b: Values, c: Values) {
    match code {
        Code::Copy => unary(d, a, |a| a),
        Code::Accumulate => match a {
            Values::Slice(a) => d.iter_mut().zip(a).for_each(|(d, &a)| *d += a),
            Values::One(a) => d.iter_mut().for_each(|d| *d += a),
        },
        Code::Add => binary(d, a, b, |a, b| a + b),
        Code::Sub => binary(d, a, b, |a, b| a - b),
        Code::Mul => binary(d, a, b, |a, b| a * b),
        Code::Div => binary(d, a, b, |a, b| a / b),
        Code::Neg => unary(d, a, |a| -a),
        Code::Pow => binary(d, a, b, power),
        Code::Atan2 => binary(d, a, b, elementary::atan2),
        Code::Min => binary(d, a, b, f64::min),
        Code::Max => binary(d, a, b, f64::max),
        Code::MulAdd => ternary(d, a, b, c, S::mul_add),
        Code::MulSub => ternary(d, a, b, c, minus_product::<S>),
        Code::Call(Function::Exp) => unary(d, a, S::exp),
        Code::Call(Function::Log) => unary(d, a, S::ln),
        Code::Call(Function::Sin) => unary(d, a, sine::<S>),
        Code::Call(Function::Cos) => unary(d, a, cosine::<S>),
        Code::Call(Function::Logistic) => unary(d, a, logistic::<S>),
        Code::Call(Function::Sqrt) => unary(d, a, f64::sqrt),
        Code::Call(Function::Abs) => unary(d, a, f64::abs),
        Code::Call(Function::Step) => unary(d, a, |a| if a > 0.0 { 1.0 } else { 0.0 }),
        Code::Call(f) => unary(d, a, |a| f.of(a)),
    }
}

// Functions, not closures: they must inline into the loops of a level.

#[inline(always)]
fn minus_product<S: Scalar>(a: f64, b: f64, c: f64) -> f64 {
    S::mul_add(-a, b, c)
}

#[inline(always)]
fn sine<S: Scalar>(a: f64) -> f64 {
    S::sin_cos_turns(a * (1.0 / std::f64::consts::TAU)).0
}

#[inline(always)]
fn cosine<S: Scalar>(a: f64) -> f64 {
    S::sin_cos_turns(a * (1.0 / std::f64::consts::TAU)).1
}

#[inline(always)]
fn logistic<S: Scalar>(a: f64) -> f64 {
    1.0 / (1.0 + S::exp(-a))
}

/// One operation on numbers.
fn apply(op: Op, a: f64, b: f64) -> f64 {
    match op {
        Op::Constant(bits) => f64::from_bits(bits),
        Op::Add(..) => a + b,
        Op::Sub(..) => a - b,
        Op::Mul(..) => a * b,
        Op::Div(..) => a / b,
        Op::Neg(_) => -a,
        Op::Pow(..) => power(a, b),
        Op::Atan2(..) => elementary::atan2(a, b),
        Op::Min(..) => a.min(b),
        Op::Max(..) => a.max(b),
        Op::Call(f, _) => f.of(a),
        Op::Coordinate(_) | Op::Time | Op::Leaf(_) => f64::NAN,
    }
}

struct Compiler<'a> {
    graph: &'a Graph,
    outputs: &'a [Output],
    source: &'a dyn Fn(u32) -> Source,
    places: HashMap<Id, Place>,
    varies: HashMap<Id, bool>,
    small: Vec<Small>,
    full: Vec<Instruction>,
    /// How often each node is still read.
    uses: HashMap<Id, usize>,
    free: Vec<usize>,
    registers: usize,
}

impl<'a> Compiler<'a> {
    fn new(graph: &'a Graph, outputs: &'a [Output], source: &'a dyn Fn(u32) -> Source) -> Self {
        Compiler {
            graph,
            outputs,
            source,
            places: HashMap::new(),
            varies: HashMap::new(),
            small: Vec::new(),
            full: Vec::new(),
            uses: HashMap::new(),
            free: Vec::new(),
            registers: 0,
        }
    }

    fn compile(mut self) -> Program {
        let roots: Vec<Id> = self.outputs.iter().map(|o| root(*o)).collect();
        let order = self.graph.reachable(&roots);
        for &id in &order {
            let op = self.graph.op(id);
            let varies = match op {
                Op::Leaf(leaf) => matches!((self.source)(leaf), Source::Slice(_)),
                op => op.operands().any(|o| self.varies[&o]),
            };
            self.varies.insert(id, varies);
        }
        for id in order.iter().flat_map(|&id| self.graph.op(id).operands()).chain(roots) {
            *self.uses.entry(id).or_insert(0) += 1;
        }
        // Products that are only added to something become one instruction with the sum.
        let mut fused = HashMap::new();
        for &id in &order {
            let product = |p: Id| matches!(self.graph.op(p), Op::Mul(..)) && self.uses[&p] == 1 && self.varies[&p];
            match self.graph.op(id) {
                Op::Add(a, b) if product(b) => drop(fused.insert(b, (id, Code::MulAdd, a))),
                Op::Add(a, b) if product(a) => drop(fused.insert(a, (id, Code::MulAdd, b))),
                Op::Sub(a, b) if product(b) => drop(fused.insert(b, (id, Code::MulSub, a))),
                _ => {}
            }
        }
        let sums: HashMap<Id, (Id, Code, Id)> =
            fused.iter().map(|(&p, &(s, code, rest))| (s, (p, code, rest))).collect();
        for &id in &order {
            if !fused.contains_key(&id) {
                self.node(id, sums.get(&id).copied());
            }
        }
        // Outputs that no instruction wrote already, after all of them: an output may be read by none of them.
        for (o, output) in self.outputs.iter().enumerate() {
            let code = match output {
                Output::Set(id) if self.only_output(*id) == Some(o) && self.wrote(o) => continue,
                Output::Set(_) => Code::Copy,
                Output::Add(_) => Code::Accumulate,
            };
            let operands = [self.places[&root(*output)], Place::None, Place::None];
            self.full.push(Instruction { code, operands, target: Target::Output(o) });
        }
        Program { small: self.small, full: self.full, registers: self.registers, outputs: self.outputs.len() }
    }

    fn wrote(&self, output: usize) -> bool {
        self.full.iter().any(|i| i.target == Target::Output(output))
    }

    fn node(&mut self, id: Id, fused: Option<(Id, Code, Id)>) {
        let op = self.graph.op(id);
        if !self.varies[&id] {
            let mut operands = [usize::MAX; 2];
            for (slot, operand) in operands.iter_mut().zip(op.operands()) {
                let Place::Small(s) = self.places[&operand] else { unreachable!("made of numbers") };
                *slot = s;
            }
            let number = match op {
                Op::Leaf(leaf) => match (self.source)(leaf) {
                    Source::Number(n) => n,
                    Source::Slice(_) => unreachable!("a slice varies"),
                },
                _ => 0,
            };
            self.places.insert(id, Place::Small(self.small.len()));
            self.small.push(Small { op, operands, number });
            return;
        }
        let (code, ids): (Code, Vec<Id>) = match (op, fused) {
            (_, Some((product, code, rest))) => {
                let mut ids: Vec<Id> = self.graph.op(product).operands().collect();
                ids.push(rest);
                (code, ids)
            }
            (Op::Leaf(leaf), _) => {
                let Source::Slice(slice) = (self.source)(leaf) else { unreachable!("a number does not vary") };
                self.places.insert(id, Place::Input(slice));
                return;
            }
            (op, _) => {
                let code = match op {
                    Op::Add(..) => Code::Add,
                    Op::Sub(..) => Code::Sub,
                    Op::Mul(..) => Code::Mul,
                    Op::Div(..) => Code::Div,
                    Op::Neg(_) => Code::Neg,
                    Op::Pow(..) => Code::Pow,
                    Op::Atan2(..) => Code::Atan2,
                    Op::Min(..) => Code::Min,
                    Op::Max(..) => Code::Max,
                    Op::Call(f, _) => Code::Call(f),
                    Op::Constant(_) | Op::Coordinate(_) | Op::Time | Op::Leaf(_) => unreachable!("does not vary"),
                };
                (code, op.operands().collect())
            }
        };
        let mut operands = [Place::None; 3];
        for (slot, operand) in operands.iter_mut().zip(&ids) {
            *slot = self.places[operand];
        }
        let target = match self.only_output(id) {
            Some(output) => Target::Output(output),
            None => {
                let register = self.free.pop().unwrap_or_else(|| {
                    self.registers += 1;
                    self.registers - 1
                });
                self.places.insert(id, Place::Register(register));
                Target::Register(register)
            }
        };
        self.full.push(Instruction { code, operands, target });
        // Operands are released after their instruction, so a result never overwrites one.
        for id in ids {
            let left = self.uses.get_mut(&id).expect("counted");
            *left -= 1;
            if *left == 0
                && let Some(&Place::Register(register)) = self.places.get(&id)
            {
                self.free.push(register);
            }
        }
    }

    /// The output that is the only reader of a node, if it is set by it.
    fn only_output(&self, id: Id) -> Option<usize> {
        (self.uses[&id] == 1).then(|| self.outputs.iter().position(|o| *o == Output::Set(id))).flatten()
    }
}

fn root(output: Output) -> Id {
    match output {
        Output::Set(id) | Output::Add(id) => id,
    }
}

#[cfg(test)]
mod tests {
    use super::super::real::{Scope, read};
    use super::*;

    /// Values of `texts` over x and y with the number a, on slices cut into pieces of `cut`.
    fn values(texts: &[&str], level: Level, cut: usize) -> Vec<Vec<f64>> {
        let mut graph = Graph::default();
        let mut scope = Scope::default();
        for (leaf, name) in ["x", "y", "a"].iter().enumerate() {
            let id = graph.leaf(leaf as u32);
            scope.define(name, id);
        }
        let outputs: Vec<Output> = texts.iter().map(|t| Output::Set(read(t, &mut graph, &scope).unwrap())).collect();
        let program =
            Program::new(
                &graph,
                &outputs,
                |leaf| if leaf < 2 { Source::Slice(leaf as usize) } else { Source::Number(0) },
            );
        let n = 2311;
        let x: Vec<f64> = (0..n).map(|i| -3.0 + 6.0 * f64::from(i) / 2311.0).collect();
        let y: Vec<f64> = x.iter().map(|x| 2.0 + x.sin()).collect();
        let mut found = vec![vec![0.0; n as usize]; texts.len()];
        for start in (0..n as usize).step_by(cut) {
            let end = (start + cut).min(n as usize);
            let mut out: Vec<&mut [f64]> = found.iter_mut().map(|f| &mut f[start..end]).collect();
            program.run(level, &[0.7], &[&x[start..end], &y[start..end]], &mut out);
        }
        found
    }

    #[test]
    fn programs_give_the_values_of_their_formulas_at_every_level_in_any_cut() {
        let texts = [
            "a + 0.9*(x - a) + 0.3*y",
            "exp(x/2) * log(y) - sin(3*x)*cos(y)",
            "tanh(x) + logistic(-x)*sqrt(y) + x^3/y - y^a",
            "min(x, y) + max(a, x) + atan2(x, y) + abs(x) + step(x)",
            "0.9*(x - a)",
            "x",
            "a^2",
            "log1p(y) - expm1(x) + lgamma(y)",
        ];
        for level in Level::ALL.into_iter().filter(|l| l.is_available()) {
            let found = values(&texts, level, 4000);
            assert_eq!(found, values(&texts, level, 1));
            assert_eq!(found, values(&texts, level, 700));
            for i in 0..2311 {
                let x = -3.0 + 6.0 * i as f64 / 2311.0;
                let (y, a) = (2.0 + x.sin(), 0.7f64);
                let exact = [
                    a + 0.9 * (x - a) + 0.3 * y,
                    (x / 2.0).exp() * y.ln() - (3.0 * x).sin() * y.cos(),
                    x.tanh() + y.sqrt() / (1.0 + x.exp()) + x * x * x / y - y.powf(a),
                    x.min(y) + a.max(x) + x.atan2(y) + x.abs() + f64::from(u8::from(x > 0.0)),
                    0.9 * (x - a),
                    x,
                    a * a,
                    y.ln_1p() - x.exp_m1() + libm::lgamma(y),
                ];
                for (k, exact) in exact.iter().enumerate() {
                    let error = (found[k][i] - exact).abs();
                    assert!(
                        error < 1e-14 * (1.0 + exact.abs()),
                        "{level:?} {}: {}, not {exact}",
                        texts[k],
                        found[k][i]
                    );
                }
            }
        }
    }

    #[test]
    fn common_subexpressions_are_computed_once() {
        let mut graph = Graph::default();
        let mut scope = Scope::default();
        let x = graph.leaf(0);
        scope.define("x", x);
        let outputs: Vec<Output> = ["exp(x)*sin(x)", "exp(x)*cos(x)"]
            .iter()
            .map(|t| Output::Add(read(t, &mut graph, &scope).unwrap()))
            .collect();
        let program = Program::new(&graph, &outputs, |_| Source::Slice(0));
        // exp, sin, cos, two products, two sums.
        assert_eq!(program.instructions(), 7);
        let (mut a, mut b) = (vec![1.0; 3], vec![2.0; 3]);
        program.run(Level::Portable, &[], &[&[0.0, 0.5, 1.0]], &mut [&mut a, &mut b]);
        assert!((a[1] - 1.0 - 0.5f64.exp() * 0.5f64.sin()).abs() < 1e-15);
        assert_eq!(b[0], 3.0);
    }
}
