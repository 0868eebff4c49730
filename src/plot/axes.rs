//! Ticks and the numbers written beside them.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

use super::Axis;

/// An axis in drawing coordinates: log₁₀ of the data when logarithmic.
#[derive(Debug, Clone)]
pub(super) struct Scale {
    pub low: f64,
    pub high: f64,
    pub ticks: Vec<f64>,
    pub log: bool,
    /// Distance of neighbouring ticks; 1 on logarithmic axes.
    step: f64,
    /// What the numbers beside the ticks leave out, as they would not differ otherwise; 0 for most.
    offset: f64,
}

impl Scale {
    /// Covers the range of the axis, or else the data, with a little room.
    pub fn new(axis: &Axis, data: impl Iterator<Item = f64>) -> Scale {
        let place = |v: f64| if axis.log { v.log10() } else { v };
        let (mut low, mut high) = match axis.range {
            Some((low, high)) => (place(low), place(high)),
            None => {
                let (low, high) = data
                    .map(place)
                    .filter(|v| v.is_finite())
                    .fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
                let room = if axis.log { 0.1 } else { 0.04 * (high - low) };
                (low - room, high + room)
            }
        };
        if !(low.is_finite() && high.is_finite()) {
            (low, high) = (0.0, 1.0);
        }
        if high - low <= 1e-12 * low.abs().max(high.abs()).max(f64::MIN_POSITIVE) {
            let half = if low == 0.0 { 1.0 } else { 0.5 * low.abs() };
            (low, high) = (low - half, high + half);
        }
        let mut scale = Scale { low, high, ticks: Vec::new(), log: axis.log, step: 1.0, offset: 0.0 };
        if axis.log {
            scale.ticks = decades(low, high);
        } else {
            scale.set_ticks(6);
        }
        scale
    }

    /// About so many ticks at round numbers, on a linear axis.
    pub fn set_ticks(&mut self, wanted: usize) {
        self.step = round_step(self.low, self.high, wanted);
        self.ticks = multiples(self.low, self.high, self.step);
        self.offset = 0.0;
        self.offset = self.common();
    }

    /// With as many ticks as an axis of this length has room for. `needed`: the length that a label takes.
    pub fn with_room(mut self, length: f64, needed: impl Fn(&str) -> f64) -> Scale {
        for wanted in (2..6).rev() {
            if self.log || self.is_clear(length, &needed) {
                break;
            }
            self.set_ticks(wanted);
        }
        let mut kept: Vec<f64> = Vec::new();
        for tick in &self.ticks {
            if kept.last().is_none_or(|last| self.are_clear(*last, *tick, length, &needed)) {
                kept.push(*tick);
            }
        }
        self.ticks = kept;
        self
    }

    fn is_clear(&self, length: f64, needed: &impl Fn(&str) -> f64) -> bool {
        self.ticks.windows(2).all(|w| self.are_clear(w[0], w[1], length, needed))
    }

    /// Whether the labels of two ticks do not touch.
    fn are_clear(&self, a: f64, b: f64, length: f64, needed: &impl Fn(&str) -> f64) -> bool {
        let apart = (self.fraction(b) - self.fraction(a)) * length;
        apart >= 0.5 * (needed(&self.label(a)) + needed(&self.label(b)))
    }

    /// A number near ticks that about five digits cannot tell apart; otherwise 0.
    fn common(&self) -> f64 {
        let [first, .., last] = &self.ticks[..] else { return 0.0 };
        let (span, size) = (last - first, first.abs().max(last.abs()));
        let alike = self.ticks.windows(2).any(|w| self.label(w[0]) == self.label(w[1]));
        if span > 1e-3 * size && !alike {
            return 0.0;
        }
        // Eleven digits at most: a longer number tells nobody more.
        let digit = (span.log10().ceil() as i32).max(size.log10().floor() as i32 - 10);
        // As a literal is read, so that it is written with as few digits.
        format!("{:.0}e{digit}", 0.5 * (first + last) / 10f64.powi(digit)).parse().unwrap_or(0.0)
    }

    /// The name of what is drawn, with what its numbers leave out.
    pub fn name(&self, label: &str) -> String {
        match self.offset {
            0.0 => label.into(),
            offset => {
                let (sign, size) = (if offset < 0.0 { '+' } else { '−' }, offset.abs());
                let written = format!("{size:e}");
                match written.split_once('e').map(|(digits, power)| (digits, power.parse())) {
                    Some(("1", Ok(power))) if !(-3..5).contains(&power) => {
                        format!("{label} {sign} {}", power_of_ten(power))
                    }
                    // Short numbers, and those that would begin or end with many zeros.
                    Some((digits, Ok(power))) if power < -3 || power > (digits.len() as i32 - 1).max(4) => {
                        format!("{label} {sign} {digits}·{}", power_of_ten(power))
                    }
                    _ => format!("{label} {sign} {size}"),
                }
            }
        }
    }

    /// The drawing coordinate of a value; none when it cannot be shown.
    pub fn place(&self, v: f64) -> Option<f64> {
        let p = if self.log { v.log10() } else { v };
        p.is_finite().then_some(p)
    }

    /// How far along the axis a drawing coordinate is, from 0 to 1.
    pub fn fraction(&self, place: f64) -> f64 {
        (place - self.low) / (self.high - self.low)
    }

    pub fn label(&self, tick: f64) -> String {
        if self.log {
            let exponent = tick.round();
            if (tick - exponent).abs() < 1e-9 { power_of_ten(exponent as i32) } else { number(10f64.powf(tick), 4) }
        } else {
            let step = self.step;
            // Ticks and offset are multiples of the step.
            let tick = if self.offset == 0.0 { tick } else { ((tick - self.offset) / step).round() * step };
            fixed(tick, step)
        }
    }
}

impl Ranged for Scale {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let share = (value - self.low) / (self.high - self.low);
        limit.0 + (share * (limit.1 - limit.0) as f64).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.ticks.clone()
    }

    fn range(&self) -> Range<f64> {
        self.low..self.high
    }
}

impl ValueFormatter<f64> for Scale {
    fn format(value: &f64) -> String {
        number(*value, 4)
    }

    fn format_ext(&self, value: &f64) -> String {
        self.label(*value)
    }
}

/// 1, 2 or 5 times a power of ten, of which [low, high] holds about `wanted`, or half as many again.
fn round_step(low: f64, high: f64, wanted: usize) -> f64 {
    let raw = (high - low) / wanted as f64;
    let magnitude = 10f64.powf(raw.log10().floor());
    let distance = |m: &f64| (m * magnitude / raw).ln().abs();
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap_or(1.0);
    step * magnitude
}

/// Multiples of `step` inside [low, high].
fn multiples(low: f64, high: f64, step: f64) -> Vec<f64> {
    let first = (low / step - 1e-9).ceil() as i64;
    let last = (high / step + 1e-9).floor() as i64;
    (first..=last).map(|k| k as f64 * step).collect()
}

/// Whole decades inside [low, high] (in log₁₀), at most about eight; 1, 2, 5 within short ranges.
fn decades(low: f64, high: f64) -> Vec<f64> {
    let (first, last) = (low.ceil() as i64, high.floor() as i64);
    if last - first >= 1 {
        let stride = ((last - first) / 8 + 1).max(1);
        return (first..=last).filter(|k| k.rem_euclid(stride) == 0).map(|k| k as f64).collect();
    }
    (low.floor() as i64..=high.ceil() as i64)
        .flat_map(|k| [1.0f64, 2.0, 5.0].map(|m| k as f64 + m.log10()))
        .filter(|t| *t >= low && *t <= high)
        .collect()
}

/// 10⁻⁶.
pub(super) fn power_of_ten(exponent: i32) -> String {
    let digits = exponent.to_string();
    let superscript = digits.chars().map(|c| match c {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        digit => char::from_u32('⁰' as u32 + digit as u32 - '0' as u32).unwrap_or(digit),
    });
    std::iter::once('1').chain(std::iter::once('0')).chain(superscript).collect()
}

/// As many decimals as tell neighbours at distance `step` apart.
fn fixed(v: f64, step: f64) -> String {
    if v.abs() < 1e-9 * step.abs() {
        return "0".into();
    }
    if !(1e-3..1e5).contains(&v.abs().max(step.abs())) {
        // As many digits as tell neighbours apart, five at most.
        let place = |v: f64| (v.abs().log10() + 1e-9).floor() as i32;
        return scientific(v, (place(v) - place(step)).clamp(0, 4) as usize);
    }
    let decimals = (-step.abs().log10() + 1e-9).ceil().clamp(0.0, 9.0) as usize;
    format!("{v:.decimals$}")
}

/// Without zeros at the end of decimals.
fn bare(text: String) -> String {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_string() } else { text }
}

/// Short form with so many significant digits, as m·10ᵉ for very large and very small numbers.
pub fn number(v: f64, digits: usize) -> String {
    if v == 0.0 || !v.is_finite() {
        return format!("{v}");
    }
    let last = digits.max(1) as i32 - 1;
    let exponent = v.abs().log10().floor() as i32;
    if (-3..=last.max(4)).contains(&exponent) {
        return bare(format!("{v:.*}", (last - exponent).max(0) as usize));
    }
    scientific(v, last.min(2) as usize)
}

/// As m·10ᵉ, with so many decimals in m.
fn scientific(v: f64, decimals: usize) -> String {
    // Rounded before it is split: 9.999·10⁻¹⁴ is 10⁻¹³.
    let written = format!("{v:.decimals$e}");
    let (mantissa, exponent) = written.split_once('e').unwrap_or((&written, "0"));
    let (mantissa, exponent) = (bare(mantissa.into()), exponent.parse().unwrap_or(0));
    match mantissa.as_str() {
        "1" => power_of_ten(exponent),
        "-1" => format!("-{}", power_of_ten(exponent)),
        _ => format!("{mantissa}·{}", power_of_ten(exponent)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_ticks_are_round_numbers_inside_the_range() {
        let ticks = |low, high, wanted| multiples(low, high, round_step(low, high, wanted));
        assert_eq!(ticks(0.0, 1.0, 5), [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]);
        assert_eq!(ticks(-8.0, 8.0, 4), [-5.0, 0.0, 5.0]);
    }

    #[test]
    fn ticks_of_a_nearly_conserved_energy_differ_from_each_other() {
        for (low, high, name) in [
            (0.5 - 1e-9, 0.5 + 2e-9, "energy − 0.5"),
            (-0.125 - 3e-11, -0.125 - 1e-11, "energy + 0.125"),
            (1234567.891, 1234567.8912, "energy − 1234567.891"),
            (3.93e-5 - 2e-9, 3.93e-5 + 2e-9, "energy − 3.93·10⁻⁵"),
            (0.27218, 0.272186, "energy − 0.27218"),
            (0.0, 3e-12, "energy"),
            (1.0, 1.01, "energy"),
            // A decay by 18 %, and a constant of 10¹⁴.
            (8.2e-5, 1e-4, "energy"),
            (1e14, 1e14, "energy"),
            (1e5, 1e5 + 6.2, "energy − 10⁵"),
        ] {
            let scale = Scale::new(&Axis::default(), [low, high].into_iter());
            let mut labels: Vec<String> = scale.ticks.iter().map(|t| scale.label(*t)).collect();
            assert_eq!(scale.name("energy"), name, "{labels:?}");
            assert!(labels.iter().all(|l| l.chars().count() <= 10), "{labels:?}");
            labels.dedup();
            assert_eq!(labels.len(), scale.ticks.len(), "{labels:?}");
        }
    }

    #[test]
    fn labels_of_seven_characters_do_not_touch_on_short_axes() {
        let needed = |label: &str| 7.0 * label.chars().count() as f64 + 10.0;
        let scale = |high: f64| Scale::new(&Axis { range: Some((0.0, high)), ..Axis::default() }, std::iter::empty());
        // Ticks at multiples of 2·10⁻⁷ are 60 pixels wide with their gap: six on 400 pixels, three on 160.
        for (length, ticks) in [(400.0, 6), (160.0, 3), (40.0, 2)] {
            let fitted = scale(1e-6).with_room(length, needed);
            assert!(fitted.is_clear(length, &needed), "{fitted:?}");
            assert_eq!(fitted.ticks.len(), ticks, "{fitted:?}");
        }
        let one = scale(0.1).with_room(30.0, needed);
        assert_eq!(one.ticks.iter().map(|t| one.label(*t)).collect::<Vec<_>>(), ["0", "0.10"]);
        let decades = Scale::new(&Axis::log("error"), [1e-8, 1.0].into_iter()).with_room(100.0, needed);
        assert!(decades.is_clear(100.0, &needed) && decades.ticks.len() >= 2, "{decades:?}");
    }

    #[test]
    fn log_ticks_are_decades_and_fewer_than_ten() {
        let scale = Scale::new(&Axis::log("error"), [1e-16, 1.0].into_iter());
        assert!(scale.ticks.len() >= 5 && scale.ticks.len() < 10, "{:?}", scale.ticks);
        assert_eq!(scale.label(-6.0), "10⁻⁶");
    }

    #[test]
    fn a_short_log_range_has_ticks_too() {
        let scale = Scale::new(&Axis::log("cost"), [1.5, 6.0].into_iter());
        assert_eq!(scale.ticks.iter().map(|t| scale.label(*t)).collect::<Vec<_>>(), ["2", "5"]);
    }

    #[test]
    fn numbers_keep_four_digits() {
        for (v, text) in [
            (0.25, "0.25"),
            (1234.5, "1234"),
            (1e-6, "10⁻⁶"),
            (2.5e7, "2.5·10⁷"),
            (-9.9999999e-14, "-10⁻¹³"),
            (0.0, "0"),
            (-3.0, "-3"),
        ] {
            assert_eq!(number(v, 4), text);
        }
    }

    #[test]
    fn equal_or_missing_data_still_give_an_axis() {
        for data in [vec![], vec![2.0, 2.0], vec![f64::NAN], vec![0.0]] {
            let scale = Scale::new(&Axis::default(), data.clone().into_iter());
            assert!(scale.high > scale.low && !scale.ticks.is_empty(), "{data:?}: {scale:?}");
        }
    }
}
