//! PyTorch's random numbers on a CPU: its generator, and the distributions the four models draw from.

use super::cephes;

const N: usize = 624;
const M: usize = 397;

/// PyTorch's CPU generator after `manual_seed`: MT19937 (Matsumoto and Nishimura 1998, initialised as in 2002), and
/// the second number of a pair of normal ones.
pub(crate) struct Generator {
    state: [u32; N],
    next: usize,
    spare: Option<f64>,
}

impl Generator {
    pub(crate) fn new(seed: u32) -> Self {
        let mut state = [seed; N];
        for i in 1..N {
            let last = state[i - 1];
            state[i] = 1_812_433_253u32.wrapping_mul(last ^ (last >> 30)).wrapping_add(i as u32);
        }
        Self { state, next: N, spare: None }
    }

    /// `torch.randint(0, end, (n,))`.
    pub(crate) fn integers(&mut self, n: usize, end: u32) -> Vec<u32> {
        (0..n).map(|_| self.next_u32() % end).collect()
    }

    /// `torch.empty(n).uniform_(from, to)`.
    pub(crate) fn uniform(&mut self, n: usize, from: f64, to: f64) -> Vec<f32> {
        let (from, to) = (from as f32, to as f32);
        let draw = |_| {
            let value = self.unit_f32().mul_add(to - from, from);
            if value == to { from } else { value }
        };
        (0..n).map(draw).collect()
    }

    /// `torch.randn(n)`: Box–Muller on blocks of 16, or pair by pair in f64 where there is no whole block.
    pub(crate) fn normal(&mut self, n: usize) -> Vec<f32> {
        if n < 16 {
            return (0..n).map(|_| self.normal_f64() as f32).collect();
        }
        let mut values: Vec<f32> = (0..n).map(|_| self.unit_f32()).collect();
        values.chunks_exact_mut(16).for_each(box_muller);
        if !n.is_multiple_of(16) {
            let last = &mut values[n - 16..];
            last.iter_mut().for_each(|v| *v = self.unit_f32());
            box_muller(last);
        }
        values
    }

    fn normal_f64(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let (u1, u2) = (self.unit_f64(), self.unit_f64());
        let radius = (-2.0 * (-u2).ln_1p()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * u1).sin_cos();
        self.spare = Some(radius * sin);
        radius * cos
    }

    /// In [0, 1): the low 24 bits.
    fn unit_f32(&mut self) -> f32 {
        (self.next_u32() & 0x00ff_ffff) as f32 / (1u32 << 24) as f32
    }

    /// In [0, 1): the low 53 bits.
    fn unit_f64(&mut self) -> f64 {
        let high = u64::from(self.next_u32());
        let bits = high << 32 | u64::from(self.next_u32());
        (bits & ((1 << 53) - 1)) as f64 / (1u64 << 53) as f64
    }

    fn next_u32(&mut self) -> u32 {
        if self.next == N {
            self.twist();
        }
        let mut y = self.state[self.next];
        self.next += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    fn twist(&mut self) {
        for i in 0..N {
            let y = (self.state[i] & 0x8000_0000) | (self.state[(i + 1) % N] & 0x7fff_ffff);
            let odd = if y & 1 == 1 { 0x9908_b0df } else { 0 };
            self.state[i] = self.state[(i + M) % N] ^ (y >> 1) ^ odd;
        }
        self.next = 0;
    }
}

/// 16 uniform numbers to 16 normal ones: the first 8 give the radii, the last 8 the angles.
fn box_muller(block: &mut [f32]) {
    let (first, last) = block.split_at_mut(8);
    for (a, b) in first.iter_mut().zip(last) {
        let radius = (-2.0 * cephes::ln(1.0 - *a)).sqrt();
        let (sin, cos) = cephes::sin_cos(std::f32::consts::TAU * *b);
        // Adding the mean 0 turns −0 into 0.
        (*a, *b) = (radius * cos + 0.0, radius * sin + 0.0);
    }
}
