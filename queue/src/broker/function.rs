//! The functions that run inside Redis: each atomic, called by its hash, and sent again when Redis has forgotten it.
//!
//! EVALSHA, and EVAL when that answers NOSCRIPT, survive a restart without data and SCRIPT FLUSH, and need no right to load
//! libraries.

use std::borrow::Cow;
use std::sync::LazyLock;

use redis::{Cmd, ErrorKind, FromRedisValue, Script, ServerErrorKind, Value};

use super::link::{Link, failure};
use super::{Broker, BrokerError};

/// Tests set the time. No product holds the source that can.
const CLOCK: &str =
    if cfg!(test) { include_str!("lua/fixed_clock.lua") } else { include_str!("lua/clock.lua") };
const JOBS: &str = include_str!("lua/jobs.lua");
const CACHE: &str = include_str!("lua/cache.lua");
/// Longest part of an answer in an error.
const MOST_SHOWN: usize = 200;

/// One function.
pub(super) struct Function {
    name: &'static str,
    source: String,
    hash: String,
}

impl Function {
    fn new(name: &'static str, parts: &[&str]) -> Self {
        let source = parts.concat();
        let hash = Script::new(&source).get_hash().to_owned();
        Self { name, source, hash }
    }
}

macro_rules! functions {
    ($($constant:ident $name:literal [$($part:expr),*];)*) => {$(
        pub(super) static $constant: LazyLock<Function> = LazyLock::new(|| {
            Function::new($name, &[$($part,)* include_str!(concat!("lua/", $name, ".lua"))])
        });
    )*};
}

functions! {
    ENQUEUE "enqueue" [CLOCK, JOBS];
    TAKE "take" [CLOCK, JOBS];
    EXTEND "extend" [CLOCK, JOBS];
    REPORT "report" [CLOCK, JOBS];
    RETRY "retry" [CLOCK, JOBS];
    HAND_BACK "hand_back" [CLOCK, JOBS];
    MISSING "missing" [CLOCK, JOBS];
    SUPPLY "supply" [CLOCK, JOBS];
    CANCEL "cancel" [CLOCK, JOBS];
    REPRIORITIZE "reprioritize" [CLOCK, JOBS];
    REAP "reap" [CLOCK, JOBS];
    BURY "bury" [CLOCK, JOBS];
    LOOKUP "lookup" [CLOCK, JOBS];
    GAUGES "gauges" [CLOCK, JOBS];
    ANNOUNCE "announce" [CLOCK, JOBS];
    RUNNERS "runners" [CLOCK, JOBS];
    RETIRE "retire" [CLOCK, JOBS];
    DISSOLVE "dissolve" [CLOCK, JOBS, CACHE];
    KEEP "keep" [CACHE];
    TOUCH "touch" [CACHE];
    UNCACHE "uncache" [CACHE];
    LOCK "lock" [];
    UNLOCK "unlock" [];
}

/// A function with its arguments.
pub(super) struct Call<'a> {
    function: &'static Function,
    arguments: Vec<Cow<'a, [u8]>>,
}

impl<'a> Call<'a> {
    pub(super) const fn new(function: &'static Function) -> Self {
        Self { function, arguments: Vec::new() }
    }

    pub(super) fn bytes(mut self, bytes: &'a [u8]) -> Self {
        self.arguments.push(Cow::Borrowed(bytes));
        self
    }

    #[expect(clippy::needless_pass_by_value, reason = "numbers and format_args read better so")]
    pub(super) fn text(mut self, text: impl ToString) -> Self {
        self.arguments.push(Cow::Owned(text.to_string().into_bytes()));
        self
    }

    /// `verb` and what names the function, then the pool's prefix as the only key, then the arguments.
    fn command(&self, verb: &str, name: &str, prefix: &str) -> Cmd {
        let mut command = redis::cmd(verb);
        command.arg(name).arg(1).arg(prefix);
        for argument in &self.arguments {
            command.arg(&**argument);
        }
        command
    }
}

impl Broker {
    /// Calls a function, and reads its answer as a `T`.
    pub(super) async fn call<T: FromRedisValue>(&self, call: Call<'_>) -> Result<T, BrokerError> {
        self.call_over(&self.link, call).await
    }

    /// The same over `link`.
    pub(super) async fn call_over<T: FromRedisValue>(
        &self,
        link: &Link,
        call: Call<'_>,
    ) -> Result<T, BrokerError> {
        let function = call.function;
        let forgotten = ErrorKind::Server(ServerErrorKind::NoScript);
        let known = call.command("EVALSHA", &function.hash, &self.prefix);
        let answer = match link.send(&known).await {
            Err(error) if error.kind() == forgotten => {
                link.send(&call.command("EVAL", &function.source, &self.prefix)).await
            }
            answer => answer,
        };
        read(function.name, answer.map_err(failure)?)
    }
}

/// An answer as a `T`.
pub(super) fn read<T: FromRedisValue>(function: &'static str, answer: Value) -> Result<T, BrokerError> {
    redis::from_redis_value(answer).map_err(|error| {
        let answer = error.to_string().chars().take(MOST_SHOWN).collect();
        BrokerError::Answer { function, answer }
    })
}
