//! Sinkhorn iterations on grids against NumPy scaling (plain u, v and one GEMM per axis), interleaved in one run.
//!
//!     cargo bench --bench grid            PYTHON=… names an interpreter with NumPy; without one, only our side is timed
//!
//! Cells [0,1]^d, cost |x−y|², a Gaussian blob to another, one thread each: processor time, so that other work on the
//! machine counts little. Medians of the rounds; an iteration is a row and a column update.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use spanwise::solvers::transport::grid::{GridCost, GridPasses, LaplaceKernel, Level, Serial};
use spanwise::solvers::transport::passes::{Passes, Precision};

const EPSILON: f64 = 0.005;
const ROUNDS: usize = 9;
const ITERATIONS: usize = 5;

/// For each line "n_1 n_2 … iterations" on stdin: seconds per iteration.
const NUMPY: &str = r#"
import sys, time, numpy as np
def task(shape):
    ax = [(np.arange(s) + 0.5) / s for s in shape]
    mesh = np.meshgrid(*ax, indexing="ij")
    def blob(c, s):
        r = np.exp(-sum((m - c) ** 2 for m in mesh) / (2 * s * s)) + 1e-4
        return r / r.sum()
    return blob(.3, .1), blob(.7, .12), [np.exp(-(q[:, None] - q[None]) ** 2 / 0.005) for q in ax], [np.ones(shape)]
def K(k, h):
    for axis, m in enumerate(k):
        h = np.moveaxis(np.tensordot(m, h, axes=(1, axis)), 0, axis)
    return h
print("ready", np.__version__, flush=True)
tasks = {}
for line in sys.stdin:
    *shape, n = map(int, line.split())
    a, b, k, v = tasks.setdefault(tuple(shape), task(shape))
    start = time.process_time()
    for _ in range(n):
        u = a / K(k, v[0])
        v[0] = b / K(k, u)
    print((time.process_time() - start) / n, flush=True)
"#;

struct Numpy {
    child: Child,
    answers: BufReader<std::process::ChildStdout>,
    version: String,
}

impl Numpy {
    fn start() -> Option<Self> {
        let python = std::env::var("PYTHON").unwrap_or("python3".into());
        let mut child = Command::new(python)
            .args(["-c", NUMPY])
            .env("OPENBLAS_NUM_THREADS", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut answers = BufReader::new(child.stdout.take()?);
        let mut version = String::new();
        answers.read_line(&mut version).ok()?;
        let version = version.strip_prefix("ready ")?.trim().to_string();
        Some(Numpy { child, answers, version })
    }

    fn seconds_per_iteration(&mut self, shape: &[usize]) -> f64 {
        let shape = shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" ");
        writeln!(self.child.stdin.as_ref().expect("piped"), "{shape} {ITERATIONS}").expect("NumPy is gone");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("NumPy is gone");
        answer.trim().parse().expect("seconds")
    }
}

fn blob(shape: &[usize], centre: f64, width: f64) -> Vec<f64> {
    let points: usize = shape.iter().product();
    let mut weights: Vec<f64> = (0..points)
        .map(|mut i| {
            let mut square = 0.0;
            for &n in shape.iter().rev() {
                let d = ((i % n) as f64 + 0.5) / n as f64 - centre;
                square += d * d;
                i /= n;
            }
            (-square / (2.0 * width * width)).exp() + 1e-4
        })
        .collect();
    let sum: f64 = weights.iter().sum();
    weights.iter_mut().for_each(|w| *w /= sum);
    weights
}

struct Ours {
    passes: GridPasses<Serial>,
    phi: Vec<f64>,
    psi: Vec<f64>,
}

impl Ours {
    fn new(shape: &[usize], precision: Precision, epsilon: f64, level: Level) -> Self {
        let x: Vec<Vec<f64>> = shape.iter().map(|&n| (0..n).map(|i| (i as f64 + 0.5) / n as f64).collect()).collect();
        let cost = GridCost::power(&x, &x, 2.0);
        let laplace = LaplaceKernel::new(&x, 1.0);
        let (a, b) = (blob(shape, 0.3, 0.1), blob(shape, 0.7, 0.12));
        let n = a.len();
        let mut passes = GridPasses::new(cost, a, b, epsilon, laplace, level, Serial);
        passes.set_precision(precision);
        Ours { passes, phi: vec![0.0; n], psi: vec![0.0; n] }
    }

    fn seconds_per_iteration(&mut self) -> f64 {
        let start = processor_seconds();
        let mut next = vec![0.0; self.phi.len()];
        for _ in 0..ITERATIONS {
            self.passes.row_then_col(&self.phi, &|_, t| t, &mut self.psi, &mut next).expect("one rank");
            std::mem::swap(&mut self.phi, &mut next);
        }
        (processor_seconds() - start) / ITERATIONS as f64
    }
}

fn processor_seconds() -> f64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `t` is a valid place for the answer.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut t) };
    t.tv_sec as f64 + 1e-9 * t.tv_nsec as f64
}

fn median(mut x: Vec<f64>) -> f64 {
    x.sort_by(f64::total_cmp);
    x[x.len() / 2]
}

fn main() {
    // Ours is one thread with Serial; the element-wise parts use rayon.
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global().expect("first use");
    let mut numpy = Numpy::start();
    match &numpy {
        Some(numpy) => println!("NumPy {}, one thread each, {:?}", numpy.version, Level::detect()),
        None => println!("no NumPy (set PYTHON), one thread, {:?}", Level::detect()),
    }
    println!(
        "{:>14} {:>8} {:>9} {:>9} {:>9} {:>7} {:>7}",
        "grid", "epsilon", "NumPy ms", "f64 ms", "f32 ms", "f64 ×", "f32 ×"
    );
    for shape in [&[256usize, 256][..], &[64, 64, 64], &[1024, 1024]] {
        for epsilon in [EPSILON, 0.1 * EPSILON] {
            let mut double = Ours::new(shape, Precision::F64, epsilon, Level::detect());
            let mut single = Ours::new(shape, Precision::F32, epsilon, Level::detect());
            let mut times = [vec![], vec![], vec![]];
            let rounds = if shape[0] > 256 { 3 } else { ROUNDS };
            for round in 0..rounds + 2 {
                // NumPy under- and overflows at the smaller ε.
                let theirs = match &mut numpy {
                    Some(numpy) if epsilon == EPSILON => numpy.seconds_per_iteration(shape),
                    _ => f64::NAN,
                };
                let ours = [theirs, double.seconds_per_iteration(), single.seconds_per_iteration()];
                // Two rounds to warm up and to move the potentials away from zero.
                if round >= 2 {
                    times.iter_mut().zip(ours).for_each(|(times, t)| times.push(1e3 * t));
                }
            }
            let [theirs, double, single] = times.map(median);
            let name = shape.iter().map(usize::to_string).collect::<Vec<_>>().join("×");
            println!(
                "{name:>14} {epsilon:>8} {theirs:>9.3} {double:>9.3} {single:>9.3} {:>7.2} {:>7.2}",
                theirs / double,
                theirs / single
            );
        }
    }
    if let Some(numpy) = &mut numpy {
        drop(numpy.child.stdin.take());
        let _ = numpy.child.wait();
    }
}
