//! [`Proxy`]: a TCP proxy on loopback that breaks connections on purpose.
//!
//! ```text
//! client <--------------------- proxy ---------------------> server
//!         Direction::ToClient          Direction::ToServer
//!
//! rule: in this direction, after so many bytes or at these bytes, do this
//!   Reset        both sides see the connection reset; the bytes that met the rule are not passed on
//!   LoseAnswer   the bytes are passed on, the server's answer is awaited and thrown away, then both are reset:
//!                the server did it, and the client cannot know
//!   Swallow      from here on nothing is passed on in this direction, and nobody is told
//! ```
//!
//! A rule is met once, by the first connection that comes to it.

use std::io;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Bytes that are read at once.
const CHUNK: usize = 32 * 1024;

/// A way through the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

/// What is looked for in a chunk.
pub type Predicate = Box<dyn Fn(&[u8]) -> bool + Send + Sync>;

/// What a rule waits for.
pub enum When {
    /// So many bytes of one connection; those before it are passed on.
    Bytes(u64),
    /// A chunk, as it was read from the socket, of which this holds.
    Seen(Predicate),
}

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Resets both sides.
    Reset,
    /// Passes on, waits for the answer, throws it away, resets both sides.
    LoseAnswer,
    /// Passes on nothing more in this direction.
    Swallow,
}

/// A fault to come.
pub struct Rule {
    /// Where it is looked for.
    pub direction: Direction,
    /// What it waits for.
    pub when: When,
    /// What it does.
    pub then: Then,
}

/// A running proxy. Dropping it ends it and its connections.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

/// What all connections of a proxy look at.
struct Shared {
    rule: Mutex<Option<Rule>>,
    refuse: AtomicBool,
    connections: AtomicUsize,
    /// Rules that were met.
    met: watch::Sender<usize>,
    /// Raised to reset all connections that are open.
    resets: watch::Sender<usize>,
}

/// How a connection ended, when it was not its two ends who ended it.
#[derive(Debug)]
enum Broken {
    Reset,
    Io,
}

/// What the two directions of one connection tell each other.
#[derive(Debug, Default)]
struct Link {
    lose_answer: AtomicBool,
}

// === impl Proxy ===

impl Proxy {
    /// Starts a proxy on a free port of 127.0.0.1 in front of another port of it.
    pub async fn start(server_port: u16) -> io::Result<Self> {
        Self::start_at(Ipv4Addr::LOCALHOST, server_port).await
    }

    /// Starts a proxy on a free port of an address of this machine in front of a port of 127.0.0.1.
    pub async fn start_at(address: Ipv4Addr, server_port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((address, 0)).await?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            rule: Mutex::new(None),
            refuse: AtomicBool::new(false),
            connections: AtomicUsize::new(0),
            met: watch::Sender::new(0),
            resets: watch::Sender::new(0),
        });
        let task = tokio::spawn(accept(listener, server_port, Arc::clone(&shared)));
        Ok(Proxy { port, shared, task })
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Arms a rule in the place of one that was not met yet.
    pub fn arm(&self, rule: Rule) {
        *self.shared.rule.lock().unwrap_or_else(PoisonError::into_inner) = Some(rule);
    }

    /// How many rules were met so far; changes wake the watcher.
    pub fn met(&self) -> watch::Receiver<usize> {
        self.shared.met.subscribe()
    }

    /// Resets all connections that are open.
    pub fn reset_all(&self) {
        self.shared.resets.send_modify(|count| *count += 1);
    }

    /// Whether new connections are closed at once.
    pub fn refuse(&self, refuse: bool) {
        self.shared.refuse.store(refuse, Ordering::SeqCst);
    }

    /// Connections that were accepted so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        self.reset_all();
    }
}

// === impl Shared ===

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("connections", &self.connections).field("met", &self.met).finish()
    }
}

impl Shared {
    /// Takes the rule if this chunk meets it; with it, how many bytes of the chunk come before the fault.
    fn meet(&self, direction: Direction, before: u64, chunk: &[u8]) -> Option<(Then, usize)> {
        let mut slot = self.rule.lock().unwrap_or_else(PoisonError::into_inner);
        let rule = slot.as_ref().filter(|rule| rule.direction == direction)?;
        let pass = match &rule.when {
            When::Bytes(limit) => {
                let left = usize::try_from(limit.saturating_sub(before)).unwrap_or(usize::MAX);
                (left < chunk.len()).then_some(left)?
            }
            When::Seen(predicate) => predicate(chunk).then_some(0)?,
        };
        let then = rule.then;
        *slot = None;
        drop(slot);
        self.met.send_modify(|count| *count += 1);
        Some((then, pass))
    }
}

async fn accept(listener: TcpListener, server_port: u16, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        if shared.refuse.load(Ordering::SeqCst) {
            reset(&client);
            continue;
        }
        shared.connections.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(serve(client, server_port, Arc::clone(&shared)));
    }
}

/// One connection, from its beginning to its end.
async fn serve(mut client: TcpStream, server_port: u16, shared: Arc<Shared>) {
    let mut resets = shared.resets.subscribe();
    resets.mark_unchanged();
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", server_port)).await else {
        reset(&client);
        return;
    };
    client.set_nodelay(true).ok();
    server.set_nodelay(true).ok();
    let link = Link::default();
    let broken = {
        let (client_read, client_write) = client.split();
        let (server_read, server_write) = server.split();
        let to_server = pump(client_read, server_write, Direction::ToServer, &link, &shared);
        let to_client = pump(server_read, client_write, Direction::ToClient, &link, &shared);
        tokio::select! {
            ended = async { tokio::try_join!(to_server, to_client) } => ended.is_err(),
            _ = resets.changed() => true,
        }
    };
    if broken {
        reset(&client);
        reset(&server);
    }
}

/// Passes bytes on in one direction until its end, or until a rule is met.
async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    direction: Direction,
    link: &Link,
    shared: &Shared,
) -> Result<(), Broken> {
    let mut buffer = vec![0; CHUNK];
    let mut passed = 0u64;
    let mut swallow = false;
    loop {
        let length = from.read(&mut buffer).await.map_err(|_| Broken::Io)?;
        if length == 0 {
            // The other direction may go on: a half-closed connection stays one.
            to.shutdown().await.ok();
            return Ok(());
        }
        if direction == Direction::ToClient && link.lose_answer.load(Ordering::SeqCst) {
            return Err(Broken::Reset);
        }
        let chunk = buffer.get(..length).unwrap_or_default();
        if swallow {
            continue;
        }
        let met = shared.meet(direction, passed, chunk);
        let pass = match met {
            None => length,
            Some((Then::LoseAnswer, _)) => {
                link.lose_answer.store(true, Ordering::SeqCst);
                length
            }
            Some((_, pass)) => pass,
        };
        to.write_all(chunk.get(..pass).unwrap_or_default()).await.map_err(|_| Broken::Io)?;
        passed = passed.saturating_add(u64::try_from(pass).unwrap_or(u64::MAX));
        match met {
            Some((Then::Reset, _)) => return Err(Broken::Reset),
            Some((Then::Swallow, _)) => swallow = true,
            Some((Then::LoseAnswer, _)) | None => {}
        }
    }
}

/// Makes the socket's end a reset, as the end of a machine or of a path to it looks.
fn reset(stream: &TcpStream) {
    rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO)).ok();
}
