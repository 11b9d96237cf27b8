//! Who may ask the API, and how much.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What a token is good for. Each includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Look at batches, results and how the system is.
    Read,
    /// Hand lists in, and start, cancel, retry and delete batches.
    Write,
    /// Hold all work, make and revoke tokens, save the baseline, see the names of every owner's hosts.
    Admin,
}

impl Scope {
    /// Every scope.
    pub const ALL: &'static [Self] = &[Self::Read, Self::Write, Self::Admin];

    /// Its name on the command line and in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// The text names no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a scope: read, write or admin")]
pub struct UnknownScope(String);

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut all = Self::ALL.iter().copied();
        all.find(|scope| scope.as_str() == text)
            .ok_or_else(|| UnknownScope(text.to_owned()))
    }
}

/// SHA-256 of a token's secret; in text 64 hexadecimal digits. The secret itself is random, so that a plain hash is enough.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenHash(pub [u8; 32]);

impl fmt::Display for TokenHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            write!(formatter, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("TokenHash(..)")
    }
}

/// The text is not 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the hash of a token is written as 64 hexadecimal digits")]
pub struct InvalidTokenHash;

impl FromStr for TokenHash {
    type Err = InvalidTokenHash;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(InvalidTokenHash);
        }
        for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digits = std::str::from_utf8(digits).map_err(|_| InvalidTokenHash)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| InvalidTokenHash)?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for TokenHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TokenHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A token as it is kept: by the hash of its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessToken {
    /// What it is called; no two have the same name, ever.
    pub name: String,
    /// Whose batches it makes and sees.
    pub owner: String,
    /// What it is good for.
    pub scope: Scope,
    /// Its secret, hashed.
    pub sha256: TokenHash,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was revoked.
    #[serde(default)]
    pub revoked_at: Option<Timestamp>,
    /// Requests in a minute; what the server allows when unset.
    #[serde(default)]
    pub requests_per_minute: Option<u32>,
    /// Lists handed in on a day (UTC); what the server allows when unset.
    #[serde(default)]
    pub uploads_per_day: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_survives_its_text_form_and_debug_output_does_not_show_it() {
        let hash = TokenHash([0xab; 32]);
        assert_eq!(hash.to_string().parse(), Ok(hash));
        assert_eq!(format!("{hash:?}"), "TokenHash(..)");
        assert_eq!("+1".repeat(32).parse::<TokenHash>(), Err(InvalidTokenHash));
        assert_eq!("ab".parse::<TokenHash>(), Err(InvalidTokenHash));
    }

    #[test]
    fn scopes_include_those_before_them() {
        assert!(Scope::ALL.is_sorted());
        for scope in Scope::ALL {
            assert_eq!(scope.as_str().parse(), Ok(*scope));
        }
    }
}
