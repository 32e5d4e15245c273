//! `segcdc serve`

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use crate::network::Network;

/// `segcdc serve`
#[derive(Clone, Args)]
pub(crate) struct ServeArguments {
    /// Address and port to listen at
    #[arg(
        long,
        value_name = "ADDR",
        default_value = "127.0.0.1:8080",
        env = "SEGCDC_LISTEN",
        hide_env_values = true
    )]
    pub(crate) listen: SocketAddr,
    /// Folder of the server's own database and, if none is given, of its master key
    #[arg(
        long,
        value_name = "DIR",
        default_value = "segcdc-data",
        env = "SEGCDC_DATA_DIR",
        hide_env_values = true
    )]
    pub(crate) data_dir: PathBuf,
    /// Where browsers reach it, if that is not what it listens at: scheme, host and port of the proxy that ends TLS
    #[arg(long, value_name = "URL", env = "SEGCDC_PUBLIC_URL", hide_env_values = true)]
    pub(crate) public_url: Option<String>,
    /// A network that connections may lead to, like 10.0.0.0/8 or 127.0.0.1; may be given several times, and then they lead
    /// nowhere else. Without it, anywhere but to this machine itself and to addresses of its link, where clouds keep metadata
    #[arg(
        long,
        value_name = "NETWORK",
        env = "SEGCDC_ALLOW_NETWORK",
        hide_env_values = true,
        value_delimiter = ','
    )]
    pub(crate) allow_network: Vec<Network>,
    /// File with the master keys that seal passwords; without it, master.key in the data folder, made at the first start
    #[arg(
        long,
        value_name = "FILE",
        env = "SEGCDC_MASTER_KEY_FILE",
        hide_env_values = true,
        conflicts_with_all = ["master_key", "master_key_command"]
    )]
    pub(crate) master_key_file: Option<PathBuf>,
    /// The master keys themselves, lines of an id and 32 bytes as base64; better given by the variable or a file
    #[arg(
        long,
        value_name = "KEYS",
        env = "SEGCDC_MASTER_KEY",
        hide_env_values = true,
        conflicts_with = "master_key_command"
    )]
    pub(crate) master_key: Option<String>,
    /// Command that prints the master keys, run by /bin/sh: for key management services
    #[arg(long, value_name = "COMMAND", env = "SEGCDC_MASTER_KEY_COMMAND", hide_env_values = true)]
    pub(crate) master_key_command: Option<String>,
}

impl std::fmt::Debug for ServeArguments {
    /// Without the keys.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServeArguments")
            .field("listen", &self.listen)
            .field("data_dir", &self.data_dir)
            .finish_non_exhaustive()
    }
}
