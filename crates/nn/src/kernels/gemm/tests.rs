use super::*;
use proptest::prelude::*;
use std::hint::black_box;
use std::time::Instant;

fn naive(a: Matrix<'_, f32>, b: Matrix<'_, f32>) -> Vec<f64> {
    let at = |m: &Matrix<'_, f32>, i: usize, j: usize| f64::from(m.data[i * m.row_stride + j * m.col_stride]);
    let one = |i: usize, j: usize| (0..a.cols).map(|l| at(&a, i, l) * at(&b, l, j)).sum();
    (0..a.rows * b.cols).map(|i| one(i / b.cols, i % b.cols)).collect()
}

/// Whole numbers: every order of summation gives the same bits.
fn ramp(n: usize, step: f64) -> Vec<f32> {
    (0..n).map(|i| ((i as f64 * step).sin() * 4.0).round() as f32).collect()
}

fn matrix(data: &[f32], rows: usize, cols: usize, is_turned: bool) -> Matrix<'_, f32> {
    if is_turned { Matrix::row_major(data, cols, rows).t() } else { Matrix::row_major(data, rows, cols) }
}

fn by_path(
    path: &'static micro::Path,
    c: &mut [f32],
    accumulate: bool,
    a: Matrix<'_, f32>,
    b: Matrix<'_, f32>,
) {
    check(c.len(), a, b);
    // SAFETY: `check`; the path is one of `paths()`.
    unsafe { product_by(path, Target(c.as_mut_ptr()), accumulate, a, b, true, &Nothing) };
}

fn check_all_paths(m: usize, k: usize, n: usize, ta: bool, tb: bool) {
    let (x, y) = (ramp(m * k, 0.7), ramp(k * n, 1.3));
    let (a, b) = (matrix(&x, m, k, ta), matrix(&y, k, n, tb));
    let want: Vec<f32> = naive(a, b).iter().map(|v| *v as f32).collect();
    for path in micro::paths() {
        let mut got = vec![f32::NAN; m * n];
        by_path(path, &mut got, false, a, b);
        assert_eq!(got, want, "{} {m} {k} {n} {ta} {tb}", path.name);
        by_path(path, &mut got, true, a, b);
        let twice: Vec<f32> = want.iter().map(|v| 2.0 * v).collect();
        assert_eq!(got, twice, "{} {m} {k} {n} {ta} {tb}", path.name);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 300 }))]
    #[test]
    fn equals_the_plain_product(
        m in prop_oneof![1usize..20, 1usize..150],
        k in prop_oneof![1usize..20, 1usize..90],
        n in prop_oneof![1usize..20, 1usize..150],
        ta: bool,
        tb: bool,
    ) {
        check_all_paths(m, k, n, ta, tb);
    }

    #[test]
    fn is_right_to_rounding(seed in 0u32..1000, m in 1usize..40, k in 1usize..300, n in 1usize..40, ta: bool, tb: bool) {
        let noise = |n: usize, s: u32| -> Vec<f32> {
            (0..n as u32).map(|i| ((i + s).wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 23) as f32 - 1.0).collect()
        };
        let (x, y) = (noise(m * k, seed), noise(k * n, seed + 7_000_000));
        let (a, b) = (matrix(&x, m, k, ta), matrix(&y, k, n, tb));
        for path in micro::paths() {
            let mut got = vec![f32::NAN; m * n];
            by_path(path, &mut got, false, a, b);
            for (got, want) in got.iter().zip(naive(a, b)) {
                prop_assert!((f64::from(*got) - want).abs() < 1e-6 * (k as f64 + 8.0), "{} {got} {want}", path.name);
            }
        }
    }
}

#[test]
fn large_products_are_right() {
    println!("paths: {:?}", micro::paths().iter().map(|path| path.name).collect::<Vec<_>>());
    if cfg!(miri) {
        return;
    }
    for (m, k, n) in [(70, 1100, 65), (130, 40, 1100), (1100, 33, 40), (32, 784, 128), (200, 513, 90)] {
        for (ta, tb) in [(false, false), (false, true), (true, false), (true, true)] {
            check_all_paths(m, k, n, ta, tb);
        }
    }
}

#[test]
fn a_piece_of_memory_is_written() {
    let (x, y) = (ramp(6 * 50, 0.7), ramp(50 * 40, 1.3));
    let (a, b) = (Matrix::row_major(&x, 6, 50), Matrix::row_major(&y, 50, 40));
    let double = |_: usize, _: usize, c: &mut [f32]| c.iter_mut().for_each(|v| *v *= 2.0);
    let got = threads::build(6 * 40, 2 * 40, |i, piece| {
        write_product(piece, Matrix::row_major(&x[i * 2 * 50..][..2 * 50], 2, 50), b, double);
    });
    assert!(got.iter().zip(naive(a, b)).all(|(got, want)| f64::from(*got) == 2.0 * want));
}

/// `n` numbers that end where the memory ends.
#[cfg(all(target_os = "linux", not(miri)))]
struct AtTheEnd {
    start: *mut libc::c_void,
    bytes: usize,
    n: usize,
}

#[cfg(all(target_os = "linux", not(miri)))]
impl AtTheEnd {
    fn new(values: &[f32]) -> Self {
        // A multiple of every usual page; as much again is closed.
        const PAGE: usize = 1 << 16;
        let (n, open) = (values.len(), size_of_val(values).next_multiple_of(PAGE));
        let bytes = open + PAGE;
        // SAFETY: fresh memory, whose end is then closed; `values` fit in front of that.
        unsafe {
            let (access, kind) =
                (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
            let start = libc::mmap(std::ptr::null_mut(), bytes, access, kind, -1, 0);
            assert!(start != libc::MAP_FAILED);
            assert_eq!(libc::mprotect(start.byte_add(open), PAGE, libc::PROT_NONE), 0);
            let mut this = Self { start, bytes, n };
            this.numbers().copy_from_slice(values);
            this
        }
    }

    fn numbers(&mut self) -> &mut [f32] {
        let open = size_of::<f32>() * self.n;
        let first = open.next_multiple_of(1 << 16) - open;
        // SAFETY: `n` numbers of the open part, which zeros were in at first.
        unsafe { std::slice::from_raw_parts_mut(self.start.byte_add(first).cast(), self.n) }
    }
}

#[cfg(all(target_os = "linux", not(miri)))]
impl Drop for AtTheEnd {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`.
        unsafe { libc::munmap(self.start, self.bytes) };
    }
}

/// A kernel that read or wrote a number too far would end the process.
#[cfg(all(target_os = "linux", not(miri)))]
#[test]
fn nothing_beyond_the_slices_is_touched() {
    let sizes = [
        (1, 7, 9),
        (2, 100, 70),
        (5, 19, 37),
        (8, 130, 65),
        (17, 10, 33),
        (60, 300, 50),
        (150, 33, 130),
        (40, 600, 10),
    ];
    for (m, k, n) in sizes {
        for (ta, tb) in [(false, false), (false, true), (true, false), (true, true)] {
            let (mut x, mut y) = (AtTheEnd::new(&ramp(m * k, 0.7)), AtTheEnd::new(&ramp(k * n, 1.3)));
            let mut c = AtTheEnd::new(&vec![f32::NAN; m * n]);
            let (a, b) = (matrix(x.numbers(), m, k, ta), matrix(y.numbers(), k, n, tb));
            for path in micro::paths() {
                by_path(path, c.numbers(), false, a, b);
                assert!(c.numbers().iter().zip(naive(a, b)).all(|(got, want)| f64::from(*got) == want));
            }
        }
    }
}

#[test]
fn f64_has_the_same_interface() {
    let (x, y) = (ramp(300 * 64, 0.7), ramp(64 * 50, 1.3));
    let want = naive(matrix(&x, 300, 64, false), matrix(&y, 64, 50, false));
    let widen = |x: &[f32]| -> Vec<f64> { x.iter().map(|v| f64::from(*v)).collect() };
    let (x, y) = (widen(&x), widen(&y));
    let (a, b) = (Matrix::row_major(&x, 300, 64), Matrix::row_major(&y, 64, 50));
    assert_eq!(product(a, b, Nothing), want);
    let mut got = want.clone();
    gemm(&mut got, true, a, b);
    assert!(got.iter().zip(&want).all(|(got, want)| *got == 2.0 * want));
}

#[test]
fn the_finish_sees_every_number_once() {
    for (m, k, n) in [(5, 7, 9), (1, 30, 40), (60, 20, 300), (150, 600, 70), (40, 64, 200), (3, 0, 4)] {
        for (ta, tb) in [(false, false), (false, true), (true, false), (true, true)] {
            let (x, y) = (ramp(m * k, 0.7), ramp(k * n, 1.3));
            let (a, b) = (matrix(&x, m, k, ta), matrix(&y, k, n, tb));
            let add = |row: usize, column: usize, c: &mut [f32]| {
                c.iter_mut().enumerate().for_each(|(i, v)| *v += (1000 * row + column + i) as f32);
            };
            let want: Vec<f32> = naive(a, b)
                .iter()
                .enumerate()
                .map(|(i, v)| *v as f32 + (1000 * (i / n) + i % n) as f32)
                .collect();
            assert_eq!(product(a, b, add), want, "{m} {k} {n} {ta} {tb}");
        }
    }
}

#[test]
fn bits_do_not_depend_on_the_threads() {
    let noise =
        |n: usize, step: f64| -> Vec<f32> { (0..n).map(|i| (i as f64 * step).sin() as f32).collect() };
    for (m, k, n) in
        [(150, 600, 70), (32, 784, 128), (8, 784, 300), (1, 700, 200), (300, 1100, 90), (500, 32, 65)]
    {
        for (ta, tb) in [(false, false), (false, true), (true, false), (true, true)] {
            let (x, y) = (noise(m * k, 0.7), noise(k * n, 1.3));
            let (a, b) = (matrix(&x, m, k, ta), matrix(&y, k, n, tb));
            let mut want = vec![0.0; m * n];
            gemm(&mut want, false, a, b);
            for n_threads in [1, 2, 3, 8] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
                let got = pool.install(|| product(a, b, Nothing));
                assert!(
                    got.iter().zip(&want).all(|(g, w)| g.to_bits() == w.to_bits()),
                    "{m} {k} {n} {n_threads}"
                );
            }
        }
    }
}

#[test]
#[should_panic(expected = "beyond its slice")]
fn a_matrix_that_is_too_short_is_refused() {
    let x = vec![0.0f32; 11];
    gemm(&mut [0.0; 9], false, Matrix::row_major(&x, 3, 4), Matrix::row_major(&x, 3, 4).t());
}

/// The old way: rows split over the threads, the gemm crate on each part.
fn by_the_crate(c: &mut [f32], a: Matrix<'_, f32>, b: Matrix<'_, f32>) {
    let n_threads = threads::n_threads();
    let rows = a.rows.div_ceil(n_threads).next_multiple_of(8).min(a.rows);
    threads::for_each_chunk(c, rows * b.cols, |i, part| {
        let a_from = &a.data[i * rows * a.row_stride..];
        // SAFETY: the parts of c are this chunk's; a and b were made for these sizes.
        unsafe {
            ::gemm::gemm(
                part.len() / b.cols,
                b.cols,
                a.cols,
                part.as_mut_ptr(),
                1,
                b.cols as isize,
                false,
                a_from.as_ptr(),
                a.col_stride as isize,
                a.row_stride as isize,
                b.data.as_ptr(),
                b.col_stride as isize,
                b.row_stride as isize,
                1.0,
                1.0,
                false,
                false,
                false,
                ::gemm::Parallelism::None,
            );
        }
    });
}

/// Medians of long turns, or the best of short ones (`RATES_BEST=1`) where the machine has other work too:
/// `RATES=8,128 RATES_LAYER=784x512 cargo test --release -p batchwise-nn --lib rates -- --ignored --nocapture`
#[test]
#[ignore = "measures"]
fn rates() {
    let sizes = std::env::var("RATES").unwrap_or_else(|_| "1,8,32,128,512,2048,8192".into());
    let layers = [
        (784, 512),
        (512, 256),
        (256, 10),
        (3136, 128),
        (128, 10),
        (128, 384),
        (128, 128),
        (128, 512),
        (512, 128),
        (128, 65),
    ];
    println!("GFLOP/s, ours | gemm crate | ratio; path {}", micro::path().name);
    let only = std::env::var("RATES_LAYER").ok();
    for (inner, out) in layers {
        if only.as_ref().is_some_and(|only| *only != format!("{inner}x{out}")) {
            continue;
        }
        for m in sizes.split(',').map(|m| m.parse::<usize>().unwrap()) {
            let (x, w, dz) = (ramp(m * inner, 0.7), ramp(out * inner, 1.3), ramp(m * out, 0.9));
            let x = Matrix::row_major(&x, m, inner);
            let w = Matrix::row_major(&w, out, inner);
            let dz = Matrix::row_major(&dz, m, out);
            print!("in {inner:4} out {out:3} batch {m:5}:");
            for (name, a, b) in [("y", x, w.t()), ("dx", dz, w), ("dW", dz.t(), x)] {
                let mut c = vec![0.0; a.rows * b.cols];
                let flops = 2.0 * (a.rows * b.cols * a.cols) as f64;
                let best = std::env::var("RATES_BEST").is_ok();
                let calls = (if best { 2e7 } else { 3e8 } / flops).clamp(1.0, 2000.0) as usize;
                let mut times = [const { Vec::new() }; 2];
                for _ in 0..if best { 60 } else { 9 } {
                    for (i, times) in times.iter_mut().enumerate() {
                        let start = Instant::now();
                        for _ in 0..calls {
                            if i == 0 {
                                gemm_parallel(black_box(&mut c), false, a, b);
                            } else {
                                by_the_crate(black_box(&mut c), a, b);
                            }
                        }
                        times.push(start.elapsed().as_secs_f64() / calls as f64);
                    }
                }
                let rate = times.map(|mut times| {
                    times.sort_by(f64::total_cmp);
                    flops / times[if best { 0 } else { times.len() / 2 }] * 1e-9
                });
                print!("  {name:2} {:5.1} | {:5.1} | {:4.2}", rate[0], rate[1], rate[0] / rate[1]);
            }
            println!();
        }
    }
}
