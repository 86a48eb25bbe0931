//! A prefetch thread that gathers batches before they are needed.

use std::any::Any;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use candle_core::Device;

use crate::batch::{check_order, check_positions};
use crate::{Batch, DataError, Dataset, Order, gather_batch};

/// Finished batches that wait for [`Loader::receive`], at most.
pub const READY_BATCHES: usize = 2;

/// Gathers what was asked for on a thread of its own, in the order asked; sizes may differ at every request.
///
/// **Back-pressure.** A request is two integers, so there may be any number of them. The thread stops before a
/// finished batch that finds [`READY_BATCHES`] others waiting, so that at most `READY_BATCHES + 1` batches exist
/// besides those that the caller holds, however far ahead it asks. To have fewer, ask less far ahead: a caller that
/// requests one batch before it receives one holds one at a time.
///
/// **Failure.** An error or a panic of the data set arrives as the `Err` of the request that met it; later requests
/// are served as usual.
///
/// **End.** Dropping the loader waits for the batch in work, forgets all others and joins the thread.
///
/// For batches of a few examples from memory the hand-over costs more than the gathering: use [`gather_batch`].
pub struct Loader {
    dataset: Arc<dyn Dataset>,
    order: Order,
    /// `None` only while the loader is dropped.
    requests: Option<Sender<Range<u64>>>,
    /// `None` only while the loader is dropped.
    results: Option<Receiver<Result<Batch, DataError>>>,
    thread: Option<JoinHandle<()>>,
    n_outstanding: usize,
    wait_time: Duration,
}

impl Loader {
    /// Starts a thread that gathers from `dataset` in `order` and puts the tensors on `device`.
    ///
    /// # Errors
    ///
    /// [`DataError::OrderLength`] if the order was made for another length, [`DataError::NoThread`].
    pub fn new(dataset: Arc<dyn Dataset>, order: Order, device: Device) -> Result<Loader, DataError> {
        check_order(dataset.as_ref(), &order)?;
        let (requests, requests_in) = channel();
        let (results_out, results) = sync_channel(READY_BATCHES);
        let worker = {
            let dataset = Arc::clone(&dataset);
            move || serve(dataset.as_ref(), &order, &device, &requests_in, &results_out)
        };
        let thread = std::thread::Builder::new()
            .name("batchwise-loader".to_owned())
            .spawn(worker)
            .map_err(|error| DataError::NoThread { reason: error.to_string() })?;
        Ok(Loader {
            dataset,
            order,
            requests: Some(requests),
            results: Some(results),
            thread: Some(thread),
            n_outstanding: 0,
            wait_time: Duration::ZERO,
        })
    }

    /// Like [`Loader::new`] without shuffling, for evaluation.
    ///
    /// # Errors
    ///
    /// As [`Loader::new`] and [`Order::sequential`].
    pub fn sequential(dataset: Arc<dyn Dataset>, device: Device) -> Result<Loader, DataError> {
        let order = Order::sequential(dataset.len())?;
        Loader::new(dataset, order, device)
    }

    /// Asks for the examples at `positions` and returns at once.
    ///
    /// # Errors
    ///
    /// [`DataError::EmptyRequest`], [`DataError::CrossesEpoch`] (see [`Order::remaining_in_epoch`]), and
    /// [`DataError::NoThread`]. A request that fails here is not served.
    pub fn request(&mut self, positions: Range<u64>) -> Result<(), DataError> {
        check_positions(&self.order, &positions)?;
        let sent = self.requests.as_ref().is_some_and(|requests| requests.send(positions).is_ok());
        if !sent {
            return Err(thread_gone());
        }
        self.n_outstanding += 1;
        Ok(())
    }

    /// Waits for the batch of the oldest request.
    ///
    /// # Errors
    ///
    /// [`DataError::NothingRequested`]; what [`gather_batch`] returns; [`DataError::Panicked`];
    /// [`DataError::NoThread`].
    pub fn receive(&mut self) -> Result<Batch, DataError> {
        if self.n_outstanding == 0 {
            return Err(DataError::NothingRequested);
        }
        self.n_outstanding -= 1;
        let start = Instant::now();
        let received = self.results.as_ref().and_then(|results| results.recv().ok());
        self.wait_time += start.elapsed();
        received.unwrap_or_else(|| Err(thread_gone()))
    }

    /// Requests that have not been received yet.
    pub fn n_outstanding(&self) -> usize {
        self.n_outstanding
    }

    /// Total time that [`Loader::receive`] has waited.
    pub fn wait_time(&self) -> Duration {
        self.wait_time
    }

    /// The order of the examples.
    pub fn order(&self) -> &Order {
        &self.order
    }

    /// The data set that is read.
    pub fn dataset(&self) -> &Arc<dyn Dataset> {
        &self.dataset
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        // Both ends go first: a thread that waits for either wakes up and leaves.
        self.requests = None;
        self.results = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the prefetch thread panicked outside the data set");
        }
    }
}

fn serve(
    dataset: &dyn Dataset,
    order: &Order,
    device: &Device,
    requests: &Receiver<Range<u64>>,
    results: &SyncSender<Result<Batch, DataError>>,
) {
    for positions in requests {
        let Range { start, end } = positions;
        // Unwind safety: only buffers that die with the request are left half written; a data set is shared by
        // reference and answers for its own state.
        let gather = AssertUnwindSafe(|| gather_batch(dataset, order, positions, device));
        let result = catch_unwind(gather).unwrap_or_else(|payload| {
            let name = dataset.schema().name.clone();
            Err(DataError::Panicked { name, start, end, message: panic_message(payload.as_ref()) })
        });
        if results.send(result).is_err() {
            return;
        }
    }
}

fn panic_message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

fn thread_gone() -> DataError {
    DataError::NoThread { reason: "it has ended".to_owned() }
}
