//! Needs, providers, conflicts and order.

use super::*;
use crate::testing::{OPTIONAL, REQUIRED, plugin, registry};
use lampkeeper_api::plugin::PluginDescriptor;

/// Seams, and who was chosen to provide them.
type Choices<'a> = &'a [(Seam, &'a str)];

/// Resolves all of these plugins with these choices.
fn resolved(plugins: Vec<PluginDescriptor>, choices: Choices<'_>) -> Result<Plan, Vec<Conflict>> {
    let enabled = plugins.iter().map(|plugin| plugin.id.clone()).collect();
    let choices = choices.iter().map(|(seam, id)| (*seam, (*id).to_owned())).collect();
    resolve(&registry(plugins), &enabled, &choices, &Allowed::new())
}

fn order(plan: &Plan) -> Vec<&str> {
    plan.steps.iter().map(|step| step.plugin_id.as_str()).collect()
}

fn provider<'a>(plan: &'a Plan, plugin_id: &str, seam: Seam) -> Option<&'a str> {
    let step = plan.steps.iter().find(|step| step.plugin_id == plugin_id).unwrap();
    step.grants.get(&seam).map(String::as_str)
}

#[test]
fn providers_start_before_those_who_need_them_and_what_closes_last_starts_first() {
    let plan = resolved(
        vec![
            plugin("a-service", &[Seam::Service], &[(Seam::Network, REQUIRED), (Seam::Journal, REQUIRED)]),
            plugin("b-network", &[Seam::Network], &[(Seam::Store, REQUIRED), (Seam::Transport, REQUIRED)]),
            plugin("c-transport", &[Seam::Transport], &[(Seam::Scheduler, REQUIRED)]),
            plugin("y-journal", &[Seam::Journal], &[]),
            plugin("z-store", &[Seam::Store, Seam::Staging], &[]),
        ],
        &[],
    )
    .unwrap();
    assert_eq!(order(&plan), ["y-journal", "z-store", "c-transport", "b-network", "a-service"]);
    assert_eq!(provider(&plan, "c-transport", Seam::Scheduler), Some(HOST_PROVIDER));
    assert_eq!(plan.node_grants.get(&Seam::Store).map(String::as_str), Some("z-store"));
    assert_eq!(plan.node_grants.get(&Seam::Signer).map(String::as_str), Some(HOST_PROVIDER));
}

#[test]
fn a_plugin_is_granted_what_it_declared_and_nothing_else() {
    let plan = resolved(
        vec![
            plugin("chain", &[Seam::ChainSubmit], &[]),
            plugin("store", &[Seam::Store], &[]),
            plugin("reader", &[], &[(Seam::ChainRead, REQUIRED), (Seam::Journal, OPTIONAL)]),
        ],
        &[],
    )
    .unwrap();
    let reader = plan.steps.iter().find(|step| step.plugin_id == "reader").unwrap();
    assert_eq!(reader.grants, Grants::from([(Seam::ChainRead, "chain".to_owned())]));
}

#[test]
fn several_providers_are_refused_unless_one_is_chosen() {
    let plugins = || {
        vec![
            plugin("full", &[Seam::HealStrategy], &[]),
            plugin("minimal", &[Seam::HealStrategy], &[]),
            plugin("healer", &[Seam::Service], &[(Seam::HealStrategy, REQUIRED)]),
        ]
    };
    let provider_ids = vec!["full".to_owned(), "minimal".to_owned()];
    assert_eq!(
        resolved(plugins(), &[]).unwrap_err(),
        [Conflict::Ambiguous { seam: Seam::HealStrategy, provider_ids: provider_ids.clone() }],
        "once, however many need it"
    );
    let plan = resolved(plugins(), &[(Seam::HealStrategy, "minimal")]).unwrap();
    assert_eq!(provider(&plan, "healer", Seam::HealStrategy), Some("minimal"));
    assert_eq!(
        resolved(plugins(), &[(Seam::HealStrategy, "healer")]).unwrap_err(),
        [Conflict::InvalidChoice { seam: Seam::HealStrategy, chosen_id: "healer".to_owned(), provider_ids }]
    );
}

#[test]
fn a_shadow_is_given_only_where_one_was_chosen() {
    let plugins = || {
        vec![
            plugin("full", &[Seam::HealStrategy], &[]),
            plugin("minimal", &[Seam::HealStrategy], &[]),
            plugin(
                "healer",
                &[Seam::Service],
                &[(Seam::HealStrategy, REQUIRED), (Seam::HealShadow, OPTIONAL)],
            ),
        ]
    };
    let strategy = (Seam::HealStrategy, "minimal");
    // (choice of a shadow, who is given)
    for (shadow, expected) in [(None, None), (Some("full"), Some("full")), (Some("minimal"), Some("minimal"))]
    {
        let choices: Vec<_> = [strategy].into_iter().chain(shadow.map(|id| (Seam::HealShadow, id))).collect();
        let plan = resolved(plugins(), &choices).unwrap();
        assert_eq!(provider(&plan, "healer", Seam::HealStrategy), Some("minimal"));
        assert_eq!(provider(&plan, "healer", Seam::HealShadow), expected);
    }
    let only = vec![plugins().remove(1), plugins().remove(2)];
    let plan = resolved(only, &[]).unwrap();
    assert_eq!(provider(&plan, "healer", Seam::HealShadow), None, "the only strategy is not its own shadow");
}

#[test]
fn whoever_submits_also_reads_unless_another_reader_is_chosen() {
    let plugins = || {
        vec![
            plugin("client-a", &[Seam::ChainRead, Seam::ChainSubmit], &[]),
            plugin("client-b", &[Seam::ChainSubmit], &[]),
            plugin("reader", &[], &[(Seam::ChainRead, REQUIRED)]),
        ]
    };
    // (choices, who reads; none if refused)
    let table: [(Choices<'_>, Option<&str>); 4] = [
        (&[], None),
        (&[(Seam::ChainSubmit, "client-b")], Some("client-b")),
        (&[(Seam::ChainSubmit, "client-b"), (Seam::ChainRead, "client-a")], Some("client-a")),
        (&[(Seam::ChainRead, "client-a")], None),
    ];
    for (choices, expected) in table {
        match (resolved(plugins(), choices), expected) {
            (Ok(plan), Some(_)) => assert_eq!(provider(&plan, "reader", Seam::ChainRead), expected),
            (Err(conflicts), None) => assert!(
                matches!(&conflicts[..], [Conflict::Ambiguous { seam: Seam::ChainSubmit, .. }]),
                "{choices:?}: {conflicts:?}"
            ),
            (outcome, _) => panic!("{choices:?}: {outcome:?}"),
        }
    }
}

#[test]
fn gaps_name_who_needs_what_and_who_could_provide_it() {
    let mut registry = registry([
        plugin("service", &[Seam::Service], &[(Seam::Journal, REQUIRED), (Seam::Store, OPTIONAL)]),
        plugin("journal-a", &[Seam::Journal], &[]),
        plugin("journal-b", &[Seam::Journal], &[]),
    ]);
    let enabled = BTreeSet::from(["service".to_owned()]);
    let missing = |plugin_id: &str, seam, known_ids: &[&str]| Conflict::Missing {
        plugin_id: plugin_id.to_owned(),
        seam,
        known_ids: known_ids.iter().map(|id| (*id).to_owned()).collect(),
    };
    assert_eq!(
        resolve(&registry, &enabled, &BTreeMap::new(), &Allowed::new()).unwrap_err(),
        [missing("service", Seam::Journal, &["journal-a", "journal-b"])]
    );
    registry = Registry::new();
    registry.add(plugin("clock", &[Seam::Scheduler], &[])).unwrap();
    assert_eq!(
        resolve(&registry, &BTreeSet::new(), &BTreeMap::new(), &Allowed::new()).unwrap_err(),
        [missing(NODE, Seam::Scheduler, &["clock"])],
        "a node needs a scheduler"
    );
}

#[test]
fn a_wrapper_is_given_what_it_wraps() {
    let plugins = || {
        vec![
            plugin("recorder", &[Seam::Transport], &[(Seam::Transport, REQUIRED)]),
            plugin("sockets", &[Seam::Transport], &[]),
            plugin("caller", &[Seam::Service], &[(Seam::Transport, REQUIRED)]),
        ]
    };
    let plan = resolved(plugins(), &[(Seam::Transport, "recorder")]).unwrap();
    assert_eq!(order(&plan), ["sockets", "recorder", "caller"]);
    assert_eq!(provider(&plan, "recorder", Seam::Transport), Some("sockets"));
    assert_eq!(provider(&plan, "caller", Seam::Transport), Some("recorder"));

    let mut two_wrapped = plugins();
    two_wrapped.push(plugin("memory", &[Seam::Transport], &[]));
    assert_eq!(
        resolved(two_wrapped, &[(Seam::Transport, "recorder")]).unwrap_err(),
        [Conflict::Ambiguous {
            seam: Seam::Transport,
            provider_ids: vec!["memory".to_owned(), "sockets".to_owned()]
        }]
    );
}

#[test]
fn cycles_are_named_and_those_behind_them_are_not() {
    let conflicts = resolved(
        vec![
            plugin("a-behind", &[Seam::Service], &[(Seam::Store, REQUIRED)]),
            plugin("network", &[Seam::Network], &[(Seam::Transport, REQUIRED)]),
            plugin("store", &[Seam::Store], &[(Seam::Network, OPTIONAL)]),
            plugin("transport", &[Seam::Transport], &[(Seam::Store, REQUIRED)]),
            plugin("journal", &[Seam::Journal], &[(Seam::Challenger, REQUIRED)]),
            plugin("challenger", &[Seam::Challenger], &[(Seam::Journal, REQUIRED)]),
        ],
        &[],
    )
    .unwrap_err();
    let cycle =
        |ids: &[&str]| Conflict::Cycle { plugin_ids: ids.iter().map(|id| (*id).to_owned()).collect() };
    assert_eq!(conflicts, [cycle(&["network", "transport", "store"]), cycle(&["challenger", "journal"])]);
}

#[test]
fn rules_between_plugins_are_kept() {
    let rule = PluginRule {
        plugin_id: "recheck".to_owned(),
        requires_id: "challenge".to_owned(),
        reason: "it repeats challenges".to_owned(),
    };
    let registry =
        registry([plugin("recheck", &[], &[]), plugin("challenge", &[], &[])]).with_rule(rule.clone());
    let enabled = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<BTreeSet<_>>();
    // (enabled, whether the rule is broken)
    let table: [(&[&str], bool); 4] =
        [(&[], false), (&["challenge"], false), (&["challenge", "recheck"], false), (&["recheck"], true)];
    for (ids, is_broken) in table {
        let outcome = resolve(&registry, &enabled(ids), &BTreeMap::new(), &Allowed::new());
        assert_eq!(outcome.err(), is_broken.then(|| vec![Conflict::Rule(rule.clone())]), "{ids:?}");
    }
}

#[test]
fn a_list_of_grants_is_the_most_that_a_plugin_is_given() {
    use Seam::{ChainRead, ChainSubmit, Journal, Store};
    // (needs, list, given, refused, unused), or what it lacks in the place of the last three
    type Needs<'a> = &'a [(Seam, bool)];
    type Given<'a> = (&'a [Seam], &'a [Seam], &'a [Seam]);
    type Row<'a> = (Needs<'a>, &'a [Seam], Result<Given<'a>, &'a [Seam]>);
    let table: [Row<'_>; 12] = [
        (&[(Store, REQUIRED)], &[Store], Ok((&[Store], &[], &[]))),
        (&[(Store, REQUIRED)], &[], Err(&[Store])),
        (&[(Store, OPTIONAL)], &[], Ok((&[], &[Store], &[]))),
        (&[], &[Store], Ok((&[], &[], &[Store]))),
        (&[(Store, REQUIRED), (ChainRead, REQUIRED)], &[Journal], Err(&[ChainRead, Store])),
        // What nobody provides is refused all the same: it may be there tomorrow.
        (&[(Journal, OPTIONAL)], &[], Ok((&[], &[Journal], &[]))),
        // Reading is not submitting.
        (&[(ChainSubmit, REQUIRED)], &[ChainRead], Err(&[ChainSubmit])),
        (&[(ChainSubmit, OPTIONAL)], &[ChainRead], Ok((&[ChainRead], &[ChainSubmit], &[]))),
        (&[(ChainSubmit, OPTIONAL)], &[], Ok((&[], &[ChainSubmit], &[]))),
        // Nor is submitting reading: what is given is what the list names.
        (&[(ChainRead, REQUIRED)], &[ChainSubmit], Err(&[ChainRead])),
        (&[(ChainRead, OPTIONAL)], &[ChainSubmit], Ok((&[], &[ChainRead], &[ChainSubmit]))),
        (
            &[(ChainRead, REQUIRED), (ChainSubmit, OPTIONAL)],
            &[ChainRead],
            Ok((&[ChainRead], &[ChainSubmit], &[])),
        ),
    ];
    for (needs, list, expected) in table {
        let plugins = [
            plugin("chain", &[ChainSubmit], &[]),
            plugin("store", &[Store], &[]),
            plugin("asker", &[], needs),
        ];
        let enabled = plugins.iter().map(|plugin| plugin.id.clone()).collect();
        let list = seams(list);
        let allowed = Allowed::from([("asker".to_owned(), list.clone())]);
        let plan = resolve(&registry(plugins), &enabled, &BTreeMap::new(), &allowed);
        let found = plan.map(|plan| {
            let step = plan.steps.into_iter().find(|step| step.plugin_id == "asker").unwrap();
            (step.grants.keys().copied().collect(), step.refused, step.unused)
        });
        let expected = match expected {
            Ok((given, refused, unused)) => Ok((seams(given), seams(refused), seams(unused))),
            Err(lacking) => {
                let plugin_id = "asker".to_owned();
                Err(vec![Conflict::NotGranted { plugin_id, lacking: seams(lacking), allowed: list.clone() }])
            }
        };
        assert_eq!(found, expected, "{needs:?} {list:?}");
    }
}

fn seams(seams: &[Seam]) -> BTreeSet<Seam> {
    seams.iter().copied().collect()
}
