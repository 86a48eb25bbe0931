//! `devices`: what this build can compute on here.

use crate::cli::Options;
use crate::cli::show;
use batchwise_lab::{LabError, bytes};
use batchwise_nn::device;
use serde::Serialize;

#[derive(Serialize)]
struct Device {
    device: String,
    description: String,
    total_bytes: Option<u64>,
    available_bytes: Option<u64>,
}

pub(super) fn run(options: &Options) -> Result<(), LabError> {
    let devices: Vec<Device> = device::list()
        .into_iter()
        .map(|info| Device {
            device: info.spec.to_string(),
            description: info.description,
            total_bytes: info.total_bytes,
            available_bytes: info.available_bytes,
        })
        .collect();
    if options.json {
        show::json(&devices);
        return Ok(());
    }
    for device in devices {
        let memory = match (device.available_bytes, device.total_bytes) {
            (Some(available), Some(total)) => {
                format!(", {} of {} free", bytes::human(available), bytes::human(total))
            }
            _ => String::new(),
        };
        show::line(&format!("{:>10}  {}{memory}", device.device, device.description));
    }
    let built = [("cuda", cfg!(feature = "cuda")), ("metal", cfg!(feature = "metal"))];
    let missing: Vec<&str> = built.iter().filter(|(_, is_built)| !is_built).map(|(name, _)| *name).collect();
    if !missing.is_empty() {
        show::line(&format!(
            "\nNot in this build: {} (cargo features of the same names)",
            missing.join(", ")
        ));
    }
    Ok(())
}
