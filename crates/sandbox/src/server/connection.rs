//! One connection: login, then request after request.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use segcdc_tds::packet::{DEFAULT_PACKET_SIZE, PacketType, status};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::answer::{Reply, SqlError, command};
use crate::decode::request::{self, Begin, TransactionRequest};
use crate::engine::Session;
use crate::server::Shared;
use crate::server::answer_writer::{AnswerWriter, Request};
use crate::server::handshake::{Greeted, LOGIN_LIMIT, Transport, greet};
use crate::server::login::{self, Login7};
use crate::server::packets::{Packet, read_ahead, read_message, write_message};
use crate::server::procedures::Handles;

/// Longest LOGIN7.
const LOGIN_BYTES: usize = 128 * 1024;

/// Longest request that is not a bulk load: a value of 2 GB and something around it.
const REQUEST_BYTES: usize = 0x8010_0000;

/// Replies between engine and writer.
const REPLIES: usize = 8;

/// A logged-in connection.
pub(super) struct Connection {
    pub(super) session: Session,
    pub(super) packets: mpsc::Receiver<Packet>,
    pub(super) writer: AnswerWriter,
    pub(super) handles: Handles,
}

/// How a piece of work ended.
pub(super) struct Driven<R> {
    /// What it returned; `None` when it was cancelled.
    pub(super) result: Option<R>,
    /// Whether the client sent an attention.
    pub(super) attention: bool,
}

/// Work of the engine.
pub(super) type Work<'a, R> = Pin<Box<dyn Future<Output = R> + Send + 'a>>;

/// The client is gone, in the middle of something.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the client went away during a request")]
pub(super) struct ClientGone;

/// Serves a connection to its end.
pub(super) async fn run(tcp: TcpStream, shared: Arc<Shared>, spid: u16) -> Result<()> {
    let opened = tokio::time::timeout(LOGIN_LIMIT, Box::pin(open(tcp, &shared, spid)));
    let Some((session, transport, packet_size)) = opened.await.context("the login took too long")?? else {
        return Ok(());
    };
    let (read, write) = tokio::io::split(transport);
    let writer = AnswerWriter::new(Box::new(write), spid, packet_size, session.database());
    let mut connection =
        Connection { session, packets: read_ahead(read), writer, handles: Handles::default() };
    connection.serve().await
}

/// Everything up to the end of the login; `None` when it failed and the client knows.
async fn open(
    tcp: TcpStream,
    shared: &Shared,
    spid: u16,
) -> Result<Option<(Session, Box<dyn Transport>, u32)>> {
    let (mut transport, message): (Box<dyn Transport>, _) =
        match greet(tcp, shared.policy, &shared.acceptors).await? {
            Greeted::Plain(tcp) => with_login(Box::new(tcp)).await?,
            Greeted::Inner(tls) => with_login(tls).await?,
            Greeted::Strict(tls) => with_login(tls).await?,
            Greeted::LoginOnly(mut tls) => {
                let message = read_message(&mut tls, LOGIN_BYTES).await?;
                (Box::new(tls.into_inner().0.into_inner()), message)
            }
        };
    let (packet_type, payload) = message;
    if packet_type != PacketType::Login7 {
        bail!("a {packet_type:?} message instead of LOGIN7");
    }
    let login = login::decode(&payload, spid).context("LOGIN7")?;
    let outcome = log_in(shared, &login).await;
    let answer = match &outcome {
        Ok(session) => login::welcome(&login, session, shared.route.as_ref()),
        Err(error) => login::farewell(error, &login.request.user),
    };
    write_message(&mut transport, PacketType::TabularResult, spid, DEFAULT_PACKET_SIZE, &answer).await?;
    match outcome {
        Ok(_) if shared.route.is_some() => {
            tracing::info!(spid, user = login.request.user, "sent a login on");
            tokio::io::AsyncWriteExt::shutdown(&mut transport).await.ok();
            Ok(None)
        }
        Ok(session) => {
            let request = &login.request;
            tracing::info!(
                spid,
                user = request.user,
                database = session.database(),
                application = request.application,
                "logged in"
            );
            Ok(Some((session, transport, request.packet_size)))
        }
        Err(error) => {
            tracing::info!(spid, user = login.request.user, number = error.number, "refused a login");
            tokio::io::AsyncWriteExt::shutdown(&mut transport).await.ok();
            Ok(None)
        }
    }
}

/// Reads LOGIN7.
async fn with_login(
    mut transport: Box<dyn Transport>,
) -> Result<(Box<dyn Transport>, (PacketType, Vec<u8>))> {
    let message = read_message(&mut transport, LOGIN_BYTES).await?;
    Ok((transport, message))
}

/// Asks the engine for a session.
async fn log_in(shared: &Shared, login: &Login7) -> Result<Session, SqlError> {
    match login::refuse(login) {
        Some(error) => Err(error),
        None => shared.engine.login(&login.request).await,
    }
}

// === impl Connection ===

impl Connection {
    /// Answers requests until the client leaves.
    async fn serve(&mut self) -> Result<()> {
        while let Some(first) = self.packets.recv().await {
            if first.header.packet_type == PacketType::Attention {
                self.writer.begin(Request::Batch);
                self.writer.acknowledge_attention().await?;
                continue;
            }
            if first.header.packet_type == PacketType::BulkLoad {
                self.bulk_load(first).await?;
                continue;
            }
            let (packet_type, bits) = (first.header.packet_type, first.header.status);
            let Some(payload) = self.gather(first).await? else {
                self.writer.begin(Request::Batch);
                self.writer.answer_ignored().await?;
                continue;
            };
            self.reset_if_asked(bits).await?;
            match packet_type {
                PacketType::SqlBatch => self.batch(&payload).await?,
                PacketType::Rpc => self.calls(&payload).await?,
                PacketType::TransactionManager => self.transaction(&payload).await?,
                other => bail!("a {other:?} message is not a request"),
            }
        }
        Ok(())
    }

    /// The rest of a message; `None` when the client takes it back.
    async fn gather(&mut self, first: Packet) -> Result<Option<Vec<u8>>> {
        let mut header = first.header;
        let mut payload = first.payload;
        while !header.is_last() {
            let packet = self.packets.recv().await.ok_or(ClientGone)?;
            if packet.header.packet_type != header.packet_type {
                bail!(
                    "a {:?} packet inside of a {:?} message",
                    packet.header.packet_type,
                    header.packet_type
                );
            }
            header = packet.header;
            payload.extend_from_slice(&packet.payload);
            if payload.len() > REQUEST_BYTES {
                bail!("a request of more than {REQUEST_BYTES} bytes");
            }
        }
        Ok((header.status & status::IGNORE == 0).then_some(payload))
    }

    /// RESETCONNECTION.
    async fn reset_if_asked(&mut self, bits: u8) -> io::Result<()> {
        let keep_transaction = bits & status::RESET_CONNECTION_SKIP_TRAN != 0;
        if bits & status::RESET_CONNECTION == 0 && !keep_transaction {
            return Ok(());
        }
        self.handles = Handles::default();
        self.writer.begin(Request::Batch);
        self.writer.acknowledge_reset();
        let (sender, mut replies) = mpsc::channel(REPLIES);
        let reset = async {
            self.session.reset(keep_transaction, &sender).await;
            drop(sender);
        };
        let ((), written) = tokio::join!(reset, self.writer.pump(&mut replies));
        written
    }

    /// A batch of SQL.
    async fn batch(&mut self, payload: &[u8]) -> Result<()> {
        let sql = request::decode_batch(payload)?;
        self.writer.begin(Request::Batch);
        let (sender, replies) = mpsc::channel(REPLIES);
        let session = &mut self.session;
        let work: Work<'_, ()> = Box::pin(async move {
            session.batch(&sql, &[], &sender).await;
            drop(sender);
        });
        let driven = drive(work, replies, &mut self.packets, &mut self.writer).await;
        self.finish(driven).await
    }

    /// A request to the transaction manager.
    async fn transaction(&mut self, payload: &[u8]) -> Result<()> {
        let request = request::decode_transaction(payload)?;
        self.writer.begin(Request::Batch);
        let (sender, replies) = mpsc::channel(REPLIES);
        let session = &mut self.session;
        let work: Work<'_, Result<(), SqlError>> =
            Box::pin(async move { run_transaction_request(session, request, &sender).await });
        let mut driven = drive(work, replies, &mut self.packets, &mut self.writer).await;
        if let Ok(Driven { result: Some(outcome), .. }) = &mut driven {
            let outcome = std::mem::replace(outcome, Ok(()));
            self.writer.outcome(outcome.map(|()| None), command::OTHER);
        }
        self.finish(driven).await
    }

    /// Ends a request, as it ended.
    pub(super) async fn finish<R>(&mut self, driven: Result<Driven<R>>) -> Result<()> {
        let driven = match driven {
            Ok(driven) => driven,
            Err(error) => {
                self.interrupt().await?;
                return Err(error);
            }
        };
        if driven.result.is_none() {
            self.interrupt().await?;
        }
        if driven.attention {
            self.writer.acknowledge_attention().await?;
        } else {
            self.writer.finish().await?;
        }
        Ok(())
    }

    /// Tells the engine that its work was dropped.
    pub(super) async fn interrupt(&mut self) -> io::Result<()> {
        let (sender, mut replies) = mpsc::channel(REPLIES);
        let interrupt = async {
            self.session.interrupt(&sender).await;
            drop(sender);
        };
        let ((), written) = tokio::join!(interrupt, self.writer.pump(&mut replies));
        written
    }
}

/// Runs work of the engine, writes its replies, and watches for an attention, which drops the work. The work must own
/// the replies' sender. An error is the end of the connection; the engine must still be told.
pub(super) async fn drive<R>(
    work: Work<'_, R>,
    mut replies: mpsc::Receiver<Reply>,
    packets: &mut mpsc::Receiver<Packet>,
    writer: &mut AnswerWriter,
) -> Result<Driven<R>> {
    let mut work = Some(work);
    let mut driven = Driven { result: None, attention: false };
    let mut pump = Box::pin(writer.pump(&mut replies));
    loop {
        tokio::select! {
            biased;
            result = poll_some(&mut work) => {
                driven.result = Some(result);
                work = None;
            }
            written = &mut pump => {
                written?;
                break;
            }
            packet = packets.recv(), if !driven.attention => match packet {
                Some(packet) if packet.header.packet_type == PacketType::Attention => {
                    driven.attention = true;
                    work = None;
                }
                Some(packet) => bail!("a {:?} message during a request", packet.header.packet_type),
                None => return Err(ClientGone.into()),
            },
        }
    }
    drop(pump);
    if let (Some(work), false) = (work, driven.attention) {
        driven.result = Some(work.await); // it dropped the sender before its last steps
    }
    Ok(driven)
}

/// The work's result; never, when there is no work.
pub(super) async fn poll_some<R>(work: &mut Option<Work<'_, R>>) -> R {
    match work {
        Some(work) => work.as_mut().await,
        None => std::future::pending().await,
    }
}

/// A request to the transaction manager, and the transaction that is to begin behind it.
async fn run_transaction_request(
    session: &mut Session,
    request: TransactionRequest,
    out: &mpsc::Sender<Reply>,
) -> Result<(), SqlError> {
    let next = match request {
        TransactionRequest::Begin(begin) => Some(begin),
        TransactionRequest::Commit(next) => {
            session.commit(out).await?;
            next
        }
        TransactionRequest::Rollback { name, next } => {
            session.rollback(&name, out).await?;
            next
        }
        TransactionRequest::Save { name } => return session.save(&name, out).await,
        TransactionRequest::Distributed(_) => {
            let text = "MSDTC is not available in the sandbox: there are no distributed transactions.";
            return Err(SqlError::new(8501, 16, text));
        }
    };
    match next {
        Some(Begin { isolation, name }) => session.begin(isolation, &name, out).await,
        None => Ok(()),
    }
}
