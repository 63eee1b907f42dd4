//! A client as cheap as can be, so that the server is what is measured.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Longer than any answer takes that is worth waiting for; kube-apiserver waits for 10 seconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// As kube-apiserver speaks to webhooks.
    Http1,
    /// With all requests in one connection.
    Http2,
}

/// Opens connections to one server.
#[derive(Clone)]
pub struct Client {
    address: SocketAddr,
    http1: TlsConnector,
    http2: TlsConnector,
}

impl Client {
    /// Trusts a CA alone. Sessions are not resumed: kube-apiserver does not, either.
    #[must_use]
    pub fn new(address: SocketAddr, authority: &[u8]) -> Self {
        let connector = |protocol: &[u8]| {
            let mut roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_slice_iter(authority) {
                roots.add(certificate.expect("PEM")).expect("a CA");
            }
            let mut config =
                ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
                    .with_safe_default_protocol_versions()
                    .expect("protocol versions")
                    .with_root_certificates(roots)
                    .with_no_client_auth();
            config.resumption = Resumption::disabled();
            config.alpn_protocols = vec![protocol.to_vec()];
            TlsConnector::from(Arc::new(config))
        };
        Self {
            address,
            http1: connector(b"http/1.1"),
            http2: connector(b"h2"),
        }
    }

    /// A connection that speaks HTTP/1.1.
    pub async fn http1(&self) -> io::Result<Http1> {
        let stream = self.connect(&self.http1).await?;
        let buffer = Vec::with_capacity(64 * 1024);
        Ok(Http1 { stream, buffer })
    }

    /// A connection after its handshake, for what no proper client sends.
    pub async fn raw(&self) -> io::Result<TlsStream<TcpStream>> {
        self.connect(&self.http1).await
    }

    /// A connection before its handshake.
    pub async fn tcp(&self) -> io::Result<TcpStream> {
        TcpStream::connect(self.address).await
    }

    /// A connection that speaks HTTP/2.
    pub async fn http2(&self) -> io::Result<Http2> {
        let stream = TokioIo::new(self.connect(&self.http2).await?);
        let mut builder = http2::Builder::new(TokioExecutor::new());
        // Windows as Go has them.
        let builder = builder
            .initial_stream_window_size(4 << 20)
            .initial_connection_window_size(1 << 30);
        let (sender, connection) = builder.handshake(stream).await.map_err(io::Error::other)?;
        tokio::spawn(connection);
        Ok(Http2(sender))
    }

    async fn connect(&self, connector: &TlsConnector) -> io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
        connector.connect(name, stream).await
    }
}

/// A request with its headers, written out beforehand.
#[derive(Debug, Clone)]
pub struct Prepared {
    http1: Vec<u8>,
    /// The body alone.
    pub body: Bytes,
}

impl Prepared {
    /// A review for `POST /mutate`, with the headers that kube-apiserver sends.
    #[must_use]
    pub fn new(body: Vec<u8>) -> Self {
        let mut http1 = format!(
            "POST /mutate?timeout=10s HTTP/1.1\r\nHost: keyporter.keyporter-system.svc:443\r\n\
             User-Agent: kube-apiserver-admission\r\nContent-Length: {}\r\nAccept: application/json, */*\r\n\
             Content-Type: application/json\r\nAccept-Encoding: gzip\r\n\r\n",
            body.len()
        )
        .into_bytes();
        http1.extend_from_slice(&body);
        let body = body.into();
        Self { http1, body }
    }
}

impl Prepared {
    /// Headers and body, as HTTP/1.1 has them.
    #[must_use]
    pub fn as_http1(&self) -> &[u8] {
        &self.http1
    }
}

/// A connection for one request after the other.
pub struct Http1 {
    stream: TlsStream<TcpStream>,
    buffer: Vec<u8>,
}

impl Http1 {
    /// The body of the answer; an error where its status is not 200.
    pub async fn exchange(&mut self, request: &Prepared) -> io::Result<&[u8]> {
        self.stream.write_all(&request.http1).await?;
        self.stream.flush().await?;
        self.buffer.clear();
        let (start, end) = loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(found) = body_of(&self.buffer)? {
                break found;
            }
        };
        while self.buffer.len() < end {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(&self.buffer[start..end])
    }

    /// Ends the connection as Go does: with an alert, without waiting.
    pub async fn close(mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }
}

/// Where the body begins and ends, once the headers are there.
fn body_of(buffer: &[u8]) -> io::Result<Option<(usize, usize)>> {
    let Some(headers) = buffer.windows(4).position(|end| end == b"\r\n\r\n") else {
        return Ok(None);
    };
    let text = str::from_utf8(&buffer[..headers]).map_err(io::Error::other)?;
    if !text.starts_with("HTTP/1.1 200 ") {
        return Err(io::Error::other(text.to_owned()));
    }
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length")
            .then_some(value)?
            .parse::<usize>()
            .ok()
    });
    let length = length.ok_or_else(|| io::Error::other("no Content-Length"))?;
    Ok(Some((headers + 4, headers + 4 + length)))
}

/// A connection for many requests at once.
#[derive(Clone)]
pub struct Http2(SendRequest<Full<Bytes>>);

impl Http2 {
    /// The body of the answer; an error where its status is not 200.
    pub async fn exchange(&mut self, request: &Prepared) -> io::Result<Bytes> {
        let request = Request::post("https://keyporter.keyporter-system.svc/mutate?timeout=10s")
            .header("user-agent", "kube-apiserver-admission")
            .header("content-type", "application/json")
            .body(Full::new(request.body.clone()))
            .map_err(io::Error::other)?;
        self.0.ready().await.map_err(io::Error::other)?;
        let response = self
            .0
            .send_request(request)
            .await
            .map_err(io::Error::other)?;
        if response.status() != StatusCode::OK {
            return Err(io::Error::other(response.status().to_string()));
        }
        let body = response
            .into_body()
            .collect()
            .await
            .map_err(io::Error::other)?;
        Ok(body.to_bytes())
    }
}

/// Nothing is waited for without end.
pub async fn patiently<T>(exchange: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let answer = tokio::time::timeout(PATIENCE, exchange).await;
    answer.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
