//! Data sets, addressed shuffling, batching and prefetching for candle.
//!
//! Data flows one way: a [`Dataset`] gathers rows by index into a buffer of the caller, an [`Order`] says which
//! index stands at which position of training, and a [`Loader`] prepares [`Batch`]es of any size ahead of their
//! use. [`open`] finds a data set by name: the built-in [`Glyphs`] need no file and no network.
//!
//! Three rules hold everywhere in this crate:
//!
//! - **The order never depends on the batch size.** The example at a position is a pure function of
//!   (seed, epoch, position), so two batch sizes see the same data in the same order and a resumed run needs one
//!   integer.
//! - **Threads change nothing.** What a [`Loader`] delivers equals [`gather_batch`] bit for bit.
//! - **No input panics.** A broken file is a [`DataError`] that names the file, the byte, the value found and what
//!   is allowed.
//!
//! ```
//! use batchwise_data::{Batches, LastBatch, Loader, Order, open};
//! use candle_core::Device;
//!
//! let splits = open("glyphs:train=1000,test=100", None)?;
//! let order = Order::new(7, splits.train.len())?;
//! let mut loader = Loader::new(splits.train, order.clone(), Device::Cpu)?;
//! for batch in loader.iter(Batches::new(&order, 0..2 * order.len(), 64, LastBatch::Keep)?) {
//!     let batch = batch?;
//!     assert_eq!(batch.inputs.dims()[1..], [1, 28, 28]);
//!     assert_eq!(batch.targets.dims(), [batch.n_examples]);
//! }
//! # Ok::<(), batchwise_data::DataError>(())
//! ```

#![warn(missing_docs)]

mod batch;
mod batches;
mod buffer;
mod check;
mod dataset;
mod error;
#[cfg(feature = "fetch")]
pub mod fetch;
mod glyphs;
mod idx;
mod images;
mod info;
mod loader;
#[expect(dead_code, reason = "the formats that map files follow")]
mod map;
mod order;
mod pixels;
mod schema;
mod settings;
mod sources;
mod stream;

pub use batch::{Batch, Request, gather_batch};
pub use batches::{Batches, LastBatch};
pub use check::{ExampleFault, check_examples};
pub use dataset::{Dataset, PADDING, Row, RowsMut, Splits, ValuesMut};
pub use error::{At, DataError};
pub use glyphs::{GENERATOR_VERSION, Glyphs, GlyphsConfig, MAX_CLASSES, Split};
pub use idx::{IdxImages, read_images, read_labels};
pub use images::{ByteImages, read_folder};
pub use info::{ClassCounts, DatasetInfo, InputMoments, class_counts, dataset_info, input_moments};
pub use loader::{Iter, Loader, LoaderConfig, LoaderStats, READY_BATCHES};
pub use order::{MAX_LEN, Order};
pub use pixels::Normaliser;
pub use schema::{ElementType, Schema, Target, TargetValue, Unit};
pub use sources::{BUILT_IN, default_data_dir, format_name, locate, open};
