//! Who may do what: passwords, one pool's user and another's, TLS.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use common::{ALLOWANCE, LEASE, Server, job, report};
use queue::broker::{Authorities, Held, Options, Outcome};
use queue::contract::Blob;
use queue::{Broker, BrokerError};

const SECRET: &str = "open-sesame";

fn pools_user(pool: &str) -> String {
    // As the broker's documentation says.
    let commands = "+info +select +eval +evalsha +time +get +set +del +unlink +exists +hget +hset +hsetnx +hdel +hmget \
        +hincrby +hvals +hscan +sadd +srem +scard +smembers +zadd +zrem +zrange +zscore +zcard +zremrangebyscore +llen \
        +rpush +ltrim +blpop +blmpop";
    format!(
        "ACL SETUSER {pool} on >{SECRET} resetkeys ~kubejudge:{{{pool}}}:* resetchannels -@all {commands}"
    )
}

fn options(server: &Server, user: &str, pool: &str, password: Option<&str>) -> Options {
    let options = server.options(pool);
    Options { url: server.url(Some(user)), password: password.map(ToOwned::to_owned), ..options }
}

async fn everything(broker: &Broker) -> Result<(), BrokerError> {
    let blob = Blob::pack(b"blob");
    let mut job = job("n", "u");
    for step in ["report", "retry", "hand back", "missing"] {
        job.id.judging += 1;
        broker.enqueue(&job, std::slice::from_ref(&blob), &ALLOWANCE).await?;
        assert!(broker.waiter().work(Duration::from_secs(20)).await?);
        let delivery = broker.take("r", LEASE).await?.expect("a job");
        let (id, fence) = (&job.id, delivery.fence);
        let held = Held { id: id.clone(), fence, phase: crds::Phase::Running };
        broker.extend(&[held], LEASE).await?;
        let outcome = match step {
            "report" => broker.report(id, fence, &report("r")).await?,
            "retry" => broker.retry(id, fence, "why").await?,
            "hand back" => broker.hand_back(id, fence).await?,
            _ => broker.missing(id, fence, &[blob.name.hash]).await?,
        };
        assert_eq!(outcome, Outcome::Done);
    }
    broker.supply(&job.id, std::slice::from_ref(&blob)).await?;
    broker.reprioritize("u", crds::Priority::Rejudge).await?;
    broker.lookup(&["u".into()]).await?;
    broker.collect("u").await?;
    broker.subjects(0, 10).await?;
    broker.reap(10).await?;
    broker.waiter().news(Duration::from_secs(1), 10).await?;
    broker.bury(&job.id, "why").await?;
    broker.cancel("u").await?;
    broker.forget("u", 9).await?;
    assert!(broker.blobs(&[blob.name]).await?[0].is_some());
    broker.keep_artifact("k", b"artifact", Duration::from_secs(1)).await?;
    assert!(broker.artifact("k").await?.is_some());
    broker.lock_artifact("k", "h", LEASE).await?;
    broker.unlock_artifact("k", "h").await?;
    broker.publish_language(&common::language()).await?;
    broker.languages().await?;
    broker.withdraw_language("cat").await?;
    broker.runners().await?;
    broker.retire("r").await
}

#[tokio::test]
async fn a_pools_user_can_do_everything_in_its_pool_and_nothing_in_another() {
    let server = Server::start(&[]);
    for pool in ["one", "two"] {
        server.command(&pools_user(pool).split(' ').collect::<Vec<_>>());
    }
    let broker = Broker::connect(options(&server, "one", "one", Some(SECRET))).await.unwrap();
    broker.check().await.unwrap();
    everything(&broker).await.unwrap();
    // Eviction needs rights of its own.
    let small = Options { cache_bytes: 100, ..options(&server, "one", "one", Some(SECRET)) };
    let small = Broker::connect(small).await.unwrap();
    for n in 0..5_u8 {
        small.keep_artifact(&n.to_string(), &[n; 10], Duration::from_secs(1)).await.unwrap();
    }
    assert!(small.gauges().await.unwrap().evicted > 0);
    let stranger = Broker::connect(options(&server, "two", "one", Some(SECRET))).await.unwrap();
    for error in [
        stranger.check().await.unwrap_err().to_string(),
        stranger.take("r", LEASE).await.unwrap_err().to_string(),
        stranger.languages().await.unwrap_err().to_string(),
        stranger.artifact("k").await.unwrap_err().to_string(),
        stranger.waiter().work(Duration::from_secs(1)).await.unwrap_err().to_string(),
    ] {
        assert!(error.contains("NoPerm"), "{error}");
    }
}

#[tokio::test]
async fn a_wrong_password_is_named_and_never_shown() {
    let server = Server::start(&["--requirepass", SECRET]);
    let with = |password: Option<&str>| Options {
        password: password.map(ToOwned::to_owned),
        ..server.options("default")
    };
    let wrong = Broker::connect(with(Some("guess-me"))).await.unwrap();
    for _ in 0..2 {
        let error = wrong.check().await.unwrap_err();
        let text = format!("{error} {error:?} {wrong:?}");
        assert!(text.contains("authentication failed") && !text.contains("guess-me"), "{text}");
    }
    let without = Broker::connect(with(None)).await.unwrap();
    let error = without.check().await.unwrap_err().to_string();
    assert!(error.contains("NOAUTH"), "{error}");
    Broker::connect(with(Some(SECRET))).await.unwrap().check().await.unwrap();
    // A password that is put right on the server is found right by the same broker.
    server.command_as(SECRET, &["CONFIG", "SET", "requirepass", "guess-me"]);
    wrong.check().await.unwrap();
}

#[tokio::test]
async fn an_impossible_url_is_named_without_its_password() {
    let server = Server::start(&[]);
    let bad = Options { url: "rediss://u:secret@".into(), ..server.options("default") };
    let error = Broker::connect(bad).await.unwrap_err();
    assert_eq!(error.category(), "options");
    assert!(!format!("{error} {error:?}").contains("secret"), "{error}");
}

fn openssl(folder: &Path, arguments: &str) {
    let output = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A certificate for localhost, and the authority that signed it.
fn certificates(folder: &Path) {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
    openssl(folder, &format!("req -x509 {key} -subj /CN=authority -keyout ca.key -out ca.pem"));
    let leaf = "-CA ca.pem -CAkey ca.key -subj /CN=localhost -addext subjectAltName=DNS:localhost";
    openssl(
        folder,
        &format!("req -x509 {key} {leaf} -addext basicConstraints=CA:FALSE -keyout key.pem -out cert.pem"),
    );
}

/// A free port, as far as one can know.
fn free_port() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port().to_string()
}

/// An authority that signed nothing here.
fn stranger(folder: &Path) -> PathBuf {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
    openssl(folder, &format!("req -x509 {key} -subj /CN=authority -keyout stranger.key -out stranger.pem"));
    folder.join("stranger.pem")
}

const TLS_URL: &str = "TEST_TLS_URL";

#[tokio::test]
async fn tls_checks_the_servers_certificate() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (port, certificate, secret) = (free_port(), path("cert.pem"), path("key.pem"));
    let server = Server::start(&[
        "--tls-port",
        &port,
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &secret,
        "--tls-auth-clients",
        "no",
    ]);
    let url = format!("rediss://localhost:{port}");
    let trusting = |authorities: &Path| {
        let authorities = Some(Authorities::read(authorities).unwrap());
        Options { url: url.clone(), authorities, ..server.options("default") }
    };
    // Another authority of the same name.
    let error = Broker::connect(trusting(&stranger(folder.path()))).await.unwrap().check().await.unwrap_err();
    assert!(error.to_string().to_lowercase().contains("certificate"), "{error}");
    // The right one, among others, for each connection there is.
    let both = format!("{0}{0}", std::fs::read_to_string(path("ca.pem")).unwrap());
    std::fs::write(path("both.pem"), both + &std::fs::read_to_string(path("stranger.pem")).unwrap()).unwrap();
    let broker = Broker::connect(trusting(Path::new(&path("both.pem")))).await.unwrap();
    broker.check().await.unwrap();
    everything(&broker).await.unwrap();
    // A process whose system trusts it.
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "tls_with_a_trusted_authority", "--ignored"]);
    let output = child.env("SSL_CERT_FILE", path("ca.pem")).env(TLS_URL, url).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
}

#[tokio::test]
#[ignore = "the test above runs it, with an authority to trust"]
async fn tls_with_a_trusted_authority() {
    let server = Server::start(&[]);
    let url = std::env::var(TLS_URL).unwrap();
    let broker = Broker::connect(Options { url, ..server.options("default") }).await.unwrap();
    broker.check().await.unwrap();
    everything(&broker).await.unwrap();
}

#[tokio::test]
async fn authorities_without_tls_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let authorities = Some(Authorities::read(&stranger(folder.path())).unwrap());
    let server = Server::start(&[]);
    for url in ["redis://user:secret@localhost".to_owned(), server.url(None)] {
        let options = Options { url, authorities: authorities.clone(), ..server.options("default") };
        let error = Broker::connect(options).await.unwrap_err();
        assert_eq!(error.category(), "options");
        assert!(error.to_string().contains("only a rediss:// URL"), "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

#[tokio::test]
async fn tls_without_any_authority_says_what_to_give() {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "tls_where_nobody_is_trusted", "--ignored"]);
    // As in an image of one file.
    let output = child.env("SSL_CERT_FILE", "/dev/null").env_remove("SSL_CERT_DIR").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
}

#[tokio::test]
#[ignore = "the test above runs it, without an authority to trust"]
async fn tls_where_nobody_is_trusted() {
    let server = Server::start(&[]);
    let options = Options { url: "rediss://localhost".into(), ..server.options("default") };
    let error = Broker::connect(options).await.unwrap_err().to_string();
    assert!(error.contains("--redis-ca-file"), "{error}");
}
