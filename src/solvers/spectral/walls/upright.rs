//! Two-dimensional boxes between walls on several ranks.
//!
//! The distributed transform cuts a two-dimensional box as (·, z, x), where z is whole on a rank in spectral space and x
//! on the grid. Between walls everything is written for (z, ·, x). The numbers lie in the same order in memory, so only
//! the names of the axes differ: [`Upright`] turns them.

use num_complex::Complex;

use crate::solvers::spectral::domain::{Axis, Block, Domain, Tile};
use crate::solvers::spectral::transform::{Pointwise, Transform};
use crate::team::Team;

/// A transform of (z, ·, x) made of one of (·, z, x).
pub struct Upright {
    inner: Box<dyn Transform<f64>>,
    domain: Domain,
}

/// (·, z, x) for (z, ·, x).
fn turn<T: Copy>([first, second, third]: [T; 3]) -> [T; 3] {
    [second, first, third]
}

fn turn_block(block: Block) -> Block {
    Block { start: turn(block.start), count: turn(block.count) }
}

/// The domain to transform on: (·, z, x) for a two-dimensional box between walls, any other as it is.
pub fn lying(domain: &Domain) -> Domain {
    let mut lying = domain.clone();
    if domain.has_walls() && domain.dimension == 2 {
        lying.axes[1] = std::mem::replace(&mut lying.axes[0], Axis::trivial());
    }
    lying
}

/// The transform of `domain` from one of [`lying`] of it.
pub fn upright(domain: &Domain, inner: Box<dyn Transform<f64>>) -> Box<dyn Transform<f64>> {
    if inner.domain() == domain { inner } else { Box::new(Upright { inner, domain: domain.clone() }) }
}

impl Transform<f64> for Upright {
    fn domain(&self) -> &Domain {
        &self.domain
    }

    fn modes(&self) -> Block {
        turn_block(self.inner.modes())
    }

    fn points(&self) -> Block {
        turn_block(self.inner.points())
    }

    fn backward(&mut self, team: &dyn Team, coefficients: &[&[Complex<f64>]], values: &mut [&mut [f64]]) {
        self.inner.backward(team, coefficients, values);
    }

    fn forward(&mut self, team: &dyn Team, values: &[&[f64]], coefficients: &mut [&mut [Complex<f64>]]) {
        self.inner.forward(team, values, coefficients);
    }

    fn through(
        &mut self,
        team: &dyn Team,
        inputs: &[&[Complex<f64>]],
        pointwise: &Pointwise<f64>,
        outputs: &mut [&mut [Complex<f64>]],
    ) {
        // Rows of the lying tile are planes of the upright one.
        let each = |tile: &Tile, values: &[&[f64]], products: &mut [&mut [f64]]| {
            let (columns, outputs) = (tile.columns.len(), products.len());
            let mut ins: [&[f64]; FIELDS] = [&[]; FIELDS];
            for (r, &z) in tile.rows.iter().enumerate() {
                let at = r * columns..(r + 1) * columns;
                let row = Tile {
                    plane: z,
                    rows: &[0.0],
                    columns: tile.columns,
                    start: [tile.start[1] + r, tile.start[0], tile.start[2]],
                };
                ins.iter_mut().zip(values).for_each(|(to, from)| *to = &from[at.clone()]);
                let mut rest = products.iter_mut();
                let mut outs: [&mut [f64]; FIELDS] =
                    std::array::from_fn(|_| rest.next().map_or(&mut [][..], |p| &mut p[at.clone()]));
                pointwise(&row, &ins[..values.len()], &mut outs[..outputs]);
            }
        };
        assert!(inputs.len() <= FIELDS && outputs.len() <= FIELDS, "more fields than flows between walls have");
        self.inner.through(team, inputs, &each, outputs);
    }
}

/// Arrays of one trip that need no allocation; flows between walls in two dimensions have at most four.
const FIELDS: usize = 8;
