//! Batches of sequences of like length, by a budget of tokens.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use crate::order::Permutation;
use crate::stream::Stream;
use crate::{DataError, Dataset, Order, Request, Row};

const DOMAIN: &[u8; 16] = b"batchwise/bucket";

/// How large the batches of [`Buckets`] may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BucketLimits {
    /// Most tokens of a batch with its padding: the length of its longest sequence times its rows.
    pub tokens: Option<u64>,
    /// Most rows of a batch.
    pub rows: Option<u64>,
    /// Positions of the order that are sorted by length together. More of them mean less padding, fewer of them an
    /// order closer to the shuffle.
    pub window: u64,
}

impl Default for BucketLimits {
    /// Windows of 4096 positions, and nothing else: `tokens` or `rows` must be set.
    fn default() -> BucketLimits {
        BucketLimits { tokens: None, rows: None, window: 4096 }
    }
}

/// What [`Buckets`] has given out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BucketStats {
    /// Batches.
    pub batches: u64,
    /// Rows of all batches.
    pub rows: u64,
    /// Tokens of all sequences.
    pub tokens: u64,
    /// Tokens and padding.
    pub padded_tokens: u64,
}

impl BucketStats {
    /// The share of padding in what was given out, 0 if that is nothing.
    pub fn padding(&self) -> f64 {
        match self.padded_tokens {
            0 => 0.0,
            padded => (padded - self.tokens) as f64 / padded as f64,
        }
    }

    fn count(&mut self, batch: &Bucket, lengths: &[u32]) {
        self.batches += 1;
        self.rows += batch.rows.len() as u64;
        let lengths = batch.rows.iter().map(|row| u64::from(lengths[row.index as usize]));
        self.padded_tokens += lengths.clone().max().unwrap_or(0) * batch.rows.len() as u64;
        self.tokens += lengths.sum::<u64>();
    }
}

/// The batches of uneven sequences from one position of an order to another.
///
/// A window of consecutive positions of one epoch is sorted by length and cut, from the shortest sequence on, into
/// batches as large as the limits allow. The batches of the window then come in an order of their own (with
/// [`Order::sequential`]: from the shortest on). Every position is in exactly one batch.
///
/// All of it is a pure function of the order, the limits and the window, so the state is one integer: the end of a
/// request's positions. Made from there on, it goes on with exactly the rest.
///
/// ```no_run
/// use batchwise_data::{BucketLimits, Buckets, Loader, Order, open};
/// use candle_core::Device;
///
/// let train = open("sentences.parquet", None)?.train;
/// let order = Order::new(1, train.len())?;
/// let limits = BucketLimits { tokens: Some(8192), ..BucketLimits::default() };
/// let buckets = Buckets::new(train.as_ref(), &order, 0..order.len(), limits)?;
/// let mut loader = Loader::new(train, order, Device::Cpu)?;
/// for batch in loader.iter(buckets) {
///     let batch = batch?;
///     // `batch.mask` says which positions count, `batch.weight` how many they are.
/// }
/// # Ok::<(), batchwise_data::DataError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Buckets {
    order: Order,
    /// Of every example.
    lengths: Arc<[u32]>,
    limits: BucketLimits,
    position: u64,
    end: u64,
    /// What is left of the window that holds `position`.
    ready: VecDeque<Bucket>,
    stats: BucketStats,
}

/// One batch.
#[derive(Clone, Debug, Default)]
struct Bucket {
    rows: Vec<Row>,
}

impl Buckets {
    /// Batches over `positions`, within the limits.
    ///
    /// The lengths of all sequences are read at once, so that one that is too long is known before training. The last
    /// batch may go past the end of `positions` where that is within a window; the end of an epoch never is.
    ///
    /// # Errors
    ///
    /// [`DataError::OrderLength`]; [`DataError::Setting`] for a limit that is 0 or missing, for a sequence that is
    /// empty or longer than the token limit, and for a start that no batch begins at; what [`Dataset::length`] returns.
    pub fn new(
        dataset: &dyn Dataset,
        order: &Order,
        positions: Range<u64>,
        limits: BucketLimits,
    ) -> Result<Buckets, DataError> {
        crate::batch::check_order(dataset, order)?;
        check_limits(&limits)?;
        let Range { start, end } = positions;
        let mut buckets = Buckets {
            order: order.clone(),
            lengths: read_lengths(dataset, limits.tokens)?,
            limits,
            position: start,
            end,
            ready: VecDeque::new(),
            stats: BucketStats::default(),
        };
        if start < end {
            buckets.resume()?;
        }
        Ok(buckets)
    }

    /// The position of the next batch: the whole state.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// What was given out so far.
    pub fn stats(&self) -> BucketStats {
        self.stats
    }

    /// What a whole epoch gives out, its padding above all, without giving anything out.
    pub fn epoch_stats(&self, epoch: u64) -> BucketStats {
        let mut stats = BucketStats::default();
        let mut position = epoch.saturating_mul(self.order.len());
        let end = position.saturating_add(self.order.len());
        while position < end {
            let window = self.window_at(position);
            self.cut(window.clone()).iter().for_each(|batch| stats.count(batch, &self.lengths));
            position = window.end;
        }
        stats
    }

    /// The window that holds `position`.
    fn window_at(&self, position: u64) -> Range<u64> {
        let len = self.order.len();
        let (epoch_start, offset) = (position / len * len, position % len);
        let first = offset / self.limits.window * self.limits.window;
        let end = len.min(first.saturating_add(self.limits.window));
        epoch_start + first..epoch_start.saturating_add(end)
    }

    /// The batches of a window in the order in which they come.
    fn cut(&self, window: Range<u64>) -> VecDeque<Bucket> {
        let mut rows = Vec::new();
        self.order.rows(window.clone(), &mut rows);
        let length = |row: &Row| self.lengths[row.index as usize];
        // Stable: equal lengths keep the order of their positions.
        rows.sort_by_key(length);
        let most_rows = self.limits.rows.unwrap_or(u64::MAX);
        let most_tokens = self.limits.tokens.unwrap_or(u64::MAX);
        let mut buckets: Vec<Bucket> = Vec::new();
        for row in rows {
            match buckets.last_mut() {
                // Sorted, hence this row is the longest of the batch.
                Some(Bucket { rows })
                    if (rows.len() as u64) < most_rows
                        && (rows.len() as u64 + 1).saturating_mul(u64::from(length(&row))) <= most_tokens =>
                {
                    rows.push(row);
                }
                _ => buckets.push(Bucket { rows: vec![row] }),
            }
        }
        let Some(seed) = self.order.seed() else {
            return buckets.into();
        };
        let n = buckets.len() as u64;
        let shuffle = Permutation::new(Stream::new(DOMAIN, seed, window.start, 0), n);
        let take = |i| std::mem::take(&mut buckets[shuffle.index(i) as usize]);
        (0..n).map(take).collect()
    }

    /// Cuts the window that holds the position, and leaves out what was given out before.
    fn resume(&mut self) -> Result<(), DataError> {
        let window = self.window_at(self.position);
        self.ready = self.cut(window.clone());
        let mut begin = window.start;
        while begin < self.position {
            let n = self.ready.pop_front().map_or(0, |batch| batch.rows.len() as u64);
            if self.position < begin + n || n == 0 {
                return Err(DataError::Setting {
                    field: "the first position of bucketed batches",
                    found: self.position.to_string(),
                    allowed: format!("where a batch begins, as at {begin} or {}", begin + n),
                });
            }
            begin += n;
        }
        Ok(())
    }
}

impl Iterator for Buckets {
    type Item = Request;

    fn next(&mut self) -> Option<Request> {
        if self.end <= self.position {
            return None;
        }
        if self.ready.is_empty() {
            self.ready = self.cut(self.window_at(self.position));
        }
        let batch = self.ready.pop_front()?;
        self.stats.count(&batch, &self.lengths);
        let start = self.position;
        self.position += batch.rows.len() as u64;
        Some(Request { positions: start..self.position, rows: Some(batch.rows) })
    }
}

fn check_limits(limits: &BucketLimits) -> Result<(), DataError> {
    let BucketLimits { tokens, rows, window } = *limits;
    let setting = |field, found: &str, allowed: &str| {
        Err(DataError::Setting { field, found: found.to_owned(), allowed: allowed.to_owned() })
    };
    match (tokens, rows, window) {
        (Some(0), ..) => setting("the token limit of a batch", "0", "1 or more"),
        (_, Some(0), _) => setting("the row limit of a batch", "0", "1 or more"),
        (.., 0) => setting("the window of bucketed batches", "0", "1 or more"),
        (None, None, _) => setting("the limit of a batch", "missing", "tokens, rows or both"),
        _ => Ok(()),
    }
}

fn read_lengths(dataset: &dyn Dataset, most: Option<u64>) -> Result<Arc<[u32]>, DataError> {
    let most = most.unwrap_or(u64::MAX).min(u64::from(u32::MAX));
    let length = |index| {
        let length = dataset.length(index)? as u64;
        if (1..=most).contains(&length) {
            return Ok(length as u32);
        }
        Err(DataError::Setting {
            field: "the length of a sequence",
            found: format!("{length} at example {index} of `{}`", dataset.schema().name),
            allowed: format!("1..={most}, the tokens of a batch"),
        })
    };
    (0..dataset.len()).map(length).collect()
}
