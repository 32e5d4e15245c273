//! A [`SourceConfig`] as a URL, without the password.

use std::path::Path;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::{
    ChannelBinding, DEFAULT_CONNECT_TIMEOUT, Endpoint, HostOrder, Keepalive, ServerRole, SourceConfig,
    TlsNegotiation, TlsSettings,
};

/// What must be escaped.
const ESCAPED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'&')
    .add(b'/')
    .add(b':')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'@')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// The parameters of a URL, as they are collected.
#[derive(Default)]
struct Query(Vec<String>);

/// The URL without the password; parsing it gives the same configuration but for that.
pub(super) fn redacted(config: &SourceConfig) -> String {
    let mut query = Query::default();
    let authority = place(config, &mut query);
    let role = if config.hosts.len() > 1 { ServerRole::Primary } else { ServerRole::Any };
    query.put_unless(config.role == role, "target_session_attrs", config.role.as_str());
    query.put_unless(config.host_order == HostOrder::AsWritten, "load_balance_hosts", "random");
    protection(&config.tls, &mut query);
    let binding = config.channel_binding;
    query.put_unless(binding == ChannelBinding::Prefer, "channel_binding", binding.as_str());
    query.put_path("passfile", config.password_file.as_deref());
    keepalive(&config.keepalive, &mut query);
    query.put_unless(config.application_name == "segcdc", "application_name", &config.application_name);
    let timeout = config.connect_timeout;
    let seconds = timeout.as_secs().to_string();
    query.put_unless(timeout == DEFAULT_CONNECT_TIMEOUT, "connect_timeout", &seconds);
    query.put_unless(config.options.is_none(), "options", config.options.as_deref().unwrap_or_default());
    let query = if query.0.is_empty() { String::new() } else { format!("?{}", query.0.join("&")) };
    format!("postgres://{}@{authority}/{}{query}", escape(&config.user), escape(&config.database))
}

/// The hosts: in front of the path where all of them are names, else as parameters.
fn place(config: &SourceConfig, query: &mut Query) -> String {
    let addresses = config.hosts.iter().map(|host| match host {
        Endpoint::Tcp { address: Some(address), .. } => address.to_string(),
        _ => String::new(),
    });
    let addresses: Vec<_> = addresses.collect();
    if addresses.iter().any(|address| !address.is_empty()) {
        query.put_list("hostaddr", &addresses);
    }
    if config.hosts.iter().all(|host| matches!(host, Endpoint::Tcp { .. })) {
        return config.server();
    }
    let (hosts, ports): (Vec<_>, Vec<_>) = config
        .hosts
        .iter()
        .map(|host| match host {
            Endpoint::Tcp { host, port, .. } => (host.clone(), port.to_string()),
            Endpoint::Unix { directory, port } => (directory.display().to_string(), port.to_string()),
        })
        .unzip();
    query.put_list("host", &hosts);
    query.put_list("port", &ports);
    String::new()
}

fn protection(tls: &TlsSettings, query: &mut Query) {
    let usual = TlsSettings::default();
    query.put_unless(tls.mode == usual.mode, "sslmode", tls.mode.as_str());
    query.put_unless(tls.negotiation == TlsNegotiation::Ask, "sslnegotiation", "direct");
    query.put_path("sslrootcert", tls.root_certificate.as_deref());
    query.put_path("sslcrl", tls.revocation_list.as_deref());
    query.put_path("sslcert", tls.client_certificate.as_ref().map(|files| files.certificate.as_path()));
    query.put_path("sslkey", tls.client_certificate.as_ref().map(|files| files.key.as_path()));
    query.put_unless(tls.oldest == usual.oldest, "ssl_min_protocol_version", tls.oldest.as_str());
    query.put_unless(tls.newest == usual.newest, "ssl_max_protocol_version", tls.newest.as_str());
    query.put_unless(tls.send_name, "ssl_sni", "0");
}

fn keepalive(keepalive: &Keepalive, query: &mut Query) {
    let usual = Keepalive::default();
    query.put_unless(keepalive.enabled, "keepalives", "0");
    let mut seconds = |name, value: std::time::Duration, usual| {
        query.put_unless(value == usual, name, &value.as_secs().to_string());
    };
    seconds("keepalives_idle", keepalive.idle, usual.idle);
    seconds("keepalives_interval", keepalive.interval, usual.interval);
    if let Some(count) = keepalive.count {
        query.put("keepalives_count", &count.to_string());
    }
    let milliseconds = keepalive.user_timeout.unwrap_or_default().as_millis().to_string();
    query.put_unless(keepalive.user_timeout == usual.user_timeout, "tcp_user_timeout", &milliseconds);
}

fn escape(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string()
}

// === impl Query ===

impl Query {
    fn put(&mut self, name: &str, value: &str) {
        self.0.push(format!("{name}={}", escape(value)));
    }

    fn put_unless(&mut self, is_usual: bool, name: &str, value: &str) {
        if !is_usual {
            self.put(name, value);
        }
    }

    /// Paths keep their slashes: people read them.
    fn put_path(&mut self, name: &str, path: Option<&Path>) {
        if let Some(path) = path {
            self.0.push(format!("{name}={}", escape(&path.to_string_lossy()).replace("%2F", "/")));
        }
    }

    fn put_list(&mut self, name: &str, values: &[String]) {
        self.0.push(format!("{name}={}", escape(&values.join(",")).replace("%2F", "/")));
    }
}
