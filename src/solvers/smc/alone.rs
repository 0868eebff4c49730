//! Errors from islands one by one, as a filter reports them.

use super::problem::MethodInput;
use crate::particles::alone::{FEWEST_EVES, FEWEST_EVES_OF_A_MEAN};
use crate::particles::{Filter, Scheme};
use crate::state::Name;
use crate::team::Team;

/// What islands say of their errors one by one; nothing where not asked for, or of too few first ancestors.
#[derive(Default)]
pub struct Alone {
    /// Relative standard deviation of the mean of Ẑ.
    pub evidence: Option<f64>,
    /// Standard errors of the means, by coordinate.
    pub means: Vec<f64>,
    /// Particles of the first time with descendants, in the island that has fewest.
    pub eves: u64,
}

pub const ERROR_ALONE: Name = Name {
    name: "evidence_error_alone",
    units: "1",
    meaning: "standard deviation of the evidence over it, from each island alone (Lee and Whiteley)",
    axes: &[],
};
pub const EVES: Name = Name {
    name: "eves",
    units: "1",
    meaning: "particles of the first time with descendants, in the island that has fewest",
    axes: &[],
};

impl Alone {
    /// Of `filter`, whose islands have these means by coordinate and these weights. Collective.
    pub fn of(method: &MethodInput, filter: &Filter, means: &[Vec<f64>], weights: &[f64], team: &dyn Team) -> Alone {
        if !method.lee_whiteley && !method.chan_lai {
            return Alone::default();
        }
        let descent = filter.descent();
        let mut made = Alone::default();
        if method.lee_whiteley {
            let found = descent.lee_whiteley(team);
            made.eves = found.iter().map(|a| a.eves).min().unwrap_or(0);
            // The variance of the mean of independent Ẑ, over its square.
            let variance: f64 = found.iter().zip(weights).map(|(a, w)| w * w * a.relative_variance).sum();
            made.evidence = (made.eves >= FEWEST_EVES && variance > 0.0).then(|| variance.sqrt());
        } else {
            made.eves = descent.survivors(team).into_iter().min().unwrap_or(0);
        }
        if method.chan_lai && made.eves >= FEWEST_EVES_OF_A_MEAN {
            let error = |(d, means): (usize, &Vec<f64>)| {
                let errors = descent.chan_lai(d, means, team);
                errors.iter().zip(weights).map(|(e, w)| (w * e) * (w * e)).sum::<f64>().sqrt()
            };
            made.means = means.iter().enumerate().map(error).collect();
        }
        made
    }

    /// Why a number that was asked for is not there, or what there is to say of it.
    pub fn notes(&self, method: &MethodInput) -> Vec<String> {
        let few = |key: &str, need: u64| {
            format!(
                "no number of method.{key}: an island has {} particles of the first time with descendants, and it needs \
                 {need}; more particles, or fewer times",
                self.eves
            )
        };
        let mut notes = Vec::new();
        if method.lee_whiteley && self.eves < FEWEST_EVES {
            notes.push(few("lee_whiteley", FEWEST_EVES));
        } else if method.lee_whiteley && self.evidence.is_none() {
            notes.push("no number of method.lee_whiteley: the estimated variance is not positive".into());
        }
        if method.chan_lai && self.eves < FEWEST_EVES_OF_A_MEAN {
            notes.push(few("chan_lai", FEWEST_EVES_OF_A_MEAN));
        } else if method.chan_lai && method.resampling != Scheme::Multinomial {
            let message = "standard errors from islands alone (method.chan_lai) are a heuristic under this resampling: they \
                           are consistent with \"multinomial\"";
            notes.push(message.into());
        }
        notes
    }
}
