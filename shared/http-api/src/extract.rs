//! What requests carry, taken apart: as axum does it, with problem details for what cannot be read.

use axum::extract::rejection::{BytesRejection, JsonRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use bytes::Bytes;
use http::StatusCode;
use http::request::Parts;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Problem;

/// Parts of the path.
#[derive(Debug)]
pub(crate) struct Path<T>(pub(crate) T);

impl<S, T> FromRequestParts<S> for Path<T>
where
    S: Send + Sync,
    T: DeserializeOwned + Send,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        // Whatever the path says cannot be the name of anything.
        let path = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        path.map(|path| Self(path.0))
            .map_err(|_| Problem::no_such_batch())
    }
}

/// The query string.
#[derive(Debug)]
pub(crate) struct Query<T>(pub(crate) T);

impl<S, T> FromRequestParts<S> for Query<T>
where
    S: Send + Sync,
    T: DeserializeOwned,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = axum::extract::Query::<T>::from_request_parts(parts, state).await;
        query
            .map(|query| Self(query.0))
            .map_err(|error| Problem::bad_request(format!("{}.", error.body_text())))
    }
}

/// A JSON document.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

impl<S, T> FromRequest<S> for Json<T>
where
    S: Send + Sync,
    T: DeserializeOwned,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let document = axum::Json::<Value>::from_request(request, state).await;
        let document = document.map_err(|error| {
            if let JsonRejection::BytesRejection(error) = error {
                return of_bytes(&error);
            }
            Problem::bad_request(format!("{}.", error.body_text()))
        })?;
        of_value(document.0).map(Self)
    }
}

/// Reads a document. `20.0` is a whole number to JSON Schema, so it is one here.
pub(crate) fn of_value<T: DeserializeOwned>(mut document: Value) -> Result<T, Problem> {
    if document.is_array() {
        // Serde would take its values for members, by their order.
        return Err(Problem::bad_request("The body is no object."));
    }
    make_whole(&mut document);
    if has_huge_number(&document) {
        let detail = "The body has a number beyond 64 bits with a sign.";
        return Err(Problem::bad_request(detail));
    }
    serde_json::from_value(document)
        .map_err(|error| Problem::bad_request(format!("The body cannot be read: {error}.")))
}

fn make_whole(value: &mut Value) {
    match value {
        Value::Number(number) => {
            let whole = number
                .as_f64()
                .filter(|float| number.is_f64() && float.fract() == 0.0);
            // Beyond this, floats are no longer exact.
            if let Some(float) = whole.filter(|float| float.abs() < 9e15) {
                *value = Value::from(float as i64);
            }
        }
        Value::Array(values) => values.iter_mut().for_each(make_whole),
        Value::Object(members) => members.values_mut().for_each(make_whole),
        _ => {}
    }
}

/// Whether there is a whole number that not every reader of JSON can hold.
fn has_huge_number(value: &Value) -> bool {
    match value {
        Value::Number(number) => number
            .as_u64()
            .is_some_and(|number| i64::try_from(number).is_err()),
        Value::Array(values) => values.iter().any(has_huge_number),
        Value::Object(members) => members.values().any(has_huge_number),
        _ => false,
    }
}

/// The body as it is.
#[derive(Debug)]
pub(crate) struct Body(pub(crate) Bytes);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let body = Bytes::from_request(request, state).await;
        body.map(Self).map_err(|error| of_bytes(&error))
    }
}

fn of_bytes(error: &BytesRejection) -> Problem {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return Problem::body_too_large();
    }
    Problem::bad_request("The request ended before its body did.")
}

/// How a page of a listing may be long: a number from 1 to `most`, `default` when it is not said.
pub(crate) fn page_limit(
    limit: Option<u64>,
    default: usize,
    most: usize,
) -> Result<usize, Problem> {
    match limit {
        None => Ok(default),
        Some(limit) if (1..=most as u64).contains(&limit) => Ok(limit as usize),
        Some(_) => {
            let detail = format!("`limit` is a number from 1 to {most}.");
            Err(Problem::bad_request(detail))
        }
    }
}
