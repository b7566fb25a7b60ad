//! Which pool judges a Submission: worked out without I/O from what the pools declare and what their runners say.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crds::{LabelSelector, LanguageSpec, ResolvedLimits};
use queue::RunnerStatus;
use queue::broker::Pool;

use crate::decide::Lack;
use crate::worker_pools::Served;

/// The reason of the condition of a Submission that no pool may judge.
pub const UNSCHEDULABLE: &str = "Unschedulable";
/// Pools that a message names; the others are counted.
const MOST_NAMED: usize = 8;
/// Longest reason of a runner in a message, in bytes.
const MOST_REASON: usize = 120;

/// Whose Submissions a pool takes, and which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Serves {
    /// All: a pool without a `WorkerPool`.
    Everything,
    /// What its `WorkerPool` says.
    Declared(Service),
}

/// What a `WorkerPool` says it serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Namespaces by their labels; all, if none.
    pub selector: Option<LabelSelector>,
    /// Languages by name.
    pub languages: BTreeSet<String>,
    /// Bytes that all boxes of one runner may have together.
    pub memory: u64,
}

impl From<&Served> for Serves {
    fn from(served: &Served) -> Self {
        let Served { spec, memory_bytes, .. } = served;
        let languages = spec.languages.iter().cloned().collect();
        Self::Declared(Service {
            selector: spec.namespace_selector.clone(),
            languages,
            memory: *memory_bytes,
        })
    }
}

/// What is known of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Its name.
    pub pool: Pool,
    /// What it serves.
    pub serves: Serves,
    /// Languages that a runner of it can judge.
    pub proven: BTreeSet<String>,
    /// Languages that a runner of it can't judge and none can, with the reason.
    pub broken: BTreeMap<String, String>,
}

/// What is to be judged.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The Submission's UID.
    pub uid: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
    /// That namespace's labels.
    pub labels: &'a BTreeMap<String, String>,
    /// Its Language.
    pub language: &'a str,
    /// Bytes that its largest box needs; 0 if that is not known.
    pub memory: u64,
}

/// Why a pool may not judge a Submission, the nearest miss first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// None of its runners can judge the language, and one says why.
    Broken(String),
    /// It has too little memory.
    Memory {
        /// Bytes that it has.
        has: u64,
        /// Bytes that are needed.
        needs: u64,
    },
    /// Its selector does not match the namespace.
    Namespace,
    /// It is not for this language.
    Language,
}

impl Facts {
    /// What is known of a pool whose runners have said nothing yet.
    pub const fn new(pool: Pool, serves: Serves) -> Self {
        Self { pool, serves, proven: BTreeSet::new(), broken: BTreeMap::new() }
    }

    /// Takes in what its runners say. A runner that drains proves what others will not find broken.
    pub fn hear(&mut self, runners: &[RunnerStatus]) {
        self.proven = runners.iter().flat_map(|runner| runner.languages.iter().cloned()).collect();
        let broken = runners.iter().flat_map(|runner| &runner.broken);
        let broken = broken.filter(|broken| !self.proven.contains(&broken.name));
        // Of several reasons the least one, so that they don't take turns.
        let mut all: BTreeMap<String, String> = BTreeMap::new();
        for one in broken {
            let reason = all.entry(one.name.clone()).or_insert_with(|| one.reason.clone());
            if one.reason < *reason {
                reason.clone_from(&one.reason);
            }
        }
        self.broken = all;
    }

    /// Whether it is for this language.
    pub fn declares(&self, language: &str) -> bool {
        match &self.serves {
            Serves::Everything => true,
            Serves::Declared(service) => service.languages.contains(language),
        }
    }

    /// Why it may not judge this; nothing if it may.
    pub fn refusal(&self, wanted: &Wanted<'_>) -> Option<Refusal> {
        let Serves::Declared(service) = &self.serves else { return None };
        if !service.languages.contains(wanted.language) {
            return Some(Refusal::Language);
        }
        if service.selector.as_ref().is_some_and(|selector| !selector.matches(wanted.labels)) {
            return Some(Refusal::Namespace);
        }
        if service.memory < wanted.memory {
            return Some(Refusal::Memory { has: service.memory, needs: wanted.memory });
        }
        self.broken.get(wanted.language).map(|reason| Refusal::Broken(reason.clone()))
    }

    /// Whether jobs of this may be in it, though its runners may have turned out not to be able to judge them.
    pub fn may_hold(&self, wanted: &Wanted<'_>) -> bool {
        matches!(self.refusal(wanted), None | Some(Refusal::Broken(_)))
    }
}

/// The pool that judges this: of those that may, one where a runner has proven the language, and among these the one that
/// the UID picks. A pool that comes or goes moves no other Submission than its own. Else why not, pool by pool.
pub fn route<'a>(all: &'a [Facts], wanted: &Wanted<'_>) -> Result<&'a Pool, Vec<(&'a Pool, Refusal)>> {
    let mut refusals = Vec::new();
    let mut able = Vec::new();
    for facts in all {
        match facts.refusal(wanted) {
            None => able.push(facts),
            Some(refusal) => refusals.push((&facts.pool, refusal)),
        }
    }
    let best = able.into_iter().max_by_key(|facts| {
        (facts.proven.contains(wanted.language), weight(wanted.uid, &facts.pool), Reverse(&facts.pool))
    });
    best.map(|facts| &facts.pool).ok_or(refusals)
}

/// Whether what is on `pool`'s queue may stay there: while the pool may judge it, or while no other can do it better.
pub fn stays(all: &[Facts], pool: &Pool, wanted: &Wanted<'_>) -> bool {
    let Some(facts) = all.iter().find(|facts| facts.pool == *pool) else { return false };
    match facts.refusal(wanted) {
        None => true,
        Some(Refusal::Broken(_)) => route(all, wanted).is_err(),
        Some(_) => false,
    }
}

/// How much the UID is drawn to the pool: highest random weight, the same for every operator.
pub fn weight(uid: &str, pool: &Pool) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(uid.as_bytes());
    hasher.update(b"/");
    hasher.update(pool.as_str().as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    u64::from_le_bytes(first)
}

/// Bytes that the largest box of a Submission needs in a runner: memory, and what is kept of its two outputs. `memory` and
/// `output` are what the Submission asks for.
pub fn footprint(memory: Option<i64>, output: Option<i64>, language: &LanguageSpec) -> u64 {
    let asked = crds::Limits { memory_bytes: memory, output_bytes: output, ..crds::Limits::default() };
    let run = ResolvedLimits::of(Some(&asked), language);
    let compile = language.compile.as_ref().map(|compile| &compile.limits);
    let boxes = compile.map(|limits| (limits.memory_bytes, limits.output_bytes));
    let bytes = |(memory, output): (i64, i64)| {
        let unsigned = |bytes: i64| u64::try_from(bytes).unwrap_or(0);
        unsigned(memory).saturating_add(unsigned(output).saturating_mul(2))
    };
    bytes((run.memory_bytes, run.output_bytes)).max(boxes.map_or(0, bytes))
}

/// What a Submission waits for that no pool may judge.
pub fn lack(mut refusals: Vec<(&Pool, Refusal)>, wanted: &Wanted<'_>) -> Lack {
    if refusals.is_empty() {
        return Lack::new(UNSCHEDULABLE, "there is no WorkerPool");
    }
    refusals.sort_by(|(a, why), (b, reason)| (rank(why), a).cmp(&(rank(reason), b)));
    let said = refusals.iter().take(MOST_NAMED).map(|(pool, refusal)| {
        let pool = pool.as_str().replacen('.', "/", 1);
        format!("{pool}: {}", Why { refusal, wanted })
    });
    let more = refusals.len().checked_sub(MOST_NAMED).filter(|more| *more > 0);
    let said: Vec<String> = said.chain(more.map(|more| format!("and {more} more"))).collect();
    Lack::new(UNSCHEDULABLE, format!("no WorkerPool can judge it: {}", said.join("; ")))
}

/// How near a pool is to being able.
const fn rank(refusal: &Refusal) -> u8 {
    match refusal {
        Refusal::Broken(_) => 0,
        Refusal::Memory { .. } => 1,
        Refusal::Namespace => 2,
        Refusal::Language => 3,
    }
}

struct Why<'a> {
    refusal: &'a Refusal,
    wanted: &'a Wanted<'a>,
}

impl fmt::Display for Why<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Wanted { namespace, language, .. } = self.wanted;
        match self.refusal {
            Refusal::Broken(reason) => {
                let reason = &reason[..reason.floor_char_boundary(MOST_REASON)];
                write!(f, "its runners can't judge language {language}: {reason}")
            }
            Refusal::Memory { has, needs } => {
                write!(f, "its runners have {has} bytes for boxes, and {needs} are needed")
            }
            Refusal::Namespace => write!(f, "its namespaceSelector does not match namespace {namespace}"),
            Refusal::Language => write!(f, "it is not for language {language}"),
        }
    }
}

#[cfg(test)]
mod tests;
