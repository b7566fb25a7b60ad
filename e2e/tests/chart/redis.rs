//! The chart's own Redis: its settings and its users on a real redis-server.
use std::{collections::BTreeMap, fs, path::Path, process::Command, time::Duration};

use e2e::{
    port::Port,
    process::{Launch, Process, until_ready},
};
use k8s_openapi::ByteString;
use queue::{Broker, broker::Options};
use serde_json::Value;
use tempfile::TempDir;

use crate::chart::{self, NAMESPACE};

/// The files that Redis' pod sees, from the objects of values "ha": pools `default` and `java`.
struct Files {
    dir: TempDir,
    port: Port,
    /// Passwords by the file's name: operator, pool-NAME.
    passwords: BTreeMap<String, String>,
    /// Users by the same.
    users: BTreeMap<String, String>,
}

fn decoded(data: &Value) -> String {
    let bytes: ByteString = serde_json::from_value(data.clone()).unwrap();
    String::from_utf8(bytes.0).unwrap()
}

impl Files {
    fn write() -> Self {
        let (dir, port) = (tempfile::tempdir().unwrap(), Port::reserve().unwrap());
        let objects = chart::objects("ha");
        let named = |kind: &str, name: &Value| {
            let found =
                chart::kind(&objects, kind).into_iter().find(|object| object["metadata"]["name"] == *name);
            found.unwrap_or_else(|| panic!("no {kind} {name}")).clone()
        };
        let server = chart::kind(&objects, "StatefulSet")[0];
        let volumes = server["spec"]["template"]["spec"]["volumes"].as_array().unwrap();
        let volume = |name: &str| volumes.iter().find(|volume| volume["name"] == name).unwrap();
        let mut files = Self { dir, port, passwords: BTreeMap::new(), users: BTreeMap::new() };
        for folder in ["config", "passwords", "run", "data"] {
            fs::create_dir(files.dir.path().join(folder)).unwrap();
        }
        for source in volume("passwords")["projected"]["sources"].as_array().unwrap() {
            let (secret, item) = (&source["secret"], &source["secret"]["items"][0]);
            let data = named("Secret", &secret["name"])["data"].clone();
            let name = item["path"].as_str().unwrap().to_owned();
            let password = decoded(&data[item["key"].as_str().unwrap()]);
            fs::write(files.dir.path().join("passwords").join(&name), &password).unwrap();
            let url = decoded(&data["url"]);
            let user =
                url.strip_prefix("redis://").unwrap().strip_suffix("@judge-redis.judging.svc:6379").unwrap();
            files.users.insert(name.clone(), user.to_owned());
            files.passwords.insert(name, password);
        }
        let config = named("ConfigMap", &volume("config")["configMap"]["name"]);
        for (name, text) in config["data"].as_object().unwrap() {
            fs::write(files.dir.path().join("config").join(name), files.here(text.as_str().unwrap()))
                .unwrap();
        }
        files
    }

    /// The text with this machine's folders and port in it.
    fn here(&self, text: &str) -> String {
        let dir = self.dir.path().display();
        let text = text
            .replace("/etc/kubejudge/", &format!("{dir}/"))
            .replace("/run/redis/", &format!("{dir}/run/"));
        let text = text.replace("dir /data", &format!("dir {dir}/data"));
        text.replace("port 6379", &format!("port {}", self.port.number()))
    }

    fn write_users(&self) -> std::process::Output {
        Command::new("sh").arg(self.path("config/write-users")).output().unwrap()
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    async fn start(&self) -> Process {
        let binary = e2e::files::in_path("redis-server", "redis-server").unwrap();
        let arguments = vec![self.path("config/redis.conf").display().to_string()];
        let mut server =
            Process::start(Launch::new(self.dir.path(), "redis-server", binary, arguments)).unwrap();
        let answers = async || {
            anyhow::ensure!(self.cli("probe", "probe", &["ping"]) == "PONG");
            Ok(())
        };
        until_ready(&mut [&mut server], answers).await.unwrap();
        server
    }

    fn cli(&self, user: &str, password: &str, words: &[&str]) -> String {
        let mut command = Command::new("redis-cli");
        command.args(["-p", &self.port.number().to_string()]);
        if !user.is_empty() {
            command.args(["--no-auth-warning", "--user", user, "--pass", password]);
        }
        String::from_utf8(command.args(words).output().unwrap().stdout).unwrap().trim().to_owned()
    }

    async fn broker(&self, who: &str, pool: &str) -> Broker {
        let seconds = Duration::from_secs(30);
        let options = Options {
            url: format!("redis://{}@127.0.0.1:{}", self.users[who], self.port.number()),
            password: Some(self.passwords[who].clone()),
            authorities: None,
            pool: format!("{NAMESPACE}.{pool}").parse().unwrap(),
            connect_timeout: seconds,
            response_timeout: seconds,
            cache_bytes: 1 << 20,
        };
        Broker::connect(options).await.unwrap()
    }
}

#[tokio::test]
async fn each_user_sees_its_own_keys_alone() {
    let files = Files::write();
    let output = files.write_users();
    assert!(output.status.success(), "{output:?}");
    let users = fs::read_to_string(files.path("run/users.acl")).unwrap();
    assert!(files.passwords.values().all(|password| !users.contains(password)), "{users}");
    let _server = files.start().await;

    for pool in ["default", "java"] {
        for who in ["operator".to_owned(), format!("pool-{pool}")] {
            let broker = files.broker(&who, pool).await;
            broker.check().await.unwrap();
            broker.keep_artifact("k", b"artifact", Duration::from_secs(1)).await.unwrap();
            broker.languages().await.unwrap();
        }
    }
    let stranger = files.broker("pool-java", "default").await;
    let error = stranger.artifact("k").await.unwrap_err().to_string();
    assert!(error.contains("NoPerm"), "{error}");
    let operator = &files.passwords["operator"];
    assert!(files.cli("operator", operator, &["set", "other", "1"]).contains("NOPERM"));
    assert!(files.cli("operator", operator, &["flushall"]).contains("NOPERM"));
    assert!(files.cli("probe", "x", &["get", "kubejudge:{a}:b"]).contains("NOPERM"));
    assert!(files.cli("", "", &["ping"]).contains("NOAUTH"));
    assert!(files.cli("operator", "wrong", &["ping"]).contains("NOAUTH"));
}

/// Neither an empty password nor one that is missing makes a user without.
#[test]
fn a_password_that_is_not_there_is_an_error() {
    let files = Files::write();
    fs::write(files.path("passwords/pool-java"), "\n").unwrap();
    let output = files.write_users();
    assert!(
        !output.status.success() && String::from_utf8_lossy(&output.stderr).contains("judging.java is empty")
    );
    fs::remove_file(files.path("passwords/pool-java")).unwrap();
    assert!(!files.write_users().status.success());
}

/// The broker's documentation says what a user needs.
#[test]
fn commands_are_those_that_the_broker_needs() {
    let documentation =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../queue/src/broker/mod.rs")).unwrap();
    let (_, rights) = documentation.split_once("-@all ").unwrap();
    let (rights, _) = rights.split_once("```").unwrap();
    let expected: Vec<_> = rights.split_whitespace().filter(|word| word.starts_with('+')).collect();
    let objects = chart::objects("default");
    let config = chart::kind(&objects, "ConfigMap")[0]["data"]["write-users"].as_str().unwrap().to_owned();
    let (_, commands) = config.split_once("commands='").unwrap();
    let (commands, _) = commands.split_once('\'').unwrap();
    assert_eq!(commands.split(' ').collect::<Vec<_>>(), expected);
}
