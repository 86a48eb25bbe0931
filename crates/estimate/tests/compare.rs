//! Non-inferiority: golden numbers, size at the margin, power, and what is never claimed.

mod common;

use batchwise_estimate::compare::*;
use common::Source;
use proptest::prelude::*;

fn pairs(harm: impl IntoIterator<Item = f64>) -> Vec<Pair> {
    harm.into_iter().map(|h| Pair { candidate: 1.0 + h, reference: 1.0 }).collect()
}

fn options() -> Options {
    Options::default()
}

/// Share of `reps` simulated comparisons of `n` pairs called non-inferior, margin 1.
fn claimed(n: usize, reps: usize, seed: u64, mut harm: impl FnMut(&mut Source) -> f64) -> f64 {
    let mut source = Source::new(seed);
    let hits = (0..reps)
        .filter(|_| {
            let p = pairs((0..n).map(|_| harm(&mut source)));
            non_inferiority(&p, 1.0, &options()).expect("valid input").verdict == Verdict::NonInferior
        })
        .count();
    hits as f64 / reps as f64
}

#[test]
fn the_size_at_the_margin_is_five_percent() {
    for (n, seed) in [(2, 1), (3, 2), (5, 3), (20, 4)] {
        let size = claimed(n, 8_000, seed, |s| 1.0 + 0.7 * s.normal());
        assert!((0.045..=0.055).contains(&size), "{n}: {size}");
    }
}

#[test]
fn the_size_with_a_long_tail_is_what_the_page_says() {
    let towards = claimed(5, 8_000, 7, |s| -s.uniform().ln());
    let away = claimed(5, 8_000, 8, |s| 2.0 + s.uniform().ln());
    assert!((away - 0.01).abs() < 0.005 && (towards - 0.16).abs() < 0.015, "{away} {towards}");
}

#[test]
fn welch_keeps_its_size_with_unequal_spreads_and_counts() {
    for (n, m, sd, seed) in [(5, 5, 1.0, 11), (4, 12, 3.0, 12), (12, 4, 0.3, 13)] {
        let mut source = Source::new(seed);
        let reps = 8_000;
        let hits = (0..reps)
            .filter(|_| {
                let a: Vec<f64> = (0..n).map(|_| 1.0 + sd * source.normal()).collect();
                let b: Vec<f64> = (0..m).map(|_| source.normal()).collect();
                non_inferiority_unpaired(&a, &b, 1.0, &options()).unwrap().verdict == Verdict::NonInferior
            })
            .count();
        let size = hits as f64 / reps as f64;
        assert!((0.04..=0.057).contains(&size), "{n} {m} {sd}: {size}");
    }
}

#[test]
fn the_power_is_the_one_foretold() {
    for (n, sd, harm, seed) in [(4, 0.6, 0.0, 21), (8, 1.0, 0.0, 22), (8, 0.5, 0.5, 23), (2, 0.2, 0.0, 24)] {
        let foretold = power(Design::Paired, n, sd, 1.0, harm, 0.05).unwrap();
        let found = claimed(n as usize, 8_000, seed, |s| harm + sd * s.normal());
        assert!((foretold - found).abs() < 0.012, "{n} {sd}: {foretold} {found}");
    }
    // At the margin itself the power is the size.
    let size = power(Design::Paired, 6, 1.0, 1.0 + 1e-12, 1.0, 0.05).unwrap();
    assert!((size - 0.05).abs() < 1e-6, "{size}");
}

#[test]
fn seeds_match_the_golden_value_and_the_t_distribution_asks_for_more() {
    assert_eq!(normal_seeds(Design::Unpaired, 0.1, 0.2, 0.0, 0.05, 0.8), Some(4));
    assert_eq!(normal_seeds(Design::Paired, 0.1, 0.2, 0.0, 0.05, 0.8), Some(2));
    // By the t distribution the golden 4 is just enough (power 0.8015), the paired 2 is not.
    assert_eq!(seeds_needed(Design::Unpaired, 0.1, 0.2, 0.0, 0.05, 0.8), Some(4));
    assert_eq!(seeds_needed(Design::Paired, 0.1, 0.2, 0.0, 0.05, 0.8), Some(4));
    for (design, sd) in
        [(Design::Paired, 0.1), (Design::Paired, 0.3), (Design::Unpaired, 0.1), (Design::Unpaired, 1.0)]
    {
        let n = seeds_needed(design, sd, 0.2, 0.0, 0.05, 0.8).unwrap();
        let at = |n| power(design, n, sd, 0.2, 0.0, 0.05).unwrap();
        assert!(at(n) >= 0.8 && at(n - 1) < 0.8, "{design:?} {sd} {n}");
    }
    // Doubling the spread takes about four times the seeds.
    let (n, four) = (
        seeds_needed(Design::Paired, 1.0, 0.2, 0.0, 0.05, 0.8).unwrap(),
        seeds_needed(Design::Paired, 2.0, 0.2, 0.0, 0.05, 0.8).unwrap(),
    );
    assert!((four as f64 / n as f64 - 4.0).abs() < 0.1);
    for bad in [
        (f64::NAN, 0.2, 0.0),
        (1.0, 0.2, 0.3),
        (f64::MAX, 0.2, 0.0),
        (1.0, f64::INFINITY, 0.0),
        (-1.0, 1.0, 0.0),
    ] {
        assert_eq!(seeds_needed(Design::Paired, bad.0, bad.1, bad.2, 0.05, 0.8), None, "{bad:?}");
    }
}

#[test]
fn no_difference_seen_is_not_equality() {
    // The mean difference is 0 and its p-value against "no difference" is 1; with this spread nothing is shown.
    let r = non_inferiority(&pairs([0.3, -0.3, 0.2, -0.2]), 0.1, &options()).unwrap();
    let Verdict::Inconclusive { seeds_needed: Some(n) } = r.verdict else { panic!("{r:?}") };
    assert!(n > 4 && r.equivalence() == Equivalence::Inconclusive);
    assert!(r.warnings.contains(&Warning::FewSeeds));
    // More of the same runs settle it.
    let many = pairs([0.3, -0.3, 0.2, -0.2].into_iter().cycle().take(120));
    let r = non_inferiority(&many, 0.1, &options()).unwrap();
    assert_eq!((r.verdict.clone(), r.equivalence()), (Verdict::NonInferior, Equivalence::Equivalent));
}

#[test]
fn the_interval_is_students_by_hand() {
    // Harm 1, 2, 3, 4, 5: mean 3, SE √(2.5/5) = 0.70711, t_{.95,4} = 2.131847.
    let r = non_inferiority(&pairs([1.0, 2.0, 3.0, 4.0, 5.0]), 5.0, &options()).unwrap();
    let reach = 2.131_846_786 * 0.5_f64.sqrt();
    assert!((r.low.unwrap() - 3.0 + reach).abs() < 1e-7 && (r.high.unwrap() - 3.0 - reach).abs() < 1e-7);
    assert_eq!(r.verdict, Verdict::NonInferior);
    assert_eq!(r.warnings, [Warning::WorseWithinMargin]);
    assert_eq!(
        non_inferiority(&pairs([1.0, 2.0, 3.0, 4.0, 5.0]), 1.4, &options()).unwrap().verdict,
        Verdict::Inferior
    );
    // At the bound itself the p-value is α.
    let at = non_inferiority(&pairs([1.0, 2.0, 3.0, 4.0, 5.0]), 3.0 + reach, &options()).unwrap();
    assert!((at.p_value.unwrap() - 0.05).abs() < 1e-8);
}

#[test]
fn accuracy_turns_the_sign() {
    let p: Vec<Pair> = [0.90, 0.91, 0.92, 0.905, 0.915]
        .iter()
        .zip([0.95, 0.97, 0.96, 0.955, 0.975])
        .map(|(&candidate, reference)| Pair { candidate, reference })
        .collect();
    let higher = Options { direction: Direction::HigherIsBetter, budget: Budget::Epochs, ..options() };
    let r = non_inferiority(&p, 0.01, &higher).unwrap();
    assert_eq!((r.verdict, r.budget), (Verdict::Inferior, Budget::Epochs));
    assert_eq!(non_inferiority(&p, 0.01, &options()).unwrap().verdict, Verdict::NonInferior);
}

#[test]
fn one_seed_says_nothing_and_says_so() {
    let r = non_inferiority(&pairs([0.0]), 0.2, &options()).unwrap();
    assert!(matches!(r.verdict, Verdict::NotIdentified { seeds_needed: None, .. }));
    let planned = Options { planned_sd: Some(0.2), ..options() };
    let r = non_inferiority(&pairs([0.0]), 0.2, &planned).unwrap();
    let Verdict::NotIdentified { seeds_needed: Some(n), .. } = r.verdict else { panic!() };
    assert_eq!(Some(n), seeds_needed(Design::Paired, 0.2, 0.2, 0.0, 0.05, 0.8));
    for same in [vec![], vec![0.0; 5]] {
        let r = non_inferiority(&pairs(same), 0.2, &options()).unwrap();
        assert!(
            matches!(r.verdict, Verdict::NotIdentified { .. })
                && r.equivalence() == Equivalence::NotIdentified
        );
    }
    assert!(matches!(
        non_inferiority_unpaired(&[1.0], &[1.0, 2.0], 0.2, &options()).unwrap().verdict,
        Verdict::NotIdentified { .. }
    ));
}

#[test]
fn pairing_removes_what_a_seed_does_to_both() {
    let mut source = Source::new(31);
    let p: Vec<Pair> = (0..6)
        .map(|_| {
            let seed = source.normal();
            Pair { candidate: seed + 0.02 * source.normal(), reference: seed + 0.02 * source.normal() }
        })
        .collect();
    let (a, b): (Vec<f64>, Vec<f64>) = p.iter().map(|p| (p.candidate, p.reference)).unzip();
    assert_eq!(non_inferiority(&p, 0.1, &options()).unwrap().verdict, Verdict::NonInferior);
    let unpaired = non_inferiority_unpaired(&a, &b, 0.1, &options()).unwrap();
    assert!(
        matches!(unpaired.verdict, Verdict::Inconclusive { seeds_needed: Some(n) } if n > 100),
        "{unpaired:?}"
    );
}

#[test]
fn holm_keeps_any_wrong_claim_below_five_percent() {
    let mut source = Source::new(41);
    let (reps, mut any, mut naive) = (4000, 0, 0);
    for _ in 0..reps {
        let candidates: Vec<Vec<Pair>> =
            (0..4).map(|_| pairs((0..5).map(|_| 1.0 + 0.5 * source.normal()))).collect();
        let claims = |all: &[Comparison]| all.iter().any(|c| c.verdict == Verdict::NonInferior);
        any += usize::from(claims(&against_reference(&candidates, 1.0, &options()).unwrap()));
        let alone: Vec<Comparison> =
            candidates.iter().map(|p| non_inferiority(p, 1.0, &options()).unwrap()).collect();
        naive += usize::from(claims(&alone));
    }
    let (any, naive) = (any as f64 / reps as f64, naive as f64 / reps as f64);
    assert!(any <= 0.055 && naive > 0.15, "{any} {naive}");
}

#[test]
fn errors_name_what_was_found() {
    let bad = non_inferiority(&[Pair { candidate: f64::NAN, reference: 0.0 }], 0.1, &options()).unwrap_err();
    assert!(bad.to_string().starts_with("result 0 of the candidate is NaN"), "{bad}");
    assert!(matches!(non_inferiority(&[], 0.0, &options()), Err(CompareError::Margin(_))));
    let o = Options { alpha: 0.7, ..options() };
    assert!(matches!(non_inferiority(&[], 0.1, &o), Err(CompareError::Option { name: "alpha", .. })));
    assert!(matches!(pair_by_seed(&[(1, 0.0)], &[(2, 0.0)]), Err(CompareError::Unpaired { seed: 2, .. })));
    assert!(matches!(pair_by_seed(&[(1, 0.0), (1, 0.1)], &[]), Err(CompareError::Twice { seed: 1, .. })));
    let joined = pair_by_seed(&[(2, 0.5), (1, 0.25)], &[(1, 0.0), (2, 1.0)]).unwrap();
    assert_eq!(joined, [Pair { candidate: 0.25, reference: 0.0 }, Pair { candidate: 0.5, reference: 1.0 }]);
}

proptest! {
    #[test]
    fn nothing_in_a_result_is_infinite(
        a in prop::collection::vec(any::<f64>(), 0..6),
        b in prop::collection::vec(any::<f64>(), 0..6),
        margin in any::<f64>(),
    ) {
        let p: Vec<Pair> =
            a.iter().zip(&b).map(|(&candidate, &reference)| Pair { candidate, reference }).collect();
        for r in [non_inferiority(&p, margin, &options()), non_inferiority_unpaired(&a, &b, margin, &options())].into_iter().flatten() {
            for v in [r.difference, r.se, r.degrees_of_freedom, r.low, r.high, r.p_value].into_iter().flatten() {
                prop_assert!(v.is_finite(), "{r:?}");
            }
        }
    }

    #[test]
    fn a_wider_margin_never_loses_the_claim(
        harm in prop::collection::vec(-1.0f64..1.0, 2..8), margin in 0.01f64..2.0, more in 0.0f64..2.0
    ) {
        let verdict = |m| non_inferiority(&pairs(harm.clone()), m, &options()).unwrap().verdict;
        prop_assert!(verdict(margin) != Verdict::NonInferior || verdict(margin + more) == Verdict::NonInferior);
        prop_assert!(verdict(margin + more) != Verdict::Inferior || verdict(margin) == Verdict::Inferior);
    }

    #[test]
    fn power_grows_with_seeds(sd in 0.01f64..2.0, n in 2u64..60) {
        let at = |n| power(Design::Unpaired, n, sd, 0.5, 0.0, 0.05).unwrap();
        prop_assert!(at(n + 1) >= at(n) - 1e-9);
    }
}
