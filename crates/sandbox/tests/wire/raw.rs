//! What no client does, or no client shows: packets by hand.

use segcdc_tds::bulk::{BulkColumn, column_metadata};
use segcdc_tds::login::ClientIdentity;
use segcdc_tds::packet::{HEADER_LEN, PacketHeader, PacketType, put_message, put_packet, status};
use segcdc_tds::token::{Column, Token, decode};
use segcdc_tds::types::{done_status, env_change, token_id};
use segcdc_tds::{Collation, ColumnType, Datum, Encryption};
use segcdc_testkit::{Sandbox, SandboxOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::config;

/// No error.
const NONE: [i32; 0] = [];

/// A connection without a client.
struct Raw {
    tcp: TcpStream,
}

/// A sandbox that encrypts nothing.
async fn plain() -> Sandbox {
    let options = SandboxOptions { encryption: "unsupported".to_owned(), ..SandboxOptions::default() };
    Sandbox::start(options).await.unwrap()
}

impl Raw {
    /// Logs in.
    async fn connect(sandbox: &Sandbox) -> Self {
        let tcp = TcpStream::connect(("127.0.0.1", sandbox.port())).await.unwrap();
        let mut raw = Raw { tcp };
        let prelogin = segcdc_tds::prelogin::encode(Encryption::Off);
        raw.send(PacketType::PreLogin, &prelogin).await;
        raw.message().await.unwrap();
        let identity = ClientIdentity { host_name: "raw".to_owned(), process_id: 1 };
        let config = segcdc_tds::Config { packet_size: 4096, ..config(sandbox, Encryption::Off) };
        let login = segcdc_tds::login::encode(&config, &identity).unwrap();
        raw.send(PacketType::Login7, &login).await;
        let tokens = raw.answer().await;
        assert!(tokens.iter().any(|token| matches!(token, Token::LoginAck(_))), "{tokens:?}");
        let greeted =
            |token: &Token| matches!(token, Token::Info(info) if info.message.contains("NOT SQL Server"));
        assert!(tokens.iter().any(greeted), "{tokens:?}");
        raw
    }

    /// Sends a message.
    async fn send(&mut self, packet_type: PacketType, payload: &[u8]) {
        let mut bytes = Vec::new();
        put_message(&mut bytes, packet_type, 0, 4096, payload);
        self.tcp.write_all(&bytes).await.unwrap();
    }

    /// Sends one packet with these bits of status.
    async fn send_packet(&mut self, packet_type: PacketType, bits: u8, payload: &[u8]) {
        let mut bytes = Vec::new();
        let header = PacketHeader { packet_type, status: bits, length: 0, spid: 0, packet_id: 1 };
        put_packet(&mut bytes, header, payload);
        self.tcp.write_all(&bytes).await.unwrap();
    }

    /// The payload of the next message; `None` when the server has hung up.
    async fn message(&mut self) -> Option<Vec<u8>> {
        let mut message = Vec::new();
        loop {
            let mut head = [0; HEADER_LEN];
            self.tcp.read_exact(&mut head).await.ok()?;
            let header = PacketHeader::decode(head).unwrap();
            let mut payload = vec![0; header.payload_len()];
            self.tcp.read_exact(&mut payload).await.ok()?;
            message.extend_from_slice(&payload);
            if header.is_last() {
                return Some(message);
            }
        }
    }

    /// The tokens of the next message.
    async fn answer(&mut self) -> Vec<Token> {
        let message = self.message().await.unwrap();
        let (mut tokens, mut columns, mut rest) = (Vec::new(), Vec::<Column>::new(), message.as_slice());
        while !rest.is_empty() {
            let (token, length) = decode(rest, &columns).unwrap();
            if let Token::Columns(found) = &token {
                columns = found.to_vec();
            }
            tokens.push(token);
            rest = &rest[length..];
        }
        tokens
    }

    /// Runs a batch.
    async fn batch(&mut self, sql: &str) -> Vec<Token> {
        self.send(PacketType::SqlBatch, &segcdc_tds::batch::encode(sql, 0)).await;
        self.answer().await
    }

    /// Rows of a table.
    async fn count(&mut self) -> Datum {
        let tokens = self.batch("SELECT COUNT(*) FROM [dbo].[t]").await;
        let row =
            tokens.into_iter().find_map(|token| if let Token::Row(row) = token { Some(row) } else { None });
        row.unwrap().remove(0)
    }
}

/// The status of the last DONE, and the error numbers in front of it.
fn end(tokens: &[Token]) -> (u16, Vec<i32>) {
    let numbers = tokens.iter().filter_map(|token| match token {
        Token::Error(error) => Some(error.number),
        _ => None,
    });
    let numbers = numbers.collect();
    match tokens.last() {
        Some(Token::Done(done)) => (done.status, numbers),
        other => panic!("the last token is {other:?}"),
    }
}

/// COLMETADATA of a date and the rows behind it.
fn dates(rows: &[u8]) -> Vec<u8> {
    let collation = Collation::default();
    let column =
        BulkColumn { name: "d".to_owned(), column_type: ColumnType::Date, nullable: true, collation };
    let mut bytes = column_metadata(&[column]).unwrap();
    bytes.extend_from_slice(rows);
    bytes
}

#[tokio::test]
async fn bulk_load_with_a_bad_value_or_a_bad_end_loads_nothing() {
    let sandbox = plain().await;
    let mut raw = Raw::connect(&sandbox).await;
    raw.batch("CREATE TABLE [dbo].[t] ([d] date NULL)").await;
    let good = [token_id::ROW, 3, 1, 0, 0];
    let done = [token_id::DONE, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let cases: [(&[u8], i32); 4] = [
        (&[token_id::ROW, 3, 0xFF, 0xFF, 0xFF], 7339),
        (&[token_id::ROW, 2, 0, 0], 4815),
        (&[token_id::ROW, 3, 0], 4804),
        (&[0x55], 4804),
    ];
    for (bad, number) in cases {
        assert_eq!(end(&raw.batch("INSERT BULK [dbo].[t] ([d] DATE)").await).1, NONE);
        raw.send(PacketType::BulkLoad, &dates(&[&good[..], bad].concat())).await;
        let (status, numbers) = end(&raw.answer().await);
        assert_eq!((status & done_status::ERROR, numbers), (done_status::ERROR, vec![number]), "{bad:?}");
        assert_eq!(raw.count().await, Datum::Int(0));
    }
    raw.batch("INSERT BULK [dbo].[t] ([d] DATE)").await;
    raw.send(PacketType::BulkLoad, &dates(&[&good[..], &done].concat())).await;
    assert_eq!(end(&raw.answer().await).1, NONE);
    assert_eq!(raw.count().await, Datum::Int(1));
}

#[tokio::test]
async fn request_that_is_taken_back_is_answered_with_one_done() {
    let sandbox = plain().await;
    let mut raw = Raw::connect(&sandbox).await;
    raw.batch("CREATE TABLE [dbo].[t] ([d] date NULL)").await;
    let sql = segcdc_tds::batch::encode("INSERT INTO [dbo].[t] VALUES ('2026-01-01')", 0);
    raw.send_packet(PacketType::SqlBatch, status::NORMAL, &sql).await;
    raw.send_packet(PacketType::SqlBatch, status::END_OF_MESSAGE | status::IGNORE, &[]).await;
    let tokens = raw.answer().await;
    assert_eq!((tokens.len(), end(&tokens)), (1, (done_status::ERROR, Vec::new())));
    assert_eq!(raw.count().await, Datum::Int(0));
}

#[tokio::test]
async fn attention_without_a_request_is_acknowledged() {
    let sandbox = plain().await;
    let mut raw = Raw::connect(&sandbox).await;
    raw.send(PacketType::Attention, &[]).await;
    assert_eq!(end(&raw.answer().await), (done_status::ATTENTION, Vec::new()));
    assert_eq!(end(&raw.batch("SELECT 1").await).1, NONE);
}

#[tokio::test]
async fn session_is_reset_when_the_request_asks_for_it() {
    let sandbox = plain().await;
    let mut raw = Raw::connect(&sandbox).await;
    raw.batch("CREATE TABLE [#mine] ([id] int NULL); BEGIN TRAN").await;
    let sql = segcdc_tds::batch::encode("SELECT * FROM [#mine]", 0);
    raw.send_packet(PacketType::SqlBatch, status::END_OF_MESSAGE | status::RESET_CONNECTION, &sql).await;
    let tokens = raw.answer().await;
    let is_reset = |token: &Token| {
        let other = segcdc_tds::token::EnvChange::Other(env_change::RESET_CONNECTION_ACK);
        matches!(token, Token::EnvChange(change) if *change == other)
    };
    assert!(is_reset(&tokens[0]), "{tokens:?}");
    assert_eq!(end(&tokens), (done_status::ERROR, vec![208]), "no table and no transaction is left");
}

#[tokio::test]
async fn what_is_no_request_ends_the_connection() {
    let sandbox = plain().await;
    for (packet_type, payload) in [
        (PacketType::TabularResult, vec![1]),
        (PacketType::PreLogin, vec![1]),
        (PacketType::Rpc, vec![1, 2, 3]),
        (PacketType::SqlBatch, vec![0xFF; 8]),
        (PacketType::TransactionManager, vec![4, 0, 0, 0, 99, 0]),
    ] {
        let mut raw = Raw::connect(&sandbox).await;
        raw.send(packet_type, &payload).await;
        assert_eq!(raw.message().await, None, "{packet_type:?}");
    }
    assert_eq!(end(&Raw::connect(&sandbox).await.batch("SELECT 1").await).1, NONE, "the server lives on");
}
