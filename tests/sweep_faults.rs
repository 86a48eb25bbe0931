//! Sweeps when something goes wrong: each fault ends in a recorded reason, and nothing that was done is lost.

#![cfg(target_os = "linux")]

use std::path::Path;
use std::time::Duration;
use tests::json;
use tests::processes::{in_folder, signal, wait, wait_until};
use tests::program::program;
use tests::{Place, Ran};

const LATER: Duration = Duration::from_secs(60);

/// A plan of one trial of a shell script.
fn script(place: &Place, script: &str, limits: &str) {
    std::fs::write(place.path().join("train.sh"), script).expect("the script is written");
    let plan = format!(
        "seeds = [1]\n[trainer]\ncommand = [\"sh\", \"train.sh\", \"{{batch}}\", \"{{lr}}\", \"{{folder}}\"]\n\
         [batch]\nvalues = [8]\n[lr]\nvalues = [0.1]\n[run]\nbudget = \"800ex\"\n[limits]\n{limits}\n"
    );
    std::fs::write(place.path().join("plan.toml"), plan).expect("the plan is written");
}

fn sweep(place: &Place) -> Ran {
    place.run(&["sweep", "plan.toml", "--out", "root", "--quiet"])
}

/// The kind and the reason for which the only trial was given up.
fn failure(case: &str, place: &Place) -> (String, String) {
    let runs = place.path().join("root/runs");
    let trial = std::fs::read_dir(&runs).expect("there are trials").flatten().next().expect("there is one");
    let text = std::fs::read_to_string(trial.path().join("failed.json"));
    let text = text.unwrap_or_else(|error| panic!("{case}: it was not given up: {error}"));
    let value = json::parse("failed.json", &text);
    let text = |key: &str| value[key].as_str().expect("a text").to_owned();
    (text("kind"), text("reason"))
}

/// The folders of the trials.
fn results(place: &Place) -> usize {
    let runs = place.path().join("root/runs");
    let entries =
        std::fs::read_dir(runs).map(|entries| entries.flatten().collect::<Vec<_>>()).unwrap_or_default();
    entries.iter().filter(|entry| entry.path().join("result.json").exists()).count()
}

#[test]
fn whatever_a_trainer_does_ends_in_a_recorded_reason() {
    let good = r#"echo '{"examples": 800, "loss": 0.5}'"#;
    let cases: [(&str, String, &str, &str, &str); 14] = [
        (
            "hangs",
            "sleep 1000".to_owned(),
            "silence = 0.5\nretries = 0",
            "silent",
            "printed nothing for 0.5 s",
        ),
        (
            "is slow",
            "while :; do echo x; sleep 0.1; done".to_owned(),
            "seconds = 1",
            "time",
            "more than the 1 s",
        ),
        ("prints nothing", "exit 0".to_owned(), "", "no_result", "printed nothing"),
        ("prints text", "echo epoch 1".to_owned(), "", "no_result", "only text such as `epoch 1`"),
        (
            "judges nothing",
            r#"echo '{"examples": 800}'"#.to_owned(),
            "",
            "no_result",
            "none of its 1 records holds `loss`",
        ),
        ("prints noise", "head -c 100000 /dev/urandom".to_owned(), "", "no_result", "only text"),
        (
            "prints a gigabyte",
            "yes | head -c 1000000000".to_owned(),
            "output = \"1MiB\"",
            "output",
            "more than 1.00 MiB",
        ),
        ("prints one line", "head -c 1000000000 /dev/zero".to_owned(), "", "output", "a line of more than"),
        (
            "goes back",
            r#"echo '{"examples": 9, "loss": 1}'; echo '{"examples": 8, "loss": 1}'"#.to_owned(),
            "retries = 0",
            "error",
            "goes back from 9 to 8",
        ),
        (
            "lies",
            r#"echo '{"examples": -4, "loss": 1}'"#.to_owned(),
            "retries = 0",
            "error",
            "`examples` is -4",
        ),
        ("fails", "echo it broke >&2; exit 3".to_owned(), "retries = 0", "error", "status 3: it broke"),
        ("dies", "kill -9 $$".to_owned(), "retries = 0", "killed", "signal 9"),
        (
            "needs too much",
            format!("head -c 300000000 /dev/zero | tail -c 290000000 | (sleep 2; cat) >/dev/null; {good}"),
            "memory = \"100MiB\"",
            "memory",
            "it was given",
        ),
        ("is not there", "exec /no/such/program".to_owned(), "retries = 0", "error", "it cannot be started"),
    ];
    for (case, line, limits, kind, reason) in cases {
        let place = Place::new();
        script(&place, &line, limits);
        let ran = sweep(&place);
        assert_eq!(ran.status, Some(0), "{case}: {}", ran.stderr);
        let found = failure(case, &place);
        assert!(found.0 == kind && found.1.contains(reason), "{case}: {found:?}");
        wait_until(&format!("{case}: nothing runs"), LATER, || in_folder(place.path()).is_empty());
    }
}

#[test]
fn a_program_that_cannot_be_started_is_named() {
    let place = Place::new();
    script(&place, "", "retries = 0");
    let plan = place.read("plan.toml").replace("\"sh\"", "\"no-such-trainer\"");
    std::fs::write(place.path().join("plan.toml"), plan).expect("the plan is written");
    assert_eq!(sweep(&place).status, Some(0));
    let (kind, reason) = failure("the trial", &place);
    assert!(kind == "error" && reason.contains("`no-such-trainer` cannot be started"), "{reason}");
}

#[test]
fn what_a_trainer_leaves_running_ends_with_it() {
    let place = Place::new();
    let fork = "(sleep 1000; echo late) &\nsetsid sleep 1000 </dev/null >/dev/null 2>&1 &\necho '{\"examples\": 800, \"loss\": 0.5}'";
    script(&place, fork, "");
    let ran = sweep(&place);
    assert_eq!((ran.status, results(&place)), (Some(0), 1), "{}", ran.stderr);
    wait_until("nothing runs", LATER, || in_folder(place.path()).is_empty());
}

#[test]
fn records_that_are_read_late_still_count() {
    let place = Place::new();
    let lines = "awk 'BEGIN { for (i = 8; i <= 32000; i += 8) print \"{\\\"examples\\\": \" i \", \\\"loss\\\": 0.5}\" }'";
    script(&place, lines, "");
    let plan = place.read("plan.toml").replace("800ex", "100000ex");
    std::fs::write(place.path().join("plan.toml"), plan).expect("the plan is written");
    let mut child = place.start(&["sweep", "plan.toml", "--out", "root", "--quiet"]);
    // The process that reads is stopped for longer than a trainer's output may be silent after its end.
    while child.try_wait().expect("it can be asked").is_none() {
        for pid in in_folder(place.path()) {
            let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            if String::from_utf8_lossy(&command).contains("\0attempt\0") {
                let send = |name: &str| {
                    let kill = ["-c", "kill \"$0\" \"$1\" 2>/dev/null", name, &pid.to_string()];
                    let _ = std::process::Command::new("sh").args(kill).status();
                };
                send("-STOP");
                std::thread::sleep(Duration::from_millis(450));
                send("-CONT");
            }
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let runs = std::fs::read_dir(place.path().join("root/runs")).expect("there are trials");
    let trial = runs.flatten().next().expect("there is one").path();
    let result = json::read(&trial.join("result.json"));
    assert_eq!(json::whole(&result, "/examples"), 32_000);
}

#[test]
fn a_trial_that_fails_by_chance_is_tried_again() {
    let place = Place::new();
    let once = "if [ -e \"$3/seen\" ]; then echo '{\"examples\": 800, \"loss\": 0.5}'; else touch \"$3/seen\"; kill -9 $$; fi";
    script(&place, once, "");
    assert_eq!((sweep(&place).status, results(&place)), (Some(0), 1));
}

#[test]
fn two_runners_do_not_meet() {
    let place = Place::new();
    script(&place, "sleep 3; echo '{\"examples\": 800, \"loss\": 0.5}'", "");
    let first = place.start(&["sweep", "plan.toml", "--out", "root", "--quiet"]);
    wait_until("the first holds the folder", LATER, || {
        std::fs::read_to_string(place.path().join("root/runner.lock")).is_ok_and(|text| text.contains("pid"))
    });
    let second = sweep(&place);
    let holder = format!("held by the sweep `plan` (process {}", first.id());
    second.assert_refused("a second runner", 2, &[&holder, "--wait"]);
    let third = place.run(&["sweep", "plan.toml", "--out", "root", "--quiet", "--wait"]);
    assert_eq!(third.status, Some(0), "{}", third.stderr);
    assert!(wait(first, LATER).status.success());
    assert_eq!(results(&place), 1);
}

#[test]
fn a_full_disk_stops_the_sweep_and_nothing_is_lost() {
    let place = Place::new();
    let lines =
        "i=0; while [ $i -lt 800 ]; do i=$((i+8)); echo \"{\\\"examples\\\": $i, \\\"loss\\\": 0.5}\"; done";
    script(&place, lines, "");
    // Files cannot grow beyond 8 blocks: the log of a trial does not fit.
    let ran = place.shell("trap '' XFSZ; ulimit -f 8; exec \"$PROGRAM\" sweep plan.toml --out root --quiet");
    assert_ne!(ran.status, Some(0), "{}", ran.stdout);
    assert!(ran.stderr.contains("File too large") && ran.stderr.contains("make room"), "{}", ran.stderr);
    assert_eq!(results(&place), 0);
    assert_eq!((sweep(&place).status, results(&place)), (Some(0), 1), "with room it goes on");
}

#[test]
fn a_clock_that_jumps_changes_nothing() {
    // Seconds come from a clock that only goes forward; a trainer's own that goes back is refused.
    let place = Place::new();
    let lines = r#"echo '{"examples": 8, "seconds": 100, "loss": 1}'; echo '{"examples": 800, "seconds": 40, "loss": 1}'"#;
    script(&place, lines, "retries = 0");
    assert_eq!(sweep(&place).status, Some(0));
    let (kind, reason) = failure("the trial", &place);
    assert!(kind == "error" && reason.contains("`seconds` goes back from 100 to 40"), "{reason}");
}

#[test]
fn an_interrupted_sweep_says_how_to_go_on() {
    let place = Place::new();
    script(&place, "echo '{\"examples\": 8, \"loss\": 1}'; sleep 1000", "");
    let child = place.start(&["sweep", "plan.toml", "--out", "root"]);
    wait_until("the trainer runs", LATER, || 3 <= in_folder(place.path()).len());
    signal(&child, "INT");
    let ran = tests::program::ran(&wait(child, LATER));
    ran_stopped(&ran);
    wait_until("nothing runs", LATER, || in_folder(place.path()).is_empty());
    assert_eq!(results(&place), 0);
}

fn ran_stopped(ran: &Ran) {
    assert_eq!(ran.status, Some(130), "{}", ran.stderr);
    assert!(ran.stderr.contains("the same command goes on from there"), "{}", ran.stderr);
}

#[test]
fn a_locked_store_is_told_and_loses_nothing() {
    let place = Place::new();
    script(&place, "echo '{\"examples\": 800, \"loss\": 0.5}'", "");
    assert_eq!(sweep(&place).status, Some(0));
    let connection =
        rusqlite::Connection::open(place.path().join("root/store.sqlite")).expect("the store is there");
    connection.execute_batch("BEGIN EXCLUSIVE").expect("it can be locked");
    let plan = place.read("plan.toml").replace("values = [0.1]", "values = [0.1, 0.2]");
    std::fs::write(place.path().join("plan.toml"), plan).expect("the plan is written");
    let ran = sweep(&place);
    assert_eq!((ran.status, results(&place)), (Some(0), 2), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("the store is behind") && ran.stderr.contains("store.sqlite"),
        "{}",
        ran.stderr
    );
    connection.execute_batch("COMMIT").expect("it can be let go");
    let listed = place.run(&["runs", "list", "--out", "root", "--json"]).json();
    assert_eq!(listed.as_array().map(Vec::len), Some(2), "what it missed is taken in");
}

#[test]
fn a_second_result_that_differs_is_reported() {
    let place = Place::new();
    script(&place, "echo '{\"examples\": 800, \"loss\": 0.'$$'}'", "");
    assert_eq!(sweep(&place).status, Some(0));
    let runs = place.path().join("root/runs");
    let trial =
        std::fs::read_dir(&runs).expect("there are trials").flatten().next().expect("there is one").path();
    let first = std::fs::read(trial.join("result.json")).expect("a result");
    // As a cluster does that starts a trial twice, both before either has ended.
    std::fs::rename(trial.join("result.json"), trial.join("kept")).expect("it can be moved");
    let id = trial.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
    assert_eq!(place.run(&["trial", &id, "--out", "root"]).status, Some(0));
    std::fs::rename(trial.join("kept"), trial.join("result.json")).expect("it can be moved back");
    std::fs::write(trial.join("x"), "").expect("a file");
    assert!(different(&trial, &first, &place, &id));
}

/// Whether another attempt beside a result leaves it, and lies beside it.
fn different(trial: &Path, first: &[u8], place: &Place, id: &str) -> bool {
    // The result is hidden while the attempt begins, and back before it ends.
    std::fs::write(place.path().join("train.sh"), "sleep 1; echo '{\"examples\": 800, \"loss\": 0.'$$'}'")
        .expect("the script is written");
    std::fs::rename(trial.join("result.json"), trial.join("kept")).expect("it can be moved");
    let child = place.start(&["trial", id, "--out", "root"]);
    wait_until("the attempt has begun", LATER, || logs(trial) == 3);
    std::fs::rename(trial.join("kept"), trial.join("result.json")).expect("it can be moved back");
    let output = wait(child, LATER);
    assert!(String::from_utf8_lossy(&output.stdout).contains("a different one, which stays"));
    let names: Vec<String> = std::fs::read_dir(trial)
        .expect("a folder")
        .flatten()
        .filter_map(|e| e.file_name().into_string().ok())
        .collect();
    std::fs::read(trial.join("result.json")).expect("a result") == first
        && names.iter().any(|name| name.starts_with("differs-"))
}

fn logs(trial: &Path) -> usize {
    let entries = std::fs::read_dir(trial).expect("a folder").flatten();
    entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("log-")).count()
}

#[test]
fn a_trainer_is_checked_before_a_sweep() {
    let place = Place::new();
    let exe = program().display().to_string();
    let ran = place.run(&[
        "check",
        "trainer",
        "--batch",
        "16",
        "--",
        &exe,
        "simulate",
        "--batch",
        "{batch}",
        "--lr",
        "{lr}",
        "--examples",
        "{examples}",
    ]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    assert!(
        ran.stdout.contains("A sweep can use this trainer") && ran.stdout.contains("the same result twice")
    );
    let ran = place.run(&["check", "trainer", "--", "echo", "hello"]);
    assert_eq!(ran.status, Some(3), "{}", ran.stdout);
    assert!(ran.stderr.contains("a sweep cannot use this trainer"), "{}", ran.stderr);
}
