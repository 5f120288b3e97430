//! `serve`: the HTTP interface on this machine until Ctrl-C.

use std::net::{Ipv4Addr, SocketAddr};

use clap::Args;
use rendezvous_core::ModelId;
use tokio::{net::TcpListener, sync::watch};

use crate::{
    endpoints::Change,
    http,
    options::{Error, SystemOptions, shown},
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
    let (system, mut folder) = options.system.start().await?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
    let listener = TcpListener::bind(address)
        .await
        .map_err(|error| format!("cannot listen on {address}: {error}; try another --port"))?;
    let url = format!("http://{}", listener.local_addr()?);

    println!("{url}");
    println!();
    for endpoint in system.endpoints.all() {
        let models: Vec<&str> = endpoint.configuration.models().map(ModelId::as_str).collect();
        println!(
            "  endpoint {}, version {}: {}",
            endpoint.name,
            endpoint.version,
            models.join(", ")
        );
        for model in endpoint.configuration.models().filter(|m| system.faults(m).is_none()) {
            println!("    {model} is not up: it will stay silent");
        }
    }
    println!("  endpoints from {}, reloaded when a file is saved", shown(folder.path()));
    println!(
        "  archive (requests, scores, decisions, outcomes) in {}",
        shown(system.archive.root())
    );
    println!();
    println!(
        "  curl -s {url}/v1/endpoints/{}/requests \\",
        first_endpoint(&system.endpoints.all())
    );
    println!("    -H 'Content-Type: application/json' -d '{SAMPLE}'");
    println!();
    println!("Ctrl-C ends it.");

    let (stop, stopped) = watch::channel(false);
    let server = tokio::spawn(http::serve(system.clone(), listener, stopped));
    tokio::select! {
        () = folder.watch(&system.endpoints, tell) => {}
        ended = interrupted() => ended?,
    }
    // The server holds the other end for as long as it runs.
    let _ = stop.send(true);
    server.await?;
    if !system.drain(std::time::Duration::from_secs(10)).await {
        eprintln!("some records were still on their way");
    }
    system.stop().await;
    println!("All requests in flight are answered and archived.");
    Ok(())
}

fn first_endpoint(all: &[std::sync::Arc<rendezvous_core::Endpoint>]) -> &str {
    all.first().map_or("", |endpoint| endpoint.name.as_str())
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
