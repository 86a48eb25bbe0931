//! What micro-batches measured, as bytes that every rank gets.

use super::{Collective, CollectiveError, Shares};
use crate::contribution::Contribution;
use crate::preconditioned::FormNorms;

/// What one micro-batch measured.
pub(super) type Measured = Contribution<f64>;

/// The form of the records of one batch: one of the same length for each micro-batch that a rank may have.
pub(super) struct Form {
    /// Norms that one micro-batch has, at most: none, one, or one for each example.
    pub(super) n_norms: usize,
    /// Parameters.
    pub(super) n_groups: usize,
    /// Whether there are norms in the metrics of a preconditioner.
    pub(super) has_forms: bool,
}

/// Bytes of a number.
const NUMBER: usize = size_of::<f64>();

impl Form {
    /// Numbers of one record: weight, loss, norms of both forms, how many norms there are, and these with their weights.
    fn numbers(&self) -> usize {
        3 + if self.has_forms { 2 } else { 0 } + self.n_norms * (1 + self.n_groups)
    }

    /// Hands out what the micro-batches of all ranks measured, in their order, which is the same on every rank.
    pub(super) fn gather(
        &self,
        collective: &mut impl Collective,
        shares: &Shares,
        own: &[Measured],
    ) -> Result<Vec<Measured>, CollectiveError> {
        let slots =
            (0..collective.world()).map(|rank| shares.of(rank)).map(|of| (of.end - of.start) as usize);
        let (slots, record): (Vec<usize>, usize) = (slots.collect(), self.numbers() * NUMBER);
        // The first rank has the most.
        let len = slots.first().copied().unwrap_or(0) * record;
        let mut send = Vec::with_capacity(len);
        own.iter().for_each(|contribution| self.write(contribution, &mut send));
        send.resize(len, 0);
        let mut receive = vec![0; len * slots.len()];
        collective.all_gather_bytes(&send, &mut receive)?;
        let of_ranks = receive.chunks(len.max(1)).zip(slots);
        Ok(of_ranks.flat_map(|(bytes, n)| bytes.chunks(record).take(n).map(|r| self.read(r))).collect())
    }

    fn write(&self, contribution: &Measured, bytes: &mut Vec<u8>) {
        let end = bytes.len() + self.numbers() * NUMBER;
        let Contribution { weight, loss, norms, forms } = contribution;
        debug_assert!(forms.is_some() == self.has_forms, "a record is not of its form");
        let mut put = |number: f64| bytes.extend(number.to_le_bytes());
        [*weight, *loss].into_iter().for_each(&mut put);
        forms.iter().flat_map(|forms| [forms.by_p, forms.by_p2]).for_each(&mut put);
        put(norms.len() as f64);
        for (weight, groups) in norms {
            put(*weight);
            groups.iter().copied().for_each(&mut put);
        }
        debug_assert!(bytes.len() <= end, "a record is longer than its form");
        bytes.resize(end, 0);
    }

    fn read(&self, record: &[u8]) -> Measured {
        let (numbers, _) = record.as_chunks::<NUMBER>();
        let mut numbers = numbers.iter().map(|bytes| f64::from_le_bytes(*bytes));
        let mut next = || numbers.next().unwrap_or(f64::NAN);
        let (weight, loss) = (next(), next());
        let forms = self.has_forms.then(|| FormNorms { by_p: next(), by_p2: next() });
        let n = next() as usize;
        let norms = (0..n.min(self.n_norms))
            .map(|_| (next(), (0..self.n_groups).map(|_| next()).collect()))
            .collect();
        Contribution { weight, loss, norms, forms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parallel::Threads;

    #[test]
    fn every_rank_gets_all_records_in_their_order() {
        let contribution = |i: u64, has_forms: bool| Contribution {
            weight: i as f64 + 1.0,
            loss: if i == 3 { f64::INFINITY } else { 0.1 * i as f64 },
            norms: (0..i % 3).map(|j| (1.0, vec![j as f64, -0.0])).collect(),
            forms: has_forms.then_some(FormNorms { by_p: 0.3 * i as f64, by_p2: 1e300 }),
        };
        for (n, world, has_forms) in
            [(1, 1, false), (1, 4, true), (7, 2, false), (7, 4, true), (6, 8, false), (6, 8, true)]
        {
            let shares = Shares::new(n, world);
            let contribution = |i| contribution(i, has_forms);
            let want: Vec<Measured> = (0..n).map(contribution).collect();
            std::thread::scope(|scope| {
                for mut rank in Threads::world(world).unwrap() {
                    let want = &want;
                    scope.spawn(move || {
                        let own: Vec<Measured> = shares.of(rank.rank()).map(contribution).collect();
                        let form = Form { n_norms: 2, n_groups: 2, has_forms };
                        assert_eq!(&form.gather(&mut rank, &shares, &own).unwrap(), want);
                    });
                }
            });
        }
    }
}
