//! What is true: closed forms, and the slow twin of the passes.

pub mod naive;
