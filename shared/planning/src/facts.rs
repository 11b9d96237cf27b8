//! Prices and limits of the platform, each with its source and date. They are data, not code: `data/prices.toml`, `data/platform.toml`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The prices and limits that imgsweep comes with.
const PRICES: &str = include_str!("../data/prices.toml");
const PLATFORM: &str = include_str!("../data/platform.toml");

/// What one unit of something costs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// US dollars.
    pub usd: f64,
    /// Of what.
    pub unit: String,
    /// The page that says so.
    pub source: String,
    /// A day for which it is known to have held: `YYYY-MM-DD`.
    pub as_of: String,
}

/// A limit of the platform.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// In the unit that its name ends with.
    pub value: f64,
    /// The page that says so.
    pub source: String,
    /// A day for which it is known to have held: `YYYY-MM-DD`.
    pub as_of: String,
}

/// The region's prices.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prices {
    /// Whose prices they are.
    pub region: String,
    #[serde(flatten)]
    items: BTreeMap<String, Price>,
}

/// Why a file of prices or limits was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FactsError {
    /// It is not the TOML that is expected.
    #[error("not a file of prices: {0}")]
    Malformed(String),
    /// Something has no price.
    #[error("there is no [{0}] in it")]
    Missing(&'static str),
    /// A price that is none.
    #[error("[{0}] must be a number from 0 up")]
    NotANumber(String),
}

/// Names of everything that is priced. A file of prices has all of them.
const PRICED: [&str; 16] = [
    "lambda_arm64_gb_second",
    "lambda_x86_64_gb_second",
    "lambda_request",
    "lambda_poller_hour",
    "sqs_request",
    "dynamodb_write_unit",
    "dynamodb_read_unit",
    "s3_put",
    "s3_get",
    "s3_gb_month",
    "cloudwatch_log_gb",
    "cloudwatch_metric_month",
    "transfer_out_gb",
    "nat_gb",
    "nat_hour",
    "vision_call",
];

impl Prices {
    /// Prices from a file's text; refuses a file in which something is missing.
    pub fn parse(text: &str) -> Result<Self, FactsError> {
        let prices: Self =
            toml::from_str(text).map_err(|error| FactsError::Malformed(error.to_string()))?;
        if let Some(missing) = PRICED
            .iter()
            .find(|name| !prices.items.contains_key(**name))
        {
            return Err(FactsError::Missing(missing));
        }
        let is_number = |price: &Price| price.usd.is_finite() && price.usd >= 0.0;
        match prices.items.iter().find(|(_, price)| !is_number(price)) {
            Some((name, _)) => Err(FactsError::NotANumber(name.clone())),
            None => Ok(prices),
        }
    }

    /// Dollars for one unit of `name`.
    pub(crate) fn usd(&self, name: &'static str) -> f64 {
        // `parse` has seen to it that everything priced is there.
        self.items.get(name).map_or(f64::NAN, |price| price.usd)
    }

    /// Dollars for one call of a vision model.
    pub fn vision_call_usd(&self) -> f64 {
        self.usd("vision_call")
    }

    /// Everything that is priced, by name.
    pub fn items(&self) -> impl Iterator<Item = (&str, &Price)> {
        self.items
            .iter()
            .map(|(name, price)| (name.as_str(), price))
    }
}

/// The platform's limits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Platform {
    /// Memory that comes with one vCPU.
    pub memory_per_vcpu_mb: Limit,
    /// What one function can receive.
    pub network_bytes_per_second: Limit,
    /// New execution environments of one function in ten seconds.
    pub concurrency_ramp_per_10_s: Limit,
    /// Invocations at once with which an event source starts.
    pub standard_pollers_first: Limit,
    /// Invocations at once that it adds each minute.
    pub standard_pollers_per_minute: Limit,
    /// Invocations at once at most.
    pub standard_pollers_most: Limit,
    /// Invocations at once that one provisioned poller makes.
    pub provisioned_invokes_per_poller: Limit,
    /// Invocations at once that provisioned pollers add each minute.
    pub provisioned_invokes_per_minute: Limit,
    /// Messages of a queue that may be received and not deleted.
    pub sqs_in_flight_most: Limit,
}

/// Prices and limits.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Facts {
    /// What things cost.
    pub prices: Prices,
    /// What is allowed.
    pub platform: Platform,
}

impl Facts {
    /// Those that imgsweep comes with, or with the prices of another region.
    pub fn load(prices: Option<&str>) -> Result<Self, FactsError> {
        let platform =
            toml::from_str(PLATFORM).map_err(|error| FactsError::Malformed(error.to_string()))?;
        Ok(Self {
            prices: Prices::parse(prices.unwrap_or(PRICES))?,
            platform,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fact_has_a_source_and_a_date() {
        let facts = Facts::load(None).unwrap();
        let mut sources: Vec<(&str, &str)> = Vec::new();
        for (_, price) in facts.prices.items() {
            sources.push((&price.source, &price.as_of));
        }
        let limits = toml::from_str::<BTreeMap<String, Limit>>(PLATFORM).unwrap();
        for limit in limits.values() {
            sources.push((&limit.source, &limit.as_of));
        }
        for (source, as_of) in sources {
            assert!(source.contains('/'), "{source}");
            assert_eq!(as_of.len(), "2026-11-01".len());
        }
    }

    #[test]
    fn prices_without_an_entry_are_refused_by_its_name() {
        let without = PRICES.replace("[s3_get]", "[s3_got]");
        assert_eq!(Prices::parse(&without), Err(FactsError::Missing("s3_get")));
    }

    #[test]
    fn a_negative_price_is_refused() {
        let negative = PRICES.replace("usd = 0.50", "usd = -0.50");
        let refused = FactsError::NotANumber("cloudwatch_log_gb".to_owned());
        assert_eq!(Prices::parse(&negative), Err(refused));
    }
}
