//! A small HTTP/1.1 client on one kept-alive connection: what the demonstration and the load
//! generator need, at a cost that leaves the processor to the system under load.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// One connection. After an error it is of no more use.
pub(crate) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// The largest answer that is read.
const MAX_ANSWER: usize = 1024 * 1024;

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(4096) })
    }

    /// The bytes of a POST of JSON; `headers` are whole lines, each with its line end.
    pub(crate) fn post(path: &str, headers: &str, body: &str) -> Vec<u8> {
        request("POST", path, headers, body)
    }

    /// The bytes of a PUT of JSON.
    pub(crate) fn put(path: &str, body: &str) -> Vec<u8> {
        request("PUT", path, "", body)
    }

    /// Sends a whole request and reads the answer: its status and its body.
    pub(crate) async fn send(&mut self, request: &[u8]) -> io::Result<(u16, &[u8])> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let (status, start, length) = loop {
            if let Some(head) = head(&self.buffer)? {
                break head;
            }
            self.read_some().await?;
        };
        while self.buffer.len() < start + length {
            self.read_some().await?;
        }
        Ok((status, &self.buffer[start..start + length]))
    }

    async fn read_some(&mut self) -> io::Result<()> {
        if self.buffer.len() > MAX_ANSWER {
            return Err(io::Error::other("the answer is too large"));
        }
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

fn request(method: &str, path: &str, headers: &str, body: &str) -> Vec<u8> {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n\
         {headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Status, start of the body and its length, once the head is there whole.
fn head(bytes: &[u8]) -> io::Result<Option<(u16, usize, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(start) = response.parse(bytes).map_err(io::Error::other)? else {
        return Ok(None);
    };
    let length = response.headers.iter().find(|h| h.name.eq_ignore_ascii_case("content-length"));
    let length = match length.map(|header| std::str::from_utf8(header.value)) {
        None => 0,
        Some(text) => text.ok().and_then(|text| text.parse().ok()).unwrap_or(0),
    };
    Ok(Some((response.code.unwrap_or(0), start, length)))
}
