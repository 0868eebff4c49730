//! What `check` promises of memory is what a run takes, program and libraries included, on one rank, two and four.

#![cfg(feature = "mpi")]

#[allow(dead_code)]
mod program;

use std::path::Path;
use std::time::Duration;

/// Peak of the largest rank of a run in MB.
fn peak(directory: &Path, ranks: usize) -> f64 {
    let command = program::command(ranks, &["run", "a.toml", "--output", "out", "--force", "--quiet"], directory);
    let ended = program::finish(command, ranks, Duration::from_secs(120));
    assert!([0, 3].contains(&ended.code()), "{ended:?}");
    let report = std::fs::read_to_string(directory.join("out/report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    report["memory"]["peak_bytes_of_largest_rank"].as_f64().unwrap() / 1e6
}

/// The total of `check` in MB, and its page.
fn promised(directory: &Path, ranks: usize) -> (f64, String) {
    let command = program::command(1, &["check", "a.toml", "--ranks", &ranks.to_string()], directory);
    let page = program::finish(command, 1, Duration::from_secs(60)).stdout;
    let line = page.lines().find_map(|l| l.trim().strip_prefix("total")).expect("a total");
    (line.trim().trim_end_matches(" MB").parse().unwrap(), page)
}

/// Three steps to the end, where fields are kept.
fn input(problem: &str, method: &str) -> String {
    let step: f64 = method.rsplit("time_step = ").next().unwrap().parse().unwrap();
    let end = 3.0 * step;
    format!("solver = \"spectral\"\n[problem]\nend_time = {end:?}\n{problem}\n[method]\n{method}\n")
}

#[cfg(target_os = "linux")]
#[test]
fn the_peak_of_a_run_is_within_a_tenth_of_what_check_promises_on_one_rank_on_two_and_on_four() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let random =
        "initial = { kind = \"random\", spectrum = { kind = \"exponential_peak\", peak = 6.0 }, amplitude = 0.1 }";
    let mut wrong = Vec::new();
    for (name, text) in [
        (
            "Navier–Stokes 128³",
            input(
                "points = [128, 128, 128]\nequation = { kind = \"navier_stokes_3d\", viscosity = 0.01 }",
                "scheme = \"if_rk4\"\ntime_step = 0.001",
            ),
        ),
        (
            "Navier–Stokes 128³ of which no fields are kept",
            input(
                "points = [128, 128, 128]\nequation = { kind = \"navier_stokes_3d\", viscosity = 0.01 }\n\
                 output = { whole = false }",
                "scheme = \"if_rk4\"\ntime_step = 0.001",
            ),
        ),
        (
            "Navier–Stokes 96³, padded, f32, ARS443",
            input(
                "points = [96, 96, 96]\ndealiasing = \"padding\"\nprecision = \"f32\"\n\
                 equation = { kind = \"navier_stokes_3d\", viscosity = 0.01 }",
                "scheme = \"ars443\"\ntime_step = 0.001",
            ),
        ),
        (
            "vorticity 1024²",
            input(
                &format!("points = [1024, 1024]\nequation = {{ kind = \"vorticity_2d\", viscosity = 1e-3 }}\n{random}"),
                "scheme = \"etdrk4\"\ntime_step = 0.001",
            ),
        ),
        (
            "vorticity 768², means and variances of all fields",
            input(
                &format!(
                    "points = [768, 768]\nequation = {{ kind = \"vorticity_2d\", viscosity = 1e-3 }}\n{random}\n\
                     output = {{ fields = [\"all\"], statistics = {{ every = 1 }} }}"
                ),
                "scheme = \"etdrk4\"\ntime_step = 0.001",
            ),
        ),
        (
            "written 768²",
            input(
                "points = [768, 768]\nequation = { kind = \"written\", fields = [\"b\"], vectors = { u = [\"ux\", \"uy\"] }, \
                 rhs = { u = \"-dot(u, grad(u)) + 0.01*lap(u) + [0, b]\", b = \"-dot(u, grad(b)) + 0.01*lap(b)\" }, \
                 constraint = \"div(u) = 0\" }\n\
                 initial = { kind = \"expressions\", fields = { ux = \"sin(y)\", uy = \"cos(2*x)\", b = \"cos(x)\" } }",
                "scheme = \"etdrk4\"\ntime_step = 0.001",
            ),
        ),
        (
            "Rayleigh–Bénard 257 × 1024",
            input(
                "points = [257, 1024]\nlengths = [1.0, 4.0]\n\
                 equation = { kind = \"rayleigh_benard\", rayleigh = 1e5, prandtl = 0.7 }",
                "scheme = \"sbdf2\"\ntime_step = 1e-5",
            ),
        ),
        (
            "channel 65 × 64 × 96",
            input(
                "points = [65, 64, 96]\nlengths = [2.0, 3.0, 6.0]\n\
                 equation = { kind = \"channel\", viscosity = 0.01, drive = { kind = \"flux\", bulk_velocity = 1.0 } }",
                "scheme = \"ars443\"\ntime_step = 0.001",
            ),
        ),
        (
            "Kuramoto–Sivashinsky, 2²⁰ points",
            input(
                &format!(
                    "points = [1048576]\nlengths = [100000]\nequation = {{ kind = \"kuramoto_sivashinsky\" }}\n{random}"
                ),
                "scheme = \"etdrk4\"\ntime_step = 0.001",
            ),
        ),
        (
            "Kuramoto–Sivashinsky, 16 members of 2¹⁴ points",
            input(
                &format!(
                    "points = [16384]\nlengths = [2000]\nequation = {{ kind = \"kuramoto_sivashinsky\" }}\n{random}\n\
                     ensemble = {{ members = 16 }}"
                ),
                "scheme = \"etdrk4\"\ntime_step = 0.001",
            ),
        ),
    ] {
        std::fs::write(directory.join("a.toml"), text).unwrap();
        for ranks in [1, 2, 4] {
            let ((promised, page), measured) = (promised(directory, ranks), peak(directory, ranks));
            println!("{name}, {ranks} ranks: measured {measured:.1} MB, promised {promised:.1} MB");
            if !(0.9..1.1).contains(&(measured / promised)) {
                wrong.push(format!("{name}, {ranks} ranks: measured {measured:.1} of {promised:.1} MB\n{page}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
