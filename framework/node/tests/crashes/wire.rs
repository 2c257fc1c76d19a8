//! Messages between the node's process and the world outside: a header in JSON and a body of bytes, over unix sockets.
//! Every question has a connection of its own, so that a process that is killed breaks exactly what was under way.

use serde_json::Value;
use std::io;
use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// The longest part of a message; more than any chunk or batch.
const PART_LEN_BYTES_MAX: u32 = 64 * 1024 * 1024;

async fn send_part(stream: &mut UnixStream, part: &[u8]) -> io::Result<()> {
    let len_bytes = u32::try_from(part.len()).map_err(io::Error::other)?;
    stream.write_all(&len_bytes.to_be_bytes()).await?;
    stream.write_all(part).await
}

async fn receive_part(stream: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut len_bytes = [0; 4];
    stream.read_exact(&mut len_bytes).await?;
    let len_bytes = u32::from_be_bytes(len_bytes);
    if len_bytes > PART_LEN_BYTES_MAX {
        return Err(io::Error::other(format!("a message of {len_bytes} bytes")));
    }
    let mut part = vec![0; len_bytes as usize];
    stream.read_exact(&mut part).await?;
    Ok(part)
}

/// Sends one message.
pub(crate) async fn send(stream: &mut UnixStream, header: &Value, body: &[u8]) -> io::Result<()> {
    send_part(stream, header.to_string().as_bytes()).await?;
    send_part(stream, body).await
}

/// Receives one message.
pub(crate) async fn receive(stream: &mut UnixStream) -> io::Result<(Value, Vec<u8>)> {
    let header = serde_json::from_slice(&receive_part(stream).await?)?;
    Ok((header, receive_part(stream).await?))
}

/// Asks one question; the answer, and the connection on which more may follow.
pub(crate) async fn ask(
    path: &Path,
    header: &Value,
    body: &[u8],
) -> io::Result<(Value, Vec<u8>, UnixStream)> {
    let mut stream = UnixStream::connect(path).await?;
    send(&mut stream, header, body).await?;
    let (header, body) = receive(&mut stream).await?;
    Ok((header, body, stream))
}
