//! [`Rest`]: just enough HTTP to talk to a worker on loopback.

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A client of a worker's REST interface; a connection for each request.
#[derive(Debug, Clone, Copy)]
pub struct Rest {
    port: u16,
}

/// What a worker answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: String,
}

// === impl Rest ===

impl Rest {
    /// A client of the worker at this port of 127.0.0.1.
    pub fn new(port: u16) -> Self {
        Rest { port }
    }

    /// GET of a path.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.send("GET", path, None).await
    }

    /// POST to a path.
    pub async fn post(&self, path: &str, body: Option<&Value>) -> Result<Answer> {
        self.send("POST", path, body).await
    }

    /// PUT to a path.
    pub async fn put(&self, path: &str, body: Option<&Value>) -> Result<Answer> {
        self.send("PUT", path, body).await
    }

    /// DELETE of a path.
    pub async fn delete(&self, path: &str) -> Result<Answer> {
        self.send("DELETE", path, None).await
    }

    /// HTTP 1.0: an answer ends with its connection, and never comes in chunks.
    async fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Answer> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let head = format!(
            "{method} {path} HTTP/1.0\r\nHost: 127.0.0.1:{}\r\nAccept: application/json\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            self.port,
            body.len()
        );
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        let answer = String::from_utf8(answer).context("the answer is no text")?;
        let (head, body) = answer.split_once("\r\n\r\n").context("the answer has no end of its head")?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Ok(Answer { status: status.context("the answer has no status")?, body: body.to_owned() })
    }
}

// === impl Answer ===

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.body).with_context(|| format!("status {}: {}", self.status, self.body))
    }
}
