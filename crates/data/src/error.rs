//! The one error type of the crate.

use std::path::PathBuf;

/// What can go wrong with data: each variant says where, what was found and what is allowed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// No built-in data set, folder or path has this name.
    #[error(
        "data set `{spec}` not found; looked in: {}; built in: {}; in the data directory: {}; hint: {hint}",
        paths(looked),
        names(&crate::BUILT_IN.map(str::to_owned)),
        names(in_data_dir)
    )]
    NotFound {
        /// What was asked for.
        spec: String,
        /// The folders that were tried, in order.
        looked: Vec<PathBuf>,
        /// Folders that the data directory does hold.
        in_data_dir: Vec<String>,
        /// What to do about it.
        hint: String,
    },
    /// A file or folder was found, but it is of no known kind.
    #[error("`{}` is of no known format; known are: {known}", path.display())]
    UnknownFormat {
        /// The file or folder.
        path: PathBuf,
        /// The formats that are known.
        known: String,
    },
    /// A folder was found, but one of the four IDX files is not in it.
    #[error("`{}` holds none of the files {}", dir.display(), names(tried))]
    MissingFile {
        /// The folder of the data set.
        dir: PathBuf,
        /// The file names that would have been accepted.
        tried: Vec<String>,
    },
    /// The operating system refused to open or read a file.
    #[error("cannot read `{}` at byte {offset}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Bytes that had been read before the failure.
        offset: u64,
        /// The refusal.
        source: std::io::Error,
    },
    /// An IDX file does not begin with the four bytes of its kind.
    #[error("`{}` is not an IDX file of {kind}: byte 0 starts {found:#010x}, allowed is {expected:#010x}", path.display())]
    WrongMagic {
        /// The file.
        path: PathBuf,
        /// What the file should hold: `images` or `labels`.
        kind: &'static str,
        /// The first four bytes, big-endian.
        found: u32,
        /// The first four bytes that are allowed.
        expected: u32,
    },
    /// A file ends before its header says so.
    #[error("`{}` ends at byte {end}, its header promises {expected} bytes", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Bytes that were there (after decompression).
        end: u64,
        /// Bytes that should have been there (after decompression).
        expected: u64,
    },
    /// A file goes on after its header says it has ended.
    #[error("`{}` goes on after byte {expected}, where its header says it ends", path.display())]
    TrailingBytes {
        /// The file.
        path: PathBuf,
        /// Bytes the header promises (after decompression).
        expected: u64,
    },
    /// A header field cannot be right.
    #[error("`{}`: {field} at byte {offset} is {found}, allowed is {allowed}", path.display())]
    BadHeader {
        /// The file.
        path: PathBuf,
        /// The field's name.
        field: &'static str,
        /// Byte offset of the field (after decompression).
        offset: u64,
        /// The value found.
        found: u64,
        /// The values allowed.
        allowed: String,
    },
    /// A gzip stream is damaged or cut short.
    #[error("`{}` is a corrupt or truncated gzip file: it failed after {bytes_out} decompressed bytes: {source}", path.display())]
    Gzip {
        /// The file.
        path: PathBuf,
        /// Bytes that came out before the failure.
        bytes_out: u64,
        /// What the decompressor said.
        source: std::io::Error,
    },
    /// The image file and the label file count differently.
    #[error("`{}` holds {n_images} images, but `{}` holds {n_labels} labels", images.display(), labels.display())]
    CountMismatch {
        /// The image file.
        images: PathBuf,
        /// Images in it.
        n_images: u64,
        /// The label file.
        labels: PathBuf,
        /// Labels in it.
        n_labels: u64,
    },
    /// A label names a class that does not exist.
    #[error(
        "`{}`: label {index} at byte {offset} is {found}, allowed is 0..{n_classes} (the classes of the training labels)",
        path.display()
    )]
    LabelOutOfRange {
        /// The label file.
        path: PathBuf,
        /// Which label, counted from 0.
        index: u64,
        /// Its byte offset (after decompression).
        offset: u64,
        /// The value found.
        found: u32,
        /// Classes 0 to `n_classes - 1` are allowed.
        n_classes: usize,
    },
    /// A data set without examples.
    #[error("`{}` holds no examples, at least 1 is needed", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// Training labels that all name the same class: there is nothing to learn.
    #[error("every label in `{}` is {label}, at least 2 classes are needed", path.display())]
    OneClass {
        /// The label file.
        path: PathBuf,
        /// The only class.
        label: u32,
    },
    /// Training and test images differ in size.
    #[error(
        "images of `{}` are {}x{} pixels, those of `{}` are {}x{}",
        train.display(), train_size.0, train_size.1, test.display(), test_size.0, test_size.1
    )]
    SizeMismatch {
        /// The training images.
        train: PathBuf,
        /// Their rows and columns.
        train_size: (usize, usize),
        /// The test images.
        test: PathBuf,
        /// Their rows and columns.
        test_size: (usize, usize),
    },
    /// A setting of a data set or an order is outside its range.
    #[error("{field} is {found}, allowed is {allowed}")]
    Setting {
        /// The setting's name.
        field: &'static str,
        /// The value found.
        found: String,
        /// The values allowed.
        allowed: String,
    },
    /// A setting in the name of a data set that its format does not know.
    #[error("`{of}` has no setting `{found}`, allowed are: {allowed}")]
    UnknownSetting {
        /// The data set or its format.
        of: String,
        /// The setting's name.
        found: String,
        /// The names that are allowed.
        allowed: String,
    },
    /// Something in a file that its format does not allow.
    #[error("`{}`, {at}: {what} is {found}, allowed is {expected}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Where in the file.
        at: At,
        /// What was looked at there.
        what: String,
        /// What was found.
        found: String,
        /// What is allowed.
        expected: String,
    },
    /// An example that the data set does not have.
    #[error("example {index} does not exist in `{name}`, allowed is 0..{len}")]
    IndexOutOfRange {
        /// The data set.
        name: String,
        /// The index asked for.
        index: u64,
        /// Examples in the data set.
        len: u64,
    },
    /// A caller's buffer has the wrong length.
    #[error("the buffer for {buffer} holds {found} values, needed are {expected}")]
    BufferLength {
        /// Which buffer.
        buffer: &'static str,
        /// Its length.
        found: usize,
        /// The length needed.
        expected: usize,
    },
    /// A caller's buffer has values of the wrong type.
    #[error("the buffer holds {found} values, needed are {expected}")]
    BufferType {
        /// Type of its values.
        found: &'static str,
        /// The type needed.
        expected: &'static str,
    },
    /// A data set whose targets are not classes was asked for one.
    #[error("the targets of `{name}` are not classes")]
    NoClasses {
        /// The data set.
        name: String,
    },
    /// A data set that is not made of pixels was asked for them.
    #[error("`{name}` has no pixels to show")]
    NoPixels {
        /// The data set.
        name: String,
    },
    /// An order made for another number of examples.
    #[error("the order permutes {order} examples, but `{name}` holds {dataset}")]
    OrderLength {
        /// Examples the order permutes.
        order: u64,
        /// The data set.
        name: String,
        /// Examples in the data set.
        dataset: u64,
    },
    /// A request for no example.
    #[error("positions {start}..{end} hold no example")]
    EmptyRequest {
        /// First position.
        start: u64,
        /// One past the last position.
        end: u64,
    },
    /// A batch was to be received, but none is on order.
    #[error("nothing was requested from the loader")]
    NothingRequested,
    /// The data set panicked while it gathered rows.
    #[error("the data set `{name}` panicked at positions {start}..{end}: {message}")]
    Panicked {
        /// The data set.
        name: String,
        /// First position of the request.
        start: u64,
        /// One past the last position of the request.
        end: u64,
        /// The panic's message.
        message: String,
    },
    /// The prefetch thread could not be started, or it is gone.
    #[error("the prefetch thread is not running: {reason}")]
    NoThread {
        /// Why.
        reason: String,
    },
    /// Candle could not make the tensor.
    #[error("cannot make the tensor of a batch")]
    Tensor(#[from] candle_core::Error),
}

/// Where in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// The byte at this offset (after decompression).
    Byte(u64),
    /// This line, counted from 1.
    Line(u64),
    /// This row of a table, counted from 0.
    Row(u64),
    /// The file as a whole.
    File,
}

impl std::fmt::Display for At {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            At::Byte(offset) => write!(formatter, "byte {offset}"),
            At::Line(line) => write!(formatter, "line {line}"),
            At::Row(row) => write!(formatter, "row {row}"),
            At::File => formatter.write_str("as a whole"),
        }
    }
}

fn paths(paths: &[PathBuf]) -> String {
    if paths.is_empty() {
        return "nowhere (no data directory is known)".to_owned();
    }
    paths.iter().map(|path| format!("`{}`", path.display())).collect::<Vec<_>>().join(", ")
}

fn names(names: &[String]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
