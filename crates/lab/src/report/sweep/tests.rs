//! The page of a sweep from outside.

use super::super::diff;
use super::html;
use crate::sweep::answer::tests::poor_answers;
use crate::sweep::answer::world::{World, fail, forget, prune};
use crate::sweep::{Reading, SweepAnswer, answer, difference, words};
use crate::trial::{EndKind, EndOfTrial, Judge, Parameter, TrainerSpec};
use std::sync::OnceLock;

/// What must never be taken for markup, nor reach a terminal.
const HOSTILE: &str = "<script>alert('1')</script><!--\"&\u{1b}[2J\u{0}`";

/// A sweep with a little of everything.
fn usual() -> SweepAnswer {
    static USUAL: OnceLock<SweepAnswer> = OnceLock::new();
    let make = || {
        let mut world = World::usual();
        world.reach = 5;
        let (mut file, mut records) = world.sweep();
        file.dataset_examples = Some(60_000);
        let n = records.len();
        fail(&mut records[4], EndKind::Memory, "it took 3.1 GiB and was given 2 GiB");
        prune(&mut records[n / 2 + 1], 0.4);
        records[n / 2].differs = true;
        answer(&file, &records, &Reading::default())
    };
    USUAL.get_or_init(make).clone()
}

/// A sweep whose every text is hostile.
fn hostile() -> SweepAnswer {
    let mut world = World::usual();
    (world.batches, world.parameter) = (vec![4, 16, 64], Some(("p", vec![1.0, 2.0])));
    let (mut file, mut records) = world.sweep();
    for text in [&mut file.name, &mut file.trainer, &mut file.unit] {
        HOSTILE.clone_into(text);
    }
    file.machine.insert(HOSTILE.to_owned(), HOSTILE.to_owned());
    for (i, record) in records.iter_mut().enumerate() {
        let spec = &mut record.spec;
        spec.parameters.insert(HOSTILE.to_owned(), Parameter::Text(HOSTILE.to_owned()));
        spec.trainer = TrainerSpec::Command { command: vec![HOSTILE.to_owned()], files: Default::default() };
        HOSTILE.clone_into(&mut spec.schedule);
        HOSTILE.clone_into(&mut spec.code);
        spec.pruning = Some(HOSTILE.to_owned());
        if i % 7 == 0 {
            record.id.push_str(HOSTILE);
            fail(record, EndKind::Error, HOSTILE);
        } else if i % 7 == 1
            && let Some(result) = &mut record.result
        {
            (result.end, result.reached) = (EndOfTrial::Diverged { why: HOSTILE.to_owned() }, None);
        }
    }
    answer(&file, &records, &Reading::default())
}

/// A sweep in which more is better.
fn accuracy() -> SweepAnswer {
    let mut world = World::usual();
    (world.has_target, world.budget, world.batches) = (false, 1.5, vec![4, 16, 64, 256]);
    let (file, mut records) = world.sweep();
    for record in &mut records {
        record.spec.judge = Judge::ACCURACY;
        let Some(result) = &mut record.result else { continue };
        result.metric = result.loss.map(|loss| 1.0 - loss);
        for evaluation in &mut result.evaluations {
            evaluation.metric = evaluation.loss.map(|loss| 1.0 - loss);
        }
    }
    answer(&file, &records, &Reading::default())
}

#[test]
fn more_may_be_better() {
    let answer = accuracy();
    let group = &answer.groups[0];
    let best = group.batches.iter().find(|b| b.batch == 16).unwrap();
    let cell = |rate: f64| group.cells.iter().find(|c| c.batch == 16 && c.learning_rate == rate).unwrap();
    let counts = best.rate.counts.unwrap();
    let of_batch = group.cells.iter().filter(|c| c.batch == 16).filter_map(|c| Some(c.score?.mean));
    assert_eq!(cell(counts).score.unwrap().mean, of_batch.fold(0.0, f64::max));
    assert_eq!(cell(counts).excess, Some(0.0));
    assert!(group.next.iter().any(|next| next.contains("`metric >= ")), "{:?}", group.next);
}

fn all() -> Vec<(&'static str, SweepAnswer, String)> {
    let mut world = World::usual();
    (world.has_target, world.budget) = (false, 1.5);
    let (mut file, mut records) = world.sweep();
    file.is_complete = false;
    records.iter_mut().step_by(5).for_each(forget);
    let values = answer(&file, &records, &Reading::default());
    let mut all = vec![("usual", usual()), ("hostile", hostile()), ("values", values)];
    all.push(("accuracy", accuracy()));
    all.extend(poor_answers().iter().cloned());
    all.into_iter().map(|(name, answer)| (name, answer.clone(), html(&answer))).collect()
}

/// The page without its style and its data.
fn visible(page: &str) -> &str {
    page.split_once("<body>").unwrap().1.split_once("<script").unwrap().0
}

fn check(name: &str, page: &str) {
    let shown = visible(page);
    assert!(!shown.contains("NaN") && !shown.contains(">inf") && !shown.contains(" inf "), "{name}");
    for attribute in ["x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "width", "height", "r"] {
        for rest in shown.split(&format!(" {attribute}=\"")).skip(1) {
            let value = rest.split('"').next().unwrap();
            assert!(value.parse::<f64>().is_ok_and(f64::is_finite), "{name}: {attribute}={value}");
        }
    }
    for tag in [
        "figure", "svg", "g", "text", "title", "table", "tr", "td", "details", "section", "dl", "li", "p",
        "div",
    ] {
        let opened = page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
        assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{name}: {tag}");
    }
    for banned in ["http://", "https://", "src=", "@import", "url(", "onload", "onclick"] {
        assert!(!page.contains(banned), "{name}: {banned}");
    }
    assert_eq!((page.matches("<script").count(), page.matches("</script>").count()), (1, 1), "{name}");
    assert!(!page.contains('\u{1b}') && !page.contains('\0'), "{name}");
    let mut ids: Vec<&str> =
        shown.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let n = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), n, "{name}: an id stands twice");
}

#[test]
fn every_page_is_whole_and_inert() {
    let all = all();
    for (name, _, page) in &all {
        check(name, page);
    }
    let hostile = &all[1];
    assert!(
        visible(&hostile.2).contains("&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&lt;!--&quot;&amp;")
    );
    for section in words(&hostile.1) {
        let text = format!("{}{}{}", section.title, section.lines.concat(), section.table.concat().concat());
        assert!(!text.chars().any(char::is_control), "{text:?}");
    }
    let both = difference(&hostile.1, &all[0].1);
    check("difference", &diff::html(&both));
    assert!(!diff::html(&both).contains("<!--"));
}

#[test]
fn every_figure_has_its_numbers() {
    let answer = usual();
    let page = html(&answer);
    for (i, id) in [
        "fig-map",
        "fit-ridge",
        "fit-tradeoff",
        "fig-to-target",
        "fig-values",
        "fit-speed",
        "fit-memory",
        "fit-decide",
    ]
    .iter()
    .enumerate()
    {
        assert_eq!(page.matches(&format!("<figure id=\"{id}\">")).count(), 1, "{id}");
        assert!(page.contains(&format!("The numbers of Figure {}<", i + 1)), "{id}");
    }
    let group = &answer.groups[0];
    let chosen = super::super::text::int(group.choice.batch_size.unwrap());
    assert!(
        visible(&page).split_once("</h1>").unwrap().0.contains(&format!("Train with batch size {chosen} at"))
    );
    assert!(page.contains("it took 3.1 GiB") && page.contains("does not repeat"));
}

#[test]
fn the_page_holds_the_answer() {
    let answer = usual();
    let page = html(&answer);
    let data = page.split_once("id=\"sweep\">").unwrap().1.split_once("</script>").unwrap().0;
    let read: SweepAnswer = serde_json::from_str(data).unwrap();
    assert_eq!(read.groups[0].choice.batch_size, answer.groups[0].choice.batch_size);
    assert_eq!(read.troubles, answer.troubles);
}

#[test]
fn what_is_missing_is_said() {
    for (name, answer) in poor_answers() {
        let sections = words(answer);
        assert!(!sections[0].lines[0].is_empty(), "{name}");
        if answer.fates.results() == 0 {
            assert!(html(answer).contains("nothing can be said"), "{name}");
        }
    }
}
