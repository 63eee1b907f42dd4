//! Which connections are slow or silent.
//!
//! hyper has a timeout for the headers of HTTP/1.1 requests, but it runs between requests too: at 10 s it would close
//! every kept-alive connection, at 3 minutes it would let headers trickle. For HTTP/2 it has none, and the choice
//! between the two protocols waits for the first bytes for ever. So the connection is watched from outside: bytes that
//! arrive, requests that begin and end.

use std::{
    future::poll_fn,
    io,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, sleep_until},
};

/// Which limit a connection overran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expiry {
    /// A request's headers took too long.
    Headers,
    /// Nothing was asked for too long.
    Idle,
}

/// What one connection is doing.
///
/// HTTP/2 runs the requests of a connection in tasks of their own, hence the atomics. None of them orders access to
/// other data.
#[derive(Debug)]
pub(super) struct Activity {
    opened: Instant,
    header_read_timeout: Duration,
    idle_timeout: Duration,
    /// Requests between the end of their headers and their response.
    running: AtomicUsize,
    /// When headers began to arrive, in milliseconds since `opened`; [`NO_HEADERS`] when none do.
    headers_since: AtomicU64,
    /// When the last response was ready, in milliseconds since `opened`.
    idle_since: AtomicU64,
    /// Bytes between requests are part of one in HTTP/1.1 only: HTTP/2 has pings and window updates.
    multiplexed: AtomicBool,
}

const NO_HEADERS: u64 = u64::MAX;

impl Activity {
    /// The first request is due from here on, as if its first byte had come.
    pub(super) fn new(header_read_timeout: Duration, idle_timeout: Duration) -> Self {
        Self {
            opened: Instant::now(),
            header_read_timeout,
            idle_timeout,
            running: AtomicUsize::new(0),
            headers_since: AtomicU64::new(0),
            idle_since: AtomicU64::new(0),
            multiplexed: AtomicBool::new(false),
        }
    }

    /// Notes that a request's headers are complete; the request runs until the returned value is dropped.
    pub(super) fn begin(self: &Arc<Self>, version: hyper::Version) -> Running {
        self.multiplexed
            .store(version == hyper::Version::HTTP_2, Ordering::Relaxed);
        self.running.fetch_add(1, Ordering::Relaxed);
        self.headers_since.store(NO_HEADERS, Ordering::Relaxed);
        Running(Arc::clone(self))
    }

    /// Completes when a limit is overrun.
    ///
    /// It has to be polled whenever the connection was, because a byte that arrives brings the deadline nearer.
    pub(super) async fn expired(&self) -> Expiry {
        let mut timer = pin!(sleep_until(self.opened + self.header_read_timeout));
        poll_fn(|context| {
            loop {
                let deadline = self.deadline();
                if let Some((at, _)) = deadline
                    && at < timer.deadline()
                {
                    timer.as_mut().reset(at);
                }
                ready!(timer.as_mut().poll(context));
                let now = Instant::now();
                match deadline {
                    Some((at, expiry)) if at <= now => return Poll::Ready(expiry),
                    Some((at, _)) => timer.as_mut().reset(at),
                    None => timer.as_mut().reset(now + self.idle_timeout),
                }
            }
        })
        .await
    }

    /// Whether no request runs, and none has run or begun to arrive for so long.
    pub(super) fn is_silent_for(&self, time: Duration) -> bool {
        self.waiting()
            .is_some_and(|(since, _)| since.elapsed() >= time)
    }

    /// When the connection is overdue if nothing happens before. None while a request runs.
    fn deadline(&self) -> Option<(Instant, Expiry)> {
        let (since, expiry) = self.waiting()?;
        let timeout = match expiry {
            Expiry::Headers => self.header_read_timeout,
            Expiry::Idle => self.idle_timeout,
        };
        Some((since + timeout, expiry))
    }

    /// Since when something is waited for, and which limit that has. None while a request runs.
    fn waiting(&self) -> Option<(Instant, Expiry)> {
        if self.running.load(Ordering::Relaxed) > 0 {
            return None;
        }
        let (since, expiry) = match self.headers_since.load(Ordering::Relaxed) {
            NO_HEADERS => (self.idle_since.load(Ordering::Relaxed), Expiry::Idle),
            since => (since, Expiry::Headers),
        };
        Some((self.instant(since), expiry))
    }

    fn bytes_arrived(&self) {
        let first_of_request = self.running.load(Ordering::Relaxed) == 0
            && self.headers_since.load(Ordering::Relaxed) == NO_HEADERS
            && !self.multiplexed.load(Ordering::Relaxed);
        if first_of_request {
            self.headers_since.store(self.now(), Ordering::Relaxed);
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(NO_HEADERS - 1)
    }

    fn instant(&self, milliseconds: u64) -> Instant {
        self.opened + Duration::from_millis(milliseconds)
    }
}

/// A request that runs.
#[derive(Debug)]
pub(super) struct Running(Arc<Activity>);

impl Drop for Running {
    fn drop(&mut self) {
        let activity = &self.0;
        activity.idle_since.store(activity.now(), Ordering::Relaxed);
        activity.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A stream that tells its [`Activity`] about the bytes it reads.
#[derive(Debug)]
pub(super) struct Watched<S> {
    stream: S,
    activity: Arc<Activity>,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, activity: Arc<Activity>) -> Self {
        Self { stream, activity }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if buffer.filled().len() > before {
            self.activity.bytes_arrived();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use hyper::Version;

    use super::*;

    const SHORTLY_BEFORE_HEADERS: Duration = Duration::from_secs(9);
    const HEADERS: Duration = Duration::from_secs(10);
    const SHORTLY_BEFORE_IDLE: Duration = Duration::from_secs(179);
    const IDLE: Duration = Duration::from_mins(3);

    fn activity() -> Arc<Activity> {
        Arc::new(Activity::new(HEADERS, IDLE))
    }

    async fn expires_within(activity: &Activity, limit: Duration) -> Option<Expiry> {
        tokio::time::timeout(limit, activity.expired()).await.ok()
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_request_is_due_at_once() {
        let activity = activity();
        assert_eq!(
            expires_within(&activity, HEADERS + Duration::from_secs(1)).await,
            Some(Expiry::Headers)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_running_request_has_no_deadline() {
        let activity = activity();
        let _running = activity.begin(Version::HTTP_11);
        assert_eq!(expires_within(&activity, IDLE * 10).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_after_a_request_is_allowed_longer() {
        let activity = activity();
        drop(activity.begin(Version::HTTP_11));
        assert_eq!(expires_within(&activity, SHORTLY_BEFORE_IDLE).await, None);
        assert_eq!(
            expires_within(&activity, Duration::from_secs(2)).await,
            Some(Expiry::Idle)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_byte_of_the_next_request_starts_the_shorter_limit() {
        let activity = activity();
        drop(activity.begin(Version::HTTP_11));
        activity.bytes_arrived();
        assert_eq!(
            expires_within(&activity, HEADERS + Duration::from_secs(1)).await,
            Some(Expiry::Headers)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn later_bytes_do_not_prolong_it() {
        let activity = activity();
        drop(activity.begin(Version::HTTP_11));
        activity.bytes_arrived();
        tokio::time::sleep(SHORTLY_BEFORE_HEADERS).await;
        activity.bytes_arrived();
        assert_eq!(
            expires_within(&activity, Duration::from_secs(2)).await,
            Some(Expiry::Headers)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn http2_frames_between_requests_are_no_headers() {
        let activity = activity();
        drop(activity.begin(Version::HTTP_2));
        activity.bytes_arrived();
        assert_eq!(expires_within(&activity, HEADERS * 2).await, None);
        assert_eq!(expires_within(&activity, IDLE).await, Some(Expiry::Idle));
    }
}
