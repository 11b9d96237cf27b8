//! Variables, read once when a process starts.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// Everything that is wrong with the environment, so that one deployment mends it all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the environment cannot be used: {}", .0.join("; "))]
pub struct ConfigurationError(Vec<String>);

impl ConfigurationError {
    /// The one thing that is wrong.
    pub fn of(fault: impl Into<String>) -> Self {
        Self(vec![fault.into()])
    }
}

/// Reads variables and collects what is wrong with them. What a faulty variable reads as is never used: [`Environment::finish`]
/// refuses it.
#[derive(Debug)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    faults: Vec<String>,
}

impl Environment {
    /// The variables of this process. One that is not Unicode counts as missing.
    pub fn of_process() -> Self {
        let unicode = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self::of(std::env::vars_os().filter_map(unicode))
    }

    /// These variables.
    pub fn of<N: Into<String>, V: Into<String>>(
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let variables = variables
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()));
        Self {
            variables: variables.collect(),
            faults: Vec::new(),
        }
    }

    /// The value of a variable that may be missing; an empty one is missing.
    pub fn optional(&self, name: &str) -> Option<String> {
        self.variables
            .get(name)
            .filter(|value| !value.is_empty())
            .cloned()
    }

    /// The value of a variable that must be there.
    pub fn required(&mut self, name: &str) -> String {
        self.optional(name).unwrap_or_else(|| {
            self.faults.push(format!("{name} is not set"));
            String::new()
        })
    }

    /// A variable that says something else than `default`, if it is set.
    pub fn or_default<T>(&mut self, name: &str, default: T) -> T
    where
        T: FromStr<Err: Display>,
    {
        let Some(text) = self.optional(name) else {
            return default;
        };
        match text.parse() {
            Ok(value) => value,
            Err(error) => {
                self.faults
                    .push(format!("{name} cannot be {text:?}: {error}"));
                default
            }
        }
    }

    /// As [`Self::or_default`], within `range`.
    pub fn in_range<T>(&mut self, name: &str, default: T, range: RangeInclusive<T>) -> T
    where
        T: FromStr<Err: Display> + PartialOrd + Display,
    {
        let value = self.or_default(name, default);
        if !range.contains(&value) {
            let (least, most) = range.into_inner();
            self.faults
                .push(format!("{name} must be from {least} to {most}"));
        }
        value
    }

    /// Values between commas; none when the variable is missing.
    pub fn list<T>(&mut self, name: &str) -> Vec<T>
    where
        T: FromStr<Err: Display>,
    {
        let text = self.optional(name).unwrap_or_default();
        let mut values = Vec::new();
        for item in text
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
        {
            match item.parse() {
                Ok(value) => values.push(value),
                Err(error) => self
                    .faults
                    .push(format!("{name} cannot hold {item:?}: {error}")),
            }
        }
        values
    }

    /// Notes a fault that the caller found.
    pub fn refuse(&mut self, fault: impl Into<String>) {
        self.faults.push(fault.into());
    }

    /// What is wrong with the variables read so far, for a caller that cannot go on.
    pub fn refused(self) -> ConfigurationError {
        ConfigurationError(self.faults)
    }

    /// Whether everything read so far can be used.
    pub fn finish(self) -> Result<(), ConfigurationError> {
        if self.faults.is_empty() {
            return Ok(());
        }
        Err(ConfigurationError(self.faults))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_reported_together() {
        let mut environment = Environment::of([("CHUNK_SIZE", "many"), ("TABLE_NAME", "")]);
        environment.required("TABLE_NAME");
        environment.required("BUCKET_NAME");
        environment.or_default("CHUNK_SIZE", 5_u32);
        let error = environment.finish().unwrap_err().to_string();
        for word in ["TABLE_NAME", "BUCKET_NAME", "CHUNK_SIZE", "many"] {
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn a_list_is_split_at_commas() {
        let mut environment = Environment::of([("PORTS", "80, 443,,8080")]);
        assert_eq!(environment.list::<u16>("PORTS"), [80, 443, 8_080]);
        assert!(environment.list::<u16>("OTHER").is_empty());
        environment.finish().unwrap();
    }
}
