//! How numbers and sentences are written, in findings as in the report.

/// Digits in groups of three from the right.
pub(crate) fn separated(digits: &str) -> String {
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// The first letter in upper case.
pub(crate) fn capitalized(clause: &str) -> String {
    let mut rest = clause.chars();
    rest.next().map(|first| first.to_uppercase().chain(rest).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_have_three_digits_from_the_right() {
        assert_eq!(["1", "999", "1234", "1234567"].map(separated), ["1", "999", "1,234", "1,234,567"]);
    }

    #[test]
    fn only_the_first_letter_changes() {
        assert_eq!(["", "a b", "φ is"].map(capitalized), ["", "A b", "Φ is"]);
    }
}
