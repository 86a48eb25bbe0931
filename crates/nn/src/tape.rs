//! A tape of this crate's ops, for backward passes without the cost of candle's.
//!
//! candle answers each edge of its graph with a tensor of zeros and a sum, takes three arguments to an op at most, and
//! keeps every tensor of the graph to the end of the pass. While [`Recorded::new`] runs, the ops of this crate record
//! themselves on a tape instead: the pass then costs the ops and nothing else, blocks of layers may be one op, and each
//! tensor is freed as the pass comes past it. Operations of candle's own may stand anywhere in between: to candle an op's
//! output is then a variable, so candle's graph reaches from one op of ours to the next, and its gradient is asked for
//! piece by piece. Without a recording the same ops are custom ops in candle's graph as ever.
//!
//! ```
//! use batchwise_nn::tape::Recorded;
//! use batchwise_nn::gradients::{Gradients, Tap};
//! use batchwise_nn::{Parameters, layers, loss, ops::Activation};
//! use candle_core::{DType, Device, Tensor};
//! use candle_nn::Module;
//!
//! let parameters = Parameters::new();
//! let vb = parameters.builder(7, DType::F32, &Device::Cpu);
//! let layer = layers::linear(3, 2, Activation::Identity, vb)?;
//! let x = Tensor::ones((5, 3), DType::F32, &Device::Cpu)?;
//! let y = Tensor::zeros(5, DType::U32, &Device::Cpu)?;
//!
//! let recorded = Recorded::new(|| loss::cross_entropy(&layer.forward(&x)?, &y).map(|loss| loss.sum))?;
//! let mut gradients = Gradients::new();
//! gradients.backward(&parameters, recorded.scaled(1.0 / 5.0), Tap::Off)?;
//! assert_eq!(gradients.tensors().len(), 2);
//! # Ok::<(), candle_core::Error>(())
//! ```

use crate::gradients::sum_of;
use candle_core::backend::BackendStorage;
use candle_core::backprop::GradStore;
use candle_core::{
    CpuStorage, CustomOp1, CustomOp2, CustomOp3, Device, Result, Shape, Tensor, TensorId, Var,
};
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

/// What the ops of this thread do.
enum Mode {
    /// They are nodes of candle's graph.
    Graph,
    /// They are entries of this tape.
    Tape(Tape),
    /// They remember nothing.
    Forget,
}

thread_local!(static MODE: RefCell<Mode> = const { RefCell::new(Mode::Graph) });

/// Runs `work` in a mode, and puts back the one before, also when it panics; returns the mode `work` has left.
fn within<R>(mode: Mode, work: impl FnOnce() -> R) -> (Mode, R) {
    struct Restore(Option<Mode>);
    impl Drop for Restore {
        fn drop(&mut self) {
            if let Some(before) = self.0.take() {
                MODE.set(before);
            }
        }
    }
    let mut restore = Restore(Some(MODE.replace(mode)));
    let result = work();
    let before = restore.0.take().expect("only dropping takes it");
    (MODE.replace(before), result)
}

/// Runs `work` without keeping what a backward pass would need: for evaluation. What the ops of this crate return has
/// no gradient then; candle's own operations on variables track theirs as ever.
pub fn no_grad<R>(work: impl FnOnce() -> R) -> R {
    within(Mode::Forget, work).1
}

/// The gradients of an op's arguments, from the arguments, the output and the output's gradient.
type Backward = Box<dyn FnOnce(&[Tensor], &Tensor, &Tensor) -> Result<Vec<Option<Tensor>>>>;

struct Entry {
    backward: Backward,
    args: Vec<Tensor>,
    /// What candle takes for a variable.
    leaf: Tensor,
    /// What the op returned: the leaf, or a view of it.
    out: Tensor,
    memory: Memory,
    /// Arguments that come from candle's own operations, where this entry is the first to use them.
    foreign: Vec<Tensor>,
}

/// How an op's output lies in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Memory {
    /// As its dimensions say.
    Contiguous,
    /// Images (n, c, h, w) that lie as (n, h, w, c).
    ChannelsLast,
}

impl Memory {
    /// What shall be seen of a tensor that lies like this.
    fn view(self, leaf: &Tensor) -> Result<Tensor> {
        match self {
            Self::Contiguous => Ok(leaf.clone()),
            Self::ChannelsLast => leaf.permute((0, 3, 1, 2)),
        }
    }
}

/// Ops in the order in which they ran.
#[derive(Default)]
struct Tape {
    entries: Vec<Entry>,
    /// The entry that a tensor is the output of, also for leaves.
    index: HashMap<TensorId, usize>,
    /// What has been seen of candle's own.
    foreign: HashSet<TensorId>,
}

impl Tape {
    fn push(
        &mut self,
        args: Vec<Tensor>,
        leaf: Tensor,
        memory: Memory,
        backward: Backward,
    ) -> Result<Tensor> {
        let out = memory.view(&leaf)?;
        let i = self.entries.len();
        self.index.insert(leaf.id(), i);
        self.index.insert(out.id(), i);
        let is_new = |arg: &&Tensor| {
            let is_ours = arg.is_variable() || self.index.contains_key(&arg.id());
            arg.track_op() && !is_ours && self.foreign.insert(arg.id())
        };
        let foreign = args.iter().filter(is_new).cloned().collect();
        self.entries.push(Entry { backward, args, leaf, out: out.clone(), memory, foreign });
        Ok(out)
    }
}

/// A loss and the tape that leads to it.
pub struct Recorded {
    loss: Tensor,
    factor: f64,
    tape: Tape,
}

impl Recorded {
    /// Runs `forward`, which returns a loss, and records the ops of this crate that it uses on this thread.
    ///
    /// # Errors
    /// What `forward` says.
    pub fn new<E>(forward: impl FnOnce() -> std::result::Result<Tensor, E>) -> std::result::Result<Self, E> {
        let (mode, loss) = within(Mode::Tape(Tape::default()), forward);
        let tape = match mode {
            Mode::Tape(tape) => tape,
            Mode::Graph | Mode::Forget => Tape::default(),
        };
        Ok(Self { loss: loss?, factor: 1.0, tape })
    }

    /// The loss, not scaled.
    pub fn loss(&self) -> &Tensor {
        &self.loss
    }

    /// The same with all gradients multiplied by a number.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        Self { factor: self.factor * factor, ..self }
    }

    /// The gradients of all variables the loss depends on, as by candle's own `Tensor::backward`.
    ///
    /// # Errors
    /// What an op says.
    pub fn backward(self) -> Result<GradStore> {
        let Self { loss, factor, tape: Tape { mut entries, index, .. } } = self;
        let mut pass = Pass {
            gradients: entries.iter().map(|_| None).collect(),
            memory: entries.iter().map(|entry| entry.memory).collect(),
            index,
            foreign: HashMap::new(),
            store: GradStore::default(),
        };
        match pass.index.get(&loss.id()) {
            Some(i) => pass.gradients[*i] = Some(loss.ones_like()?.affine(factor, 0.0)?.detach()),
            None if factor == 1.0 => pass.follow(loss.backward()?)?,
            None => pass.follow(loss.affine(factor, 0.0)?.backward()?)?,
        }
        drop(loss);
        while let Some(entry) = entries.pop() {
            let Entry { backward, args, leaf, out, foreign, .. } = entry;
            if let Some(gradient) = pass.gradients[entries.len()].take() {
                let gradients = backward(&args, &out, &gradient)?;
                // Freed before the next op allocates.
                drop((leaf, out, gradient));
                for (arg, gradient) in args.iter().zip(gradients) {
                    if let Some(gradient) = gradient {
                        pass.add(arg, gradient)?;
                    }
                }
            }
            // All that uses these has been passed.
            for tensor in foreign {
                if let Some(gradient) = pass.foreign.remove(&tensor.id()) {
                    pass.follow(tensor.mul(&gradient)?.sum_all()?.backward()?)?;
                }
            }
        }
        Ok(pass.store)
    }
}

impl From<&Tensor> for Recorded {
    /// A loss whose graph is candle's alone.
    fn from(loss: &Tensor) -> Self {
        Self { loss: loss.clone(), factor: 1.0, tape: Tape::default() }
    }
}

/// A backward pass under way.
struct Pass {
    /// By entry, in the shape of its output.
    gradients: Vec<Option<Tensor>>,
    memory: Vec<Memory>,
    index: HashMap<TensorId, usize>,
    /// Of tensors that come from candle's own operations.
    foreign: HashMap<TensorId, Tensor>,
    /// Of variables.
    store: GradStore,
}

impl Pass {
    /// Adds to the gradient of an op's argument.
    fn add(&mut self, arg: &Tensor, gradient: Tensor) -> Result<()> {
        if let Some(i) = self.index.get(&arg.id()) {
            return add_in(&mut self.gradients[*i], gradient);
        }
        if !arg.track_op() {
            return Ok(());
        }
        if arg.is_variable() {
            let sum = match self.store.get(arg) {
                Some(sum) => sum_of(sum, &gradient)?,
                None => gradient,
            };
            self.store.insert(arg, sum);
            return Ok(());
        }
        let mut sum = self.foreign.remove(&arg.id());
        add_in(&mut sum, gradient)?;
        self.foreign.extend(sum.map(|sum| (arg.id(), sum)));
        Ok(())
    }

    /// Takes over the gradients that a pass through candle's own operations gave.
    fn follow(&mut self, store: GradStore) -> Result<()> {
        let ids: Vec<TensorId> = store.get_ids().copied().collect();
        for id in ids {
            let Some(gradient) = store.get_id(id) else { continue };
            match self.index.get(&id) {
                Some(i) => {
                    let gradient = self.memory[*i].view(gradient)?;
                    add_in(&mut self.gradients[*i], gradient)?;
                }
                None => {
                    let sum = match self.store.get_id(id) {
                        Some(sum) => sum_of(sum, gradient)?,
                        None => gradient.clone(),
                    };
                    self.store.insert_id(id, sum);
                }
            }
        }
        Ok(())
    }
}

/// Adds to what there is, in new memory: a gradient may be shared by two arguments.
fn add_in(sum: &mut Option<Tensor>, gradient: Tensor) -> Result<()> {
    *sum = Some(match sum.take() {
        Some(sum) => sum_of(&sum, &gradient)?,
        None => gradient.detach(),
    });
    Ok(())
}

/// Whether a backward pass may come past a result that depends on these.
fn is_tracked(args: &[&Tensor]) -> bool {
    args.iter().any(|arg| arg.track_op())
}

/// Records an op that has been computed, or wraps its result where nothing is to be remembered. Not for what
/// is a node of candle's graph ([`is_graph`]).
pub(crate) fn record(
    result: (CpuStorage, Shape),
    memory: Memory,
    args: &[&Tensor],
    backward: impl FnOnce(&[Tensor], &Tensor, &Tensor) -> Result<Vec<Option<Tensor>>> + 'static,
) -> Result<Tensor> {
    let (storage, shape) = result;
    MODE.with_borrow_mut(|mode| match mode {
        Mode::Tape(tape) if is_tracked(args) => {
            let leaf = variable(storage, shape)?.into_inner();
            tape.push(args.iter().map(|arg| (*arg).clone()).collect(), leaf, memory, Box::new(backward))
        }
        _ => memory.view(&untracked(storage, shape)?),
    })
}

/// Whether nothing is kept for a backward pass.
pub(crate) fn is_forgetting() -> bool {
    MODE.with_borrow(|mode| matches!(mode, Mode::Forget))
}

/// Whether an op on these is a node of candle's graph.
pub(crate) fn is_graph(args: &[&Tensor]) -> bool {
    MODE.with_borrow(|mode| matches!(mode, Mode::Graph)) && is_tracked(args)
}

/// Applies an op of one argument, as [`Tensor::apply_op1`], in this thread's mode.
pub(crate) fn apply1(x: &Tensor, op: impl CustomOp1 + Send + Sync + 'static) -> Result<Tensor> {
    if is_graph(&[x]) || !x.device().is_cpu() {
        return x.apply_op1(op);
    }
    let result = {
        let (storage, layout) = x.storage_and_layout();
        op.cpu_fwd(crate::ops::cpu(&storage)?, layout)?
    };
    record(result, Memory::Contiguous, &[x], move |args, out, gradient| {
        Ok(vec![op.bwd(&args[0], out, gradient)?])
    })
}

/// Applies an op of two arguments, as [`Tensor::apply_op2`].
pub(crate) fn apply2(a: &Tensor, b: &Tensor, op: impl CustomOp2 + Send + Sync + 'static) -> Result<Tensor> {
    if is_graph(&[a, b]) || !a.device().is_cpu() {
        return a.apply_op2(b, op);
    }
    let result = {
        let ((a, of_a), (b, of_b)) = (a.storage_and_layout(), b.storage_and_layout());
        op.cpu_fwd(crate::ops::cpu(&a)?, of_a, crate::ops::cpu(&b)?, of_b)?
    };
    record(result, Memory::Contiguous, &[a, b], move |args, out, gradient| {
        let (a, b) = op.bwd(&args[0], &args[1], out, gradient)?;
        Ok(vec![a, b])
    })
}

/// Applies an op of three arguments, as [`Tensor::apply_op3`].
pub(crate) fn apply3(
    a: &Tensor,
    b: &Tensor,
    c: &Tensor,
    op: impl CustomOp3 + Send + Sync + 'static,
) -> Result<Tensor> {
    if is_graph(&[a, b, c]) || !a.device().is_cpu() {
        return a.apply_op3(b, c, op);
    }
    let result = {
        let ((a, of_a), (b, of_b)) = (a.storage_and_layout(), b.storage_and_layout());
        let (c, of_c) = c.storage_and_layout();
        op.cpu_fwd(crate::ops::cpu(&a)?, of_a, crate::ops::cpu(&b)?, of_b, crate::ops::cpu(&c)?, of_c)?
    };
    record(result, Memory::Contiguous, &[a, b, c], move |args, out, gradient| {
        let (a, b, c) = op.bwd(&args[0], &args[1], &args[2], out, gradient)?;
        Ok(vec![a, b, c])
    })
}

fn variable(storage: CpuStorage, shape: Shape) -> Result<Var> {
    match storage {
        CpuStorage::F32(values) => Var::from_vec(values, shape, &Device::Cpu),
        CpuStorage::F64(values) => Var::from_vec(values, shape, &Device::Cpu),
        other => candle_core::bail!("an op returned {:?}", other.dtype()),
    }
}

fn untracked(storage: CpuStorage, shape: Shape) -> Result<Tensor> {
    match storage {
        CpuStorage::F32(values) => Tensor::from_vec(values, shape, &Device::Cpu),
        CpuStorage::F64(values) => Tensor::from_vec(values, shape, &Device::Cpu),
        other => candle_core::bail!("an op returned {:?}", other.dtype()),
    }
}
