"""Writes lr.tsv: learning rates of PyTorch's and optax's schedulers beside the text of the same schedule here.

Run once with each package installed: `python make_lr.py torch > torch.tsv`, `python make_lr.py optax > optax.tsv`.
One step is one example. A line holds: source, total examples, text, and the learning rates at 0, 1, 2, …
"""

import sys


def show(source, total, text, values):
    print("\t".join([source, str(total), text, *(repr(float(v)) for v in values)]))


def from_torch():
    import torch
    from torch.optim import lr_scheduler as s

    def run(total, text, make, n=None):
        opt = torch.optim.SGD([torch.zeros(1)], lr=0.4, momentum=0.9)
        sched, values = make(opt), []
        name = type(sched).__name__
        for _ in range(n or total + 1):
            values.append(opt.param_groups[0]["lr"])
            opt.step()
            try:
                sched.step()
            except ValueError:  # OneCycleLR refuses to go beyond its end
                pass
        show(f"torch {torch.__version__.split('+')[0]} {name}", total, text, values)

    run(12, "0.4 constant", lambda o: s.ConstantLR(o, factor=1.0))
    run(12, "0.4 warmup 8ex from 25% then constant", lambda o: s.LinearLR(o, 0.25, 1.0, 8))
    run(12, "0.4 linear to 10% over 8ex", lambda o: s.LinearLR(o, 1.0, 0.1, 8))
    run(12, "0.4 cosine to 0.01 over 12ex", lambda o: s.CosineAnnealingLR(o, 12, eta_min=0.01))
    run(29, "0.4 restarts every 4ex x2 to 0.01 over 29ex", lambda o: s.CosineAnnealingWarmRestarts(o, 4, 2, 0.01), 28)
    run(30, "0.4 restarts every 7ex to 0", lambda o: s.CosineAnnealingWarmRestarts(o, 7, 1, 0.0))
    run(10, "0.4 polynomial 2 to 0", lambda o: s.PolynomialLR(o, 10, 2.0))
    run(10, "0.4 polynomial 0.9 to 0 over 8ex", lambda o: s.PolynomialLR(o, 8, 0.9))
    run(14, "0.4 step x0.1 every 5ex", lambda o: s.StepLR(o, 5, 0.1))
    run(14, "0.4 step x0.3 at 3ex,4ex,11ex", lambda o: s.MultiStepLR(o, [3, 4, 11], 0.3))
    run(14, "0.4 exponential x0.9 every 1ex", lambda o: s.ExponentialLR(o, 0.9))
    # Its phases end one step before 30 % of the run and one before its end.
    run(19, "0.4 warmup 5ex from 4% cosine then cosine to 0.0004% over 14ex", lambda o: s.OneCycleLR(o, 0.4, total_steps=20))
    run(40, "0.4 cyclic from 0.1 every 10ex up 30%", lambda o: s.CyclicLR(o, 0.1, 0.4, 3, 7, "triangular"))
    run(40, "0.4 cyclic from 0.1 every 10ex halving", lambda o: s.CyclicLR(o, 0.1, 0.4, 5, 5, "triangular2"))
    run(40, "0.4 cyclic from 0.1 every 10ex up 40% decay x0.3486784401", lambda o: s.CyclicLR(o, 0.1, 0.4, 4, 6, "exp_range", gamma=0.9))
    run(16, "0.4 warmup 4ex from 10% then cosine to 0 over 12ex", lambda o: s.SequentialLR(o, [s.LinearLR(o, 0.1, 1.0, 4), s.CosineAnnealingLR(o, 12)], [4]))


def from_optax():
    import jax
    import optax

    jax.config.update("jax_enable_x64", True)

    def run(total, text, schedule):
        name = f"optax {optax.__version__} {schedule[0]}"
        show(name, total, text, [schedule[1](i) for i in range(total + 1)])

    run(12, "0.4 constant", ("constant", lambda i: optax.constant_schedule(0.4)(i)))
    run(20, "0.4 warmup 5ex then cosine to 0.01", ("warmup_cosine_decay", optax.warmup_cosine_decay_schedule(0.0, 0.4, 5, 20, 0.01)))
    run(16, "0.4 warmup 6ex from 0.1 then constant", ("warmup_constant", optax.warmup_constant_schedule(0.1, 0.4, 6)))
    run(20, "0.4 linear to 0.02 over 16ex", ("linear", optax.linear_schedule(0.4, 0.02, 16)))
    run(20, "0.4 constant for 4ex then polynomial 3 to 0.02 over 12ex", ("polynomial", optax.polynomial_schedule(0.4, 0.02, 3, 12, 4)))
    run(20, "0.4 exponential x0.5 every 6ex to 0.06", ("exponential_decay", optax.exponential_decay(0.4, 6, 0.5, end_value=0.06)))
    run(20, "0.4 step x0.5 every 6ex", ("exponential_decay_staircase", optax.exponential_decay(0.4, 6, 0.5, staircase=True)))
    run(20, "0.4 constant for 5ex then constant 0.2 for 7ex then constant 0.02", ("piecewise_constant", optax.piecewise_constant_schedule(0.4, {5: 0.5, 12: 0.1})))
    run(20, "0.4 warmup 5ex from 4% cosine then cosine to 1% over 15ex", ("piecewise_interpolate cosine", optax.piecewise_interpolate_schedule("cosine", 0.016, {5: 25.0, 20: 0.01})))
    run(20, "0.4 cosine to 10% over 16ex", ("cosine_decay", optax.cosine_decay_schedule(0.4, 16, 0.1)))
    run(20, "0.4 warmup 4ex from 10% then exponential x0.8 every 3ex", ("warmup_exponential_decay", optax.warmup_exponential_decay_schedule(0.04, 0.4, 4, 3, 0.8)))


{"torch": from_torch, "optax": from_optax}[sys.argv[1]]()
