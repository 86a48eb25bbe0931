//! Data sets, addressed shuffling, batching and prefetching for candle.
//!
//! Data flows one way: a [`Dataset`] gathers rows by index into a buffer of the caller, an [`Order`] says which
//! index stands at which position of training, and a [`Loader`] prepares [`Batch`]es of any size ahead of their
//! use. [`open`] finds a data set by name: the built-in [`Glyphs`] need no file and no network.
//!
//! [`Batches`] cut an order into batches of any size, [`Buckets`] those of uneven sequences; a [`Shard`] is one worker's
//! part of each. [`Subset`], [`LabelNoise`], [`split_by_fraction`] and [`split_by_key`] make data sets of data sets.
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

mod augment;
mod batch;
mod batches;
mod buckets;
mod buffer;
mod check;
mod cifar;
mod contact_sheet;
mod dataset;
mod decode;
mod error;
#[cfg(feature = "fetch")]
pub mod fetch;
mod files;
mod glyphs;
mod idx;
mod idx_folder;
mod image_files;
mod image_folder;
mod image_list;
mod images;
mod info;
mod loader;
mod map;
mod order;
mod pixel_rows;
mod pixels;
mod schema;
mod settings;
mod sources;
mod stream;
mod tables;
mod tensors;
mod text;
mod wrappers;

pub use augment::{AugmentConfig, Augmented};
pub use batch::{Batch, Request, gather_batch};
pub use batches::{Batches, LastBatch};
pub use buckets::{BucketLimits, BucketStats, Buckets};
pub use check::{ExampleFault, check_examples};
pub use cifar::{CifarLabels, read_cifar};
pub use contact_sheet::contact_sheet;
pub use dataset::{Dataset, PADDING, Row, RowsMut, Splits, ValuesMut};
pub use decode::{DecodedImage, read_image};
pub use error::{At, DataError};
pub use glyphs::{GENERATOR_VERSION, Glyphs, GlyphsConfig, MAX_CLASSES, Split};
pub use idx::{IdxImages, read_images, read_labels};
pub use idx_folder::read_folder;
pub use image_folder::{ImageFolderConfig, read_image_folder};
pub use images::ByteImages;
pub use info::{ClassCounts, DatasetInfo, InputMoments, class_counts, dataset_info, input_moments};
pub use loader::{Iter, Loader, LoaderConfig, LoaderStats, READY_BATCHES};
pub use order::{MAX_LEN, Order, Shard};
pub use pixels::Normaliser;
pub use schema::{ElementType, Schema, Target, TargetValue, Unit};
pub use sources::{BUILT_IN, default_data_dir, format_name, locate, open};
pub use tables::{Missing, TableConfig, TableDataset, Task, TestRows, read_table};
pub use tensors::{TensorDataset, TensorFileConfig, read_tensors};
pub use text::{
    Sequences, TextConfig, TokenDataset, TokenFileConfig, TokenWidth, Tokens, read_text, read_tokens,
};
pub use wrappers::{LabelNoise, Subset, split_by_fraction, split_by_key};
