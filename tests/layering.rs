//! Who may import whom: `cargo metadata` and the manifests, held against the rules of the design.

use serde_json::Value;
use std::process::Command;
use tests::json::{list, text};
use tests::root;

/// What each of our packages may depend on, among our packages. `batchwise` is the front that shows every layer;
/// `benches` and `tests` may reach every library. Nothing else: no arrow points up.
const ALLOWED: [(&str, &[&str]); 10] = [
    ("batchwise-estimate", &[]),
    ("batchwise-schedule", &[]),
    ("batchwise-data", &[]),
    ("batchwise-nn", &[]),
    ("batchwise-train", &["batchwise-data", "batchwise-nn", "batchwise-schedule", "batchwise-estimate"]),
    (
        "batchwise-lab",
        &["batchwise-train", "batchwise-data", "batchwise-nn", "batchwise-schedule", "batchwise-estimate"],
    ),
    ("batchwise", LIBRARIES),
    ("benches", LIBRARIES),
    ("tests", LIBRARIES),
    ("xtask", &[]),
];
const LIBRARIES: &[&str] = &[
    "batchwise-lab",
    "batchwise-train",
    "batchwise-data",
    "batchwise-nn",
    "batchwise-schedule",
    "batchwise-estimate",
];

fn cargo(arguments: &[&str]) -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo).current_dir(root()).args(arguments).output().expect("cargo starts");
    assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn packages() -> Vec<Value> {
    let metadata = cargo(&["metadata", "--format-version", "1", "--no-deps"]);
    list(&tests::json::parse("cargo metadata", &metadata), "/packages").to_vec()
}

fn manifest(package: &Value) -> String {
    let path = text(package, "/manifest_path");
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The lines of one section of a manifest, without spaces.
fn section(manifest: &str, name: &str) -> Vec<String> {
    let header = format!("[{name}]");
    let lines = manifest.lines().skip_while(|line| line.trim() != header).skip(1);
    lines.take_while(|line| !line.starts_with('[')).map(|line| line.replace(' ', "")).collect()
}

/// Names of a package and all it is built from on this machine, whatever its features.
fn tree(package: &str) -> Vec<String> {
    let text =
        cargo(&["tree", "--package", package, "--edges", "normal", "--prefix", "none", "--all-features"]);
    text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[test]
fn our_packages_are_those_of_the_design() {
    let mut found: Vec<String> = packages().iter().map(|package| text(package, "/name").to_owned()).collect();
    let mut wanted: Vec<String> = ALLOWED.iter().map(|(name, _)| (*name).to_owned()).collect();
    found.sort();
    wanted.sort();
    assert_eq!(found, wanted, "a package came or went: change the design, then this list");
}

#[test]
fn no_dependency_points_up() {
    let packages = packages();
    let mut wrong = Vec::new();
    for package in &packages {
        let name = text(package, "/name");
        let allowed =
            ALLOWED.iter().find(|(other, _)| *other == name).map_or(&[][..], |(_, allowed)| allowed);
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let to = text(dependency, "/name");
            // A package's tests may name itself, with features.
            let is_own = to == name && text(dependency, "/kind") == "dev";
            if ALLOWED.iter().any(|(other, _)| *other == to) && !allowed.contains(&to) && !is_own {
                wrong.push(format!("{name} -> {to}"));
            }
        }
    }
    assert!(wrong.is_empty(), "these imports break the layers: {}", wrong.join(", "));
}

#[test]
fn the_light_crates_are_free_of_candle() {
    for package in ["batchwise-estimate", "batchwise-schedule", "xtask"] {
        let tree = tree(package);
        assert_eq!(tree.first().map(String::as_str), Some(package), "cargo tree answers for {package}");
        let candle: Vec<&String> = tree.iter().filter(|name| name.starts_with("candle")).collect();
        assert!(candle.is_empty(), "{package} is built from {candle:?}");
    }
    // The same question must find candle where it is.
    assert!(tree("batchwise-nn").iter().any(|name| name == "candle-core"));
}

#[test]
fn xtask_is_built_from_nothing_else() {
    assert_eq!(tree("xtask"), ["xtask"], "`cargo xtask` must start within seconds of a cold clone");
}

#[test]
fn every_package_follows_the_house_rules() {
    for package in packages() {
        let (name, manifest) = (text(&package, "/name"), manifest(&package));
        assert_eq!(text(&package, "/edition"), "2024", "{name}");
        assert_eq!(section(&manifest, "lints").first().map(String::as_str), Some("workspace=true"), "{name}");
        for target in list(&package, "/targets") {
            if !list(target, "/kind").iter().any(|kind| kind == "lib") {
                continue;
            }
            // Else `cargo bench -- --save-baseline x` fails in the default harness.
            let lib = section(&manifest, "lib");
            assert!(lib.iter().any(|line| line == "bench=false"), "{name}: [lib] lacks bench = false");
            if !name.starts_with("batchwise") {
                continue;
            }
            let source = std::fs::read_to_string(text(target, "/src_path")).expect("the library is there");
            assert!(source.contains("\n#![warn(missing_docs"), "{name}: lib.rs lacks the warning");
        }
    }
}

#[test]
fn every_dependency_comes_from_the_one_list() {
    for package in packages() {
        let manifest = manifest(&package);
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for line in section(&manifest, kind).iter().filter(|line| !line.is_empty()) {
                let is_shared = line.ends_with(".workspace=true") || line.contains("workspace=true");
                assert!(is_shared || line.starts_with('#'), "{}: `{line}`", text(&package, "/name"));
            }
        }
    }
}

#[test]
fn the_workspace_is_of_its_time() {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).expect("the manifest is there");
    assert!(section(&manifest, "workspace").contains(&"resolver=\"3\"".to_owned()), "resolver 3");
    assert!(section(&manifest, "workspace.package").contains(&"edition=\"2024\"".to_owned()), "edition 2024");
    assert!(root().join("Cargo.lock").exists(), "the lock file is committed");
}
