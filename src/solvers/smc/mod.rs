//! The room of sequential Monte Carlo: its door.

pub mod data;
pub mod exact;
pub mod models;
