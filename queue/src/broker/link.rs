//! The connection to Redis: made when it is needed, replaced when it is lost, waited for no longer than is allowed.
//!
//! The client's own connection manager would do, but it keeps an answer such as "wrong password" or "loading" for ever, and a
//! connection whose peer vanished without a word.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ErrorKind, FromRedisValue, IntoConnectionInfo,
    Pipeline, RedisError, RetryMethod, TlsCertificates,
};
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

use super::{BrokerError, Options, authorities};

/// The pauses before a command is sent again because the connection was lost. Every function may be repeated safely.
const PAUSES: [Duration; 2] = [Duration::from_millis(10), Duration::from_millis(300)];

/// A connection that many share.
#[derive(Clone)]
pub(super) struct Link(Arc<Inner>);

struct Inner {
    client: Client,
    config: AsyncConnectionConfig,
    connect_timeout: Duration,
    live: Mutex<Live>,
}

/// The connection of the moment, and its number.
#[derive(Default)]
struct Live {
    connection: Option<MultiplexedConnection>,
    number: u64,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}

/// The client for `options`; opens nothing.
pub(super) fn client(options: &Options) -> Result<Client, BrokerError> {
    let refuse = |error: RedisError| BrokerError::Options {
        url: without_password(&options.url),
        reason: error.to_string(),
    };
    let info = options.url.as_str().into_connection_info().map_err(refuse)?;
    let mut settings = info.redis_settings().clone();
    if let Some(password) = &options.password {
        settings = settings.set_password(password);
    }
    let info = info.set_redis_settings(settings);
    match certificates(options, info.addr())? {
        Some(certificates) => Client::build_with_tls(info, certificates),
        None => Client::open(info),
    }
    .map_err(refuse)
}

/// What Redis' certificate is checked against, if it is not what the system trusts. A connection that can only fail is
/// refused here: a minimal image trusts nobody, and the error of the handshake would not say so.
fn certificates(options: &Options, address: &ConnectionAddr) -> Result<Option<TlsCertificates>, BrokerError> {
    let tls = matches!(address, ConnectionAddr::TcpTls { .. });
    let refuse = |reason: &str| {
        Err(BrokerError::Options { url: without_password(&options.url), reason: reason.to_owned() })
    };
    match &options.authorities {
        Some(_) if !tls => refuse("certificate authorities are given, but only a rediss:// URL asks for TLS"),
        Some(authorities) => {
            Ok(Some(TlsCertificates { client_tls: None, root_cert: Some(authorities.pem().to_vec()) }))
        }
        None if tls && !authorities::system_has_some() => {
            refuse("no certificate authority is trusted here; give Redis' own with --redis-ca-file")
        }
        None => Ok(None),
    }
}

/// `url` without what stands between user and host.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return if url.contains('@') { "(not a URL)".to_owned() } else { url.to_owned() };
    };
    match rest.rsplit_once('@') {
        Some((login, host)) => {
            let user = login.split(':').next().unwrap_or_default();
            format!("{scheme}://{user}@{host}")
        }
        None => url.to_owned(),
    }
}

impl Link {
    /// A link whose answers may take as long as `options` say.
    pub(super) fn new(client: Client, options: &Options) -> Self {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(options.connect_timeout))
            .set_response_timeout(Some(options.response_timeout));
        let connect_timeout = options.connect_timeout;
        Self(Arc::new(Inner { client, config, connect_timeout, live: Mutex::default() }))
    }

    /// A connection for one user alone, whose answers may take for ever.
    pub(super) async fn patient(&self) -> Result<MultiplexedConnection, RedisError> {
        let config = self.0.config.clone().set_response_timeout(None);
        let opening = self.0.client.get_multiplexed_async_connection_with_config(&config);
        timeout(self.0.connect_timeout, opening).await.unwrap_or_else(|_| Err(too_slow()))
    }

    /// The answer to `command`.
    pub(super) async fn send<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, RedisError> {
        self.attempt(move |mut connection| async move { command.query_async(&mut connection).await }).await
    }

    /// The answers to all of `commands`.
    pub(super) async fn send_all<T: FromRedisValue>(&self, commands: &Pipeline) -> Result<T, RedisError> {
        self.attempt(move |mut connection| async move { commands.query_async(&mut connection).await }).await
    }

    /// Not an `AsyncFn`: the compiler could not tell that what it returns may move between threads.
    async fn attempt<T, F: Future<Output = Result<T, RedisError>>>(
        &self,
        ask: impl Fn(MultiplexedConnection) -> F,
    ) -> Result<T, RedisError> {
        for pause in PAUSES {
            match self.once(&ask).await {
                Err(error) if is_lost(&error) && !error.is_timeout() => sleep(pause).await,
                result => return result,
            }
        }
        self.once(&ask).await
    }

    async fn once<T, F: Future<Output = Result<T, RedisError>>>(
        &self,
        ask: &impl Fn(MultiplexedConnection) -> F,
    ) -> Result<T, RedisError> {
        let (number, connection) = self.connection().await?;
        let result = ask(connection).await;
        if result.as_ref().is_err_and(is_lost) {
            self.forget(number).await;
        }
        result
    }

    async fn connection(&self) -> Result<(u64, MultiplexedConnection), RedisError> {
        let Inner { client, config, connect_timeout, live } = &*self.0;
        let opening = async {
            let mut live = live.lock().await;
            let connection = match &live.connection {
                Some(connection) => connection.clone(),
                None => client.get_multiplexed_async_connection_with_config(config).await?,
            };
            if live.connection.is_none() {
                live.number += 1;
                live.connection = Some(connection.clone());
            }
            Ok((live.number, connection))
        };
        timeout(*connect_timeout, opening).await.unwrap_or_else(|_| Err(too_slow()))
    }

    /// The next command gets a new connection, unless there is one already.
    async fn forget(&self, number: u64) {
        let mut live = self.0.live.lock().await;
        if live.number == number {
            live.connection = None;
        }
    }
}

fn too_slow() -> RedisError {
    RedisError::from(std::io::Error::new(std::io::ErrorKind::TimedOut, "no connection in time"))
}

/// Whether the connection is of no more use: lost, silent, or to a server that became a replica.
fn is_lost(error: &RedisError) -> bool {
    let demoted = error.kind() == ErrorKind::Server(redis::ServerErrorKind::ReadOnly);
    let refused = error.kind() == ErrorKind::AuthenticationFailed;
    demoted || !refused && (error.is_io_error() || error.is_unrecoverable_error())
}

/// Whether Redis said no, or said nothing.
pub(super) fn failure(error: RedisError) -> BrokerError {
    let soon = matches!(error.retry_method(), RetryMethod::WaitAndRetry);
    if soon || error.is_io_error() { BrokerError::Unreachable(error) } else { BrokerError::Refused(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_reaches_an_error() {
        let cases = [
            ("redis://user:secret@host:1/0", "redis://user@host:1/0"),
            ("redis://:se@cret@host", "redis://@host"),
            ("redis://host", "redis://host"),
            ("user:secret@host", "(not a URL)"),
            ("nonsense", "nonsense"),
        ];
        for (url, shown) in cases {
            assert_eq!(without_password(url), shown);
        }
    }
}
