//! The particle engine: populations over ranks, integer resampling, migration, the Feynman–Kac loop, samplers.
//!
//! A core module beside [`team`](crate::team): rooms name it, it names `team`, `math` and `state`, and no room.

pub mod model;

pub use model::{Draws, Family, FeynmanKac, Parameter, TILE, Target, Tile, View};
