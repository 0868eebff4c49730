//! Names of what a periodic problem in time walks and records, and how its coefficients are walked.

use num_complex::Complex;

use super::super::domain::{Block, Domain};
use super::super::equation::{Equation, FieldName, Quadratic};
use super::super::steppers::Stepper;
use super::super::time::Control;
use crate::error::Result;
use crate::math::real::Real;
use crate::state::{Data, Hyperslab, Name, Walk};

/// Names of what is walked and recorded; made once.
pub struct Names {
    pub fields: Vec<Name>,
    pub wavenumbers: Vec<Name>,
    /// Of sums over modes, of means over the grid, and k_max η where there is one.
    pub quadratics: Vec<Name>,
    pub directions: Vec<Name>,
    pub history: Vec<Vec<Name>>,
    pub numbers: Vec<Name>,
    pub control: Vec<Name>,
}

pub const TIME: Name = Name { name: "time", units: "1", meaning: "time of the state", axes: &[] };
pub const STEP: Name = Name { name: "time_step", units: "1", meaning: "size of the last time step", axes: &[] };
pub const CFL: Name = Name {
    name: "cfl",
    units: "1",
    meaning: "last time step times the sum over axes of speed and wavenumber",
    axes: &[],
};

impl Names {
    pub fn new<T: Real>(
        equation: &dyn Equation<T>,
        domain: &Domain,
        stepper: &mut dyn Stepper<T>,
        control: &mut Control,
        copies: usize,
    ) -> Names {
        let axes: Vec<String> = domain.own().iter().map(|a| format!("k{}", a.name)).collect();
        let labels: Vec<&str> = axes.iter().map(String::as_str).chain(["part"]).collect();
        let coefficients = |name: &str, field: &FieldName, of: &str| {
            let meaning = format!("coefficients of {}{of}, (real, imaginary)", field.meaning);
            Name::kept(name, &field.units, &meaning, &labels)
        };
        let number = |name: &str, of: &str| Name::kept(name, "1", &format!("of the {of}, for the next step"), &[]);
        let (arrays, numbers) = stepper.history();
        // Of the state, then of each direction.
        let one = |prefix: &str| -> Vec<Name> {
            let of = format!(" ({prefix}, for the next step)");
            let copy = |c: usize| if c == 0 { String::new() } else { format!("direction_{c}_") };
            let name = |c: usize, f: &FieldName| coefficients(&format!("{prefix}_{}{}", copy(c), f.name), f, &of);
            (0..copies).flat_map(|c| equation.fields().iter().map(move |f| (c, f))).map(|(c, f)| name(c, f)).collect()
        };
        let direction = |c: usize, f: &FieldName| {
            coefficients(
                &format!("direction_{c}_{}", f.name),
                f,
                &format!(" of direction {c} of the linearised equation"),
            )
        };
        Names {
            fields: equation.fields().iter().map(|f| coefficients(&f.name, f, "")).collect(),
            wavenumbers: axes
                .iter()
                .map(|a| Name::kept(a, "1", "wavenumber, radians per unit of length", &[a.as_str()]))
                .collect(),
            quadratics: recorded(equation).iter().map(|q| Name::kept(q.name, q.units, q.meaning, &[])).collect(),
            directions: (1..copies)
                .flat_map(|c| equation.fields().iter().map(move |f| (c, f)))
                .map(|(c, f)| direction(c, f))
                .collect(),
            history: arrays.iter().map(|(name, _)| one(name)).collect(),
            numbers: numbers.iter().map(|(name, _)| number(&format!("scheme_{name}"), "scheme")).collect(),
            control: control
                .numbers()
                .iter()
                .map(|(n, _)| number(&format!("control_{n}"), "step-size control"))
                .collect(),
        }
    }
}

/// What is recorded of every step of a run: sums over modes, means over the grid, and k_max η where there is one.
pub fn recorded<T: Real>(equation: &dyn Equation<T>) -> Vec<Quadratic> {
    let mut series = equation.quadratics();
    let eta = equation.smallest_eddies(&vec![1.0; series.len()]).map(|_| Quadratic {
        name: "k_max_eta",
        units: "1",
        meaning: "highest kept wavenumber, of the axis where it is least, times the length of the smallest eddies; resolved from 1 \
                  to 1.5 on",
    });
    series.extend(equation.pointwise());
    series.extend(eta);
    series
}

/// Walks coefficients as a block of a global array with (re, im) on its last axis.
pub fn walk_coefficients<T: Real>(
    walk: &mut dyn Walk,
    name: &Name,
    domain: &Domain,
    block: Block,
    values: &mut [Complex<T>],
) -> Result<()> {
    let own = 3 - domain.dimension..3;
    let mut global: Vec<usize> = domain.modes()[own.clone()].to_vec();
    global.push(2);
    let mut mine = Hyperslab { start: block.start[own.clone()].to_vec(), count: block.count[own].to_vec() };
    mine.start.push(0);
    mine.count.push(2);
    if block.is_empty() {
        mine.start.fill(0);
        mine.count.fill(0);
    }
    let data = match size_of::<T>() {
        4 => Data::F32(bytemuck::cast_slice_mut(values)),
        _ => Data::F64(bytemuck::cast_slice_mut(values)),
    };
    walk.block(name, &global, &mine, data)
}
