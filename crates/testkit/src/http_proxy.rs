//! [`HttpProxy`]: a proxy on loopback that answers wrongly on purpose.
//!
//! ```text
//! client <------- proxy -------> HTTP server
//!
//! rule: a request of this method, whose path this holds of, so many times
//!   instead of passing it on     a status, a page, a redirect, silence, a reset: the server never saw the request
//!   after it was passed on       the answer is lost, cut, or too late: the server did it, and the client cannot know
//! ```
//!
//! Other requests are passed on as they are.

use std::convert::Infallible;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION, TRANSFER_ENCODING};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Bytes of [`Fault::Huge`]: more than any answer of a well-behaved server.
const HUGE_BYTES: usize = 10 << 20;

/// Pause between two bytes of [`Fault::Drip`].
const DRIP: Duration = Duration::from_millis(100);

/// What is wrong with an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// This status with this JSON; the request is not passed on.
    Status(u16, String),
    /// This status with a page of HTML; the request is not passed on.
    Html(u16),
    /// Another place to ask; the request is not passed on.
    Redirect(String),
    /// The connection is reset; the request is not passed on.
    Reset,
    /// No answer, and nobody is told; the request is not passed on.
    Silence,
    /// A body of 10 MiB; the request is not passed on.
    Huge,
    /// The request is passed on, its answer thrown away, and the connection reset.
    LoseAnswer,
    /// The answer's body is cut in half, and said to be whole.
    Cut,
    /// The answer's body ends in its middle, by the end of the connection.
    Break,
    /// The answer's body comes a byte at a time.
    Drip,
    /// The answer is said to be plain text.
    WrongType,
}

/// A fault to come.
#[derive(Debug, Clone)]
pub struct Trouble {
    /// The method of the requests that meet it.
    pub method: &'static str,
    /// The end of their path, without a query.
    pub path_end: String,
    /// What is wrong with the answers to them, one after another; the requests behind these are passed on.
    pub faults: Vec<Fault>,
    /// Whether the last fault is met again and again.
    pub for_ever: bool,
}

/// A running proxy. Dropping it ends it; connections end with their requests.
#[derive(Debug)]
pub struct HttpProxy {
    port: u16,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

/// What all connections look at.
#[derive(Debug)]
struct Shared {
    server_port: u16,
    troubles: Mutex<Vec<Trouble>>,
    met: AtomicUsize,
}

/// Body of an answer.
type AnyBody = UnsyncBoxBody<Bytes, Infallible>;

/// The connection is to be reset.
#[derive(Debug, thiserror::Error)]
#[error("reset on purpose")]
struct ResetNow;

/// A body that comes slowly, or never to its end.
struct SlowBody {
    rest: Bytes,
    /// Said at the beginning, and not kept when the body breaks off.
    length: u64,
    pause: Option<Pin<Box<tokio::time::Sleep>>>,
}

// === impl HttpProxy ===

impl HttpProxy {
    /// Starts a proxy on a free port of 127.0.0.1 in front of another port of it.
    pub async fn start(server_port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let shared =
            Arc::new(Shared { server_port, troubles: Mutex::new(Vec::new()), met: AtomicUsize::new(0) });
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(HttpProxy { port, shared, task })
    }

    /// `http://127.0.0.1:port`
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Arms faults in the place of those before. A request meets the first that is for it.
    pub fn arm(&self, troubles: Vec<Trouble>) {
        *self.shared.troubles.lock().unwrap_or_else(PoisonError::into_inner) = troubles;
    }

    /// How many requests have met a fault so far.
    pub fn met(&self) -> usize {
        self.shared.met.load(Ordering::SeqCst)
    }
}

impl Drop for HttpProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

// === impl Shared ===

impl Shared {
    /// The fault that this request meets.
    fn meet(&self, request: &Request<Incoming>) -> Option<Fault> {
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        let trouble = troubles.iter_mut().find(|trouble| {
            !trouble.faults.is_empty()
                && request.method().as_str() == trouble.method
                && request.uri().path().ends_with(&trouble.path_end)
        })?;
        let fault = match trouble.for_ever && trouble.faults.len() == 1 {
            true => trouble.faults.first().cloned()?,
            false => trouble.faults.remove(0),
        };
        self.met.fetch_add(1, Ordering::SeqCst);
        Some(fault)
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let Ok(socket) = stream.as_fd().try_clone_to_owned() else { continue };
        let (socket, shared) = (Arc::new(socket), Arc::clone(&shared));
        tokio::spawn(async move {
            let service =
                service_fn(move |request| answer(request, Arc::clone(&shared), Arc::clone(&socket)));
            // How a connection ends is what the client sees of it.
            hyper::server::conn::http1::Builder::new()
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service)
                .await
                .ok();
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    shared: Arc<Shared>,
    socket: Arc<OwnedFd>,
) -> Result<Response<AnyBody>, Box<dyn std::error::Error + Send + Sync>> {
    let fault = shared.meet(&request);
    let reset = || {
        // With nothing left to send, closing the socket resets the connection.
        rustix::net::sockopt::set_socket_linger(&*socket, Some(Duration::ZERO)).ok();
        ResetNow
    };
    match fault {
        Some(Fault::Status(status, body)) => return Ok(made(status, "application/json", body.into())?),
        Some(Fault::Html(status)) => {
            return Ok(made(status, "text/html", "<html><body>a page</body></html>".into())?);
        }
        Some(Fault::Redirect(to)) => {
            let mut response = made(302, "text/html", Bytes::new())?;
            response.headers_mut().insert(LOCATION, to.parse()?);
            return Ok(response);
        }
        Some(Fault::Huge) => return Ok(made(200, "application/json", vec![b' '; HUGE_BYTES].into())?),
        Some(Fault::Reset) => return Err(reset().into()),
        Some(Fault::Silence) => std::future::pending::<()>().await,
        _ => {}
    }
    let (mut head, body) = passed_on(request, shared.server_port).await?.into_parts();
    // The body is whole by now, whatever it came in.
    head.headers.remove(TRANSFER_ENCODING);
    head.headers.remove(CONTENT_LENGTH);
    let half = body.slice(..body.len() / 2);
    let body = match fault {
        Some(Fault::LoseAnswer) => return Err(reset().into()),
        Some(Fault::Cut) => whole(half),
        Some(Fault::Break) => SlowBody::new(half, body.len(), false).boxed_unsync(),
        Some(Fault::Drip) => {
            // An answer without a body has none that could come slowly.
            let body = if body.is_empty() { Bytes::from_static(&[b' '; 1000]) } else { body };
            if head.status == StatusCode::NO_CONTENT {
                head.status = StatusCode::OK;
            }
            let length = body.len();
            SlowBody::new(body, length, true).boxed_unsync()
        }
        Some(Fault::WrongType) => {
            head.headers.insert(CONTENT_TYPE, "text/plain".parse()?);
            whole(body)
        }
        _ => whole(body),
    };
    Ok(Response::from_parts(head, body))
}

/// Passes a request on, and reads the whole answer.
async fn passed_on(
    request: Request<Incoming>,
    port: u16,
) -> Result<Response<Bytes>, Box<dyn std::error::Error + Send + Sync>> {
    let (head, body) = request.into_parts();
    let request = Request::from_parts(head, Full::new(body.collect().await?.to_bytes()));
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let (head, body) = sender.send_request(request).await?.into_parts();
    let body = body.collect().await?.to_bytes();
    driver.abort();
    Ok(Response::from_parts(head, body))
}

fn made(status: u16, content_type: &str, body: Bytes) -> Result<Response<AnyBody>, hyper::http::Error> {
    Response::builder().status(status).header(CONTENT_TYPE, content_type).body(whole(body))
}

fn whole(body: Bytes) -> AnyBody {
    Full::new(body).boxed_unsync()
}

// === impl SlowBody ===

impl SlowBody {
    fn new(rest: Bytes, length: usize, slow: bool) -> Self {
        let pause = slow.then(|| Box::pin(tokio::time::sleep(DRIP)));
        SlowBody { rest, length: u64::try_from(length).unwrap_or(u64::MAX), pause }
    }
}

impl Body for SlowBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let length = match &mut self.pause {
            None => self.rest.len(),
            Some(pause) => {
                std::task::ready!(pause.as_mut().poll(context));
                pause.as_mut().reset(tokio::time::Instant::now() + DRIP);
                1
            }
        };
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(length)))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length)
    }
}
