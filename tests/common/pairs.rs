//! Built-in equations and the same ones written in an input, with what else a run needs.

/// One equation in both forms.
pub struct Pair {
    pub what: &'static str,
    /// Lines of `[problem]`: points, box, first state.
    pub problem: &'static str,
    pub built_in: &'static str,
    pub written: &'static str,
    /// `[method]`.
    pub method: &'static str,
}

impl Pair {
    /// The input on `points` per axis.
    #[allow(dead_code)]
    pub fn input(&self, written: bool, points: &[usize]) -> String {
        let equation = if written { self.written } else { self.built_in };
        format!(
            "solver = \"spectral\"\n[problem]\npoints = {points:?}\nend_time = 1e6\n{}\n[problem.equation]\n{equation}\n\
             [method]\ntime_error = false\n{}\n",
            self.problem, self.method
        )
    }
}

pub const PAIRS: &[Pair] = &[
    Pair {
        what: "Burgers",
        problem: "initial = { kind = \"random\", spectrum = { kind = \"exponential_peak\", peak = 3.0 } }",
        built_in: "kind = \"burgers\"\nviscosity = 0.05",
        written: "kind = \"written\"\nfields = [\"u\"]\nparameters = { nu = 0.05 }\nrhs = { u = \"-u*dx(u) + nu*lap(u)\" }",
        method: "scheme = \"if_rk4\"\ntime_step = 0.002",
    },
    Pair {
        what: "Kuramoto–Sivashinsky",
        problem: "lengths = [\"32*pi\"]\ninitial = { kind = \"random\", spectrum = { kind = \"exponential_peak\", peak = 0.7 } }",
        built_in: "kind = \"kuramoto_sivashinsky\"",
        written: "kind = \"written\"\nfields = [\"u\"]\nrhs = { u = \"-u*dx(u) - lap(u) - lap(lap(u))\" }",
        method: "scheme = \"etdrk4\"\ntime_step = 0.05",
    },
    Pair {
        what: "Korteweg–de Vries",
        problem: "lengths = [40]\ninitial = { kind = \"random\", spectrum = { kind = \"exponential_peak\", peak = 1.0 } }",
        built_in: "kind = \"kdv\"",
        written: "kind = \"written\"\nfields = [\"u\"]\nrhs = { u = \"-6*u*dx(u) - dx(dx(dx(u)))\" }",
        method: "scheme = \"etdrk4\"\ntime_step = 0.001",
    },
    Pair {
        what: "Allen–Cahn in two dimensions",
        problem: "initial = { kind = \"random\", spectrum = { kind = \"exponential_peak\", peak = 4.0 } }",
        built_in: "kind = \"allen_cahn\"\ninterface_width = 0.2",
        written: "kind = \"written\"\nfields = [\"u\"]\nrhs = { u = \"0.04*lap(u) + u - u^3\" }",
        method: "scheme = \"ars443\"\ntime_step = 0.01",
    },
    Pair {
        what: "Gray–Scott in two dimensions",
        problem: "lengths = [2.5]\ninitial = { kind = \"random\", amplitude = 0.1, means = { u = 0.6, v = 0.2 }, \
                  spectrum = { kind = \"exponential_peak\", peak = 9.0 } }",
        built_in: "kind = \"gray_scott\"\nfeed = 0.037\nkill = 0.06\ndiffusivity_u = 2e-5\ndiffusivity_v = 1e-5",
        written: "kind = \"written\"\nfields = [\"u\", \"v\"]\nparameters = { F = 0.037, k = 0.06 }\n\
                  rhs = { u = \"2e-5*lap(u) - u*v^2 + F*(1 - u)\", v = \"1e-5*lap(v) + u*v^2 - (F + k)*v\" }",
        method: "scheme = \"etdrk4\"\ntime_step = 0.5",
    },
    Pair {
        what: "vorticity in two dimensions",
        problem: "initial = { kind = \"random\", spectrum = { kind = \"exponential_peak\", peak = 4.0 } }",
        built_in: "kind = \"vorticity_2d\"\nviscosity = 0.01\ndrag = 0.1",
        written: "kind = \"written\"\nfields = [\"vorticity\"]\nparameters = { nu = 0.01, mu = 0.1 }\n\
                  define = { psi = \"-inv_lap(vorticity)\", u = \"dy(psi)\", v = \"-dx(psi)\" }\n\
                  rhs.vorticity = \"dy(dy(u*v)) - dx(dx(u*v)) + dx(dy(u^2 - v^2)) + nu*lap(vorticity) - mu*vorticity\"",
        method: "scheme = \"if_rk4\"\ntime_step = 0.002",
    },
    Pair {
        what: "Navier–Stokes in three dimensions, with its constraint",
        problem: "initial = { kind = \"random\", spectrum = { kind = \"von_karman\", peak = 2.0 } }",
        built_in: "kind = \"navier_stokes_3d\"\nviscosity = 0.02",
        written: "kind = \"written\"\nvectors = { velocity = [\"velocity_x\", \"velocity_y\", \"velocity_z\"] }\n\
                  rhs = { velocity = \"-dot(velocity, grad(velocity)) + 0.02*lap(velocity)\" }\n\
                  constraint = \"div(velocity) = 0\"",
        method: "scheme = \"if_rk4\"\ntime_step = 0.01",
    },
];
