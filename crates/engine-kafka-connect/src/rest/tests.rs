//! The client against a server that answers as a worker does, and as none should.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use segcdc_model::{Disposition, Fault, Secret};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::connect_url::ConnectUrl;
use crate::http::BasicAuth;

/// How the server answers one request.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// A status and a body.
    Json(u16, String),
    /// These bytes, then the connection stays open.
    Raw(Vec<u8>),
    /// A body without end.
    Endless,
    /// The connection ends without an answer.
    Nothing,
}

/// A server that gives its replies one after another, the last one again and again; and what it was asked.
pub(crate) struct Server {
    url: ConnectUrl,
    requests: Arc<std::sync::Mutex<Vec<String>>>,
}

// === impl Server ===

impl Server {
    pub(crate) async fn start(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(std::sync::Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        let count = Arc::new(AtomicUsize::new(0));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = count.fetch_add(1, Ordering::SeqCst).min(replies.len() - 1);
                let reply = replies.get(number).cloned().unwrap();
                tokio::spawn(serve(stream, reply, Arc::clone(&seen)));
            }
        });
        let url = ConnectUrl::parse(&format!("http://127.0.0.1:{port}")).unwrap();
        Server { url, requests }
    }

    pub(crate) fn client(&self) -> Rest {
        let config = HttpConfig { timeout: Duration::from_millis(700), ..HttpConfig::new(self.url.clone()) };
        Rest::new(config).unwrap().with_patience(patience(5_000))
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// A patience of so many milliseconds for everything.
fn patience(millis: u64) -> Patience {
    let all = Duration::from_millis(millis);
    let first_pause = Duration::from_millis(50);
    Patience { rebalance: all, outage: all, error: all, first_pause, ..Patience::default() }
}

async fn serve(mut stream: TcpStream, reply: Reply, seen: Arc<std::sync::Mutex<Vec<String>>>) {
    let mut bytes = vec![0; 64 << 10];
    let length = stream.read(&mut bytes).await.unwrap_or_default();
    let text = String::from_utf8_lossy(bytes.get(..length).unwrap_or_default()).into_owned();
    seen.lock().unwrap().push(text);
    match reply {
        Reply::Json(status, body) => {
            let head = format!(
                "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(format!("{head}{body}").as_bytes()).await.ok();
        }
        Reply::Raw(bytes) => {
            stream.write_all(&bytes).await.ok();
            std::future::pending::<()>().await;
        }
        Reply::Nothing => {}
        Reply::Endless => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10000000000\r\n\r\n").await.ok();
            while stream.write_all(&[b' '; 64 << 10]).await.is_ok() {}
        }
    }
}

pub(crate) fn json(status: u16, body: &str) -> Reply {
    Reply::Json(status, body.to_owned())
}

/// What a cluster answers that rebalances.
fn rebalancing() -> Reply {
    json(
        409,
        r#"{"error_code":409,"message":"Cannot complete request because of a conflicting operation (e.g. worker rebalance)"}"#,
    )
}

#[tokio::test]
async fn answers_of_a_worker_are_understood() {
    let status = r#"{"name":"c","connector":{"state":"RUNNING","worker_id":"w","version":"3"},
        "tasks":[{"id":0,"state":"FAILED","worker_id":"w","trace":"a.B: c\n\tat d"},{"id":1,"state":"SOMETHING_NEW"}],"type":"source"}"#;
    let server = Server::start(vec![
        json(200, r#"{"version":"4.3.0","commit":"a","kafka_cluster_id":"x"}"#),
        json(200, status),
        json(404, r#"{"error_code":404,"message":"No status found for connector c"}"#),
        json(200, r#"{"offsets":[{"partition":{"server":"x"},"offset":{"lsn":12}},{"partition":{"server":"y"},"offset":null}]}"#),
        json(200, r#"{"c":{"topics":["a","b"]}}"#),
        json(204, ""),
    ])
    .await;
    let client = server.client();
    assert_eq!(client.worker().await.unwrap().version, "4.3.0");
    let status = client.status("c").await.unwrap().unwrap();
    let words: Vec<_> = status.tasks.iter().map(|task| task.state).collect();
    assert_eq!(words, [ConnectorWord::Failed, ConnectorWord::Unknown]);
    assert_eq!(client.status("c").await.unwrap(), None);
    assert_eq!(client.offsets("c").await.unwrap().len(), 2);
    assert_eq!(client.topics("c").await.unwrap(), ["a", "b"]);
    client.stop("../x").await.unwrap();
    assert!(server.requests().last().unwrap().starts_with("PUT /connectors/%2E%2E%2Fx/stop HTTP/1.1"));
}

#[tokio::test]
async fn a_rebalance_is_waited_out() {
    let server = Server::start(vec![rebalancing(), rebalancing(), json(200, r#"{"message":"done"}"#)]).await;
    server.client().delete_offsets("c").await.unwrap();
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn a_rebalance_without_end_is_named() {
    let server = Server::start(vec![rebalancing()]).await;
    let error = server.client().with_patience(patience(400)).delete("c").await.unwrap_err();
    assert_eq!((error.code(), error.disposition()), ("CONNECT_REBALANCING", Disposition::Retry));
}

/// What some requests are answered while a cluster rebalances, and what a worker answers that cannot do a thing.
fn erring() -> Reply {
    json(500, r#"{"error_code":500,"message":"Request cannot be completed because a rebalance is expected"}"#)
}

/// Makes a call of a server that errs, rebalances, and errs again before it replies.
async fn waits_for<F: AsyncFn(Rest) -> Result<(), ConnectError>>(status: u16, body: &str, call: F) {
    // No request before has told that there is a worker.
    let server = Server::start(vec![erring(), rebalancing(), erring(), json(status, body)]).await;
    call(server.client()).await.unwrap();
    let first_lines: Vec<String> =
        server.requests().iter().filter_map(|request| request.lines().next().map(str::to_owned)).collect();
    assert_eq!(first_lines.len(), 4);
    assert!(first_lines.iter().all(|line| *line == first_lines[0]), "{first_lines:?}");
}

#[tokio::test]
async fn an_error_of_the_worker_is_waited_out_whatever_is_asked() {
    waits_for(200, r#"{"a":"1"}"#, async |rest| rest.config("c").await.map(drop)).await;
    waits_for(200, "[]", async |rest| rest.connectors().await.map(drop)).await;
    waits_for(200, r#"{"offsets":[]}"#, async |rest| rest.offsets("c").await.map(drop)).await;
    let none = Properties::new();
    waits_for(200, r#"{"name":"c"}"#, async |rest| rest.put_config("c", &none).await).await;
    waits_for(202, "", async |rest| rest.pause("c").await).await;
    waits_for(202, "", async |rest| rest.resume("c").await).await;
    waits_for(204, "", async |rest| rest.stop("c").await).await;
    waits_for(204, "", async |rest| rest.delete("c").await.map(drop)).await;
    waits_for(202, "", async |rest| rest.restart("c").await).await;
}

#[tokio::test]
async fn an_error_that_stays_is_told_with_the_workers_words() {
    let server = Server::start(vec![erring()]).await;
    let client = server.client().with_patience(patience(400));
    let error = client.config("c").await.unwrap_err();
    assert_eq!((error.code(), error.disposition()), ("CONNECT_ERROR", Disposition::Retry));
    assert!(error.to_string().contains("because a rebalance is expected"), "{error}");
    assert!((3..8).contains(&server.requests().len()), "{:?}", server.requests());
    // Within half a minute, whatever else there is to wait for.
    assert!(Patience::default().error + Patience::default().longest_pause <= Duration::from_secs(30));
}

#[tokio::test]
async fn an_error_that_says_something_is_told_at_once() {
    let offsets = [Offset { partition: json!({}), offset: json!({}) }];
    for number in 0..5 {
        let page = Reply::Json(500, "<html>oops</html>".to_owned());
        let server = Server::start(vec![if number == 0 { page } else { erring() }]).await;
        let client = server.client();
        let code = match number {
            // Somebody else's.
            0 => client.config("c").await.unwrap_err(),
            1 => client.validate("x.Y", &Properties::new()).await.unwrap_err(),
            2 => client.delete_offsets("c").await.unwrap_err(),
            3 => client.patch_offsets("c", &offsets).await.unwrap_err(),
            _ => client.at_once().status("c").await.unwrap_err(),
        };
        assert_eq!((code.code(), server.requests().len()), ("CONNECT_ERROR", 1), "{number}");
    }
}

#[tokio::test]
async fn a_connector_that_was_made_by_a_request_that_erred_is_ours() {
    let conflict = json(409, r#"{"error_code":409,"message":"Connector c already exists"}"#);
    let wanted = Properties::from([("a".to_owned(), "1".to_owned())]);
    let server = Server::start(vec![erring(), conflict, json(200, r#"{"name":"c","a":"1"}"#)]).await;
    server.client().create("c", &wanted, InitialState::Stopped).await.unwrap();
}

#[tokio::test]
async fn a_conflict_of_names_is_no_rebalance() {
    let server =
        Server::start(vec![json(409, r#"{"error_code":409,"message":"x"}"#), json(200, r#"{"name":"c"}"#)])
            .await;
    let error = server.client().create("c", &Properties::new(), InitialState::Stopped).await.unwrap_err();
    assert_eq!(error.code(), "CONNECTOR_EXISTS");
    assert!(server.requests()[0].contains(r#""initial_state":"STOPPED""#));
}

#[tokio::test]
async fn a_connector_is_made_after_a_rebalance() {
    let missing = r#"{"error_code":404,"message":"Connector c not found"}"#;
    let server = Server::start(vec![rebalancing(), json(404, missing), json(201, r#"{"name":"c"}"#)]).await;
    server.client().create("c", &Properties::new(), InitialState::Stopped).await.unwrap();
}

/// What a worker answers to [`Rest::worker`].
fn root() -> Reply {
    json(200, r#"{"version":"4.3.0","kafka_cluster_id":"x"}"#)
}

#[tokio::test]
async fn a_worker_that_has_answered_may_be_gone_for_a_while() {
    let gateway = || Reply::Json(502, "<html>nobody there</html>".to_owned());
    let server = Server::start(vec![root(), gateway(), Reply::Nothing, json(503, ""), json(204, "")]).await;
    let client = server.client();
    client.worker().await.unwrap();
    client.pause("c").await.unwrap();
    assert_eq!(server.requests().len(), 5);

    // One that has never answered is most likely another server.
    for (reply, code) in [(gateway(), "CONNECT_ERROR"), (Reply::Nothing, "CONNECT_UNREACHABLE")] {
        let server = Server::start(vec![reply, root()]).await;
        assert_eq!(server.client().worker().await.unwrap_err().code(), code);
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test]
async fn an_outage_without_end_is_named() {
    let server = Server::start(vec![root(), json(503, r#"{"error_code":503,"message":"no"}"#)]).await;
    let client = server.client().with_patience(patience(400));
    client.worker().await.unwrap();
    let error = client.pause("c").await.unwrap_err();
    assert_eq!((error.code(), error.disposition()), ("CONNECT_ERROR", Disposition::Retry));
    assert!(server.requests().len() > 2, "{:?}", server.requests());
    // Who asks again anyway is told at once.
    let asked = server.requests().len();
    client.at_once().pause("c").await.unwrap_err();
    assert_eq!(server.requests().len(), asked + 1);
}

#[tokio::test]
async fn a_connector_whose_answer_was_lost_is_ours_if_it_is_as_wanted() {
    let conflict = || json(409, r#"{"error_code":409,"message":"Connector c already exists"}"#);
    let wanted = Properties::from([("a".to_owned(), "1".to_owned())]);
    let check = async |found: &str| {
        let server = Server::start(vec![root(), Reply::Nothing, conflict(), json(200, found)]).await;
        let client = server.client();
        client.worker().await.unwrap();
        client.create("c", &wanted, InitialState::Stopped).await
    };
    check(r#"{"name":"c","a":"1"}"#).await.unwrap();
    let error = check(r#"{"name":"c","a":"2"}"#).await.unwrap_err();
    assert_eq!(error.code(), "CONNECTOR_EXISTS");
}

#[tokio::test]
async fn what_somebody_else_answers_is_neither_done_nor_missing() {
    let page = || Reply::Json(200, "<html>log in</html>".to_owned());
    let elsewhere = || Reply::Json(404, "<html>not found</html>".to_owned());
    let server = Server::start(vec![page(), page(), elsewhere(), elsewhere(), page()]).await;
    let client = server.client();
    let codes = [
        client.resume("c").await.unwrap_err().code(),
        client.delete("c").await.unwrap_err().code(),
        client.delete("c").await.unwrap_err().code(),
        client.config("c").await.unwrap_err().code(),
        client.create("c", &Properties::new(), InitialState::Stopped).await.unwrap_err().code(),
    ];
    assert_eq!(codes, ["CONNECT_ERROR"; 5]);
    let missing = r#"{"error_code":404,"message":"Connector c not found"}"#;
    let server = Server::start(vec![json(404, missing)]).await;
    assert!(!server.client().delete("c").await.unwrap());
    assert_eq!(server.client().config("c").await.unwrap(), None);
}

#[tokio::test]
async fn hostile_answers_are_refused_in_bounded_time_and_memory() {
    let slow = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n{".to_vec();
    let check = async |reply: Reply, code: &str| {
        let server = Server::start(vec![reply]).await;
        let error = server.client().worker().await.unwrap_err();
        assert_eq!(error.code(), code, "{error}");
    };
    check(Reply::Raw(slow), "CONNECT_TIMEOUT").await;
    check(Reply::Raw(Vec::new()), "CONNECT_TIMEOUT").await;
    check(Reply::Raw(b"SSH-2.0-x\r\n".to_vec()), "CONNECT_UNREACHABLE").await;
    check(Reply::Endless, "CONNECT_ANSWER_TOO_LARGE").await;
    check(json(200, "<html>hello</html>"), "CONNECT_ERROR").await;
    check(json(200, ""), "CONNECT_ERROR").await;
    check(json(500, "<html>oops</html>"), "CONNECT_ERROR").await;
    check(json(302, ""), "CONNECT_ERROR").await;
    check(json(401, ""), "CONNECT_AUTH").await;
    check(json(403, ""), "CONNECT_AUTH").await;
}

#[tokio::test]
async fn what_the_worker_says_is_shortened_and_on_one_line() {
    let long = format!(r#"{{"error_code":500,"message":"a\nb{}"}}"#, "x".repeat(5_000));
    let server = Server::start(vec![json(500, &long)]).await;
    let error = server.client().at_once().worker().await.unwrap_err();
    assert_eq!(error.disposition(), Disposition::Retry);
    let text = error.to_string();
    assert!(text.len() < 800 && !text.contains('\n') && text.contains("a bx"), "{text}");
}

#[tokio::test]
async fn nobody_listening_is_unreachable() {
    let url = ConnectUrl::parse("http://127.0.0.1:1").unwrap();
    let error = Rest::new(HttpConfig::new(url)).unwrap().worker().await.unwrap_err();
    assert_eq!(error.code(), "CONNECT_UNREACHABLE");
}

#[tokio::test]
async fn user_and_password_are_sent_and_not_shown() {
    let server = Server::start(vec![json(401, "")]).await;
    let auth = BasicAuth { user: "u".to_owned(), password: Secret::new("c4nary".to_owned()) };
    let config = HttpConfig { auth: Some(auth), ..HttpConfig::new(server.url.clone()) };
    let client = Rest::new(config).unwrap();
    let error = client.worker().await.unwrap_err();
    assert!(server.requests()[0].contains("authorization: Basic dTpjNG5hcnk="), "{:?}", server.requests());
    assert!(!format!("{client:?} {error:?} {error}").contains("c4nary"));
}

#[tokio::test]
async fn errors_of_validation_are_listed_once_each() {
    let body = r#"{"name":"x","error_count":2,"configs":[
        {"definition":{},"value":{"name":"a","value":"x","errors":["no number","no number"],"visible":true}},
        {"definition":{},"value":{"name":"b","value":null,"errors":[]}}]}"#;
    let server = Server::start(vec![json(200, body)]).await;
    let found = server.client().validate("x.Y", &Properties::new()).await.unwrap();
    assert_eq!(found.errors, [FieldError { name: "a".to_owned(), message: "no number".to_owned() }]);
    assert_eq!(found.error_count, 2);
}
