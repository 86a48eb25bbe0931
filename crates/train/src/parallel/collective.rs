//! How ranks talk to each other.

use std::time::Duration;

/// The exchanges that a run on several workers is made of.
///
/// A rank is one worker; a world is all of them. Every rank makes the same calls in the same order with the same
/// lengths. Each call blocks until the result is there, and needs no memory beyond the slices it is given. Slices are
/// in host memory, and the order of summation is never left to the implementation: it only moves bytes.
///
/// | call | MPI | NCCL |
/// |---|---|---|
/// | [`all_to_all`](Collective::all_to_all) | `MPI_Alltoall` | a group of `ncclSend` and `ncclRecv` |
/// | [`all_gather`](Collective::all_gather) | `MPI_Allgather` | `ncclAllGather` |
/// | [`all_gather_bytes`](Collective::all_gather_bytes) | `MPI_Allgather` | `ncclAllGather` of `ncclUint8` |
/// | [`broadcast`](Collective::broadcast) | `MPI_Bcast` | `ncclBroadcast` |
/// | [`abort`](Collective::abort) | `MPI_Abort` | `ncclCommAbort` |
///
/// NCCL takes device memory: an implementation on it copies through a device buffer of its own. MPI's own ending waits
/// for every rank, so that a panic in one would hang the others: a program on it needs `panic = "abort"`.
pub trait Collective {
    /// This worker's number, from 0.
    fn rank(&self) -> usize;

    /// How many workers there are, at least 1.
    fn world(&self) -> usize;

    /// Sends block r of `send` to rank r, and leaves the block from rank r in block r of `receive`. Both have `world`
    /// blocks of one length.
    ///
    /// # Errors
    /// Lengths that do not fit; an end of the world.
    fn all_to_all(&mut self, send: &[f32], receive: &mut [f32]) -> Result<(), CollectiveError>;

    /// Leaves the `send` of rank r in block r of `receive`, which is `world` times as long.
    ///
    /// # Errors
    /// As [`Collective::all_to_all`].
    fn all_gather(&mut self, send: &[f32], receive: &mut [f32]) -> Result<(), CollectiveError>;

    /// The same of bytes, for small things.
    ///
    /// # Errors
    /// As [`Collective::all_to_all`].
    fn all_gather_bytes(&mut self, send: &[u8], receive: &mut [u8]) -> Result<(), CollectiveError>;

    /// Leaves the `buffer` of rank `root` in that of every rank.
    ///
    /// # Errors
    /// As [`Collective::all_to_all`]; a root that does not exist.
    fn broadcast(&mut self, root: usize, buffer: &mut [f32]) -> Result<(), CollectiveError>;

    /// Ends the world: calls that wait and all later ones, on every rank, fail with [`CollectiveError::Aborted`], unless
    /// the world has ended before. An implementation may also end the process.
    fn abort(&mut self, reason: &str);
}

/// Why an exchange failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CollectiveError {
    /// A rank ended the world.
    #[error("rank {rank} ended the run: {reason}")]
    Aborted {
        /// Which one.
        rank: usize,
        /// What it said.
        reason: String,
    },
    /// A rank is gone while others wait for it.
    #[error("rank {rank} {} while others still work with it", if *panicked { "panicked" } else { "left" })]
    Left {
        /// Which one.
        rank: usize,
        /// Whether it was unwinding from a panic.
        panicked: bool,
    },
    /// The others did not come in time.
    #[error("rank {rank} waited for the others longer than {limit:?}")]
    TimedOut {
        /// The rank that waited.
        rank: usize,
        /// The longest wait allowed.
        limit: Duration,
    },
    /// Ranks made different calls.
    #[error(
        "rank {rank} called {found} where rank {own} called {expected}: every rank must make the same calls"
    )]
    Mismatch {
        /// A rank that differs.
        rank: usize,
        /// Its call.
        found: String,
        /// This rank.
        own: usize,
        /// This rank's call.
        expected: String,
    },
    /// A slice of a length that does not fit.
    #[error("{call} with {found} elements, but must be {allowed}")]
    Length {
        /// Which call.
        call: &'static str,
        /// Elements it was given.
        found: usize,
        /// What fits.
        allowed: String,
    },
    /// A rank or a world that cannot exist.
    #[error("{name} is {found}, but must be {allowed}")]
    World {
        /// Which number.
        name: &'static str,
        /// Its value.
        found: usize,
        /// What is allowed.
        allowed: String,
    },
}

impl CollectiveError {
    /// Whether this only tells what another rank has met.
    #[must_use]
    pub fn is_echo(&self) -> bool {
        matches!(self, Self::Aborted { .. } | Self::Left { .. })
    }
}
