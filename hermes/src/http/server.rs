//! Serving connections: so many at once, heads within 10 s, answers that are read, and at the end those under way are finished first.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;

const MAX_CONNECTIONS: usize = 1024;
/// A caller must have sent the head of a request within so long.
const MAX_HEAD_TIME: Duration = Duration::from_secs(10);
/// A caller that reads nothing of its answer for so long is cut off.
const MAX_STALL: Duration = Duration::from_secs(30);
/// Connections under way are given so long at the end.
const GRACE: Duration = Duration::from_secs(10);

/// Serves until it is told to stop.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &slots) => accepted,
            () = stop.cancelled() => break,
        };
        let Some((stream, slot)) = accepted else { continue };
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(MAX_HEAD_TIME)
            .serve_connection(TokioIo::new(impatient(stream)), TowerToHyperService::new(router.clone()));
        let watched = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = watched.await {
                tracing::debug!(%error, "a connection broke");
            }
            drop(slot);
        });
    }
    drop(listener);
    if tokio::time::timeout(GRACE, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests were still under way and are cut off");
    }
}

/// Writes fail when the other side takes nothing for too long.
fn impatient<S: AsyncRead + AsyncWrite>(stream: S) -> Pin<Box<TimeoutStream<S>>> {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(MAX_STALL));
    Box::pin(stream)
}

async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "a connection keeps its delay");
            }
            Some((stream, slot))
        }
        Err(error) => {
            // Out of file descriptors, for example: those in use must be given back first.
            tracing::warn!(%error, "a connection could not be accepted");
            tokio::time::sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_does_not_read_is_cut_off() {
        let (ours, _theirs) = tokio::io::duplex(64);
        let begun = Instant::now();
        let error = impatient(ours).write_all(&[0; 100]).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
        assert!(begun.elapsed() >= MAX_STALL);
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_reads_slowly_is_not() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let mut ours = impatient(ours);
        let write = async { ours.write_all(&[0; 300]).await.unwrap() };
        let read = async {
            for _ in 0..5 {
                tokio::time::sleep(MAX_STALL / 2).await;
                let _ = theirs.read(&mut [0; 64]).await.unwrap();
            }
        };
        tokio::join!(write, read);
    }
}
