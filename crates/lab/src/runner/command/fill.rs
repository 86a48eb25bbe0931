//! The arguments of a command for one trial.

use super::super::attempt::Attempt;
use crate::trial::TrialSpec;
use std::collections::BTreeMap;

/// What stands for every placeholder.
pub(super) fn values(attempt: &Attempt<'_>) -> BTreeMap<String, String> {
    let spec = &attempt.spec;
    let mut values = of_spec(spec);
    values.insert("micro_batch".to_owned(), attempt.request.micro_batch.to_string());
    values.insert("threads".to_owned(), attempt.request.threads.to_string());
    values.insert("folder".to_owned(), attempt.folder.folder().display().to_string());
    values
}

/// What the configuration alone says.
fn of_spec(spec: &TrialSpec) -> BTreeMap<String, String> {
    let mut values: BTreeMap<String, String> =
        spec.parameters.iter().map(|(name, value)| (name.clone(), value.to_string())).collect();
    let mut put = |name: &str, value: String| values.insert(name.to_owned(), value);
    put("batch", spec.batch.to_string());
    put("lr", spec.learning_rate.to_string());
    put("seed", spec.seed.to_string());
    put("examples", spec.examples.to_string());
    put("schedule", spec.schedule.clone());
    put("seconds", spec.seconds.map_or_else(String::new, |seconds| seconds.to_string()));
    put("evaluate_every", spec.evaluate_examples.unwrap_or((spec.examples / 20).max(1)).to_string());
    put("target", spec.target.map_or_else(String::new, |target| target.value.to_string()));
    values
}

/// An argument with its placeholders filled; braces around anything else stay.
pub(super) fn fill(argument: &str, values: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let mut rest = argument;
    while let Some(at) = rest.find('{') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let filled = rest.find('}').and_then(|end| Some((end, values.get(&rest[1..end])?)));
        match filled {
            Some((end, value)) => {
                out.push_str(value);
                rest = &rest[end + 1..];
            }
            None => {
                out.push('{');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled_and_other_braces_stay() {
        let values =
            BTreeMap::from([("lr".to_owned(), "0.1".to_owned()), ("batch".to_owned(), "64".to_owned())]);
        let cases = [
            ("--lr={lr}", "--lr=0.1"),
            ("{batch}x{lr}", "64x0.1"),
            ("{\"lr\": {lr}}", "{\"lr\": 0.1}"),
            ("{unknown} {", "{unknown} {"),
            ("{{lr}}", "{0.1}"),
            ("plain", "plain"),
        ];
        for (argument, want) in cases {
            assert_eq!(fill(argument, &values), want);
        }
    }
}
