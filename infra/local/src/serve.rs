//! `serve`: the HTTP interface on this machine until Ctrl-C.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use clap::Args;
use rendezvous_core::{Endpoint, ModelId, ports::EndpointTable};
use tokio::{net::TcpListener, sync::watch};

use crate::{
    endpoints::Change,
    http,
    options::{Error, Local, SystemOptions, shown},
};

#[derive(Args, Clone, Debug)]
pub struct ServeOptions {
    /// Port on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 8080)]
    port: u16,

    #[command(flatten)]
    system: SystemOptions,
}

/// A request that the flights endpoint can answer, for people to copy.
const SAMPLE: &str = r#"{"carrier":"UA","origin":"EWR","dest":"IAH","weekday":1,"hour":17,"distance":1400,"weather":{"temp":39.0,"wind_speed":12.7,"precip":0.2,"visib":3.0,"pressure":1011.9}}"#;

/// Runs until Ctrl-C or SIGTERM, then answers what is in flight.
pub async fn serve(options: ServeOptions) -> Result<(), Error> {
    let data = options.system.data()?;
    let (system, mut folder) = options.system.start(&data).await?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
    let listener = TcpListener::bind(address)
        .await
        .map_err(|error| format!("cannot listen on {address}: {error}; try another --port"))?;
    let url = format!("http://{}", listener.local_addr()?);

    println!("{url}");
    println!();
    let endpoints = endpoints(&system).await?;
    for endpoint in &endpoints {
        let models: Vec<&str> = endpoint.configuration.models().map(ModelId::as_str).collect();
        let (name, version) = (&endpoint.name, endpoint.version);
        println!("  endpoint {name}, version {version}: {}", models.join(", "));
        for model in endpoint.configuration.models().filter(|m| system.faults(m).is_none()) {
            println!("    {model} is not up: it will not answer");
        }
    }
    println!("  endpoints from {}, published when a file is saved", shown(folder.path()));
    println!("  data (endpoints, archive, secret) in {}", shown(data.root()));
    println!();
    let first = endpoints.first().map_or("", |endpoint| endpoint.name.as_str());
    println!("  curl -s {url}/v1/endpoints/{first}/requests \\");
    println!("    -H 'Content-Type: application/json' -d '{SAMPLE}'");
    println!();
    println!("Ctrl-C ends it.");

    let (stop, stopped) = watch::channel(false);
    let server = tokio::spawn(http::serve(system.clone(), listener, stopped));
    tokio::select! {
        () = folder.watch(&*system.endpoints, tell) => {}
        ended = interrupted() => ended?,
    }
    println!("Ending. A second Ctrl-C ends at once.");
    tokio::spawn(async {
        if interrupted().await.is_ok() {
            std::process::exit(130);
        }
    });
    // The server holds the other end for as long as it runs.
    let _ = stop.send(true);
    server.await?;
    let archived = system.drain(std::time::Duration::from_secs(4)).await;
    print!("{}", system.counters.totals());
    if archived {
        system.stop().await;
        println!("All requests in flight are answered and archived.");
    } else {
        eprintln!("Some records were not archived within 4 s and are lost.");
    }
    Ok(())
}

/// The current version of every endpoint, by name.
async fn endpoints(system: &Local) -> Result<Vec<Arc<Endpoint>>, Error> {
    let mut all = Vec::new();
    for name in system.endpoints.list().await? {
        if let Some(version) = system.endpoints.current(&name).await? {
            all.extend(system.endpoints.version(&name, version).await?);
        }
    }
    Ok(all)
}

fn tell(change: Change) {
    match change {
        Change::Published { endpoint, version } => {
            println!("{endpoint} is now at version {version}");
        }
        Change::Refused { file, why } => {
            eprintln!("{} is refused, the last good version stays: {why}", shown(&file));
        }
    }
}

/// Waits for Ctrl-C or, where there is one, a SIGTERM.
async fn interrupted() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            ended = tokio::signal::ctrl_c() => ended,
            _ = terminate.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}
