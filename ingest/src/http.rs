//! The HTTP server: metrics, health, and a page that says where things are.

mod places;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};
use tracing::debug;

use self::places::Places;
use crate::business;
use crate::error::{Exit, Failure};
use crate::metrics::Metrics;
use crate::source::kafka::ByteBudget;
use crate::status::Status;

/// A client that has not sent its request's head within this time is let go.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection lives no longer than this, idle or not.
const CONNECTION_LIFETIME: Duration = Duration::from_secs(300);
/// A pause after a connection that could not be accepted, for want of files for example.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Connections served at a time. Who comes while all are taken gets the place of a silent one.
const CONNECTIONS_MAX: usize = 64;

const TEXT_0_0_4: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What the pages are made from.
#[derive(Clone)]
pub struct Pages {
    /// The pipeline's metrics.
    pub metrics: Metrics,
    /// What the instance knows of itself.
    pub status: Status,
    /// Bytes under way.
    pub budget: ByteBudget,
    /// The business figures.
    pub business: business::Page,
}

/// Takes the address.
///
/// # Errors
/// Where it is in use or not this machine's.
pub async fn bind(listen: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(listen).await.map_err(|error| {
        let remedy = "end the program that has it, or set http.listen (in the demo, --listen) to \
                      another";
        Failure::new(Exit::Unavailable, format!("cannot listen on {listen}: {error}; {remedy}"))
    })
}

/// Serves until it is dropped.
pub async fn serve(listener: TcpListener, pages: Pages) {
    let router = Router::new()
        .route("/", get(index))
        .route("/metrics", get(pipeline_metrics))
        .route("/metrics/business", get(business_metrics))
        .route("/-/healthy", get(|| async { "healthy\n" }))
        .route("/-/ready", get(ready))
        .with_state(pages);
    let places = Places::new(CONNECTIONS_MAX);
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                debug!(%error, "a connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let place = Arc::new(places.take().await);
        let router = TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let (answer, place) = (router.call(request), Arc::clone(&place));
                async move { place.answer(answer).await }
            });
            let mut server = Builder::new(TokioExecutor::new()).http1_only();
            server.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
            let connection = server.serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                _ = timeout(CONNECTION_LIFETIME, connection) => {}
                () = place.lost() => {}
            }
        });
    }
}

async fn pipeline_metrics(State(pages): State<Pages>) -> Response {
    exposition(pages.metrics.text(&pages.status, pages.budget.used()))
}

async fn business_metrics(State(pages): State<Pages>) -> Response {
    exposition(pages.business.text(pages.status.view().snapshot).await)
}

fn exposition(text: prometheus::Result<impl IntoResponse>) -> Response {
    match text {
        Ok(text) => ([(header::CONTENT_TYPE, TEXT_0_0_4)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn ready(State(pages): State<Pages>) -> Response {
    let missing = pages.status.view().not_ready();
    if missing.is_empty() {
        return "ready\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, missing.join("\n") + "\n").into_response()
}

async fn index() -> Html<&'static str> {
    Html(include_str!("http/index.html"))
}

#[cfg(test)]
mod tests;
