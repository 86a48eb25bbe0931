//! Splitting one data set into a part to train on and a part to judge by.

use std::collections::HashMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::{ExampleBits, Subset};
use crate::{DataError, Dataset, Splits};

const DOMAIN: &[u8; 16] = b"batchwise/split1";
const FRACTION: &str = "the fraction of test examples";

/// Splits at random: `test_fraction` of the examples, rounded, but at least 1 on each side, are for testing.
///
/// Each example has a random number, a pure function of (seed, index), and the least are for testing. So the count is
/// exact, and when examples are added to the end of the set, of the old ones only a few change sides: those whose
/// number lies between the old threshold and the new. Both parts keep the order of the set. The inputs and targets of
/// both stay normalised as the whole set is.
///
/// # Errors
///
/// [`DataError::Setting`] unless the fraction is between 0 and 1 and there are 2 examples or more.
pub fn split_by_fraction(
    dataset: Arc<dyn Dataset>,
    test_fraction: f64,
    seed: u64,
) -> Result<Splits, DataError> {
    check_fraction(test_fraction)?;
    let len = dataset.len();
    if len < 2 {
        return Err(too_few("examples", len));
    }
    let n_test = target_count(len, test_fraction);
    let bits = ExampleBits::new(DOMAIN, seed);
    // The index breaks ties.
    let key = |index: u64| (bits.of(index), index);
    let mut keys: Vec<(u64, u64)> = (0..len).map(key).collect();
    let (_, threshold, _) = keys.select_nth_unstable(n_test as usize);
    let threshold = *threshold;
    drop(keys);
    parts(dataset, |index| key(index) < threshold)
}

/// Splits so that all examples of one key (a patient, a document, a user) are on one side.
///
/// `keys` holds one key for each example: text, or numbers as their bytes (`u64::to_le_bytes`). Each key has a random
/// number, a pure function of (seed, key), and the keys of the least are for testing: as many of them as bring the
/// test examples nearest to `test_fraction`, but at least 1 key on each side. Both parts keep the order of the set.
///
/// # Errors
///
/// [`DataError::Setting`] unless the fraction is between 0 and 1, there is a key for each example, and there are 2
/// different keys or more.
pub fn split_by_key<K: AsRef<[u8]>>(
    dataset: Arc<dyn Dataset>,
    keys: &[K],
    test_fraction: f64,
    seed: u64,
) -> Result<Splits, DataError> {
    check_fraction(test_fraction)?;
    let len = dataset.len();
    if keys.len() as u64 != len {
        let (found, allowed) = (keys.len().to_string(), format!("{len}, one for each example"));
        return Err(DataError::Setting { field: "the number of keys", found, allowed });
    }
    let mut counts: HashMap<&[u8], u64> = HashMap::new();
    keys.iter().for_each(|key| *counts.entry(key.as_ref()).or_default() += 1);
    let mut ranked: Vec<([u8; 32], &[u8], u64)> =
        counts.into_iter().map(|(key, count)| (key_bits(seed, key), key, count)).collect();
    ranked.sort_unstable();
    if ranked.len() < 2 {
        return Err(too_few("different keys", ranked.len() as u64));
    }
    let target = target_count(len, test_fraction);
    let (mut n_test, mut best) = (0u64, (u64::MAX, 0));
    for (n_keys, (_, _, count)) in ranked[..ranked.len() - 1].iter().enumerate() {
        n_test += count;
        best = best.min((n_test.abs_diff(target), n_keys + 1));
    }
    let test: std::collections::HashSet<&[u8]> = ranked[..best.1].iter().map(|(_, key, _)| *key).collect();
    parts(dataset, |index| test.contains(keys[index as usize].as_ref()))
}

fn parts(dataset: Arc<dyn Dataset>, is_test: impl Fn(u64) -> bool) -> Result<Splits, DataError> {
    let (test, train): (Vec<u64>, Vec<u64>) = (0..dataset.len()).partition(|index| is_test(*index));
    let train = Arc::new(Subset::new(Arc::clone(&dataset), train)?);
    let test = Arc::new(Subset::new(dataset, test)?);
    Ok(Splits { train, test })
}

/// Random bits of a key; all of them, so that no two keys share them.
fn key_bits(seed: u64, key: &[u8]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(DOMAIN);
    hasher.update(seed.to_le_bytes());
    hasher.update(key);
    hasher.finalize().into()
}

/// `fraction` of `len`, rounded, but at least 1 and at most `len - 1`.
fn target_count(len: u64, fraction: f64) -> u64 {
    ((len as f64 * fraction).round() as u64).clamp(1, len - 1)
}

fn check_fraction(fraction: f64) -> Result<(), DataError> {
    if 0.0 < fraction && fraction < 1.0 {
        return Ok(());
    }
    let allowed = "above 0 and below 1".to_owned();
    Err(DataError::Setting { field: FRACTION, found: fraction.to_string(), allowed })
}

fn too_few(what: &str, found: u64) -> DataError {
    let allowed = "2 or more, one for each part".to_owned();
    DataError::Setting { field: "what there is to split", found: format!("{found} {what}"), allowed }
}
