//! The XDMF beside output.h5: ParaView, VisIt and VTK open it and find the fields, their mesh and their times.
//!
//! XDMF's first coordinate is the fastest axis of the data, which here is the last one, and it has no way to turn a mesh
//! but a list of all points. A reader therefore shows z, y, x where we say x, y, z (between walls, where axes are z, y, x,
//! it shows x, y, z); [docs/file_format.md] says so too. Vectors are put together in the reader's order, so that arrows
//! point along the mesh that it shows.

use std::fmt::Write;
use std::path::Path;

use crate::error::Result;
use crate::io::read::Reader;
use crate::io::write_atomically;

const AXES: [&str; 3] = ["x", "y", "z"];

/// A field of `/fields` that has a mesh: its name, bytes per value and shape without time.
struct Field {
    name: String,
    bytes: usize,
    shape: Vec<usize>,
}

/// Writes `output.xdmf` beside the output.h5 of `directory` for its fields on all axes of two or three; returns its
/// name, or nothing when there is no such field. One rank only.
pub fn write(directory: &Path) -> Result<Vec<String>> {
    let reader = Reader::open(&directory.join("output.h5"))?;
    if !reader.has("fields/time") {
        return Ok(Vec::new());
    }
    let times = reader.array("fields/time")?.values;
    let axes = longest_axes(&reader)?;
    let dimension = AXES.iter().filter(|a| reader.has(&format!("fields/{a}"))).count();
    // Slices alone lie on meshes of their own.
    if !(2..=3).contains(&axes.len()) || axes.len() < dimension {
        return Ok(Vec::new());
    }
    let mut fields = Vec::new();
    for name in reader.datasets("fields") {
        let labels = reader.axes(&format!("fields/{name}"))?;
        if labels.len() == axes.len() + 1 && labels[1..] == axes {
            let path = format!("fields/{name}");
            let shape = reader.shape(&path)?[1..].to_vec();
            fields.push(Field { bytes: reader.value_bytes(&path)?, shape, name });
        }
    }
    let Some(first) = fields.first() else { return Ok(Vec::new()) };
    let coordinates =
        axes.iter().map(|a| Ok(reader.array(&format!("fields/{a}"))?.values)).collect::<Result<Vec<_>>>()?;
    let mesh = mesh(&axes, &coordinates, &first.shape);
    let meaning = |name: &str| reader.attribute(&format!("fields/{name}"), "long_name").unwrap_or_default();
    let vectors = vectors(&axes, &fields, meaning);
    let name = "output.xdmf";
    write_atomically(&directory.join(name), document(&times, &fields, &vectors, &mesh).as_bytes())?;
    Ok(vec![name.into()])
}

/// The axes after time of the dataset that has most of them; those with a coordinate only.
fn longest_axes(reader: &Reader) -> Result<Vec<String>> {
    let mut longest = Vec::new();
    for name in reader.datasets("fields") {
        let labels = reader.axes(&format!("fields/{name}"))?;
        let known = labels.iter().skip(1).all(|l| AXES.contains(&l.as_str()));
        if labels.first().is_some_and(|l| l == "time") && known && labels.len() > longest.len() + 1 {
            longest = labels[1..].to_vec();
        }
    }
    Ok(longest)
}

/// A vector field: its name, and its components in the reader's order, one for each axis.
struct Vector<'a> {
    name: String,
    components: Vec<&'a Field>,
}

/// The vectors among the fields: names that end with the axes (`velocity_x`, `velocity_y`, …), and u, v, w of a velocity.
fn vectors<'a>(axes: &[String], fields: &'a [Field], meaning: impl Fn(&str) -> String) -> Vec<Vector<'a>> {
    let find = |name: String| fields.iter().find(|f| f.name == name);
    // The reader's first coordinate is our last axis.
    let all = |name: &dyn Fn(&str) -> String| axes.iter().rev().map(|a| find(name(a))).collect::<Option<Vec<_>>>();
    let mut found = Vec::new();
    for prefix in fields.iter().filter_map(|f| f.name.strip_suffix(axes[0].as_str())) {
        if let Some(components) = all(&|axis| format!("{prefix}{axis}")) {
            let name = prefix.trim_end_matches('_');
            let taken = name.is_empty() || find(name.into()).is_some();
            found.push(Vector { name: if taken { format!("{name}_vector") } else { name.into() }, components });
        }
    }
    let letter = |axis: &str| ["u", "v", "w"][AXES.iter().position(|a| *a == axis).unwrap_or(0)].to_string();
    if let Some(components) = all(&letter)
        && components.iter().all(|f| meaning(&f.name).contains("velocity"))
        && found.iter().all(|v| v.name != "velocity")
    {
        found.push(Vector { name: "velocity".into(), components });
    }
    found
}

fn spaced(values: impl Iterator<Item = impl ToString>) -> String {
    values.map(|v| v.to_string()).collect::<Vec<_>>().join(" ")
}

/// Topology and geometry: an origin and spacings where all axes are equispaced, else a list of coordinates per axis.
/// Planes are boxes one point thick: VTK's reader misplaces two-dimensional meshes.
fn mesh(axes: &[String], coordinates: &[Vec<f64>], shape: &[usize]) -> String {
    let thick = 3 - axes.len();
    let step = |x: &[f64]| if x.len() > 1 { (x[x.len() - 1] - x[0]) / (x.len() - 1) as f64 } else { 1.0 };
    let equispaced = |x: &Vec<f64>| {
        let step = step(x);
        x.windows(2).all(|w| (w[1] - w[0] - step).abs() <= 1e-9 * step.abs())
    };
    let dimensions = spaced(std::iter::repeat_n(1, thick).chain(shape.iter().copied()));
    let item = |n: usize, format: &str, content: &str| {
        format!(
            "          <DataItem Dimensions=\"{n}\" NumberType=\"Float\" Precision=\"8\" Format=\"{format}\">{content}</DataItem>\n"
        )
    };
    let (topology, geometry, items) = if coordinates.iter().all(equispaced) {
        let origin = spaced(std::iter::repeat_n(0.0, thick).chain(coordinates.iter().map(|x| x[0])));
        let steps = spaced(std::iter::repeat_n(1.0, thick).chain(coordinates.iter().map(|x| step(x))));
        ("3DCoRectMesh", "ORIGIN_DXDYDZ", item(3, "XML", &origin) + &item(3, "XML", &steps))
    } else {
        // The first list is the fastest axis: our last.
        let lists = axes.iter().zip(coordinates).rev();
        let lists = lists.map(|(axis, x)| item(x.len(), "HDF", &format!("output.h5:/fields/{axis}")));
        let flat = std::iter::repeat_n(item(1, "XML", "0"), thick);
        ("3DRectMesh", "VXVYVZ", lists.chain(flat).collect())
    };
    format!(
        "        <Topology TopologyType=\"{topology}\" Dimensions=\"{dimensions}\"/>\n        <Geometry \
         GeometryType=\"{geometry}\">\n{items}        </Geometry>\n"
    )
}

/// The values of a field at time number `t`, as a box: a plane has one point of time as its thickness.
fn values(field: &Field, t: usize, times: usize) -> String {
    let (d, dimensions) = (field.shape.len() + 1, spaced(field.shape.iter()));
    let start = spaced(std::iter::once(t).chain(field.shape.iter().map(|_| 0)));
    let stride = spaced(std::iter::repeat_n(1, d));
    format!(
        "<DataItem ItemType=\"HyperSlab\" Dimensions=\"{boxed}\">\n\
         \x20           <DataItem Dimensions=\"3 {d}\" NumberType=\"Int\" Format=\"XML\">{start} {stride} 1 {dimensions}</DataItem>\n\
         \x20           <DataItem Dimensions=\"{times} {dimensions}\" NumberType=\"Float\" Precision=\"{bytes}\" Format=\"HDF\">\
         output.h5:/fields/{name}</DataItem>\n\
         \x20         </DataItem>",
        boxed = boxed(field),
        bytes = field.bytes,
        name = field.name,
    )
}

/// The points of a field as a box, in words.
fn boxed(field: &Field) -> String {
    spaced(std::iter::repeat_n(1, 3 - field.shape.len()).chain(field.shape.iter().copied()))
}

fn document(times: &[f64], fields: &[Field], vectors: &[Vector], mesh: &str) -> String {
    let mut text = String::from(
        "<?xml version=\"1.0\" ?>\n<!DOCTYPE Xdmf SYSTEM \"Xdmf.dtd\" []>\n<Xdmf Version=\"2.0\">\n  <Domain>\n\
         \x20   <Grid Name=\"fields\" GridType=\"Collection\" CollectionType=\"Temporal\">\n",
    );
    let attribute = |name: &str, kind: &str, item: &str| {
        format!(
            "        <Attribute Name=\"{name}\" AttributeType=\"{kind}\" Center=\"Node\">\n          {item}\n        \
             </Attribute>\n"
        )
    };
    for (t, time) in times.iter().enumerate() {
        let _ =
            write!(text, "      <Grid Name=\"{t}\" GridType=\"Uniform\">\n        <Time Value=\"{time}\"/>\n{mesh}");
        for field in fields {
            text += &attribute(&field.name, "Scalar", &values(field, t, times.len()));
        }
        for Vector { name, components } in vectors {
            let points = boxed(components[0]);
            let mut items: Vec<String> = components.iter().map(|f| values(f, t, times.len())).collect();
            if let [first, _] = &items[..] {
                // Readers take three components; nothing points out of a plane.
                let nothing = format!(
                    "<DataItem ItemType=\"Function\" Function=\"$0 - $1\" Dimensions=\"{points}\">{first}{first}</DataItem>"
                );
                items.push(nothing);
            }
            let joined = format!(
                "<DataItem ItemType=\"Function\" Function=\"JOIN($0, $1, $2)\" Dimensions=\"{points} 3\">{}</DataItem>",
                items.concat()
            );
            text += &attribute(name, "Vector", &joined);
        }
        text.push_str("      </Grid>\n");
    }
    text + "    </Grid>\n  </Domain>\n</Xdmf>\n"
}
