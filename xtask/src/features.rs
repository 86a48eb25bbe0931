//! Which device features to build with.

use crate::shell::output;
use std::path::Path;

/// What was chosen, and why.
pub(crate) struct Features {
    pub(crate) names: String,
    pub(crate) reason: String,
}

/// The features for this machine: Metal on a Mac; CUDA where there are a driver and a compiler for it, because a
/// build with CUDA neither compiles without the one nor starts without the other; else none.
pub(crate) fn choose() -> Features {
    if let Ok(names) = std::env::var("BATCHWISE_FEATURES") {
        return Features { names, reason: "BATCHWISE_FEATURES".to_owned() };
    }
    if cfg!(target_os = "macos") {
        return Features { names: "metal".to_owned(), reason: "this is a Mac".to_owned() };
    }
    match (has_cuda_driver(), has_cuda_compiler()) {
        (true, true) => {
            Features { names: "cuda".to_owned(), reason: "a CUDA driver and nvcc were found".to_owned() }
        }
        (true, false) => Features {
            names: String::new(),
            reason: "there is a CUDA device, but no nvcc to build for it: the CPU is used".to_owned(),
        },
        (false, _) => Features { names: String::new(), reason: "no GPU was found".to_owned() },
    }
}

pub(crate) fn has_cuda_driver() -> bool {
    Path::new("/proc/driver/nvidia/version").exists() || output("nvidia-smi", &["-L"]).is_some()
}

pub(crate) fn has_cuda_compiler() -> bool {
    output("nvcc", &["--version"]).is_some()
}
