//! `segcdc serve`

mod adapter;
mod keys;
mod native;
mod servers;
mod trouble;

use std::net::SocketAddr;
use std::sync::Arc;

use segcdc_api::Options;
use segcdc_control::store::{Location, Store};
use segcdc_control::{Control, Reconciler};
use segcdc_model::Secret;
use serde::Serialize;
use tokio::net::TcpListener;

use self::adapter::Adapter;
use self::servers::Servers;
use crate::arguments::{Output, ServeArguments};
use crate::console::Console;
use crate::error::CliError;
use crate::exit::Exit;
use crate::network::Networks;
use crate::signals::Signals;

/// What a server says in JSON lines when it can be reached.
#[derive(Debug, Serialize)]
struct Listening<'a> {
    event: &'static str,
    url: &'a str,
    /// What the first administrator shows; absent when there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    setup_token: Option<&'a str>,
}

/// Serves until a signal ends it.
///
/// # Errors
/// When the address, the store or the master keys cannot be used.
pub(crate) async fn run(
    arguments: ServeArguments,
    console: Console,
    signals: Signals,
) -> Result<Exit, CliError> {
    console.allow("serve", &[Output::Table, Output::Json])?;
    let options = options(arguments.public_url.as_deref())?;
    // The address first: a server that cannot be reached need not touch a store.
    let listener = bind(arguments.listen).await?;
    let at = listener.local_addr().unwrap_or(arguments.listen);
    let (store, _folder) = Store::open(&Location::Folder(arguments.data_dir.clone())).await?;
    let opened = open(&arguments, store.clone(), console).await;
    let (control, setup) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            store.close().await;
            return Err(error);
        }
    };
    let control = Arc::new(control);
    let url = options.public_origin.clone().unwrap_or_else(|| format!("http://{at}"));
    announce(&url, at, &options, setup.as_ref(), console);
    let router = segcdc_api::router(Arc::clone(&control), options);
    let reconciler = Reconciler::new(Arc::clone(&control)).run(signals.first.clone());
    let served = segcdc_api::listen::serve(listener, router, signals.first.clone());
    tokio::select! {
        ((), ()) = async { tokio::join!(served, reconciler) } => {}
        () = signals.second.cancelled() => {}
    }
    control.close().await;
    Ok(signals.exit())
}

/// Opens the control plane with its keys.
async fn open(
    arguments: &ServeArguments,
    store: Store,
    console: Console,
) -> Result<(Control, Option<Secret<String>>), CliError> {
    let is_new = Control::is_new(&store).await?;
    let keys = keys::find(arguments, is_new, console).await?;
    let networks = Networks::new(&arguments.allow_network);
    let servers = Servers { networks, folder: arguments.data_dir.clone() };
    Ok(Control::open(store, keys, Arc::new(Adapter { servers })).await?)
}

async fn bind(address: SocketAddr) -> Result<TcpListener, CliError> {
    TcpListener::bind(address).await.map_err(|error| {
        let mut failed = CliError::runtime("BIND_FAILED", format!("{address} cannot be listened at"), &error);
        failed.hint =
            "give another --listen address; ports below 1024 need a right, and one port has one server"
                .to_owned();
        failed
    })
}

/// How the server presents itself.
fn options(public_url: Option<&str>) -> Result<Options, CliError> {
    let Some(text) = public_url else { return Ok(Options::default()) };
    let bare = text.strip_suffix('/').unwrap_or(text);
    let is_https = bare.starts_with("https://");
    let rest = bare.strip_prefix("https://").or(bare.strip_prefix("http://"));
    let fits = |rest: &str| {
        !rest.is_empty()
            && rest.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']'))
    };
    if !rest.is_some_and(fits) {
        let hint = "give scheme, host and port and nothing else, as in https://cdc.example.com";
        return Err(CliError::usage("PUBLIC_URL", "--public-url is not the URL of a server", hint));
    }
    Ok(Options { public_origin: Some(bare.to_ascii_lowercase()), is_https })
}

/// Says where the server is, and what is to be known about it.
fn announce(url: &str, at: SocketAddr, options: &Options, setup: Option<&Secret<String>>, console: Console) {
    let token = setup.map(|token| token.expose().as_str());
    if console.is_json() {
        console.json_line(&Listening { event: "listening", url, setup_token: token });
    }
    console.talk(&format!("Listening at http://{at}; the API is described at {url}/docs"));
    if !at.ip().is_loopback() && !options.is_https {
        console.talk(&format!(
            "{} what goes between browsers and this server can be read and changed on the way; let a proxy end TLS, and give --public-url",
            console.paint.yellow("warning:")
        ));
    }
    if let (Some(token), false) = (token, console.is_json()) {
        console.talk(&format!(
            "There is no administrator yet. Make the first one with this token, which is good until then or until the next start:\n\n\
             \x20 curl {url}/api/v1/setup -H 'Content-Type: application/json' \\\n\
             \x20   -d '{{\"token\": \"{token}\", \"user\": \"NAME\", \"password\": \"PASSWORD\"}}'\n"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_is_an_origin() {
        let read = |text| options(Some(text)).map(|options| (options.public_origin, options.is_https));
        assert_eq!(
            read("https://cdc.example.com/").unwrap(),
            (Some("https://cdc.example.com".to_owned()), true)
        );
        assert_eq!(read("http://[::1]:80").unwrap(), (Some("http://[::1]:80".to_owned()), false));
        for bad in ["", "cdc.example.com", "https://", "https://a/b", "https://u@h", "ftp://h", "https://a b"]
        {
            assert_eq!(read(bad).unwrap_err().code, "PUBLIC_URL", "{bad}");
        }
    }
}
