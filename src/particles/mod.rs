//! The particle engine: populations over ranks, integer resampling, migration, the Feynman–Kac loop, samplers.
//!
//! A core module beside [`team`](crate::team): rooms name it, it names `team`, `math` and `error`, and no room.
//!
//! Reading order: [`model`] what a model is · [`layout`] who holds which particles · [`population`] how they are stored ·
//! [`filter`] the loop · [`scheme`] offspring · [`migrate`] from offspring to particles · [`pool`] all of it
//! for particles that a room stores itself.

pub mod adaptive;
pub mod alone;
pub mod chains;
pub mod conditional;
pub mod estimate;
pub mod filter;
pub mod history;
pub mod layout;
pub mod lineage;
pub mod migrate;
pub mod model;
pub mod moves;
pub mod pool;
pub mod population;
pub mod predictive;
pub mod scheme;
mod sorted;
pub mod tempering;
mod tournament;
mod waste_free;

pub use filter::{Filter, Island, Options};
pub use model::{Draws, Family, FeynmanKac, Parameter, TILE, Target, Tile, View};
pub use pool::Pool;
pub use population::{Carried, Population, Precision, Values};
pub use scheme::Scheme;

#[cfg(test)]
mod tests;
