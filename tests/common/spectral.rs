//! Spectral problems of every kind, small and awkward.

/// (name, input) of each.
pub fn problems() -> Vec<(String, String)> {
    let case = |name: &str, problem: &str, method: &str| {
        (name.to_string(), format!("solver = \"spectral\"\n[problem]\n{problem}\n[method]\n{method}\n"))
    };
    let ks = "equation = { kind = \"kuramoto_sivashinsky\" }\nlengths = [22]\n\
              initial = { kind = \"random\", spectrum = { kind = \"exponential_peak\", peak = 1.0 } }";
    let vorticity = "equation = { kind = \"vorticity_2d\", viscosity = 0.01 }\n\
                     initial = { kind = \"random\", spectrum = { kind = \"exponential_peak\", peak = 4.0 } }";
    let flow = "equation = { kind = \"navier_stokes_3d\", viscosity = 0.05 }\n\
                initial = { kind = \"random\", spectrum = { kind = \"von_karman\", peak = 2.0 } }";
    vec![
        case("KS, ETDRK4", &format!("points = [64]\nend_time = 1.5\n{ks}"), "scheme = \"etdrk4\"\ntime_step = 0.1"),
        case("KS, SBDF3", &format!("points = [45]\nend_time = 1.5\n{ks}"), "scheme = \"sbdf3\"\ntime_step = 0.05"),
        case(
            "vorticity, CFL",
            &format!("points = [37, 53]\nend_time = 0.5\n{vorticity}\noutput = {{ probes = [[1.0, 2.0]] }}"),
            "scheme = \"if_rk4\"\nstep_control = \"cfl\"\nmax_step = 0.05",
        ),
        case(
            "vorticity, padded, error control",
            &format!("points = [32, 20]\nend_time = 0.5\ndealiasing = \"padding\"\n{vorticity}"),
            "step_control = \"error\"\ntime_step = 0.02\ntolerance = 1e-5",
        ),
        case(
            "vorticity, f32",
            &format!("points = [48, 48]\nend_time = 0.5\nprecision = \"f32\"\n{vorticity}"),
            "scheme = \"ars443\"\ntime_step = 0.05",
        ),
        case(
            "flow",
            &format!("points = [24, 20, 18]\nend_time = 0.3\n{flow}\noutput = {{ statistics = {{ every = 2 }} }}"),
            "scheme = \"if_rk4\"\ntime_step = 0.03",
        ),
        case(
            "flow, SBDF2, pencils",
            &format!("points = [16, 18, 20]\nend_time = 0.3\ndealiasing = \"padding\"\n{flow}"),
            "scheme = \"sbdf2\"\ntime_step = 0.03",
        ),
        case(
            "written, with a constraint and random forcing",
            "points = [20, 24]\nend_time = 0.5\nequation = { kind = \"written\", vectors = { u = [\"ux\", \"uy\"] }, \
             rhs = { u = \"-dot(u, grad(u)) + 0.05*lap(u)\" }, constraint = \"div(u) = 0\", \
             random = [{ field = \"u\", amplitude = 0.5, band = [1, 3] }] }\n\
             initial = { kind = \"expressions\", fields = { ux = \"sin(y)\", uy = \"cos(2*x)\" } }",
            "scheme = \"if_rk4\"\ntime_step = 0.025",
        ),
        case(
            "flow at constant power, with directions",
            "points = [12, 14, 10]\nend_time = 0.3\ntangent = { vectors = 2, every = 0.06, transient = 0.1 }\n\
             equation = { kind = \"navier_stokes_3d\", viscosity = 0.05, \
             forcing = { kind = \"power\", power = 0.2, wavenumber = 2.0 } }\n\
             initial = { kind = \"random\", spectrum = { kind = \"von_karman\", peak = 2.0 } }",
            "scheme = \"if_rk4\"\ntime_step = 0.02",
        ),
        case(
            "shallow water",
            "points = [24, 20]\nend_time = 0.4\nequation = { kind = \"shallow_water\", gravity = 2.0, coriolis = 0.7 }\n\
             initial = { kind = \"named\", name = \"bump\" }",
            "scheme = \"etdrk4\"\ntime_step = 0.02",
        ),
        case(
            "KS with four directions",
            &format!("points = [48]\nend_time = 3.0\n{ks}\ntangent = {{ vectors = 4, every = 0.3, transient = 0.6 }}"),
            "scheme = \"etdrk4\"\ntime_step = 0.1",
        ),
        case(
            "convection between walls",
            "points = [13, 12]\nlengths = [1.0, 2.0]\nend_time = 0.02\n\
             equation = { kind = \"rayleigh_benard\", rayleigh = 1e4, prandtl = 0.7 }\n\
             output = { probes = [[0.3, 1.1]], statistics = { start = 0.003, every = 2 } }",
            "scheme = \"sbdf2\"\ntime_step = 0.001",
        ),
        case(
            "channel",
            "points = [11, 8, 12]\nlengths = [2.0, 3.0, 6.0]\nend_time = 0.3\n\
             equation = { kind = \"channel\", viscosity = 0.01, drive = { kind = \"flux\", bulk_velocity = 1.0 } }\n\
             output = { statistics = { every = 3, profile = \"z\" } }",
            "scheme = \"ars443\"\ntime_step = 0.02",
        ),
        case(
            "convection between walls, steps by the CFL limit",
            "points = [13, 12]\nlengths = [1.0, 2.0]\nend_time = 0.03\n\
             equation = { kind = \"rayleigh_benard\", rayleigh = 1e5, prandtl = 0.7, disturbance = 0.3 }\n\
             output = { every = 0.011 }",
            "scheme = \"sbdf3\"\nstep_control = \"cfl\"\ntime_step = 0.002",
        ),
        case(
            "Schrödinger",
            "points = [128]\nlengths = [40]\norigin = [-20]\nend_time = 0.4\n\
             equation = { kind = \"nonlinear_schroedinger\" }",
            "scheme = \"cnab2\"\ntime_step = 0.02",
        ),
        case(
            "ensemble",
            &format!(
                "points = [64]\nend_time = 1.5\n{ks}\nensemble = {{ members = 5 }}\n\
                 output = {{ probes = [[1.0]], statistics = {{ every = 2 }} }}"
            ),
            "time_step = 0.1",
        ),
        case(
            "ensemble, CFL, varied",
            "points = [48]\nend_time = 0.4\nprecision = \"f32\"\n\
             equation = { kind = \"burgers\", viscosity = 0.05 }\n\
             initial = { kind = \"expressions\", fields = { u = \"a*sin(x)\" }, parameters = { a = 1.0 } }\n\
             ensemble = { members = 4, vary = { \"equation.viscosity\" = [0.05, 0.1, 0.2, \"1/3\"], \
             \"initial.parameters.a\" = [1, 2, 3, 0.5] } }",
            "scheme = \"sbdf3\"\nstep_control = \"cfl\"\nmax_step = 0.02",
        ),
        case(
            "ensemble, written, error control, random forcing",
            "points = [40]\nend_time = 0.6\nequation = { kind = \"written\", fields = [\"u\", \"v\"], \
             rhs = { u = \"-u*dx(u) + 0.1*lap(u) + v\", v = \"0.1*lap(v) - u\" }, \
             random = [{ field = \"u\", amplitude = 0.5, band = [1, 3] }] }\n\
             initial = { kind = \"expressions\", fields = { u = \"sin(x)\", v = \"cos(2*x)\" } }\n\
             ensemble = { members = 3 }",
            "step_control = \"error\"\ntime_step = 0.02\ntolerance = 1e-5",
        ),
    ]
}
