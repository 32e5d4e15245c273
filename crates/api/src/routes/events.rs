//! What happens, as it happens: server-sent events.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use segcdc_control::events::{Event, Topic};
use segcdc_control::id::PipelineId;
use segcdc_control::{Actor, ControlError};
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;

use crate::app::App;
use crate::authenticate::Signed;
use crate::problem::ApiError;
use crate::query::Query;

/// Time between two signs of life, at each of which it is asked whether the watcher may still watch.
const ALIVE: Duration = Duration::from_secs(15);

/// What a client that lost the connection waits before it comes back, milliseconds.
const RETRY_MS: u32 = 3000;

/// Which events are wanted.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventSearch {
    /// Topics with commas between them: `pipeline`, `operation`, `metric`; all of them without it.
    topics: Option<String>,
    /// Of one pipeline only.
    pipeline_id: Option<String>,
}

/// Somebody who watches.
struct Watcher {
    app: App,
    actor: Actor,
    topics: Vec<Topic>,
    pipeline: Option<PipelineId>,
    /// The number of the last event that was looked at.
    at: u64,
    moved: watch::Receiver<u64>,
    next_sign: Instant,
    /// What is said first.
    opening: Option<String>,
    _place: OwnedSemaphorePermit,
}

/// Watch pipelines and operations: server-sent events, each with an id. Who comes back with the last one as `Last-Event-ID` gets
/// what came meanwhile; the event `reset` says that it is not known any more, and that everything has to be read again.
#[utoipa::path(
    get, path = "/events", tag = "events",
    params(
        EventSearch,
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that was seen.")
    ),
    responses((status = 200, body = String, content_type = "text/event-stream"))
)]
pub(crate) async fn watch_events(
    State(app): State<App>,
    Signed(actor): Signed,
    Query(search): Query<EventSearch>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let refused = |reason: &str| ApiError::Query { reason: reason.to_owned() };
    let topics = topics(search.topics.as_deref())
        .ok_or_else(|| refused("topics are pipeline, operation and metric"))?;
    let pipeline = match search.pipeline_id.as_deref() {
        Some(text) => Some(text.parse().map_err(|_form| refused("pipeline_id is not an id"))?),
        None => None,
    };
    let events = app.control().events();
    let (moved, place) = events.watch().ok_or(ControlError::Busy)?;
    let back = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let seen = back.map(|place| events.number(place).and_then(|number| events.after(number).map(|_| number)));
    let at = match seen {
        Some(Ok(number)) => number,
        Some(Err(_)) | None => events.last(),
    };
    let begin = format!("retry: {RETRY_MS}\nid: {}\n\n", events.place(at));
    let opening = if matches!(seen, Some(Err(_))) { begin + &reset(&app, at) } else { begin };
    let next_sign = Instant::now() + ALIVE;
    let watcher =
        Watcher { app, actor, topics, pipeline, at, moved, next_sign, opening: Some(opening), _place: place };
    let body = Body::from_stream(stream::unfold(watcher, |watcher| Box::pin(watcher.next())));
    Ok(([(header::CONTENT_TYPE, "text/event-stream")], body).into_response())
}

// === impl Watcher ===

impl Watcher {
    /// What is said next; `None` at the end.
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        loop {
            if let Some(text) = self.opening.take() {
                return Some((Ok(Bytes::from(text)), self));
            }
            if self.app.control().events().over().is_cancelled() {
                return None;
            }
            if Instant::now() >= self.next_sign {
                // Who has lost their session, token or membership does not go on watching.
                self.actor = self.app.control().renew(&self.actor).await.ok()?;
                self.next_sign = Instant::now() + ALIVE;
                return Some((Ok(Bytes::from_static(b": alive\n\n")), self));
            }
            let text = self.news();
            if !text.is_empty() {
                return Some((Ok(Bytes::from(text)), self));
            }
            let app = self.app.clone();
            tokio::select! {
                moved = self.moved.changed() => moved.ok()?,
                () = tokio::time::sleep_until(self.next_sign) => {}
                () = app.control().events().over().cancelled() => return None,
            }
        }
    }

    /// What has come since it was looked last.
    fn news(&mut self) -> String {
        self.moved.mark_unchanged();
        let events = self.app.control().events();
        let Ok(list) = events.after(self.at) else {
            self.at = events.last();
            return reset(&self.app, self.at);
        };
        self.at = list.last().map_or(self.at, |event| event.number);
        let wanted = |event: &&Event| {
            event.tenant == self.actor.tenant.id
                && self.topics.contains(&event.topic)
                && (self.pipeline.is_none() || event.pipeline == self.pipeline)
        };
        let line = |event: &Event| {
            let (place, topic) = (events.place(event.number), event.topic.as_str());
            format!("id: {place}\nevent: {topic}\ndata: {}\n\n", event.data)
        };
        list.iter().filter(wanted).map(line).collect()
    }
}

/// Says that events were missed.
fn reset(app: &App, at: u64) -> String {
    format!("id: {}\nevent: reset\ndata: {{}}\n\n", app.control().events().place(at))
}

/// The topics of a parameter.
fn topics(given: Option<&str>) -> Option<Vec<Topic>> {
    let Some(text) = given else { return Some(Topic::ALL.to_vec()) };
    text.split(',').map(|word| Topic::ALL.into_iter().find(|topic| topic.as_str() == word)).collect()
}
