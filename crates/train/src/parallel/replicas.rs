//! Whether all ranks hold the same model.

use super::{BUCKET_BYTES, Buckets, Collective, ParallelError, flat};
use batchwise_nn::{Parameters, fingerprint};
use batchwise_schedule::Steps;
use candle_core::{DType, Device, Tensor};

/// Bytes of a SHA-256 in hex.
const HASH: usize = 64;

/// Copies the parameters of rank `root` to every rank, for models whose first values are not a function of a seed. To
/// be called on every rank before its [`Worker`](super::Worker) is made.
///
/// # Errors
/// Parameters that are not f32, layers with running statistics, parameters that differ in name or shape between ranks;
/// device errors, and what the collective says. Ranks that wait are let go.
pub fn broadcast_parameters(
    collective: &mut impl Collective,
    parameters: &Parameters,
    root: usize,
) -> Result<(), ParallelError> {
    let outcome = broadcast(collective, parameters, root);
    if let Err(error) = &outcome {
        collective.abort(&error.to_string());
    }
    outcome
}

fn broadcast(
    collective: &mut impl Collective,
    parameters: &Parameters,
    root: usize,
) -> Result<(), ParallelError> {
    flat::check(parameters)?;
    same(collective, &layout(parameters), "model")?;
    let buckets = Buckets::new(parameters.n_elements(), collective.world(), BUCKET_BYTES)?;
    let mut values = vec![0.0; buckets.padded_len()];
    let vars = parameters.named();
    flat::flatten(vars.iter().map(|(_, var)| var.as_tensor()), &mut values)?;
    for range in buckets.ranges() {
        collective.broadcast(root, &mut values[range])?;
    }
    for ((_, var), value) in vars.iter().zip(flat::unflatten(parameters, &values)?) {
        var.set(&value)?;
    }
    Ok(())
}

/// Names, shapes and types of the parameters in name order.
pub(super) fn layout(parameters: &Parameters) -> String {
    let named = parameters.named();
    named.iter().map(|(name, var)| format!("{name} {:?} {:?}\n", var.dtype(), var.dims())).collect()
}

/// Fails on every rank unless all have the same `text`.
pub(super) fn same(
    collective: &mut impl Collective,
    text: &str,
    what: &'static str,
) -> Result<(), ParallelError> {
    let nothing = Tensor::zeros((), DType::F32, &Device::Cpu)?;
    let hash = fingerprint::sha256([(text, &nothing)])?;
    match first_difference(&gather(collective, &hash)?, HASH) {
        Some((rank, _)) => Err(ParallelError::SetupsDiffer { rank, what }),
        None => Ok(()),
    }
}

/// Fails on every rank unless all have the same parameters, to the bit.
pub(super) fn check(
    collective: &mut impl Collective,
    parameters: &Parameters,
    steps: Steps,
) -> Result<(), ParallelError> {
    let named = parameters.named();
    let of_each =
        |(name, var): &(String, candle_core::Var)| fingerprint::sha256([(name.as_str(), var.as_tensor())]);
    let hashes: String = named.iter().map(of_each).collect::<candle_core::Result<_>>()?;
    let difference = first_difference(&gather(collective, &hashes)?, hashes.len());
    let Some((rank, byte)) = difference else { return Ok(()) };
    let parameter = named.get(byte / HASH).map_or_else(String::new, |(name, _)| name.clone());
    Err(ParallelError::ReplicasDiffer { parameter, rank, steps })
}

fn gather(collective: &mut impl Collective, own: &str) -> Result<Vec<u8>, ParallelError> {
    let mut all = vec![0; own.len() * collective.world()];
    collective.all_gather_bytes(own.as_bytes(), &mut all)?;
    Ok(all)
}

/// The first byte, over all ranks, that is not as on rank 0, and the first rank that has it.
fn first_difference(all: &[u8], len: usize) -> Option<(usize, usize)> {
    let first = all.get(..len)?;
    let of_rank = |own: &[u8]| own.iter().zip(first).position(|(a, b)| a != b);
    let ranks = all.chunks(len.max(1)).enumerate();
    let differences = ranks.filter_map(|(rank, own)| of_rank(own).map(|byte| (rank, byte)));
    differences.min_by_key(|(rank, byte)| (byte / HASH, *rank))
}

#[cfg(test)]
mod tests {
    use super::first_difference;

    #[test]
    fn the_first_parameter_is_named_before_the_first_rank() {
        let same = [7; 3 * 128];
        assert_eq!(first_difference(&same, 128), None);
        let mut other = same;
        // Rank 1 differs in the second parameter, rank 2 in the first.
        other[128 + 100] = 1;
        other[2 * 128 + 5] = 1;
        assert_eq!(first_difference(&other, 128), Some((2, 5)));
        other[2 * 128 + 5] = 7;
        assert_eq!(first_difference(&other, 128), Some((1, 100)));
        assert_eq!(first_difference(&[], 0), None);
    }
}
