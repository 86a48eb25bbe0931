//! The single-precision logarithm, sine and cosine of the Cephes library (Moshier), rounded as PyTorch's AVX2 kernels
//! round them: every product that feeds a sum is fused with it.

use std::f64::consts::PI;

/// ln x of a normal x > 0.
pub(crate) fn ln(x: f32) -> f32 {
    const P: [f64; 9] = [
        7.0376836292e-2,
        -1.1514610310e-1,
        1.1676998740e-1,
        -1.2420140846e-1,
        1.4249322787e-1,
        -1.6668057665e-1,
        2.0000714765e-1,
        -2.4999993993e-1,
        3.3333331174e-1,
    ];
    // x = m·2^e with m in [√½, √2), and f = m − 1.
    let half_to_one = f32::from_bits(x.to_bits() & 0x007f_ffff | 0x3f00_0000);
    let exponent = (x.to_bits() >> 23) as f32 - 126.0;
    let (e, f) = if half_to_one < std::f32::consts::FRAC_1_SQRT_2 {
        (exponent - 1.0, half_to_one - 1.0 + half_to_one)
    } else {
        (exponent, half_to_one - 1.0)
    };
    let square = f * f;
    let y = polynomial(&P, f) * f;
    let y = y.mul_add(square, e * (-2.12194440e-4f64 as f32)) - square * 0.5;
    // ln 2 in two parts, the larger one exact.
    e.mul_add(0.693_359_4, f + y)
}

/// (sin x, cos x) of 0 ≤ x < 8192.
pub(crate) fn sin_cos(x: f32) -> (f32, f32) {
    const SIN: [f64; 3] = [-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1];
    const COS: [f64; 3] = [2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2];
    // π/4 in three parts.
    const PARTS: [f64; 3] = [0.78515625, 2.418_756_484_985_351_6e-4, 3.774_894_977_445_941e-8];
    let octant = (x * (4.0 / PI) as f32) as u32;
    let octant = (octant + 1) & !1;
    let r = PARTS.iter().fold(x, |r, part| (octant as f32).mul_add(-*part as f32, r));
    let square = r * r;
    let cos = (polynomial(&COS, square) * square).mul_add(square, -square * 0.5) + 1.0;
    let sin = (polynomial(&SIN, square) * square).mul_add(r, r);
    match octant & 7 {
        0 => (sin, cos),
        2 => (cos, -sin),
        4 => (-sin, -cos),
        _ => (-cos, sin),
    }
}

/// Horner's rule, from the highest power.
fn polynomial(coefficients: &[f64], x: f32) -> f32 {
    coefficients.iter().map(|c| *c as f32).reduce(|y, c| y.mul_add(x, c)).unwrap_or(0.0)
}
