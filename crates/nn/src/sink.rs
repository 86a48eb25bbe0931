//! Where the ops of this crate put a parameter's gradient while [`crate::Gradients::backward`] runs.
//!
//! candle's gradient store answers each contribution with a tensor of zeros and a sum, so that three copies of the
//! largest weight live at once, and keeps every gradient until the pass is over. An op that finds its weight here
//! hands the gradient over instead and tells candle that there is none.

use crate::gradients::Tap;
use crate::kernels::conv::Geometry;
use candle_core::{Result, Tensor, TensorId, Var};
use std::cell::RefCell;
use std::collections::HashMap;

thread_local!(static SINK: RefCell<Option<Sink>> = const { RefCell::new(None) });

/// One use of a parameter in a model, with what the gradient of each example is made from. Rows belong to examples in
/// equal numbers, in their order.
pub(crate) enum Use {
    /// dW = Σ rowᵀ·column over the rows (r, out) and (r, in) of an example.
    Outer { rows: Tensor, columns: Tensor },
    /// The gradient is the sum of an example's rows (r, len).
    Vectors { rows: Tensor },
    /// A convolution of `input`; `gradient` makes that of its output before any activation. `norms2` are the squared
    /// norms, where this is the weight's only use.
    Conv { geometry: Geometry, input: Tensor, gradient: Box<dyn Fn() -> Result<Tensor>>, norms2: Vec<f64> },
    /// Row `ids[r]` of the weight has row r of the gradient (r, width).
    Rows { ids: Tensor, gradient: Tensor },
}

/// The gradients handed over so far.
pub(crate) struct Sink {
    index: HashMap<TensorId, usize>,
    tap: Tap,
    /// By parameter: the sum over micro-batches, if there is one yet.
    pub(crate) sums: Vec<Option<Tensor>>,
    /// By parameter: what this pass gave, kept apart only where its norm is asked for.
    pub(crate) fresh: Vec<Option<Tensor>>,
    /// By parameter: whether this pass gave anything.
    pub(crate) is_fed: Vec<bool>,
    /// By parameter, where the norms of single examples are asked for.
    pub(crate) uses: Option<Vec<Vec<Use>>>,
}

impl Sink {
    pub(crate) fn new(parameters: &[(String, Var)], sums: Vec<Tensor>, tap: Tap) -> Self {
        let n = parameters.len();
        let index = parameters.iter().enumerate().map(|(i, (_, var))| (var.as_tensor().id(), i)).collect();
        let mut sums: Vec<Option<Tensor>> = sums.into_iter().map(Some).collect();
        sums.resize_with(n, || None);
        Self { index, tap, sums, fresh: vec![None; n], is_fed: vec![false; n], uses: None }
    }

    /// Also keeps what the norms of single examples need.
    pub(crate) fn with_examples(mut self) -> Self {
        self.uses = Some(self.sums.iter().map(|_| Vec::new()).collect());
        self
    }

    /// Takes in one contribution to the gradient of parameter `i`.
    pub(crate) fn take_in(&mut self, i: usize, gradient: Tensor) -> Result<()> {
        self.is_fed[i] = true;
        let target = match self.tap {
            Tap::Off => &mut self.sums[i],
            Tap::Norms => &mut self.fresh[i],
        };
        match target {
            Some(sum) => crate::gradients::add_to(sum, &gradient),
            None => {
                *target = Some(gradient);
                Ok(())
            }
        }
    }
}

/// Runs a backward pass with `sink` in place on this thread, and returns it with what the pass returned.
pub(crate) fn collect<R>(sink: Sink, backward: impl FnOnce() -> R) -> (Sink, R) {
    /// Puts back what was there before, also when the pass panics.
    struct Restore(Option<Sink>);
    impl Drop for Restore {
        fn drop(&mut self) {
            SINK.set(self.0.take());
        }
    }
    let restore = Restore(SINK.replace(Some(sink)));
    let result = backward();
    let sink = SINK.take().expect("only this function takes it out");
    drop(restore);
    (sink, result)
}

/// The gradient of an op's argument as candle shall see it: none where a sink took it.
///
/// Only a variable can do without: candle expects the gradients of all that lies between.
pub(crate) fn give(argument: &Tensor, gradient: Tensor) -> Result<Option<Tensor>> {
    SINK.with_borrow_mut(|sink| {
        if !argument.track_op() {
            return Ok(None);
        }
        if let Some(sink) = sink
            && argument.is_variable()
            && let Some(i) = sink.index.get(&argument.id()).copied()
        {
            sink.take_in(i, gradient)?;
            return Ok(None);
        }
        Ok(Some(gradient))
    })
}

/// Whether a pass runs that asks for the norms of single examples.
pub(crate) fn wants_examples() -> bool {
    SINK.with_borrow(|sink| sink.as_ref().is_some_and(|sink| sink.uses.is_some()))
}

/// Keeps one use of a parameter for the norms of single examples; nothing for what is no parameter.
pub(crate) fn note(argument: &Tensor, what: Use) {
    SINK.with_borrow_mut(|sink| {
        if let Some(Sink { index, uses: Some(uses), .. }) = sink
            && let Some(i) = index.get(&argument.id())
        {
            uses[*i].push(what);
        }
    });
}
