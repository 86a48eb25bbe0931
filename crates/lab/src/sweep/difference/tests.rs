//! Sweeps of a known world against each other.

use super::*;
use crate::sweep::answer::world::World;
use crate::sweep::answer::{Reading, answer};

fn answered(change: impl FnOnce(&mut World), name: &str) -> SweepAnswer {
    let mut world = World::usual();
    world.batches = vec![2, 8, 32, 128, 512];
    change(&mut world);
    let (mut file, records) = world.sweep();
    name.clone_into(&mut file.name);
    answer(&file, &records, &Reading::default())
}

#[test]
fn other_seeds_of_the_same_are_no_change() {
    let (a, b) = (answered(|_| (), "a"), answered(|w| w.salt = 99, "b"));
    let found = difference(&a, &b);
    assert_eq!(found.changed, Vec::<String>::new());
    assert_eq!(found.groups[0].b_crit_changed, Some(false));
    assert_eq!(found.plan, Vec::new());
    assert!(summary(&found).starts_with("Nothing changed"), "{found:?}");
    // The same sweep twice has no change either.
    assert!(difference(&a, &a).changed.is_empty());
}

#[test]
fn a_slower_training_is_seen() {
    let a = answered(|w| w.parameter = Some(("slowness", vec![1.0])), "a");
    let b = answered(|w| w.parameter = Some(("slowness", vec![1.5])), "b");
    let found = difference(&a, &b);
    assert_eq!(found.plan.len(), 1, "{:?}", found.plan);
    for batch in &found.groups[0].batches {
        let Change::Ratio { low, high, .. } = batch.examples else { panic!("{batch:?}") };
        assert!(low <= 1.5 && 1.5 <= high && batch.examples.is_beyond_noise() == Some(true), "{batch:?}");
    }
    assert_eq!(found.groups[0].b_crit_changed, Some(false));
    assert!(words(&found).iter().any(|section| section.title == "Examples to the target"));
}

#[test]
fn without_errors_nothing_is_claimed() {
    let (a, b) = (answered(|w| w.seeds = 1, "a"), answered(|w| (w.seeds, w.salt) = (1, 5), "b"));
    let found = difference(&a, &b);
    assert!(found.groups[0].batches.iter().all(|batch| batch.examples.is_beyond_noise().is_none()));
    let other = answered(|w| w.batches = vec![4], "c");
    assert!(summary(&difference(&a, &other)).contains("no batch size in common"));
}

#[test]
fn other_targets_are_not_compared() {
    let (a, b) = (answered(|_| (), "a"), answered(|w| (w.has_target, w.budget) = (false, 1.5), "a"));
    let found = difference(&a, &b);
    assert_eq!(found.names, ["a (first)", "a (second)"]);
    assert!(found.changed.is_empty() && !found.groups[0].same_goal, "{found:?}");
    assert!(found.cannot_tell[0].contains("different targets"), "{:?}", found.cannot_tell);
    assert!(found.plan.iter().any(|fact| fact.0 == "Target"));
}
