//! The page from outside.

use super::{awkward, html, sample};
use crate::advice::Advice;

const FIGURES: [&str; 6] = [
    "fig-time-to-target",
    "fig-throughput",
    "fig-noise",
    "fig-memory",
    "fig-learning-rate",
    "fig-confirmation",
];

fn all() -> Vec<(&'static str, Advice, String)> {
    let mut all = vec![("usual", sample::usual())];
    all.extend(awkward::all());
    all.into_iter().map(|(name, advice)| (name, advice.clone(), html(&advice))).collect()
}

/// The page without its style and its data.
fn visible(page: &str) -> &str {
    let body = page.split_once("<body>").unwrap().1;
    body.split_once("<script").unwrap().0
}

#[test]
fn every_page_has_every_part_once() {
    for (name, _, page) in all() {
        for (i, id) in FIGURES.iter().enumerate() {
            assert_eq!(page.matches(&format!("<figure id=\"{id}\">")).count(), 1, "{name}: {id}");
            assert!(page.contains(&format!("<b>Figure {}.</b>", i + 1)), "{name}");
        }
        for part in ["<h1>", "<h2>Why</h2>", "id=\"tables\"", "id=\"provenance\"", "id=\"advice\""] {
            assert_eq!(page.matches(part).count(), 1, "{name}: {part}");
        }
        assert_eq!(page.matches("role=\"img\"").count(), FIGURES.len(), "{name}");
    }
}

#[test]
fn no_number_is_shown_that_is_none() {
    for (name, _, page) in all() {
        let shown = visible(&page);
        assert!(!shown.contains("NaN"), "{name}");
        // Every attribute of every drawing is made of finite numbers.
        for attribute in ["x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "width", "height", "r"] {
            for rest in shown.split(&format!(" {attribute}=\"")).skip(1) {
                let value = rest.split('"').next().unwrap();
                assert!(value.parse::<f64>().is_ok_and(f64::is_finite), "{name}: {attribute}={value}");
            }
        }
        for attribute in [" d=\"", " points=\"", " transform=\""] {
            for rest in shown.split(attribute).skip(1) {
                let value = rest.split('"').next().unwrap();
                assert!(!value.contains("inf") && !value.contains("nan"), "{name}: {value}");
            }
        }
        assert!(!shown.contains(">inf") && !shown.contains(" inf ") && !shown.contains(" inf."), "{name}");
    }
}

#[test]
fn text_is_inert() {
    let (_, _, page) = all().into_iter().find(|p| p.0 == "hostile").unwrap();
    assert!(!page.contains("<script>") && !page.contains("<!--"));
    assert_eq!(page.matches("</script>").count(), 1);
    assert!(visible(&page).contains("&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&lt;!--&quot;&amp;"));
}

#[test]
fn tags_are_balanced() {
    for (name, _, page) in all() {
        for tag in [
            "figure", "svg", "g", "text", "title", "table", "tr", "td", "details", "section", "dl", "li", "p",
        ] {
            let opened =
                page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
            assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{name}: {tag}");
        }
    }
}

#[test]
fn nothing_is_loaded_or_run() {
    for (name, _, page) in all() {
        for banned in ["http://", "https://", "src=", "@import", "url(", "onload", "onclick"] {
            assert!(!page.contains(banned), "{name}: {banned}");
        }
        assert_eq!(page.matches("<script").count(), 1, "{name}");
    }
}

#[test]
fn the_page_holds_the_advice() {
    for (name, advice, page) in all() {
        let opening = "<script type=\"application/json\" id=\"advice\">";
        let rest = page.split_once(opening).unwrap().1;
        let data = rest.split_once("</script>").unwrap().0;
        let read: serde_json::Value = serde_json::from_str(data).unwrap();
        let written = serde_json::to_string(&advice).unwrap();
        assert_eq!(read, serde_json::from_str::<serde_json::Value>(&written).unwrap(), "{name}");
        if !["nan", "infinite"].contains(&name) {
            assert!(serde_json::from_str::<Advice>(data).is_ok(), "{name}");
        }
    }
}

#[test]
fn the_answer_comes_first() {
    for (name, advice, page) in all() {
        let answer =
            format!("Train with batch size {} at learning rate", super::text::int(advice.batch_size));
        assert!(visible(&page).split_once("</h1>").unwrap().0.contains(&answer), "{name}");
    }
    let (_, _, page) = all().into_iter().find(|p| p.0 == "accumulated").unwrap();
    assert!(!page.contains("<b>Warning.</b>"));
    assert!(page.contains("accumulated micro-batches of at most 12"));
}

#[test]
fn what_speaks_against_the_answer_is_said_at_once() {
    let (_, _, page) = all().into_iter().find(|p| p.0 == "edge").unwrap();
    assert!(page.split_once("class=\"cards\"").unwrap().0.contains("diverged"));
}

#[test]
fn a_bound_is_never_shown_as_a_number() {
    let (_, _, page) = all().into_iter().find(|p| p.0 == "bounds").unwrap();
    assert!(page.contains("average φ ≥ 700") && page.contains("critical batch B<sub>c</sub> ≥ "));
    assert!(!page.contains("average φ 700<") && !page.contains("critical batch B<sub>c</sub> = "));
    assert!(page.contains("it may be larger, and larger batches better"));
    let (_, _, page) = all().into_iter().find(|p| p.0 == "usual").unwrap();
    assert_eq!(page.matches("</title>not identified</text>").count(), 1);
}
