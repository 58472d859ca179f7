//! From a request to an answer: the router over [`ROUTES`].

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, on};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::error::json_response;
use super::routes::{Door, Method, Operation, ROUTES, Route};
use super::{ApiError, Backend, Change, Limits, Read};

/// Reads that may be at work at a time; the others wait for their turn.
const READERS: usize = 8;

/// Scrapes that may be at work at a time. They have places of their own, since they wait for no
/// change, while reads do.
const SCRAPERS: usize = 2;

/// Changes that may be at work or waiting for the appliance at a time.
const CHANGERS: usize = 16;

/// What all connections share.
pub(super) struct Shared {
    backend: Arc<dyn Backend>,
    limits: Limits,
    readers: Arc<Semaphore>,
    scrapers: Arc<Semaphore>,
    changers: Arc<Semaphore>,
}

impl Shared {
    pub(super) fn new(backend: Arc<dyn Backend>, limits: Limits) -> Arc<Shared> {
        let [readers, scrapers, changers] =
            [READERS, SCRAPERS, CHANGERS].map(|places| Arc::new(Semaphore::new(places)));
        Arc::new(Shared {
            backend,
            limits,
            readers,
            scrapers,
            changers,
        })
    }
}

/// Who asks, for the log of changes.
#[derive(Clone, Debug)]
pub(super) struct Peer(pub(super) String);

/// The router of one door.
pub(super) fn router(shared: &Arc<Shared>, door: Door) -> Router {
    let mut router = Router::new();
    for route in ROUTES {
        let filter = match route.method {
            Method::Get => MethodFilter::GET,
            Method::Post => MethodFilter::POST,
            Method::Put => MethodFilter::PUT,
        };
        let shared = shared.clone();
        let handler = move |path: Path<HashMap<String, String>>, request: Request| async move {
            if route.door == Door::Socket && door == Door::Both {
                return read_only().into_response();
            }
            shared
                .answer(route, &path, request)
                .await
                .unwrap_or_else(ApiError::into_response)
        };
        router = router.route(route.path, on(filter, handler));
    }
    router
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
}

fn read_only() -> ApiError {
    let error = "this address only reads; changes go through the control socket (`sluice ctl`)";
    ApiError::new(StatusCode::FORBIDDEN, error)
}

async fn not_found(uri: Uri) -> ApiError {
    let mut known: Vec<&str> = ROUTES.iter().map(|route| route.path).collect();
    known.dedup();
    // The path is the client's: it is repeated only as far as a mistake of typing needs.
    let path: String = uri.path().chars().take(100).collect();
    ApiError::new(
        StatusCode::NOT_FOUND,
        format!("there is no {path:?}; GET / lists the routes"),
    )
    .with("known", known)
}

async fn wrong_method(method: axum::http::Method, uri: Uri) -> ApiError {
    let allowed: Vec<Method> = ROUTES
        .iter()
        .filter(|route| fits(route.path, uri.path()))
        .map(|route| route.method)
        .collect();
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("{method} is not possible here"),
    )
    .with("allowed", allowed)
}

/// Whether a path is one of a route's.
fn fits(pattern: &str, path: &str) -> bool {
    let (pattern, path) = (pattern.split('/'), path.split('/'));
    pattern.clone().count() == path.clone().count()
        && pattern
            .zip(path)
            .all(|(one, other)| one.starts_with('{') || one == other)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TraceStart {
    #[serde(default = "default_trace_count")]
    count: u32,
    #[serde(default)]
    filter: Option<String>,
}

fn default_trace_count() -> u32 {
    50
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Push {
    worker: Option<u16>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Log {
    level: String,
}

impl Shared {
    async fn answer(
        self: Arc<Self>,
        route: &'static Route,
        path: &HashMap<String, String>,
        request: Request,
    ) -> Result<Response, ApiError> {
        let name = || path.get("name").cloned().unwrap_or_default();
        let read = match route.operation {
            Operation::Index => return Ok(index()),
            Operation::Health => return Ok(self.health()),
            Operation::Metrics => return self.metrics().await,
            Operation::Version => Read::Version,
            Operation::Chain => Read::Chain,
            Operation::Ports => Read::Ports,
            Operation::Drops => Read::Drops,
            Operation::Cores => Read::Cores,
            Operation::Memory => Read::Memory,
            Operation::Config => Read::Config,
            Operation::Stage => Read::Stage(name()),
            Operation::Trace => Read::Trace,
            Operation::Sched => Read::Sched,
            change => {
                let verb = || path.get("verb").cloned().unwrap_or_default();
                return self.change(change, name(), verb(), request).await;
            }
        };
        let backend = self.backend.clone();
        self.reading(&self.readers, move || backend.read(read))
            .await?
            .map(ok)
    }

    fn health(&self) -> Response {
        let (ok, body) = self.backend.health();
        json_response(
            if ok {
                StatusCode::OK
            } else {
                StatusCode::SERVICE_UNAVAILABLE
            },
            &body,
        )
    }

    async fn metrics(self: Arc<Self>) -> Result<Response, ApiError> {
        let backend = self.backend.clone();
        let text = self
            .reading(&self.scrapers, move || backend.metrics())
            .await?;
        Ok((
            [(
                header::CONTENT_TYPE,
                "text/plain; version=0.0.4; charset=utf-8",
            )],
            text,
        )
            .into_response())
    }

    /// Runs on a thread that may wait, when there is a place, for no longer than a client's patience.
    async fn reading<T: Send + 'static>(
        &self,
        places: &Arc<Semaphore>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let places = places.clone();
        let read = async {
            let permit = places.acquire_owned().await;
            // The permit goes along: a read that nobody waits for any more still takes a thread.
            let work = move || (work(), drop(permit)).0;
            tokio::task::spawn_blocking(work)
                .await
                .map_err(|_| failed())
        };
        let late = |_| ApiError::busy("the appliance is busy with a change; try again");
        tokio::time::timeout(self.limits.patience, read)
            .await
            .map_err(late)?
    }

    async fn change(
        self: Arc<Self>,
        operation: Operation,
        name: String,
        verb: String,
        request: Request,
    ) -> Result<Response, ApiError> {
        let peer = request
            .extensions()
            .get::<Peer>()
            .map_or_else(String::new, |peer| peer.0.clone());
        let body = body_text(request.into_body(), &self.limits).await?;
        let change = match operation {
            Operation::Reload => Change::Reload(Some(body).filter(|body| !body.trim().is_empty())),
            Operation::Check => Change::Check(body),
            Operation::StageCommand => Change::Stage {
                name,
                verb,
                arguments: parse(&body)?,
            },
            Operation::Push => Change::Push {
                actor: name,
                worker: parse::<Push>(&body)?.worker,
            },
            Operation::Pull => Change::Pull(name),
            Operation::PortUp => Change::PortUp(name),
            Operation::PortDown => Change::PortDown(name),
            Operation::TraceStart => {
                let TraceStart { count, filter } = parse(&body)?;
                Change::TraceStart { count, filter }
            }
            Operation::TraceStop => Change::TraceStop,
            Operation::Log => Change::LogLevel(parse::<Log>(&body)?.level),
            // The reading ones have been answered.
            _ => return Err(failed()),
        };
        let Ok(permit) = self.changers.clone().try_acquire_owned() else {
            return Err(ApiError::busy("too many changes are waiting; try again"));
        };
        let what = summary(&change);
        let backend = self.backend.clone();
        // No time limit: a change that has begun is carried through, whoever still waits for it.
        let work = move || (backend.change(change), drop(permit)).0;
        let result = tokio::task::spawn_blocking(work)
            .await
            .map_err(|_| failed())?;
        match &result {
            Ok(_) => tracing::info!(peer, "{what}"),
            Err(error) => {
                tracing::warn!(peer, error = ?error.body().get("error"), "{what}: refused")
            }
        }
        result.map(ok)
    }
}

fn ok(value: Value) -> Response {
    json_response(StatusCode::OK, &value)
}

fn index() -> Response {
    ok(json!({ "program": "sluice", "version": env!("CARGO_PKG_VERSION"), "routes": ROUTES }))
}

/// The backend panicked; the log has more.
fn failed() -> ApiError {
    ApiError::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "an internal error; the log has more",
    )
}

/// A change in a few words, for the log.
fn summary(change: &Change) -> String {
    match change {
        Change::Reload(None) => "reload of the configuration file".into(),
        Change::Reload(Some(_)) => "reload of a configuration sent".into(),
        Change::Check(_) => "check of a configuration sent".into(),
        Change::Stage { name, verb, .. } => format!("{verb} of stage {name}"),
        Change::Push {
            actor,
            worker: None,
        } => format!("push {actor} to a worker"),
        Change::Push {
            actor,
            worker: Some(worker),
        } => format!("push {actor} to worker {worker}"),
        Change::Pull(actor) => format!("pull {actor}"),
        Change::PortUp(name) => format!("port {name} up"),
        Change::PortDown(name) => format!("port {name} down"),
        Change::TraceStart { count, .. } => format!("trace of {count} packets"),
        Change::TraceStop => "end of the trace".into(),
        Change::LogLevel(level) => format!("log level {level}"),
    }
}

/// Reads a body within the limits of size and time.
async fn body_text(body: Body, limits: &Limits) -> Result<String, ApiError> {
    let read = axum::body::to_bytes(body, limits.body);
    let bytes = match tokio::time::timeout(limits.patience, read).await {
        Err(_) => {
            return Err(ApiError::new(
                StatusCode::REQUEST_TIMEOUT,
                "the body took too long to come",
            ));
        }
        Ok(Err(error)) if is_too_long(&error) => {
            let error = format!("the body is longer than {} bytes", limits.body);
            return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, error));
        }
        Ok(Err(error)) => {
            return Err(ApiError::bad_request(format!(
                "the body broke off: {error}"
            )));
        }
        Ok(Ok(bytes)) => bytes,
    };
    String::from_utf8(bytes.into()).map_err(|_| ApiError::bad_request("the body is not UTF-8 text"))
}

fn is_too_long(error: &axum::Error) -> bool {
    std::iter::successors(Some(error as &dyn std::error::Error), |error| {
        error.source()
    })
    .any(|error| error.to_string().contains("length limit exceeded"))
}

/// A JSON body; an empty one is an empty object.
fn parse<T: DeserializeOwned>(body: &str) -> Result<T, ApiError> {
    let body = if body.trim().is_empty() { "{}" } else { body };
    serde_json::from_str(body).map_err(|error| ApiError::bad_request(format!("the body: {error}")))
}

/// The longest a well-behaved client has to be waited for.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_their_paths() {
        assert!(fits(
            "/api/v1/stages/{name}/{verb}",
            "/api/v1/stages/front/list"
        ));
        assert!(!fits("/api/v1/stages/{name}", "/api/v1/stages/front/list"));
        assert!(!fits("/api/v1/chain", "/api/v1/ports"));
        assert!(fits("/", "/"));
    }
}
