//! The walks of several members of an ensemble as one: what each of them walks becomes a row of an array whose first
//! axis is `member`, shared out over the ranks by rows.

use crate::error::Result;
use crate::state::{Data, Hyperslab, Name, Walk};
use crate::team::Partition;

const MEMBER: Name = Name { name: "member", units: "1", meaning: "member of the ensemble", axes: &["member"] };

/// A way of stacking walks; one for each kind of walk, which names the same values every time.
#[derive(Debug)]
pub struct Stack {
    /// Scalars that are equal on all members, and on what follows them.
    shared: fn(&str) -> bool,
    /// Names with the axis `member`, made at the first walk.
    names: Vec<Name>,
}

/// What the members here hold of one name.
struct Held {
    name: Name,
    kind: Kind,
    values: Values,
}

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    /// Equal on all members: held once.
    Scalar,
    Coordinate,
    /// A row of this shape for each member.
    Rows(Vec<usize>),
}

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
            fn like(data: &Data) -> Values {
                match data { $(Data::$v(_) => Values::$v(Vec::new())),* }
            }
            fn append(&mut self, data: &Data) {
                match (self, data) {
                    $((Values::$v(mine), Data::$v(new)) => mine.extend_from_slice(new),)*
                    _ => panic!("members walk the same types"),
                }
            }
            fn reserve(&mut self, more: usize) {
                match self { $(Values::$v(mine) => mine.reserve_exact(more)),* }
            }
            /// Copies the values from `start` on.
            fn copy_to(&self, start: usize, data: Data) {
                match (self, data) {
                    $((Values::$v(mine), Data::$v(to)) => to.copy_from_slice(&mine[start..start + to.len()]),)*
                    _ => panic!("members walk the same types"),
                }
            }
            fn data(&mut self) -> Data<'_> {
                match self { $(Values::$v(mine) => Data::$v(mine)),* }
            }
        }
        fn length(data: &Data) -> usize {
            match data { $(Data::$v(x) => x.len()),* }
        }
    };
}
each_kind!(F64, F32, I64, U64, U8);

impl Stack {
    pub fn new(shared: fn(&str) -> bool) -> Stack {
        Stack { shared, names: Vec::new() }
    }

    /// Walks `member(i, walk)` of the members here, i = 0, …, as one; a rank without a member has one to follow, which
    /// knows the shared values and holds no row. Saves and loads alike. Collective.
    pub fn walk(
        &mut self,
        walk: &mut dyn Walk,
        part: Partition,
        member: &mut dyn FnMut(usize, &mut dyn Walk) -> Result<()>,
    ) -> Result<()> {
        let rows = part.mine();
        walk.replicated(&MEMBER, &mut (0..part.n).map(|m| m as f64).collect())?;
        let mut all: Vec<Held> = Vec::new();
        for i in 0..rows.len().max(1) {
            let shared = self.shared;
            member(i, &mut Take { to: &mut all, next: 0, first: i == 0, rows: rows.len(), shared })?;
        }
        for (at, held) in all.iter_mut().enumerate() {
            let Held { name, kind, values } = held;
            if self.names.len() == at {
                let axes: Vec<&str> = std::iter::once("member").chain(name.axes.iter().copied()).collect();
                self.names.push(match kind {
                    Kind::Rows(_) => Name::kept(name.name, name.units, name.meaning, &axes),
                    _ => *name,
                });
            }
            match (kind, &mut *values) {
                (Kind::Coordinate, Values::F64(list)) => walk.replicated(name, list)?,
                (Kind::Rows(shape), values) => {
                    let global: Vec<usize> = std::iter::once(part.n).chain(shape.iter().copied()).collect();
                    let slab = if rows.is_empty() {
                        Hyperslab { start: vec![0; global.len()], count: vec![0; global.len()] }
                    } else {
                        Hyperslab::rows(rows.clone(), shape)
                    };
                    walk.block(&self.names[at], &global, &slab, values.data())?;
                }
                (_, values) => walk.scalar(name, values.data())?,
            }
        }
        for i in 0..rows.len().max(1) {
            member(i, &mut Give { from: &all, next: 0, row: i, holds: !rows.is_empty() })?;
        }
        Ok(())
    }
}

/// Collects what members hold.
struct Take<'a> {
    to: &'a mut Vec<Held>,
    next: usize,
    /// The first of this rank: makes the list.
    first: bool,
    /// Members of this rank.
    rows: usize,
    shared: fn(&str) -> bool,
}

impl Take<'_> {
    fn value(&mut self, name: &Name, kind: Kind, data: &Data) {
        if self.first {
            let mut values = Values::like(data);
            let rows = if let Kind::Rows(_) = kind { self.rows } else { 1 };
            values.reserve(rows * length(data));
            self.to.push(Held { name: *name, kind, values });
        }
        let held = &mut self.to[self.next];
        self.next += 1;
        assert_eq!(held.name.name, name.name, "members walk the same names");
        let wanted = if let Kind::Rows(_) = held.kind { self.rows > 0 } else { self.first };
        if wanted {
            held.values.append(data);
        }
    }
}

impl Walk for Take<'_> {
    fn block(&mut self, name: &Name, global: &[usize], mine: &Hyperslab, data: Data<'_>) -> Result<()> {
        assert_eq!(global, mine.count, "a member is whole");
        self.value(name, Kind::Rows(global.to_vec()), &data);
        Ok(())
    }

    fn scalar(&mut self, name: &Name, x: Data<'_>) -> Result<()> {
        let kind = match (self.shared)(name.name) {
            true => Kind::Scalar,
            false if name.axes.is_empty() => Kind::Rows(vec![]),
            false => Kind::Rows(vec![length(&x)]),
        };
        self.value(name, kind, &x);
        Ok(())
    }

    fn series(&mut self, name: &Name, _values: &mut Vec<f64>) -> Result<()> {
        panic!("{}: members keep no series of their own", name.name)
    }

    fn replicated(&mut self, name: &Name, values: &mut Vec<f64>) -> Result<()> {
        let kind = if name.axes == [name.name] { Kind::Coordinate } else { Kind::Rows(vec![values.len()]) };
        self.value(name, kind, &Data::F64(values));
        Ok(())
    }

    fn replicated_f32(&mut self, name: &Name, values: &mut Vec<f32>) -> Result<()> {
        self.value(name, Kind::Rows(vec![values.len()]), &Data::F32(values));
        Ok(())
    }
}

/// Gives back to members what was collected, or read in its place.
struct Give<'a> {
    from: &'a [Held],
    next: usize,
    row: usize,
    holds: bool,
}

impl Give<'_> {
    fn value(&mut self, data: Data) {
        let held = &self.from[self.next];
        self.next += 1;
        match held.kind {
            Kind::Rows(_) if self.holds => held.values.copy_to(self.row * length(&data), data),
            Kind::Rows(_) => {}
            _ => held.values.copy_to(0, data),
        }
    }
}

impl Walk for Give<'_> {
    fn block(&mut self, _name: &Name, _global: &[usize], _mine: &Hyperslab, data: Data<'_>) -> Result<()> {
        self.value(data);
        Ok(())
    }

    fn scalar(&mut self, _name: &Name, x: Data<'_>) -> Result<()> {
        self.value(x);
        Ok(())
    }

    fn series(&mut self, _name: &Name, values: &mut Vec<f64>) -> Result<()> {
        self.value(Data::F64(values));
        Ok(())
    }

    fn replicated(&mut self, _name: &Name, values: &mut Vec<f64>) -> Result<()> {
        self.value(Data::F64(values));
        Ok(())
    }

    fn replicated_f32(&mut self, _name: &Name, values: &mut Vec<f32>) -> Result<()> {
        self.value(Data::F32(values));
        Ok(())
    }
}
