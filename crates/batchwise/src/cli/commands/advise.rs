//! `advise`: the whole procedure, its report, and the answer in a few lines.

use super::{Session, output};
use crate::cli::arguments::AdviseArguments;
use crate::cli::show::{self, Progress};
use crate::cli::{Cli, Options};
use batchwise_lab::advice::{Advice, Binding};
use batchwise_lab::advise::Settings;
use batchwise_lab::{LabError, report};
use std::path::Path;

pub(super) fn run(cli: &Cli, options: &Options, arguments: &AdviseArguments) -> Result<(), LabError> {
    if let Some(plan) = &arguments.plan {
        return super::sweep::advise(cli, options, plan);
    }
    let session = Session::open(cli, options)?;
    let output = output(options, &format!("advise-{}", session.workload.model_name()))?;
    let settings = Settings {
        confirmation_seeds: arguments.confirmation_seeds,
        ..session.settings(options, arguments.examples, arguments.probe.max_batch)
    };
    let subject = session.subject()?;
    let provenance = session.provenance()?;
    output.write_json("provenance.json", &provenance)?;
    // The children open the data themselves.
    drop(session);
    let mut progress = Progress::new(options);
    let advice = batchwise_lab::advise::advise(&subject, &settings, provenance, &output, &mut |event| {
        progress.on(event)
    })?;
    progress.finish();
    output.write_json("advice.json", &advice)?;
    let page = output.write("report.html", report::html(&advice).as_bytes())?;
    if options.json {
        show::json(&advice);
    } else {
        print(&advice, &page);
    }
    Ok(())
}

fn print(advice: &Advice, page: &Path) {
    let [low, high] = advice.equivalent_batch_sizes;
    let equivalent = match low == high {
        true => "no other size tried is as good".to_owned(),
        false => format!("{low} to {high} are as good"),
    };
    let accumulation = match advice.accumulation_steps {
        1 => "the whole batch at once".to_owned(),
        steps => format!("{steps} accumulation steps"),
    };
    let rows = [
        ("batch size", format!("{}  ({equivalent})", advice.batch_size)),
        ("micro-batch", format!("{}  ({accumulation})", advice.micro_batch)),
        ("learning rate", format!("{:.3e}  ({})", advice.learning_rate, advice.learning_rate_rule)),
        ("binding", binding(advice.binding).to_owned()),
        ("grade", format!("{}: {}", advice.grade, advice.grade.wording())),
    ];
    show::line("");
    for (name, value) in rows {
        show::line(&format!("{name:>20}  {value}"));
    }
    show::line("\nWhy");
    for reason in &advice.reasons {
        show::line(&format!("  - {reason}"));
    }
    show::line("\nTo be surer");
    show::line(&format!("  {}", advice.next_measurement));
    show::line(&format!("\nReport: {}", page.display()));
}

fn binding(binding: Binding) -> &'static str {
    match binding {
        Binding::Memory => "memory: only part of the batch fits at once",
        Binding::Knee => "knee: a larger batch would hardly process more examples per second",
        Binding::NoiseScale => "noise scale: a larger batch would waste examples",
        Binding::Generalisation => "generalisation: a larger batch was not tested",
        Binding::Data => "data: a larger batch would be too large a part of the data set",
        Binding::Tried => "tried: larger batches were not measured (--max-batch)",
    }
}
