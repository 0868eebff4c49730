//! The time loop allocates nothing on one thread (error control and, where modes grow, multistep schemes now and then: some short lists), and nothing that grows with the grid on several threads or ranks.
//! Counted by an allocator of this program's own. Steps alone are counted: what is recorded in a series or kept of a
//! field grows with the run, and is asked for at chosen steps.

#[allow(dead_code)]
mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use spanwise::solvers::Solver;
use spanwise::team::{Solo, Team, threads};

use common::counted::Counted;

/// Counts what is asked of the system's allocator.
struct Counting;

static BYTES: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// Allocations of this thread, and their bytes.
    static MINE: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
    /// Whether it is inside a call of the team: mail between ranks that are threads is copied, messages of MPI are not.
    static AWAY: Cell<bool> = const { Cell::new(false) };
}

fn count(bytes: usize) {
    BYTES.fetch_add(bytes as u64, Ordering::Relaxed);
    // The counters of a thread that ends may be gone.
    if !AWAY.try_with(Cell::get).unwrap_or(true) {
        let _ = MINE.try_with(|n| n.set((n.get().0 + 1, n.get().1 + bytes as u64)));
    }
}

// SAFETY: all calls go on to the system's allocator as they are.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One test at a time: the counts of all threads are of this program.
static ALONE: Mutex<()> = Mutex::new(());

/// Steps that fill caches, plans and histories before counting starts.
const WARM: u64 = 6;
const COUNTED: u64 = 5;
/// Times that many steps are counted where threads come late.
const WINDOWS: u64 = 8;

fn input(problem: &str, method: &str) -> String {
    format!("solver = \"spectral\"\n[problem]\nend_time = 100.0\n{problem}\n[method]\n{method}\n")
}

/// (name, input on a grid of about n points per axis).
fn problems(n: usize) -> Vec<(&'static str, String)> {
    let random = |peak: f64| {
        format!(
            "initial = {{ kind = \"random\", spectrum = {{ kind = \"exponential_peak\", peak = {peak} }}, amplitude = 0.1 }}"
        )
    };
    let flow = |rest: &str| {
        format!(
            "points = [{n}, {n}, {n}]\nequation = {{ kind = \"navier_stokes_3d\", viscosity = 0.05 }}\n\
             initial = {{ kind = \"random\", spectrum = {{ kind = \"von_karman\", peak = 2.0 }}, amplitude = 0.1 }}\n{rest}"
        )
    };
    let vorticity = |rest: &str| {
        format!(
            "points = [{n}, {n}]\nequation = {{ kind = \"vorticity_2d\", viscosity = 0.01 }}\n{}\n{rest}",
            random(4.0)
        )
    };
    let line = 16 * n;
    let fixed = |scheme: &str, step: f64| format!("scheme = \"{scheme}\"\ntime_step = {step}");
    vec![
        (
            "Kuramoto–Sivashinsky, ETDRK4",
            input(
                &format!(
                    "points = [{line}]\nlengths = [64]\nequation = {{ kind = \"kuramoto_sivashinsky\" }}\n{}",
                    random(1.0)
                ),
                &fixed("etdrk4", 0.05),
            ),
        ),
        (
            "Schrödinger, CNAB2",
            input(
                &format!(
                    "points = [{line}]\nlengths = [40]\norigin = [-20]\nequation = {{ kind = \"nonlinear_schroedinger\" }}"
                ),
                &fixed("cnab2", 0.001),
            ),
        ),
        ("vorticity, ETDRK4", input(&vorticity(""), &fixed("etdrk4", 0.01))),
        ("vorticity, f32, ARS443", input(&vorticity("precision = \"f32\""), &fixed("ars443", 0.01))),
        ("vorticity, SBDF3", input(&vorticity(""), &fixed("sbdf3", 0.005))),
        ("vorticity, SMR-RK3", input(&vorticity(""), &fixed("smr_rk3", 0.01))),
        ("Navier–Stokes, IF-RK4", input(&flow(""), &fixed("if_rk4", 0.01))),
        ("Navier–Stokes, ARS443, padded", input(&flow("dealiasing = \"padding\""), &fixed("ars443", 0.01))),
        ("Navier–Stokes, CFL", input(&flow(""), "scheme = \"if_rk4\"\nstep_control = \"cfl\"\nmax_step = 0.01")),
        (
            "Navier–Stokes, error control",
            input(&flow(""), "step_control = \"error\"\ntime_step = 0.01\ntolerance = 1e-3\nmax_step = 0.02"),
        ),
        (
            "written, with a constraint",
            input(
                &format!(
                    "points = [{n}, {n}]\nequation = {{ kind = \"written\", fields = [\"b\"], vectors = {{ u = [\"ux\", \"uy\"] }}, \
                     rhs = {{ u = \"-dot(u, grad(u)) + 0.05*lap(u) + [0, b]\", b = \"-dot(u, grad(b)) + 0.05*lap(b) + 0.1*sin(b)\" }}, \
                     constraint = \"div(u) = 0\" }}\n\
                     initial = {{ kind = \"expressions\", fields = {{ ux = \"sin(y)\", uy = \"cos(2*x)\", b = \"cos(x)\" }} }}"
                ),
                &fixed("if_rk4", 0.01),
            ),
        ),
        (
            "vorticity, with directions",
            input(&vorticity("tangent = { vectors = 2, every = 100.0 }"), &fixed("if_rk4", 0.01)),
        ),
        (
            "written, with directions",
            input(
                &format!(
                    "points = [{n}, {n}]\nequation = {{ kind = \"written\", fields = [\"u\"], \
                     rhs = {{ u = \"lap(u) + sin(u) - u^5\" }} }}\n{}\ntangent = {{ vectors = 2, every = 100.0 }}",
                    random(3.0)
                ),
                &fixed("etdrk4", 0.01),
            ),
        ),
        (
            "random forcing, SBDF2",
            input(
                &format!(
                    "points = [{n}, {n}]\nequation = {{ kind = \"written\", fields = [\"u\"], rhs = {{ u = \"lap(u) - u*u\" }}, \
                     random = [{{ field = \"u\", amplitude = 0.5, band = [1, 3] }}] }}\n{}",
                    random(3.0)
                ),
                &fixed("sbdf2", 0.01),
            ),
        ),
        (
            "modes that grow by e in 2.5 steps, ETDRK4",
            input(
                &format!(
                    "points = [{n}, {n}, {n}]\nequation = {{ kind = \"written\", fields = [\"u\"], \
                     rhs = {{ u = \"4*u + lap(u) - u^3\" }} }}\n{}",
                    random(3.0)
                ),
                &fixed("etdrk4", 0.1),
            ),
        ),
        (
            "shallow water, ARS222",
            input(
                &format!("points = [{n}, {n}]\nequation = {{ kind = \"shallow_water\", coriolis = 0.7 }}"),
                &fixed("ars222", 0.005),
            ),
        ),
        (
            "Rayleigh–Bénard, SBDF2",
            input(
                &format!(
                    "points = [{n}, {n}]\nlengths = [1.0, 2.0]\n\
                     equation = {{ kind = \"rayleigh_benard\", rayleigh = 1e4, prandtl = 0.7 }}"
                ),
                &fixed("sbdf2", 0.0005),
            ),
        ),
        (
            "channel, ARS443",
            input(
                &format!(
                    "points = [{n}, {n}, {n}]\nlengths = [2.0, 3.0, 6.0]\n\
                     equation = {{ kind = \"channel\", viscosity = 0.01, drive = {{ kind = \"flux\", bulk_velocity = 1.0 }} }}"
                ),
                &fixed("ars443", 0.002),
            ),
        ),
    ]
}

fn steps(solver: &mut dyn Solver, team: &dyn Team, range: std::ops::Range<u64>) {
    for step in range {
        solver.step(step + 1, team).expect("a step");
    }
}

#[test]
fn steps_on_one_thread_allocate_nothing() {
    let _alone = ALONE.lock().unwrap_or_else(|e| e.into_inner());
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let found: Vec<String> = pool.install(|| {
        let of = |(name, text): (&str, String)| {
            let mut solver = common::build(&text, &Solo);
            steps(solver.as_mut(), &Solo, 0..WARM);
            let before = MINE.with(Cell::get).0;
            steps(solver.as_mut(), &Solo, WARM..WARM + COUNTED);
            let made = MINE.with(Cell::get).0 - before;
            // Norms of the state and of the error estimate come as short lists, one for each sum.
            let few = if name.contains("error control") { 10 * COUNTED } else { 0 };
            (made > few).then(|| format!("{name}: {made} allocations in {COUNTED} steps"))
        };
        problems(16).into_iter().filter_map(of).collect()
    });
    assert_eq!(found, Vec::<String>::new());
}

/// `small` and `large` are bytes of the same steps on grids of which one has 2 to 8 times the points.
fn grown(name: &str, small: u64, large: u64) -> Option<String> {
    // What the pool of threads and the lists of messages take varies a little from run to run.
    (large > small + small / 4 + 16_384).then(|| format!("{name}: {small} bytes, on the larger grid {large}"))
}

#[test]
fn steps_on_two_threads_allocate_nothing_that_grows_with_the_grid() {
    let _alone = ALONE.lock().unwrap_or_else(|e| e.into_inner());
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    // A thread makes its room when it first has a part of the work, on a busy machine many steps after the others: once.
    // What a step asks for is in every window.
    let made = |text: &str| -> u64 {
        pool.install(|| {
            let mut solver = common::build(text, &Solo);
            steps(solver.as_mut(), &Solo, 0..WARM);
            let window = |k: u64| {
                let before = BYTES.load(Ordering::SeqCst);
                let first = WARM + k * COUNTED;
                steps(solver.as_mut(), &Solo, first..first + COUNTED);
                BYTES.load(Ordering::SeqCst) - before
            };
            (0..WINDOWS).map(window).min().unwrap_or(0)
        })
    };
    let found: Vec<String> = problems(16)
        .into_iter()
        .zip(problems(32))
        .filter_map(|((name, small), (_, large))| grown(name, made(&small), made(&large)))
        .collect();
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn steps_on_three_ranks_allocate_nothing_that_grows_with_the_grid() {
    let _alone = ALONE.lock().unwrap_or_else(|e| e.into_inner());
    // Ranks that are threads work on their own thread then; where the pool is there already, it has its part of the work.
    let _ = rayon::ThreadPoolBuilder::new().num_threads(1).build_global();
    let made = |text: &str| -> u64 {
        let each = threads::run(3, |team| {
            let team = Counted::new(team, |inside| AWAY.with(|away| away.set(inside)));
            let mut solver = common::build(text, &team);
            steps(solver.as_mut(), &team, 0..WARM);
            let before = MINE.with(Cell::get).1;
            steps(solver.as_mut(), &team, WARM..WARM + COUNTED);
            MINE.with(Cell::get).1 - before
        });
        each.into_iter().max().expect("three ranks")
    };
    let found: Vec<String> = problems(16)
        .into_iter()
        .zip(problems(32))
        .filter_map(|((name, small), (_, large))| grown(name, made(&small), made(&large)))
        .collect();
    assert_eq!(found, Vec::<String>::new());
}
