//! As much of an HTTP client as probes and metrics need.
use std::{net::Ipv4Addr, time::Duration};

use anyhow::Context as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// The longest answer in bytes.
const LONGEST: u64 = 16 << 20;

/// What `port` of 127.0.0.1 answers to GET: the status and the body.
pub(crate) async fn get(port: u16, path: &str) -> anyhow::Result<(u16, String)> {
    tokio::time::timeout(ANSWER_WITHIN, ask(port, path))
        .await
        .with_context(|| format!("GET {path} has no answer within {ANSWER_WITHIN:?}"))?
}

/// In HTTP/1.0 the end of the connection is the end of the answer.
async fn ask(port: u16, path: &str) -> anyhow::Result<(u16, String)> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.take(LONGEST).read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer is not HTTP")?;
    let status = head.split(' ').nth(1).context("the answer has no status")?;
    Ok((status.parse()?, body.to_owned()))
}
