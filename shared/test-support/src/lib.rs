//! Port contract suites and builders for tests.
