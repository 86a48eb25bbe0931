//! Powers of the map p ← Mp + n on three second moments.

/// p ← Mp + n.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Affine {
    pub(super) matrix: [[f64; 3]; 3],
    pub(super) shift: [f64; 3],
}

impl Affine {
    const IDENTITY: Self =
        Self { matrix: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], shift: [0.0; 3] };

    pub(super) fn apply(&self, p: [f64; 3]) -> [f64; 3] {
        std::array::from_fn(|i| {
            let [a, b, c] = self.matrix[i];
            a * p[0] + b * p[1] + c * p[2] + self.shift[i]
        })
    }

    /// `next` after `self`.
    fn then(&self, next: &Self) -> Self {
        let matrix = std::array::from_fn(|i| {
            std::array::from_fn(|j| (0..3).map(|k| next.matrix[i][k] * self.matrix[k][j]).sum())
        });
        Self { matrix, shift: next.apply(self.shift) }
    }

    /// The map applied `times` times, by repeated squaring: 64 products at most, and none of the trouble of
    /// eigenvectors, of which heavy ball lacks one at critical damping.
    pub(super) fn power(&self, mut times: u64) -> Self {
        let (mut result, mut square) = (Self::IDENTITY, *self);
        while times > 0 {
            if times & 1 == 1 {
                result = result.then(&square);
            }
            times >>= 1;
            if times > 0 {
                square = square.then(&square);
            }
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::Affine;

    #[test]
    fn a_power_is_the_map_so_many_times() {
        let map =
            Affine { matrix: [[0.9, 0.1, -0.2], [0.3, 0.5, 0.1], [0.0, 0.2, 0.7]], shift: [0.1, 0.0, -0.3] };
        let mut p = [1.0, -2.0, 0.5];
        for times in 0..40 {
            let fast = map.power(times).apply([1.0, -2.0, 0.5]);
            assert!(fast.iter().zip(p).all(|(a, b)| (a - b).abs() < 1e-12), "{times}: {fast:?} {p:?}");
            p = map.apply(p);
        }
    }
}
