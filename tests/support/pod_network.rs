//! A way from the API server to Services, where no pod runs: a proxy on a Unix socket that connects whatever Service is called
//! to one port of loopback.
//!
//! The API server asks it as in clusters whose nodes it cannot reach itself (`EgressSelectorConfiguration`, HTTP CONNECT), after it has
//! looked for the Service. So webhook configurations stay as they are rendered, and TLS checks the Service's name.
//! <https://kubernetes.io/docs/tasks/extend-kubernetes/setup-konnectivity/>

use std::{
    fs, io,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
};

use serde_json::json;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy_bidirectional},
    net::{TcpStream, UnixListener, UnixStream},
    task::JoinHandle,
};

use super::Result;

/// The proxy; dropping it ends it.
pub(crate) struct PodNetwork {
    configuration: PathBuf,
    port: Arc<AtomicU16>,
    task: JoinHandle<()>,
    _folder: TempDir,
}

impl PodNetwork {
    /// Starts it, with nothing behind it yet.
    pub(crate) fn start() -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("keyporter-network-")
            .tempdir()?;
        let socket = folder.path().join("proxy.sock");
        let configuration = folder.path().join("egress.json");
        let content = json!({
            "apiVersion": "apiserver.k8s.io/v1beta1",
            "kind": "EgressSelectorConfiguration",
            "egressSelections": [{
                "name": "cluster",
                "connection": {
                    "proxyProtocol": "HTTPConnect",
                    "transport": {"uds": {"udsName": socket}},
                },
            }],
        });
        fs::write(&configuration, content.to_string())?;
        let port = Arc::new(AtomicU16::new(0));
        let listener = UnixListener::bind(&socket)?;
        let task = tokio::spawn(accept(listener, Arc::clone(&port)));
        Ok(Self {
            configuration,
            port,
            task,
            _folder: folder,
        })
    }

    /// What the API server is told.
    pub(crate) fn configuration(&self) -> &Path {
        &self.configuration
    }

    /// What stands behind every Service from here on.
    pub(crate) fn lead_to(&self, port: u16) {
        self.port.store(port, Ordering::Relaxed);
    }
}

impl Drop for PodNetwork {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: UnixListener, port: Arc<AtomicU16>) {
    while let Ok((client, _)) = listener.accept().await {
        let port = port.load(Ordering::Relaxed);
        // What ends a connection, the API server notices.
        tokio::spawn(async move { connect(client, port).await.ok() });
    }
}

async fn connect(client: UnixStream, port: u16) -> io::Result<()> {
    let mut client = BufReader::new(client);
    let mut line = String::new();
    // The request and its headers, up to the empty line; the client says nothing more before it is answered.
    while client.read_line(&mut line).await? > 2 {
        line.clear();
    }
    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}
