//! The largest entries of a plan too large to be held.

/// (order, row, column), the order growing with the mass.
pub type Entry = (f64, u64, u64);

/// Decreasing mass, then increasing row and column: a total order, so that the result does not depend on who found it.
pub fn order(a: &Entry, b: &Entry) -> std::cmp::Ordering {
    b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2))
}

/// The `count` first of both lists.
pub fn merged(mut a: Vec<Entry>, b: Vec<Entry>, count: usize) -> Vec<Entry> {
    a.extend(b);
    a.sort_by(order);
    a.truncate(count);
    a
}

/// Keeps the largest entries offered: a buffer of twice the count, cut down when full.
pub struct Largest {
    count: usize,
    /// The buffer's length when it is cut down; any count may be asked for.
    full: usize,
    held: Vec<Entry>,
    /// Nothing below this can be among the largest.
    threshold: f64,
}

impl Largest {
    pub fn new(count: usize) -> Self {
        let full = count.saturating_mul(2).saturating_add(1024);
        Largest { count, full, held: Vec::new(), threshold: f64::NEG_INFINITY }
    }

    /// Nothing below this can be among the largest any more.
    pub fn threshold(&self) -> f64 {
        self.threshold
    }

    pub fn offer(&mut self, entry: Entry) {
        if entry.0 < self.threshold || self.count == 0 {
            return;
        }
        self.held.push(entry);
        if self.held.len() >= self.full {
            self.held.select_nth_unstable_by(self.count - 1, order);
            self.held.truncate(self.count);
            self.threshold = self.held.iter().map(|e| e.0).fold(f64::INFINITY, f64::min);
        }
    }

    /// The largest, in order.
    pub fn sorted(mut self) -> Vec<Entry> {
        self.held.sort_by(order);
        self.held.truncate(self.count);
        self.held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_of_100_000_offers_are_those_of_a_full_sort() {
        let entries: Vec<Entry> =
            (0..100_000u64).map(|k| ((k.wrapping_mul(2_654_435_761) % 9973) as f64, k / 300, k % 300)).collect();
        let mut sorted = entries.clone();
        sorted.sort_by(order);
        sorted.truncate(700);
        let mut largest = Largest::new(700);
        entries.iter().for_each(|&e| largest.offer(e));
        assert_eq!(largest.sorted(), sorted);
    }

    #[test]
    fn a_count_beyond_all_offers_keeps_every_one() {
        // Twice 2^63 − 1 or 2^63 wraps around to at most 0, and a buffer cut down to a count above its length is none.
        for count in [i64::MAX as usize, 1 << 63, usize::MAX] {
            let mut largest = Largest::new(count);
            (0..3000u64).for_each(|k| largest.offer((k as f64, k, 0)));
            let kept = largest.sorted();
            assert_eq!((kept.len(), kept[0], kept[2999]), (3000, (2999.0, 2999, 0), (0.0, 0, 0)), "{count}");
        }
    }
}
