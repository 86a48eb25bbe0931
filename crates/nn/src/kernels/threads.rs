//! The compute pool: the calling thread and a few that wait for it.
//!
//! A step on a CPU is some dozens of short loops, and waking a thread that sleeps takes as long as a small one of these.
//! So the caller works too, the others spin for a moment before they sleep, and nobody waits for one that wakes up late.
//! Which thread does a piece of work depends on the clock; what the pieces are must depend on sizes alone.
//!
//! Denormal numbers are flushed to zero while a kernel runs ([`FlushDenormals`]): on x86 each costs a hundred cycles.
#![expect(unsafe_code, reason = "threads that outlive a call borrow its closure; registers of the processor")]

use std::cell::{Cell, UnsafeCell};
use std::mem::MaybeUninit;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::thread::{self, Thread};

/// Turns of the loop in which a thread waits before it sleeps: some fifty microseconds.
const SPINS: u32 = 1500;
/// More threads are not used.
const MAX_THREADS: usize = 64;

/// How many threads work, the caller's included: as many as rayon's pool has where it is called
/// (`RAYON_NUM_THREADS`), so that one setting serves all.
pub(crate) fn n_threads() -> usize {
    rayon::current_num_threads().min(MAX_THREADS)
}

/// Calls `work` for each of 0..n, on several threads; a thread takes neighbouring numbers, and which these are stays
/// much the same from call to call, so that what a core wrote is still in its cache.
pub(crate) fn for_each(n: usize, work: impl Fn(usize) + Sync) {
    let _flush = FlushDenormals::new();
    let n_threads = n_threads().min(n);
    match Pool::enter(n_threads) {
        Some((pool, _gate)) => pool.run(n, n_threads, &work),
        None => (0..n).for_each(work),
    }
}

/// [`for_each`] over the pieces of a slice, `len` long but for the last.
pub(crate) fn for_each_chunk<T: Send>(x: &mut [T], len: usize, work: impl Fn(usize, &mut [T]) + Sync) {
    assert!(0 < len, "a chunk holds something");
    let (n, x) = (x.len(), Shared::new(x));
    for_each(n.div_ceil(len), |i| {
        // SAFETY: chunks do not overlap, and each is taken once.
        work(i, unsafe { x.part(i * len, len.min(n - i * len)) });
    });
}

/// A number for each of 0..n, which a thread makes `at_once` at a time.
pub(crate) fn map<T: Copy + Send>(n: usize, at_once: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let at_once = at_once.max(1);
    build(n, at_once, |i, piece| {
        let from = i * at_once;
        piece.extend((from..from + piece.left()).map(&work));
    })
}

/// Calls `work` once on each thread that computes, the caller's included.
pub(crate) fn on_each(work: impl Fn() + Sync) {
    let n_threads = n_threads();
    let Some((pool, _gate)) = Pool::enter(n_threads) else { return work() };
    let n_threads = n_threads.min(pool.workers().len() + 1);
    let n_come = AtomicUsize::new(0);
    pool.run(n_threads, n_threads, &|_| {
        // Nobody takes a second turn before all have taken their first.
        n_come.fetch_add(1, AcqRel);
        while n_come.load(Acquire) < n_threads {
            thread::yield_now();
        }
        work();
    });
}

/// A vector of `n` numbers written piece by piece, `len` long but for the last; each call of `work` must write its whole
/// piece, which is checked.
///
/// Filling it with zeros first would cost another pass over memory.
pub(crate) fn build<T: Copy + Send>(
    n: usize,
    len: usize,
    work: impl Fn(usize, &mut Unwritten<'_, T>) + Sync,
) -> Vec<T> {
    let mut x = Vec::with_capacity(n);
    let spare = &mut x.spare_capacity_mut()[..n];
    for_each_chunk(spare, len.max(1), |i, piece| {
        let mut piece = Unwritten::new(piece);
        work(i, &mut piece);
        assert!(piece.at == piece.memory.len(), "a piece was left unwritten");
    });
    // SAFETY: every piece has been written to its end.
    unsafe { x.set_len(n) };
    x
}

/// [`build`], where each piece of the vector goes with a piece of `beside`, `beside_len` long but for the last.
pub(crate) fn build_beside<T: Copy + Send, U: Send>(
    n: usize,
    len: usize,
    beside: &mut [U],
    beside_len: usize,
    work: impl Fn(usize, &mut Unwritten<'_, T>, &mut [U]) + Sync,
) -> Vec<T> {
    let (m, beside) = (beside.len(), Shared::new(beside));
    build(n, len, |i, piece| {
        let from = (i * beside_len).min(m);
        // SAFETY: pieces do not overlap, and each is taken once.
        work(i, piece, unsafe { beside.part(from, beside_len.min(m - from)) });
    })
}

/// Memory that is written from its start to its end.
pub(crate) struct Unwritten<'a, T> {
    at: usize,
    memory: &'a mut [MaybeUninit<T>],
}

impl<'a, T: Copy> Unwritten<'a, T> {
    pub(crate) fn new(memory: &'a mut [MaybeUninit<T>]) -> Self {
        Self { at: 0, memory }
    }

    /// How much there is still to write.
    pub(crate) fn left(&self) -> usize {
        self.memory.len() - self.at
    }

    /// Writes what the iterator gives, at most to the end.
    #[inline(always)]
    pub(crate) fn extend(&mut self, values: impl Iterator<Item = T>) {
        let mut n = 0;
        for (slot, value) in self.memory[self.at..].iter_mut().zip(values) {
            slot.write(value);
            n += 1;
        }
        self.at += n;
    }

    /// The rest as numbers to be overwritten, set to `value` first.
    pub(crate) fn filled(&mut self, value: T) -> &mut [T] {
        self.next(self.left(), value)
    }

    /// The next `n` numbers, set to `value` first: a row at a time stays in the nearest cache for whoever overwrites it.
    #[inline(always)]
    pub(crate) fn next(&mut self, n: usize, value: T) -> &mut [T] {
        let next = &mut self.memory[self.at..self.at + n];
        next.fill(MaybeUninit::new(value));
        self.at += n;
        // SAFETY: all of it has just been written.
        unsafe { &mut *(std::ptr::from_mut(next) as *mut [T]) }
    }

    /// What has been written so far.
    pub(crate) fn written(&mut self) -> &mut [T] {
        let written = &mut self.memory[..self.at];
        // SAFETY: everything before `at` has been written.
        unsafe { &mut *(std::ptr::from_mut(written) as *mut [T]) }
    }

    /// Where the rest begins, for a kernel that writes all of it.
    ///
    /// # Safety
    /// The caller writes [`Unwritten::left`] numbers from there before the piece is handed back.
    pub(crate) unsafe fn take(&mut self) -> *mut T {
        let rest = &mut self.memory[self.at..];
        self.at += rest.len();
        rest.as_mut_ptr().cast()
    }
}

/// A slice that several threads write in different places.
pub(crate) struct Shared<'a, T> {
    start: *mut T,
    len: usize,
    borrow: std::marker::PhantomData<&'a mut [T]>,
}

// SAFETY: it is used through `part`, whose callers promise that no two parts that live at once overlap.
unsafe impl<T: Send> Sync for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    pub(crate) fn new(x: &'a mut [T]) -> Self {
        Self { start: x.as_mut_ptr(), len: x.len(), borrow: std::marker::PhantomData }
    }

    /// Elements `from` to `from + len`.
    ///
    /// # Safety
    /// No two parts that live at the same time overlap.
    #[expect(clippy::mut_from_ref, reason = "the caller promises that parts do not overlap")]
    pub(crate) unsafe fn part(&self, from: usize, len: usize) -> &mut [T] {
        assert!(from <= self.len && len <= self.len - from, "a part lies inside its slice");
        // SAFETY: inside the slice, by the line above; alone, by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(from), len) }
    }
}

/// Rows of one length, each of which is written by one thread at a time.
pub(crate) struct Rows<'a, T> {
    len: usize,
    rows: Vec<Mutex<&'a mut [T]>>,
}

impl<'a, T> Rows<'a, T> {
    /// Cuts a slice into rows.
    pub(crate) fn new(x: &'a mut [T], len: usize) -> Self {
        Self { len, rows: x.chunks_exact_mut(len.max(1)).map(Mutex::new).collect() }
    }

    /// Works on row `i`; an empty one where there are none.
    pub(crate) fn with<R>(&self, i: usize, work: impl FnOnce(&mut [T]) -> R) -> R {
        match self.rows.get(i) {
            Some(row) if self.len != 0 => work(&mut row.lock().unwrap_or_else(PoisonError::into_inner)),
            _ => work(&mut []),
        }
    }
}

thread_local! {
    /// Whether this thread is in the middle of a piece: work inside of it stays on it.
    static IS_BUSY: Cell<bool> = const { Cell::new(false) };
}

static POOL: OnceLock<Pool> = OnceLock::new();

/// One closure to be called for 0..n.
#[derive(Clone, Copy)]
struct Job {
    work: *const (dyn Fn(usize) + Sync),
    n: usize,
    n_threads: usize,
}

// SAFETY: the closure behind the pointer may be called by several threads, and lives until all of these have left it.
unsafe impl Send for Job {}

/// On its own cache line, so that threads do not slow each other.
#[repr(align(128))]
struct Padded<T>(T);

struct Pool {
    /// Held by whoever runs a job.
    gate: Mutex<()>,
    /// The number of the job, times [`STEP`], plus whether it is open, plus twice the number of workers at it.
    state: AtomicU64,
    job: UnsafeCell<Option<Job>>,
    /// The next number of each thread's own range.
    next: Vec<Padded<AtomicUsize>>,
    sleeps: Vec<Padded<AtomicBool>>,
    workers: OnceLock<Vec<Thread>>,
    has_panicked: AtomicBool,
}

const OPEN: u64 = 1;
const WORKER: u64 = 2;
const STEP: u64 = 1 << 16;

// SAFETY: `job` is written only by the holder of the gate while the state is closed and no worker is at it, and read
// only by workers that have entered while it was open.
unsafe impl Sync for Pool {}

impl Pool {
    fn start() -> Self {
        // Of the whole process: a caller may stand in a smaller pool now and in a larger one later.
        let n_workers = thread::available_parallelism().map_or(1, usize::from).max(n_threads());
        let n_workers = n_workers.min(MAX_THREADS) - 1;
        Self {
            gate: Mutex::new(()),
            state: AtomicU64::new(0),
            job: UnsafeCell::new(None),
            next: (0..=n_workers).map(|_| Padded(AtomicUsize::new(0))).collect(),
            sleeps: (0..=n_workers).map(|_| Padded(AtomicBool::new(false))).collect(),
            workers: OnceLock::new(),
            has_panicked: AtomicBool::new(false),
        }
    }

    /// The threads that wait for work; started at first use, when the pool has its place in memory.
    fn workers(&'static self) -> &'static [Thread] {
        self.workers.get_or_init(|| {
            let start = |i: usize| {
                let named = thread::Builder::new().name(format!("batchwise-{i}"));
                named.spawn(move || self.wait_for_work(i)).map(|handle| handle.thread().clone())
            };
            // Where the system gives no more threads, those there are do the work.
            (1..self.next.len()).map_while(|i| start(i).ok()).collect()
        })
    }

    /// The pool with its gate, where it can be had by so many threads. Inside of a piece, and while another thread that
    /// trains has it, a caller goes on alone.
    fn enter(n_threads: usize) -> Option<(&'static Self, MutexGuard<'static, ()>)> {
        if n_threads <= 1 || IS_BUSY.get() {
            return None;
        }
        let pool = POOL.get_or_init(Self::start);
        match pool.gate.try_lock() {
            Ok(gate) => Some((pool, gate)),
            // A piece has panicked: its job is over all the same, and the gate guards no value.
            Err(TryLockError::Poisoned(gate)) => Some((pool, gate.into_inner())),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    fn run(&'static self, n: usize, n_threads: usize, work: &(dyn Fn(usize) + Sync)) {
        let workers = self.workers();
        let n_threads = n_threads.min(workers.len() + 1);
        // SAFETY: only the lifetime changes; `Close` does not let this call end while a worker is at the job.
        let work: *const (dyn Fn(usize) + Sync) = unsafe { std::mem::transmute(std::ptr::from_ref(work)) };
        let job = Job { work, n, n_threads };
        // Where the caller of an earlier job has panicked as well, nobody has asked.
        self.has_panicked.store(false, Relaxed);
        for (i, next) in self.next.iter().enumerate().take(n_threads) {
            next.0.store(i * n / n_threads, Relaxed);
        }
        // SAFETY: the gate is held, and the last job was closed with no worker at it.
        unsafe { *self.job.get() = Some(job) };
        self.state.fetch_add(STEP | OPEN, SeqCst);
        for i in 1..n_threads {
            if self.sleeps[i].0.load(SeqCst) {
                workers[i - 1].unpark();
            }
        }
        /// Ends the job, also when the caller's own share panics.
        struct Close<'a>(&'a Pool);
        impl Drop for Close<'_> {
            fn drop(&mut self) {
                self.0.state.fetch_sub(OPEN, AcqRel);
                let mut turns = 0u32;
                while !self.0.state.load(Acquire).is_multiple_of(STEP) {
                    turns += 1;
                    if turns < SPINS { std::hint::spin_loop() } else { thread::yield_now() }
                }
            }
        }
        {
            let _close = Close(self);
            self.take_part(0, job);
        }
        if self.has_panicked.swap(false, Relaxed) {
            panic!("a compute thread panicked");
        }
    }

    /// Does what is left of this thread's own range, then of the others'.
    fn take_part(&self, me: usize, job: Job) {
        struct Busy;
        impl Drop for Busy {
            fn drop(&mut self) {
                IS_BUSY.set(false);
            }
        }
        IS_BUSY.set(true);
        let _busy = Busy;
        // SAFETY: the job is open or its caller waits for this thread, so the closure lives.
        let work = unsafe { &*job.work };
        for other in 0..job.n_threads {
            let owner = (me + other) % job.n_threads;
            let end = (owner + 1) * job.n / job.n_threads;
            loop {
                let i = self.next[owner].0.fetch_add(1, Relaxed);
                if end <= i {
                    break;
                }
                work(i);
            }
        }
    }

    /// The life of one worker.
    fn wait_for_work(&self, me: usize) {
        let _flush = FlushDenormals::new();
        let mut done = 0;
        loop {
            let mut turns = 0;
            let mut state = self.state.load(Acquire);
            while state & OPEN == 0 || state / STEP == done {
                turns += 1;
                if turns < SPINS {
                    std::hint::spin_loop();
                } else {
                    self.sleeps[me].0.store(true, SeqCst);
                    let fresh = self.state.load(SeqCst);
                    if fresh & OPEN == 0 || fresh / STEP == done {
                        thread::park();
                    }
                    self.sleeps[me].0.store(false, SeqCst);
                    turns = 0;
                }
                state = self.state.load(Acquire);
            }
            // Enters only while the job is open.
            if self.state.compare_exchange_weak(state, state + WORKER, AcqRel, Relaxed).is_err() {
                continue;
            }
            done = state / STEP;
            // SAFETY: entered while open: the caller waits for this thread before it changes the job.
            let job = unsafe { *self.job.get() };
            if let Some(job) = job
                && me < job.n_threads
                && panic::catch_unwind(AssertUnwindSafe(|| self.take_part(me, job))).is_err()
            {
                self.has_panicked.store(true, Relaxed);
            }
            self.state.fetch_sub(WORKER, Release);
        }
    }
}

/// While it lives, this thread's arithmetic flushes denormal numbers to zero, where the processor can (x86-64, 64-bit ARM).
/// What the thread had set before comes back.
pub(crate) struct FlushDenormals {
    before: Option<Control>,
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
type Control = u32;
#[cfg(all(target_arch = "aarch64", not(miri)))]
type Control = u64;
#[cfg(any(miri, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
type Control = ();

impl FlushDenormals {
    pub(crate) fn new() -> Self {
        let before = control();
        let wanted = flushing(before);
        if wanted == before {
            return Self { before: None };
        }
        set_control(wanted);
        Self { before: Some(before) }
    }
}

impl Drop for FlushDenormals {
    fn drop(&mut self) {
        if let Some(before) = self.before {
            set_control(before);
        }
    }
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
mod register {
    use super::Control;

    /// Flush to zero, denormals are zero (Intel SDM vol. 1, §10.2.3).
    pub(super) fn flushing(control: Control) -> Control {
        control | 0x8040
    }

    pub(super) fn control() -> Control {
        let mut control: Control = 0;
        // SAFETY: stores MXCSR, which every x86-64 has, in the variable.
        unsafe {
            std::arch::asm!("stmxcsr [{}]", in(reg) &raw mut control, options(nostack, preserves_flags))
        };
        control
    }

    pub(super) fn set_control(control: Control) {
        // SAFETY: a value that was read from MXCSR, or the same with two defined bits set.
        unsafe {
            std::arch::asm!("ldmxcsr [{}]", in(reg) &raw const control, options(nostack, preserves_flags, readonly))
        };
    }
}

#[cfg(all(target_arch = "aarch64", not(miri)))]
mod register {
    use super::Control;

    /// FZ (Arm ARM, FPCR).
    pub(super) fn flushing(control: Control) -> Control {
        control | 1 << 24
    }

    pub(super) fn control() -> Control {
        let control: Control;
        // SAFETY: reads a register that every 64-bit ARM has.
        unsafe {
            std::arch::asm!("mrs {}, fpcr", out(reg) control, options(nomem, nostack, preserves_flags))
        };
        control
    }

    pub(super) fn set_control(control: Control) {
        // SAFETY: a value that was read from FPCR, or the same with FZ set.
        unsafe { std::arch::asm!("msr fpcr, {}", in(reg) control, options(nomem, nostack, preserves_flags)) };
    }
}

#[cfg(any(miri, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
mod register {
    pub(super) fn flushing((): ()) {}
    pub(super) fn control() {}
    pub(super) fn set_control((): ()) {}
}

use register::{control, flushing, set_control};

#[cfg(test)]
mod tests {
    use super::*;
    use std::hint::black_box;

    #[test]
    fn each_number_is_taken_once() {
        for n in [0, 1, 2, 3, 7, 64, 1000] {
            let counts: Vec<AtomicUsize> = (0..n).map(|_| AtomicUsize::new(0)).collect();
            for _ in 0..20 {
                for_each(n, |i| {
                    counts[i].fetch_add(1, Relaxed);
                });
            }
            assert!(counts.iter().all(|count| count.load(Relaxed) == 20), "{n}");
        }
    }

    #[test]
    fn several_callers_and_calls_inside_of_calls_come_to_an_end() {
        let total = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        for_each(5, |_| {
                            for_each(3, |_| {
                                total.fetch_add(1, Relaxed);
                            });
                        });
                    }
                });
            }
        });
        assert_eq!(total.into_inner(), 4 * 200 * 15);
    }

    #[test]
    fn each_thread_is_reached_once() {
        for _ in 0..20 {
            let seen = Mutex::new(Vec::new());
            on_each(|| seen.lock().unwrap().push(thread::current().id()));
            let seen = seen.into_inner().unwrap();
            let mut distinct = std::collections::HashSet::new();
            assert!(seen.iter().all(|id| distinct.insert(*id)) && !seen.is_empty());
        }
        assert_eq!(map(7, 3, |i| 2 * i), [0, 2, 4, 6, 8, 10, 12]);
    }

    #[test]
    fn it_works_after_the_threads_have_slept() {
        for _ in 0..3 {
            thread::sleep(std::time::Duration::from_millis(5));
            let total = AtomicUsize::new(0);
            for_each(100, |i| {
                total.fetch_add(i, Relaxed);
            });
            assert_eq!(total.into_inner(), 4950);
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_goes_on() {
        for at in [0, 99] {
            let result = panic::catch_unwind(|| for_each(100, |i| assert!(i != at, "planted")));
            assert!(result.is_err());
            for_each(10, |_| {});
            // The gate opens again, as soon as no other test has it.
            let opens = (0..10_000).any(|_| {
                thread::sleep(std::time::Duration::from_millis(1));
                Pool::enter(2).is_some()
            });
            assert!(opens);
        }
    }

    #[test]
    fn pieces_are_written_in_place() {
        let x = build(10, 4, |i, piece| {
            let n = piece.left();
            piece.extend((0..n).map(|j| 10 * i + j));
        });
        assert_eq!(x, [0, 1, 2, 3, 10, 11, 12, 13, 20, 21]);
        let x = build(5, 3, |i, piece| piece.filled(i)[0] = 7);
        assert_eq!(x, [7, 0, 0, 7, 1]);
    }

    #[test]
    #[should_panic(expected = "unwritten")]
    fn an_unwritten_piece_is_noticed() {
        build(4, 4, |_, piece| piece.extend([1, 2].into_iter()));
    }

    #[cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri)))]
    #[test]
    fn denormals_are_zero_inside_and_themselves_outside() {
        let product = || black_box(1e-30f32) * black_box(1e-10f32);
        for_each(1, |_| assert_eq!(product(), 0.0));
        for_each(64, |_| assert_eq!(product(), 0.0));
        assert_ne!(product(), 0.0);
    }
}
