//! [`Api`]: asks `segcdc serve`, one connection a request.

use std::fmt::Write as _;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A server, and a token for it.
pub(super) struct Api {
    /// `127.0.0.1:port`
    address: String,
    token: String,
}

/// An answer.
struct Answer {
    status: u16,
    /// `name=value` of the cookie that it sets.
    cookie: Option<String>,
    body: Value,
}

// === impl Api ===

impl Api {
    /// Makes the first administrator of a server that is new, and a token.
    pub(super) async fn begin(url: &str, setup_token: &str) -> Result<Self> {
        let address = url.strip_prefix("http://").context("a URL of HTTP")?.to_owned();
        let body = json!({"token": setup_token, "user": "bench", "password": "a sentence for the benchmark"});
        let made = send(&address, "POST", "/api/v1/setup", &[], Some(&body)).await?;
        ensure!(made.status == 201, "the set-up was refused: {}", made.body);
        let csrf = made.body.get("csrf_token").and_then(Value::as_str).context("a token against forgery")?;
        let cookie = made.cookie.context("a cookie")?;
        let headers = [("Cookie", cookie.as_str()), ("X-CSRF-Token", csrf)];
        let body = json!({"name": "bench", "role": "admin"});
        let made = send(&address, "POST", "/api/v1/tokens", &headers, Some(&body)).await?;
        ensure!(made.status == 201, "no token was given: {}", made.body);
        let token = made.body.get("token").and_then(Value::as_str).context("a token")?.to_owned();
        Ok(Api { address, token })
    }

    /// Makes something; its id.
    pub(super) async fn make(&self, path: &str, body: &Value) -> Result<String> {
        let bearer = format!("Bearer {}", self.token);
        let made = send(&self.address, "POST", path, &[("Authorization", &bearer)], Some(body)).await?;
        ensure!(made.status == 201, "POST {path} was answered {}: {}", made.status, made.body);
        Ok(made.body.get("id").and_then(Value::as_str).context("an id")?.to_owned())
    }

    /// What is there.
    pub(super) async fn get(&self, path: &str) -> Result<Value> {
        let bearer = format!("Bearer {}", self.token);
        let found = send(&self.address, "GET", path, &[("Authorization", &bearer)], None).await?;
        ensure!(found.status == 200, "GET {path} was answered {}: {}", found.status, found.body);
        Ok(found.body)
    }
}

/// Sends a request and reads its answer to the end.
async fn send(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&Value>,
) -> Result<Answer> {
    let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for (name, value) in headers {
        write!(request, "{name}: {value}\r\n")?;
    }
    let body = body.map(Value::to_string).unwrap_or_default();
    write!(request, "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    read(&answer)
}

/// Takes an answer apart whose body is as it is.
fn read(answer: &str) -> Result<Answer> {
    let (head, body) = answer.split_once("\r\n\r\n").context("an answer has a head")?;
    let status = head.split(' ').nth(1).context("an answer has a status")?.parse()?;
    let cookie = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let pair = name.eq_ignore_ascii_case("set-cookie").then(|| value.split(';').next())??;
        Some(pair.trim().to_owned())
    });
    Ok(Answer { status, cookie, body: serde_json::from_str(body).unwrap_or(Value::Null) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_cookie_and_body_are_read() {
        let text = "HTTP/1.1 201 Created\r\ncontent-type: application/json\r\nSet-Cookie: s=1; Path=/\r\n\r\n{\"id\":\"7\"}";
        let answer = read(text).unwrap();
        assert_eq!(
            (answer.status, answer.cookie.as_deref(), answer.body),
            (201, Some("s=1"), json!({"id": "7"}))
        );
        assert!(read("nothing").is_err());
    }
}
