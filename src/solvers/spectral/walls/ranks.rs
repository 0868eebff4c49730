//! Same bits on any number of ranks, with the distributed transform and the schemes of the room.

use super::geometry::domain;
use super::input::{ChannelInput, RayleighBenardInput};
use super::solver::{Fixed, Start, WallFlow};
use super::tests::transform;
use crate::solvers::spectral::steppers::stepper;
use crate::solvers::{Number, Solver, Status};
use crate::team::{Team, threads};

/// Series at the end of a short run, and the coefficients with their places.
fn run(text: &str, points: &[usize], lengths: &[f64], scheme: &str, team: &dyn Team) -> (Vec<Number>, Vec<u64>) {
    let domain = domain(points, lengths, &vec![0.0; points.len()]);
    let (physics, start) = match toml::from_str::<RayleighBenardInput>(text) {
        Ok(input) => (input.physics(lengths).unwrap(), Start { disturbance: input.disturbance, ..Start::default() }),
        Err(_) => {
            let input: ChannelInput = toml::from_str(text).unwrap();
            let (physics, laminar) = input.physics(lengths[0]).unwrap();
            (physics, Start { disturbance: input.disturbance, laminar, ..Start::default() })
        }
    };
    let make = |fields: usize, modes: usize| stepper::<f64>(scheme, fields, modes).unwrap();
    let mut flow = WallFlow::new(
        physics,
        transform(&domain, team),
        &make,
        Box::new(Fixed { step: 0.01, end: 0.06 }),
        start,
        1,
        team,
    )
    .unwrap();
    for step in 1.. {
        if flow.step(step, team).unwrap() != Status::Running {
            break;
        }
    }
    flow.finish(team).unwrap();
    // The state in global order, as bits.
    let block = flow.block();
    let [_, rows, columns] = domain.modes();
    let mut places = Vec::new();
    for (f, array) in flow.fields().arrays.iter().enumerate() {
        for (at, z) in array.iter().enumerate() {
            let [_, height, width] = block.count;
            let (j, r, c) = (at / (height * width), at / width % height, at % width);
            let global = ((f * 1000 + j) * rows + block.start[1] + r) * columns + block.start[2] + c;
            places.push([global as u64, z.re.to_bits(), z.im.to_bits()]);
        }
    }
    let mut all = team.gather(&places);
    all.sort();
    (flow.report(), all.concat())
}

#[test]
fn flows_between_walls_have_the_same_bits_on_any_number_of_ranks() {
    let convection = "rayleigh = 5000.0\nprandtl = 0.7\nunits = \"free_fall\"\ndisturbance = 0.1";
    let channel = "viscosity = 0.001\ndrive = { kind = \"flux\", bulk_velocity = 0.7 }\ndisturbance = 0.2";
    for (text, points, scheme) in [
        (convection, &[17, 14][..], "sbdf2"),
        (convection, &[13, 10, 12], "ars443"),
        (channel, &[17, 11, 9], "smr_rk3"),
        (channel, &[16, 15], "cnab2"),
    ] {
        let lengths = &[1.0, 2.0, 3.0][..points.len()];
        let one = threads::run(1, |team| run(text, points, lengths, scheme, team)).remove(0);
        for ranks in 2..=5 {
            for (rank, other) in threads::run(ranks, |team| run(text, points, lengths, scheme, team)).iter().enumerate()
            {
                assert!(other == &one, "{points:?}, {scheme}: rank {rank} of {ranks} differs");
            }
        }
    }
}
