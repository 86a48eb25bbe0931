//! Short names of well-known data sets.

/// A data set of the hub that has a short name.
///
/// No commit stands here: the first fetch pins the one that `main` names then, and writes it into the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CatalogEntry {
    /// The short name, which is also the name of the folder in the data directory.
    pub name: &'static str,
    /// The data set on the hub, as `owner/name`.
    pub repository: &'static str,
    /// The folder of the repository that is fetched.
    pub folder: &'static str,
    /// What it holds.
    pub about: &'static str,
}

/// The data sets that can be fetched by a short name.
pub const CATALOG: &[CatalogEntry] = &[
    CatalogEntry {
        name: "mnist",
        repository: "ylecun/mnist",
        folder: "mnist",
        about: "handwritten digits, 28x28 grey, 10 classes, 60000 training and 10000 test images",
    },
    CatalogEntry {
        name: "fashion-mnist",
        repository: "zalando-datasets/fashion_mnist",
        folder: "fashion_mnist",
        about: "clothes, 28x28 grey, 10 classes, 60000 training and 10000 test images",
    },
    CatalogEntry {
        name: "cifar10",
        repository: "uoft-cs/cifar10",
        folder: "plain_text",
        about: "objects, 32x32 colour, 10 classes, 50000 training and 10000 test images",
    },
    CatalogEntry {
        name: "cifar100",
        repository: "uoft-cs/cifar100",
        folder: "cifar100",
        about: "objects, 32x32 colour, 100 classes, 50000 training and 10000 test images",
    },
    CatalogEntry {
        name: "wikitext-2",
        repository: "Salesforce/wikitext",
        folder: "wikitext-2-raw-v1",
        about: "articles of Wikipedia as raw text, about 2 million words for training",
    },
];
