//! One connection: its requests, one after the other, and how long it may take for what it does.
//!
//! A client that sends its request byte by byte, does not read its answer, or does nothing at all is let go of. The time is
//! noted as bytes come and go, and looked at only when it may be over, so that a busy connection sets no timers.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tower::Service;

/// From the first byte of a request's head to its last.
const HEAD: Duration = Duration::from_secs(10);

/// Between two requests, and for a client that does not read what it is sent. Proxies keep connections for a minute, and
/// must not find one closed that they are about to use.
const IDLE: Duration = Duration::from_secs(75);

/// Bytes of a request's head, and of what is read ahead.
const HEAD_BYTES: usize = 16 * 1024;

/// Serves a connection until either side ends it. When the server is to stop, what is being answered is the last answer.
pub(crate) async fn serve_connection<C>(stream: C, router: Router, stopping: CancellationToken)
where
    C: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let pace = Arc::new(Pace::new());
    let io = TokioIo::new(Watched {
        stream,
        pace: Arc::clone(&pace),
    });
    let answering = Arc::clone(&pace);
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        answering.begin();
        let answer = router.clone().call(request.map(Body::new));
        let answering = Arc::clone(&answering);
        async move {
            let response = answer.await;
            answering.end();
            response
        }
    });
    let connection = http1::Builder::new()
        .header_read_timeout(None)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(io, service);
    let (mut connection, mut overdue) = (pin!(connection), pin!(pace.overdue()));
    let mut is_last = false;
    loop {
        tokio::select! {
            biased;
            // What goes wrong on a connection is its client's affair.
            _ = &mut connection => return,
            () = &mut overdue => return,
            () = stopping.cancelled(), if !is_last => {
                is_last = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// How far a connection is, and since when.
struct Pace {
    start: Instant,
    /// Whether a request is being carried out: then nothing is expected of the client.
    is_answering: AtomicBool,
    /// Whether bytes of the next request have come.
    in_head: AtomicBool,
    /// The last time that something went on, in milliseconds after the start.
    since: AtomicU64,
}

impl Pace {
    fn new() -> Self {
        Self {
            start: Instant::now(),
            is_answering: AtomicBool::new(false),
            in_head: AtomicBool::new(false),
            since: AtomicU64::new(0),
        }
    }

    fn touch(&self) {
        let elapsed = self.start.elapsed().as_millis();
        self.since
            .store(u64::try_from(elapsed).unwrap_or(u64::MAX), Relaxed);
    }

    fn begin(&self) {
        self.is_answering.store(true, Relaxed);
        self.in_head.store(false, Relaxed);
    }

    fn end(&self) {
        self.touch();
        self.is_answering.store(false, Relaxed);
    }

    /// Only the first byte of a head counts: those that follow do not gain time.
    fn was_read(&self) {
        if !self.is_answering.load(Relaxed) && !self.in_head.swap(true, Relaxed) {
            self.touch();
        }
    }

    fn was_written(&self) {
        self.touch();
    }

    fn deadline(&self) -> Instant {
        let since = self.start + Duration::from_millis(self.since.load(Relaxed));
        if self.is_answering.load(Relaxed) {
            // To be looked at again after a while.
            Instant::now() + IDLE
        } else if self.in_head.load(Relaxed) {
            since + HEAD
        } else {
            since + IDLE
        }
    }

    /// Until the client has taken too long. It is polled whenever bytes come or go, and so sees a deadline that has become
    /// earlier; one that has become later it sees when the old one is over.
    async fn overdue(&self) {
        let mut wake = pin!(sleep_until(self.deadline()));
        poll_fn(|cx| {
            if self.in_head.load(Relaxed) && self.deadline() < wake.deadline() {
                wake.as_mut().reset(self.deadline());
            }
            while wake.as_mut().poll(cx).is_ready() {
                let deadline = self.deadline();
                if deadline <= Instant::now() {
                    return Poll::Ready(());
                }
                wake.as_mut().reset(deadline);
            }
            Poll::Pending
        })
        .await;
    }
}

/// A stream that notes when bytes come and go.
struct Watched<C> {
    stream: C,
    pace: Arc<Pace>,
}

impl<C: AsyncRead + Unpin> AsyncRead for Watched<C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        if buffer.filled().len() > before {
            self.pace.was_read();
        }
        Poll::Ready(Ok(()))
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Watched<C> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        self.pace.was_written();
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, bytes))?;
        self.pace.was_written();
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::{get, post};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::{sleep, timeout};

    use super::*;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

    /// A client's end of a connection. What it does not read fills up soon.
    fn connect(stopping: &CancellationToken) -> DuplexStream {
        let (client, server) = duplex(1024);
        let router = Router::new()
            .route("/", get(|| async { "hello" }))
            .route("/large", get(|| async { "a".repeat(1 << 20) }))
            .route("/slow", get(|| async { sleep(IDLE * 10).await }))
            .route(
                "/read",
                post(|body: String| async move { body.len().to_string() }),
            );
        tokio::spawn(serve_connection(server, router, stopping.clone()));
        client
    }

    async fn answered(client: &mut DuplexStream) {
        let mut text = Vec::new();
        while !text.ends_with(b"hello") {
            assert!(client.read_buf(&mut text).await.unwrap() > 0);
        }
    }

    /// How long the server keeps the connection although nothing comes.
    async fn kept(client: &mut DuplexStream) -> Duration {
        let began = Instant::now();
        let mut rest = Vec::new();
        let _ = client.read_to_end(&mut rest).await;
        began.elapsed()
    }

    fn about(time: Duration, wanted: Duration) -> bool {
        time.abs_diff(wanted) < Duration::from_secs(1)
    }

    #[tokio::test(start_paused = true)]
    async fn who_sends_a_head_byte_by_byte_is_let_go_of() {
        let mut client = connect(&CancellationToken::new());
        let began = Instant::now();
        let mut sent = client.write_all(b"GET / HTTP/1.1\r\nHost: ").await;
        while sent.is_ok() {
            sleep(Duration::from_millis(300)).await;
            sent = client.write_all(b"a").await;
        }
        assert!(about(began.elapsed(), HEAD));

        // Also where it is not the first request.
        let mut client = connect(&CancellationToken::new());
        client.write_all(REQUEST).await.unwrap();
        answered(&mut client).await;
        sleep(IDLE / 2).await;
        client.write_all(b"GET / HT").await.unwrap();
        assert!(about(kept(&mut client).await, HEAD));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_kept_between_requests_for_a_while() {
        let mut client = connect(&CancellationToken::new());
        for _ in 0..5 {
            client.write_all(REQUEST).await.unwrap();
            answered(&mut client).await;
            sleep(IDLE.mul_f64(0.9)).await;
        }
        client.write_all(REQUEST).await.unwrap();
        answered(&mut client).await;
        assert!(about(kept(&mut client).await, IDLE));
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_read_the_answer_is_let_go_of() {
        let mut client = connect(&CancellationToken::new());
        client
            .write_all(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await
            .unwrap();
        sleep(IDLE + Duration::from_secs(1)).await;
        let mut got = Vec::new();
        client.read_to_end(&mut got).await.unwrap();
        assert!(got.len() <= 2048, "{}", got.len());

        // One that reads slowly but reads has all the time it needs.
        let mut client = connect(&CancellationToken::new());
        client
            .write_all(b"GET /large HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .await
            .unwrap();
        let (mut piece, mut all) = (vec![0; 4096], 0);
        loop {
            let count = client.read(&mut piece).await.unwrap();
            if count == 0 {
                break;
            }
            all += count;
            sleep(Duration::from_secs(1)).await;
        }
        assert!(all > 1 << 20);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_may_take_its_time() {
        let mut client = connect(&CancellationToken::new());
        client
            .write_all(b"GET /slow HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .await
            .unwrap();
        assert!(about(kept(&mut client).await, IDLE * 10));
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_stops_lets_idle_clients_go_and_answers_the_others() {
        let stopping = CancellationToken::new();
        let [mut idle, mut asking] = [connect(&stopping), connect(&stopping)];
        idle.write_all(REQUEST).await.unwrap();
        answered(&mut idle).await;
        asking
            .write_all(b"POST /read HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\na")
            .await
            .unwrap();
        sleep(Duration::from_secs(1)).await;
        stopping.cancel();
        assert!(about(kept(&mut idle).await, Duration::ZERO));
        asking.write_all(b"bc").await.unwrap();
        let mut answer = String::new();
        timeout(HEAD, asking.read_to_string(&mut answer))
            .await
            .unwrap()
            .unwrap();
        assert!(answer.ends_with("\r\n\r\n3"), "{answer}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_has_so_many_bytes_at_most() {
        for (bytes, wanted) in [(HEAD_BYTES - 1024, "200"), (HEAD_BYTES + 1024, "431")] {
            let mut client = connect(&CancellationToken::new());
            let head = format!(
                "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Long: {}\r\n\r\n",
                "a".repeat(bytes)
            );
            // It may be refused before all of it is sent.
            let _ = client.write_all(head.as_bytes()).await;
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            assert_eq!(answer.split(' ').nth(1), Some(wanted), "{answer}");
        }
    }
}
