//! Keeps the store up to date while a sweep runs, on a thread of its own: trials do not wait for it.

use batchwise_lab::store::Store;
use batchwise_lab::sweep::Root;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

/// The store's writer.
pub(super) struct Keeper {
    trials: Sender<String>,
    thread: JoinHandle<Vec<String>>,
}

impl Keeper {
    pub(super) fn start(root: &Root) -> Self {
        let (trials, changed) = channel::<String>();
        let root = root.clone();
        let thread = std::thread::spawn(move || {
            let mut troubles = Vec::new();
            let mut store = None;
            for id in changed {
                // After a fault the rest is taken in at the end: a store that is locked would be waited for at each.
                if !troubles.is_empty() {
                    continue;
                }
                let opened = match store.take() {
                    Some(store) => Ok(store),
                    None => Store::open(&root),
                };
                let kept = opened.and_then(|mut opened: Store| {
                    let kept = opened.ingest(&root.trial(&id));
                    store = Some(opened);
                    kept
                });
                if let Err(error) = kept {
                    troubles.push(error.to_string());
                    store = None;
                }
            }
            let opened = store.map_or_else(|| Store::open(&root), Ok);
            match opened.and_then(|mut store| store.refresh(&root)) {
                Ok(_) => troubles.clear(),
                Err(error) => troubles.push(error.to_string()),
            }
            troubles.dedup();
            troubles
        });
        Self { trials, thread }
    }

    /// A trial has changed.
    pub(super) fn tell(&self, id: &str) {
        // Where the thread is gone, its end says why.
        let _ = self.trials.send(id.to_owned());
    }

    /// Waits until all is taken in; what went wrong.
    pub(super) fn finish(self) -> Vec<String> {
        drop(self.trials);
        self.thread.join().unwrap_or_else(|_| vec!["its writer panicked".to_owned()])
    }
}
