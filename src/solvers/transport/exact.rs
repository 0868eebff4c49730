//! What is true: closed forms, and the slow twin of the passes.
//!
//! Tensorisation (costs add, measures multiply: values add), scaling OT_ε(sx, sy) = s² OT_{ε/s²}(x, y) for |x − y|²,
//! and the limits ε → 0 (assignment, sorted matching) and ε → ∞ (P → abᵀ) are checked in `tests/exact.rs`.

pub mod discrete;
pub mod gaussian;
pub mod naive;
