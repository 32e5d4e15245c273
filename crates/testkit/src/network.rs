//! [`Network`]: a network of its own for one process, with a cable to this machine that can be pulled. While it is out,
//! packets vanish: nothing is refused, nothing is reset, as when a machine or a switch loses its power.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// A network namespace, and the pair of devices that joins it to the one of the tests. Dropping it removes both.
#[derive(Debug)]
pub struct Network {
    /// Name of the namespace.
    name: String,
    /// The device at this end of the cable.
    device: String,
    /// The address at this end of the cable.
    host: Ipv4Addr,
}

// === impl Network ===

impl Network {
    /// Makes a network. `None` where this user may not.
    ///
    /// # Errors
    /// When the namespace could be made, but not what belongs in it.
    pub fn start() -> Result<Option<Self>> {
        // Addresses of 198.18.0.0/15, which are for tests of networks (RFC 2544): four for each network.
        let id = std::process::id() ^ (std::time::UNIX_EPOCH.elapsed()?.subsec_nanos() << 4);
        let [_, _, third, fourth] = id.to_be_bytes();
        let address = |last: u8| Ipv4Addr::new(198, 18 + (third & 1), third, (fourth & 0xfc) | last);
        let network = Network {
            name: format!("segcdc-{third:02x}{fourth:02x}"),
            device: format!("seg{third:02x}{:02x}a", fourth & 0xfc),
            host: address(1),
        };
        let inner = format!("seg{third:02x}{:02x}b", fourth & 0xfc);
        let name = network.name.as_str();
        if !ip(&["netns", "add", name]) {
            return Ok(None);
        }
        let there = address(2);
        let steps = [
            format!("link add {} type veth peer name {inner} netns {name}", network.device),
            format!("addr add {}/30 dev {}", network.host, network.device),
            format!("link set {} up", network.device),
            format!("-n {name} addr add {there}/30 dev {inner}"),
            format!("-n {name} link set {inner} up"),
            format!("-n {name} link set lo up"),
        ];
        for step in steps {
            let words: Vec<&str> = step.split(' ').collect();
            ensure!(ip(&words), "ip {step} failed");
        }
        Ok(Some(network))
    }

    /// Where a process in the network finds servers of this machine that listen here.
    pub fn host(&self) -> Ipv4Addr {
        self.host
    }

    /// A command that runs a program in the network. The process is the program itself, no shell around it.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// Gives this machine another address that the network can reach; it goes with the network.
    ///
    /// # Errors
    /// When it cannot be given.
    pub fn further_host(&self) -> Result<Ipv4Addr> {
        // Of 203.0.113.0/24, which is for examples (RFC 5737).
        let [_, _, _, last] = self.host.octets();
        let further = Ipv4Addr::new(203, 0, 113, last);
        for step in [
            format!("addr add {further}/32 dev {}", self.device),
            format!("-n {} route add {further} via {}", self.name, self.host),
        ] {
            ensure!(ip(&step.split(' ').collect::<Vec<_>>()), "ip {step} failed");
        }
        Ok(further)
    }

    /// Has processes that are started from now on find these addresses by a name.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn call(&self, name: &str, addresses: &[Ipv4Addr]) -> Result<()> {
        let folder = self.settings();
        fs::create_dir_all(&folder)?;
        let lines = addresses.iter().map(|address| format!("{address} {name}\n"));
        fs::write(folder.join("hosts"), lines.collect::<String>())?;
        Ok(fs::write(folder.join("host.conf"), "multi on\n")?)
    }

    /// What `ip netns exec` shows in the place of the files of the same names in `/etc`.
    fn settings(&self) -> PathBuf {
        Path::new("/etc/netns").join(&self.name)
    }

    /// Pulls the cable, or puts it back.
    ///
    /// # Errors
    /// When the device cannot be changed.
    pub fn pull(&self, out: bool) -> Result<()> {
        let state = if out { "down" } else { "up" };
        ensure!(ip(&["link", "set", &self.device, state]), "{} could not be set {state}", self.device);
        Ok(())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // The device inside goes with its peer.
        ip(&["link", "del", &self.device]);
        ip(&["netns", "del", &self.name]);
        fs::remove_dir_all(self.settings()).ok();
    }
}

/// Runs `ip`; whether it did what it was asked.
fn ip(arguments: &[&str]) -> bool {
    let status = Command::new("ip").args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).status();
    status.context("ip").is_ok_and(|status| status.success())
}
