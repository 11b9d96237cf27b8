//! The HTTP API: router, authentication, problem details.
