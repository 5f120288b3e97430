//! The server of the demonstration.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use rendezvous_folder::DataFolder;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use crate::{console, http, options::Started, ready::readiness, say::Error};

/// The server that the requests are sent to.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// The address of the console, if it is shown.
    pub(crate) page: String,
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) task: JoinHandle<()>,
}

impl Server {
    /// Starts it on a port of 127.0.0.1; 0 takes a free one.
    pub(crate) async fn start(
        started: &Started,
        data: &DataFolder,
        port: u16,
        with_console: bool,
    ) -> Result<Self, Error> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (stop, stopped) = watch::channel(false);
        data.set_models_up(&started.workspace.models_up())?;
        let system = started.system.clone();
        let console = Arc::new(console::of(&system, data, false, stopped.clone())?);
        let page = console.url(&format!("http://{address}"));
        let answer = with_console.then(|| console::answers(console));
        let ready = readiness(&system, data);
        let task = tokio::spawn(http::serve_with(system, ready, answer, listener, stopped));
        Ok(Self { address, page, stop, task })
    }
}
