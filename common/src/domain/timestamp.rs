//! A point in time as milliseconds since 1970 UTC. Tables and the API write RFC 3339 with three decimals (so that text
//! order is time order); queue messages write the number (`#[serde(with = "timestamp::millis")]`).

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From milliseconds since 1970 UTC.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970 UTC.
    pub fn millis(self) -> i64 {
        self.0
    }

    /// Reads RFC 3339.
    pub fn parse(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>().ok().map(|at| Self(at.as_millisecond()))
    }

    /// The time that passed since `earlier`; zero when it lies in the future.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// This time moved into the future.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }

    /// So long after it in Unix seconds: how rows say from when on they may be deleted. Garbage collection only.
    #[must_use]
    pub fn ttl(self, kept: Duration) -> i64 {
        self.plus(kept).millis() / 1000
    }

    /// The day as `YYYY-MM-DD`, UTC.
    pub fn day(self) -> String {
        self.to_string()[..10].to_owned()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = jiff::Timestamp::from_millisecond(self.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        write!(f, "{at:.3}")
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(deserializer)
    }
}

fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Millis(i64),
        Fraction(f64),
        Text(String),
    }
    match Written::deserialize(deserializer)? {
        Written::Millis(millis) => Ok(Timestamp(millis)),
        #[allow(clippy::cast_possible_truncation)]
        Written::Fraction(millis) => Ok(Timestamp(millis as i64)),
        Written::Text(text) => Timestamp::parse(&text)
            .or_else(|| text.parse().ok().map(Timestamp))
            .ok_or_else(|| serde::de::Error::custom("neither milliseconds nor an RFC 3339 time")),
    }
}

/// How queue messages carry a time: a number of milliseconds; RFC 3339 is read too.
pub mod millis {
    use super::{Deserializer, Serializer, Timestamp, read};

    /// Writes the number.
    #[allow(clippy::trivially_copy_pass_by_ref)]
    pub fn serialize<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(at.0)
    }

    /// Reads a number or RFC 3339.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        read(deserializer)
    }

    /// The same for an optional time.
    pub mod option {
        use super::super::{Deserializer, Serializer, Timestamp};
        use serde::Deserialize;

        /// Writes the number, or null.
        #[allow(clippy::ref_option)]
        pub fn serialize<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
            match at {
                Some(at) => serializer.serialize_some(&at.0),
                None => serializer.serialize_none(),
            }
        }

        /// Reads a number, RFC 3339 or null.
        pub fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<Timestamp>, D::Error> {
            Option::<Timestamp>::deserialize(deserializer)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_order_is_time_order() {
        let early = Timestamp::from_millis(1_700_000_000_000);
        let late = early.plus(Duration::from_millis(5));
        assert!(early.to_string() < late.to_string());
        assert_eq!(early.to_string(), "2023-11-14T22:13:20.000Z");
        assert_eq!(Timestamp::parse(&late.to_string()), Some(late));
        assert_eq!(early.day(), "2023-11-14");
    }

    #[test]
    fn numbers_and_rfc_3339_are_both_read() {
        let at: Timestamp = serde_json::from_str("1700000000000").unwrap();
        assert_eq!(serde_json::from_str::<Timestamp>("\"2023-11-14T22:13:20Z\"").unwrap(), at);
        assert!(serde_json::from_str::<Timestamp>("\"yesterday\"").is_err());
    }

    #[test]
    fn time_does_not_run_backwards() {
        let now = Timestamp::from_millis(10);
        assert_eq!(now.since(Timestamp::from_millis(20)), Duration::ZERO);
    }
}
