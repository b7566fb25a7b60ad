//! What the queue owes, in a few maps: who may have which job when, and whose turn it is.

use std::collections::BTreeMap;

use crds::{Phase, Priority};

use crate::broker::{Allowance, Enqueued, Holding, JobState, Outcome, Reaped, Scope};
use crate::contract::{BlobHash, Job, JobId};

/// Virtual time that a unit of work costs, by priority.
const PRICES: [u64; 3] = [1, 8, 64];

#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub job: Job,
    pub state: JobState,
    pub priority: usize,
    /// Since when it is ready, when it is due, or its lease's deadline.
    pub at: u64,
    pub queued: u64,
    pub fence: Option<u64>,
    pub released: Option<u64>,
    pub deliveries: u32,
    pub first_taken: Option<u64>,
    pub phase: Option<Phase>,
    /// Who made the report.
    pub report: Option<String>,
    allowance: Allowance,
}

/// One priority's namespaces by virtual time: with ready jobs, and without.
#[derive(Debug, Default)]
struct Turns {
    tag: u64,
    floor: u64,
    turn: BTreeMap<String, u64>,
    idle: BTreeMap<String, u64>,
}

#[derive(Debug, Default)]
pub(super) struct Model {
    /// Microseconds.
    pub now: u64,
    pub jobs: BTreeMap<JobId, Entry>,
    pub news: Vec<String>,
    tick: u64,
    floor: u64,
    turns: [Turns; 3],
}

pub(super) fn rank(priority: Priority) -> usize {
    match priority {
        Priority::Contest => 0,
        Priority::Normal => 1,
        Priority::Rejudge => 2,
    }
}

fn micros(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap()
}

impl Entry {
    pub(super) fn is_deep(&self) -> bool {
        matches!(self.state, JobState::Waiting | JobState::Delayed | JobState::Blocked(_))
    }

    pub(super) fn is_held(&self) -> bool {
        matches!(self.state, JobState::Leased | JobState::Cancelling)
    }

    fn namespace(&self) -> &str {
        &self.job.namespace
    }

    fn cost(&self) -> u64 {
        self.job.tests.len() as u64
    }
}

impl Model {
    pub(super) fn at(now: u64) -> Self {
        Self { now, ..Self::default() }
    }

    /// All is lost, and time goes on.
    pub(super) fn flush(&mut self) {
        *self = Self::at(self.now + 1_000_000);
    }

    /// What namespaces without ready jobs used, while it counts.
    pub(super) fn remembered(&self, priority: Priority) -> BTreeMap<String, u64> {
        let Turns { idle, floor, .. } = &self.turns[rank(priority)];
        idle.iter().filter(|(_, tag)| *tag > floor).map(|(name, tag)| (name.clone(), *tag)).collect()
    }

    fn tick(&mut self) -> u64 {
        self.tick = self.now.max(self.tick + 1);
        self.tick
    }

    fn ready(&self, priority: usize, namespace: &str) -> impl Iterator<Item = &Entry> {
        let ready = self.jobs.values().filter(|entry| entry.state == JobState::Waiting);
        ready.filter(move |entry| entry.priority == priority && entry.namespace() == namespace)
    }

    /// The namespaces of a priority are those with ready jobs, and those that left.
    fn settle(&mut self, priority: usize, namespace: &str) {
        let is_ready = self.ready(priority, namespace).next().is_some();
        let floor = self.floor;
        let turns = &mut self.turns[priority];
        if is_ready && !turns.turn.contains_key(namespace) {
            if turns.turn.is_empty() {
                turns.tag = turns.tag.max(floor);
            }
            let used = turns.idle.remove(namespace).unwrap_or(0);
            turns.turn.insert(namespace.to_owned(), used.max(turns.floor));
        } else if !is_ready && let Some(tag) = turns.turn.remove(namespace) {
            turns.idle.insert(namespace.to_owned(), tag);
        }
    }

    fn alter(&mut self, id: &JobId, change: impl FnOnce(&mut Entry)) {
        let entry = self.jobs.get_mut(id).unwrap();
        let (before, namespace) = (entry.priority, entry.job.namespace.clone());
        change(entry);
        if entry.is_held() {
            assert!(entry.deliveries <= entry.allowance.deliveries);
        } else {
            entry.phase = None;
        }
        let after = entry.priority;
        self.settle(before, &namespace);
        self.settle(after, &namespace);
    }

    fn erase(&mut self, id: &JobId) {
        let entry = self.jobs.remove(id).unwrap();
        self.settle(entry.priority, entry.namespace());
    }

    fn drop_job(&mut self, id: &JobId) {
        match self.jobs[id].state {
            JobState::Leased => self.alter(id, |entry| entry.state = JobState::Cancelling),
            JobState::Cancelling => {}
            _ => self.erase(id),
        }
    }

    pub(super) fn of(&self, uid: &str) -> Vec<JobId> {
        self.jobs.keys().filter(|id| id.uid == uid).cloned().collect()
    }

    pub(super) fn depth(&self, namespace: Option<&str>) -> u64 {
        let deep = self.jobs.values().filter(|entry| entry.is_deep());
        deep.filter(|entry| namespace.is_none_or(|name| entry.namespace() == name)).count() as u64
    }

    pub(super) fn enqueue(&mut self, job: &Job, allowance: &Allowance) -> Enqueued {
        for id in self.of(&job.id.uid) {
            if (id.judging, id.plan) != (job.id.judging, job.id.plan) {
                self.drop_job(&id);
            }
        }
        if self.jobs.contains_key(&job.id) {
            return Enqueued::Known;
        } else if self.depth(None) >= allowance.pool {
            return Enqueued::Full(Scope::Pool);
        } else if self.depth(Some(&job.namespace)) >= allowance.namespace {
            return Enqueued::Full(Scope::Namespace);
        }
        let (queued, priority) = (self.tick(), rank(job.priority));
        let entry = Entry {
            job: job.clone(),
            state: JobState::Waiting,
            priority,
            at: self.now,
            queued,
            fence: None,
            released: None,
            deliveries: 0,
            first_taken: None,
            phase: None,
            report: None,
            allowance: *allowance,
        };
        self.jobs.insert(job.id.clone(), entry);
        self.settle(priority, &job.namespace);
        Enqueued::Queued
    }

    fn fail(&mut self, id: &JobId, reason: &str) -> bool {
        let now = self.now;
        let Entry { deliveries, allowance, .. } = self.jobs[id];
        if deliveries >= allowance.deliveries {
            self.news.push(id.uid.clone());
            self.alter(id, |entry| entry.state = JobState::Lost(reason.to_owned()));
            return true;
        }
        let delay = micros(allowance.first_delay) << (deliveries - 1);
        let due = now + delay.min(micros(allowance.longest_delay));
        self.alter(id, |entry| (entry.state, entry.at) = (JobState::Delayed, due));
        false
    }

    /// Those in this state whose time has come, at most so many.
    fn due(&self, is: impl Fn(&Entry) -> bool, most: usize) -> Vec<JobId> {
        let due = self.jobs.values().filter(|entry| is(entry) && entry.at <= self.now);
        let mut due: Vec<_> = due.map(|entry| (entry.at, entry.job.id.to_string(), &entry.job.id)).collect();
        due.sort();
        due.into_iter().take(most).map(|(_, _, id)| id.clone()).collect()
    }

    pub(super) fn reap(&mut self, most: usize) -> Reaped {
        let expired = self.due(Entry::is_held, most);
        let mut reaped = Reaped { expired: expired.len() as u64, ..Reaped::default() };
        for id in expired {
            if self.jobs[&id].state == JobState::Cancelling {
                self.erase(&id);
            } else if self.fail(&id, "the runner did not extend its lease in time") {
                reaped.lost += 1;
            }
        }
        for id in self.due(|entry| entry.state == JobState::Delayed, most) {
            self.alter(&id, |entry| entry.state = JobState::Waiting);
            reaped.woken += 1;
        }
        reaped
    }

    /// The job whose turn it is, with what its turn costs.
    fn next(&mut self) -> Option<JobId> {
        let classes = (0..3).filter(|class| !self.turns[*class].turn.is_empty());
        let class = classes.min_by_key(|class| self.turns[*class].tag)?;
        let (tag, namespace) =
            self.turns[class].turn.iter().map(|(name, tag)| (*tag, name.clone())).min().unwrap();
        let first = self.ready(class, &namespace).min_by_key(|entry| entry.queued).unwrap();
        let (id, cost) = (first.job.id.clone(), first.cost());
        let turns = &mut self.turns[class];
        self.floor = turns.tag;
        turns.tag += cost * PRICES[class];
        turns.floor = tag;
        turns.turn.insert(namespace, tag + cost);
        Some(id)
    }

    /// The job, and since when it was ready.
    pub(super) fn take(&mut self, lease: u64) -> Option<(JobId, u64)> {
        self.reap(100);
        let id = self.next()?;
        let since = self.jobs[&id].at;
        let (now, fence) = (self.now, self.tick());
        self.alter(&id, |entry| {
            (entry.state, entry.at, entry.fence) = (JobState::Leased, now + lease, Some(fence));
            entry.deliveries += 1;
            entry.first_taken.get_or_insert(now);
        });
        Some((id, since))
    }

    pub(super) fn extend(&mut self, id: &JobId, fence: u64, phase: Phase, lease: u64) -> Holding {
        let now = self.now;
        match self.jobs.get_mut(id) {
            Some(entry) if entry.fence == Some(fence) && entry.is_held() => {
                (entry.at, entry.phase) = (now + lease, Some(phase));
                if entry.state == JobState::Leased { Holding::Held } else { Holding::Cancelled }
            }
            _ => Holding::Lost,
        }
    }

    pub(super) fn report(&mut self, id: &JobId, fence: u64, runner: &str) -> Outcome {
        let Some(entry) = self.jobs.get(id).filter(|entry| entry.fence == Some(fence)) else {
            return Outcome::Stale;
        };
        match entry.state {
            JobState::Reported => return Outcome::Done,
            JobState::Cancelling => self.erase(id),
            JobState::Leased => {
                assert_eq!(entry.report, None);
                self.news.push(id.uid.clone());
                self.alter(id, |entry| {
                    (entry.state, entry.report) = (JobState::Reported, Some(runner.to_owned()));
                });
                return Outcome::Done;
            }
            _ => {}
        }
        Outcome::Stale
    }

    fn let_go(&mut self, id: &JobId, fence: u64, release: impl FnOnce(&mut Self)) -> Outcome {
        let Some(entry) = self.jobs.get_mut(id) else { return Outcome::Stale };
        if entry.fence != Some(fence) || !entry.is_held() {
            return if entry.released == Some(fence) { Outcome::Done } else { Outcome::Stale };
        }
        if entry.state == JobState::Cancelling {
            self.erase(id);
        } else {
            entry.released = Some(fence);
            release(self);
        }
        Outcome::Done
    }

    pub(super) fn retry(&mut self, id: &JobId, fence: u64, reason: &str) -> Outcome {
        self.let_go(id, fence, |model| {
            model.fail(id, reason);
        })
    }

    pub(super) fn hand_back(&mut self, id: &JobId, fence: u64) -> Outcome {
        let now = self.now;
        self.let_go(id, fence, |model| {
            model.alter(id, |entry| {
                (entry.state, entry.at) = (JobState::Waiting, now);
                entry.deliveries -= 1;
            });
        })
    }

    pub(super) fn missing(&mut self, id: &JobId, fence: u64, blobs: &[BlobHash]) -> Outcome {
        self.let_go(id, fence, |model| {
            model.news.push(id.uid.clone());
            model.alter(id, |entry| {
                entry.state = JobState::Blocked(blobs.to_vec());
                entry.deliveries -= 1;
            });
        })
    }

    pub(super) fn supply(&mut self, id: &JobId) {
        let now = self.now;
        if self.jobs.get(id).is_some_and(|entry| matches!(entry.state, JobState::Blocked(_))) {
            self.alter(id, |entry| (entry.state, entry.at) = (JobState::Waiting, now));
        }
    }

    pub(super) fn cancel(&mut self, uid: &str, judging: u32) -> u64 {
        let those: Vec<_> = self.of(uid).into_iter().filter(|id| id.judging <= judging).collect();
        for id in &those {
            self.drop_job(id);
        }
        those.len() as u64
    }

    pub(super) fn reprioritize(&mut self, uid: &str, priority: Priority) {
        for id in self.of(uid) {
            self.alter(&id, |entry| entry.priority = entry.priority.max(rank(priority)));
        }
    }

    pub(super) fn bury(&mut self, id: &JobId) {
        if self.jobs.contains_key(id) {
            self.erase(id);
            self.news.push(id.uid.clone());
        }
    }
}
