//! A formula as a list of instructions, each a loop over a short piece of a tile: nothing is interpreted per point.
//!
//! What depends on time and the coordinate of axis 0 only is computed once per tile, what depends on one of the
//! other coordinates once per row or column of it (both in double precision); the rest goes over pieces that stay in
//! the first-level cache. Each value gets the same bits whatever the tile and the piece are.

use std::collections::HashMap;
use std::sync::Mutex;

use super::graph::{Function, Graph, Id, Op, power};
use crate::math::elementary;
use crate::math::real::Real;
use crate::solvers::spectral::domain::Tile;

/// Values of a piece.
const PIECE: usize = 512;

/// Where a leaf of the graph is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// Which of the input arrays.
    pub array: usize,
    /// None: an array of reals; of pairs: the real (0) or imaginary (1) part.
    pub part: Option<usize>,
}

/// What one output array receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    Real(Id),
    /// (re, im) pairs.
    Pair(Id, Id),
}

/// Where the values of a node are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// One number per tile.
    Scalar(usize),
    /// One per row.
    Row(usize),
    /// One per column.
    Column(usize),
    /// One per value.
    Register(usize),
    /// An input array of reals itself.
    Input(usize),
    /// An operand that the instruction does not have.
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Code {
    Copy,
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
    /// Real part of the pairs of input `a`.
    Even,
    /// Imaginary part.
    Odd,
    /// Pairs of a and b to an output.
    Weave,
    Call(Function),
}

impl Code {
    fn of(op: Op) -> Code {
        match op {
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
            Op::Constant(_) | Op::Coordinate(_) | Op::Time | Op::Leaf(_) => Code::Copy,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Instruction {
    code: Code,
    operands: [Place; 3],
    target: Target,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Register(usize),
    Output(usize),
}

/// A compiled list of formulas.
pub struct Program<T> {
    /// One per scalar, row and column value, in order.
    scalars: Vec<Small>,
    rows: Vec<Small>,
    columns: Vec<Small>,
    full: Vec<Instruction>,
    registers: usize,
    /// Reals per value of each output.
    reals: Vec<usize>,
    /// Work space of threads that are not running it now.
    pool: Mutex<Vec<Scratch<T>>>,
}

/// A node that is not worth a whole loop of its own.
#[derive(Debug, Clone, Copy)]
struct Small {
    op: Op,
    operands: [Place; 2],
}

/// Work space of one thread.
struct Scratch<T> {
    scalars: Vec<f64>,
    rows: Vec<Vec<f64>>,
    columns: Vec<Vec<f64>>,
    registers: Vec<Vec<T>>,
}

impl<T: Real> Program<T> {
    /// Compiles `outputs` of `graph`; `source` says where a leaf is read from.
    pub fn new(graph: &Graph, outputs: &[Output], source: impl Fn(u32) -> Source) -> Program<T> {
        Compiler::new(graph, outputs, &source).compile()
    }

    /// True when there is nothing to compute.
    pub fn is_empty(&self) -> bool {
        self.reals.is_empty()
    }

    /// Fills `outputs` on a tile.
    pub fn run(&self, tile: &Tile, time: f64, inputs: &[&[T]], outputs: &mut [&mut [T]]) {
        self.run_joined(tile, time, [inputs, &[]], outputs);
    }

    /// The same with inputs in two lists, the second counted on from the first.
    pub fn run_joined(&self, tile: &Tile, time: f64, inputs: [&[&[T]]; 2], outputs: &mut [&mut [T]]) {
        debug_assert_eq!(outputs.len(), self.reals.len());
        let spare = self.pool.lock().map(|mut p| p.pop()).unwrap_or_default();
        let mut scratch = spare.unwrap_or_else(|| Scratch {
            scalars: Vec::new(),
            rows: vec![Vec::new(); self.rows.len()],
            columns: vec![Vec::new(); self.columns.len()],
            registers: vec![vec![T::zero(); PIECE]; self.registers],
        });
        self.prepare(tile, time, &mut scratch);
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2.
            unsafe { self.pieces_avx2(tile, inputs, outputs, &mut scratch) };
        } else {
            self.pieces(tile, inputs, outputs, &mut scratch);
        }
        #[cfg(not(target_arch = "x86_64"))]
        self.pieces(tile, inputs, outputs, &mut scratch);
        if let Ok(mut pool) = self.pool.lock() {
            pool.push(scratch);
        }
    }

    /// Values that do not vary over the tile, or along one of its axes only.
    fn prepare(&self, tile: &Tile, time: f64, scratch: &mut Scratch<T>) {
        scratch.scalars.clear();
        for small in &self.scalars {
            let at = |p: Place| match p {
                Place::Scalar(s) => scratch.scalars[s],
                _ => 0.0,
            };
            let value = match small.op {
                Op::Constant(bits) => f64::from_bits(bits),
                Op::Coordinate(_) => tile.plane,
                Op::Time => time,
                op => apply(op, at(small.operands[0]), at(small.operands[1])),
            };
            scratch.scalars.push(value);
        }
        let Scratch { scalars, rows, columns, .. } = scratch;
        for (list, values, coordinates) in [(&self.rows, rows, tile.rows), (&self.columns, columns, tile.columns)] {
            for (i, small) in list.iter().enumerate() {
                let (before, rest) = values.split_at_mut(i);
                let mine = &mut rest[0];
                mine.resize(coordinates.len(), 0.0);
                let [a, b] = small.operands.map(|p| match p {
                    Place::Scalar(s) => Values::One(scalars[s]),
                    Place::Row(r) | Place::Column(r) => Values::Slice(&before[r]),
                    _ => Values::One(0.0),
                });
                match small.op {
                    Op::Coordinate(_) => mine.copy_from_slice(coordinates),
                    op => execute(Code::of(op), mine, a, b, Values::One(0.0)),
                }
            }
        }
    }

    /// The same bits as [`Self::pieces`]: wider registers, no fused operations.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn pieces_avx2(&self, tile: &Tile, inputs: [&[&[T]]; 2], outputs: &mut [&mut [T]], scratch: &mut Scratch<T>) {
        self.pieces(tile, inputs, outputs, scratch);
    }

    #[inline(always)]
    fn pieces(&self, tile: &Tile, inputs: [&[&[T]]; 2], outputs: &mut [&mut [T]], scratch: &mut Scratch<T>) {
        let input = |i: usize| inputs[0].get(i).copied().unwrap_or_else(|| inputs[1][i - inputs[0].len()]);
        let Scratch { scalars, rows, columns, registers } = scratch;
        let width = tile.columns.len().max(1);
        let mut first = 0;
        while first < tile.len() {
            // Pieces begin anywhere in a row; rows and columns are spread out over them as they come.
            let n = PIECE.min(tile.len() - first);
            for instruction in &self.full {
                let mut hold = Vec::new();
                let d: &mut [T] = match instruction.target {
                    Target::Register(r) => {
                        std::mem::swap(&mut hold, &mut registers[r]);
                        &mut hold[..n]
                    }
                    Target::Output(o) => {
                        let reals = self.reals[o];
                        &mut outputs[o][first * reals..(first + n) * reals]
                    }
                };
                let values = |p: Place| match p {
                    Place::Register(r) => Values::Slice(&registers[r][..n]),
                    Place::Input(i) => Values::Slice(&input(i)[first..first + n]),
                    Place::Scalar(s) => Values::One(T::of(scalars[s])),
                    Place::Row(_) | Place::Column(_) | Place::None => Values::One(T::zero()),
                };
                let [a, b, c] = instruction.operands;
                match (instruction.code, a) {
                    (Code::Copy, Place::Row(r)) => spread_rows(d, first, width, &rows[r]),
                    (Code::Copy, Place::Column(k)) => spread_columns(d, first, width, &columns[k]),
                    (Code::Even | Code::Odd, Place::Input(i)) => {
                        let part = usize::from(instruction.code == Code::Odd);
                        let pairs = input(i)[2 * first..2 * (first + n)].as_chunks::<2>().0;
                        d.iter_mut().zip(pairs).for_each(|(d, z)| *d = z[part]);
                    }
                    (code, _) => execute(code, d, values(a), values(b), values(c)),
                }
                if let Target::Register(r) = instruction.target {
                    std::mem::swap(&mut hold, &mut registers[r]);
                }
            }
            first += n;
        }
    }
}

/// Values `first..` of the tile, each the one of its row.
fn spread_rows<T: Real>(d: &mut [T], first: usize, width: usize, rows: &[f64]) {
    let (mut row, mut done) = (first / width, 0);
    let mut left = width - first % width;
    while done < d.len() {
        let n = left.min(d.len() - done);
        d[done..done + n].fill(T::of(rows[row]));
        (done, row, left) = (done + n, row + 1, width);
    }
}

/// Values `first..` of the tile, each the one of its column.
fn spread_columns<T: Real>(d: &mut [T], first: usize, width: usize, columns: &[f64]) {
    let (mut column, mut done) = (first % width, 0);
    while done < d.len() {
        let n = (width - column).min(d.len() - done);
        let from = &columns[column..column + n];
        d[done..done + n].iter_mut().zip(from).for_each(|(d, &c)| *d = T::of(c));
        (done, column) = (done + n, 0);
    }
}

#[derive(Clone, Copy)]
enum Values<'a, T> {
    Slice(&'a [T]),
    One(T),
}

#[inline(always)]
fn unary<T: Real>(d: &mut [T], a: Values<T>, f: impl Fn(T) -> T) {
    match a {
        Values::Slice(a) => d.iter_mut().zip(a).for_each(|(d, &a)| *d = f(a)),
        Values::One(a) => d.fill(f(a)),
    }
}

#[inline(always)]
fn binary<T: Real>(d: &mut [T], a: Values<T>, b: Values<T>, f: impl Fn(T, T) -> T) {
    match (a, b) {
        (Values::Slice(a), Values::Slice(b)) => {
            d.iter_mut().zip(a).zip(b).for_each(|((d, &a), &b)| *d = f(a, b));
        }
        (Values::One(a), b) => unary(d, b, |b| f(a, b)),
        (a, Values::One(b)) => unary(d, a, |a| f(a, b)),
    }
}

#[inline(always)]
fn ternary<T: Real>(d: &mut [T], a: Values<T>, b: Values<T>, c: Values<T>, f: impl Fn(T, T, T) -> T) {
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
fn execute<T: Real>(code: Code, d: &mut [T], a: Values<T>, b: Values<T>, c: Values<T>) {
    match code {
        Code::Copy | Code::Even | Code::Odd => unary(d, a, |a| a),
        Code::Add => binary(d, a, b, |a, b| a + b),
        Code::Sub => binary(d, a, b, |a, b| a - b),
        Code::Mul => binary(d, a, b, |a, b| a * b),
        Code::Div => binary(d, a, b, |a, b| a / b),
        Code::Neg => unary(d, a, |a| -a),
        Code::Pow => binary(d, a, b, |a, b| T::of(power(a.to_f64(), b.to_f64()))),
        Code::Atan2 => binary(d, a, b, |a, b| T::of(elementary::atan2(a.to_f64(), b.to_f64()))),
        Code::Min => binary(d, a, b, |a, b| a.min(b)),
        Code::Max => binary(d, a, b, |a, b| a.max(b)),
        Code::MulAdd => ternary(d, a, b, c, |a, b, c| a * b + c),
        Code::MulSub => ternary(d, a, b, c, |a, b, c| c - a * b),
        Code::Weave => {
            let pairs = d.as_chunks_mut::<2>().0;
            match (a, b) {
                (Values::Slice(a), Values::Slice(b)) => {
                    pairs.iter_mut().zip(a).zip(b).for_each(|((d, &a), &b)| *d = [a, b]);
                }
                (Values::Slice(a), Values::One(b)) => pairs.iter_mut().zip(a).for_each(|(d, &a)| *d = [a, b]),
                (Values::One(a), Values::Slice(b)) => pairs.iter_mut().zip(b).for_each(|(d, &b)| *d = [a, b]),
                (Values::One(a), Values::One(b)) => pairs.fill([a, b]),
            }
        }
        Code::Call(Function::Sqrt) => unary(d, a, |a| a.sqrt()),
        Code::Call(Function::Abs) => unary(d, a, |a| a.abs()),
        Code::Call(Function::Reciprocal) => {
            unary(d, a, |a| if a == T::zero() { T::zero() } else { T::one() / a });
        }
        Code::Call(f) => unary(d, a, |a| T::of(f.of(a.to_f64()))),
    }
}

/// One operation on numbers.
fn apply(op: Op, a: f64, b: f64) -> f64 {
    match op {
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
        Op::Constant(bits) => f64::from_bits(bits),
        Op::Coordinate(_) | Op::Time | Op::Leaf(_) => 0.0,
    }
}

struct Compiler<'a> {
    graph: &'a Graph,
    outputs: &'a [Output],
    source: &'a dyn Fn(u32) -> Source,
    places: HashMap<Id, Place>,
    scalars: Vec<Small>,
    rows: Vec<Small>,
    columns: Vec<Small>,
    full: Vec<Instruction>,
    /// How often each node is still read.
    uses: HashMap<Id, usize>,
    free: Vec<usize>,
    registers: usize,
    /// Values spread from rows and columns to registers; kept to the end of the piece.
    spread: HashMap<Id, usize>,
}

impl<'a> Compiler<'a> {
    fn new(graph: &'a Graph, outputs: &'a [Output], source: &'a dyn Fn(u32) -> Source) -> Self {
        Compiler {
            graph,
            outputs,
            source,
            places: HashMap::new(),
            scalars: Vec::new(),
            rows: Vec::new(),
            columns: Vec::new(),
            full: Vec::new(),
            uses: HashMap::new(),
            free: Vec::new(),
            registers: 0,
            spread: HashMap::new(),
        }
    }

    fn compile<T>(mut self) -> Program<T> {
        let roots: Vec<Id> = self
            .outputs
            .iter()
            .flat_map(|o| match *o {
                Output::Real(a) => vec![a],
                Output::Pair(a, b) => vec![a, b],
            })
            .collect();
        let order = self.graph.reachable(&roots);
        for id in order.iter().flat_map(|&id| self.graph.op(id).operands()).chain(roots) {
            *self.uses.entry(id).or_insert(0) += 1;
        }
        // Products that are only added to something become one instruction with the sum.
        let mut fused = HashMap::new();
        for &id in &order {
            let product = |p: Id| matches!(self.graph.op(p), Op::Mul(..)) && self.uses[&p] == 1 && self.is_full(p);
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
            if fused.contains_key(&id) {
                continue;
            }
            self.node(id, sums.get(&id).copied());
            self.store(id);
        }
        Program {
            scalars: self.scalars,
            rows: self.rows,
            columns: self.columns,
            full: self.full,
            registers: self.registers,
            reals: self.outputs.iter().map(|o| if matches!(o, Output::Real(_)) { 1 } else { 2 }).collect(),
            pool: Mutex::new(Vec::new()),
        }
    }

    /// Whether a node varies over the values of a tile in other ways than by its row or its column alone.
    fn is_full(&self, id: Id) -> bool {
        let depends = self.graph.depends(id);
        depends.leaves || depends.coordinates & 0b110 == 0b110
    }

    fn node(&mut self, id: Id, fused: Option<(Id, Code, Id)>) {
        let op = self.graph.op(id);
        let depends = self.graph.depends(id);
        if !self.is_full(id) {
            let mut operands = [Place::None; 2];
            for (slot, operand) in operands.iter_mut().zip(op.operands()) {
                *slot = self.places[&operand];
            }
            let small = Small { op, operands };
            let (list, place): (_, fn(usize) -> Place) = match depends.coordinates & 0b110 {
                0 => (&mut self.scalars, Place::Scalar),
                0b010 => (&mut self.rows, Place::Row),
                _ => (&mut self.columns, Place::Column),
            };
            self.places.insert(id, place(list.len()));
            list.push(small);
            return;
        }
        let none = Place::None;
        let (code, ids): (Code, Vec<Id>) = match (op, fused) {
            (_, Some((product, code, rest))) => {
                let mut ids: Vec<Id> = self.graph.op(product).operands().collect();
                ids.push(rest);
                (code, ids)
            }
            (Op::Leaf(leaf), _) => {
                let source = (self.source)(leaf);
                match source.part {
                    None => drop(self.places.insert(id, Place::Input(source.array))),
                    Some(part) => {
                        let register = self.register();
                        let code = if part == 0 { Code::Even } else { Code::Odd };
                        let target = Target::Register(register);
                        let operands = [Place::Input(source.array), none, none];
                        self.full.push(Instruction { code, operands, target });
                        self.places.insert(id, Place::Register(register));
                    }
                }
                return;
            }
            (op, _) => (Code::of(op), op.operands().collect()),
        };
        let mut operands = [none; 3];
        for (slot, &operand) in operands.iter_mut().zip(&ids) {
            *slot = self.whole(operand);
        }
        let target = match self.only_output(id) {
            Some(output) => Target::Output(output),
            None => {
                let register = self.register();
                self.places.insert(id, Place::Register(register));
                Target::Register(register)
            }
        };
        self.full.push(Instruction { code, operands, target });
        ids.iter().for_each(|&id| self.release(id));
    }

    /// The output that is the only reader of a node, if it is one of reals.
    fn only_output(&self, id: Id) -> Option<usize> {
        (self.uses[&id] == 1).then(|| self.outputs.iter().position(|o| *o == Output::Real(id))).flatten()
    }

    /// A place that an instruction can read: values of rows and columns are spread over a register first.
    fn whole(&mut self, id: Id) -> Place {
        let place = self.places[&id];
        if !matches!(place, Place::Row(_) | Place::Column(_)) {
            return place;
        }
        if let Some(&register) = self.spread.get(&id) {
            return Place::Register(register);
        }
        let register = self.registers;
        self.registers += 1;
        self.spread.insert(id, register);
        let none = Place::None;
        let target = Target::Register(register);
        self.full.push(Instruction { code: Code::Copy, operands: [place, none, none], target });
        Place::Register(register)
    }

    /// A register for a result. Operands are released after their instruction, so it is never one of them.
    fn register(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            self.registers += 1;
            self.registers - 1
        })
    }

    fn release(&mut self, id: Id) {
        let left = self.uses.get_mut(&id).expect("counted");
        *left -= 1;
        if *left == 0
            && let Some(&Place::Register(register)) = self.places.get(&id)
        {
            self.free.push(register);
        }
    }

    /// Writes the outputs that become complete with node `id`.
    fn store(&mut self, id: Id) {
        for (o, output) in self.outputs.iter().enumerate() {
            match *output {
                Output::Real(root) if root == id => {
                    let Some(&place) = self.places.get(&id) else { continue };
                    let none = Place::None;
                    let target = Target::Output(o);
                    self.full.push(Instruction { code: Code::Copy, operands: [place, none, none], target });
                    self.release(id);
                }
                Output::Pair(re, im) if re.max(im) == id => {
                    let operands = [self.whole(re), self.whole(im), Place::None];
                    self.full.push(Instruction { code: Code::Weave, operands, target: Target::Output(o) });
                    self.release(re);
                    self.release(im);
                }
                _ => {}
            }
        }
    }
}
