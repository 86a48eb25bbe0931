//! A checkpoint of another run is refused, and what differs is named.

use crate::snapshot;
use batchwise_train::checkpoint::{CheckpointError, Expected, ModelTensor, Snapshot};
use serde_json::{Value, json};

fn check(own: &Snapshot, expected: &Expected<'_>, may_change: &[&str]) -> Result<(), String> {
    let result = own.check(expected, may_change);
    assert!(matches!(result, Ok(()) | Err(CheckpointError::Differs { .. })));
    result.map_err(|error| error.to_string())
}

#[test]
fn its_own_run_is_taken() {
    let own = snapshot(64);
    let Snapshot { manifest, .. } = &own;
    let expected =
        Expected { configuration: &manifest.configuration, data_sha256: "data", model: &manifest.model };
    assert_eq!(check(&own, &expected, &[]), Ok(()));
}

#[test]
fn another_data_set_comes_first() {
    let own = snapshot(64);
    let expected = Expected { configuration: &Value::Null, data_sha256: "other", model: &[] };
    assert_eq!(
        check(&own, &expected, &[]).unwrap_err(),
        "the checkpoint is of another data set: its SHA-256 is data there, and other here"
    );
}

#[test]
fn another_model_is_refused_by_its_first_parameter_that_differs() {
    let own = snapshot(64);
    let reason = |change: &dyn Fn(&mut Vec<ModelTensor>)| {
        let mut model = own.manifest.model.clone();
        change(&mut model);
        let expected =
            Expected { configuration: &own.manifest.configuration, data_sha256: "data", model: &model };
        check(&own, &expected, &[]).unwrap_err()
    };
    let start = "the checkpoint is of another model: parameter ";
    assert_eq!(
        reason(&|model| model[1].shape = vec![4]),
        format!("{start}`layer0.weight` is f32 [2, 2] there, and f32 [4] here")
    );
    assert_eq!(
        reason(&|model| model[0].dtype = "f64".to_owned()),
        format!("{start}`layer0.bias` is f32 [2] there, and f64 [2] here")
    );
    assert_eq!(
        reason(&|model| drop(model.pop())),
        format!("{start}`layer0.weight` is f32 [2, 2] there, and missing here")
    );
    assert_eq!(
        reason(&|model| model.push(ModelTensor { name: "head".into(), shape: vec![], dtype: "f32".into() })),
        format!("{start}`head` is missing there, and f32 [] here")
    );
}

#[test]
fn only_what_may_change_of_the_configuration_may() {
    let own = snapshot(64);
    let with = |configuration: Value, may_change: &[&str]| {
        let model = &own.manifest.model;
        let expected = Expected { configuration: &configuration, data_sha256: "data", model };
        check(&own, &expected, may_change).map_err(|reason| {
            reason.strip_prefix("the checkpoint is of another configuration: ").unwrap().to_owned()
        })
    };
    let other = json!({"batch": 64, "optimizer": {"rate": 0.1, "betas": [0.9, 0.999]}});
    assert_eq!(with(other.clone(), &[]).unwrap_err(), "`batch` is 32 there, and 64 here");
    assert_eq!(
        with(other.clone(), &["batch"]).unwrap_err(),
        "`optimizer.betas.1` is 0.99 there, and 0.999 here"
    );
    for key in ["optimizer", "optimizer.betas", "optimizer.betas.1"] {
        assert_eq!(with(other.clone(), &["batch", key]), Ok(()));
    }
    // A key is not the start of another one.
    assert!(with(other, &["batch", "opt", "optimizer.bet"]).is_err());
    let more = json!({"batch": 32, "optimizer": {"rate": 0.1, "betas": [0.9, 0.99]}, "threads": 2});
    assert_eq!(with(more.clone(), &[]).unwrap_err(), "`threads` is missing there, and 2 here");
    assert_eq!(with(more, &["threads"]), Ok(()));
    let shorter = json!({"batch": 32, "optimizer": {"rate": 0.1, "betas": [0.9]}});
    assert_eq!(with(shorter, &[]).unwrap_err(), "`optimizer.betas.1` is 0.99 there, and missing here");
    assert!(with(json!(3), &[]).unwrap_err().starts_with("all of it is {"));
}
