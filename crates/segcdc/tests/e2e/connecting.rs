//! Ways to a server, each with the whole product: TLS of every kind, a named instance, a login that is sent on, two addresses of
//! which one is dead.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use segcdc_testkit::{Network, PostgresCluster, Proxy, Sandbox, SandboxOptions, until};
use serde_json::Value;
use tokio::net::UdpSocket;

use super::stage::{DATABASE, PATIENCE, Stage};

/// UDP port of SQL Server Browser.
const BROWSER_PORT: u16 = 1434;

/// A stage with a table; `None`, and said so, when the target is not ours.
async fn stage(name: &str) -> Result<Option<Stage>> {
    let mut stage = Stage::start(name).await?;
    if stage.sandbox_or_skip(name).is_none() {
        return Ok(None);
    }
    let table = "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT n, 'copied' FROM generate_series(1, 500) n";
    stage.source.execute(DATABASE, table).await?;
    Ok(Some(stage))
}

/// A URL of the stage's target by way of a host, whose port or instance is part of it.
fn target_url(stage: &Stage, host: &str, parameters: &str) -> String {
    let target = &stage.target;
    let (user, password, database) = (&target.user, target.password.expose(), &target.database);
    format!("sqlserver://{user}:{password}@{host}/{database}?{parameters}")
}

/// The authority of a sandbox.
fn ca_file(sandbox: &Sandbox) -> String {
    format!("ca_file={}", sandbox.ca_file().display())
}

/// What `doctor` says of the way, and what it prints of it for people.
async fn doctor(stage: &mut Stage) -> Result<(Value, String)> {
    let finished = stage.product.succeed(&["doctor", "-o", "json"]).await?;
    let report = serde_json::from_str(&finished.stdout).with_context(|| finished.to_string())?;
    Ok((report, stage.product.succeed(&["doctor"]).await?.stdout))
}

/// The code with which `doctor` ends.
async fn refusal(stage: &mut Stage, url: &str) -> Result<String> {
    stage.product.set("SEGCDC_TARGET_URL", url);
    let finished = stage.product.run(&["doctor"]).await?;
    finished.error_code().map(str::to_owned).with_context(|| finished.to_string())
}

/// Copies, or goes on, over the way of this URL, follows a change, and compares.
async fn ensure_goes_on(stage: &mut Stage, url: &str) -> Result<()> {
    stage.product.set("SEGCDC_TARGET_URL", url);
    let mut running = stage.product.up()?;
    stage.live(&mut running).await?;
    let before = stage.target_count("t").await?;
    stage.source.execute(DATABASE, "INSERT INTO t SELECT max(id) + 1, 'streamed' FROM t").await?;
    let arrived = || async { (stage.target_count("t").await.ok()? == before + 1).then_some(()) };
    running.until("the change has arrived", PATIENCE, arrived).await?;
    running.kill().await?;
    let compared = stage.compare(&["t"]).await?;
    ensure!(compared.equal, "{compared:#?}");
    Ok(())
}

/// Runs OpenSSL.
fn openssl(dir: &Path, arguments: &[&str]) -> Result<()> {
    let done = Command::new("openssl").args(arguments).current_dir(dir).output()?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    Ok(())
}

/// Has a server show a certificate that signs itself, for `localhost`. Whether it can.
async fn show_certificate(server: &PostgresCluster, dir: &Path) -> Result<bool> {
    openssl(
        dir,
        &[
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            "server.key",
            "-out",
            "server.crt",
            "-days",
            "30",
            "-subj",
            "/O=Shop/CN=db",
            "-addext",
            "subjectAltName=DNS:localhost",
        ],
    )?;
    let owner = fs::metadata(server.data_dir())?;
    for file in ["server.key", "server.crt"] {
        let copy = server.data_dir().join(file);
        fs::copy(dir.join(file), &copy)?;
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o600))?;
        chown(&copy, Some(owner.uid()), Some(owner.gid()))?;
    }
    if server.execute("postgres", "ALTER SYSTEM SET ssl = on").await.is_err() {
        eprintln!("skipped: this build of PostgreSQL has no TLS");
        return Ok(false);
    }
    server.execute("postgres", "SELECT pg_reload_conf()").await?;
    let on = || async {
        let shown = server.connect("postgres").await.ok()?.query_one("SHOW ssl", &[]).await.ok()?;
        (shown.get::<_, String>(0) == "on").then_some(())
    };
    until("TLS is offered", PATIENCE, on).await?;
    Ok(true)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_tls_works_and_doctor_tells_what_it_is() -> Result<()> {
    let Some(mut stage) = stage("tls").await? else { return Ok(()) };
    let (sandbox, port) = (stage.sandbox.as_ref().context("the sandbox")?, stage.target.port);
    let ours = ca_file(sandbox);
    let files = tempfile::tempdir()?;
    if show_certificate(&stage.source, files.path()).await? {
        let certificate = files.path().join("server.crt");
        let source = format!(
            "postgres://postgres@localhost:{}/{DATABASE}?sslmode=verify-full&sslrootcert={}",
            stage.source.port(),
            certificate.display()
        );
        stage.product.set("SEGCDC_SOURCE_URL", &source);
        let strict = target_url(&stage, &format!("localhost:{port}"), &format!("encrypt=strict&{ours}"));
        stage.product.set("SEGCDC_TARGET_URL", &strict);
        let (report, words) = doctor(&mut stage).await?;
        let tls = &report["source_tls"];
        ensure!(tls["version"] == "TLSv1.3" && tls["checked"] == "authority_and_name", "{report:#}");
        let shown = &tls["certificate"];
        ensure!(shown["subject"] == "O=Shop, CN=db" && shown["issuer"] == shown["subject"], "{report:#}");
        ensure!(shown["days_left"].as_i64().is_some_and(|days| (28..=30).contains(&days)), "{report:#}");
        ensure!(words.contains("cert  O=Shop, CN=db by O=Shop, CN=db, until 20"), "{words}");
    }

    for (parameters, version, checked, encrypted) in [
        (format!("encrypt=strict&{ours}"), "TLSv1.3", "authority_and_name", "everything"),
        (format!("encrypt=true&{ours}"), "TLSv1.2", "authority_and_name", "everything"),
        ("encrypt=true&trust_server_certificate=true".to_owned(), "TLSv1.2", "nothing", "everything"),
        ("encrypt=false".to_owned(), "TLSv1.2", "nothing", "login"),
    ] {
        let url = target_url(&stage, &format!("localhost:{port}"), &parameters);
        stage.product.set("SEGCDC_TARGET_URL", &url);
        let (report, words) = doctor(&mut stage).await?;
        let tls = &report["target_tls"];
        let found = [&tls["version"], &tls["checked"], &tls["encrypted"]];
        ensure!(found == [version, checked, encrypted], "{parameters}: {report:#}");
        ensure!(tls["certificate"]["subject"] == "CN=localhost", "{report:#}");
        let issuer = tls["certificate"]["issuer"].as_str().context("the issuer")?;
        ensure!(issuer.contains("sandbox authority") && words.contains(issuer), "{report:#}\n{words}");
        ensure!(words.contains(version), "{words}");
        ensure_goes_on(&mut stage, &url).await.context(parameters)?;
    }

    // The host's own authorities know nothing of ours; another name is not in the certificate.
    let untrusted = target_url(&stage, &format!("localhost:{port}"), "encrypt=strict");
    let code = refusal(&mut stage, &untrusted).await?;
    ensure!(["TARGET_TLS_UNTRUSTED", "TARGET_TLS_FAILED"].contains(&code.as_str()), "{code}");
    let misnamed = format!("encrypt=strict&host_name_in_certificate=sql.example&{ours}");
    let misnamed = target_url(&stage, &format!("localhost:{port}"), &misnamed);
    let code = refusal(&mut stage, &misnamed).await?;
    ensure!(code == "TARGET_TLS_HOST_MISMATCH", "{code}");
    Ok(())
}

/// A SQL Server Browser that knows one instance ([MC-SQLR]), as often as it is asked. Where it listens cannot be chosen, so each
/// has an address of its own.
async fn browser(instance: &'static str, port: u16) -> Result<Ipv4Addr> {
    let (address, socket) = loop {
        let address = Ipv4Addr::new(127, rand::random(), rand::random(), 2);
        if let Ok(socket) = UdpSocket::bind((address, BROWSER_PORT)).await {
            break (address, socket);
        }
    };
    tokio::spawn(async move {
        let mut question = [0; 64];
        let wanted = [&[4_u8][..], instance.as_bytes(), &[0]].concat();
        while let Ok((length, peer)) = socket.recv_from(&mut question).await {
            if question.get(..length) == Some(&wanted) {
                let text = format!(
                    "ServerName;H;InstanceName;{instance};IsClustered;No;Version;16.0.1000.6;tcp;{port};;"
                );
                let length = u16::try_from(text.len()).unwrap_or_default().to_le_bytes();
                socket.send_to(&[&[5][..], &length, text.as_bytes()].concat(), peer).await.ok();
            }
        }
    });
    Ok(address)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn named_instance_is_found_by_the_browser() -> Result<()> {
    let Some(mut stage) = stage("instance").await? else { return Ok(()) };
    // The instance listens on every address of this machine, as a server does.
    let everywhere = Proxy::start_at(Ipv4Addr::UNSPECIFIED, stage.target.port).await?;
    let host = browser("SHOP", everywhere.port()).await?;
    let sandbox = stage.sandbox.as_ref().context("the sandbox")?;
    let parameters = format!("encrypt=strict&host_name_in_certificate=localhost&{}", ca_file(sandbox));
    let url = target_url(&stage, &format!("{host}%5CSHOP"), &parameters);
    ensure_goes_on(&mut stage, &url).await?;
    ensure!(everywhere.connections() > 0, "it went another way");
    let unknown = target_url(&stage, &format!("{host}%5CNONE"), &parameters);
    let code = refusal(&mut stage, &unknown).await?;
    ensure!(code == "TARGET_INSTANCE", "{code}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn login_that_is_sent_on_ends_at_the_other_server() -> Result<()> {
    let Some(mut stage) = stage("sent_on").await? else { return Ok(()) };
    let send_on_to = Some(format!("localhost:{}", stage.target.port));
    let gateway = Sandbox::start(SandboxOptions { send_on_to, ..SandboxOptions::default() }).await?;
    let files = tempfile::tempdir()?;
    let worker = stage.sandbox.as_ref().context("the sandbox")?;
    // Each of the two has an authority of its own, and each certificate is checked.
    let authorities = [fs::read(gateway.ca_file())?, fs::read(worker.ca_file())?].concat();
    let both = files.path().join("both.pem");
    fs::write(&both, authorities)?;
    for encrypt in ["strict", "true"] {
        let host = format!("127.0.0.1:{}", gateway.port());
        let url = target_url(&stage, &host, &format!("encrypt={encrypt}&ca_file={}", both.display()));
        ensure_goes_on(&mut stage, &url).await.context(encrypt)?;
    }
    let host = format!("127.0.0.1:{}", gateway.port());
    let halfway = target_url(&stage, &host, &format!("encrypt=strict&{}", ca_file(&gateway)));
    let code = refusal(&mut stage, &halfway).await?;
    ensure!(code == "TARGET_TLS_UNTRUSTED", "{code}");
    Ok(())
}

/// In a network of its own, because names are given there, and because the first address has to swallow what is sent to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_of_a_listener_that_answers_is_enough() -> Result<()> {
    const LISTENER: &str = "listener.test";
    let Some(mut stage) = stage("subnets").await? else { return Ok(()) };
    let Some(network) = Network::start()? else {
        eprintln!("skipped: this user may not make a network");
        return Ok(());
    };
    let (near, far) = (network.host(), network.further_host()?);
    let alive = Proxy::start_at(far, stage.target.port).await?;
    let dead = SocketAddr::from((near, alive.port()));
    let source = Proxy::start_at(near, stage.source.port()).await?;
    network.call(LISTENER, &[near, far])?;
    // A full backlog: the kernel swallows further attempts, as a network without the listener's address does.
    let deaf = tokio::net::TcpSocket::new_v4()?;
    deaf.bind(dead)?;
    let _deaf = deaf.listen(0)?;
    let _waits = tokio::net::TcpStream::connect(dead).await?;

    let url = format!("postgres://postgres@{near}:{}/{DATABASE}?sslmode=disable", source.port());
    stage.product.set("SEGCDC_SOURCE_URL", &url);
    stage.product.move_to(network);
    let ours = ca_file(stage.sandbox.as_ref().context("the sandbox")?);
    let parameters = format!("encrypt=strict&host_name_in_certificate=localhost&connect_timeout=10&{ours}");
    let host = format!("{LISTENER}:{}", alive.port());
    // One after the other, the near one comes first, and nothing comes of it.
    let one = target_url(&stage, &host, &parameters);
    let code = refusal(&mut stage, &one).await?;
    ensure!(code == "TARGET_TIMEOUT", "{code}");
    let all = target_url(&stage, &host, &format!("{parameters}&multi_subnet_failover=true"));
    ensure_goes_on(&mut stage, &all).await?;
    ensure!(alive.connections() > 0, "it went another way");
    Ok(())
}
