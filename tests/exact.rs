//! Transport against what is true (methods page §3). Every test runs over all makers of passes that can
//! pose its problem: matrices and points by three, grids by the separable passes too.

#[path = "exact/assignments.rs"]
mod assignments;
#[path = "exact/certificates.rs"]
mod certificates;
#[path = "exact/closed_forms.rs"]
mod closed_forms;
#[path = "exact/common.rs"]
mod common;
#[path = "exact/divergences.rs"]
mod divergences;
#[path = "exact/grids.rs"]
mod grids;
#[path = "exact/identities.rs"]
mod identities;
#[path = "exact/methods.rs"]
mod methods;
