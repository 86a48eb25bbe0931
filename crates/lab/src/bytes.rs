//! Sizes of memory as people write them: `2GiB`, `512 MB`, `1048576`.

/// Bytes of a text such as `2GiB`, `1.5 GB`, `800M` (binary, as MiB) or `4096`.
///
/// # Errors
/// Says what is allowed.
pub fn parse(text: &str) -> Result<u64, String> {
    let wrong =
        || format!("`{text}` is no size of memory: write a number and a unit, such as 800MiB, 2GiB or 1.5GB");
    let text = text.trim();
    let digits = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return Err(wrong()),
    };
    let bytes = number * factor as f64;
    // The largest f64 below 2⁶⁴.
    if (1.0..18_446_744_073_709_549_568.0).contains(&bytes) { Ok(bytes as u64) } else { Err(wrong()) }
}

/// Bytes in the unit that suits them, such as `1.50 GiB`.
pub fn human(bytes: u64) -> String {
    let value = bytes as f64;
    for (factor, unit) in [(1u64 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")] {
        if factor <= bytes {
            return format!("{:.2} {unit}", value / factor as f64);
        }
    }
    format!("{bytes} B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        let cases = [
            ("1", 1),
            ("4096", 4096),
            ("2GiB", 2 << 30),
            ("2 gib", 2 << 30),
            ("1.5g", 3 << 29),
            ("512MB", 512_000_000),
            ("800M", 800 << 20),
        ];
        for (text, want) in cases {
            assert_eq!(parse(text), Ok(want), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "GiB", "-1", "0", "1e9", "2XB", "1.2.3", "nan", "99999999999TiB", "٣MB"] {
            assert!(parse(text).unwrap_err().contains("such as 800MiB"), "{text}");
        }
    }

    #[test]
    fn sizes_are_shown() {
        let cases = [(0, "0 B"), (1023, "1023 B"), (1024, "1.00 KiB"), (3 << 29, "1.50 GiB")];
        for (bytes, want) in cases {
            assert_eq!(human(bytes), want);
        }
    }
}
