//! Numbers for people: values with the digits that their error bar supports, bytes, rates.

use crate::solvers::{ErrorBar, Number};

/// A value and its error bar as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    pub value: String,
    /// "∈ [lower, upper]", rounded outwards so that it still holds; "± s"; or empty.
    pub error: String,
}

pub fn show(number: &Number) -> Shown {
    let value = number.value;
    match number.error {
        ErrorBar::Interval(lower, upper) if lower.is_finite() && upper.is_finite() => {
            // Two digits of the width; never more digits than f64 has.
            let decimals = decimals_of((upper - lower).abs(), lower.abs().max(upper.abs()));
            Shown {
                value: nearest(value, decimals + 1),
                error: format!("∈ [{}, {}]", rounded_down(lower, decimals), rounded_up(upper, decimals)),
            }
        }
        ErrorBar::Interval(lower, upper) => {
            let end = |x: f64| if x.is_finite() { nearest(x, 8) } else { format!("{x}").replace("inf", "∞") };
            Shown { value: plain(value), error: format!("∈ [{}, {}]", end(lower), end(upper)) }
        }
        ErrorBar::StdErr(s) if s.is_finite() && s > 0.0 => {
            let decimals = decimals_of(s, value.abs().max(s));
            Shown { value: nearest(value, decimals), error: format!("± {}", plain_digits(s, 2)) }
        }
        _ if value.is_nan() => Shown { value: "not known".into(), error: String::new() },
        ErrorBar::StdErr(_) | ErrorBar::None => Shown { value: plain(value), error: String::new() },
    }
}

/// Decimals that show two digits of `width`, at most the 17 significant digits of a value of size `scale`.
fn decimals_of(width: f64, scale: f64) -> i32 {
    let digits = |x: f64| if x > 0.0 && x.is_finite() { x.log10().floor() as i32 } else { -17 };
    let most = 16 - digits(scale).max(-300);
    if width > 0.0 { (1 - digits(width)).min(most) } else { most }
}

/// `x` to `decimals` places, in the notation that is shorter.
fn nearest(x: f64, decimals: i32) -> String {
    if x == 0.0 || !x.is_finite() {
        return format!("{x}");
    }
    let exponent = x.abs().log10().floor() as i32;
    if (-4..9).contains(&exponent) && decimals >= 0 {
        return format!("{x:.*}", decimals.clamp(0, 20) as usize);
    }
    let digits = (exponent + decimals).clamp(0, 16) as usize;
    tidy(&format!("{x:.digits$e}"))
}

fn rounded_down(x: f64, decimals: i32) -> String {
    let unit = 10f64.powi(-decimals);
    if 0.0 < x && x < unit {
        // The digits of x itself, or one unit below it, would say less than zero does.
        return if (0..=6).contains(&decimals) { format!("{:.*}", decimals as usize, 0.0) } else { "0".into() };
    }
    let first = nearest(x, decimals);
    // Parsing may round up again by one bit; a second unit is then safe.
    [first, nearest(x - unit, decimals), nearest(x - 2.0 * unit, decimals)]
        .into_iter()
        .find(|s| s.parse::<f64>().is_ok_and(|y| y <= x))
        .unwrap_or_else(|| format!("{x:e}"))
}

fn rounded_up(x: f64, decimals: i32) -> String {
    let s = rounded_down(-x, decimals);
    match s.strip_prefix('-') {
        Some(s) => s.to_string(),
        None if s.parse() == Ok(0.0) => s,
        None => format!("-{s}"),
    }
}

/// A number without error bar: up to nine digits, no trailing zeros.
pub fn plain(x: f64) -> String {
    plain_digits(x, 9)
}

/// `digits` significant digits without trailing zeros.
pub fn plain_digits(x: f64, digits: usize) -> String {
    if x == 0.0 || !x.is_finite() {
        return format!("{x}");
    }
    let exponent = x.abs().log10().floor() as i32;
    if (-4..9).contains(&exponent) {
        let text = format!("{x:.*}", (digits as i32 - 1 - exponent).max(0) as usize);
        return if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_string() } else { text };
    }
    tidy(&format!("{x:.*e}", digits - 1))
}

/// "1.500e-7" without the zeros that say nothing.
fn tidy(text: &str) -> String {
    match text.split_once('e') {
        Some((mantissa, exponent)) if mantissa.contains('.') => {
            format!("{}e{exponent}", mantissa.trim_end_matches('0').trim_end_matches('.'))
        }
        _ => text.to_string(),
    }
}

/// "1.23 GB".
pub fn bytes(n: u64) -> String {
    match n {
        0..=999 => format!("{n} B"),
        _ => with_prefix(n as f64, "B"),
    }
}

/// "1.23 G" plus the unit; three digits.
pub fn with_prefix(x: f64, unit: &str) -> String {
    if !x.is_finite() || x < 1.0 {
        return format!("{} {unit}", plain_digits(x, 3));
    }
    const PREFIXES: [&str; 7] = ["", "k", "M", "G", "T", "P", "E"];
    let mut power = 0;
    let mut y = x;
    while y >= 999.5 && power + 1 < PREFIXES.len() {
        y /= 1000.0;
        power += 1;
    }
    let places = if y < 9.995 { 2 } else { usize::from(y < 99.95) };
    format!("{y:.places$} {}{unit}", PREFIXES[power])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(value: f64, error: ErrorBar) -> Number {
        Number { name: "x", unit: "1", meaning: "", value, error }
    }

    #[test]
    fn intervals_show_two_digits_of_their_width_and_still_hold() {
        let s = show(&number(0.123456789, ErrorBar::Interval(0.12345671, 0.12345684)));
        assert_eq!(s.error, "∈ [0.12345671, 0.12345684]");
        assert_eq!(s.value, "0.123456789");
        // 1/3 and 2/3 are rounded outwards.
        let s = show(&number(0.5, ErrorBar::Interval(1.0 / 3.0, 2.0 / 3.0)));
        assert_eq!(s.error, "∈ [0.33, 0.67]");
    }

    #[test]
    fn an_end_nearer_to_zero_than_a_unit_is_rounded_to_zero_on_its_inner_side() {
        let error = |lower, upper| show(&number(0.01, ErrorBar::Interval(lower, upper))).error;
        assert_eq!(error(1.95e-5, 0.0197), "∈ [0.000, 0.020]");
        assert_eq!(error(7e-4, 0.0197), "∈ [0.000, 0.020]");
        assert_eq!(error(-0.0197, -1.95e-5), "∈ [-0.020, 0.000]");
        assert_eq!(error(-1.95e-5, 0.0197), "∈ [-2e-5, 0.020]");
    }

    #[test]
    fn printed_bounds_contain_the_given_ones_for_any_size() {
        let mut x = 0.37f64;
        for i in 0..2000 {
            x = (x * 997.13).fract();
            let centre = (x - 0.5) * 10f64.powi(i % 40 - 20);
            let width = x * x * 10f64.powi(-(i % 17)) * centre.abs();
            let (lower, upper) = (centre - width, centre + width);
            let text = show(&number(centre, ErrorBar::Interval(lower, upper))).error;
            let inner = text.trim_start_matches("∈ [").trim_end_matches(']');
            let (a, b) = inner.split_once(", ").unwrap();
            let (a, b): (f64, f64) = (a.parse().unwrap(), b.parse().unwrap());
            assert!(a <= lower && b >= upper, "{text} for [{lower:e}, {upper:e}]");
            let slack = (lower - a).max(b - upper);
            assert!(slack <= 0.2 * 2.0 * width + 1e-15 * centre.abs(), "{text} for [{lower:e}, {upper:e}]");
        }
    }

    #[test]
    fn standard_errors_and_bare_numbers() {
        let s = show(&number(1.234567, ErrorBar::StdErr(0.00123)));
        assert_eq!((s.value.as_str(), s.error.as_str()), ("1.2346", "± 0.0012"));
        assert_eq!(show(&number(f64::NAN, ErrorBar::None)).value, "not known");
        assert_eq!(show(&number(0.25, ErrorBar::None)).value, "0.25");
        assert_eq!(show(&number(1.5e-7, ErrorBar::None)).value, "1.5e-7");
        assert_eq!(show(&number(1.0, ErrorBar::Interval(0.5, f64::INFINITY))).error, "∈ [0.50000000, ∞]");
    }

    #[test]
    fn bytes_and_rates_have_three_digits() {
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1_234_000), "1.23 MB");
        assert_eq!(bytes(999_700), "1.00 MB");
        assert_eq!(with_prefix(1.5e9, "entries/s"), "1.50 Gentries/s");
        assert_eq!(with_prefix(0.25, "steps/s"), "0.25 steps/s");
    }
}
