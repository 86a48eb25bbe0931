//! Ranks that are threads of one process.

use super::{Collective, CollectiveError};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

/// How long a rank waits for the others unless said otherwise: what PyTorch allows its NCCL process groups.
pub const WAIT: Duration = Duration::from_secs(600);

/// One rank of a world whose ranks are threads of one process.
///
/// A message is copied into the sender's slot and out of it. Dropping a rank, also by a panic, ends the world for the
/// others, so nobody waits for a rank that is gone; nobody waits for one that is stuck longer than the limit.
///
/// ```
/// use batchwise_train::parallel::{Collective, Threads};
///
/// let ranks = Threads::world(2)?;
/// let gathered: Vec<Vec<f32>> = std::thread::scope(|scope| {
///     let threads: Vec<_> = ranks
///         .into_iter()
///         .map(|mut rank| {
///             scope.spawn(move || {
///                 let mut all = vec![0.0; 2];
///                 rank.all_gather(&[rank.rank() as f32], &mut all).map(|()| all)
///             })
///         })
///         .collect();
///     threads.into_iter().map(|thread| thread.join().expect("no panic")).collect::<Result<_, _>>()
/// })?;
/// assert_eq!(gathered, [[0.0, 1.0], [0.0, 1.0]]);
/// # Ok::<(), batchwise_train::parallel::CollectiveError>(())
/// ```
#[derive(Debug)]
pub struct Threads {
    rank: usize,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    slots: Vec<RwLock<Slot>>,
    state: Mutex<State>,
    changed: Condvar,
    limit: Duration,
}

/// What one rank has for the others.
#[derive(Debug, Default)]
struct Slot {
    call: Option<Call>,
    floats: Vec<f32>,
    bytes: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    AllToAll { len: usize },
    AllGather { len: usize },
    AllGatherBytes { len: usize },
    Broadcast { root: usize, len: usize },
}

#[derive(Debug, Default)]
struct State {
    n_arrived: usize,
    /// Meetings that are over.
    n_meetings: u64,
    end: Option<CollectiveError>,
}

impl Threads {
    /// The ranks of a world, one for each of `world` threads, that wait up to [`WAIT`].
    ///
    /// # Errors
    /// A world of 0.
    pub fn world(world: usize) -> Result<Vec<Self>, CollectiveError> {
        Self::with_limit(world, WAIT)
    }

    /// The same with another limit of how long a rank waits for the others.
    ///
    /// # Errors
    /// A world of 0.
    pub fn with_limit(world: usize, limit: Duration) -> Result<Vec<Self>, CollectiveError> {
        if world == 0 {
            let allowed = "at least 1".to_owned();
            return Err(CollectiveError::World { name: "the number of workers", found: world, allowed });
        }
        let shared = Shared {
            slots: (0..world).map(|_| RwLock::default()).collect(),
            state: Mutex::default(),
            changed: Condvar::new(),
            limit,
        };
        let shared = Arc::new(shared);
        Ok((0..world).map(|rank| Self { rank, shared: Arc::clone(&shared) }).collect())
    }

    /// Puts a message into this rank's slot, and takes those of all ranks out once all are there.
    fn exchange(
        &self,
        call: Call,
        put: impl FnOnce(&mut Slot),
        mut take: impl FnMut(usize, &Slot),
    ) -> Result<(), CollectiveError> {
        {
            let mut slot = self.shared.slots[self.rank].write().unwrap_or_else(PoisonError::into_inner);
            slot.call = Some(call);
            put(&mut slot);
        }
        self.shared.meet(self.rank)?;
        for (rank, slot) in self.shared.slots.iter().enumerate() {
            let slot = slot.read().unwrap_or_else(PoisonError::into_inner);
            if slot.call != Some(call) {
                let found = slot.call.map_or_else(|| "nothing".to_owned(), |call| format!("{call:?}"));
                let expected = format!("{call:?}");
                let error = CollectiveError::Mismatch { rank, found, own: self.rank, expected };
                return Err(self.shared.end(error));
            }
            take(rank, &slot);
        }
        // No slot is written again before everybody has read it.
        self.shared.meet(self.rank)
    }

    fn check(&self, call: &'static str, found: usize, expected: usize) -> Result<(), CollectiveError> {
        if found == expected {
            return Ok(());
        }
        Err(CollectiveError::Length {
            call,
            found,
            allowed: format!("{expected} for {} ranks", self.world()),
        })
    }
}

impl Shared {
    /// Nothing panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until every rank has come here.
    fn meet(&self, rank: usize) -> Result<(), CollectiveError> {
        let mut state = self.lock();
        if let Some(end) = &state.end {
            return Err(end.clone());
        }
        state.n_arrived += 1;
        if state.n_arrived == self.slots.len() {
            state.n_arrived = 0;
            state.n_meetings += 1;
            drop(state);
            self.changed.notify_all();
            return Ok(());
        }
        let meeting = state.n_meetings;
        let waits = |state: &mut State| state.n_meetings == meeting && state.end.is_none();
        let (state, _) =
            self.changed.wait_timeout_while(state, self.limit, waits).unwrap_or_else(PoisonError::into_inner);
        if state.n_meetings != meeting {
            // All had come, whatever happened since.
            return Ok(());
        }
        if let Some(end) = &state.end {
            return Err(end.clone());
        }
        drop(state);
        Err(self.end(CollectiveError::TimedOut { rank, limit: self.limit }))
    }

    /// Ends the world unless it has ended; hands the error back.
    fn end(&self, error: CollectiveError) -> CollectiveError {
        self.lock().end.get_or_insert_with(|| error.clone());
        self.changed.notify_all();
        error
    }
}

impl Collective for Threads {
    fn rank(&self) -> usize {
        self.rank
    }

    fn world(&self) -> usize {
        self.shared.slots.len()
    }

    fn all_to_all(&mut self, send: &[f32], receive: &mut [f32]) -> Result<(), CollectiveError> {
        let len = send.len() / self.world();
        self.check("all_to_all", send.len(), len * self.world())?;
        self.check("all_to_all", receive.len(), send.len())?;
        let own = self.rank * len;
        self.exchange(
            Call::AllToAll { len },
            |slot| refill(&mut slot.floats, send),
            |rank, slot| receive[rank * len..][..len].copy_from_slice(&slot.floats[own..][..len]),
        )
    }

    fn all_gather(&mut self, send: &[f32], receive: &mut [f32]) -> Result<(), CollectiveError> {
        let len = send.len();
        self.check("all_gather", receive.len(), len.saturating_mul(self.world()))?;
        self.exchange(
            Call::AllGather { len },
            |slot| refill(&mut slot.floats, send),
            |rank, slot| receive[rank * len..][..len].copy_from_slice(&slot.floats),
        )
    }

    fn all_gather_bytes(&mut self, send: &[u8], receive: &mut [u8]) -> Result<(), CollectiveError> {
        let len = send.len();
        self.check("all_gather_bytes", receive.len(), len.saturating_mul(self.world()))?;
        self.exchange(
            Call::AllGatherBytes { len },
            |slot| refill(&mut slot.bytes, send),
            |rank, slot| receive[rank * len..][..len].copy_from_slice(&slot.bytes),
        )
    }

    fn broadcast(&mut self, root: usize, buffer: &mut [f32]) -> Result<(), CollectiveError> {
        if self.world() <= root {
            let allowed = format!("below {}", self.world());
            return Err(CollectiveError::World { name: "the rank to copy from", found: root, allowed });
        }
        let own = (self.rank == root).then(|| buffer.to_vec());
        self.exchange(
            Call::Broadcast { root, len: buffer.len() },
            |slot| {
                if let Some(own) = own {
                    slot.floats = own;
                }
            },
            |rank, slot| {
                if rank == root {
                    buffer.copy_from_slice(&slot.floats);
                }
            },
        )
    }

    fn abort(&mut self, reason: &str) {
        self.shared.end(CollectiveError::Aborted { rank: self.rank, reason: reason.to_owned() });
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.shared.end(CollectiveError::Left { rank: self.rank, panicked: std::thread::panicking() });
    }
}

/// Replaces the content, in the same memory where it is long enough.
fn refill<T: Copy>(slot: &mut Vec<T>, from: &[T]) {
    slot.clear();
    slot.extend_from_slice(from);
}
