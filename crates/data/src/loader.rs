//! Prefetch threads that gather batches before they are needed.

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use candle_core::Device;

use crate::batch::{Spare, check_order, check_request, gather_into};
use crate::buffer::Buffer;
use crate::{Batch, DataError, Dataset, Order, Request};

/// Finished batches that wait for [`Loader::receive`], at most, unless [`LoaderConfig`] says otherwise.
pub const READY_BATCHES: usize = 2;

/// How a [`Loader`] works; nothing here changes a bit of what it delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoaderConfig {
    /// Threads that gather. 0 gathers within [`Loader::receive`], on the thread that calls it: the fastest for batches
    /// of a few examples from memory, where a hand-over costs more than the gathering.
    pub n_threads: usize,
    /// Batches that are finished or in work before anybody waits for them, at least 1.
    pub n_ready: usize,
}

impl Default for LoaderConfig {
    /// One thread, [`READY_BATCHES`] batches ahead.
    fn default() -> LoaderConfig {
        LoaderConfig { n_threads: 1, n_ready: READY_BATCHES }
    }
}

/// Gathers what was asked for on threads of its own and delivers it in the order asked; sizes may differ at every
/// request.
///
/// **Deterministic:** the bytes of every batch and their order, whatever the number of threads: each batch is a pure
/// function of its request. **Not deterministic:** which thread gathers which batch, and the times in [`LoaderStats`].
///
/// **Back-pressure.** A request is a few integers, so there may be any number of them. No thread begins a batch while
/// [`LoaderConfig::n_ready`] others are finished or in work, so that at most that many exist besides those that the
/// caller holds, however far ahead it asks. To have fewer, ask less far ahead: a caller that requests one batch before
/// it receives one holds one at a time.
///
/// **Memory.** On the CPU the gathered buffer becomes the tensor without a copy. A caller that is done with a batch
/// may hand it back ([`Loader::recycle`]), and its memory serves a later one.
///
/// **Failure.** An error or a panic of the data set arrives as the `Err` of the request that met it; later requests
/// are served as usual.
///
/// **End.** Dropping the loader waits for the batches in work, forgets all others and joins the threads.
///
/// On a GPU the thread that gathers also copies to the device, so that the copy overlaps with the computation as far
/// as the driver lets copies from pageable memory overlap.
pub struct Loader {
    dataset: Arc<dyn Dataset>,
    order: Order,
    device: Device,
    config: LoaderConfig,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    n_requested: u64,
    n_received: u64,
    stats: LoaderStats,
}

/// What a [`Loader`] has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoaderStats {
    /// Batches received.
    pub batches: u64,
    /// Examples in them.
    pub examples: u64,
    /// Batches that were not finished when they were asked for.
    pub waited_for: u64,
    /// Time that [`Loader::receive`] has waited, in all.
    pub wait: Duration,
    /// Time that gathering took, summed over the threads.
    pub gather: Duration,
    /// Finished batches found at [`Loader::receive`], summed: divided by `batches` it is the mean fill.
    pub ready: u64,
}

impl LoaderStats {
    /// Share of the batches that were not finished when they were asked for. Near 1 the loader is the limit, near 0 what
    /// computes with the batches is.
    pub fn waited_share(&self) -> f64 {
        self.waited_for as f64 / self.batches.max(1) as f64
    }
}

impl Loader {
    /// Starts one thread that gathers from `dataset` in `order` and puts the tensors on `device`.
    ///
    /// # Errors
    ///
    /// [`DataError::OrderLength`] if the order was made for another length, [`DataError::NoThread`].
    pub fn new(dataset: Arc<dyn Dataset>, order: Order, device: Device) -> Result<Loader, DataError> {
        Loader::with(dataset, order, device, LoaderConfig::default())
    }

    /// Like [`Loader::new`] with other settings.
    ///
    /// # Errors
    ///
    /// As [`Loader::new`]; [`DataError::Setting`] for an `n_ready` of 0.
    pub fn with(
        dataset: Arc<dyn Dataset>,
        order: Order,
        device: Device,
        config: LoaderConfig,
    ) -> Result<Loader, DataError> {
        check_order(dataset.as_ref(), &order)?;
        if config.n_ready == 0 {
            let (found, allowed) = ("0".to_owned(), "1 or more".to_owned());
            return Err(DataError::Setting { field: "n_ready of a loader", found, allowed });
        }
        let shared = Arc::new(Shared::default());
        let mut loader = Loader {
            dataset,
            order,
            device,
            config,
            shared,
            threads: Vec::new(),
            n_requested: 0,
            n_received: 0,
            stats: LoaderStats::default(),
        };
        for number in 0..config.n_threads {
            let worker = Worker {
                dataset: Arc::clone(&loader.dataset),
                order: loader.order.clone(),
                device: loader.device.clone(),
                shared: Arc::clone(&loader.shared),
                n_ready: config.n_ready,
            };
            let thread = std::thread::Builder::new()
                .name(format!("batchwise-loader-{number}"))
                .spawn(move || worker.serve())
                .map_err(|error| DataError::NoThread { reason: error.to_string() })?;
            loader.threads.push(thread);
        }
        Ok(loader)
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

    /// Asks for a batch, as a range of positions or as the rows of a sampler, and returns at once.
    ///
    /// # Errors
    ///
    /// [`DataError::EmptyRequest`]. A request that fails here is not served.
    pub fn request(&mut self, request: impl Into<Request>) -> Result<(), DataError> {
        let request = request.into();
        check_request(&request)?;
        self.shared.lock().requests.push_back((self.n_requested, request));
        self.shared.work.notify_one();
        self.n_requested += 1;
        Ok(())
    }

    /// Waits for the batch of the oldest request.
    ///
    /// # Errors
    ///
    /// [`DataError::NothingRequested`]; what [`crate::gather_batch`] returns; [`DataError::Panicked`].
    pub fn receive(&mut self) -> Result<Batch, DataError> {
        if self.n_received == self.n_requested {
            return Err(DataError::NothingRequested);
        }
        let number = self.n_received;
        let start = Instant::now();
        let mut state = self.shared.lock();
        self.stats.ready += state.results.len() as u64;
        if !state.results.contains_key(&number) {
            self.stats.waited_for += 1;
        }
        let result = if self.threads.is_empty() {
            let next = state.requests.pop_front();
            let spare = state.spare();
            drop(state);
            let (_, request) = next.ok_or(DataError::NothingRequested)?;
            let gathered = gather_safely(self.dataset.as_ref(), &self.order, request, &self.device, spare);
            self.shared.lock().gather += start.elapsed();
            gathered
        } else {
            let result = loop {
                if let Some(result) = state.results.remove(&number) {
                    break result;
                }
                state = self.shared.done.wait(state).unwrap_or_else(PoisonError::into_inner);
            };
            state.n_received = number + 1;
            drop(state);
            // There is room for another batch, which any thread may take.
            self.shared.work.notify_all();
            result
        };
        self.n_received += 1;
        self.stats.wait += start.elapsed();
        self.stats.batches += 1;
        self.stats.examples += result.as_ref().map_or(0, |batch| batch.n_examples as u64);
        result
    }

    /// Hands the memory of a batch back, for a later one.
    ///
    /// No clone or view of its tensors may be in use any more: reading one afterwards is an error or a panic of
    /// candle's. Losses and gradients computed from the batch must be dropped before, their graphs hold such clones.
    /// Without this call the memory is simply freed.
    pub fn recycle(&mut self, batch: Batch) {
        let Batch { inputs, targets, .. } = batch;
        let mut state = self.shared.lock();
        for (tensor, is_input) in [(inputs, true), (targets, false)] {
            let spare = if is_input { &mut state.inputs } else { &mut state.targets };
            if spare.len() <= self.config.n_ready {
                spare.extend(Buffer::take(tensor));
            }
        }
    }

    /// The batches of `requests` one after another, asked for far enough ahead to keep the threads busy.
    ///
    /// What was requested before comes first. An iterator that is dropped before its end leaves nothing behind: what
    /// it has asked for and not delivered is forgotten.
    ///
    /// ```
    /// use batchwise_data::{Batches, LastBatch, Loader, Order, open};
    /// use candle_core::Device;
    ///
    /// let train = open("glyphs:train=500,test=50", None)?.train;
    /// let order = Order::new(1, train.len())?;
    /// let mut loader = Loader::new(train, order.clone(), Device::Cpu)?;
    /// let epoch = Batches::new(&order, 0..order.len(), 64, LastBatch::Keep)?;
    /// let sizes: Result<Vec<usize>, _> = loader.iter(epoch).map(|batch| Ok::<_, batchwise_data::DataError>(batch?.n_examples)).collect();
    /// assert_eq!(sizes?, [64, 64, 64, 64, 64, 64, 64, 52]);
    /// # Ok::<(), batchwise_data::DataError>(())
    /// ```
    pub fn iter<I>(&mut self, requests: I) -> Iter<'_, I::IntoIter>
    where
        I: IntoIterator,
        I::Item: Into<Request>,
    {
        Iter { loader: self, requests: requests.into_iter(), refused: None }
    }

    /// Forgets every request that has not been received; a batch that is in work is thrown away when it is finished.
    fn forget(&mut self) {
        self.n_received = self.n_requested;
        let mut state = self.shared.lock();
        state.n_received = self.n_received;
        state.requests.clear();
        let results = std::mem::take(&mut state.results);
        drop(state);
        drop(results);
    }

    /// Requests that have not been received yet.
    pub fn n_outstanding(&self) -> usize {
        (self.n_requested - self.n_received) as usize
    }

    /// What the loader has done so far.
    pub fn stats(&self) -> LoaderStats {
        LoaderStats { gather: self.shared.lock().gather, ..self.stats }
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
        {
            let mut state = self.shared.lock();
            state.is_closed = true;
            state.requests.clear();
        }
        self.shared.work.notify_all();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a prefetch thread panicked outside the data set");
            }
        }
    }
}

/// The batches of a row of requests; see [`Loader::iter`].
pub struct Iter<'a, I> {
    loader: &'a mut Loader,
    requests: I,
    /// Why the last request was refused; comes after the batches that were asked for before it.
    refused: Option<DataError>,
}

impl<I> Drop for Iter<'_, I> {
    fn drop(&mut self) {
        self.loader.forget();
    }
}

impl<I> Iter<'_, I> {
    /// Hands a batch back; see [`Loader::recycle`].
    pub fn recycle(&mut self, batch: Batch) {
        self.loader.recycle(batch);
    }
}

impl<I> Iterator for Iter<'_, I>
where
    I: Iterator,
    I::Item: Into<Request>,
{
    type Item = Result<Batch, DataError>;

    fn next(&mut self) -> Option<Result<Batch, DataError>> {
        // One more than may be ready: the batch that is received here is none of those any more.
        while self.refused.is_none() && self.loader.n_outstanding() <= self.loader.config.n_ready {
            let Some(request) = self.requests.next() else { break };
            self.refused = self.loader.request(request).err();
        }
        if 0 < self.loader.n_outstanding() {
            return Some(self.loader.receive());
        }
        self.refused.take().map(Err)
    }
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// There is a request, or room for a batch, or an end.
    work: Condvar,
    /// There is a result.
    done: Condvar,
}

#[derive(Default)]
struct State {
    requests: VecDeque<(u64, Request)>,
    results: BTreeMap<u64, Result<Batch, DataError>>,
    inputs: Vec<Buffer>,
    targets: Vec<Buffer>,
    n_received: u64,
    gather: Duration,
    is_closed: bool,
}

impl Shared {
    /// Nothing panics while it holds the lock, and every field is whole after each statement.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn spare(&mut self) -> Spare {
        Spare { inputs: self.inputs.pop(), targets: self.targets.pop() }
    }
}

struct Worker {
    dataset: Arc<dyn Dataset>,
    order: Order,
    device: Device,
    shared: Arc<Shared>,
    n_ready: usize,
}

impl Worker {
    fn serve(&self) {
        let mut state = self.shared.lock();
        loop {
            if state.is_closed {
                return;
            }
            let limit = state.n_received + self.n_ready as u64;
            let next = match state.requests.front() {
                Some((number, _)) if *number < limit => state.requests.pop_front(),
                _ => None,
            };
            let Some((number, request)) = next else {
                state = self.shared.work.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let spare = state.spare();
            drop(state);
            let start = Instant::now();
            let result = gather_safely(self.dataset.as_ref(), &self.order, request, &self.device, spare);
            state = self.shared.lock();
            state.gather += start.elapsed();
            // Not if it was forgotten meanwhile.
            if state.n_received <= number {
                state.results.insert(number, result);
                self.shared.done.notify_all();
            }
        }
    }
}

fn gather_safely(
    dataset: &dyn Dataset,
    order: &Order,
    request: Request,
    device: &Device,
    spare: Spare,
) -> Result<Batch, DataError> {
    let (start, end) = (request.positions.start, request.positions.end);
    // Unwind safety: only buffers that die with the request are left half written; a data set is shared by
    // reference and answers for its own state.
    let gather = AssertUnwindSafe(|| gather_into(dataset, order, request, device, spare));
    catch_unwind(gather).unwrap_or_else(|payload| {
        let name = dataset.schema().name.clone();
        Err(DataError::Panicked { name, start, end, message: panic_message(payload.as_ref()) })
    })
}

fn panic_message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}
