//! What a peer may take.

use std::time::Duration;

/// How long and how much a peer may take before it is cut off.
///
/// The defaults suit the only regular client, kube-apiserver: few connections that live long, each with many requests
/// at once over HTTP/2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From the accepted connection to the end of the TLS handshake. Default 10 s.
    pub handshake_timeout: Duration,
    /// From the handshake to the end of the first request's headers, and from the first byte of each further
    /// HTTP/1.1 request to the end of its headers. Default 10 s.
    pub header_read_timeout: Duration,
    /// From the last answer to the next request's headers; HTTP/2 peers get a GOAWAY then. It must be longer than
    /// the 90 s after which kube-apiserver closes an idle connection: who closes first can never lose a
    /// request to a connection that the other end is just closing. Default 3 minutes.
    pub idle_timeout: Duration,
    /// Bytes of all headers of one request, at least 8192. More is answered with status 431; HTTP/1.1 counts in
    /// whole reads, so that up to twice as much may pass there. Default 64 KiB.
    pub max_header_size: u32,
    /// Connections open at once. One more has those end that have been silent for a second, and waits in the system's accept
    /// queue until one has. Each takes about 28 KB. Default 4,000, which fit into the 256 MiB of the chart.
    pub max_connections: u32,
    /// Requests at once in one HTTP/2 connection (`SETTINGS_MAX_CONCURRENT_STREAMS`, RFC 9113 section 6.5.2).
    /// Default 250, as Go's server has it.
    pub max_concurrent_streams: u32,
    /// How long requests may go on after the shutdown began. It must end before the pod's
    /// `terminationGracePeriodSeconds` (30 unless set) does. Default 25 s.
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake_timeout: Duration::from_secs(10),
            header_read_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_mins(3),
            max_header_size: 64 * 1024,
            max_connections: 4_000,
            max_concurrent_streams: 250,
            drain_timeout: Duration::from_secs(25),
        }
    }
}
