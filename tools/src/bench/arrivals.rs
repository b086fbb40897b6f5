//! When requests are due, and which tenant each is for: decided before any answer is seen, so that a slow answer shows.

use super::document::Arrivals;

/// Random numbers that are the same in every run (xorshift64*, Vigna 2016).
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        // Neighbouring seeds give unlike states, and never the zero that the generator would stay at.
        Random((seed.wrapping_add(1)).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    #[inline]
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `bound`.
    #[inline]
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// A number in (0, 1].
    #[inline]
    fn unit(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }
}

/// The times at which one client's requests are due, in nanoseconds since the start.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    due_ns: f64,
    gap_ns: f64,
    poisson: bool,
    burst: u32,
    /// Requests that are due at `due_ns`.
    left: u32,
    random: Random,
}

impl Schedule {
    /// The share of client number `client` of `clients`; none in a closed loop.
    pub(crate) fn new(arrivals: &Arrivals, client: usize, clients: usize) -> Option<Schedule> {
        let Arrivals::Open { requests_per_sec, poisson, burst } = *arrivals else { return None };
        let gap_ns = 1e9 * clients as f64 * f64::from(burst) / requests_per_sec;
        // Clients take turns: together they are as even as one would be.
        let due_ns = gap_ns * client as f64 / clients as f64;
        Some(Schedule { due_ns, gap_ns, poisson, burst, left: burst, random: Random::new(client as u64) })
    }

    /// When the next request is due.
    #[inline]
    pub(crate) fn due(&self) -> u64 {
        self.due_ns as u64
    }

    /// Goes on to the one after it.
    #[inline]
    pub(crate) fn advance(&mut self) {
        self.left -= 1;
        if self.left == 0 {
            self.left = self.burst;
            self.due_ns += if self.poisson { -self.random.unit().ln() * self.gap_ns } else { self.gap_ns };
        }
    }
}

/// Chooses among streams.
#[derive(Clone, Debug)]
pub(crate) enum Pick {
    /// Each in turn.
    Turns { next: usize, of: usize },
    /// Some far more often than others.
    Weighted { columns: Vec<Column>, random: Random },
}

/// A column of an alias table: below `threshold` it stands for itself, else for `alias`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    threshold: u32,
    alias: u32,
}

impl Pick {
    pub(crate) fn turns(of: usize, first: usize) -> Pick {
        Pick::Turns { next: first % of, of }
    }

    /// Number i with a probability proportional to 1 / (i + 1)^theta. A choice takes the same time however many there are: the
    /// alias method (Walker 1977, in Vose's form of 1991).
    pub(crate) fn zipfian(of: usize, theta: f64, seed: u64) -> Pick {
        let weights: Vec<f64> = (1..=of).map(|rank| (rank as f64).powf(-theta)).collect();
        let scale = of as f64 / weights.iter().sum::<f64>();
        let mut share: Vec<f64> = weights.iter().map(|weight| weight * scale).collect();
        let mut columns: Vec<Column> = (0..of).map(|at| Column { threshold: u32::MAX, alias: at as u32 }).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) = (0..of).partition(|&at| share[at] < 1.0);
        while let (Some(low), Some(&high)) = (small.pop(), large.last()) {
            columns[low] = Column { threshold: (share[low] * f64::from(u32::MAX)) as u32, alias: high as u32 };
            share[high] -= 1.0 - share[low];
            if share[high] < 1.0 {
                small.extend(large.pop());
            }
        }
        Pick::Weighted { columns, random: Random::new(seed) }
    }

    #[inline]
    pub(crate) fn next(&mut self) -> usize {
        match self {
            Pick::Turns { next, of } => {
                let chosen = *next;
                *next = if chosen + 1 < *of { chosen + 1 } else { 0 };
                chosen
            }
            Pick::Weighted { columns, random } => {
                let at = random.below(columns.len() as u64) as usize;
                let Column { threshold, alias } = columns[at];
                if random.next() as u32 <= threshold { at } else { alias as usize }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(requests_per_sec: f64, poisson: bool, burst: u32) -> Arrivals {
        Arrivals::Open { requests_per_sec, poisson, burst }
    }

    fn times(arrivals: &Arrivals, client: usize, clients: usize, count: usize) -> Vec<u64> {
        let mut schedule = Schedule::new(arrivals, client, clients).unwrap();
        (0..count)
            .map(|_| {
                let due = schedule.due();
                schedule.advance();
                due
            })
            .collect()
    }

    #[test]
    fn equal_gaps_are_shared_among_clients() {
        let arrivals = open(1000.0, false, 1);
        assert_eq!(times(&arrivals, 0, 2, 3), [0, 2_000_000, 4_000_000]);
        assert_eq!(times(&arrivals, 1, 2, 3), [1_000_000, 3_000_000, 5_000_000]);
        assert!(Schedule::new(&Arrivals::Closed, 0, 1).is_none());
    }

    #[test]
    fn bursts_come_together_and_keep_the_rate() {
        assert_eq!(times(&open(3000.0, false, 3), 0, 1, 7), [0, 0, 0, 1_000_000, 1_000_000, 1_000_000, 2_000_000]);
    }

    #[test]
    fn poisson_gaps_have_the_mean_and_the_spread_of_an_exponential() {
        let times = times(&open(1e6, true, 1), 0, 1, 200_001);
        let gaps: Vec<f64> = times.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((mean / 1000.0 - 1.0).abs() < 0.02, "{mean}");
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.02, "{}", variance.sqrt());
    }

    #[test]
    fn a_zipfian_choice_has_the_shares_of_its_law() {
        let (of, theta, draws) = (100, 0.99, 1_000_000);
        let mut pick = Pick::zipfian(of, theta, 1);
        let mut counts = vec![0_u32; of];
        (0..draws).for_each(|_| counts[pick.next()] += 1);
        let total: f64 = (1..=of).map(|rank| (rank as f64).powf(-theta)).sum();
        for rank in [1, 2, 10, 100] {
            let expected = f64::from(draws) * (rank as f64).powf(-theta) / total;
            let counted = f64::from(counts[rank - 1]);
            assert!((counted - expected).abs() < 5.0 * expected.sqrt(), "rank {rank}: {counted}, not {expected}");
        }
        let mut one = Pick::zipfian(1, 1.0, 0);
        assert_eq!((0..9).map(|_| one.next()).max(), Some(0));
    }
}
