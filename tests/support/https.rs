//! A small HTTPS client that trusts one CA: what tests, and nothing else, need of one.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::{error::Error, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    HeaderMap, Method, Request, StatusCode, Uri,
    client::conn::{http1, http2},
    header::{CONTENT_TYPE, HOST},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use tokio::{net::TcpStream, task::JoinHandle};
use tokio_rustls::{TlsConnector, client::TlsStream};

pub(crate) type Answer = (StatusCode, HeaderMap, Bytes);
pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// What a connection may use. The server chooses among the protocols (ALPN), as kube-apiserver lets it.
#[derive(Clone)]
pub(crate) struct Client {
    roots: RootCertStore,
    identity: Option<(Vec<u8>, Vec<u8>)>,
    versions: Vec<&'static SupportedProtocolVersion>,
    protocols: Vec<Vec<u8>>,
}

impl Client {
    /// Trusts the CAs in `ca_pem` alone; offers HTTP/2 and HTTP/1.1, TLS 1.3 and 1.2.
    pub(crate) fn new(ca_pem: impl AsRef<[u8]>) -> Self {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(ca_pem.as_ref()) {
            roots.add(certificate.unwrap()).unwrap();
        }
        Self {
            roots,
            identity: None,
            versions: rustls::DEFAULT_VERSIONS.to_vec(),
            protocols: vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        }
    }

    pub(crate) fn http1(mut self) -> Self {
        self.protocols = vec![b"http/1.1".to_vec()];
        self
    }

    pub(crate) fn http2(mut self) -> Self {
        self.protocols = vec![b"h2".to_vec()];
        self
    }

    pub(crate) fn without_alpn(mut self) -> Self {
        self.protocols.clear();
        self
    }

    pub(crate) fn tls(mut self, version: &'static SupportedProtocolVersion) -> Self {
        self.versions = vec![version];
        self
    }

    /// Proves who it is with a certificate and its key, both PEM.
    pub(crate) fn identity(
        mut self,
        certificate: impl Into<Vec<u8>>,
        key: impl Into<Vec<u8>>,
    ) -> Self {
        self.identity = Some((certificate.into(), key.into()));
        self
    }

    /// One request on a connection of its own.
    pub(crate) async fn get(&self, url: &str) -> Result<Answer> {
        self.connect(url).await?.get(url).await
    }

    /// One request on a connection of its own.
    pub(crate) async fn post(
        &self,
        url: &str,
        content_type: &str,
        body: impl Into<Bytes>,
    ) -> Result<Answer> {
        self.connect(url).await?.post(url, content_type, body).await
    }

    /// A connection for any number of requests.
    pub(crate) async fn connect(&self, url: &str) -> Result<Connection> {
        let stream = self.handshake(url).await?;
        let multiplexed = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let stream = TokioIo::new(stream);
        Ok(if multiplexed {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
            Connection {
                sender: Sender::Http2(sender),
                ended: tokio::spawn(connection),
            }
        } else {
            let (sender, connection) = http1::handshake(stream).await?;
            Connection {
                sender: Sender::Http1(sender),
                ended: tokio::spawn(connection),
            }
        })
    }

    /// A TLS connection on which nothing was said yet.
    pub(crate) async fn handshake(&self, url: &str) -> Result<TlsStream<TcpStream>> {
        let uri: Uri = url.parse()?;
        let host = uri
            .host()
            .ok_or("a URL with a host")?
            .trim_matches(['[', ']']);
        self.handshake_as(url, host).await
    }

    /// The same with a server that is to be called `name`, as a Service is.
    pub(crate) async fn handshake_as(&self, url: &str, name: &str) -> Result<TlsStream<TcpStream>> {
        let uri: Uri = url.parse()?;
        let host = uri
            .host()
            .ok_or("a URL with a host")?
            .trim_matches(['[', ']']);
        let port = uri.port_u16().unwrap_or(443);
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(name.to_owned())?;
        Ok(TlsConnector::from(Arc::new(self.config()?))
            .connect(name, stream)
            .await?)
    }

    fn config(&self) -> Result<ClientConfig> {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&self.versions)?
            .with_root_certificates(self.roots.clone());
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => builder.with_client_auth_cert(
                CertificateDer::pem_slice_iter(certificate)
                    .collect::<std::result::Result<_, _>>()?,
                PrivateKeyDer::from_pem_slice(key)?,
            )?,
        };
        config.alpn_protocols.clone_from(&self.protocols);
        Ok(config)
    }
}

/// An open connection.
pub(crate) struct Connection {
    sender: Sender,
    ended: JoinHandle<hyper::Result<()>>,
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Connection {
    /// A connection without TLS.
    pub(crate) async fn plain(address: SocketAddr) -> Result<Self> {
        let stream = TokioIo::new(TcpStream::connect(address).await?);
        let (sender, connection) = http1::handshake(stream).await?;
        Ok(Self {
            sender: Sender::Http1(sender),
            ended: tokio::spawn(connection),
        })
    }

    pub(crate) fn is_http2(&self) -> bool {
        matches!(self.sender, Sender::Http2(_))
    }

    pub(crate) async fn get(&mut self, url: &str) -> Result<Answer> {
        let request = Request::get(url).body(Full::default())?;
        self.send(request).await
    }

    pub(crate) async fn post(
        &mut self,
        url: &str,
        content_type: &str,
        body: impl Into<Bytes>,
    ) -> Result<Answer> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(url)
            .header(CONTENT_TYPE, content_type)
            .body(Full::new(body.into()))?;
        self.send(request).await
    }

    pub(crate) async fn send(&mut self, mut request: Request<Full<Bytes>>) -> Result<Answer> {
        let response = match &mut self.sender {
            Sender::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
            Sender::Http1(sender) => {
                // HTTP/1.1 has the host in a header and the rest in the first line.
                let uri = std::mem::take(request.uri_mut()).into_parts();
                if let Some(authority) = uri.authority {
                    let host = authority.as_str().parse()?;
                    request.headers_mut().insert(HOST, host);
                }
                *request.uri_mut() = uri.path_and_query.ok_or("a URL with a path")?.into();
                sender.ready().await?;
                sender.send_request(request).await?
            }
        };
        let (head, body) = response.into_parts();
        Ok((head.status, head.headers, body.collect().await?.to_bytes()))
    }

    /// Another handle to the same HTTP/2 connection, to send at the same time.
    pub(crate) fn another(&self) -> Option<http2::SendRequest<Full<Bytes>>> {
        match &self.sender {
            Sender::Http1(_) => None,
            Sender::Http2(sender) => Some(sender.clone()),
        }
    }

    /// Waits until the server ends the connection.
    pub(crate) async fn ended(self) {
        let _how = self.ended.await;
    }
}
