//! What a run in the spectral room leaves: means and series, spectra, error estimates, fields on a grid of the user's
//! choice, probes, statistics, the XDMF beside output.h5.
//!
//! Pure: [`means`], [`spectra`], [`probe`], [`statistics`], [`time_error`], [`keys`],
//! [`asked`]. Over ranks: [`ranks`], [`remap`], [`output`],
//! [`xdmf`]. All sums over the box are exact ones ([`Exact`](crate::math::exact::Exact)): grids are cut in two axes, and no
//! cut may change a bit.

pub mod asked;
pub mod keys;
pub mod means;
pub mod output;
pub mod probe;
pub mod ranks;
pub mod remap;
pub mod spectra;
pub mod stack;
pub mod statistics;
pub mod time_error;
pub mod xdmf;

#[cfg(test)]
mod tests;
