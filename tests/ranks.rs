//! Equality, no tolerance: the same bits on any number of ranks and threads, for every kind of problem.

// Takes long, and is the same without MPI.
#![cfg(feature = "mpi")]

mod common;

use std::sync::Mutex;

use common::Stored;
use spanwise::team::threads;

/// What a run leaves: state, derived results, headline numbers, steps.
#[derive(Debug, PartialEq)]
struct Left {
    state: Stored,
    results: Stored,
    report: Vec<(String, u64)>,
    steps: u64,
}

fn run(text: &str, ranks: usize, steps: u64) -> Left {
    let (state, results) = (Mutex::new(Stored::new()), Mutex::new(Stored::new()));
    let mut reports = threads::run(ranks, |team| {
        let mut solver = common::build(text, team);
        let (made, _) = common::advance(solver.as_mut(), team, 0, steps);
        (common::leave(solver.as_mut(), team, &state, &results), made)
    });
    assert!(reports.windows(2).all(|pair| pair[0] == pair[1]), "ranks report different numbers");
    let (report, steps) = reports.pop().unwrap();
    Left { state: state.into_inner().unwrap(), results: results.into_inner().unwrap(), report, steps }
}

#[test]
fn same_bits_on_1_to_7_ranks_for_every_kind_of_problem() {
    for (name, text) in common::problems() {
        let one = run(&text, 1, 25);
        for ranks in 2..=7 {
            let many = run(&text, ranks, 25);
            for (key, value) in &one.state {
                assert_eq!(many.state.get(key), Some(value), "{name}: state {key} on {ranks} ranks");
            }
            assert_eq!(many, one, "{name}: {ranks} ranks");
        }
    }
}

/// A grid of 8 planes over up to 20 ranks, as pencils; and kept fields on so few points that most ranks hold none.
#[test]
fn more_ranks_than_planes_leave_the_same_bits_up_to_the_pencil_limit() {
    let text = |grid: &str| {
        format!(
            "solver = \"spectral\"\n[problem]\npoints = [8, 10, 9]\nend_time = 0.3\n\
             equation = {{ kind = \"navier_stokes_3d\", viscosity = 0.05 }}\n\
             initial = {{ kind = \"random\", spectrum = {{ kind = \"von_karman\", peak = 2.0 }} }}\n\
             output = {{ points = [2, 3, 2], statistics = {{ every = 2 }} }}\n{grid}\n\
             [method]\nscheme = \"if_rk4\"\ntime_step = 0.03\n"
        )
    };
    let one = run(&text(""), 1, 8);
    for ranks in [9, 13, 16, 20] {
        assert_eq!(run(&text(""), ranks, 8), one, "{ranks} ranks");
    }
    for [p1, p2] in [[8, 2], [3, 3], [2, 7], [1, 10]] {
        let ranks = p1 * p2;
        assert_eq!(run(&text(&format!("process_grid = [{p1}, {p2}]")), ranks, 8), one, "{p1} × {p2} ranks");
    }
}

/// Blocks of a pass hold 44 of these long columns or two parts of 24: a rank has 48 of them, the other 47, which are too
/// many for one block and too few for two.
#[test]
fn pencils_of_which_one_could_take_products_at_once_and_one_could_not_leave_the_same_bits() {
    let text = |grid: &str| {
        format!(
            "solver = \"spectral\"\n[problem]\npoints = [336, 6, 285]\nend_time = 0.3\n\
             equation = {{ kind = \"navier_stokes_3d\", viscosity = 0.05 }}\n\
             initial = {{ kind = \"random\", spectrum = {{ kind = \"von_karman\", peak = 2.0 }} }}\n\
             output = {{ points = [2, 3, 2] }}\n{grid}\n\
             [method]\nscheme = \"if_rk4\"\ntime_step = 0.001\n"
        )
    };
    assert_eq!(run(&text("process_grid = [1, 2]"), 2, 2), run(&text(""), 1, 2));
}

/// The awkward sizes of the transforms' tests, as a flow.
#[test]
fn a_flow_on_96_80_63_points_has_the_same_bits_on_1_to_7_ranks() {
    let text = "solver = \"spectral\"\n[problem]\npoints = [96, 80, 63]\nend_time = 0.3\n\
                equation = { kind = \"navier_stokes_3d\", viscosity = 0.05 }\n\
                initial = { kind = \"random\", spectrum = { kind = \"von_karman\", peak = 2.0 } }\n\
                [method]\nscheme = \"if_rk4\"\ntime_step = 0.03\n";
    let one = run(text, 1, 1);
    for ranks in 2..=7 {
        assert_eq!(run(text, ranks, 1), one, "{ranks} ranks");
    }
}

/// 4 200 000 points of one axis are past 2²², from where on a transform goes in four steps, and are written whole.
#[test]
fn a_line_of_4_200_000_points_has_the_same_bits_on_1_and_2_ranks() {
    let text = "solver = \"spectral\"\n[problem]\npoints = [4200000]\nlengths = [1.0]\nend_time = 1e-9\n\
                equation = { kind = \"burgers\", viscosity = 1e-6 }\n\
                initial = { kind = \"expressions\", fields = { u = \"sin(2*pi*x) + cos(2e6*pi*x)\" } }\n\
                [method]\nscheme = \"if_rk4\"\ntime_step = 1e-9\n";
    assert_eq!(run(text, 1, 1), run(text, 2, 1));
}

#[test]
fn same_bits_on_1_and_3_threads_for_every_kind_of_problem() {
    for (name, text) in common::problems() {
        let with = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let (state, results) = (Mutex::new(Stored::new()), Mutex::new(Stored::new()));
                let team = spanwise::team::Solo;
                let mut solver = common::build(&text, &team);
                common::advance(solver.as_mut(), &team, 0, 20);
                let report = common::leave(solver.as_mut(), &team, &state, &results);
                (state.into_inner().unwrap(), results.into_inner().unwrap(), report)
            })
        };
        assert_eq!(with(3), with(1), "{name}");
    }
}
