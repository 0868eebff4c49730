//! Transport against what is true (methods page §3). Every test runs over all makers of passes.

#[path = "exact/certificates.rs"]
mod certificates;
#[path = "exact/closed_forms.rs"]
mod closed_forms;
#[path = "exact/common.rs"]
mod common;
#[path = "exact/identities.rs"]
mod identities;
#[path = "exact/methods.rs"]
mod methods;
