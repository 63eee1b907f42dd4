//! A real Kubernetes API server for tests, and the clients, webhooks and `keyporter` processes around it.
//!
//! | module | subject |
//! |---|---|
//! | [`authority`] | the certificate authority of one test cluster |
//! | [`cert_manager`] | the real controllers of cert-manager |
//! | [`control_plane`] | etcd, kube-apiserver and kube-controller-manager as child processes |
//! | [`gate`] | a gate between `keyporter` and the API server |
//! | [`helm`] | the real Helm, and the chart |
//! | [`jobset`] | the real controller of JobSets |
//! | [`keyporter`] | the built `keyporter` binary and its webhook configuration |
//! | [`kubectl`] | the real kubectl, as a given user |
//! | [`objects`] | creating and reading Kubernetes objects from JSON |
//! | [`pod_network`] | a way from the API server to Services, where no pod runs |
//! | [`policies`] | the admission policies of `deploy/helm/keyporter/policies` |
//! | [`process`] | a child process that cannot outlive its test |
//! | [`terminal`] | a terminal of its own for a program, and somebody who types |
//! | [`webhook`] | a second mutating webhook that records what it is asked |

pub(crate) mod authority;
pub(crate) mod cert_manager;
pub(crate) mod control_plane;
pub(crate) mod gate;
pub(crate) mod helm;
pub(crate) mod jobset;
pub(crate) mod keyporter;
pub(crate) mod kubectl;
pub(crate) mod objects;
pub(crate) mod pod_network;
pub(crate) mod policies;
pub(crate) mod process;
pub(crate) mod terminal;
pub(crate) mod webhook;

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    time::{Duration, Instant},
};

/// Any failure of the test machinery; its text is all that a reader needs.
pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;
/// What the helpers return.
pub(crate) type Result<T> = std::result::Result<T, Error>;

/// Asks `probe` again and again until it returns a value, at most for `bound`.
///
/// `what` completes the sentence "waited 10s for ...".
pub(crate) async fn wait_for<T>(
    what: &str,
    bound: Duration,
    mut probe: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(value) = probe().await? {
            return Ok(value);
        }
        if start.elapsed() > bound {
            return Err(format!("waited {bound:?} for {what}").into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Asks a server on loopback; returns the whole answer, status line first.
pub(crate) fn http_get(port: u16, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
