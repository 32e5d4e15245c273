//! Each fault of the proxy, against a server that answers every byte with the next letter.

use std::io;

use segcdc_testkit::{Direction, Proxy, Rule, Then, When};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// A server that answers every byte with the next one, and tells what it was sent.
async fn server() -> io::Result<(u16, mpsc::UnboundedReceiver<u8>)> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let port = listener.local_addr()?.port();
    let (sender, received) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let sender = sender.clone();
            tokio::spawn(async move {
                while let Ok(byte) = stream.read_u8().await {
                    sender.send(byte).ok();
                    stream.write_u8(byte + 1).await.ok();
                }
            });
        }
    });
    Ok((port, received))
}

/// Sends a byte and reads the answer.
async fn ask(stream: &mut TcpStream, byte: u8) -> io::Result<u8> {
    stream.write_u8(byte).await?;
    stream.read_u8().await
}

#[tokio::test]
async fn without_a_rule_all_passes() -> anyhow::Result<()> {
    let (port, _received) = server().await?;
    let proxy = Proxy::start(port).await?;
    let mut client = TcpStream::connect(("127.0.0.1", proxy.port())).await?;
    assert_eq!(ask(&mut client, b'a').await?, b'b');
    assert_eq!(ask(&mut client, b'x').await?, b'y');
    assert_eq!(proxy.connections(), 1);
    Ok(())
}

#[tokio::test]
async fn reset_after_bytes_stops_them_there() -> anyhow::Result<()> {
    let (port, mut received) = server().await?;
    let proxy = Proxy::start(port).await?;
    proxy.arm(Rule { direction: Direction::ToServer, when: When::Bytes(1), then: Then::Reset });
    let mut client = TcpStream::connect(("127.0.0.1", proxy.port())).await?;
    assert_eq!(ask(&mut client, b'a').await?, b'b');
    let error = ask(&mut client, b'c').await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(received.recv().await, Some(b'a'));
    assert_eq!(*proxy.met().borrow(), 1);
    // The next connection is whole: a rule is met once.
    let mut client = TcpStream::connect(("127.0.0.1", proxy.port())).await?;
    assert_eq!(ask(&mut client, b'm').await?, b'n');
    assert_eq!(received.recv().await, Some(b'm'));
    Ok(())
}

#[tokio::test]
async fn lost_answer_was_given() -> anyhow::Result<()> {
    let (port, mut received) = server().await?;
    let proxy = Proxy::start(port).await?;
    proxy.arm(Rule {
        direction: Direction::ToServer,
        when: When::Seen(Box::new(|chunk| chunk.contains(&b'!'))),
        then: Then::LoseAnswer,
    });
    let mut client = TcpStream::connect(("127.0.0.1", proxy.port())).await?;
    assert_eq!(ask(&mut client, b'a').await?, b'b');
    let error = ask(&mut client, b'!').await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert_eq!((received.recv().await, received.recv().await), (Some(b'a'), Some(b'!')));
    Ok(())
}

#[tokio::test]
async fn swallowed_bytes_leave_the_connection_open() -> anyhow::Result<()> {
    let (port, mut received) = server().await?;
    let proxy = Proxy::start(port).await?;
    proxy.arm(Rule { direction: Direction::ToClient, when: When::Bytes(1), then: Then::Swallow });
    let mut client = TcpStream::connect(("127.0.0.1", proxy.port())).await?;
    assert_eq!(ask(&mut client, b'a').await?, b'b');
    client.write_u8(b'c').await?;
    assert_eq!((received.recv().await, received.recv().await), (Some(b'a'), Some(b'c')));
    let mut met = proxy.met();
    met.wait_for(|count| *count == 1).await?;
    let answer = client.try_read(&mut [0]).unwrap_err();
    assert_eq!(answer.kind(), io::ErrorKind::WouldBlock);
    Ok(())
}

#[tokio::test]
async fn all_can_be_reset_and_new_ones_refused() -> anyhow::Result<()> {
    let (port, _received) = server().await?;
    let proxy = Proxy::start(port).await?;
    let mut client = TcpStream::connect(("127.0.0.1", proxy.port())).await?;
    assert_eq!(ask(&mut client, b'a').await?, b'b');
    proxy.refuse(true);
    proxy.reset_all();
    assert_eq!(client.read_u8().await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    let refused = async { ask(&mut TcpStream::connect(("127.0.0.1", proxy.port())).await?, b'a').await };
    refused.await.unwrap_err();
    proxy.refuse(false);
    let mut client = TcpStream::connect(("127.0.0.1", proxy.port())).await?;
    assert_eq!(ask(&mut client, b'a').await?, b'b');
    Ok(())
}
