//! What a reader of output.h5 sees: every dataset of the room, once.

use crate::state::Name;

macro_rules! names {
    ($($id:ident = $name:literal, $units:literal, $meaning:literal, [$($axis:literal),*];)*) => {
        $(pub const $id: Name = Name { name: $name, units: $units, meaning: $meaning, axes: &[$($axis),*] };)*
    };
}

names! {
    SOURCE_POTENTIAL = "source_potential", "cost", "dual potential f of the source, OT = sum(a f) + sum(b g) at the optimum", ["source"];
    TARGET_POTENTIAL = "target_potential", "cost", "dual potential g of the target", ["target"];
    SOURCE_POINTS = "source_points", "1", "points x of the source measure", ["source", "coordinate"];
    TARGET_POINTS = "target_points", "1", "points y of the target measure", ["target", "coordinate"];
    SOURCE_WEIGHTS = "source_weights", "1", "weights a of the source measure, normalised where asked", ["source"];
    TARGET_WEIGHTS = "target_weights", "1", "weights b of the target measure, normalised where asked", ["target"];
    SOURCE_SHAPE = "source_shape", "1", "grid points per axis of the source (last axis fastest)", ["source_axis"];
    TARGET_SHAPE = "target_shape", "1", "grid points per axis of the target (last axis fastest)", ["target_axis"];
    STEPS = "iterations", "1", "steps of the method made so far", [];
    DATA = "data_fingerprint", "1", "a number that tells points, weights and costs from others", [];
    EPSILON = "epsilon", "cost", "regularisation in units of the cost", [];
    BARYCENTRIC_MAP = "barycentric_map", "1", "sum_j P_ij y_j / sum_j P_ij", ["source", "coordinate"];
    PLAN_ROWS = "plan_row", "1", "source index of the largest plan entries", ["entry"];
    PLAN_COLUMNS = "plan_column", "1", "target index of the largest plan entries", ["entry"];
    PLAN_MASS = "plan_mass", "1", "mass of the largest plan entries, in decreasing order", ["entry"];
    SOURCE_IMAGE = "source_image", "1", "source photograph, sRGB", ["source_pixel_row", "source_pixel_column", "channel"];
    TARGET_IMAGE = "target_image", "1", "target photograph, sRGB", ["target_pixel_row", "target_pixel_column", "channel"];
    TRANSFERRED_IMAGE = "transferred_image", "1", "source photograph with the palette of the target, sRGB", ["source_pixel_row", "source_pixel_column", "channel"];
    MARGINAL_ERROR = "marginal_error", "1", "(|P1 - a|_1 + |P'1 - b|_1) / mass", [];
    MARGINAL_ERROR_MAX = "marginal_error_max", "1", "largest entry of the marginal errors over the mass", [];
    DUAL_VALUE = "dual_value", "cost", "value of the dual at the current potentials", [];
    RECORDED_EPSILON = "epsilon", "cost", "epsilon of the current level", [];
    ARITHMETIC = "single_precision", "1", "1 while exponentials are in f32, 0 in f64", [];
    RELATIVE_GAP = "relative_gap", "1", "certified (upper - lower) / |upper| of OT_eps when last evaluated", [];
}

/// The names of the gradients.
pub struct GradientNames {
    pub source_points: Name,
    pub target_points: Name,
    pub source_weights: Name,
    pub target_weights: Name,
}

macro_rules! gradients {
    ($id:ident, $of:literal) => {
        pub static $id: GradientNames = GradientNames {
            source_points: Name {
                name: "source_point_gradient",
                units: "cost",
                meaning: concat!("derivative of ", $of, " with respect to the source points"),
                axes: &["source", "coordinate"],
            },
            target_points: Name {
                name: "target_point_gradient",
                units: "cost",
                meaning: concat!("derivative of ", $of, " with respect to the target points"),
                axes: &["target", "coordinate"],
            },
            source_weights: Name {
                name: "source_weight_gradient",
                units: "cost",
                meaning: concat!(
                    "derivative of ",
                    $of,
                    " with respect to the source weights; of a constrained marginal, on sums kept fixed"
                ),
                axes: &["source"],
            },
            target_weights: Name {
                name: "target_weight_gradient",
                units: "cost",
                meaning: concat!(
                    "derivative of ",
                    $of,
                    " with respect to the target weights; of a constrained marginal, on sums kept fixed"
                ),
                axes: &["target"],
            },
        };
    };
}

gradients!(TRANSPORT_GRADIENTS, "OT_eps");
gradients!(DIVERGENCE_GRADIENTS, "S_eps");

/// A name of values in the target's space. Where that is not the source's (a cost given as a matrix), its coordinates
/// are an axis of their own.
pub fn in_target_space(name: Name, shared: bool) -> Name {
    let axes: &[&str] = match name.axes[0] {
        _ if shared => name.axes,
        "source" => &["source", "target_coordinate"],
        _ => &["target", "target_coordinate"],
    };
    Name { axes, ..name }
}
