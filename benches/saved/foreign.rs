//! How much of the machine others use meanwhile.

/// Clock ticks of all cores since the machine started.
#[derive(Debug, Clone, Copy)]
pub struct Ticks {
    total: f64,
    busy: f64,
    /// Of this process and the children it has waited for.
    own: f64,
}

impl Ticks {
    /// Now, where the system tells.
    #[must_use]
    pub fn now() -> Option<Self> {
        let stat = std::fs::read_to_string("/proc/stat").ok()?;
        let own = std::fs::read_to_string("/proc/self/stat").ok()?;
        Self::parse(&stat, &own)
    }

    fn parse(stat: &str, own: &str) -> Option<Self> {
        let numbers = |text: &str| -> Vec<f64> {
            text.split_whitespace().map_while(|field| field.parse().ok()).collect()
        };
        // user, nice, system, idle, waiting for a disk, …
        let all = numbers(stat.lines().next()?.strip_prefix("cpu")?);
        let total: f64 = all.iter().sum();
        let busy = total - all.get(3)? - all.get(4)?;
        // The name in parentheses may hold anything; the numbers come after the state that follows it.
        let rest = numbers(own.rsplit_once(')')?.1.trim_start().split_once(' ')?.1);
        Some(Self { total, busy, own: rest.get(10..14)?.iter().sum() })
    }

    /// The share of the machine that others have used since an earlier reading.
    #[must_use]
    pub fn foreign_since(self, earlier: Self) -> f64 {
        let others = (self.busy - earlier.busy) - (self.own - earlier.own);
        (others / (self.total - earlier.total).max(1.0)).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_neither_idle_nor_ours_is_foreign() {
        let own = |user: u64| format!("7 (a) b) S 1 7 7 0 -1 4194304 9 9 9 9 {user} 2 3 4 20 0 1");
        let then = Ticks::parse("cpu  100 0 50 800 50 0 0 0 0 0\ncpu0 1", &own(1));
        let now = Ticks::parse("cpu  160 0 60 820 60 0 0 0 0 0\ncpu0 1", &own(41));
        let foreign = then.zip(now).map(|(then, now)| now.foreign_since(then));
        // 70 of 100 ticks were busy, 40 of them ours.
        assert_eq!(foreign, Some(0.3));
    }
}
