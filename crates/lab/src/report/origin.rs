//! Where the result comes from, and how to repeat it.

use super::text::{bytes, count, escape, int, percent};
use crate::advice::Advice;

/// The last section of the page.
pub(super) fn html(advice: &Advice) -> String {
    let p = &advice.provenance;
    let commit = p.commit.as_deref().map_or_else(String::new, |c| format!(", commit {c}"));
    let facts = [
        ("batchwise", format!("{}{commit}", p.version)),
        ("Model", p.model.clone()),
        ("Optimizer", p.optimizer.clone()),
        (
            "Data",
            format!(
                "{}: {} to train, {} to test",
                p.data.name,
                count(p.data.train_examples, "example"),
                count(p.data.test_examples, "example")
            ),
        ),
        ("Training data, SHA-256", p.data.train_hash.clone()),
        ("Test data, SHA-256", p.data.test_hash.clone()),
        ("Data in host memory", bytes(advice.memory.data_bytes as f64)),
        ("Device", format!("{}: {}", p.device, p.device_description)),
        ("Compute threads", int(p.threads as u64)),
        ("Platform", p.platform.clone()),
        ("Seed", p.seed.to_string()),
        ("Started", utc(p.started_at)),
        ("Noise intervals", percent(advice.noise.confidence)),
        ("Layout of the data below", format!("schema {}", advice.schema)),
    ];
    let rows: String =
        facts.iter().map(|(name, value)| format!("<dt>{name}</dt><dd>{}</dd>\n", escape(value))).collect();
    format!(
        "<section id=\"provenance\">\n<h2>Where this comes from</h2>\n<dl class=\"facts\">\n{rows}</dl>\n\
         <p>To repeat it:</p>\n<pre><code>{}</code></pre>\n\
         <p>The whole advice is in this file as JSON, in the element with the id \
         <code>advice</code>.</p>\n</section>\n",
        escape(&shell(&p.command))
    )
}

/// Seconds since 1970 as a date and time of day in UTC.
fn utc(epoch: u64) -> String {
    const LAST: u64 = 253_402_300_799;
    if epoch > LAST {
        return format!("{} s after 1970", int(epoch));
    }
    let (day, second) = (epoch / 86_400, epoch % 86_400);
    // Days to a civil date (Hinnant), from the era that begins on 0000-03-01.
    let z = day + 719_468;
    let of_era = z % 146_097;
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + z / 146_097 * 400 + u64::from(month <= 2);
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

/// A command line that a POSIX shell reads back as the same arguments.
fn shell(arguments: &[String]) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    let quoted = |a: &String| match a {
        a if !a.is_empty() && a.chars().all(safe) => a.clone(),
        a => format!("'{}'", a.replace('\'', r"'\''")),
    };
    arguments.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_civil() {
        assert_eq!(utc(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(utc(951_782_400), "2000-02-29 00:00:00 UTC");
        assert_eq!(utc(1_785_585_599), "2026-08-01 11:59:59 UTC");
        assert!(utc(u64::MAX).contains("after 1970"));
    }

    #[test]
    fn commands_survive_a_shell() {
        let arguments = ["batchwise", "--data=x", "a b", "", "it's"].map(str::to_owned);
        assert_eq!(shell(&arguments), r"batchwise --data=x 'a b' '' 'it'\''s'");
    }
}
