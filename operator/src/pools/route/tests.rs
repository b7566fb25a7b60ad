//! Routing: properties of any pools and any Submission, and the words people read.

use proptest::prelude::*;
use proptest::sample::Index;
use queue::contract::BrokenLanguage;
use serde_json::json;

use super::*;

const LANGUAGES: [&str; 3] = ["c", "java", "python"];

fn pool(number: usize) -> Pool {
    format!("judges.p{number}").parse().unwrap()
}

fn selector(value: &str) -> LabelSelector {
    serde_json::from_value(json!({"matchLabels": {"team": value}})).unwrap()
}

prop_compose! {
    fn facts()(
        number in 0..12_usize,
        languages in prop::collection::btree_set(prop::sample::select(LANGUAGES.to_vec()), 1..3),
        team in prop::option::of(prop::sample::select(vec!["a", "b"])),
        memory in 0..4_u64,
        said in prop::collection::btree_map(prop::sample::select(LANGUAGES.to_vec()), any::<bool>(), 0..3),
        everything in prop::bool::weighted(0.1),
    ) -> Facts {
        let languages = languages.into_iter().map(str::to_owned).collect();
        let service = Service { selector: team.map(selector), languages, memory };
        let serves = if everything { Serves::Everything } else { Serves::Declared(service) };
        let named = |proven: bool| said.iter().filter(move |(_, said)| **said == proven).map(|(name, _)| (*name).to_owned());
        let broken = named(false).map(|name| (name, "gone".to_owned())).collect();
        Facts { pool: pool(number), serves, proven: named(true).collect(), broken }
    }
}

/// Pools of different names.
fn pools() -> impl Strategy<Value = Vec<Facts>> {
    prop::collection::vec(facts(), 0..8).prop_map(|mut all| {
        all.sort_by(|a, b| a.pool.cmp(&b.pool));
        all.dedup_by(|a, b| a.pool == b.pool);
        all
    })
}

#[derive(Debug, Clone)]
struct Case {
    uid: String,
    labels: BTreeMap<String, String>,
    language: &'static str,
    memory: u64,
}

prop_compose! {
    fn case()(
        uid in "[a-f0-9]{8}", team in prop::option::of(prop::sample::select(vec!["a", "b"])),
        language in prop::sample::select(LANGUAGES.to_vec()), memory in 0..4_u64,
    ) -> Case {
        let labels = team.into_iter().map(|team| ("team".to_owned(), team.to_owned())).collect();
        Case { uid, labels, language, memory }
    }
}

impl Case {
    fn wanted(&self) -> Wanted<'_> {
        let Self { uid, labels, language, memory } = self;
        Wanted { uid, namespace: "n", labels, language, memory: *memory }
    }
}

/// The rule once more, in other words.
fn may(facts: &Facts, case: &Case) -> bool {
    let Serves::Declared(service) = &facts.serves else { return true };
    let selected =
        service.selector.as_ref().is_none_or(|s| s.match_labels.get("team") == case.labels.get("team"));
    let able = facts.proven.contains(case.language) || !facts.broken.contains_key(case.language);
    selected && service.languages.contains(case.language) && service.memory >= case.memory && able
}

proptest! {
    #[test]
    fn it_goes_to_a_pool_that_may_judge_it_and_nowhere_only_if_none_may(all in pools(), case in case()) {
        match route(&all, &case.wanted()) {
            Ok(pool) => {
                let facts = all.iter().find(|facts| facts.pool == *pool).unwrap();
                prop_assert!(may(facts, &case));
                let proven = |facts: &Facts| facts.proven.contains(case.language);
                prop_assert!(proven(facts) || !all.iter().any(|other| may(other, &case) && proven(other)));
                prop_assert!(stays(&all, pool, &case.wanted()), "else it would go round in circles");
            }
            Err(refusals) => {
                prop_assert!(!all.iter().any(|facts| may(facts, &case)));
                prop_assert_eq!(refusals.len(), all.len());
                let lack = lack(refusals, &case.wanted());
                prop_assert!(lack.message.len() < 4096, "{}", lack.message);
            }
        }
    }

    #[test]
    fn the_order_of_pools_makes_no_difference(
        (all, other) in pools().prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())), case in case(),
    ) {
        let wanted = case.wanted();
        prop_assert_eq!(route(&all, &wanted).ok(), route(&other, &wanted).ok());
        let said = |all: &[Facts]| route(all, &wanted).err().map(|refusals| lack(refusals, &wanted));
        prop_assert_eq!(said(&all), said(&other));
    }

    #[test]
    fn a_pool_that_goes_moves_no_other_pools_submissions(all in pools(), gone: Index, case in case()) {
        prop_assume!(!all.is_empty());
        let wanted = case.wanted();
        let gone = gone.get(&all).pool.clone();
        let left: Vec<Facts> = all.iter().filter(|facts| facts.pool != gone).cloned().collect();
        match route(&all, &wanted) {
            Ok(pool) if *pool == gone => prop_assert!(!stays(&left, pool, &wanted)),
            // The same from the other side: a pool that comes takes what it takes to itself.
            before => prop_assert_eq!(before.ok(), route(&left, &wanted).ok()),
        }
    }

    #[test]
    fn what_is_on_a_queue_stays_while_the_pool_may_judge_it(all in pools(), case in case()) {
        for facts in &all {
            let stays = stays(&all, &facts.pool, &case.wanted());
            prop_assert!(stays || !may(facts, &case));
            prop_assert!(!stays || facts.may_hold(&case.wanted()));
        }
    }
}

#[test]
fn uids_are_spread_over_all_pools() {
    let service = Service { selector: None, languages: ["c".to_owned()].into(), memory: 9 };
    let all: Vec<Facts> = (0..4).map(|n| Facts::new(pool(n), Serves::Declared(service.clone()))).collect();
    let mut counts = BTreeMap::new();
    for uid in 0..4000 {
        let case = Case { uid: uid.to_string(), labels: BTreeMap::new(), language: "c", memory: 1 };
        *counts.entry(route(&all, &case.wanted()).unwrap().clone()).or_insert(0) += 1;
    }
    assert!(counts.len() == 4 && counts.values().all(|count| (850..1150).contains(count)), "{counts:?}");
}

#[test]
fn people_are_told_what_is_missing_nearest_first() {
    let facts = |number, languages: &[&str], team: Option<&str>, memory| {
        let languages = languages.iter().map(|name| (*name).to_owned()).collect();
        Facts::new(
            pool(number),
            Serves::Declared(Service { selector: team.map(selector), languages, memory }),
        )
    };
    let mut broken = facts(4, &["c"], None, 200);
    broken.broken = [("c".to_owned(), "/usr/bin/gcc: No such file".to_owned())].into();
    let mut all = vec![
        facts(1, &["java"], None, 200),
        facts(2, &["c"], Some("a"), 200),
        facts(3, &["c"], None, 99),
        broken,
    ];
    let labels = BTreeMap::new();
    let wanted = Wanted { uid: "u", namespace: "n", labels: &labels, language: "c", memory: 100 };
    let said = lack(route(&all, &wanted).unwrap_err(), &wanted);
    assert_eq!(said.reason, "Unschedulable");
    assert_eq!(
        said.message,
        "no WorkerPool can judge it: judges/p4: its runners can't judge language c: /usr/bin/gcc: No such file; \
         judges/p3: its runners have 99 bytes for boxes, and 100 are needed; \
         judges/p2: its namespaceSelector does not match namespace n; judges/p1: it is not for language c"
    );
    all.extend((5..12).map(|number| facts(number, &["java"], None, 1)));
    let said = lack(route(&all, &wanted).unwrap_err(), &wanted);
    assert!(said.message.ends_with("; and 3 more"), "{}", said.message);
    assert_eq!(lack(Vec::new(), &wanted).message, "there is no WorkerPool");
}

#[test]
fn a_language_is_broken_where_no_runner_can_judge_it() {
    let runner = |languages: &[&str], broken: &[(&str, &str)]| RunnerStatus {
        name: "r".into(),
        release: "1".into(),
        slots: 1,
        jobs: 0,
        draining: false,
        languages: languages.iter().map(|name| (*name).to_owned()).collect(),
        broken: broken
            .iter()
            .map(|(name, reason)| BrokenLanguage { name: (*name).into(), reason: (*reason).into() })
            .collect(),
        surroundings: String::new(),
    };
    let mut facts = Facts::new(pool(1), Serves::Everything);
    facts.hear(&[runner(&["c"], &[("java", "y")]), runner(&[], &[("c", "x"), ("java", "x")])]);
    assert_eq!(facts.proven, ["c".to_owned()].into());
    assert_eq!(facts.broken, [("java".to_owned(), "x".to_owned())].into());
    facts.hear(&[]);
    assert!(facts.proven.is_empty() && facts.broken.is_empty(), "nobody says so any more");
}

#[test]
fn the_largest_box_counts_with_what_is_kept_of_its_outputs() {
    let limits = json!({"timeMilliseconds": 1, "memoryBytes": 1_048_576, "outputBytes": 10, "processes": 1});
    let mut language: LanguageSpec = serde_json::from_value(json!({"displayName": "C", "sourceFile": "a.c",
        "run": {"command": ["./a"]}, "limits": {"default": limits}}))
    .unwrap();
    assert_eq!(footprint(None, None, &language), 1_048_596);
    assert_eq!(footprint(Some(2_000_000), Some(50), &language), 2_000_100);
    language.compile = Some(
        serde_json::from_value(
            json!({"command": ["/bin/cc"], "artifacts": ["a"], "limits": {"timeMilliseconds": 1,
            "memoryBytes": 3_000_000, "outputBytes": 7, "processes": 1, "diskBytes": 1}}),
        )
        .unwrap(),
    );
    assert_eq!(footprint(Some(2_000_000), Some(50), &language), 3_000_014);
    assert_eq!(footprint(Some(i64::MAX), Some(i64::MAX), &language), u64::MAX);
    assert_eq!(footprint(Some(-5), Some(-5), &language), 3_000_014);
}
