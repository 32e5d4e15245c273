//! [`delete`]: the one request of the Kafka protocol that tests need, DeleteRecords 0.

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Number of the request.
const DELETE_RECORDS: i16 = 21;

/// How long the broker may take, milliseconds.
const LIMIT_MS: i32 = 10_000;

/// Deletes all messages of partition 0; returns the offset of the first one that is left, or comes next.
pub(super) async fn delete(port: u16, topic: &str) -> Result<i64> {
    let name = [&i16::try_from(topic.len())?.to_be_bytes()[..], topic.as_bytes()].concat();
    let mut request = Vec::new();
    request.extend(DELETE_RECORDS.to_be_bytes());
    // Version, number of the request, no name of the client.
    request.extend([0, 0, 0, 0, 0, 1, 0xff, 0xff]);
    // One topic with one partition; -1 stands for its end.
    request.extend(1_i32.to_be_bytes());
    request.extend(&name);
    request.extend(1_i32.to_be_bytes());
    request.extend(0_i32.to_be_bytes());
    request.extend((-1_i64).to_be_bytes());
    request.extend(LIMIT_MS.to_be_bytes());
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_i32(i32::try_from(request.len())?).await?;
    stream.write_all(&request).await?;
    let mut answer = vec![0; usize::try_from(stream.read_i32().await?)?];
    stream.read_exact(&mut answer).await?;
    // Behind the number, the throttle time, and the topic: the partition with its offset and an error number.
    let partition = answer.get(4 + 4 + 4 + name.len() + 4 + 4..).context("the answer is too short")?;
    let (offset, error) = partition.split_first_chunk::<8>().context("no offset")?;
    ensure!(error.starts_with(&[0, 0]), "the broker refuses to delete messages of {topic}: {error:?}");
    Ok(i64::from_be_bytes(*offset))
}
