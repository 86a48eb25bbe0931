//! batchwise
