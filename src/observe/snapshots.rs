//! What a solver asks to keep of its state at chosen times: `/fields` of output.h5.
//!
//! Records wait in memory until there are enough for a segment file, or until a checkpoint: what a checkpoint knows of is
//! then always on disk. Records too large to wait go to a file at once.

use crate::error::Result;
use crate::io::{Header, Sections, Segments};
use crate::solvers::Solver;
use crate::state::{Data, Hyperslab, Name, Walk};
use crate::team::Team;

/// What waits in memory at most, per rank.
const WAITING: f64 = (32 << 20) as f64;

const STEP: Name = Name { name: "step", units: "1", meaning: "step of the method", axes: &["time"] };
const TIME: Name = Name { name: "time", units: "1", meaning: "time", axes: &["time"] };

/// The records of a run.
#[derive(Debug)]
pub struct Snapshots {
    pub segments: Segments,
    time: Name,
    steps: Vec<f64>,
    times: Vec<f64>,
    columns: Vec<Column>,
    coordinates: Vec<(Name, Vec<f64>)>,
    /// Bytes of one record on the rank that holds most of it; none before the first.
    record_bytes: Option<f64>,
}

/// One dataset: the records that wait.
#[derive(Debug)]
struct Column {
    /// With `time` as first axis.
    name: Name,
    /// Shape of one record, and this rank's part of it.
    global: Vec<usize>,
    slab: Hyperslab,
    /// Whether this rank holds any of a record.
    mine: bool,
    values: Values,
}

#[derive(Debug)]
enum Values {
    F64(Vec<f64>),
    F32(Vec<f32>),
    I64(Vec<i64>),
    U64(Vec<u64>),
    U8(Vec<u8>),
}

macro_rules! each_kind {
    ($($v:ident),*) => {
        impl Values {
            fn like(data: &Data) -> Self {
                match data { $(Data::$v(_) => Values::$v(Vec::new())),* }
            }
            fn append(&mut self, data: &Data) {
                match (self, data) {
                    $((Values::$v(mine), Data::$v(new)) => mine.extend_from_slice(new),)*
                    _ => panic!("a snapshot has the same types every time"),
                }
            }
            fn clear(&mut self) {
                match self { $(Values::$v(mine) => mine.clear()),* }
            }
            fn data(&mut self) -> Data<'_> {
                match self { $(Values::$v(mine) => Data::$v(mine)),* }
            }
        }
        fn bytes(data: &Data) -> usize {
            match data { $(Data::$v(x) => std::mem::size_of_val::<[_]>(x)),* }
        }
    };
}
each_kind!(F64, F32, I64, U64, U8);

impl Snapshots {
    /// `record` is the solver's: its "time" gives the axis its units.
    pub fn new(segments: Segments, record: &[(Name, f64)]) -> Self {
        let time = record.iter().find(|(name, _)| name.name == "time");
        let time = time.map_or(TIME, |(name, _)| Name { axes: TIME.axes, ..*name });
        Snapshots {
            segments,
            time,
            steps: Vec::new(),
            times: Vec::new(),
            columns: Vec::new(),
            coordinates: Vec::new(),
            record_bytes: None,
        }
    }

    /// Keeps the present state; a step already recorded is not recorded twice. Collective.
    pub fn take(
        &mut self,
        step: u64,
        time: f64,
        solver: &mut dyn Solver,
        header: &Header,
        team: &dyn Team,
    ) -> Result<()> {
        let step = step as f64;
        if self.steps.last().copied().or(self.segments.last_step()).is_some_and(|last| last >= step) {
            return Ok(());
        }
        let record_bytes = match self.record_bytes {
            Some(bytes) => bytes,
            None => {
                let mut learn = Collect { to: self, next: 0, learn: true, root: team.rank() == 0, bytes: 0 };
                let walked = solver.snapshot(&mut learn, team).map(|()| learn.bytes as f64);
                let bytes = team.max(team.agree(walked)?);
                self.record_bytes = Some(bytes);
                bytes
            }
        };
        if 2.0 * record_bytes > WAITING {
            let (names, clock) = (self.columns.iter().map(|c| c.name).collect::<Vec<_>>(), self.time);
            return self.segments.save(header, &[step], team, &mut |file: &mut dyn Sections| {
                let walk = file.section("fields");
                walk.scalar(&clock, (&mut [time][..]).into())?;
                walk.scalar(&STEP, (&mut [step][..]).into())?;
                solver.snapshot(&mut Directly { walk, names: &names, next: 0, root: team.rank() == 0 }, team)
            });
        }
        self.steps.push(step);
        self.times.push(time);
        let mut collect = Collect { to: self, next: 0, learn: false, root: team.rank() == 0, bytes: 0 };
        let walked = solver.snapshot(&mut collect, team);
        team.agree(walked)?;
        if (self.steps.len() + 1) as f64 * record_bytes > WAITING {
            self.flush(header, team)?;
        }
        Ok(())
    }

    /// Writes what waits to a segment file. Collective.
    pub fn flush(&mut self, header: &Header, team: &dyn Team) -> Result<()> {
        if self.steps.is_empty() {
            return Ok(());
        }
        let Snapshots { segments, time, steps, times, columns, coordinates, .. } = self;
        let records = steps.len();
        let stamps = steps.clone();
        segments.save(header, &stamps, team, &mut |file: &mut dyn Sections| {
            let walk = file.section("fields");
            walk.scalar(time, times[..].as_mut().into())?;
            walk.scalar(&STEP, steps[..].as_mut().into())?;
            for (name, values) in coordinates.iter_mut() {
                walk.scalar(name, values[..].as_mut().into())?;
            }
            for column in columns.iter_mut() {
                let (global, slab) = stacked(&column.global, &column.slab, records, column.mine);
                walk.block(&column.name, &global, &slab, column.values.data())?;
            }
            Ok(())
        })?;
        self.steps.clear();
        self.times.clear();
        self.columns.iter_mut().for_each(|c| c.values.clear());
        Ok(())
    }
}

/// Shape and block of `records` records; `mine`: this rank holds a part of them.
fn stacked(global: &[usize], slab: &Hyperslab, records: usize, mine: bool) -> (Vec<usize>, Hyperslab) {
    let before = |first: usize, rest: &[usize]| std::iter::once(first).chain(rest.iter().copied()).collect();
    let count = if mine { records } else { 0 };
    (before(records, global), Hyperslab { start: before(0, &slab.start), count: before(count, &slab.count) })
}

/// A value that every rank knows, as a block of rank 0: shape and part of one record.
fn of_root(name: &Name, n: usize) -> (Vec<usize>, Hyperslab) {
    let global = if name.axes.is_empty() { vec![] } else { vec![n] };
    (global.clone(), Hyperslab { start: vec![0; global.len()], count: global })
}

/// Adds a record to the columns; the first time makes them.
struct Collect<'a> {
    to: &'a mut Snapshots,
    next: usize,
    /// Names, shapes and sizes only.
    learn: bool,
    root: bool,
    bytes: usize,
}

impl Collect<'_> {
    fn value(&mut self, name: &Name, global: &[usize], slab: &Hyperslab, data: &Data, mine: bool) {
        if self.learn {
            let values = Values::like(data);
            let (global, slab) = (global.to_vec(), slab.clone());
            self.to.columns.push(Column { name: name.in_time(), global, slab, mine, values });
            self.bytes += if mine { bytes(data) } else { 0 };
            return;
        }
        let column = &mut self.to.columns[self.next];
        self.next += 1;
        assert!(
            column.name.name == name.name && column.global == global && column.slab == *slab,
            "a snapshot has the same names, shapes and blocks every time"
        );
        if mine {
            column.values.append(data);
        }
    }
}

impl Walk for Collect<'_> {
    fn block(&mut self, name: &Name, global: &[usize], mine: &Hyperslab, data: Data<'_>) -> Result<()> {
        self.value(name, global, mine, &data, !mine.is_empty());
        Ok(())
    }

    fn scalar(&mut self, name: &Name, x: Data<'_>) -> Result<()> {
        let (global, slab) = of_root(name, length(&x));
        self.value(name, &global, &slab, &x, self.root);
        Ok(())
    }

    fn series(&mut self, name: &Name, values: &mut Vec<f64>) -> Result<()> {
        self.replicated(name, values)
    }

    fn replicated(&mut self, name: &Name, values: &mut Vec<f64>) -> Result<()> {
        if self.learn {
            self.to.coordinates.push((*name, values.clone()));
        }
        Ok(())
    }

    fn replicated_f32(&mut self, name: &Name, values: &mut Vec<f32>) -> Result<()> {
        self.replicated(name, &mut values.iter().map(|&x| f64::from(x)).collect())
    }
}

fn length(data: &Data) -> usize {
    match data {
        Data::F64(x) => x.len(),
        Data::F32(x) => x.len(),
        Data::I64(x) => x.len(),
        Data::U64(x) => x.len(),
        Data::U8(x) => x.len(),
    }
}

/// Hands one record on to a file.
struct Directly<'a> {
    walk: &'a mut dyn Walk,
    names: &'a [Name],
    next: usize,
    root: bool,
}

impl Directly<'_> {
    fn value(&mut self, name: &Name, global: &[usize], slab: &Hyperslab, data: Data<'_>, mine: bool) -> Result<()> {
        let kept = self.names[self.next];
        self.next += 1;
        assert_eq!(kept.name, name.name, "a snapshot has the same names every time");
        let (global, slab) = stacked(global, slab, 1, mine);
        self.walk.block(&kept, &global, &slab, data)
    }
}

impl Walk for Directly<'_> {
    fn block(&mut self, name: &Name, global: &[usize], mine: &Hyperslab, data: Data<'_>) -> Result<()> {
        self.value(name, global, mine, data, !mine.is_empty())
    }

    fn scalar(&mut self, name: &Name, x: Data<'_>) -> Result<()> {
        let (global, slab) = of_root(name, length(&x));
        let mut none = Values::like(&x);
        let data = if self.root { x } else { none.data() };
        self.value(name, &global, &slab, data, self.root)
    }

    fn series(&mut self, name: &Name, values: &mut Vec<f64>) -> Result<()> {
        self.walk.scalar(name, values.into())
    }

    fn replicated(&mut self, name: &Name, values: &mut Vec<f64>) -> Result<()> {
        self.walk.scalar(name, values.into())
    }

    fn replicated_f32(&mut self, name: &Name, values: &mut Vec<f32>) -> Result<()> {
        self.walk.scalar(name, values.into())
    }
}
