//! How the state of a flow between walls is named and walked.

use num_complex::Complex;

use crate::error::Result;
use crate::solvers::spectral::domain::{Block, Domain};
use crate::solvers::spectral::steppers::Stepper;
use crate::state::{Data, Hyperslab, Name, Walk};

/// A name from texts known only at run time. It is kept for the life of the process: made once, when a solver is built.
pub fn kept(name: &str, meaning: &str, axes: &[&str]) -> Name {
    let keep = |text: &str| -> &'static str { Box::leak(text.to_string().into_boxed_str()) };
    let axes: Vec<&'static str> = axes.iter().map(|a| keep(a)).collect();
    Name { name: keep(name), units: "1", meaning: keep(meaning), axes: Box::leak(axes.into_boxed_slice()) }
}

/// Names of what is walked.
pub struct Names {
    axes: Vec<Name>,
    pub fields: Vec<Name>,
    pub history: Vec<Vec<Name>>,
    pub numbers: Vec<Name>,
    pub pace: Vec<Name>,
}

impl Names {
    /// None yet of the pace.
    pub fn new(domain: &Domain, fields: &[&str], stepper: &mut dyn Stepper<f64>) -> Names {
        let axes: Vec<String> = domain
            .own()
            .iter()
            .enumerate()
            .map(|(a, axis)| if a == 0 { format!("degree_{}", axis.name) } else { format!("k{}", axis.name) })
            .collect();
        let labels: Vec<&str> = axes.iter().map(String::as_str).chain(["part"]).collect();
        let coefficients = |name: &str| {
            let meaning = format!("Chebyshev–Fourier coefficients of {name}, (real, imaginary)");
            kept(name, &meaning, &labels)
        };
        let (arrays, numbers) = stepper.history();
        Names {
            axes: axes
                .iter()
                .enumerate()
                .map(|(a, name)| {
                    let meaning =
                        if a == 0 { "degree of the Chebyshev polynomial" } else { "wavenumber, radians per length" };
                    kept(name, meaning, &[name.as_str()])
                })
                .collect(),
            fields: fields.iter().map(|f| coefficients(f)).collect(),
            history: arrays
                .iter()
                .map(|(name, _)| fields.iter().map(|f| coefficients(&format!("{name}_{f}"))).collect())
                .collect(),
            numbers: numbers
                .iter()
                .map(|(name, _)| kept(&format!("scheme_{name}"), "of the scheme, for the next step", &[]))
                .collect(),
            pace: Vec::new(),
        }
    }

    /// Names of the numbers of the pace that is walked from now on.
    pub fn name_pace<'n>(&mut self, numbers: impl Iterator<Item = &'n str>) {
        let of_control = |name| kept(&format!("control_{name}"), "of the step-size control, for the next step", &[]);
        self.pace = numbers.map(of_control).collect();
    }

    /// The coordinates of coefficients.
    pub fn walk_axes(&self, domain: &Domain, walk: &mut dyn Walk) -> Result<()> {
        for (a, (axis, name)) in domain.own().iter().zip(&self.axes).enumerate() {
            let value = |i| if a == 0 { i as f64 } else { axis.wavenumber(i) };
            let mut values: Vec<f64> = (0..axis.modes()).map(value).collect();
            walk.replicated(name, &mut values)?;
        }
        Ok(())
    }
}

/// The internal axes that are the user's.
pub fn own_axes(domain: &Domain) -> Vec<usize> {
    match (domain.dimension, domain.has_walls()) {
        (1, true) => vec![0],
        (2, true) => vec![0, 2],
        (d, _) => (3 - d..3).collect(),
    }
}

/// Walks coefficients as a block of a global array of the user's axes, with (re, im) on its last axis.
pub fn walk_coefficients(
    walk: &mut dyn Walk,
    name: &Name,
    domain: &Domain,
    block: Block,
    values: &mut [Complex<f64>],
) -> Result<()> {
    let own = own_axes(domain);
    let pick = |list: [usize; 3], last: usize| own.iter().map(|&a| list[a]).chain([last]).collect::<Vec<_>>();
    let mut mine = Hyperslab { start: pick(block.start, 0), count: pick(block.count, 2) };
    if block.is_empty() {
        mine.start.fill(0);
        mine.count.fill(0);
    }
    walk.block(name, &pick(domain.modes(), 2), &mine, Data::F64(bytemuck::cast_slice_mut(values)))
}

/// Names of the grid points' coordinates.
pub fn coordinate_names(domain: &Domain) -> Vec<Name> {
    domain.own().iter().map(|a| kept(a.name, "coordinate of the grid points", &[a.name])).collect()
}

/// Walks the coordinates of the grid points.
///
/// # Errors
/// Those of the walk.
pub fn walk_coordinates(walk: &mut dyn Walk, names: &[Name], domain: &Domain) -> Result<()> {
    for (axis, name) in domain.own().iter().zip(names) {
        walk.replicated(name, &mut (0..axis.points).map(|i| axis.coordinate(i)).collect())?;
    }
    Ok(())
}

/// Walks values at the grid points `block` of this rank.
///
/// # Errors
/// Those of the walk.
pub fn walk_points(walk: &mut dyn Walk, name: &Name, domain: &Domain, block: Block, values: &mut [f64]) -> Result<()> {
    let own = own_axes(domain);
    let pick = |list: [usize; 3]| own.iter().map(|&a| list[a]).collect::<Vec<_>>();
    let mut mine = Hyperslab { start: pick(block.start), count: pick(block.count) };
    if block.is_empty() {
        mine.start.fill(0);
        mine.count.fill(0);
    }
    walk.block(name, &pick(domain.points()), &mine, Data::F64(values))
}
