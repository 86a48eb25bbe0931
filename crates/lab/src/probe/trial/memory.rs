//! The memory that a run takes.

use super::super::Context;
use super::Request;
use crate::LabError;
use batchwise_nn::memory;
use batchwise_nn::meter::Meter;

/// The meter of what training takes, with its limit.
pub(super) struct Memory {
    meter: Option<Meter>,
    base: u64,
    peak: u64,
    limit: u64,
}

impl Memory {
    /// Without a meter the peak stays unknown, which is no reason not to train.
    pub(super) fn begin(context: &Context<'_>, request: &Request) -> Result<Self, LabError> {
        let meter = Meter::new(&context.device).ok();
        let mut memory = Self { meter, base: 0, peak: 0, limit: u64::MAX };
        if let Some(meter) = &memory.meter {
            memory.base = meter.live()?;
            memory.limit = request.limit_bytes.map_or(u64::MAX, |limit| memory.base.saturating_add(limit));
            meter.set_limit(memory.limit);
            memory::allocate_workspaces();
            meter.reset_peak()?;
        }
        Ok(memory)
    }

    /// Does something that is no training: what it takes is not the user's concern.
    pub(super) fn aside<T>(&mut self, work: impl FnOnce() -> Result<T, LabError>) -> Result<T, LabError> {
        let Some(meter) = &self.meter else { return work() };
        self.peak = self.peak.max(meter.peak()?);
        meter.set_limit(u64::MAX);
        let result = work();
        meter.set_limit(self.limit);
        meter.reset_peak()?;
        result
    }

    /// The most that training took; what follows is none.
    pub(super) fn end(&mut self) -> Result<Option<u64>, LabError> {
        let Some(meter) = &self.meter else { return Ok(None) };
        let peak = self.peak.max(meter.peak()?).saturating_sub(self.base);
        self.limit = u64::MAX;
        meter.set_limit(self.limit);
        Ok(Some(peak))
    }
}
