//! The XDMF beside output.h5: well-formed XML whose numbers are those of the file; opened with VTK where the readers'
//! virtual environment is (`make test` sets `SPANWISE_PYTHON`).

use std::path::Path;

use spanwise::io::{Header, Segments, Storage, save_joined};
use spanwise::solvers::spectral::results::xdmf;
use spanwise::state::{Hyperslab, Name};
use spanwise::team::Solo;

/// Two fields (one in single precision), the components of a vector and something that is no field, at three times, on
/// these coordinates of `axes`. `cut`: an axis of the box on which they do not lie, as slices do not.
fn output(dir: &Path, axes: &[&'static str], coordinates: &[Vec<f64>], cut: Option<&'static str>) {
    let header = Header::default();
    let shape: Vec<usize> = std::iter::once(3).chain(coordinates.iter().map(Vec::len)).collect();
    let whole = Hyperslab { start: vec![0; shape.len()], count: shape.clone() };
    let dims: Vec<&str> = std::iter::once("time").chain(axes.iter().copied()).collect();
    let total: usize = shape.iter().product();
    let mut segments = Segments::start(dir, &Solo).unwrap();
    segments
        .save(&header, &[0.0, 5.0, 9.0], &Solo, &mut |s| {
            let walk = s.section("fields");
            walk.scalar(&Name::kept("time", "s", "time", &["time"]), (&mut [0.0, 0.5, 0.1 + 0.8][..]).into())?;
            walk.scalar(&Name::kept("step", "1", "step", &["time"]), (&mut [0.0, 5.0, 9.0][..]).into())?;
            for (axis, x) in axes.iter().zip(coordinates) {
                walk.scalar(&Name::kept(axis, "m", "coordinate", &[axis]), x.clone()[..].as_mut().into())?;
            }
            if let Some(axis) = &cut {
                walk.scalar(&Name::kept(axis, "m", "coordinate", &[axis]), (&mut [0.0, 1.0, 2.0][..]).into())?;
            }
            let mut u: Vec<f64> = (0..total).map(|i| i as f64 / 7.0).collect();
            walk.block(&Name::kept("u", "m", "a field", &dims), &shape, &whole, (&mut u).into())?;
            let mut v: Vec<f32> = (0..total).map(|i| -(i as f32)).collect();
            walk.block(&Name::kept("v", "m", "in single precision", &dims), &shape, &whole, (&mut v).into())?;
            for (a, axis) in axes.iter().enumerate() {
                let mut values: Vec<f64> = (0..total).map(|i| (a + 1) as f64 + i as f64 / 3.0).collect();
                let name = Name::kept(&format!("velocity_{axis}"), "m", "a component", &dims);
                walk.block(&name, &shape, &whole, (&mut values).into())?;
            }
            walk.scalar(&Name::kept("mean", "m", "no field", &["time"]), (&mut [1.0, 2.0, 3.0][..]).into())
        })
        .unwrap();
    save_joined(&dir.join("output.h5"), &header, Storage::output(4), &Solo, &mut |_| Ok(()), Some(&segments)).unwrap();
}

fn even(n: usize, step: f64) -> Vec<f64> {
    (0..n).map(|i| -1.0 + step * i as f64).collect()
}

/// Gauss points between walls.
fn walls(n: usize) -> Vec<f64> {
    (0..n).map(|i| 1.0 - (std::f64::consts::PI * (i as f64 + 0.5) / n as f64).cos()).collect()
}

#[test]
fn vtk_finds_the_fields_where_they_are() {
    let cases: [(&[&'static str], _, _); 4] = [
        (&["x", "y"], vec![even(6, 0.5), even(5, 0.25)], "3DCoRectMesh"),
        (&["x", "y", "z"], vec![even(4, 0.5), even(5, 0.25), even(6, 2.0)], "3DCoRectMesh"),
        (&["z", "x"], vec![walls(6), even(5, 0.25)], "3DRectMesh"),
        (&["z", "y", "x"], vec![walls(7), even(5, 0.25), even(6, 2.0)], "3DRectMesh"),
    ];
    for (axes, coordinates, mesh) in cases {
        let dir = tempfile::tempdir().unwrap();
        output(dir.path(), axes, &coordinates, None);
        assert_eq!(xdmf::write(dir.path()).unwrap(), ["output.xdmf"]);
        let text = std::fs::read_to_string(dir.path().join("output.xdmf")).unwrap();
        assert_eq!(text.matches(mesh).count(), 3, "one mesh of this kind per time\n{text}");
        assert_eq!(text.matches("output.h5:/fields/u<").count(), 3);
        // A vector has the component along the reader's first coordinate first: that of our last axis.
        let vector = text.split("Name=\"velocity\" AttributeType=\"Vector\"").nth(1).expect("a vector");
        let order: Vec<&str> = vector.split("output.h5:/fields/velocity_").skip(1).map(|s| &s[..1]).collect();
        let reversed: Vec<&str> = axes.iter().rev().copied().collect();
        assert_eq!(order[..axes.len()], reversed, "{text}");
        assert!(!text.contains("mean"), "{text}");
        let open = text.matches("<DataItem").count();
        assert_eq!(open, text.matches("</DataItem>").count(), "every item is closed");
        if let Ok(python) = std::env::var("SPANWISE_PYTHON") {
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers/check_xdmf.py");
            let run =
                std::process::Command::new(&python).arg(script).arg(dir.path().join("output.xdmf")).output().unwrap();
            assert!(run.status.success(), "{mesh}: {}\n{text}", String::from_utf8_lossy(&run.stderr));
        }
    }
}

#[test]
fn lines_and_slices_alone_have_no_xdmf() {
    for (axes, cut) in [(&["x"][..], None), (&["x", "y"], Some("z"))] {
        let dir = tempfile::tempdir().unwrap();
        let coordinates: Vec<Vec<f64>> = axes.iter().map(|_| even(9, 0.1)).collect();
        output(dir.path(), axes, &coordinates, cut);
        assert_eq!(xdmf::write(dir.path()).unwrap(), [] as [String; 0]);
        assert!(!dir.path().join("output.xdmf").exists());
    }
}
