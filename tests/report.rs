//! The report as a reader meets it: opened in headless Chromium, with all its figures and nothing from outside.

#![allow(clippy::print_stderr, reason = "a skipped test says so")]

use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use tests::program::program;
use tests::{Place, json};

/// Each figure and what must stand at its axes.
const FIGURES: [(&str, &[&str]); 6] = [
    ("fig-time-to-target", &["batch size (examples)", "time to target, relative to the best"]),
    ("fig-throughput", &["batch size (examples)", "throughput (examples/s)"]),
    ("fig-noise", &["examples seen", "noise scale φ (examples"]),
    ("fig-memory", &["micro-batch (examples)", "peak memory", "iB"]),
    ("fig-learning-rate", &["learning rate (log)", "training loss"]),
    ("fig-confirmation", &["test accuracy (%)", "training loss", "time"]),
];

/// One small run of `advise` with its folder, for all tests.
fn advised() -> &'static (Place, String, Value) {
    static RUN: OnceLock<(Place, String, Value)> = OnceLock::new();
    RUN.get_or_init(|| {
        let place = Place::new();
        let advice = place.run(&[
            "advise",
            "--examples",
            "1000",
            "--max-batch",
            "64",
            "--model",
            "mlp",
            "--json",
            "--quiet",
            "--out",
            "out",
        ]);
        let html = place.read("out/report.html");
        (place, html, advice.json())
    })
}

fn browser() -> Option<&'static str> {
    static FOUND: OnceLock<Option<&str>> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let names = ["chromium", "chromium-browser", "google-chrome"];
        let runs =
            |name: &&str| Command::new(name).arg("--version").output().is_ok_and(|o| o.status.success());
        let found = names.into_iter().find(runs);
        if found.is_none() {
            eprintln!("SKIPPED: none of {names:?} is installed, so the report is not opened");
        }
        found
    })
}

/// Opens the report of the advice; returns standard output and standard error, or `None` without a browser.
fn open(arguments: &[&str]) -> Option<(String, String)> {
    open_page(&advised().0.path().join("out/report.html"), arguments)
}

/// Opens a page, likewise.
fn open_page(page: &Path, arguments: &[&str]) -> Option<(String, String)> {
    let profile = tempfile::tempdir().expect("a temporary folder");
    let output = Command::new(browser()?)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--disable-dev-shm-usage", "--enable-logging=stderr", "--v=0", "--virtual-time-budget=3000"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(arguments)
        .arg(format!("file://{}", page.display()))
        .output()
        .expect("the browser starts");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    assert!(output.status.success(), "the browser failed: {}", text(output.stderr));
    Some((text(output.stdout), text(output.stderr)))
}

/// The part of a page from an element's start to its end.
fn element<'a>(page: &'a str, start: &str, end: &str) -> &'a str {
    let from = page.find(start).unwrap_or_else(|| panic!("the page has no {start}"));
    let length = page[from..].find(end).unwrap_or_else(|| panic!("{start} does not end"));
    &page[from..from + length]
}

#[test]
fn the_browser_shows_every_figure_and_complains_of_nothing() {
    let Some((page, complaints)) = open(&["--dump-dom"]) else { return };
    for (id, axes) in FIGURES {
        let figure = element(&page, &format!("<figure id=\"{id}\""), "</figure>");
        let drawing = element(figure, "<svg", "</svg>");
        for axis in axes {
            assert!(drawing.contains(axis), "{id}: `{axis}` is missing");
        }
        assert!(!drawing.contains("NaN") && !drawing.contains("inf"), "{id} has a number that is none");
    }
    let console: Vec<&str> = complaints.lines().filter(|line| line.contains("CONSOLE")).collect();
    assert!(console.is_empty(), "the console says {console:#?}");
}

#[test]
fn the_page_names_the_advice() {
    let (_, html, advice) = advised();
    let main = element(html, "<main", "</main>");
    for field in ["/batch_size", "/micro_batch", "/accumulation_steps"] {
        let value = json::whole(advice, field).to_string();
        assert!(main.contains(&value), "{field}: {value} is not on the page");
    }
    assert!(main.contains(json::text(advice, "/provenance/data/train_hash")), "the data's hash");
}

#[test]
fn the_page_loads_nothing_from_outside() {
    let html = &advised().1;
    let namespaces =
        ["http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink", "http://www.w3.org/1999/xhtml"];
    let rest = namespaces.iter().fold(html.clone(), |text, namespace| text.replace(namespace, ""));
    for scheme in ["http://", "https://", "src=", "@import", "url(//", "<link rel=\"stylesheet\""] {
        let at = rest.find(scheme).map(|at| rest[at..].chars().take(80).collect::<String>());
        assert_eq!(at, None, "the page is not self-contained");
    }
}

#[test]
fn the_page_holds_the_advice_itself() {
    let (place, html, advice) = advised();
    let start = "<script type=\"application/json\" id=\"advice\">";
    let embedded = &element(html, start, "</script>")[start.len()..];
    assert_eq!(json::parse("the embedded advice", embedded), *advice);
    assert_eq!(json::read(&place.path().join("out/advice.json")), *advice);
}

#[test]
fn the_page_is_drawn_on_a_laptop_screen() {
    let place = &advised().0;
    let picture = place.path().join("page.png");
    let size = "--window-size=1280,800";
    if open(&["--hide-scrollbars", size, &format!("--screenshot={}", picture.display())]).is_none() {
        return;
    }
    let png = std::fs::read(&picture).expect("the browser made the picture");
    assert!(png.starts_with(b"\x89PNG\r\n\x1a\n"), "no PNG");
    let side = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().expect("four bytes"));
    assert_eq!((side(16), side(20)), (1280, 800));
    assert!(20_000 < png.len(), "{} bytes: the page looks empty", png.len());
}

/// A sweep of simulated trainers, one of whose hyper-parameters is markup.
fn swept() -> Place {
    let place = Place::new();
    let line = "exec \\\"$1\\\" simulate --batch $2 --lr $3 --seed $4 --examples 4000 --evaluate-every 100 --modes 20";
    let plan = format!(
        "seeds = 2\n[trainer]\ncommand = [\"sh\", \"-c\", \"{line}\", \"{{note}}\", \"{}\", \"{{batch}}\", \"{{lr}}\", \
         \"{{seed}}\"]\n[batch]\nvalues = [1, 4, 16, 64]\n[lr]\nstart = 0.4\n[parameters]\n\
         note = \"<script>alert(1)</script><img src=x onerror=alert(2)>\"\n[run]\nbudget = \"4000ex\"\n\
         target = \"loss <= 0.3\"\n",
        program().display()
    );
    std::fs::write(place.path().join("plan.toml"), plan).expect("the plan is written");
    let ran = place.run(&["sweep", "plan.toml", "--out", "root", "--quiet"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    place
}

#[test]
fn the_browser_shows_a_sweep_and_obeys_nothing_in_it() {
    let place = swept();
    let file = place.path().join("root/sweeps/plan/report.html");
    let Some((page, complaints)) = open_page(&file, &["--dump-dom"]) else { return };
    let figures: Vec<&str> =
        page.split("<figure ").skip(1).map(|rest| element(rest, "<svg", "</svg>")).collect();
    assert!(6 <= figures.len(), "{} figures", figures.len());
    for figure in &figures {
        assert!(!figure.contains("NaN") && !figure.contains("inf"), "a number that is none: {figure}");
    }
    assert!(figures.len() <= page.matches("<table").count(), "each figure has its table");
    assert!(page.contains("&lt;script&gt;alert(1)"), "the hyper-parameter is shown");
    assert!(!page.contains("<script>alert") && !page.contains("<img"), "and is no markup");
    let console: Vec<&str> = complaints.lines().filter(|line| line.contains("CONSOLE")).collect();
    assert!(console.is_empty(), "the console says {console:#?}");
}
