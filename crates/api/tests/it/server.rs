//! [`Server`]: a server over a new SQLite store, and [`Client`]s of it.

use std::sync::Arc;

use crate::nothing::Nothing;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use segcdc_api::Options;
use segcdc_control::Control;
use segcdc_control::seal::Keyring;
use segcdc_control::store::{FolderLock, Location, Store};
use serde_json::{Value, json};
use tower::ServiceExt;

/// Everybody's password.
pub(crate) const PASSWORD: &str = "a sentence that nobody knows";

/// A server, and what has to live as long.
pub(crate) struct Server {
    router: Router,
    /// What it serves.
    pub(crate) control: Arc<Control>,
    /// The token of the first administrator.
    pub(crate) setup: String,
    _folder: tempfile::TempDir,
    _lock: Option<FolderLock>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

/// Somebody who sends requests.
#[derive(Debug, Clone, Default)]
pub(crate) struct Client {
    /// Headers of each request.
    pub(crate) headers: Vec<(String, String)>,
}

// === impl Server ===

impl Server {
    /// A server without an administrator.
    pub(crate) async fn empty() -> Self {
        Self::with(Options::default()).await
    }

    /// A server without an administrator that presents itself so.
    pub(crate) async fn with(options: Options) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (store, lock) = Store::open(&Location::Folder(folder.path().to_owned())).await.unwrap();
        let keys = Keyring::parse(&Keyring::generate_line("k1").unwrap()).unwrap();
        let (control, token) = Control::open(store, keys, Arc::new(Nothing)).await.unwrap();
        let control = Arc::new(control);
        let router = segcdc_api::router(Arc::clone(&control), options);
        Server { router, control, setup: token.unwrap().expose().clone(), _folder: folder, _lock: lock }
    }

    /// A server with an administrator, and her.
    pub(crate) async fn start() -> (Self, Client) {
        let server = Self::empty().await;
        let body = json!({"token": server.setup, "tenant": "acme", "user": "ada", "password": PASSWORD});
        let made = server.send(&Client::default(), "POST", "/api/v1/setup", Some(body)).await;
        assert_eq!(made.status, 201, "{}", made.text);
        (server, Client::of(&made))
    }

    /// Sends a request as it is.
    pub(crate) async fn raw(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }

    /// Sends a request with a JSON body.
    pub(crate) async fn send(
        &self,
        client: &Client,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in &client.headers {
            request = request.header(name, value);
        }
        let body = match body {
            Some(body) => {
                request = request.header("content-type", "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        self.raw(request.body(body).unwrap()).await
    }

    /// GETs what has no end.
    pub(crate) async fn stream(&self, client: &Client, path: &str) -> Body {
        let mut request = Request::builder().uri(path);
        for (name, value) in &client.headers {
            request = request.header(name, value);
        }
        let response = self.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["content-type"]),
            (200, &"text/event-stream".parse().unwrap())
        );
        response.into_body()
    }

    /// GETs a path.
    pub(crate) async fn get(&self, client: &Client, path: &str) -> Answer {
        self.send(client, "GET", path, None).await
    }

    /// POSTs a body.
    pub(crate) async fn post(&self, client: &Client, path: &str, body: Value) -> Answer {
        self.send(client, "POST", path, Some(body)).await
    }

    /// Makes a person of the client's tenant, and signs them in.
    pub(crate) async fn person(&self, by: &Client, name: &str, role: &str) -> Client {
        let body = json!({"name": name, "password": PASSWORD, "role": role});
        let made = self.post(by, "/api/v1/users", body).await;
        assert_eq!(made.status, 201, "{}", made.text);
        self.sign_in(name).await
    }

    /// Signs somebody in.
    pub(crate) async fn sign_in(&self, name: &str) -> Client {
        let body = json!({"user": name, "password": PASSWORD});
        let answer = self.post(&Client::default(), "/api/v1/auth/login", body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        Client::of(&answer)
    }

    /// Makes a connection, and says its path.
    pub(crate) async fn connection(&self, by: &Client, name: &str) -> String {
        let made = self.post(by, "/api/v1/connections", source(name)).await;
        assert_eq!(made.status, 201, "{}", made.text);
        made.header("location")
    }
}

// === impl Client ===

impl Client {
    /// A browser, after it has signed in.
    pub(crate) fn of(answer: &Answer) -> Self {
        let cookie = answer.header("set-cookie");
        let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
        Client::default()
            .with("cookie", &cookie)
            .with("x-csrf-token", answer.json()["csrf_token"].as_str().unwrap())
    }

    /// A program with a token.
    pub(crate) fn bearer(token: &str) -> Self {
        Client::default().with("authorization", &format!("Bearer {token}"))
    }

    /// The same with a header.
    pub(crate) fn with(&self, name: &str, value: &str) -> Self {
        let mut client = self.without(name);
        client.headers.push((name.to_owned(), value.to_owned()));
        client
    }

    /// The same without a header.
    pub(crate) fn without(&self, name: &str) -> Self {
        let others = self.headers.iter().filter(|(found, _)| found != name);
        Client { headers: others.cloned().collect() }
    }
}

// === impl Answer ===

impl Answer {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    /// A header.
    pub(crate) fn header(&self, name: &str) -> String {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    }

    /// The status and the code of a problem.
    pub(crate) fn problem(&self) -> (u16, String) {
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text);
        let body = self.json();
        for field in ["type", "title", "detail", "hint", "instance", "request_id"] {
            assert!(!body[field].as_str().unwrap_or_default().is_empty(), "{field}: {body}");
        }
        assert_eq!(body["status"], self.status.as_u16());
        (self.status.as_u16(), body["code"].as_str().unwrap_or_default().to_owned())
    }
}

/// A connection to a PostgreSQL that is nowhere.
pub(crate) fn source(name: &str) -> Value {
    json!({
        "name": name, "kind": "postgres", "host": "db1.example.com", "database": "shop", "user": "app",
        "password": "canary-5d1f",
    })
}
