//! What operators ask of the queue.

use std::time::Duration;

use redis::{FromRedisValue, Value};

use super::function::{self, Call, read};
use super::link::failure;
use super::words::{self, Fields};
use super::{Allowance, Broker, BrokerError, Collected, Enqueued, Gauges, JobRecord, Reaped, Scope, Subject};
use crate::contract::{Blob, Job, JobId, LanguageSnapshot, Record, RunnerStatus, decode, encode};

/// Most Submissions that one call looks up; each may have hundreds of jobs.
const MOST_LOOKED_UP: usize = 500;
/// Most that one call reaps.
const MOST_REAPED: usize = 1000;
/// Longest reason that is kept, in bytes.
pub(super) const MOST_REASON: usize = 1024;

impl Broker {
    /// Puts `job` on the queue with the blobs it needs (those that are there already are not sent again; blobs go first).
    /// Enqueueing the same id twice is one job, in whatever state that is. Jobs of the same Submission with another
    /// judging or plan are cancelled first.
    pub async fn enqueue(
        &self,
        job: &Job,
        blobs: &[Blob],
        allowance: &Allowance,
    ) -> Result<Enqueued, BrokerError> {
        let body = encode(job)?;
        self.store(blobs).await?;
        let JobId { uid, judging, plan, .. } = &job.id;
        let call = Call::new(&function::ENQUEUE)
            .text(&job.id)
            .bytes(uid.as_bytes())
            .text(format_args!("{uid}/{judging}/{plan}/"))
            .bytes(job.namespace.as_bytes())
            .bytes(job.name.as_bytes())
            .text(words::priority(job.priority))
            .text(job.tests.len().max(1))
            .text(words::span(job.span))
            .text(allowance.deliveries.max(1))
            .text(words::micros(allowance.first_delay))
            .text(words::micros(allowance.longest_delay))
            .text(allowance.pool)
            .text(allowance.namespace)
            .bytes(&body);
        let answer: String = self.call(call).await?;
        match answer.as_str() {
            "queued" => Ok(Enqueued::Queued),
            "known" => Ok(Enqueued::Known),
            "pool" => Ok(Enqueued::Full(Scope::Pool)),
            "namespace" => Ok(Enqueued::Full(Scope::Namespace)),
            _ => Err(BrokerError::Answer { function: "enqueue", answer }),
        }
    }

    /// What Redis knows of each of these Submissions, by UID, in the order asked; empty for nothing. In bounded batches.
    pub async fn lookup(&self, uids: &[String]) -> Result<Vec<Vec<JobRecord>>, BrokerError> {
        let mut found = Vec::with_capacity(uids.len());
        for batch in uids.chunks(MOST_LOOKED_UP) {
            let known = self.known(batch, false).await?;
            found.extend(known.into_iter().map(|jobs| jobs.into_iter().map(|job| job.record).collect()));
        }
        Ok(found)
    }

    /// All jobs of one Submission with their reports, in the order of their tests.
    pub async fn collect(&self, uid: &str) -> Result<Vec<Collected>, BrokerError> {
        Ok(self.known(&[uid.to_owned()], true).await?.pop().unwrap_or_default())
    }

    async fn known(&self, uids: &[String], reports: bool) -> Result<Vec<Vec<Collected>>, BrokerError> {
        let call = Call::new(&function::LOOKUP).text(u8::from(reports));
        let call = uids.iter().fold(call, |call, uid| call.bytes(uid.as_bytes()));
        let answer: Vec<Vec<Fields>> = self.call(call).await?;
        if answer.len() != uids.len() {
            let answer = format!("{} answers to {} questions", answer.len(), uids.len());
            return Err(BrokerError::Answer { function: "lookup", answer });
        }
        let mut known = Vec::with_capacity(answer.len());
        for fields in answer {
            known.push(self.readable_jobs(fields).await?);
        }
        Ok(known)
    }

    /// The jobs, in the order of judgings and tests. One that can't be read is buried, so that it is planned anew.
    async fn readable_jobs(&self, jobs: Vec<Fields>) -> Result<Vec<Collected>, BrokerError> {
        let mut readable = Vec::with_capacity(jobs.len());
        for fields in jobs {
            let id = fields.first().cloned().flatten().unwrap_or_default();
            match words::collected(fields) {
                Some(job) => readable.push(job),
                None => self.bury_named(&String::from_utf8_lossy(&id), "its record can't be read").await?,
            }
        }
        readable.sort_unstable_by(|a, b| a.record.id.cmp(&b.record.id));
        Ok(readable)
    }

    /// Forgets the jobs and reports of this and earlier judgings, after the status was written. Jobs that are still
    /// leased are cancelled.
    pub async fn forget(&self, uid: &str, judging: u32) -> Result<(), BrokerError> {
        self.call(Call::new(&function::CANCEL).bytes(uid.as_bytes()).text(judging)).await
    }

    /// Takes all of a Submission's jobs off the queue, whatever their judging; those leased are told at the next
    /// heartbeat, and gone when their runner or lease lets go. Says how many were found.
    pub async fn cancel(&self, uid: &str) -> Result<u64, BrokerError> {
        self.call(Call::new(&function::CANCEL).bytes(uid.as_bytes()).text(u32::MAX)).await
    }

    /// Stores the blobs that a blocked job misses and lets it wait again, at its old place and at no cost in deliveries.
    pub async fn supply(&self, id: &JobId, blobs: &[Blob]) -> Result<(), BrokerError> {
        self.store(blobs).await?;
        self.call(Call::new(&function::SUPPLY).text(id)).await
    }

    /// Lowers the priority of a Submission's waiting jobs, and of those that may wait again.
    pub async fn reprioritize(&self, uid: &str, priority: crds::Priority) -> Result<(), BrokerError> {
        let call = Call::new(&function::REPRIORITIZE).bytes(uid.as_bytes()).text(words::priority(priority));
        self.call(call).await
    }

    /// Takes back leases that ran out, at most `most` (and at most 1000), and wakes what was delayed until now. Runners do the
    /// same when they take, so a queue without operator goes on.
    pub async fn reap(&self, most: usize) -> Result<Reaped, BrokerError> {
        let call = Call::new(&function::REAP).text(most.clamp(1, MOST_REAPED));
        let (expired, lost, woken) = self.call(call).await?;
        Ok(Reaped { expired, lost, woken })
    }

    /// Removes a job whose content or report can't be read; a copy of it goes to the dead letters, which are bounded.
    /// The Submission is news then, and its owner plans it anew.
    pub async fn bury(&self, id: &JobId, reason: &str) -> Result<(), BrokerError> {
        self.bury_named(&id.to_string(), reason).await
    }

    /// The same for an id that may be none.
    pub(super) async fn bury_named(&self, id: &str, reason: &str) -> Result<(), BrokerError> {
        let uid = id.split('/').next().unwrap_or_default();
        let reason = cut(reason);
        self.call(Call::new(&function::BURY).text(id).text(uid).bytes(reason.as_bytes())).await
    }

    /// The queue in numbers.
    pub async fn gauges(&self) -> Result<Gauges, BrokerError> {
        let numbers: Vec<u64> = self.call(Call::new(&function::GAUGES)).await?;
        let [
            contest,
            normal,
            rejudge,
            delayed,
            leased,
            blocked,
            reported,
            dead,
            oldest,
            cached_bytes,
            evicted,
        ] = numbers[..]
        else {
            return Err(BrokerError::Answer { function: "gauges", answer: format!("{numbers:?}") });
        };
        let waiting = words::PRIORITIES.iter().map(|(priority, _)| *priority).zip([contest, normal, rejudge]);
        let oldest = Duration::from_micros(oldest);
        let waiting = waiting.collect();
        Ok(Gauges { waiting, delayed, leased, blocked, reported, dead, oldest, cached_bytes, evicted })
    }

    /// Some of the Submissions that Redis knows jobs of, and where to go on; 0 begins and ends the round.
    pub async fn subjects(&self, cursor: u64, about: usize) -> Result<(Vec<Subject>, u64), BrokerError> {
        let mut scan = redis::cmd("HSCAN");
        scan.arg(self.key("subjects")).arg(cursor).arg("COUNT").arg(about.max(1));
        let (next, pairs): (u64, Vec<Vec<u8>>) = self.ask("subjects", &scan).await?;
        let subjects = pairs.chunks_exact(2).filter_map(|pair| {
            let uid = String::from_utf8(pair[0].clone()).ok()?;
            let (namespace, name) = std::str::from_utf8(&pair[1]).ok()?.split_once('/')?;
            Some(Subject { uid, namespace: namespace.to_owned(), name: name.to_owned() })
        });
        Ok((subjects.collect(), next))
    }

    /// Makes a Language known to the runners.
    pub async fn publish_language(&self, language: &LanguageSnapshot) -> Result<(), BrokerError> {
        let record = encode(language)?;
        let mut set = redis::cmd("HSET");
        set.arg(self.key("languages")).arg(&language.name).arg(record);
        self.ask("publish", &set).await
    }

    /// Takes it back.
    pub async fn withdraw_language(&self, name: &str) -> Result<(), BrokerError> {
        self.ask("withdraw", redis::cmd("HDEL").arg(self.key("languages")).arg(name)).await
    }

    /// Runners that said something within the time they promised to. Unreadable statuses are passed over.
    pub async fn runners(&self) -> Result<Vec<RunnerStatus>, BrokerError> {
        let statuses: Vec<Vec<u8>> = self.call(Call::new(&function::RUNNERS)).await?;
        Ok(readable(&statuses).0)
    }

    /// The answer to a command that is not one of our functions.
    pub(super) async fn ask<T: FromRedisValue>(
        &self,
        function: &'static str,
        command: &redis::Cmd,
    ) -> Result<T, BrokerError> {
        let answer: Value = self.link.send(command).await.map_err(failure)?;
        read(function, answer)
    }
}

/// The records among these that can be read, and how many can't.
pub(super) fn readable<R: Record>(records: &[Vec<u8>]) -> (Vec<R>, usize) {
    let read: Vec<R> = records.iter().filter_map(|record| decode(record).ok()).collect();
    let unread = records.len() - read.len();
    (read, unread)
}

/// The start of a reason.
pub(super) fn cut(reason: &str) -> &str {
    &reason[..reason.floor_char_boundary(MOST_REASON)]
}
