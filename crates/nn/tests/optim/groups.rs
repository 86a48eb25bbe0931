//! Parameter groups, and hyper-parameters out of range.

use crate::{ALL, bits, flat, gradients_at, gradients_of, usual};
use batchwise_nn::optim::{
    AdamConfig, AdamWConfig, Groups, LambConfig, LarsConfig, LionConfig, OptimizerConfig, RmsPropConfig,
    Rule, Setting, SgdConfig,
};
use candle_core::DType;
use proptest::prelude::*;

#[test]
fn later_rules_win_in_what_they_speak_of() {
    let parameters = usual(DType::F64);
    let groups = Groups::matrices_only(&parameters)
        .with(Rule::new("head.*").learning_rate(0.5))
        .with(Rule::new("*.bias").learning_rate(2.0).trust_ratio(true));
    let settings = groups.settings(&parameters).unwrap();
    let setting =
        |learning_rate, weight_decay, trust_ratio| Setting { learning_rate, weight_decay, trust_ratio };
    let want = [
        ("head.bias".to_owned(), setting(2.0, false, true)),
        ("head.weight".to_owned(), setting(0.5, true, true)),
        ("norm.scale".to_owned(), setting(1.0, false, false)),
    ];
    assert_eq!(settings, want);
    let settings = Groups::decay_matrices_only(&parameters).settings(&parameters).unwrap();
    let flags: Vec<_> = settings.iter().map(|(_, s)| (s.weight_decay, s.trust_ratio)).collect();
    assert_eq!(flags, [(false, true), (true, true), (false, true)]);
}

#[test]
fn a_rule_that_matches_nothing_or_makes_no_sense_is_named() {
    let parameters = usual(DType::F64);
    for config in ALL {
        for (rule, said) in [
            (Rule::new("head"), "`head` matches no parameter"),
            (Rule::new("*.weights").weight_decay(false), "`*.weights` matches no parameter"),
            (Rule::new("*").learning_rate(f64::NAN), "`*` multiplies the learning rate by NaN"),
            (Rule::new("*").learning_rate(-1.0), "`*` multiplies the learning rate by -1"),
        ] {
            let error = config.build_with(&parameters, &Groups::new().with(rule)).err().unwrap().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}

#[test]
fn a_factor_of_zero_leaves_a_parameter_and_no_decay_leaves_its_norm() {
    for config in ALL {
        let parameters = usual(DType::F64);
        let before = bits(&parameters);
        let groups = Groups::new().with(Rule::new("head.*").learning_rate(0.0));
        let mut optimizer = config.build_with(&parameters, &groups).unwrap();
        optimizer.step(&parameters, &gradients_at(&parameters, 0), 0.1).unwrap();
        let after = bits(&parameters);
        assert_eq!(after["head.bias"], before["head.bias"], "{config}");
        assert_eq!(after["head.weight"], before["head.weight"], "{config}");
        assert_ne!(after["norm.scale"], before["norm.scale"], "{config}");

        // Without a gradient only decay moves a weight.
        let parameters = usual(DType::F64);
        let mut optimizer =
            config.build_with(&parameters, &Groups::decay_matrices_only(&parameters)).unwrap();
        let zero = gradients_of(&parameters, |_, shape| {
            candle_core::Tensor::zeros(shape, DType::F64, &candle_core::Device::Cpu).unwrap()
        });
        optimizer.step(&parameters, &zero, 0.1).unwrap();
        let after = bits(&parameters);
        assert_eq!(after["head.bias"], before["head.bias"], "{config}");
        assert_eq!(after["norm.scale"], before["norm.scale"], "{config}");
        let decays = !config.to_string().ends_with("decay 0");
        assert_eq!(after["head.weight"] != before["head.weight"], decays, "{config}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn groups_that_change_nothing_equal_no_groups(which in 0..ALL.len(), steps in 1..4usize, rate in 0.0..0.5f64) {
        let (with, without) = (usual(DType::F32), usual(DType::F32));
        let rule = Rule::new("*").learning_rate(1.0).weight_decay(true).trust_ratio(true);
        let mut a = ALL[which].build_with(&with, &Groups::new().with(rule)).unwrap();
        let mut b = ALL[which].build(&without).unwrap();
        for t in 0..steps {
            a.step(&with, &gradients_at(&with, t), rate).unwrap();
            b.step(&without, &gradients_at(&without, t), rate).unwrap();
        }
        prop_assert_eq!(bits(&with), bits(&without));
    }

    #[test]
    fn a_factor_equals_another_learning_rate(which in 0..ALL.len(), factor in 0.0..2.0f64) {
        let (with, without) = (usual(DType::F64), usual(DType::F64));
        let groups = Groups::new().with(Rule::new("*").learning_rate(factor));
        let mut a = ALL[which].build_with(&with, &groups).unwrap();
        let mut b = ALL[which].build(&without).unwrap();
        for t in 0..2 {
            a.step(&with, &gradients_at(&with, t), 0.1).unwrap();
            b.step(&without, &gradients_at(&without, t), 0.1 * factor).unwrap();
        }
        prop_assert_eq!(bits(&with), bits(&without));
    }

    #[test]
    fn trust_ratio_steps_do_not_depend_on_the_gradient_s_scale(scale in 1e-3..1e3f64) {
        // With the ratio the length of a step is that of the weights; without, it is the gradient's (SGD's side).
        let config = OptimizerConfig::Lars(LarsConfig { weight_decay: 0.0, ..LarsConfig::USUAL });
        let (one, other) = (usual(DType::F64), usual(DType::F64));
        let (mut a, mut b) = (config.build(&one).unwrap(), config.build(&other).unwrap());
        let mut scaled = gradients_at(&other, 0);
        scaled.scale(scale).unwrap();
        a.step(&one, &gradients_at(&one, 0), 0.1).unwrap();
        b.step(&other, &scaled, 0.1).unwrap();
        for ((_, x), (_, y)) in one.named().iter().zip(other.named()) {
            for (x, y) in flat(x).into_iter().zip(flat(&y)) {
                prop_assert!((x - y).abs() <= 1e-12);
            }
        }
    }
}

#[test]
fn hyper_parameters_out_of_range_are_refused() {
    use OptimizerConfig::{Adam, AdamW, Lamb, Lars, Lion, RmsProp, Sgd};
    let parameters = usual(DType::F64);
    let refused = [
        (Sgd(SgdConfig { momentum: 1.0, ..SgdConfig::USUAL }), "momentum"),
        (Sgd(SgdConfig { dampening: 1.1, ..SgdConfig::USUAL }), "dampening"),
        (Sgd(SgdConfig { weight_decay: f64::NAN, ..SgdConfig::USUAL }), "weight decay"),
        (Sgd(SgdConfig { nesterov: true, dampening: 0.1, ..SgdConfig::USUAL }), "Nesterov"),
        (Sgd(SgdConfig { nesterov: true, momentum: 0.0, ..SgdConfig::USUAL }), "Nesterov"),
        (Adam(AdamConfig { beta1: 1.0, ..AdamConfig::USUAL }), "β1"),
        (AdamW(AdamWConfig { beta2: -0.1, ..AdamWConfig::USUAL }), "β2"),
        (AdamW(AdamWConfig { epsilon: 0.0, ..AdamWConfig::USUAL }), "ε"),
        (RmsProp(RmsPropConfig { alpha: 1.0, ..RmsPropConfig::USUAL }), "α"),
        (RmsProp(RmsPropConfig { epsilon: f64::INFINITY, ..RmsPropConfig::USUAL }), "ε"),
        (Lion(LionConfig { beta2: 1.0, ..LionConfig::USUAL }), "β2"),
        (Lars(LarsConfig { trust_coefficient: 0.0, ..LarsConfig::USUAL }), "trust coefficient"),
        (Lamb(LambConfig { weight_decay: -1.0, ..LambConfig::USUAL }), "weight decay"),
    ];
    for (config, said) in refused {
        let error = config.build(&parameters).err().unwrap().to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn each_says_its_hyper_parameters() {
    let said = ALL.map(|config| config.to_string());
    assert_eq!(
        said,
        [
            "SGD with momentum 0.9 and weight decay 0.01",
            "SGD with momentum 0 and weight decay 0",
            "SGD with momentum 0.9, dampening 0.5 and weight decay 0",
            "Adam with β (0.9, 0.999), ε 1e-8 and weight decay 0.1",
            "AdamW with β (0.9, 0.999), ε 1e-8 and weight decay 0.1",
            "centred RMSprop with α 0.99, ε 1e-8, momentum 0.9 and weight decay 0.1",
            "Lion with β (0.9, 0.99) and weight decay 0.1",
            "LARS with momentum 0.9, weight decay 0.0005, trust coefficient 0.1 and ε 0e0",
            "LAMB with β (0.9, 0.999), ε 1e-6 and weight decay 0.01",
        ]
    );
    let nesterov = SgdConfig { nesterov: true, ..SgdConfig::USUAL };
    assert_eq!(nesterov.to_string(), "SGD with Nesterov momentum 0.9 and weight decay 0");
}
