//! A TCP proxy between one program and one server, through which their network fails.
use std::{net::Ipv4Addr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinSet,
};

use crate::port::Port;

/// The most that is read at one time, in bytes.
const BLOCK: usize = 64 << 10;

/// What the network does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// All bytes pass.
    Pass,
    /// Connections are cut, new ones at once.
    Refuse,
    /// Connections stay open, new ones are taken, and no byte passes in any direction. What was sent waits.
    Hang,
}

/// The running proxy. Dropping it cuts its connections.
#[derive(Debug)]
pub struct Proxy {
    port: Port,
    mode: watch::Sender<Mode>,
    _connections: JoinSet<()>,
}

impl Proxy {
    /// Starts a proxy to `server`, a port of 127.0.0.1, in the mode Pass. It needs the runtime it is started on to run.
    pub async fn start(server: u16) -> anyhow::Result<Self> {
        let port = Port::reserve()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.number())).await?;
        let (mode, modes) = watch::channel(Mode::Pass);
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, server, modes));
        Ok(Self { port, mode, _connections: tasks })
    }

    /// The port that leads to the server.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Changes the mode, from now on and for all connections.
    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// The mode `mode` for the time `time`, then Pass.
    pub async fn set_for(&self, mode: Mode, time: Duration) {
        self.set(mode);
        tokio::time::sleep(time).await;
        self.set(Mode::Pass);
    }
}

async fn accept(listener: TcpListener, server: u16, modes: watch::Receiver<Mode>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => drop(connections.spawn(connect(client, server, modes.clone()))),
                // Out of descriptors, most likely: that passes.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// One connection, until one side or the mode ends it.
async fn connect(client: TcpStream, server: u16, mut modes: watch::Receiver<Mode>) {
    if until_pass(&mut modes).await.is_none() {
        // A reset, as if nobody listened.
        _ = client.set_zero_linger();
        return;
    }
    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, server)).await else {
        _ = client.set_zero_linger();
        return;
    };
    _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let up = pump(from_client, to_server, modes.clone());
    let down = pump(from_server, to_client, modes);
    // A side that has said all may still listen; a cut or an error ends both.
    _ = tokio::try_join!(up, down);
}

/// The connection is to be cut.
struct Cut;

/// Moves bytes until `from` has no more, then says so to `to`.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut modes: watch::Receiver<Mode>,
) -> Result<(), Cut> {
    let mut block = vec![0; BLOCK];
    loop {
        let read = tokio::select! {
            biased;
            () = refused(modes.clone()) => return Err(Cut),
            read = from.read(&mut block) => read.map_err(|_| Cut)?,
        };
        until_pass(&mut modes).await.ok_or(Cut)?;
        if read == 0 {
            return to.shutdown().await.map_err(|_| Cut);
        }
        tokio::select! {
            biased;
            () = refused(modes.clone()) => return Err(Cut),
            written = to.write_all(&block[..read]) => written.map_err(|_| Cut)?,
        }
    }
}

/// Waits while the mode is Hang. None if connections are to be cut.
async fn until_pass(modes: &mut watch::Receiver<Mode>) -> Option<()> {
    let mode = *modes.wait_for(|mode| *mode != Mode::Hang).await.ok()?;
    (mode == Mode::Pass).then_some(())
}

/// Waits until connections are to be cut, for ever if need be.
async fn refused(mut modes: watch::Receiver<Mode>) {
    // An error means that the proxy is gone, and its connections with it.
    _ = modes.wait_for(|mode| *mode == Mode::Refuse).await;
}
