//! What was asked for, what ran it, and how to repeat it.

use super::super::text::{escape, int, num, percent};
use crate::sweep::answer::SweepAnswer;

/// The last section of the page.
pub(super) fn html(answer: &SweepAnswer) -> String {
    let plan = &answer.plan;
    let list = |all: &[String]| all.join(", ");
    let ints = |all: &[u64]| list(&all.iter().map(|n| int(*n)).collect::<Vec<_>>());
    let rates = match (plan.learning_rates.first(), plan.learning_rates.last()) {
        (Some(low), Some(high)) => {
            format!("{} from {} to {}", int(plan.learning_rates.len() as u64), num(*low), num(*high))
        }
        _ => String::new(),
    };
    let evaluate = plan.evaluate_examples.iter().map(|n| match n {
        0 => "as the trainer decides".to_owned(),
        n => format!("{} examples", int(*n)),
    });
    let mut facts = vec![
        ("What trains".to_owned(), list(&plan.trainers)),
        ("Batch sizes".to_owned(), ints(&plan.batches)),
        ("Learning rates".to_owned(), rates),
        ("Seeds".to_owned(), list(&plan.seeds.iter().map(u64::to_string).collect::<Vec<_>>())),
        ("Other hyper-parameters".to_owned(), plan.settings.join("; ")),
        ("Schedule of the learning rate".to_owned(), plan.schedules.join("; ")),
        ("Judged by".to_owned(), list(&plan.judges)),
        ("Target".to_owned(), list(&plan.targets)),
        (
            "Budget of a run".to_owned(),
            plan.budgets.iter().map(|n| format!("{} examples", int(*n))).collect::<Vec<_>>().join(", "),
        ),
        ("Evaluated every".to_owned(), evaluate.collect::<Vec<_>>().join(", ")),
        ("Early stops".to_owned(), list(&plan.pruning)),
        ("Code".to_owned(), list(&plan.codes)),
        ("Intervals".to_owned(), percent(answer.reading.confidence)),
        ("Batch sizes count".to_owned(), answer.unit.clone()),
        (
            "Training set".to_owned(),
            answer.dataset_examples.map_or_else(String::new, |n| format!("{} {}", int(n), answer.unit)),
        ),
        ("Read by batchwise".to_owned(), answer.program.clone()),
    ];
    facts.extend(answer.machine.iter().map(|(name, value)| (crate::prose::capitalized(name), value.clone())));
    let rows: String = facts
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("<dt>{}</dt><dd>{}</dd>\n", escape(name), escape(value)))
        .collect();
    format!(
        "<section id=\"provenance\">\n<h2>Where this comes from</h2>\n<dl class=\"facts\">\n{rows}</dl>\n\
         <p>The plan, the state of the sweep and this answer lie beside this page as <code>plan.toml</code>, \
         <code>sweep.json</code> and <code>answer.json</code>; every trial has a folder of its own under \
         <code>runs</code>. Running the sweep again runs only what is missing.</p>\n\
         <p>The whole answer is in this file as JSON, in the element with the id <code>sweep</code>.</p>\n</section>\n"
    )
}
