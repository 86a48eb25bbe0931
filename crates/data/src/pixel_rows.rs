//! Where the pixels of images lie: in memory, or in mapped files between headers and labels.

use crate::DataError;
use crate::map::MappedFile;

/// Images of equal length, in one or more parts, addressed by one row number.
#[derive(Debug)]
pub(crate) struct PixelRows {
    image_len: usize,
    parts: Vec<Part>,
    /// For each part the first row that is not in it nor before it.
    ends: Vec<usize>,
}

/// Images that lie one after another at equal distances.
#[derive(Debug)]
pub(crate) struct Part {
    /// What holds them.
    pub(crate) bytes: Bytes,
    /// Where the first image starts.
    pub(crate) offset: usize,
    /// From the start of one image to the start of the next.
    pub(crate) stride: usize,
    /// How many there are.
    pub(crate) n_images: usize,
}

/// Bytes in memory or in a file.
#[derive(Debug)]
pub(crate) enum Bytes {
    /// Read once.
    Owned(Vec<u8>),
    /// Read by the system when they are looked at.
    Mapped(MappedFile),
}

impl Bytes {
    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            Bytes::Owned(bytes) => bytes,
            Bytes::Mapped(file) => file,
        }
    }
}

impl Part {
    /// Images one after another in memory.
    pub(crate) fn owned(pixels: Vec<u8>, image_len: usize) -> Part {
        let n_images = pixels.len() / image_len.max(1);
        Part { bytes: Bytes::Owned(pixels), offset: 0, stride: image_len, n_images }
    }

    fn image(&self, row: usize, image_len: usize) -> &[u8] {
        &self.bytes.as_slice()[self.offset + row * self.stride..][..image_len]
    }

    fn check(&self) -> Result<(), DataError> {
        match &self.bytes {
            Bytes::Owned(_) => Ok(()),
            Bytes::Mapped(file) => file.check(),
        }
    }
}

impl PixelRows {
    /// Joins `parts`, each of which must be as long as its numbers say (readers check their files' sizes first).
    pub(crate) fn new(image_len: usize, parts: Vec<Part>) -> PixelRows {
        let mut n_images = 0;
        let end = |part: &Part| {
            n_images += part.n_images;
            n_images
        };
        let ends = parts.iter().map(end).collect();
        PixelRows { image_len, parts, ends }
    }

    /// Number of images.
    pub(crate) fn len(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    /// The bytes of one image; `row` must be below [`PixelRows::len`].
    pub(crate) fn image(&self, row: usize) -> &[u8] {
        let (part, row) = self.find(row);
        part.image(row, self.image_len)
    }

    /// All images, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|row| self.image(row))
    }

    /// Refuses files that were cut while they are in use.
    pub(crate) fn check(&self) -> Result<(), DataError> {
        self.parts.iter().try_for_each(Part::check)
    }

    /// The same for the file of one image only.
    pub(crate) fn check_row(&self, row: usize) -> Result<(), DataError> {
        self.find(row).0.check()
    }

    /// Bytes of memory in use; mapped files do not count.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let resident = |part: &Part| match &part.bytes {
            Bytes::Owned(bytes) => bytes.capacity() as u64,
            Bytes::Mapped(_) => 0,
        };
        self.parts.iter().map(resident).sum()
    }

    fn find(&self, row: usize) -> (&Part, usize) {
        if let [part] = &self.parts[..] {
            return (part, row);
        }
        let at = self.ends.partition_point(|end| *end <= row);
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        (&self.parts[at], row - start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_count_through_all_parts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        // A header of one byte, and a byte before each image.
        std::fs::write(&path, [9, 8, 5, 6, 8, 7, 8]).unwrap();
        let file = MappedFile::open(&path).unwrap();
        let mapped = Part { bytes: Bytes::Mapped(file), offset: 2, stride: 3, n_images: 2 };
        let empty = Part::owned(Vec::new(), 2);
        let rows = PixelRows::new(2, vec![Part::owned(vec![1, 2, 3, 4], 2), empty, mapped]);
        let images: Vec<&[u8]> = rows.iter().collect();
        assert_eq!(images, [[1, 2], [3, 4], [5, 6], [7, 8]]);
        assert_eq!(rows.resident_bytes(), 4);
        rows.check().unwrap();
        std::fs::File::options().write(true).open(&path).unwrap().set_len(3).unwrap();
        rows.check().unwrap_err();
        rows.check_row(0).unwrap();
        rows.check_row(2).unwrap_err();
    }
}
