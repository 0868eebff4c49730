//! Problems between two walls: one Chebyshev axis (z, always axis 0), the others periodic.
//!
//! Reading order: [`ultraspherical`] operators · [`helmholtz`] batched solves · [`geometry`] columns and velocities ·
//! [`diffusion`] the implicit part · [`advection`] the explicit part · [`diagnostics`] · [`solver`] the door of flows ·
//! [`steady`], [`stability`] and their door [`once`] · [`input`] the keys.

pub mod advection;
pub mod diagnostics;
pub mod diffusion;
pub mod geometry;
pub mod helmholtz;
pub mod input;
pub mod once;
pub mod solver;
pub mod stability;
pub mod steady;
pub mod ultraspherical;
pub mod upright;
pub mod walked;

#[cfg(test)]
mod ranks;
#[cfg(test)]
mod tests;
