//! One change of batch size: published values, laws, and what is refused.

use batchwise_schedule::change::{
    Change, Evidence, Framework, HyperParameters, Noise, Optimizer, Period, RuleChoice, Value, change, paste,
};
use batchwise_schedule::{Length, Scaling};
use proptest::prelude::*;

fn full() -> HyperParameters {
    HyperParameters {
        learning_rate: Some(3e-4),
        momentum: None,
        beta1: Some(0.9),
        beta2: Some(0.999),
        epsilon: Some(1e-8),
        weight_decay: Some(0.1),
        ema_decay: Some(0.9999),
        warmup: Some(Period::Length(Length::Examples(10_000))),
        total: Some(Period::Steps(5000)),
        evaluate_every: Some(Period::Steps(100)),
        checkpoint_every: Some(Period::Length(Length::Epochs(1.0))),
        clip_norm: Some(1.0),
        micro_batch: Some(96),
    }
}

fn noise(phi: f64) -> Evidence {
    Evidence { noise: Some(Noise::Measured { phi }), ..Evidence::default() }
}

fn with(rule: Scaling) -> Evidence {
    Evidence { rule: RuleChoice::Use(rule), ..Evidence::default() }
}

fn new(c: &Change, name: &str) -> f64 {
    match c.changes.iter().find(|d| d.name == name).map(|d| d.new.clone()) {
        Some(Value::Number(value)) => value,
        other => panic!("{name}: {other:?}"),
    }
}

fn close(a: f64, b: f64) -> bool {
    (a / b - 1.0).abs() < 1e-12
}

#[test]
fn adamw_follows_the_square_root_and_its_half_lives() {
    let c = change(256, 4096, Optimizer::AdamW, &full(), &Evidence::default()).unwrap();
    assert_eq!((c.kappa, c.rule, c.refused.len()), (16.0, Some(Scaling::SquareRoot), 0));
    assert!(close(new(&c, "lr"), 3e-4 * 4.0) && close(new(&c, "beta2"), 0.999f64.powi(16)));
    assert!(close(new(&c, "eps"), 1e-8 / 4.0) && close(new(&c, "ema_decay"), 0.9999f64.powi(16)));
    // λ·κ·η/η′ = 0.1·16/4: the timescale B/(ηλ) stays.
    assert!(close(new(&c, "weight_decay"), 0.4));
    assert!(close(256.0 / (3e-4 * 0.1), 4096.0 / (new(&c, "lr") * new(&c, "weight_decay"))));
    assert_eq!(new(&c, "beta1"), 0.9);
    assert_eq!(c.settings.total, Some(Period::Steps(313)));
    assert_eq!(c.settings.evaluate_every, Some(Period::Steps(7)));
    assert_eq!(c.settings.warmup, full().warmup);
    assert_eq!(c.settings.checkpoint_every, full().checkpoint_every);
    assert_eq!(new(&c, "accumulation_steps"), 43.0);
    assert_eq!(c.sweep.len(), 5);
    let names: Vec<&str> = c.changes.iter().map(|d| d.name.as_str()).collect();
    let all = [
        "lr",
        "beta1",
        "beta2",
        "eps",
        "weight_decay",
        "ema_decay",
        "warmup",
        "total",
        "evaluate_every",
        "checkpoint_every",
        "clip_norm",
        "accumulation_steps",
    ];
    assert_eq!(names, all);
    assert!(c.changes.iter().all(|d| !d.rule.is_empty() && !d.source.is_empty()));
    // With the noise scale: 4·√((1500 + 256)/(1500 + 4096)).
    let c = change(256, 4096, Optimizer::AdamW, &full(), &noise(1500.0)).unwrap();
    assert!(close(new(&c, "lr"), 3e-4 * 4.0 * (1756.0f64 / 5596.0).sqrt()));
}

#[test]
fn published_values_come_out() {
    let sgd = |rate| HyperParameters { learning_rate: Some(rate), momentum: Some(0.9), ..Default::default() };
    // Goyal et al. 2017: 0.1·kn/256; an 8k batch has 3.2.
    let c = change(256, 8192, Optimizer::Sgd, &sgd(0.1), &with(Scaling::Linear)).unwrap();
    assert!(close(new(&c, "lr"), 3.2) && new(&c, "momentum") == 0.9);
    let warmup = c.refused.iter().find(|r| r.name == "warmup").expect("none is given");
    assert!(warmup.reason.contains("Goyal et al. 2017 use 5 epochs"));
    // AdaScale, theory.md §4.3: φ = 8, b₀ = 1, S = 4 gives r = 3.
    assert!(close(new(&change(1, 4, Optimizer::Sgd, &sgd(1.0), &noise(8.0)).unwrap(), "lr"), 3.0));
    // Marek et al. 2025: β₂ = 0.95 at 512 is 0.9999 at 1.
    let adam = HyperParameters { beta2: Some(0.95), ..Default::default() };
    assert!(
        (new(&change(512, 1, Optimizer::Adam, &adam, &Evidence::default()).unwrap(), "beta2") - 0.9999).abs()
            < 1e-6
    );
    // Malladi et al. 2022: κ = 8 takes β₁ = 0.9 to 0.2 in first order; κ = 10 has no β₁.
    let adam = HyperParameters { beta1: Some(0.9), ..Default::default() };
    let malladi = Evidence { first_order: true, momentum_follows: true, ..Evidence::default() };
    assert!((new(&change(32, 256, Optimizer::Adam, &adam, &malladi).unwrap(), "beta1") - 0.2).abs() < 1e-12);
    let c = change(32, 320, Optimizer::Adam, &adam, &malladi).unwrap();
    assert!(c.refused.iter().any(|r| r.name == "beta1" && r.reason.contains("κ(1 − β)")), "{:?}", c.refused);
    assert_eq!(c.settings.beta1, Some(0.9));
}

#[test]
fn without_evidence_sgd_takes_the_cautious_side() {
    let sgd = HyperParameters { learning_rate: Some(0.1), ..Default::default() };
    let rule = |from, to, evidence: &Evidence| change(from, to, Optimizer::Sgd, &sgd, evidence).unwrap().rule;
    assert_eq!(rule(64, 256, &Evidence::default()), Some(Scaling::SquareRoot));
    assert_eq!(rule(256, 64, &Evidence::default()), Some(Scaling::Linear));
    let bound = Evidence { noise: Some(Noise::LowerBound { low: 500.0 }), ..Evidence::default() };
    assert_eq!(rule(64, 256, &bound), Some(Scaling::NoiseScale { phi: 500.0 }));
    assert_eq!(rule(256, 64, &bound), Some(Scaling::Linear));
    for optimizer in [Optimizer::Lars, Optimizer::Lamb] {
        let c = change(64, 512, optimizer, &sgd, &noise(1e6)).unwrap();
        assert!(c.changes[0].caveat.contains("follows the weights") && c.changes[0].settle.contains("sweep"));
    }
}

#[test]
fn what_lies_outside_a_domain_is_refused() {
    let refused = |from, to, optimizer, evidence: &Evidence| {
        let c = change(from, to, optimizer, &full(), evidence).unwrap();
        assert_eq!((c.rule, c.settings.learning_rate), (None, Some(3e-4)));
        // What follows the learning rate cannot be carried over either.
        assert!(c.refused.iter().any(|r| r.name == "weight_decay"));
        c.refused.iter().find(|r| r.name == "lr").expect("the rule does not hold").reason.clone()
    };
    let small = Evidence { dataset_size: Some(10_000), ..Evidence::default() };
    assert!(
        refused(64, 1024, Optimizer::AdamW, &small)
            .contains("more than a tenth of the 10000 training examples")
    );
    let linear = Evidence { rule: RuleChoice::Use(Scaling::Linear), ..noise(500.0) };
    assert!(refused(64, 1024, Optimizer::Sgd, &linear).contains("1024 is above φ = 500"));
    let root = Evidence { rule: RuleChoice::Use(Scaling::SquareRoot), ..noise(500.0) };
    assert!(refused(64, 1024, Optimizer::AdamW, &root).contains("while noise dominates"));
    let exponent = with(Scaling::Power { exponent: 9.0 });
    assert!(refused(64, 128, Optimizer::AdamW, &exponent).contains("the exponent is 9"));
    // Smaller batches are allowed whatever the data set.
    assert!(change(4096, 64, Optimizer::AdamW, &full(), &small).unwrap().rule.is_some());
}

#[test]
fn bad_input_is_named() {
    let bad = |settings: HyperParameters, evidence: Evidence| {
        change(1, 2, Optimizer::Sgd, &settings, &evidence).unwrap_err().to_string()
    };
    let none = HyperParameters::default;
    assert!(
        bad(HyperParameters { learning_rate: Some(-1.0), ..none() }, Evidence::default())
            .starts_with("the learning rate is -1")
    );
    assert!(bad(HyperParameters { beta2: Some(1.0), ..none() }, Evidence::default()).starts_with("β₂ is 1"));
    assert!(
        bad(HyperParameters { weight_decay: Some(f64::NAN), ..none() }, Evidence::default())
            .starts_with("the weight decay is NaN")
    );
    assert!(
        bad(HyperParameters { micro_batch: Some(0), ..none() }, Evidence::default())
            .starts_with("the micro-batch is 0")
    );
    assert!(bad(none(), noise(0.0)).starts_with("the noise scale is 0"));
    assert!(
        bad(none(), Evidence { dataset_size: Some(0), ..Evidence::default() })
            .starts_with("the size of the training set")
    );
    assert!(
        change(0, 2, Optimizer::Sgd, &none(), &Evidence::default())
            .unwrap_err()
            .to_string()
            .contains("at least 1")
    );
    assert!("adamax".parse::<Optimizer>().unwrap_err().contains("sgd, adam, adamw"));
    assert_eq!("500 steps".parse::<Period>(), Ok(Period::Steps(500)));
    assert_eq!("5ksteps".parse::<Period>(), Ok(Period::Steps(5000)));
    assert!("500".parse::<Period>().unwrap_err().allowed.contains("500 steps"));
}

#[test]
fn what_an_optimizer_does_not_have_is_refused_and_not_pasted() {
    let c = change(64, 128, Optimizer::Sgd, &full(), &Evidence::default()).unwrap();
    let names: Vec<&str> = c.refused.iter().map(|r| r.name.as_str()).collect();
    assert_eq!(names, ["beta1", "beta2", "eps"]);
    let torch = paste(&c, Framework::PyTorch);
    assert!(torch.contains("torch.optim.SGD(model.parameters(), lr=0.000424, weight_decay="), "{torch}");
    let lars = change(64, 128, Optimizer::Lars, &full(), &Evidence::default()).unwrap();
    assert!(paste(&lars, Framework::PyTorch).contains("# LARS is not part of PyTorch"));
    // A rate that no rule carried is not rounded.
    let kept = HyperParameters { learning_rate: Some(0.12345), ..Default::default() };
    let kept = change(64, 128, Optimizer::Sgd, &kept, &with(Scaling::Keep)).unwrap();
    assert!(paste(&kept, Framework::Toml).contains("lr = 0.12345"));
}

#[test]
fn nothing_changes_where_the_batch_does_not() {
    let c = change(256, 256, Optimizer::AdamW, &full(), &noise(1500.0)).unwrap();
    assert_eq!((c.settings, c.refused.len(), c.sweep), (full(), 0, vec![3e-4]));
}

#[test]
fn settings_to_paste_hold_the_new_values() {
    let settings = HyperParameters { learning_rate: Some(1e-3), ..full() };
    let c = change(256, 1024, Optimizer::AdamW, &settings, &noise(1500.0)).unwrap();
    let torch = paste(&c, Framework::PyTorch);
    // 2e-3·√(1756/2524) = 1.6682e-3, rounded down.
    assert!(
        torch.contains("torch.optim.AdamW(model.parameters(), lr=0.00166, betas=(0.9, 0.996006), eps=5e-9"),
        "{torch}"
    );
    assert!(
        torch.contains("warmup_steps = 10  # 10000 examples") && torch.contains("accumulation_steps = 11")
    );
    let optax = paste(&c, Framework::Optax);
    assert!(
        optax.contains(
            "optax.chain(optax.clip_by_global_norm(1), optax.adamw(learning_rate=0.00166, b1=0.9, b2=0.996006"
        ),
        "{optax}"
    );
    let candle = paste(&c, Framework::Candle);
    assert!(candle.contains("OptimizerConfig::AdamW(AdamWConfig { beta1: 0.9, beta2: 0.996006,"), "{candle}");
    let toml = paste(&c, Framework::Toml);
    assert!(
        toml.contains("batch = 1024")
            && toml.contains("lr = 0.00166")
            && toml.contains("total = \"1250 steps\""),
        "{toml}"
    );
    let refused = change(
        64,
        128,
        Optimizer::AdamW,
        &settings,
        &Evidence { dataset_size: Some(500), ..Evidence::default() },
    )
    .unwrap();
    assert!(
        paste(&refused, Framework::Toml).contains("# lr is not changed: a batch of 128 is more than a tenth")
    );
}

fn rules() -> impl Strategy<Value = Scaling> {
    prop_oneof![
        Just(Scaling::Linear),
        Just(Scaling::SquareRoot),
        Just(Scaling::Keep),
        (0.0f64..1.0).prop_map(|exponent| Scaling::Power { exponent }),
        (1.0f64..1e5).prop_map(|phi| Scaling::NoiseScale { phi }),
        (1.0f64..1e5).prop_map(|phi| Scaling::RootNoiseScale { phi }),
        (1.0f64..1e5).prop_map(|peak_batch| Scaling::Surge { peak_batch }),
    ]
}

fn agree(a: &HyperParameters, b: &HyperParameters) -> bool {
    let near = |a: Option<f64>, b: Option<f64>| match (a, b) {
        (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * a.abs().max(1e-12),
        (None, None) => true,
        _ => false,
    };
    // A decay near 0 is known to fewer digits after it went through a power.
    let decay = |a: Option<f64>, b: Option<f64>| a.zip(b).is_none_or(|(a, b)| (a - b).abs() < 1e-6);
    near(a.learning_rate, b.learning_rate)
        && near(a.weight_decay, b.weight_decay)
        && near(a.epsilon, b.epsilon)
        && decay(a.beta2, b.beta2)
        && decay(a.ema_decay, b.ema_decay)
        && a.beta1 == b.beta1
        && a.warmup == b.warmup
}

fn optimizers() -> impl Strategy<Value = Optimizer> {
    (0usize..7).prop_map(|i| Optimizer::ALL[i])
}

proptest! {
    /// Where every difference is exact, B₁ → B₂ → B₃ is B₁ → B₃, and there and back is no change.
    #[test]
    fn exact_changes_compose_and_go_back(a in 1u64..20_000, b in 1u64..20_000, c in 1u64..20_000, rule in rules(), optimizer in optimizers()) {
        let start = HyperParameters { total: None, evaluate_every: None, micro_batch: None, ..full() };
        // What the optimizer does not have is left out.
        let start = change(a, a, optimizer, &start, &Evidence::default()).unwrap().settings;
        // A decay whose power is too small keeps no digits to go back from.
        prop_assume!([a, b, c].iter().all(|x| [a, b, c].iter().all(|y| *x <= y.saturating_mul(500))));
        let step = |from, to, s: &HyperParameters| change(from, to, optimizer, s, &with(rule)).unwrap();
        let first = step(a, b, &start);
        let second = step(b, c, &first.settings);
        let direct = step(a, c, &start);
        prop_assert!(first.changes.iter().chain(&second.changes).all(|d| d.exact));
        prop_assert!(agree(&second.settings, &direct.settings), "{:?} {:?}", second.settings, direct.settings);
        prop_assert!(agree(&step(b, a, &first.settings).settings, &start));
    }

    /// What is not exact says so: steps that do not divide, decays to first order.
    #[test]
    fn what_is_not_exact_says_so(from in 1u64..1000, to in 1u64..1000, steps in 1u64..100_000) {
        let settings = HyperParameters { total: Some(Period::Steps(steps)), beta2: Some(0.999), ..Default::default() };
        let c = change(from, to, Optimizer::Adam, &settings, &Evidence { first_order: true, ..Evidence::default() }).unwrap();
        let total = c.changes.iter().find(|d| d.name == "total").unwrap();
        prop_assert_eq!(total.exact, (steps * from).is_multiple_of(to));
        let Some(Period::Steps(after)) = c.settings.total else { panic!("steps stay steps") };
        // No example is lost, and less than a batch is gained.
        prop_assert!(steps * from <= after * to && after * to < steps * from + to);
        prop_assert!(c.changes.iter().filter(|d| d.name == "beta2").all(|d| !d.exact));
    }

    /// Whatever comes in, what comes out is finite, and JSON holds it.
    #[test]
    fn nothing_leaves_the_numbers(
        from in 1u64..=u64::MAX, to in 1u64..=u64::MAX, lr in 1e-300f64..1e300, beta in 0.0f64..1.0, rule in rules(), optimizer in optimizers(),
        wd in 0.0f64..1e300, micro in 1u64..=u64::MAX, steps in any::<u64>(), phi in 1e-300f64..1e300, n in 1u64..=u64::MAX, auto in any::<bool>(),
    ) {
        let settings = HyperParameters {
            learning_rate: Some(lr), beta1: Some(beta), beta2: Some(beta), ema_decay: Some(beta), weight_decay: Some(wd), micro_batch: Some(micro),
            total: Some(Period::Steps(steps)), epsilon: Some(wd), ..full()
        };
        let evidence = Evidence {
            noise: Some(Noise::Measured { phi }), dataset_size: Some(n), rule: if auto { RuleChoice::Auto } else { RuleChoice::Use(rule) },
            first_order: auto, momentum_follows: true,
        };
        let c = change(from, to, optimizer, &settings, &evidence).unwrap();
        for d in &c.changes {
            if let Value::Number(v) = d.new { prop_assert!(v.is_finite() && 0.0 <= v, "{:?}", d); }
        }
        prop_assert!(c.sweep.iter().all(|v| v.is_finite()));
        for framework in [Framework::PyTorch, Framework::Optax, Framework::Candle, Framework::Toml] {
            prop_assert!(!paste(&c, framework).contains("NaN") && !paste(&c, framework).contains("inf "));
        }
        let json = serde_json::to_string(&c).expect("numbers and words");
        prop_assert_eq!(serde_json::from_str::<Change>(&json).expect("reads back"), c);
    }
}
