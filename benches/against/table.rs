//! The comparison as a table in Markdown.

use super::{BF16, CANDLE, Cell, OURS, OURS_BF16, Seen, TORCH};
use std::fmt::Write;

/// The table with its summary; `ceiling` is the GFLOP/s of a matrix product.
#[must_use]
pub fn table(cells: &[Cell], ceiling: f64) -> String {
    let with = |name: &str| cells.iter().any(|cell| cell.contestants.iter().any(|c| c.name == name));
    let (with_bf16, with_candle) = (with(BF16), with(CANDLE));
    let mut head: Vec<String> = ["model", "batch", "ours ms"].map(str::to_owned).to_vec();
    head.extend(TORCH.map(|name| format!("{name} ms")));
    head.push("**ratio**".to_owned());
    head.push("ours MiB".to_owned());
    head.extend(TORCH.map(|name| format!("{name} MiB")));
    if with_bf16 {
        head.extend([OURS_BF16, BF16].iter().flat_map(|name| [format!("{name} ms"), format!("{name} MiB")]));
        head.push("bf16 ratio".to_owned());
    }
    if with_candle {
        head.extend(["candle ms", "candle MiB"].map(str::to_owned));
    }
    head.extend(["of gemm", "foreign"].map(str::to_owned));
    let mut out = line(&head) + &line(&vec!["---:".to_owned(); head.len()]);
    for cell in cells {
        let median = |name: &str| milliseconds(cell.seen(name));
        let mut row = vec![cell.workload.to_string(), cell.batch.to_string(), median(OURS)];
        row.extend(TORCH.map(median));
        row.push(cell.ratio().map_or("-".to_owned(), |ratio| format!("**{ratio:.2}**")));
        row.push(mebibytes(cell.seen(OURS)));
        row.extend(TORCH.map(|name| mebibytes(cell.seen(name))));
        let figures = |name: &str| [median(name), mebibytes(cell.seen(name))];
        if with_bf16 {
            row.extend([OURS_BF16, BF16].into_iter().flat_map(figures));
            row.push(cell.ratio_bf16().map_or("-".to_owned(), |ratio| format!("{ratio:.2}")));
        }
        if with_candle {
            row.extend(figures(CANDLE));
        }
        row.push(of_ceiling(cell, ceiling).map_or("-".to_owned(), |share| format!("{:.0} %", 100.0 * share)));
        let mark = if cell.is_disturbed() { " !" } else { "" };
        row.push(format!("{:.2}{mark}", cell.foreign));
        out += &line(&row);
    }
    out + "\n" + &summary(cells, ceiling)
}

fn line(columns: &[String]) -> String {
    format!("| {} |\n", columns.join(" | "))
}

fn milliseconds(seen: Option<&Seen>) -> String {
    seen.map_or("-".to_owned(), |seen| format!("{:.2}", 1e3 * seen.median))
}

fn mebibytes(seen: Option<&Seen>) -> String {
    seen.and_then(|seen| seen.peak_mib).map_or("-".to_owned(), |peak| format!("{peak:.0}"))
}

/// What our linear layers reach of a matrix product's rate.
fn of_ceiling(cell: &Cell, ceiling: f64) -> Option<f64> {
    let flops = cell.workload.model.linear_flops()? * cell.batch as f64;
    Some(flops / cell.seen(OURS)?.median / 1e9 / ceiling)
}

fn summary(cells: &[Cell], ceiling: f64) -> String {
    let calm = || cells.iter().filter(|cell| !cell.is_disturbed());
    let logs: Vec<f64> = calm().filter_map(Cell::ratio).map(f64::ln).collect();
    let mean = match logs.len() {
        0 => "unknown".to_owned(),
        n => format!("{:.3}", (logs.iter().sum::<f64>() / n as f64).exp()),
    };
    let mut out = format!(
        "ratio: the best of PyTorch's {} over ours, above 1 where we are faster; geometric mean {mean} of {} cells\n",
        TORCH.join(", "),
        logs.len()
    );
    let logs: Vec<f64> = calm().filter_map(Cell::ratio_bf16).map(f64::ln).collect();
    if !logs.is_empty() {
        let mean = (logs.iter().sum::<f64>() / logs.len() as f64).exp();
        let _ = writeln!(
            out,
            "bf16 ratio: PyTorch's {BF16} over {OURS_BF16}; geometric mean {mean:.3} of {} cells",
            logs.len()
        );
    }
    let n_disturbed = cells.iter().filter(|cell| cell.is_disturbed()).count();
    // Writing to a string does not fail.
    if n_disturbed != 0 {
        let _ = writeln!(
            out,
            "{n_disturbed} cells are not in the mean: others used the machine (!); run them again"
        );
    }
    let behind: Vec<String> = cells
        .iter()
        .filter_map(|cell| Some((cell, cell.ratio()?)))
        .filter(|(_, ratio)| *ratio < 1.0)
        .map(|(cell, ratio)| format!("{} {} ({ratio:.2})", cell.workload, cell.batch))
        .collect();
    let behind = if behind.is_empty() { "none".to_owned() } else { behind.join(", ") };
    let _ = writeln!(out, "below 1: {behind}");
    let _ = writeln!(
        out,
        "of gemm: what the linear layers' products reach of {ceiling:.0} GFLOP/s, a 2048³ product"
    );
    let _ = writeln!(
        out,
        "MiB: peak of a fresh process, libraries included; foreign: share of the machine that others used"
    );
    for cell in cells {
        for contestant in &cell.contestants {
            if let Err(error) = &contestant.seen {
                let _ = writeln!(out, "{} {}: {}: {error}", cell.workload, cell.batch, contestant.name);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::against::Contestant;
    use crate::comparison::{Model, Workload};

    fn cell(medians: [f64; 4], foreign: f64) -> Cell {
        let names = [OURS, TORCH[0], TORCH[1], TORCH[2]];
        let contestants = names.into_iter().zip(medians).map(|(name, median)| {
            let seen = Seen { median, min: median, loss: 2.3, peak_mib: Some(50.0) };
            Contestant { name, seen: Ok(seen) }
        });
        let workload = Workload { model: Model::Mlp, is_adamw: false };
        Cell { workload, batch: 8, foreign, contestants: contestants.collect() }
    }

    #[test]
    fn the_ratio_is_to_the_best_variant() {
        let cells = [cell([1e-3, 4e-3, 2e-3, 3e-3], 0.0), cell([2e-3, 1e-3, 2e-3, 3e-3], 0.01)];
        let text = table(&cells, 300.0);
        assert!(text.contains("**2.00**") && text.contains("**0.50**"), "{text}");
        assert!(text.contains("geometric mean 1.000 of 2 cells"), "{text}");
        assert!(text.contains("below 1: mlp_sgd 8 (0.50)"), "{text}");
        assert!(!text.contains("candle") && !text.contains('!'), "{text}");
    }

    #[test]
    fn bf16_is_compared_with_bf16() {
        let mut cell = cell([1e-3, 2e-3, 2e-3, 3e-3], 0.0);
        for (name, median) in [(OURS_BF16, 2e-3), (BF16, 3e-3)] {
            let seen = Seen { median, min: median, loss: 2.3, peak_mib: Some(50.0) };
            cell.contestants.push(Contestant { name, seen: Ok(seen) });
        }
        let text = table(&[cell], 300.0);
        assert!(
            text.contains("| batchwise_bf16 ms | batchwise_bf16 MiB | bf16 ms | bf16 MiB | bf16 ratio |"),
            "{text}"
        );
        assert!(text.contains("| 2.00 | 50 | 3.00 | 50 | 1.50 |") && text.contains("**2.00**"), "{text}");
        assert!(text.contains("geometric mean 1.500 of 1 cells"), "{text}");
    }

    #[test]
    fn a_disturbed_cell_is_shown_but_does_not_count() {
        let cells = [cell([1e-3, 4e-3, 2e-3, 3e-3], 0.0), cell([1e-3, 90e-3, 90e-3, 90e-3], 0.5)];
        let text = table(&cells, 300.0);
        assert!(text.contains("geometric mean 2.000 of 1 cells") && text.contains("0.50 !"), "{text}");
    }
}
