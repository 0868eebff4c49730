//! `spanwise schema [SOLVER]`: the JSON schema of an input.

use crate::error::Result;
use crate::input::schema;
use crate::solvers;

pub fn text(name: Option<&str>) -> Result<String> {
    let schema = match name {
        Some(name) => schema::of_solver(super::solver(name)?),
        None => schema::of_any(solvers::registry()),
    };
    Ok(format!("{schema:#}\n"))
}
