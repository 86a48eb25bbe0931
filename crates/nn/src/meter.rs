//! Peak memory of a device: the counting allocator on the CPU, the driver's memory pool on CUDA.
#![cfg_attr(
    feature = "cuda",
    expect(unsafe_code, reason = "the driver's memory pool is asked through raw pointers")
)]

use crate::memory;
use candle_core::{Device, Result};

/// Reads the bytes that tensors take on one device.
#[derive(Debug, Clone)]
pub struct Meter {
    device: Device,
}

impl Meter {
    /// A meter of this device.
    ///
    /// # Errors
    /// Says what is missing: the counting allocator on the CPU, a way to ask on Metal.
    pub fn new(device: &Device) -> Result<Self> {
        match device {
            Device::Cpu if !memory::is_counting() => candle_core::bail!(
                "the program does not count its memory: make batchwise_nn::memory::CountingAllocator its #[global_allocator]"
            ),
            Device::Metal(_) => candle_core::bail!(
                "peak memory cannot be measured on Metal in this version: use --device cpu"
            ),
            Device::Cpu | Device::Cuda(_) => Ok(Self { device: device.clone() }),
        }
    }

    /// Bytes live now.
    ///
    /// # Errors
    /// The driver does not answer.
    pub fn live(&self) -> Result<u64> {
        match &self.device {
            #[cfg(feature = "cuda")]
            Device::Cuda(device) => cuda::live(device),
            _ => Ok(memory::live()),
        }
    }

    /// The most bytes live at once since the last [`Meter::reset_peak`].
    ///
    /// # Errors
    /// The driver does not answer.
    pub fn peak(&self) -> Result<u64> {
        match &self.device {
            #[cfg(feature = "cuda")]
            Device::Cuda(device) => cuda::peak(device),
            _ => Ok(memory::peak()),
        }
    }

    /// Starts a new peak from what is live now.
    ///
    /// # Errors
    /// The driver does not answer.
    pub fn reset_peak(&self) -> Result<()> {
        match &self.device {
            #[cfg(feature = "cuda")]
            Device::Cuda(device) => cuda::reset_peak(device),
            _ => {
                memory::reset_peak();
                Ok(())
            }
        }
    }

    /// Ends the process where it would take more than `bytes`, on the CPU; on a GPU the peak must be compared.
    pub fn set_limit(&self, bytes: u64) {
        if self.device.is_cpu() {
            memory::set_limit(bytes);
        }
    }
}

/// Bytes that a program could still use on the device, if that is known.
pub fn available_bytes(device: &Device) -> Option<u64> {
    match device {
        Device::Cpu => crate::device::cpu_info().available_bytes,
        #[cfg(feature = "cuda")]
        Device::Cuda(device) => {
            device.cuda_stream().context().mem_get_info().ok().map(|(free, _)| free as u64)
        }
        _ => None,
    }
}

/// What the errors of a device whose memory is used up hold, in candle 0.11.1 with cudarc 0.19.10.
const OUT_OF_MEMORY: [&str; 7] = [
    // CUDA's driver: CUDA_ERROR_OUT_OF_MEMORY.
    "OUT_OF_MEMORY",
    // cuBLAS and cuDNN up to version 8, for their workspaces: …_STATUS_ALLOC_FAILED.
    "STATUS_ALLOC_FAILED",
    // cuDNN from version 9.
    "DEVICE_ALLOCATION_FAILED",
    // Metal: a buffer that it does not give (candle's name for it), and what a command buffer ends with.
    "Failed to create metal resource: Buffer",
    "kIOGPUCommandBufferCallbackErrorOutOfMemory",
    "kIOAccelCommandBufferCallbackErrorOutOfMemory",
    "Insufficient Memory",
];

/// Whether an operation failed because the device's memory is used up.
///
/// On the CPU that is never an error: an allocation that the system, or the limit of a
/// [`memory::CountingAllocator`], refuses ends the process.
pub fn is_out_of_memory(error: &candle_core::Error) -> bool {
    // The driver's error sits under wrappers that differ by operation; its name is in the text of them all.
    let text = error.to_string();
    OUT_OF_MEMORY.iter().any(|name| text.contains(name))
}

#[cfg(feature = "cuda")]
mod cuda {
    use candle_core::CudaDevice;
    use candle_core::cuda::cudarc::driver::{result, sys};
    use candle_core::{Error, Result};

    type Attribute = sys::CUmemPool_attribute;

    pub(super) fn live(device: &CudaDevice) -> Result<u64> {
        get(device, Attribute::CU_MEMPOOL_ATTR_USED_MEM_CURRENT)
    }

    pub(super) fn peak(device: &CudaDevice) -> Result<u64> {
        get(device, Attribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH)
    }

    pub(super) fn reset_peak(device: &CudaDevice) -> Result<()> {
        let pool = pool(device)?;
        let mut zero = 0u64;
        // SAFETY: the pool belongs to the device and lives as long as it; this attribute is a u64 and may
        // only be set to 0.
        unsafe {
            result::mem_pool::set_attribute(
                pool,
                Attribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH,
                (&raw mut zero).cast(),
            )
        }
        .map_err(Error::wrap)
    }

    fn get(device: &CudaDevice, attribute: Attribute) -> Result<u64> {
        let pool = pool(device)?;
        let mut value = 0u64;
        // SAFETY: the pool belongs to the device; the attributes asked for are u64.
        unsafe { result::mem_pool::get_attribute(pool, attribute, (&raw mut value).cast()) }
            .map_err(Error::wrap)?;
        Ok(value)
    }

    /// What was used is known only after the work in flight is done.
    fn pool(device: &CudaDevice) -> Result<sys::CUmemoryPool> {
        let stream = device.cuda_stream();
        stream.synchronize().map_err(Error::wrap)?;
        let context = stream.context();
        context.bind_to_thread().map_err(Error::wrap)?;
        // SAFETY: the device handle comes from a live context.
        unsafe { result::device::get_mem_pool(context.cu_device()) }.map_err(Error::wrap)
    }
}
