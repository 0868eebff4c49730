//! Directions of wavenumbers: a set that covers them, and the way uphill from one.

use std::f64::consts::PI;

use crate::math::elementary;

/// Unit vectors over all directions of a box; unused internal axes come first and are 0.
pub struct Directions {
    pub dimension: usize,
    pub places: Vec<[f64; 3]>,
    /// Angle between neighbours.
    pub spacing: f64,
    near: Vec<Vec<usize>>,
}

fn unit(v: [f64; 3]) -> [f64; 3] {
    let length = v.iter().map(|d| d * d).sum::<f64>().sqrt();
    v.map(|d| d / length)
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a.iter().zip(&b).map(|(a, b)| a * b).sum()
}

impl Directions {
    pub fn new(dimension: usize) -> Directions {
        const CIRCLE: usize = 128;
        const SPHERE: usize = 320;
        // Axes, diagonals and some between, exactly.
        let steps = [0.0, 1.0, -1.0, 0.5, -0.5];
        let mut places: Vec<[f64; 3]> = Vec::new();
        for a in steps {
            for b in steps {
                for c in steps {
                    let all = [a, b, c];
                    if (0..3 - dimension).all(|i| all[i] == 0.0) && all != [0.0; 3] {
                        let all = unit(all);
                        if !places.contains(&all) {
                            places.push(all);
                        }
                    }
                }
            }
        }
        let spacing = match dimension {
            1 => 0.0,
            2 => 2.0 * PI / CIRCLE as f64,
            _ => (4.0 * PI / SPHERE as f64).sqrt(),
        };
        match dimension {
            1 => {}
            2 => places.extend((0..CIRCLE).map(|n| {
                let angle = (n as f64 + 0.5) * spacing;
                [0.0, elementary::cos(angle), elementary::sin(angle)]
            })),
            // A spiral with equal areas, turned by the golden angle from one to the next.
            _ => places.extend((0..SPHERE).map(|n| {
                let height = 1.0 - (2 * n + 1) as f64 / SPHERE as f64;
                let (radius, angle) = ((1.0 - height * height).sqrt(), n as f64 * PI * (3.0 - 5.0_f64.sqrt()));
                [height, radius * elementary::cos(angle), radius * elementary::sin(angle)]
            })),
        }
        let close = elementary::cos(1.6 * spacing);
        let near = places
            .iter()
            .enumerate()
            .map(|(i, &p)| (0..places.len()).filter(|&j| j != i && dot(p, places[j]) > close).collect())
            .collect();
        Directions { dimension, places, spacing, near }
    }

    /// Places at which values are no less than at their neighbours, the highest few of them.
    pub fn peaks(&self, values: &[f64]) -> Vec<usize> {
        const MOST: usize = 4;
        // On a plain the first place counts.
        let above = |i: usize, j: usize| values[i].total_cmp(&values[j]).then(j.cmp(&i)).is_gt();
        let mut peaks: Vec<usize> = (0..values.len()).filter(|&i| self.near[i].iter().all(|&j| above(i, j))).collect();
        peaks.sort_by(|&a, &b| values[b].total_cmp(&values[a]).then(a.cmp(&b)));
        peaks.truncate(MOST);
        peaks
    }

    /// The direction at an angle beside another.
    pub fn beside(&self, place: [f64; 3], tangent: [f64; 3], angle: f64) -> [f64; 3] {
        unit(std::array::from_fn(|a| place[a] + angle * tangent[a]))
    }

    /// Goes uphill from a place of known height by steps that are halved where none leads up, down to the smallest.
    pub fn climb(
        &self,
        from: [f64; 3],
        height: f64,
        step: f64,
        smallest: f64,
        f: &dyn Fn([f64; 3]) -> f64,
    ) -> ([f64; 3], f64) {
        const MOST: usize = 300;
        let (mut best, mut step, mut looks) = ((from, height), step, 0);
        while step > smallest && looks < MOST {
            let mut higher = None;
            for tangent in tangents(best.0, self.dimension) {
                let place = self.beside(best.0, tangent, step);
                let there = f(place);
                looks += 1;
                if there > higher.map_or(best.1, |(_, h)| h) {
                    higher = Some((place, there));
                }
            }
            match higher {
                Some(place) => best = place,
                None => step /= 2.0,
            }
        }
        best
    }
}

/// Unit vectors across a direction, with their opposites.
pub fn tangents(place: [f64; 3], dimension: usize) -> Vec<[f64; 3]> {
    let across = match dimension {
        1 => Vec::new(),
        2 => vec![[0.0, -place[2], place[1]]],
        _ => {
            // Across the axis that the direction is farthest from.
            let least = (0..3).min_by(|&a, &b| place[a].abs().total_cmp(&place[b].abs())).unwrap_or(0);
            let axis: [f64; 3] = std::array::from_fn(|a| if a == least { 1.0 } else { 0.0 });
            let cross = |a: [f64; 3], b: [f64; 3]| {
                [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
            };
            let first = unit(cross(place, axis));
            vec![first, cross(place, first)]
        }
    };
    across.into_iter().flat_map(|t| [t, t.map(|x| -x)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uphill_from_the_peaks_is_the_highest_place() {
        for (dimension, top) in [(2, unit([0.0, 0.3, -0.8])), (3, unit([0.2, 0.5, -0.7]))] {
            let directions = Directions::new(dimension);
            let f = |d: [f64; 3]| dot(d, top);
            let values: Vec<f64> = directions.places.iter().map(|&d| f(d)).collect();
            let peaks = directions.peaks(&values);
            let peak = peaks[0];
            let (place, height) = directions.climb(directions.places[peak], values[peak], directions.spacing, 1e-9, &f);
            assert!((height - 1.0).abs() < 1e-14 && (place[2] - top[2]).abs() < 1e-6, "{place:?}");
        }
        assert_eq!(Directions::new(1).places, [[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]]);
    }
}
