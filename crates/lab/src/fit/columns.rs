//! Which column of a file is which: names, other names, and units in the header.

use crate::bytes;

/// A column that a kind of file may have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    /// Its name.
    pub(super) name: &'static str,
    /// Other names by which it is known.
    pub(super) also: &'static [&'static str],
    /// What it measures.
    pub(super) measure: Measure,
}

/// What a column measures, and so which units its header may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Measure {
    /// A plain number or word.
    Plain,
    /// A time; read in seconds.
    Time,
    /// An amount of memory; read in bytes.
    Bytes,
}

impl Wanted {
    /// A column of plain numbers or words.
    pub(super) const fn plain(name: &'static str, also: &'static [&'static str]) -> Self {
        Self { name, also, measure: Measure::Plain }
    }
}

/// How well a header names a wanted column: the better one wins, two equally good ones are refused.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Match {
    rank: u8,
    /// What a number is multiplied by; `None` where the header names no unit.
    factor: Option<f64>,
}

/// Which column of the file holds a wanted one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Found {
    /// Its number, from 0.
    pub(super) number: usize,
    /// Its header as it stands in the file.
    pub(super) header: String,
    /// What its numbers are multiplied by.
    pub(super) factor: f64,
}

/// The columns of a file by wanted column; `unit` is what the user said where the header says nothing.
///
/// # Errors
/// What was found and what is allowed, where two columns claim to be one, or no unit is known.
pub(super) fn locate(
    headers: &[String],
    wanted: &[Wanted],
    unit: Option<&str>,
) -> Result<Vec<Option<Found>>, (String, String)> {
    wanted.iter().map(|wanted| locate_one(headers, wanted, unit)).collect()
}

fn locate_one(
    headers: &[String],
    wanted: &Wanted,
    unit: Option<&str>,
) -> Result<Option<Found>, (String, String)> {
    let mut best: Option<(usize, Match)> = None;
    for (number, header) in headers.iter().enumerate() {
        let Some(found) = matches(header, wanted) else { continue };
        match best {
            Some((other, old)) if old.rank == found.rank => {
                let both = format!("both `{}` and `{}` say {}", headers[other], header, wanted.name);
                return Err((both, "keep one of the two, or rename the other".to_owned()));
            }
            Some((_, old)) if old.rank < found.rank => {}
            _ => best = Some((number, found)),
        }
    }
    let Some((number, found)) = best else { return Ok(None) };
    let header = headers[number].clone();
    let factor = match (wanted.measure, found.factor, unit) {
        (Measure::Plain, ..) => 1.0,
        (_, Some(factor), None) => factor,
        (measure, factor, Some(unit)) => {
            let said = unit_factor(measure, unit).ok_or_else(|| unknown_unit(measure, unit))?;
            match factor {
                Some(factor) if factor != said => {
                    return Err((
                        format!("the header `{header}` names one unit and --unit {unit} another"),
                        "give the unit once".to_owned(),
                    ));
                }
                _ => said,
            }
        }
        (measure, None, None) => {
            let example = if measure == Measure::Time {
                "time_ms` or give --unit ms"
            } else {
                "peak_mib` or give --unit MiB"
            };
            return Err((format!("the column `{header}` names no unit"), format!("call it `{example}")));
        }
    };
    Ok(Some(Found { number, header, factor }))
}

fn unknown_unit(measure: Measure, unit: &str) -> (String, String) {
    let allowed = match measure {
        Measure::Time => "s, ms, us or ns is allowed",
        _ => "bytes, KiB, MiB, GiB, kB, MB or GB is allowed",
    };
    (format!("--unit is `{unit}`"), allowed.to_owned())
}

fn matches(header: &str, wanted: &Wanted) -> Option<Match> {
    let plain = normal(header);
    let (base, bracket) = split_bracket(&plain);
    let known = |name: &str| name == wanted.name || wanted.also.contains(&name);
    let exact = |name: &str| u8::from(name != wanted.name);
    if wanted.measure == Measure::Plain {
        return known(base).then(|| Match { rank: exact(base), factor: None });
    }
    let factor_of = |unit: &str| unit_factor(wanted.measure, unit);
    if let Some(unit) = bracket {
        let factor = factor_of(unit)?;
        return (known(base) || base.is_empty()).then_some(Match { rank: 0, factor: Some(factor) });
    }
    let is_unit = 1 < base.len() || base == "s";
    if let (true, Some(factor)) = (is_unit, factor_of(base)) {
        return Some(Match { rank: 0, factor: Some(factor) });
    }
    if let Some((stem, unit)) = base.rsplit_once('_')
        && let (true, Some(factor)) = (known(stem), factor_of(unit))
    {
        return Some(Match { rank: 0, factor: Some(factor) });
    }
    known(base).then_some(Match { rank: 1, factor: None })
}

/// Lower case, with `_` between words.
fn normal(header: &str) -> String {
    let lower = header.trim().to_lowercase();
    let mut out = String::with_capacity(lower.len());
    for c in lower.chars() {
        let c = if c == ' ' || c == '-' { '_' } else { c };
        if c != '_' || !out.ends_with('_') {
            out.push(c);
        }
    }
    out
}

/// `time[ms]` and `time_(ms)` as name and unit.
fn split_bracket(plain: &str) -> (&str, Option<&str>) {
    for (open, close) in [('[', ']'), ('(', ')')] {
        if let Some((base, unit)) = plain.strip_suffix(close).and_then(|rest| rest.split_once(open)) {
            return (base.trim_end_matches('_'), Some(unit));
        }
    }
    (plain, None)
}

/// What a number in this unit is multiplied by to get seconds, or bytes.
fn unit_factor(measure: Measure, unit: &str) -> Option<f64> {
    let unit = unit.trim().to_lowercase();
    match measure {
        Measure::Plain => None,
        Measure::Time => match unit.as_str() {
            "s" | "sec" | "secs" | "second" | "seconds" => Some(1.0),
            "ms" | "msec" | "millisecond" | "milliseconds" => Some(1e-3),
            "us" | "µs" | "μs" | "usec" | "microsecond" | "microseconds" => Some(1e-6),
            "ns" | "nsec" | "nanosecond" | "nanoseconds" => Some(1e-9),
            "min" | "minute" | "minutes" => Some(60.0),
            _ => None,
        },
        Measure::Bytes => match unit.as_str() {
            "" => None,
            "byte" | "bytes" => Some(1.0),
            other => bytes::parse(&format!("1{other}")).ok().map(|factor| factor as f64),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Wanted = Wanted { name: "seconds", also: &["time", "step_time"], measure: Measure::Time };
    const PEAK: Wanted = Wanted { name: "bytes", also: &["peak", "memory"], measure: Measure::Bytes };
    const BATCH: Wanted = Wanted::plain("batch", &["batch_size"]);

    fn factor(header: &str, wanted: Wanted, unit: Option<&str>) -> Option<f64> {
        locate_one(&[header.to_owned()], &wanted, unit).ok().flatten().map(|found| found.factor)
    }

    #[test]
    fn units_stand_in_the_header_or_in_the_flag() {
        for (header, want) in [
            ("seconds", 1.0),
            ("S", 1.0),
            ("ms", 1e-3),
            ("time_ms", 1e-3),
            ("Step Time [us]", 1e-6),
            ("step_time (ns)", 1e-9),
        ] {
            assert_eq!(factor(header, TIME, None), Some(want), "{header}");
        }
        for (header, want) in
            [("bytes", 1.0), ("MiB", 1048576.0), ("peak_mib", 1048576.0), ("Memory (GB)", 1e9)]
        {
            assert_eq!(factor(header, PEAK, None), Some(want), "{header}");
        }
        assert_eq!(factor("time", TIME, Some("ms")), Some(1e-3));
        assert_eq!(factor("time_ms", TIME, Some("ms")), Some(1e-3));
        assert_eq!(factor("Batch Size", BATCH, None), Some(1.0));
        for header in ["wait_ms", "b", "times", "", "time_parsec"] {
            assert_eq!(locate_one(&[header.to_owned()], &TIME, None), Ok(None), "{header}");
        }
        assert_eq!(locate_one(&["b".to_owned()], &PEAK, None), Ok(None));
    }

    #[test]
    fn two_claims_or_none_are_refused() {
        let error = |headers: &[&str], unit| {
            let headers: Vec<String> = headers.iter().map(|h| (*h).to_owned()).collect();
            locate(&headers, &[TIME], unit).unwrap_err().0
        };
        assert!(error(&["seconds", "ms"], None).contains("both `seconds` and `ms`"));
        assert!(error(&["time"], None).contains("no unit"));
        assert!(error(&["time_ms"], Some("s")).contains("another"));
        assert!(error(&["time"], Some("parsec")).contains("parsec"));
        // A unit is better than none: the other column is an extra one.
        let headers = ["time".to_owned(), "step_time_ms".to_owned()];
        assert_eq!(locate_one(&headers, &TIME, None).unwrap().unwrap().number, 1);
    }
}
