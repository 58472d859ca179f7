//! Refusals: a status code, a sentence, and what helps to do it right.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::check::{closest, list};

/// Why a request was refused. Its body is an object with `error`, a sentence, and members that
/// depend on the case: `known`, `problems`, `needs_restart`.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiError {
    status: StatusCode,
    body: Map<String, Value>,
}

impl ApiError {
    /// A refusal with a status and a sentence.
    pub fn new(status: StatusCode, error: impl Into<String>) -> ApiError {
        let mut body = Map::new();
        body.insert("error".into(), Value::String(error.into()));
        ApiError { status, body }
    }

    /// 400: the request makes no sense.
    pub fn bad_request(error: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::BAD_REQUEST, error)
    }

    /// 404: there is no `what` of that name, but those `known`.
    pub fn unknown<S: AsRef<str>>(what: &str, name: &str, known: &[S]) -> ApiError {
        let known: Vec<&str> = known.iter().map(AsRef::as_ref).collect();
        let there = match known.as_slice() {
            [] => "there is none".to_owned(),
            known => format!("there is {}", list(known.iter().copied())),
        };
        let near = closest(name, known.iter().copied());
        let hint = near.map_or_else(String::new, |near| format!("; did you mean {near:?}?"));
        ApiError::new(
            StatusCode::NOT_FOUND,
            format!("there is no {what} {name:?}; {there}{hint}"),
        )
        .with("known", json!(known))
    }

    /// 422: understood and refused.
    pub fn refused(error: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, error)
    }

    /// 503: later, perhaps.
    pub fn busy(error: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, error)
    }

    /// Adds a member to the body.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Serialize) -> ApiError {
        // A value that cannot be JSON (a map with odd keys) is left out rather than panicked over.
        let value = serde_json::to_value(value).unwrap_or_default();
        self.body.insert(name.into(), value);
        self
    }

    /// The HTTP status code.
    pub fn status(&self) -> u16 {
        self.status.as_u16()
    }

    /// The body.
    pub fn body(&self) -> &Map<String, Value> {
        &self.body
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = json_response(self.status, &Value::Object(self.body));
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// A JSON body, one line.
pub(super) fn json_response(status: StatusCode, body: &Value) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (status, headers, format!("{body}\n")).into_response()
}
