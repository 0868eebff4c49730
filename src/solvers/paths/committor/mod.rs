//! Committors: the probability q(x) that the overdamped diffusion dX = −∇V dt + σ dW, started at x, meets the set B before
//! the set A; and the mean rates that follow from it [E2010]. No paths are drawn.
//!
//! With D = σ²/2 and π ∝ e^{−V/D}: L q = −∇V·∇q + D Δq = 0, q = 0 on A, 1 on B. Reactive trajectories per time
//! ν = D ∫|∇q|² π; k_AB = ν/∫(1 − q) π, k_BA = ν/∫q π.
//!
//! [`line`] one coordinate, by quadrature · [`plane`] two, by finite volumes · [`run`] the solver · [`plot`] the figure.

pub mod line;
pub mod plane;
pub mod plot;
pub mod run;
#[cfg(test)]
mod tests;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::methods::Finding;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The set that is left: q = 0.
    pub a: Set,
    /// The set that is reached: q = 1.
    pub b: Set,
    /// Lowest corner of the box of the grid; its border reflects.
    #[schemars(length(min = 1, max = 2))]
    pub low: Vec<f64>,
    /// Highest corner.
    #[schemars(length(min = 1, max = 2))]
    pub high: Vec<f64>,
    /// Cells per coordinate, even numbers; absent: 400 in one coordinate, 200 × 200 in two.
    #[serde(default)]
    pub cells: Option<Vec<usize>>,
    /// The rate from A to B as known from elsewhere: the report says how far away the answer is.
    #[serde(default)]
    pub known_rate: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Set {
    /// Points within a distance of the centre.
    Ball {
        /// Centre, one number per coordinate.
        centre: Vec<f64>,
        /// Radius.
        #[schemars(extend("exclusiveMinimum" = 0))]
        radius: f64,
    },
    /// Points between two corners.
    Box {
        /// Lowest corner.
        low: Vec<f64>,
        /// Highest corner.
        high: Vec<f64>,
    },
}

impl Set {
    pub fn holds(&self, x: &[f64]) -> bool {
        // Points on the border belong to it, whatever rounding says.
        let near = 1e-12;
        match self {
            Set::Ball { centre, radius } => {
                let square: f64 = x.iter().zip(centre).map(|(x, c)| (x - c) * (x - c)).sum();
                square <= radius * radius * (1.0 + near)
            }
            Set::Box { low, high } => x.iter().zip(low.iter().zip(high)).all(|(x, (low, high))| {
                let slack = near * (high - low);
                low - slack <= *x && *x <= high + slack
            }),
        }
    }

    /// The share of the way from a point outside to one inside at which the set begins.
    fn entry(&self, from: &[f64], to: &[f64]) -> f64 {
        match self {
            Set::Ball { centre, radius } => {
                // |from + s (to − from) − c|² = r²: the smaller root.
                let (mut aa, mut ab, mut bb) = (0.0, 0.0, -radius * radius);
                for ((f, t), c) in from.iter().zip(to).zip(centre) {
                    aa += (t - f) * (t - f);
                    ab += (t - f) * (f - c);
                    bb += (f - c) * (f - c);
                }
                (-ab - (ab * ab - aa * bb).max(0.0).sqrt()) / aa
            }
            Set::Box { low, high } => {
                let mut share: f64 = 0.0;
                for (i, (f, t)) in from.iter().zip(to).enumerate() {
                    if *f < low[i] {
                        share = share.max((low[i] - f) / (t - f));
                    } else if *f > high[i] {
                        share = share.max((f - high[i]) / (f - t));
                    }
                }
                share
            }
        }
    }

    /// Its extent along coordinate `i`.
    pub fn extent(&self, i: usize) -> (f64, f64) {
        match self {
            Set::Ball { centre, radius } => (centre[i] - radius, centre[i] + radius),
            Set::Box { low, high } => (low[i], high[i]),
        }
    }

    /// Whether `a` and `b` are sets of `d` coordinates that lie apart.
    ///
    /// # Errors
    /// A key that does not fit.
    pub fn check_pair(a: &Set, b: &Set, d: usize) -> Result<(), Finding> {
        a.check("a", d)?;
        b.check("b", d)?;
        let apart = (0..d).any(|i| {
            let ((a, b), (c, e)) = (a.extent(i), b.extent(i));
            b < c || e < a
        });
        if apart { Ok(()) } else { Err(("b".into(), "must lie apart from a in some coordinate".into())) }
    }

    fn check(&self, key: &str, d: usize) -> Result<(), Finding> {
        let lists = match self {
            Set::Ball { centre, .. } => vec![("centre", centre)],
            Set::Box { low, high } => vec![("low", low), ("high", high)],
        };
        for (name, list) in lists {
            if list.len() != d {
                return Err((format!("{key}.{name}"), format!("has {} coordinates; the start has {d}", list.len())));
            }
        }
        match (0..d).map(|i| self.extent(i)).find(|(low, high)| !(low < high)) {
            Some((low, high)) => Err((format!("{key}.high"), format!("must be above low = {low}, not {high}"))),
            None => Ok(()),
        }
    }
}

/// What was solved for on one grid.
#[derive(Debug, Clone, PartialEq)]
pub struct Solved {
    /// The committor at the points of the grid, the first coordinate running fastest.
    pub q: Vec<f64>,
    /// Reactive trajectories per time.
    pub flux: f64,
    /// From A to B, and back.
    pub rate: f64,
    pub back: f64,
    pub iterations: usize,
}

impl Input {
    /// # Errors
    /// A key that does not fit the problem.
    pub fn check(&self, d: usize) -> Result<(), Finding> {
        if d > 2 {
            return Err(("name".into(), format!("committors are for one or two coordinates; the start has {d}")));
        }
        for (key, list) in [("low", &self.low), ("high", &self.high)] {
            if list.len() != d {
                return Err((key.into(), format!("has {} coordinates; the start has {d}", list.len())));
            }
        }
        if let Some(i) = (0..d).find(|&i| !(self.low[i] < self.high[i])) {
            return Err(("high".into(), format!("must be above low = {}, not {}", self.low[i], self.high[i])));
        }
        let good = |c: &usize| *c >= 16 && *c <= 1 << 13 && c % 2 == 0;
        if self.cells().len() != d || !self.cells().iter().all(good) {
            return Err(("cells".into(), format!("{d} even numbers from 16 to 8192 are needed")));
        }
        Set::check_pair(&self.a, &self.b, d)?;
        for (key, set) in [("a", &self.a), ("b", &self.b)] {
            let held = |(i, cells): (usize, usize)| {
                let (low, high) = set.extent(i);
                let spacing = (self.high[i] - self.low[i]) / cells as f64;
                high - low >= 4.0 * spacing && low < self.high[i] && high > self.low[i]
            };
            // The extents of a ball may meet the box where the ball does not.
            let empty = matches!(set, Set::Ball { centre, .. } if !set.holds(&self.nearest(centre)));
            if empty || !self.cells().into_iter().enumerate().all(held) {
                let message = "must meet the box and span four cells of the grid: raise cells, or enlarge it";
                return Err((key.into(), message.into()));
            }
        }
        Ok(())
    }

    /// The point next to `x` of the grid of half the cells, which is solved too.
    fn nearest(&self, x: &[f64]) -> Vec<f64> {
        let next = |(i, cells): (usize, usize)| {
            let (low, width, half) = (self.low[i], self.high[i] - self.low[i], (cells / 2) as f64);
            low + width * ((x[i] - low) / width * half).round().clamp(0.0, half) / half
        };
        self.cells().into_iter().enumerate().map(next).collect()
    }

    pub fn cells(&self) -> Vec<usize> {
        self.cells.clone().unwrap_or_else(|| if self.low.len() == 1 { vec![400] } else { vec![200; self.low.len()] })
    }

    /// On the grid with `coarser` times fewer cells; `None` where `stop` asked for it, or without convergence.
    pub fn solve(
        &self,
        v: &dyn Fn(&[f64]) -> f64,
        diffusion: f64,
        coarser: usize,
        stop: &dyn Fn() -> bool,
    ) -> Option<Solved> {
        let cells: Vec<usize> = self.cells().iter().map(|c| c / coarser).collect();
        if let [cells] = cells[..] {
            let v = |x: f64| v(&[x]);
            return Some(line::solve(&v, diffusion, self.edges(), (self.low[0], self.high[0]), cells));
        }
        let pair = |list: &[f64]| [list[0], list[1]];
        let grid = plane::Grid {
            low: pair(&self.low),
            high: pair(&self.high),
            cells: [cells[0], cells[1]],
            sets: [&self.a, &self.b],
        };
        grid.solve(v, diffusion, stop)
    }

    /// In one coordinate, the edges of the sets that face each other.
    fn edges(&self) -> (f64, f64) {
        let (a, b) = (self.a.extent(0), self.b.extent(0));
        if a.1 < b.0 { (a.1, b.0) } else { (a.0, b.1) }
    }

    /// The committor at a point: between the points of the grid its integral in one coordinate, linear in two.
    pub fn at(&self, q: &[f64], x: &[f64], v: &dyn Fn(&[f64]) -> f64, diffusion: f64) -> f64 {
        let cells = self.cells();
        let place = |i: usize| {
            let z = (x[i] - self.low[i]) / (self.high[i] - self.low[i]) * cells[i] as f64;
            let k = (z.max(0.0) as usize).min(cells[i] - 1);
            (k, (z - k as f64).clamp(0.0, 1.0))
        };
        let (k, s) = place(0);
        if let ([cells], [low], [high]) = (&cells[..], &self.low[..], &self.high[..]) {
            let end = |k: usize| low + (high - low) * k as f64 / *cells as f64;
            let s = line::share(
                &|x| v(&[x]),
                diffusion,
                self.edges(),
                (end(k), end(k + 1)),
                end(k) + s * (end(k + 1) - end(k)),
            );
            return (1.0 - s) * q[k] + s * q[k + 1];
        }
        let (m, t) = place(1);
        let row = |m: usize| (1.0 - s) * q[m * (cells[0] + 1) + k] + s * q[m * (cells[0] + 1) + k + 1];
        (1.0 - t) * row(m) + t * row(m + 1)
    }
}
