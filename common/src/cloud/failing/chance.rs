//! Failures by chance, as one word of a command line.

use std::str::FromStr;

use super::plan::{Calls, Fate, Plan, When};

/// So many percent of all calls fail, and so many lose their answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chance {
    seed: u64,
    percent: u32,
}

impl Chance {
    /// A plan that lets it happen.
    pub fn plan(self) -> Plan {
        let share = f64::from(self.percent) / 100.0;
        Plan::seeded(self.seed).with(Calls::Any, When::Chance(share), Fate::FailBefore).with(
            Calls::Any,
            When::Chance(share),
            Fate::LoseAnswer,
        )
    }
}

impl FromStr for Chance {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (seed, percent) = text.split_once(':').ok_or("write it as SEED:PERCENT")?;
        let seed = seed.parse().map_err(|error| format!("seed: {error}"))?;
        let percent = percent.parse().map_err(|error| format!("percent: {error}"))?;
        Ok(Self { seed, percent })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chance_is_a_seed_and_a_percentage() {
        assert_eq!("7:5".parse(), Ok(Chance { seed: 7, percent: 5 }));
        assert!("7".parse::<Chance>().is_err());
    }
}
