//! Untrusted URL to bytes: address guard, limits, retry, typed outcomes.
