//! Numbers and names as a reader wants them, safe to stand in HTML.

use crate::prose::separated;
use batchwise_estimate::fieller::Ratio;

/// What is shown where a number is missing.
pub(crate) const UNKNOWN: &str = "–";

/// `raw` with the characters that mean something in HTML replaced.
pub(crate) fn escape(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    for c in raw.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Control characters are not allowed in HTML; a tab or a new line is.
            c if c.is_control() && !matches!(c, '\n' | '\t') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// A whole number with thousands separators.
pub(crate) fn int(n: u64) -> String {
    separated(&n.to_string())
}

/// "1 step", "2 steps".
pub(crate) fn count(n: u64, one: &str) -> String {
    format!("{} {one}{}", int(n), if n == 1 { "" } else { "s" })
}

/// Three significant digits; powers of ten where plain digits would be long.
pub(crate) fn num(v: f64) -> String {
    digits(v, 3)
}

/// A round number on an axis: as many digits as it has, powers of ten from ten million on.
pub(crate) fn tick(v: f64) -> String {
    plain_below(v, 6, 7)
}

/// `significant` digits without trailing zeros.
pub(crate) fn digits(v: f64, significant: usize) -> String {
    plain_below(v, significant, 9)
}

/// `significant` digits, written plainly below 10^`most`.
fn plain_below(v: f64, significant: usize, most: i32) -> String {
    if !v.is_finite() {
        return UNKNOWN.to_owned();
    }
    if v == 0.0 {
        return "0".to_owned();
    }
    // Rounded first, so that 999.9 is counted as four digits.
    let scientific = format!("{:.*e}", significant.saturating_sub(1), v);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if !(-4..most).contains(&exponent) {
        let mantissa = trimmed(mantissa);
        let power = format!("10{}", superscript(exponent));
        return match mantissa.as_str() {
            "1" => power,
            "-1" => format!("−{power}"),
            m => format!("{}×{power}", m.replace('-', "−")),
        };
    }
    let rounded: f64 = scientific.parse().unwrap_or(v);
    let decimals = usize::try_from(significant as i32 - 1 - exponent).unwrap_or(0);
    let plain = trimmed(&format!("{rounded:.decimals$}"));
    let (whole, fraction) = plain.split_once('.').unwrap_or((&plain, ""));
    let whole = match whole.strip_prefix('-') {
        Some(positive) => format!("−{}", separated(positive)),
        None => separated(whole),
    };
    if fraction.is_empty() { whole } else { format!("{whole}.{fraction}") }
}

/// Two significant digits, for what is not known better.
pub(crate) fn rough(v: f64) -> String {
    digits(v, 2)
}

/// A value and its standard error, to the second digit of the error.
pub(crate) fn with_error(value: f64, error: f64) -> String {
    if !(value.is_finite() && value.abs() < 1e6 && error.is_finite() && error > 1e-6) {
        return num(value);
    }
    let decimals = (1.0 - error.log10().floor()).clamp(0.0, 6.0) as usize;
    format!("{value:.decimals$} ± {error:.decimals$}").replace('-', "−")
}

/// Plain numbers with as many decimals as the longest of them.
pub(crate) fn aligned(labels: Vec<String>) -> Vec<String> {
    let decimals = |l: &String| l.split_once('.').map_or(0, |d| d.1.len());
    let most = labels.iter().map(decimals).max().unwrap_or(0);
    let plain = |l: &String| l.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | ',' | '−'));
    if most == 0 || !labels.iter().all(plain) {
        return labels;
    }
    let pad = |l: String| {
        let missing = most - decimals(&l);
        let point = if l.contains('.') || l == "0" { "" } else { "." };
        if l == "0" { l } else { format!("{l}{point}{}", "0".repeat(missing)) }
    };
    labels.into_iter().map(pad).collect()
}

/// Running text as HTML: escaped, with `code` and the index of B_c set as such.
pub(crate) fn prose(raw: &str) -> String {
    let escaped = escape(raw).replace("B_c", "B<sub>c</sub>");
    let pieces: Vec<&str> = escaped.split('`').collect();
    if pieces.len().is_multiple_of(2) {
        return escaped;
    }
    let piece =
        |(i, p): (usize, &&str)| if i % 2 == 1 { format!("<code>{p}</code>") } else { (*p).to_owned() };
    pieces.iter().enumerate().map(piece).collect()
}

/// Bytes in binary units.
pub(crate) fn bytes(v: f64) -> String {
    let (unit, name) = byte_unit(v);
    format!("{} {name}", digits(v / unit, if (v / unit).abs() >= 1000.0 { 4 } else { 3 }))
}

/// The largest binary unit not above `v`, and its name.
pub(crate) fn byte_unit(v: f64) -> (f64, &'static str) {
    const NAMES: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut unit = 1.0;
    let mut k = 0;
    while k + 1 < NAMES.len() && v.abs() >= unit * 1024.0 {
        unit *= 1024.0;
        k += 1;
    }
    (unit, NAMES[k])
}

/// A time in the unit that suits it.
pub(crate) fn seconds(v: f64) -> String {
    let size = v.abs();
    match size {
        _ if !v.is_finite() => UNKNOWN.to_owned(),
        _ if size == 0.0 => "0 s".to_owned(),
        _ if size < 1e-6 => format!("{} ns", num(v * 1e9)),
        _ if size < 1e-3 => format!("{} µs", num(v * 1e6)),
        _ if size < 1.0 => format!("{} ms", num(v * 1e3)),
        _ if size < 600.0 => format!("{} s", num(v)),
        _ if size < 36_000.0 => format!("{} min", num(v / 60.0)),
        _ => format!("{} h", num(v / 3600.0)),
    }
}

/// A share in per cent.
pub(crate) fn percent(share: f64) -> String {
    if (share * 100.0).is_finite() { format!("{} %", num(share * 100.0)) } else { UNKNOWN.to_owned() }
}

/// A share in per cent to two digits.
pub(crate) fn percent_rough(share: f64) -> String {
    if (share * 100.0).is_finite() { format!("{} %", rough(share * 100.0)) } else { UNKNOWN.to_owned() }
}

/// A number that may be missing.
pub(crate) fn maybe(v: Option<f64>, shown: impl Fn(f64) -> String) -> String {
    v.filter(|v| v.is_finite()).map_or_else(|| UNKNOWN.to_owned(), shown)
}

/// A ratio with its interval, or what can be said instead.
pub(crate) fn ratio(r: &Ratio) -> String {
    match r {
        Ratio::Measured { value, low, high } => {
            format!("{} ({}–{})", rough(*value), rough(*low), rough(*high))
        }
        Ratio::LowerBound { low } => format!("≥ {}", rough(*low)),
        Ratio::WholeLine => "not identified: every value agrees with the data".to_owned(),
        Ratio::NotIdentified { why } => format!("not identified: {why}"),
    }
}

/// A batch size on an axis: powers of two that would be long are written as powers.
pub(crate) fn batch_tick(v: f64) -> String {
    let exponent = v.log2().round();
    if v >= 1e7 && (exponent.exp2() - v).abs() < v * 1e-9 {
        return format!("2{}", superscript(exponent as i32));
    }
    digits(v, 7)
}

/// The range of two batch sizes, or the one.
pub(crate) fn batch_range(ends: [u64; 2]) -> String {
    let [low, high] = ends;
    if low == high { int(low) } else { format!("{}–{}", int(low.min(high)), int(low.max(high))) }
}

fn superscript(n: i32) -> String {
    const DIGITS: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    n.to_string().chars().map(|c| c.to_digit(10).map_or('⁻', |d| DIGITS[d as usize % DIGITS.len()])).collect()
}

fn trimmed(decimal: &str) -> String {
    if decimal.contains('.') {
        decimal.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        decimal.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_grouped() {
        for (v, shown) in [
            (0.0, "0"),
            (-0.0, "0"),
            (0.04, "0.04"),
            (0.123_45, "0.123"),
            (999.9, "1,000"),
            (1234.0, "1,230"),
            (65_536.0, "65,500"),
            (-1500.0, "−1,500"),
            (1e-5, "10⁻⁵"),
            (2.5e-7, "2.5×10⁻⁷"),
            (3e12, "3×10¹²"),
            (-1e300, "−10³⁰⁰"),
            (5e-324, "4.94×10⁻³²⁴"),
            (f64::NAN, UNKNOWN),
            (f64::NEG_INFINITY, UNKNOWN),
        ] {
            assert_eq!(num(v), shown, "{v:e}");
        }
        assert_eq!(int(u64::MAX), "18,446,744,073,709,551,615");
        assert_eq!(batch_tick(65_536.0), "65,536");
        assert_eq!(batch_tick(2f64.powi(30)), "2³⁰");
    }

    #[test]
    fn units_suit_the_size() {
        for (v, shown) in
            [(0.0, "0 B"), (1023.0, "1,023 B"), (1536.0, "1.5 KiB"), (14.2 * 1024f64.powi(3), "14.2 GiB")]
        {
            assert_eq!(bytes(v), shown);
        }
        assert_eq!(bytes(u64::MAX as f64), "16 EiB");
        for (v, shown) in [
            (3.2e-9, "3.2 ns"),
            (4.5e-5, "45 µs"),
            (0.0123, "12.3 ms"),
            (59.0, "59 s"),
            (7200.0, "120 min"),
            (72_000.0, "20 h"),
        ] {
            assert_eq!(seconds(v), shown);
        }
        assert_eq!(percent(0.05), "5 %");
    }

    #[test]
    fn errors_set_the_digits() {
        assert_eq!(with_error(97.2487, 0.2587), "97.25 ± 0.26");
        assert_eq!(with_error(50.0, 12.0), "50 ± 12");
        assert_eq!(with_error(50.0, 0.0), "50");
        assert_eq!(with_error(f64::NAN, 1.0), UNKNOWN);
        let labels = |l: &[&str]| aligned(l.iter().map(|l| (*l).to_owned()).collect());
        assert_eq!(labels(&["96.5", "97", "0"]), ["96.5", "97.0", "0"]);
        assert_eq!(labels(&["1.5 ms", "2 ms"]), ["1.5 ms", "2 ms"]);
    }

    #[test]
    fn prose_is_marked_up_after_escaping() {
        assert_eq!(prose("B_c: `a<b`"), "B<sub>c</sub>: <code>a&lt;b</code>");
        assert_eq!(prose("one ` only"), "one ` only");
    }

    #[test]
    fn markup_is_inert() {
        assert_eq!(escape("<b a=\"1\" c='2'>&\u{0}"), "&lt;b a=&quot;1&quot; c=&#39;2&#39;&gt;&amp;\u{fffd}");
    }
}
