//! Which devices there are, and how to name them: `auto`, `cpu`, `cuda:N`, `metal:N`.

use candle_core::Device;
use std::fmt;
use std::str::FromStr;

/// A device as the user names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceSpec {
    /// The first CUDA device if this build can use one, otherwise the CPU. Metal is used only by name, because its
    /// memory cannot be measured yet.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The CUDA device with this index.
    Cuda(usize),
    /// The Metal device with this index.
    Metal(usize),
}

/// Why a device cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// Not a device name.
    #[error("unknown device `{found}`: allowed are auto, cpu, cuda:N and metal:N with N a whole number")]
    Unknown {
        /// What was asked for.
        found: String,
    },
    /// The program was built without the device's feature.
    #[error("device `{device}` needs a build with the feature `{feature}`, which this build lacks")]
    NotBuilt {
        /// The device asked for.
        device: DeviceSpec,
        /// The cargo feature that brings it.
        feature: &'static str,
    },
    /// The device is not there or does not start.
    #[error("device `{device}` cannot be used: {source}")]
    Unavailable {
        /// The device asked for.
        device: DeviceSpec,
        /// What candle said.
        source: Box<candle_core::Error>,
    },
}

/// One device this build can use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Its name on the command line.
    pub spec: DeviceSpec,
    /// What it is.
    pub description: String,
    /// Threads of the compute pool that work with it.
    pub threads: usize,
    /// Bytes of memory in all, if known.
    pub total_bytes: Option<u64>,
    /// Bytes a program could still use, if known.
    pub available_bytes: Option<u64>,
}

impl DeviceSpec {
    /// Opens the device.
    ///
    /// # Errors
    /// [`DeviceError::NotBuilt`] without its feature, [`DeviceError::Unavailable`] when it is not there.
    pub fn open(self) -> Result<Device, DeviceError> {
        let unavailable = |source| DeviceError::Unavailable { device: self, source: Box::new(source) };
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Auto => Ok(Self::Cuda(0).open().unwrap_or(Device::Cpu)),
            Self::Cuda(_) if !cfg!(feature = "cuda") => {
                Err(DeviceError::NotBuilt { device: self, feature: "cuda" })
            }
            Self::Metal(_) if !cfg!(feature = "metal") => {
                Err(DeviceError::NotBuilt { device: self, feature: "metal" })
            }
            Self::Cuda(index) => Device::new_cuda_with_stream(index).map_err(unavailable),
            Self::Metal(index) => Device::new_metal(index).map_err(unavailable),
        }
    }
}

/// The name of an open device, in the words of [`DeviceSpec`].
pub fn name(device: &Device) -> DeviceSpec {
    match device.location() {
        candle_core::DeviceLocation::Cpu => DeviceSpec::Cpu,
        candle_core::DeviceLocation::Cuda { gpu_id } => DeviceSpec::Cuda(gpu_id),
        candle_core::DeviceLocation::Metal { gpu_id } => DeviceSpec::Metal(gpu_id),
    }
}

/// The devices this build can use on this machine, the CPU first.
pub fn list() -> Vec<DeviceInfo> {
    let mut devices = vec![cpu_info()];
    let gpu = |index, cuda| if cuda { DeviceSpec::Cuda(index) } else { DeviceSpec::Metal(index) };
    for cuda in [true, false] {
        // Indices are dense: the first that does not open ends the list.
        for spec in (0..16).map(|index| gpu(index, cuda)) {
            let Ok(device) = spec.open() else { break };
            let description = if cuda { "CUDA device" } else { "Metal device" };
            devices.push(DeviceInfo {
                spec,
                description: description.to_owned(),
                threads: rayon::current_num_threads(),
                total_bytes: None,
                available_bytes: crate::meter::available_bytes(&device),
            });
        }
    }
    devices
}

/// The CPU with its model name, cores and memory.
///
/// The memory available respects a control group's limit (a container's).
pub fn cpu_info() -> DeviceInfo {
    let threads = rayon::current_num_threads();
    let mut info = DeviceInfo {
        spec: DeviceSpec::Cpu,
        description: format!("{}, {threads} threads", std::env::consts::ARCH),
        threads,
        total_bytes: None,
        available_bytes: None,
    };
    // Where the system cannot be asked (a platform unknown to sysinfo), the memory stays unknown.
    let Ok(mut system) = sysinfo::System::new() else { return info };
    system.refresh_memory();
    system.refresh_cpu_list(sysinfo::CpuRefreshKind::nothing());
    if let Some(model) = system.cpus().first().map(|cpu| cpu.brand().trim()).filter(|model| !model.is_empty())
    {
        info.description = format!("{model}, {threads} threads");
    }
    let limits = system.cgroup_limits();
    let within = |bytes: u64, limit: Option<u64>| Some(limit.map_or(bytes, |limit| bytes.min(limit)));
    info.total_bytes = within(system.total_memory(), limits.as_ref().map(|limits| limits.total_memory));
    info.available_bytes =
        within(system.available_memory(), limits.as_ref().map(|limits| limits.free_memory));
    info
}

impl fmt::Display for DeviceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
            Self::Metal(index) => write!(f, "metal:{index}"),
        }
    }
}

impl FromStr for DeviceSpec {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        let unknown = || DeviceError::Unknown { found: text.to_owned() };
        match text.split_once(':') {
            None if text == "auto" => Ok(Self::Auto),
            None if text == "cpu" => Ok(Self::Cpu),
            None if text == "cuda" => Ok(Self::Cuda(0)),
            None if text == "metal" => Ok(Self::Metal(0)),
            Some(("cuda", index)) => index.parse().map(Self::Cuda).map_err(|_| unknown()),
            Some(("metal", index)) => index.parse().map(Self::Metal).map_err(|_| unknown()),
            _ => Err(unknown()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for text in ["auto", "cpu", "cuda:0", "cuda:3", "metal:1"] {
            assert_eq!(text.parse::<DeviceSpec>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn unknown_names_say_what_is_allowed() {
        for text in ["", "gpu", "cuda:", "cuda:x", "cuda:-1", "metal:1:2", "tpu:0"] {
            let error = text.parse::<DeviceSpec>().unwrap_err().to_string();
            assert!(error.contains(&format!("`{text}`")) && error.contains("cuda:N"), "{error}");
        }
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_missing_feature_is_named() {
        let error = DeviceSpec::Cuda(0).open().unwrap_err().to_string();
        assert!(error.contains("feature `cuda`"), "{error}");
    }

    #[test]
    fn the_cpu_is_always_there() {
        let cpu = &list()[0];
        assert_eq!(cpu.spec, DeviceSpec::Cpu);
        assert!(cpu.available_bytes.unwrap() <= cpu.total_bytes.unwrap());
        assert!(matches!(DeviceSpec::Cpu.open(), Ok(Device::Cpu)));
    }
}
