use super::super::{Nothing, check, gemm_parallel, product_in};
use super::*;
use crate::precision::Precision;
use proptest::prelude::*;
use std::hint::black_box;
use std::time::Instant;

fn noise(n: usize, seed: u32) -> Vec<f32> {
    let one = |i: u32| ((i + seed).wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 23) as f32 - 1.0;
    (0..n as u32).map(one).collect()
}

fn matrix(data: &[f32], rows: usize, cols: usize, is_turned: bool) -> Matrix<'_, f32> {
    if is_turned { Matrix::row_major(data, cols, rows).t() } else { Matrix::row_major(data, rows, cols) }
}

fn by_way(way: Way, is_parallel: bool, a: Matrix<'_, f32>, b: Matrix<'_, f32>) -> Vec<f32> {
    let mut c = vec![f32::NAN; a.rows * b.cols];
    check(c.len(), a, b);
    // SAFETY: `check`; the way is one of `ways()`.
    unsafe { product_by(way, Target(c.as_mut_ptr()), a, b, is_parallel, &Nothing) };
    c
}

fn names() -> Vec<String> {
    let name = |way: Way| match way {
        #[cfg(target_arch = "x86_64")]
        Way::Pairs(path) => format!("pairs by {}", path.name),
        Way::Numbers(path) => format!("numbers by {}", path.name),
    };
    ways().into_iter().map(name).collect()
}

/// Σ round(a)·round(b) and Σ |round(a)·round(b)| in f64, for each number of the product.
fn exact(a: Matrix<'_, f32>, b: Matrix<'_, f32>) -> Vec<(f64, f64)> {
    let at = |m: &Matrix<'_, f32>, i: usize, j: usize| {
        f64::from(bf16::round(m.data[i * m.row_stride + j * m.col_stride]))
    };
    let one = |i: usize, j: usize| {
        let terms = (0..a.cols).map(|l| at(&a, i, l) * at(&b, l, j));
        terms.fold((0.0, 0.0), |(sum, size), term| (sum + term, size + term.abs()))
    };
    (0..a.rows * b.cols).map(|i| one(i / b.cols, i % b.cols)).collect()
}

/// A product of two bf16 has 16 bits and is exact in f32, so only the k − 1 additions round, each by the factor 1 + δ with
/// |δ| ≤ u = 2⁻²⁴: in whatever order, the error is at most γ·Σ|a||b| with γ = (k−1)u/(1−(k−1)u) (Higham 2002, §4.2),
/// which is below ku for k ≤ 2¹².
fn check_all_ways(m: usize, k: usize, n: usize, ta: bool, tb: bool, seed: u32) {
    let (x, y) = (noise(m * k, seed), noise(k * n, seed + 7_000_000));
    let (a, b) = (matrix(&x, m, k, ta), matrix(&y, k, n, tb));
    let exact = exact(a, b);
    let bound = |size: f64| k as f64 * f64::exp2(-24.0) * size;
    let all = ways().into_iter().map(|way| by_way(way, true, a, b)).collect::<Vec<_>>();
    for (got, name) in all.iter().zip(names()) {
        for (got, (sum, size)) in got.iter().zip(&exact) {
            let error = (f64::from(*got) - sum).abs();
            assert!(error <= bound(*size), "{name}, {m}·{k}·{n} {ta} {tb}: {got} for {sum}");
        }
        // Both within the bound of the same sum.
        for ((got, first), (_, size)) in got.iter().zip(&all[0]).zip(&exact) {
            assert!((f64::from(*got) - f64::from(*first)).abs() <= 2.0 * bound(*size), "{name}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 300 }))]
    #[test]
    fn is_the_product_of_the_rounded_operands(
        seed in 0u32..1000,
        m in prop_oneof![1usize..20, 1usize..100],
        k in prop_oneof![1usize..20, 1usize..300],
        n in prop_oneof![1usize..20, 1usize..100],
        ta: bool,
        tb: bool,
    ) {
        check_all_ways(m, k, n, ta, tb, seed);
    }
}

#[test]
fn large_products_are_right() {
    println!("ways: {:?}", names());
    if cfg!(miri) {
        return;
    }
    for (m, k, n) in [(70, 1101, 65), (130, 41, 1100), (1100, 33, 40), (32, 784, 128), (200, 1027, 90)] {
        for (ta, tb) in [(false, false), (false, true), (true, false), (true, true)] {
            check_all_ways(m, k, n, ta, tb, 5);
        }
    }
}

#[test]
fn the_fastest_way_is_the_first() {
    let by = |way: Way| (way.path().name, way.depth(7));
    assert_eq!(by(way()), by(ways()[0]));
}

#[test]
fn nothing_infinite_or_undefined_gets_lost_or_spreads() {
    for way in ways() {
        for (m, k, n) in [(3, 7, 40), (40, 33, 50), (20, 9, 3)] {
            let (mut x, y) = (vec![1.0; m * k], vec![1.0; k * n]);
            // The last of an odd number stands beside a padding of 0.
            x[k - 1] = f32::INFINITY;
            x[2 * k] = f32::from_bits(0x7f80_0001);
            let c = by_way(way, true, matrix(&x, m, k, false), matrix(&y, k, n, false));
            for (i, row) in c.chunks(n).enumerate() {
                let is_right = |v: &f32| match i {
                    0 => *v == f32::INFINITY,
                    2 => v.is_nan(),
                    _ => *v == k as f32,
                };
                assert!(row.iter().all(is_right), "row {i} of {m}·{k}·{n}");
            }
        }
    }
}

#[test]
fn bits_do_not_depend_on_the_threads() {
    for way in ways() {
        for (m, k, n) in [(150, 601, 70), (32, 784, 128), (8, 785, 300), (1, 701, 200), (300, 1100, 90)] {
            for (ta, tb) in [(false, false), (false, true), (true, false), (true, true)] {
                let (x, y) = (noise(m * k, 1), noise(k * n, 2));
                let (a, b) = (matrix(&x, m, k, ta), matrix(&y, k, n, tb));
                let want = by_way(way, false, a, b);
                for n_threads in [1, 2, 3] {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
                    let got = pool.install(|| by_way(way, true, a, b));
                    assert!(got.iter().zip(&want).all(|(got, want)| got.to_bits() == want.to_bits()));
                }
            }
        }
    }
}

#[test]
fn a_precision_changes_f32_products_only() {
    let (x, y) = (noise(40 * 50, 1), noise(50 * 60, 2));
    let (a, b) = (matrix(&x, 40, 50, false), matrix(&y, 50, 60, false));
    let rounded = product_in(Precision::Bf16, a, b, Nothing);
    assert_eq!(rounded, by_way(way(), true, a, b));
    assert_ne!(rounded, product_in(Precision::F32, a, b, Nothing));
    let widen = |x: &[f32]| -> Vec<f64> { x.iter().map(|x| f64::from(*x)).collect() };
    let (x, y) = (widen(&x), widen(&y));
    let (a, b) = (Matrix::row_major(&x, 40, 50), Matrix::row_major(&y, 50, 60));
    assert_eq!(product_in(Precision::Bf16, a, b, Nothing), product_in(Precision::F32, a, b, Nothing));
}

#[cfg(target_arch = "x86_64")]
#[test]
fn pairs_hold_what_is_rounded_by_definition() {
    if micro::pairs().is_none() {
        println!("this machine has no pairs of bf16");
        return;
    }
    let halves = [0, 1, 0x7fff, 0x8000, 0x8001, 0xffff];
    let all: Vec<f32> =
        (0..=0xffff_u32).flat_map(|upper| halves.map(|lower| f32::from_bits(upper << 16 | lower))).collect();
    let same = |bits: u32, x: f32| {
        let want = if x.is_subnormal() { 0.0f32.copysign(x) } else { bf16::round(x) };
        bits == want.to_bits() || (f32::from_bits(bits).is_nan() && x.is_nan())
    };
    for n in [all.len(), all.len() - 1, 1, 2, 15, 31, 33, 47, 63] {
        let x = &all[all.len() - n..];
        let at = |i: usize| x.get(i).copied().unwrap_or(0.0);
        let mut to = vec![f32::NAN; n.div_ceil(2)];
        // SAFETY: the machine has them.
        unsafe { x86_bf16::pairs_in(x, &mut to) };
        let is_right = |(i, to): (usize, &f32)| {
            same(to.to_bits() << 16, at(2 * i)) && same(to.to_bits() & 0xffff_0000, at(2 * i + 1))
        };
        assert!(to.iter().enumerate().all(is_right), "{n} in a line");
        let mut to = vec![f32::NAN; n];
        for y in [&all[..n], &all[..n / 2], &[]] {
            // SAFETY: see above.
            unsafe { x86_bf16::pairs_of(x, y, &mut to) };
            let is_right = |(i, to): (usize, &f32)| {
                let other = y.get(i).copied().unwrap_or(0.0);
                same(to.to_bits() << 16, x[i]) && same(to.to_bits() & 0xffff_0000, other)
            };
            assert!(to.iter().enumerate().all(is_right), "two lines of {n} and {}", y.len());
        }
    }
}

/// The best of short turns that alternate, of one thread, with the rounding of both operands:
/// `RAYON_NUM_THREADS=1 cargo test --release -p batchwise-nn --lib bf16_rates -- --ignored --nocapture`
#[test]
#[ignore = "measures"]
fn bf16_rates() {
    println!("GFLOP/s: f32, {}", names()[..2].join(", "));
    let layers = [(784, 512), (512, 256), (256, 10), (128, 384), (128, 512), (512, 128), (2048, 2048)];
    for (inner, out) in layers {
        for m in [8, 32, 128, 512, 2048] {
            let (x, w, dz) = (noise(m * inner, 1), noise(out * inner, 2), noise(m * out, 3));
            let x = Matrix::row_major(&x, m, inner);
            let w = Matrix::row_major(&w, out, inner);
            let dz = Matrix::row_major(&dz, m, out);
            print!("in {inner:4} out {out:4} batch {m:4}:");
            for (name, a, b) in [("y", x, w.t()), ("dx", dz, w), ("dw", dz.t(), x)] {
                let flops = 2.0 * (a.rows * b.cols * a.cols) as f64;
                let calls = (2e7 / flops).clamp(1.0, 2000.0) as usize;
                let (mut c, mut best) = (vec![0.0; a.rows * b.cols], [f64::MAX; 3]);
                for _ in 0..(3e10 / (calls as f64 * flops)).clamp(3.0, 40.0) as usize {
                    for (i, best) in best.iter_mut().enumerate() {
                        let start = Instant::now();
                        for _ in 0..calls {
                            match i {
                                0 => gemm_parallel(black_box(&mut c), false, a, b),
                                // SAFETY: as in `by_way`.
                                _ => unsafe {
                                    let to = Target(black_box(&mut c).as_mut_ptr());
                                    product_by(ways()[i - 1], to, a, b, true, &Nothing);
                                },
                            }
                        }
                        *best = best.min(start.elapsed().as_secs_f64() / calls as f64);
                    }
                }
                let rate = best.map(|best| flops / best * 1e-9);
                print!(
                    "  {name:2} {:5.1} {:5.1} {:5.1} ({:4.2})",
                    rate[0],
                    rate[1],
                    rate[2],
                    rate[1] / rate[0]
                );
            }
            println!();
        }
    }
}
