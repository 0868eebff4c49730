//! What `check` says of messages is what ranks send: counted in the team, in every step, on 1 to 16 ranks.

// Takes long, and is the same without MPI.
#![cfg(feature = "mpi")]

#[allow(dead_code)]
mod common;

use std::path::Path;

use common::counted::{Counted, Sent};
use spanwise::input::Input;
use spanwise::solvers::{self, Estimate};
use spanwise::team::threads;

/// Steps before those that are counted: multistep schemes start with others.
const WARM: u64 = 4;
const COUNTED: u64 = 2;

fn checked(text: &str, ranks: usize) -> Estimate {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("inputs/spectral/thermal.toml");
    let input = Input::parse(&path, text, &[]).unwrap_or_else(|e| panic!("{e}\n{text}"));
    (solvers::find("spectral").unwrap().check)(&input, ranks, 1).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

fn difference(before: Sent, after: Sent) -> Sent {
    Sent {
        messages: after.messages - before.messages,
        bytes: after.bytes - before.bytes,
        meetings: after.meetings - before.meetings,
        met_bytes: after.met_bytes - before.met_bytes,
    }
}

/// What each rank sends in the counted steps, which come after `warm` others, and for the record of the last.
fn sent(text: &str, ranks: usize, warm: u64) -> (Vec<Sent>, Vec<Sent>) {
    let both = threads::run(ranks, |team| {
        let team = Counted::new(team, |_| ());
        let mut solver = common::build(text, &team);
        common::advance(solver.as_mut(), &team, 0, warm);
        let before = team.sent();
        common::advance(solver.as_mut(), &team, warm, warm + COUNTED);
        let after = team.sent();
        solver.measure(&team).unwrap();
        (difference(before, after), difference(after, team.sent()))
    });
    both.into_iter().unzip()
}

/// (name, input); steps that are taken a second time for their error would send twice as much.
fn problems() -> Vec<(&'static str, String)> {
    let case = |name, problem: &str, method: &str| {
        let text = format!(
            "solver = \"spectral\"\n[problem]\nend_time = 10.0\n{problem}\nGRID\n[method]\ntime_error = false\n{method}\n"
        );
        (name, text)
    };
    vec![
        case(
            "Navier–Stokes, Taylor–Green",
            "points = [24, 20, 18]\nequation = { kind = \"navier_stokes_3d\", viscosity = 0.05 }",
            "scheme = \"if_rk4\"\ntime_step = 0.01",
        ),
        case(
            "Navier–Stokes, padded, ARS443, f32",
            "points = [16, 18, 20]\ndealiasing = \"padding\"\nprecision = \"f32\"\n\
             equation = { kind = \"navier_stokes_3d\", viscosity = 0.05 }",
            "scheme = \"ars443\"\ntime_step = 0.01",
        ),
        case(
            "vorticity",
            "points = [48, 40]\nequation = { kind = \"vorticity_2d\", viscosity = 0.01 }\n\
             initial = { kind = \"random\", spectrum = { kind = \"exponential_peak\", peak = 4.0 }, amplitude = 0.1 }",
            "scheme = \"sbdf3\"\ntime_step = 0.002",
        ),
        case(
            "written, with a constraint",
            "points = [20, 48]\nequation = { kind = \"written\", vectors = { u = [\"ux\", \"uy\"] }, \
             rhs = { u = \"-dot(u, grad(u)) + 0.05*lap(u)\" }, constraint = \"div(u) = 0\" }\n\
             initial = { kind = \"expressions\", fields = { ux = \"sin(y)\", uy = \"cos(2*x)\" } }",
            "scheme = \"etdrk4\"\ntime_step = 0.01",
        ),
        case(
            "convection between walls",
            "points = [24, 36]\nlengths = [1.0, 2.0]\n\
             equation = { kind = \"rayleigh_benard\", rayleigh = 1e4, prandtl = 0.7 }",
            "scheme = \"sbdf2\"\ntime_step = 0.0005",
        ),
        case(
            "channel",
            "points = [17, 16, 20]\nlengths = [2.0, 3.0, 6.0]\n\
             equation = { kind = \"channel\", viscosity = 0.01, drive = { kind = \"flux\", bulk_velocity = 1.0 } }",
            "scheme = \"smr_rk3\"\ntime_step = 0.002",
        ),
        case(
            "Kuramoto–Sivashinsky, an ensemble",
            "points = [32]\nlengths = [22]\nequation = { kind = \"kuramoto_sivashinsky\" }\nensemble = { members = 5 }",
            "time_step = 0.05",
        ),
    ]
}

fn compare(name: &str, text: &str, ranks: usize, agreements: u64) {
    let promised = checked(text, ranks);
    let (sent, for_record) = sent(text, ranks, WARM);
    let most = |of: fn(&Sent) -> u64| sent.iter().map(of).max().unwrap();
    let measured = (most(|s| s.messages), most(|s| s.bytes));
    let model = (COUNTED * promised.messages_per_step, COUNTED * promised.bytes_per_step);
    assert_eq!(measured, model, "{name}: (messages, bytes) of the busiest of {ranks} ranks in {COUNTED} steps");
    let most = |of: fn(&Sent) -> u64| for_record.iter().map(of).max().unwrap();
    let (measured, model) =
        ((most(|s| s.messages), most(|s| s.bytes)), (promised.messages_per_record, promised.bytes_per_record));
    assert_eq!(measured, model, "{name}: (messages, bytes) of the busiest of {ranks} ranks for a record");
    // Where all ranks meet: a few bytes each, whatever the grid.
    for s in &sent {
        assert_eq!(s.meetings, if ranks == 1 { 0 } else { COUNTED * agreements }, "{name}: {ranks} ranks");
        assert!(s.met_bytes <= 32 * s.meetings, "{name}: {} bytes in {} meetings", s.met_bytes, s.meetings);
    }
}

#[test]
fn messages_and_bytes_of_a_step_are_those_that_check_says_on_1_to_16_ranks() {
    for (name, text) in problems() {
        let text = text.replace("GRID", "");
        let agreements = match name {
            n if n.contains("ensemble") => 0,
            n if n.contains("walls") || n.contains("channel") => 1,
            _ => 2,
        };
        for ranks in 1..=16 {
            compare(name, &text, ranks, agreements);
        }
    }
}

#[test]
fn slabs_and_pencils_given_by_hand_send_what_check_says() {
    for (name, text) in problems().into_iter().filter(|(name, _)| name.contains("Navier") || name.contains("channel")) {
        let agreements = if name.contains("channel") { 1 } else { 2 };
        for [p1, p2] in [[1, 7], [7, 1], [2, 3], [3, 2], [4, 4], [5, 3], [2, 8], [16, 1], [1, 9]] {
            let text = text.replace("GRID", &format!("process_grid = [{p1}, {p2}]"));
            compare(name, &text, p1 * p2, agreements);
        }
    }
}

#[test]
fn keeping_fields_real_takes_the_messages_besides_that_check_says_on_1_to_16_ranks() {
    let text = |problem: &str, method: &str| {
        format!(
            "solver = \"spectral\"\n[problem]\nend_time = 10.0\n{problem}\n[method]\ntime_error = false\n{method}\n"
        )
    };
    // L lets the mean grow as e^{12 t}: by more than e in each long step, by little in the short ones. With walls the 8th
    // step of a run is one of two after the 7th.
    let growing = |time_step: f64| {
        let problem = "points = [12, 20, 14]\ninitial = { kind = \"expressions\", fields = { u = \"0.1*sin(x + y)\" } }\n\
                       equation = { kind = \"written\", fields = [\"u\"], rhs = { u = \"12*u + lap(u) - u^3\" } }";
        text(problem, &format!("scheme = \"sbdf2\"\ntime_step = {time_step}"))
    };
    let heated = text(
        "points = [17, 12, 20]\nlengths = [1.0, 2.0, 2.0]\n\
         equation = { kind = \"rayleigh_benard\", rayleigh = 1e4, prandtl = 0.7 }",
        "scheme = \"sbdf2\"\ntime_step = 0.0005",
    );
    let (long, short) = (growing(0.1), growing(0.001));
    for (with, without, times) in [((&long, WARM), (&short, WARM), COUNTED), ((&heated, 7), (&heated, WARM), 1)] {
        let mut sending = 0;
        for ranks in 1..=16 {
            let promised = checked(with.0, ranks).problem;
            let line = promised.iter().find(|(key, _)| key == "keeping fields real takes");
            let numbers = line.iter().flat_map(|(_, line)| line.split(' ').filter_map(|word| word.parse().ok()));
            let [messages, bytes]: [u64; 2] = numbers.take(2).collect::<Vec<_>>().try_into().unwrap_or_else(|_| [0, 0]);
            sending += u64::from(messages > 0);
            let (with, without) = (sent(with.0, ranks, with.1).0, sent(without.0, ranks, without.1).0);
            let most =
                |of: fn(&Sent) -> u64| with.iter().zip(&without).map(|(with, without)| of(with) - of(without)).max();
            assert_eq!(most(|s| s.messages), Some(times * messages), "{ranks} ranks: {line:?}");
            assert_eq!(most(|s| s.bytes), Some(times * bytes), "{ranks} ranks: {line:?}");
            assert_eq!(most(|s| s.meetings), Some(0), "{ranks} ranks");
        }
        // One rank sends nothing, nor do those of a grid that cuts no axis with wavenumbers of both signs.
        assert!((12..16).contains(&sending), "of {sending} numbers of ranks");
    }
}

#[test]
fn check_answers_for_ten_thousand_and_a_million_ranks_within_two_seconds() {
    let text = |n: usize| {
        format!(
            "solver = \"spectral\"\n[problem]\npoints = [{n}, {n}, {n}]\nend_time = 10.0\n\
             equation = {{ kind = \"navier_stokes_3d\", viscosity = 1e-4 }}\n[method]\nscheme = \"if_rk4\"\ntime_step = 1e-4\n"
        )
    };
    let start = std::time::Instant::now();
    let [small, large] = [10_000, 1_000_000].map(|ranks| checked(&text(4096), ranks));
    assert!(start.elapsed().as_secs_f64() < 2.0, "{:?}", start.elapsed());
    // A rank sends all but a small part of what it holds, twice: with a hundred times the ranks about a hundredth.
    let ratio = small.bytes_per_step as f64 / large.bytes_per_step as f64;
    assert!((50.0..120.0).contains(&ratio), "{ratio}");
    assert!(large.messages_per_step > small.messages_per_step);
    let total = |e: &Estimate| e.memory.iter().map(|m| m.1).sum::<u64>();
    assert!(total(&large) < total(&small), "memory per rank falls with ranks");
}
