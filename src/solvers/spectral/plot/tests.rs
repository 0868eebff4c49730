//! Figures of made-up outputs. With SPANWISE_FIGURES=DIR they are kept there, to be looked at.

use super::series::{flat, scaled, spoken};
use super::*;
use crate::io::{Header, Segments, Storage, save_joined};
use crate::state::{Hyperslab, Name};
use crate::team::Solo;

/// An output.h5 with snapshots of `fields` on `points` at `times`, spectra and two series.
fn output(dir: &Path, points: &[usize], times: &[f64], fields: &[(&str, &dyn Fn(f64, &[f64]) -> f64)]) {
    let axes = &["x", "y", "z"][..points.len()];
    let coordinate = |a: usize, i: usize| std::f64::consts::TAU * i as f64 / points[a] as f64;
    let total: usize = points.iter().product();
    let mut segments = Segments::start(dir, &Solo).unwrap();
    let input = "[comment]\ntitle = \"decaying waves\"\n[method]\nscheme = \"if_rk4\"\n";
    let header =
        Header { solver: "spectral".into(), input: input.into(), status: "converged".into(), ..Header::default() };
    let steps: Vec<f64> = (0..times.len()).map(|i| 10.0 * i as f64).collect();
    let mut values: Vec<Vec<f64>> = Vec::new();
    for (_, f) in fields {
        let at = |i: usize| -> Vec<f64> {
            let mut rest = i;
            let mut x = vec![0.0; points.len()];
            for a in (0..points.len()).rev() {
                x[a] = coordinate(a, rest % points[a]);
                rest /= points[a];
            }
            x
        };
        values.push(times.iter().flat_map(|&t| (0..total).map(move |i| (t, i))).map(|(t, i)| f(t, &at(i))).collect());
    }
    let shells = points[0] / 3;
    segments
        .save(&header, &steps, &Solo, &mut |s| {
            let walk = s.section("fields");
            walk.scalar(&Name::kept("time", "s", "time", &["time"]), times.to_vec()[..].as_mut().into())?;
            walk.scalar(&Name::kept("step", "1", "step", &["time"]), steps.clone()[..].as_mut().into())?;
            for (a, axis) in axes.iter().enumerate() {
                let mut x: Vec<f64> = (0..points[a]).map(|i| coordinate(a, i)).collect();
                walk.scalar(&Name::kept(axis, "m", "coordinate", &[axis]), x[..].as_mut().into())?;
            }
            let mut k: Vec<f64> = (0..shells).map(|k| k as f64).collect();
            walk.scalar(&Name::kept("wavenumber", "1/m", "shell", &["wavenumber"]), k[..].as_mut().into())?;
            for ((name, _), values) in fields.iter().zip(&mut values) {
                let mut names = vec!["time"];
                names.extend_from_slice(axes);
                let mut shape = vec![times.len()];
                shape.extend_from_slice(points);
                let whole = Hyperslab { start: vec![0; shape.len()], count: shape.clone() };
                walk.block(&Name::kept(name, "m/s", &format!("field {name}"), &names), &shape, &whole, values.into())?;
                let mut spectrum: Vec<f64> = (0..times.len() * shells)
                    .map(|i| (1.0 + (i % shells) as f64).powi(-4) * (-0.15 * (i % shells) as f64).exp())
                    .collect();
                let name = Name::kept(&format!("{name}_spectrum"), "m2/s2", "spectrum", &["time", "wavenumber"]);
                let shape = [times.len(), shells];
                walk.block(&name, &shape, &Hyperslab::rows(0..times.len(), &[shells]), (&mut spectrum).into())?;
            }
            Ok(())
        })
        .unwrap();
    save_joined(
        &dir.join("output.h5"),
        &header,
        Storage::output(4),
        &Solo,
        &mut |s| {
            let walk = s.section("series");
            let column = |f: &dyn Fn(f64) -> f64| (0..=200).map(|i| f(0.05 * f64::from(i))).collect::<Vec<f64>>();
            walk.series(&Name::kept("step", "1", "step", &["step"]), &mut (0..=200).map(f64::from).collect())?;
            walk.series(&Name::kept("time", "s", "time", &["step"]), &mut column(&|t| t))?;
            walk.series(
                &Name::kept("energy", "m2/s2", "energy", &["step"]),
                &mut column(&|t| 0.125 * (-0.3 * t).exp()),
            )?;
            let peak = |t: f64| 0.3 + t * (-(t - 5.0).powi(2) / 4.0).exp();
            walk.series(&Name::kept("enstrophy", "1/s2", "enstrophy", &["step"]), &mut column(&peak))?;
            walk.series(&Name::kept("max_cfl", "1", "CFL", &["step"]), &mut column(&|t| 0.4 + 0.1 * t.sin()))
        },
        Some(&segments),
    )
    .unwrap();
    segments.published(&Solo).unwrap();
}

/// Distinct colours of the picture, and the picture.
fn drawn(name: &str, dir: &Path) -> usize {
    let kept = std::env::var("SPANWISE_FIGURES").map(std::path::PathBuf::from);
    let path = kept.unwrap_or_else(|_| dir.to_path_buf()).join(format!("{name}.png"));
    plot(&dir.join("output.h5"), &path).unwrap();
    let image = image::open(&path).unwrap().to_rgb8();
    assert_eq!(image.width(), 1500);
    image.pixels().map(|p| p.0).collect::<std::collections::BTreeSet<_>>().len()
}

#[test]
fn one_dimension_is_a_space_time_diagram() {
    let dir = tempfile::tempdir().unwrap();
    let times: Vec<f64> = (0..120).map(|i| 0.25 * f64::from(i)).collect();
    let wave = |t: f64, x: &[f64]| (3.0 * x[0] - 0.4 * t).sin() + 0.7 * (x[0] + 0.2 * t).cos() * (5.0 * x[0]).sin();
    output(dir.path(), &[192], &times, &[("u", &wave)]);
    // A figure without its field has about 400 colours, all greys and a curve or two.
    assert!(drawn("one", dir.path()) > 2000);
}

#[test]
fn two_dimensions_are_planes_at_three_times() {
    let dir = tempfile::tempdir().unwrap();
    let wave = |t: f64, x: &[f64]| {
        let (a, b) = (x[0] + 0.3 * t, x[1]);
        (-0.02 * t).exp() * ((2.0 * a).sin() * (3.0 * b).cos() + 0.8 * (5.0 * a + 2.0 * b).sin() * b.cos())
    };
    output(dir.path(), &[96, 96], &[0.0, 1.0, 2.0, 3.0, 4.0], &[("vorticity", &wave)]);
    assert!(drawn("two", dir.path()) > 2000);
}

#[test]
fn three_dimensions_are_middle_planes_of_three_fields() {
    let dir = tempfile::tempdir().unwrap();
    let u = |t: f64, x: &[f64]| (-0.1 * t).exp() * x[0].sin() * x[1].cos() * (2.0 + x[2]).cos();
    let v = |t: f64, x: &[f64]| -(-0.1 * t).exp() * x[0].cos() * x[1].sin() * (2.0 + x[2]).cos();
    let c = |_: f64, x: &[f64]| (x[0].cos() + x[1].cos()).exp();
    output(dir.path(), &[32, 24, 20], &[0.0, 5.0], &[("u", &u), ("v", &v), ("concentration", &c)]);
    assert!(drawn("three", dir.path()) > 2000);
}

#[test]
fn the_modulus_of_a_complex_field_is_drawn_first() {
    let dir = tempfile::tempdir().unwrap();
    // 3 e^{i(2x − t)}: a modulus of 3 everywhere.
    let re = |t: f64, x: &[f64]| 3.0 * (2.0 * x[0] - t).cos();
    let im = |t: f64, x: &[f64]| 3.0 * (2.0 * x[0] - t).sin();
    output(dir.path(), &[32], &[0.0, 1.0, 2.0], &[("psi_real", &re), ("psi_imag", &im)]);
    let reader = Reader::open(&dir.path().join("output.h5")).unwrap();
    let kept = fields(&reader, "fields").unwrap();
    let mut names = kept.iter().map(|f| f.name.as_str()).collect::<Vec<_>>();
    assert_eq!(names.remove(0), "|psi|");
    names.sort_unstable();
    assert_eq!(names, ["psi_imag", "psi_real"]);
    let values = kept[0].slab(&reader, &[0, 0], &[3, 32]).unwrap();
    assert!(values.len() == 96 && values.iter().all(|v| (v - 3.0).abs() < 1e-14), "{values:?}");
}

#[test]
fn a_component_that_vanishes_in_the_middle_is_shown_elsewhere() {
    // w = sin z … is 1e-16 in the middle plane of 20, z = π; a quarter of the way it is 1.
    let dir = tempfile::tempdir().unwrap();
    let u = |_: f64, x: &[f64]| x[0].sin() * x[1].cos() * x[2].cos();
    let w = |_: f64, x: &[f64]| x[0].cos() * x[1].cos() * x[2].sin();
    let nothing = |_: f64, x: &[f64]| 1e-17 * (7.0 * x[0]).sin();
    output(dir.path(), &[16, 16, 20], &[0.0, 5.0], &[("u", &u), ("w", &w), ("v", &nothing)]);
    let reader = Reader::open(&dir.path().join("output.h5")).unwrap();
    let kept = fields(&reader, "fields").unwrap();
    let plane_of = |name: &str| chosen(&reader, kept.iter().find(|f| f.name == name).unwrap(), 1).unwrap();
    assert_eq!([plane_of("u").1, plane_of("w").1], [10, 5]);
    assert!(plane_of("w").2 > 0.9);
    // Nothing but rounding anywhere: drawn against the others, as nothing.
    let panel = plane(&reader, kept.iter().find(|f| f.name == "v").unwrap(), 5.0, &plane_of("v"), (1.0, true)).unwrap();
    let Panel::Field(field) = panel else { panic!("a field") };
    assert_eq!(field.range, Some((-ROUNDING, ROUNDING)));
    assert!(drawn("vanishing", dir.path()) > 2000);
}

#[test]
fn records_at_0_1_2_3_and_100_lie_at_their_times() {
    // Each record holds its time; the upper 97 % of the picture interpolate between the last two.
    let at = [0.0, 1.0, 2.0, 3.0, 100.0];
    let rows = even_rows(&at, 1, &at, 200);
    assert_eq!(rows.len(), 200);
    for (i, v) in rows.iter().enumerate() {
        assert!((v - 0.5 * (i as f64 + 0.5)).abs() < 1e-12, "row {i}: {v}");
    }
    let dir = tempfile::tempdir().unwrap();
    output(dir.path(), &[16], &at, &[("u", &|t: f64, x: &[f64]| (-t / 20.0).exp() * x[0].cos())]);
    let reader = Reader::open(&dir.path().join("output.h5")).unwrap();
    let (kept, times) = kept(&reader).unwrap();
    assert_eq!(words(&reader, &kept, &times).1, "16 points kept  ·  5 snapshots, t = 0 to 100  ·  scheme: if_rk4");
    let all = kept[0].slab(&reader, &[0, 0], &[5, 16]).unwrap();
    let Panel::Field(field) = space_time(&reader, &kept[0], &times, &all, "u(x, t)").unwrap() else {
        panic!("a field")
    };
    assert_eq!((field.y.range, field.rows), (Some((0.0, 100.0)), 600));
    assert_eq!((field.palette, field.range), (Palette::Diverging, Some((-1.0, 1.0))));
    assert_eq!(thinned_to_the_last(4098), [(0..4098).step_by(3).collect(), vec![4097]].concat());
}

#[test]
fn components_of_one_vector_have_one_colour_map() {
    for (a, b, one) in [("u", "w", true), ("ux", "uy", true), ("b_x", "b_z", true), ("psi_real", "psi_imag", true)] {
        assert_eq!(whole(a) == whole(b), one, "{a} and {b}");
    }
    for (a, b) in [("u", "theta"), ("u", "c"), ("|psi|", "psi_real")] {
        assert_ne!(whole(a), whole(b));
    }
    let dir = tempfile::tempdir().unwrap();
    let u = |_: f64, x: &[f64]| 2.0 + x[1].cos();
    let v = |_: f64, x: &[f64]| 0.1 * x[0].sin();
    let c = |_: f64, x: &[f64]| 2.0 + x[1].cos();
    output(dir.path(), &[16, 16], &[0.0, 5.0], &[("u", &u), ("v", &v), ("c", &c)]);
    let reader = Reader::open(&dir.path().join("output.h5")).unwrap();
    let (kept, times) = kept(&reader).unwrap();
    for (field, (_, panel)) in kept.iter().zip(planes(&reader, &kept, &times).unwrap()) {
        let Panel::Field(drawn) = panel else { panic!("a field") };
        let expected = if field.name == "c" { Palette::Sequential } else { Palette::Diverging };
        assert_eq!(drawn.palette, expected, "{}", field.name);
    }
}

#[test]
fn a_mean_of_rounding_is_flat_beside_its_field_of_two() {
    let dir = tempfile::tempdir().unwrap();
    output(dir.path(), &[16], &[0.0, 1.0], &[("u", &|_: f64, x: &[f64]| 2.0 * x[0].cos())]);
    let reader = Reader::open(&dir.path().join("output.h5")).unwrap();
    let drawn =
        |values: &[f64], sizes: &[(String, f64)]| scaled(Axis::new("mass"), &reader, "fields/u", values, sizes).range;
    // The made-up file calls it "field u": no mean of anything.
    assert_eq!(drawn(&[1e-17], &[("u".into(), 2.0)]), None);
    assert_eq!(flat(&[-2e-17, -5.5e-17], 2.0), Some((-2.0, 2.0)));
    assert_eq!(flat(&[-2e-17, 1e-12], 2.0), None);
    assert_eq!(flat(&[0.0], 0.0), None);
}

#[test]
fn a_run_that_ended_at_a_half_before_its_first_snapshot_shows_its_last_state() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("output.h5");
    let written = crate::io::save(&path, &Header::default(), Storage::output(0), &Solo, &mut |s| {
        let walk = s.section("series");
        walk.series(&Name::kept("step", "1", "step", &["step"]), &mut vec![0.0, 1.0])?;
        walk.series(&Name::kept("time", "1", "time", &["step"]), &mut vec![0.0, 0.5])?;
        let walk = s.section("results");
        for axis in ["z", "x"] {
            let mut places: Vec<f64> = (0..8).map(f64::from).collect();
            walk.scalar(&Name::kept(axis, "1", "coordinate", &[axis]), places[..].as_mut().into())?;
        }
        let whole = Hyperslab { start: vec![0, 0], count: vec![8, 8] };
        for name in ["u", "u_mean"] {
            let mut values: Vec<f64> = (0..64).map(f64::from).collect();
            walk.block(&Name::kept(name, "1", "velocity", &["z", "x"]), &[8, 8], &whole, (&mut values).into())?;
        }
        Ok(())
    });
    written.unwrap();
    let reader = Reader::open(&path).unwrap();
    let (kept, times) = kept(&reader).unwrap();
    assert_eq!((kept.len(), kept[0].name.as_str(), &times[..]), (1, "u", &[0.5][..]));
    let panels = planes(&reader, &kept, &times).unwrap();
    let [(_, Panel::Field(field))] = &panels[..] else { panic!("a field") };
    assert_eq!((field.title.as_str(), field.values[1]), ("u   (t = 0.5)", 1.0));
}

#[test]
fn eight_curves_with_five_colours_leave_three() {
    assert_eq!(and_more(8).unwrap().label, "… and 3 more");
    assert!(and_more(5).is_none() && and_more(1).is_none());
}

#[test]
fn between_walls_z_points_up_and_x_to_the_right() {
    let shown = |axes: &[&str], shape: &[usize]| {
        let text = String::new;
        let axes = axes.iter().map(|a| a.to_string()).collect();
        sides(&Kept {
            name: text(),
            group: "fields",
            parts: vec![],
            units: text(),
            meaning: text(),
            axes,
            shape: shape.to_vec(),
        })
    };
    assert_eq!(shown(&["z", "x"], &[9, 8]), (1, 0, None));
    assert_eq!(shown(&["z", "y", "x"], &[9, 8, 8]), (2, 0, Some(1)));
    assert_eq!(shown(&["x", "y"], &[8, 1]), (0, 1, None));
    assert_eq!(shown(&["x", "y", "z"], &[8, 8, 8]), (0, 1, Some(2)));
    // An axis of one point is the one that is cut.
    assert_eq!(shown(&["x", "y", "z"], &[8, 1, 8]), (0, 2, Some(1)));
    assert_eq!(shown(&["z", "y", "x"], &[9, 8, 1]), (1, 0, Some(2)));
}

#[test]
fn flat_fields_leave_no_band_of_nothing_below_them() {
    let panel = |high: f64| {
        let axis = |length: f64| Axis { label: String::new(), log: false, range: Some((0.0, length)) };
        (1.0, Panel::Field(Field { x: axis(2.0), y: axis(high), equal: true, ..Field::default() }))
    };
    let figure = |panels: Vec<(f64, Panel)>| {
        let rows = vec![(1.0, panels), (1.0, vec![(1.0, Panel::Curves(Curves::default()))])];
        fitted(Figure { title: String::new(), subtitle: String::new(), size: (1500, 850), rows })
    };
    // Of 755 pixels each row has half; three boxes twice as wide as high take (1464/3 − 188)/2 = 150 and what is around.
    let flat = figure(vec![panel(1.0), panel(1.0), panel(0.5)]);
    assert_eq!(flat.size.1, (95.0f64 + 250.0 + 377.5).round() as u32);
    assert_eq!((flat.rows[0].0, flat.rows[1].0), (250.0, 377.5));
    // Squares, or a panel that fills its place, need all.
    for panels in [vec![panel(2.0); 3], vec![panel(1.0), (1.0, Panel::Curves(Curves::default()))]] {
        assert_eq!(figure(panels).size.1, 850);
    }
}

#[test]
fn series_are_named_in_words() {
    assert_eq!(spoken("nusselt_lower"), "Nusselt number, lower");
    assert_eq!(spoken("reynolds"), "Reynolds number");
    assert_eq!(spoken("kinetic_energy"), "kinetic energy");
    assert_eq!(spoken("cfl"), "CFL number");
}

#[test]
fn an_output_without_anything_to_draw_is_refused_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("output.h5");
    crate::io::save(&path, &Header::default(), Storage::output(0), &Solo, &mut |_| Ok(())).unwrap();
    let error = plot(&path, &dir.path().join("f.png")).unwrap_err().to_string();
    assert!(error.contains("neither fields nor series"), "{error}");
}

#[test]
fn figures_of_the_fourteen_built_in_equations_bear_their_names() {
    let names: Vec<&str> = equations::ALL.iter().filter_map(|about| known(about.word)).collect();
    assert_eq!(names.len(), 14, "{names:?}");
    assert_eq!(known("gray_scott"), Some("Gray–Scott"));
    assert_eq!(known("rayleigh_benard"), Some("Rayleigh–Bénard convection"));
    assert_eq!(known("decaying waves"), None);
}
