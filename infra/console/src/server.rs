//! The server of `rendezvousctl console`.

use std::{convert::Infallible, sync::Arc, time::Duration};

use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use rendezvous_core::ports::{ArchiveFiles, EndpointTable, WindowTable};
use tokio::{net::TcpListener, sync::watch, time::timeout};

use crate::{Console, Running};

/// How long answers in flight may take at the end.
const ENDING: Duration = Duration::from_secs(2);

/// Serves the console alone until `stop` becomes true.
pub async fn serve<E: EndpointTable, W: WindowTable, A: ArchiveFiles, R: Running>(
    console: Arc<Console<E, W, A, R>>,
    listener: TcpListener,
    mut stop: watch::Receiver<bool>,
) {
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new());
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let console = console.clone();
        let answer = service_fn(move |request: Request<Incoming>| {
            let console = console.clone();
            async move { Ok::<_, Infallible>(console.answer(request).await) }
        });
        let connection = graceful.watch(server.serve_connection(TokioIo::new(stream), answer));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection has ended");
            }
        });
    }
    drop(listener);
    // A stream of events ends at once, a computation may take longer.
    let _ = timeout(ENDING, graceful.shutdown()).await;
}
