//! Answers, as the client's token decoder sees them.

use segcdc_tds::packet::HEADER_LEN;
use segcdc_tds::token::{self, Token};
use segcdc_tds::{ColumnType, Datum};
use tokio::io::AsyncReadExt;

use super::*;

/// What a client reads when `script` is played, with 512-byte packets.
async fn played(script: impl AsyncFnOnce(&mut AnswerWriter)) -> Vec<Token> {
    let (ours, mut theirs) = tokio::io::duplex(1 << 20);
    let mut writer = AnswerWriter::new(Box::new(ours), 51, 512, "sandbox");
    script(&mut writer).await;
    drop(writer);
    let mut bytes = Vec::new();
    theirs.read_to_end(&mut bytes).await.unwrap();
    let (mut payload, mut rest, mut ended) = (Vec::new(), bytes.as_slice(), false);
    while let Some((head, _)) = rest.split_first_chunk::<HEADER_LEN>() {
        let header = PacketHeader::decode(*head).unwrap();
        assert!(!ended, "packets behind the last one");
        ended = header.is_last();
        payload.extend_from_slice(&rest[HEADER_LEN..usize::from(header.length)]);
        rest = &rest[usize::from(header.length)..];
    }
    assert!(ended, "the message has no end");
    let (mut tokens, mut at, mut columns) = (Vec::new(), 0, Vec::new());
    while at < payload.len() {
        let (token, length) = token::decode(&payload[at..], &columns).unwrap();
        if let Token::Columns(found) = &token {
            columns = found.to_vec();
        }
        tokens.push(token);
        at += length;
    }
    tokens
}

/// The ends among tokens: which token, status, count.
fn ends(tokens: &[Token]) -> Vec<(&'static str, u16, u64)> {
    let end = |token: &Token| match token {
        Token::Done(done) => Some(("DONE", done.status, done.row_count)),
        Token::DoneProc(done) => Some(("DONEPROC", done.status, done.row_count)),
        Token::DoneInProc(done) => Some(("DONEINPROC", done.status, done.row_count)),
        _ => None,
    };
    tokens.iter().filter_map(end).collect()
}

fn done(count: u64) -> Reply {
    Reply::Done { count: Some(count), command: command::INSERT }
}

fn call(more: bool) -> Request {
    Request::Call { parameters: vec![String::new(), "@p".to_owned()], more }
}

#[tokio::test]
async fn last_statement_of_a_batch_ends_it() {
    let tokens = played(async |writer| {
        writer.begin(Request::Batch);
        writer.reply(done(3)).await.unwrap();
        writer.reply(done(0)).await.unwrap();
        writer.finish().await.unwrap();
    });
    assert_eq!(ends(&tokens.await), [("DONE", 0x11, 3), ("DONE", 0x10, 0)]);
}

#[tokio::test]
async fn batch_without_a_statement_ends() {
    let tokens = played(async |writer| {
        writer.begin(Request::Batch);
        writer.finish().await.unwrap();
    });
    assert_eq!(ends(&tokens.await), [("DONE", 0, 0)]);
}

#[tokio::test]
async fn error_marks_the_end_of_its_statement_only() {
    let tokens = played(async |writer| {
        writer.begin(Request::Batch);
        writer.reply(Reply::Error(SqlError::new(2627, 14, "no"))).await.unwrap();
        writer.reply(done(1)).await.unwrap();
        writer.reply(done(1)).await.unwrap();
        writer.finish().await.unwrap();
    });
    assert_eq!(ends(&tokens.await), [("DONE", 0x03, 0), ("DONE", 0x10, 1)]);
    let tokens = played(async |writer| {
        writer.begin(Request::Batch);
        writer.reply(done(1)).await.unwrap();
        writer.reply(Reply::Error(SqlError::new(208, 16, "no"))).await.unwrap();
        writer.finish().await.unwrap();
    });
    assert_eq!(ends(&tokens.await), [("DONE", 0x11, 1), ("DONE", 0x02, 0)]);
}

#[tokio::test]
async fn calls_end_with_their_status_and_output_parameters() {
    let tokens = played(async |writer| {
        writer.begin(call(true));
        writer.reply(done(2)).await.unwrap();
        let column = OutColumn::new("@p", ColumnType::Int);
        let value = Datum::Int(5);
        writer.reply(Reply::ReturnValue { name: "@p".to_owned(), column, value }).await.unwrap();
        writer.finish().await.unwrap();
        writer.begin(call(false));
        writer.reply(Reply::Error(SqlError::new(547, 16, "no"))).await.unwrap();
        writer.finish().await.unwrap();
    })
    .await;
    assert_eq!(ends(&tokens), [("DONEINPROC", 0x11, 2), ("DONEPROC", 0x01, 0), ("DONEPROC", 0x02, 0)]);
    let outcomes: Vec<_> = tokens
        .iter()
        .filter(|token| matches!(token, Token::ReturnStatus(_) | Token::ReturnValue { .. }))
        .collect();
    let value = Token::ReturnValue { name: "@p".to_owned(), value: Datum::Int(5) };
    assert_eq!(outcomes, [&Token::ReturnStatus(0), &value, &Token::ReturnStatus(547)]);
}

#[tokio::test]
async fn ends_tell_of_an_open_transaction() {
    let tokens = played(async |writer| {
        writer.begin(Request::Batch);
        writer.reply(Reply::Env(EnvChange::Begin(77))).await.unwrap();
        writer.reply(done(1)).await.unwrap();
        writer.reply(Reply::Env(EnvChange::Commit)).await.unwrap();
        writer.outcome(Ok(None), command::OTHER);
        writer.finish().await.unwrap();
    });
    let tokens = tokens.await;
    assert_eq!(tokens[0], Token::EnvChange(token::EnvChange::TransactionBegun(77)));
    assert_eq!(ends(&tokens), [("DONE", 0x15, 1), ("DONE", 0, 0)]);
}

#[tokio::test]
async fn long_answers_are_cut_into_packets() {
    let rows: Vec<Vec<Datum>> = (0..20_000).map(|id| vec![Datum::Int(id)]).collect();
    let sent = rows.clone();
    let tokens = played(async |writer| {
        writer.begin(Request::Batch);
        writer.reply(Reply::Columns(vec![OutColumn::new("id", ColumnType::BigInt)])).await.unwrap();
        writer.reply(Reply::Rows(sent)).await.unwrap();
        writer.reply(done(20_000)).await.unwrap();
        writer.finish().await.unwrap();
    });
    let found: Vec<Vec<Datum>> = tokens
        .await
        .into_iter()
        .filter_map(|token| if let Token::Row(row) = token { Some(row) } else { None })
        .collect();
    assert_eq!(found, rows);
}

#[tokio::test]
async fn value_that_does_not_fit_is_an_error_of_the_answer() {
    let tokens = played(async |writer| {
        writer.begin(Request::Batch);
        writer.reply(Reply::Columns(vec![OutColumn::new("id", ColumnType::TinyInt)])).await.unwrap();
        writer.reply(Reply::Rows(vec![vec![Datum::Int(256)]])).await.unwrap();
        writer.reply(done(1)).await.unwrap();
        writer.finish().await.unwrap();
    });
    let tokens = tokens.await;
    assert!(tokens.iter().any(|token| matches!(token, Token::Error(error) if error.number == 50_001)));
    assert_eq!(ends(&tokens), [("DONE", 0x02, 0)]);
}

#[tokio::test]
async fn attention_is_acknowledged_behind_what_was_sent() {
    let tokens = played(async |writer| {
        writer.begin(Request::Batch);
        writer.reply(done(1)).await.unwrap();
        writer.acknowledge_attention().await.unwrap();
    });
    assert_eq!(ends(&tokens.await), [("DONE", 0x11, 1), ("DONE", 0x20, 0)]);
}
