//! The results that a run derives from its potentials: barycentric map, largest plan entries, gradients.

use super::super::backend::Backend;
use super::super::colour::Palette;
use super::super::derived::{Gradients, WeightGradient, barycentric_map, gradients, plan_entries};
use super::super::divergence::SelfFinished;
use super::super::problem::DerivedResult;
use super::super::setup::{Marginal, Subset};
use super::super::solve::Finished;
use super::{Transport, Work};
use crate::error::{Error, Result};
use crate::team::Team;

/// Derived results, whole on every rank or made where they are owned.
#[derive(Default)]
pub struct Derived {
    pub barycentric_map: Option<Vec<f64>>,
    pub point_gradients: Option<(Vec<f64>, Vec<f64>)>,
    pub weight_gradients: Option<(Vec<f64>, Vec<f64>)>,
    pub plan: Option<(Vec<u64>, Vec<u64>, Vec<f64>)>,
    pub transferred: Option<Vec<u8>>,
}

impl Transport {
    fn wants(&self, result: DerivedResult) -> bool {
        self.problem.results.contains(&result)
    }

    /// `transforms`: of the other potential, at the atoms without mass.
    pub(super) fn derive(
        &mut self,
        finished: &Finished,
        selves: Option<&[SelfFinished; 2]>,
        transforms: (&[f64], &[f64]),
        team: &dyn Team,
    ) -> Result<Derived> {
        let mut derived = Derived::default();
        let photo = self.source.measure.photo.clone().filter(|_| self.target.measure.photo.is_some());
        if self.wants(DerivedResult::BarycentricMap) || photo.is_some() {
            let d = self.target.measure.dimension;
            let y: Vec<Vec<f64>> =
                (0..d).step_by(3).map(|first| self.target.coordinates(first..d.min(first + 3), team)).collect();
            let phi = &finished.phi;
            let kept = self.work.pair().run(team, |passes| barycentric_map(passes, phi, &y))?;
            let mut map = vec![f64::NAN; self.source.measure.n * d];
            let mut place = |atoms: &Subset, rows: &[f64]| {
                atoms.iter().zip(rows.chunks(d)).for_each(|(i, row)| map[i * d..(i + 1) * d].copy_from_slice(row));
            };
            place(&self.source.kept, &kept);
            if let Some(passes) = &mut self.extensions.0 {
                place(&self.source.dropped, &passes.run(team, |passes| barycentric_map(passes, phi, &y))?);
            }
            if let Some(photo) = photo {
                let palette = Palette::of(&photo.image.bytes(), photo.space, photo.levels);
                derived.transferred = Some(palette.recolour(&photo.image.bytes(), &map));
            }
            derived.barycentric_map = Some(map);
        }
        if self.wants(DerivedResult::PlanEntries) {
            let count = self.problem.plan_entries;
            let (psi, phi) = (&finished.psi, &finished.phi);
            let entries = self.work.pair().run(team, |passes| plan_entries(passes, psi, phi, count))?;
            derived.plan = Some((
                entries.iter().map(|e| self.source.kept.atom(e.0 as usize) as u64).collect(),
                entries.iter().map(|e| self.target.kept.atom(e.1 as usize) as u64).collect(),
                entries.iter().map(|e| self.mass * e.2).collect(),
            ));
        }
        if self.wants(DerivedResult::Gradients) {
            let (g, dropped) = self.gradients(finished, selves, transforms, team)?;
            // OT_ε(Ma, Mb) = M OT_ε(a, b) + terms in M: x-gradients scale by M, weight gradients do not. A point without
            // mass moves nothing.
            let mass = self.mass;
            let spread = |marginal: &Marginal, values: &[f64]| {
                let d = marginal.measure.dimension;
                let mut all = vec![0.0; marginal.measure.n * d];
                for (i, row) in marginal.kept.iter().zip(values.chunks(d)) {
                    all[i * d..(i + 1) * d].iter_mut().zip(row).for_each(|(all, v)| *all = mass * v);
                }
                all
            };
            if let (Some(x), Some(y)) = (&g.source_points, &g.target_points) {
                derived.point_gradients = Some((spread(&self.source, x), spread(&self.target, y)));
            }
            derived.weight_gradients = Some((
                Transport::whole(&self.source, g.source_weights, &dropped.0),
                Transport::whole(&self.target, g.target_weights, &dropped.1),
            ));
        }
        Ok(derived)
    }

    /// Gradients of the quantity asked for at the atoms with mass, and those in the weights of the atoms without.
    fn gradients(
        &mut self,
        finished: &Finished,
        selves: Option<&[SelfFinished; 2]>,
        (t, x): (&[f64], &[f64]),
        team: &dyn Team,
    ) -> Result<(Gradients, (Vec<f64>, Vec<f64>))> {
        let penalties = self.penalties;
        let of = |pair: &mut Backend, psi: &[f64], phi: &[f64]| {
            pair.run(team, |passes| gradients(passes, penalties, psi, phi))
        };
        let (pairs, selves) = match (&mut self.work, selves) {
            (Work::Divergence { pairs, .. }, Some(selves)) => (pairs, selves),
            (work, _) => {
                let g = of(work.pair(), &finished.psi, &finished.phi)?;
                let at = |of: &WeightGradient, t: &[f64]| t.iter().map(|t| of.without_mass(*t)).collect();
                let dropped = (at(&g.source, t), at(&g.target, x));
                return Ok((g, dropped));
            }
        };
        let [ab, aa, bb] = &mut **pairs;
        let [own_a, own_b] = selves;
        let ab = of(ab, &finished.psi, &finished.phi)?;
        let aa = of(aa, &own_a.psi, &own_a.phi)?;
        let bb = of(bb, &own_b.psi, &own_b.phi)?;
        let (mut at_source, mut at_target) = (Vec::new(), Vec::new());
        if let Some(passes) = &mut self.self_extensions.0 {
            let own = transforms(passes, own_a, t.len(), team)?;
            at_source = (0..t.len()).map(|i| ab.of_divergence_at_source(&aa, t[i], [own[0][i], own[1][i]])).collect();
        }
        if let Some(passes) = &mut self.self_extensions.1 {
            let own = transforms(passes, own_b, x.len(), team)?;
            at_target = (0..x.len()).map(|j| ab.of_divergence_at_target(&bb, x[j], [own[0][j], own[1][j]])).collect();
        }
        Ok((ab.of_divergence(&aa, &bb), (at_source, at_target)))
    }
}

/// Soft c-transforms of φ and of ψ of a symmetric problem at `n` atoms without mass.
fn transforms(passes: &mut Backend, own: &SelfFinished, n: usize, team: &dyn Team) -> Result<[Vec<f64>; 2]> {
    let mut of = |potential: &[f64]| {
        let mut t = vec![0.0; n];
        passes.run(team, |passes| passes.soft_rows(potential, &mut t))?;
        Ok::<_, Error>(t)
    };
    Ok([of(&own.phi)?, of(&own.psi)?])
}
