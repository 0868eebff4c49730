//! The Gibbs kernel of a stabilised scaling iteration, stored on the owners of its rows (methods page §2.0).

use std::ops::Range;

use rayon::prelude::*;

use super::Iteration;
use super::blocks::Blocks;
use crate::error::Result;
use crate::solvers::transport::distributed::StateNames;
use crate::solvers::transport::geometry::{Scale, Side};
use crate::solvers::transport::kernels::StoredKernel;
use crate::solvers::transport::passes::Precision;
use crate::state::Walk;

/// A Gibbs kernel exp(psi_i + phi_j − C_ij/ε) b_j stored at absorbed potentials, one piece per owned block.
pub struct Stored {
    pub psi: Vec<f64>,
    pub phi: Vec<f64>,
    pub pieces: Vec<StoredKernel>,
}

impl Stored {
    /// A kernel that is to be stored at these potentials.
    pub fn at(psi: Vec<f64>, phi: Vec<f64>) -> Stored {
        Stored { psi, phi, pieces: Vec::new() }
    }

    /// Makes the pieces of the blocks in `owned` where they are not there: f64 exponentials rounded to the precision of
    /// the phase.
    pub fn build(&mut self, it: &mut Iteration<'_>, blocks: Blocks, owned: Range<usize>) {
        if !self.pieces.is_empty() {
            return;
        }
        let h = it.column_terms(&self.phi);
        let (level, precision) = (it.geometry.level(), it.scale.precision);
        let exact = Scale { precision: Precision::F64, ..it.scale };
        let (psi, pieces) = (&self.psi, &mut self.pieces);
        it.geometry.blocks(Side::Source, exact, it.team, &mut |block| {
            let piece = |k| {
                let rows = blocks.rows(k..k + 1);
                StoredKernel::build(block.rows, block.local(&rows), &h, &psi[rows], precision, level)
            };
            *pieces = owned.clone().into_par_iter().map(piece).collect();
        });
    }

    /// The absorbed potentials alone.
    pub fn without_kernel(&self) -> Stored {
        Stored::at(self.psi.clone(), self.phi.clone())
    }

    pub fn same_potentials(&self, other: &Stored) -> bool {
        self.psi == other.psi && self.phi == other.phi
    }

    /// The absorbed potentials; the kernel itself is rebuilt from them.
    pub fn state(stored: &mut Option<Stored>, names: &StateNames, walk: &mut dyn Walk) -> Result<()> {
        let mut held = stored.take().unwrap_or_else(|| Stored::at(Vec::new(), Vec::new()));
        walk.replicated(&names.absorbed_psi, &mut held.psi)?;
        walk.replicated(&names.absorbed_phi, &mut held.phi)?;
        if !held.psi.is_empty() {
            *stored = Some(held);
        }
        Ok(())
    }
}

/// Bytes of a whole stored kernel.
pub fn stored_bytes(n: usize, m: usize, precision: Precision) -> u64 {
    let word = match precision {
        Precision::F64 => 8,
        Precision::F32 => 4,
    };
    n as u64 * m as u64 * word
}
