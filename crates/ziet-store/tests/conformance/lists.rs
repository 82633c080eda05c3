//! Lists of runs: each filter finds what it says, pages join without gaps, and no question takes for ever.

use ziet_core::document::RunSummary;
use ziet_core::run::{Cancelled, Status, WaitingOn};
use ziet_core::{ActionId, Event, ProjectId, Run, RunId, Time};
use ziet_store::runs::{Listed, RunFilter, list};
use ziet_store::{NewRun, Store};

use crate::stage::{
    change, child_of, claimed, commit, completed, document, failed, json, new_run, now, on_each,
    policy, project, submit,
};

fn listed(store: &Store, filter: &RunFilter, before: Option<RunId>, limit: usize) -> Listed {
    let filter = filter.clone();
    store
        .read_now(async move |tx| list(tx, &project(), &filter, before, limit).await)
        .unwrap()
}

/// All pages of `limit` runs, one after the other.
fn paged(store: &Store, filter: &RunFilter, limit: usize) -> Vec<RunId> {
    let (mut found, mut before) = (Vec::new(), None);
    loop {
        let page = listed(store, filter, before, limit);
        assert!(page.runs.len() <= limit);
        found.extend(page.runs.iter().map(|run| run.id));
        before = page.scanned_to;
        if before.is_none() {
            return found;
        }
    }
}

fn statuses(statuses: &[Status]) -> RunFilter {
    RunFilter {
        statuses: statuses.to_vec(),
        ..RunFilter::default()
    }
}

fn text(text: &str) -> RunFilter {
    RunFilter {
        text: Some(text.to_owned()),
        ..RunFilter::default()
    }
}

/// A run of each status, oldest first.
fn one_of_each(store: &Store) -> Vec<(Status, RunId)> {
    let runs: Vec<NewRun> = (0..9).map(|_| new_run()).collect();
    let later = now().plus(std::time::Duration::from_secs(60));
    let made = [
        NewRun {
            run: Run::created(policy()),
            ..runs[0].clone()
        },
        NewRun {
            run: Run::accepted(policy(), Some(later), now()).run,
            ..runs[1].clone()
        },
    ];
    let (claim, _) = claimed(&runs[3]);
    let (wait_claim, running) = claimed(&runs[5]);
    let on = WaitingOn::Children;
    let claim_of = running.state.claim().unwrap();
    let (wait, _) = change(
        runs[5].id,
        &running,
        Event::Wait {
            claim: claim_of,
            on,
        },
    );
    let cancel = Event::Cancel(Cancelled {
        by: "ada".to_owned(),
        reason: None,
    });
    let (cancel, _) = change(runs[8].id, &runs[8].run, cancel);
    let failure = ziet_core::Failure::new(ziet_core::ErrorCode::Exception, "E", "again");
    let retrying = crate::stage::life(&runs[4], ziet_core::run::Ending::Failed(failure));
    let changes = [
        vec![submit(&made[0]), submit(&made[1]), submit(&runs[2])],
        vec![submit(&runs[3]), claim],
        retrying,
        vec![submit(&runs[5]), wait_claim, wait],
        completed(&runs[6]),
        failed(&runs[7], "no"),
        vec![submit(&runs[8]), cancel],
    ];
    commit(store, changes.concat()).unwrap();
    let all = [
        Status::Created,
        Status::Scheduled,
        Status::Queued,
        Status::Running,
        Status::Retrying,
        Status::Waiting,
        Status::Completed,
        Status::Failed,
        Status::Cancelled,
    ];
    all.into_iter().zip(runs.iter().map(|run| run.id)).collect()
}

#[test]
fn any_set_of_statuses_is_found_newest_first() {
    on_each(|store| {
        let runs = [one_of_each(store), one_of_each(store)].concat();
        for set in 1_u32..1 << 9 {
            let has = |status: Status| set & 1 << (status as u32) != 0;
            let wanted: Vec<_> = runs
                .iter()
                .map(|(status, _)| *status)
                .filter(|s| has(*s))
                .collect();
            let expected: Vec<_> = runs
                .iter()
                .rev()
                .filter(|(status, _)| has(*status))
                .map(|(_, id)| *id)
                .collect();
            let found = paged(store, &statuses(&wanted), 1 + set as usize % 7);
            assert_eq!(found, expected, "{wanted:?}");
        }
    });
}

#[test]
fn many_runs_of_several_statuses_are_merged_in_order() {
    on_each(|store| {
        let runs: Vec<NewRun> = (0..1_500)
            .map(|number| {
                let queued = new_run();
                let run = if number % 1_400 > 700 {
                    Run::created(policy())
                } else {
                    queued.run.clone()
                };
                NewRun { run, ..queued }
            })
            .collect();
        commit(store, runs.iter().map(submit).collect()).unwrap();
        let expected: Vec<_> = runs.iter().rev().map(|run| run.id).collect();
        let both = statuses(&[Status::Queued, Status::Created]);
        assert!(paged(store, &both, 1_000) == expected);
    });
}

#[test]
fn a_run_is_shown_without_what_is_large() {
    on_each(|store| {
        let run = NewRun {
            metadata: Some(json(r#"{"order": 7}"#)),
            ..new_run()
        };
        commit(store, failed(&run, "too much")).unwrap();
        let RunSummary { error, .. } = &listed(store, &RunFilter::default(), None, 1).runs[0];
        let error = error.as_ref().unwrap();
        assert_eq!(
            (error.kind.as_str(), error.message.as_str()),
            ("ValueError", "too much")
        );
        // What both show, they show in the same way.
        let shown = listed(store, &RunFilter::default(), None, 1).runs.remove(0);
        let mut summary = serde_json::to_value(shown).unwrap();
        let document = serde_json::to_value(document(store, run.id)).unwrap();
        let summary = summary.as_object_mut().unwrap();
        assert_eq!(summary.remove("attempt_count"), Some(1.into()));
        summary.remove("error");
        for (field, value) in summary {
            assert_eq!(document.get(field), Some(&*value), "{field}");
        }
    });
}

#[test]
fn filters_narrow_each_other() {
    on_each(|store| {
        let root = new_run();
        let other = NewRun {
            action_id: ActionId::new("ship"),
            ..new_run()
        };
        let child = child_of(&root, 0);
        let grandchild = child_of(&child, 0);
        for run in [&root, &other, &child, &grandchild] {
            commit(store, completed(run)).unwrap();
        }
        let all = RunFilter::default();
        let found = |filter: RunFilter| paged(store, &filter, 2);
        let of = |action: &str, statuses: &[Status]| RunFilter {
            action_id: Some(ActionId::new(action)),
            statuses: statuses.to_vec(),
            ..all.clone()
        };
        assert_eq!(
            found(all.clone()),
            [grandchild.id, child.id, other.id, root.id]
        );
        assert_eq!(found(of("pay", &[])), [grandchild.id, child.id, root.id]);
        assert_eq!(found(of("ship", &[Status::Completed])), [other.id]);
        assert_eq!(found(of("ship", &[Status::Failed])), []);
        let below = |parent, root| RunFilter {
            parent_id: parent,
            root_id: root,
            ..all.clone()
        };
        assert_eq!(found(below(Some(root.id), None)), [child.id]);
        assert_eq!(found(below(None, Some(root.id))), [grandchild.id, child.id]);
        assert_eq!(found(below(Some(child.id), Some(root.id))), [grandchild.id]);
        assert_eq!(found(below(Some(child.id), Some(child.id))), []);
    });
}

#[test]
fn a_time_is_from_then_on_and_before() {
    on_each(|store| {
        let times = [1_000_000_u128, 1_000_001, 1_000_002];
        let runs = times.map(|at| {
            let id = RunId::from_uuid(uuid::Uuid::from_u128(at << 80 | 5));
            NewRun {
                id,
                root_id: id,
                memory_id: id.own_memory(),
                ..new_run()
            }
        });
        for run in &runs {
            commit(store, vec![submit(run)]).unwrap();
        }
        let filter = |from: Option<i64>, to: Option<i64>| RunFilter {
            created_from: from.map(Time::from_millis),
            created_to: to.map(Time::from_millis),
            ..RunFilter::default()
        };
        let [first, second, third] = runs.map(|run| run.id);
        assert_eq!(
            paged(store, &filter(Some(1_000_001), None), 10),
            [third, second]
        );
        assert_eq!(
            paged(store, &filter(None, Some(1_000_002)), 10),
            [second, first]
        );
        assert_eq!(
            paged(store, &filter(Some(1_000_001), Some(1_000_002)), 10),
            [second]
        );
        let failed = RunFilter {
            statuses: vec![Status::Queued],
            ..filter(Some(1_000_002), None)
        };
        assert_eq!(paged(store, &failed, 10), [third]);
    });
}

#[test]
fn a_text_is_found_in_ids_metadata_and_errors() {
    on_each(|store| {
        let noted = NewRun {
            metadata: Some(json(r#"{"customer": "ACME & Söhne"}"#)),
            ..new_run()
        };
        let broken = new_run();
        commit(
            store,
            [completed(&noted), failed(&broken, "Card declined")].concat(),
        )
        .unwrap();
        for found in ["acme", "söhne", "customer"] {
            assert_eq!(paged(store, &text(found), 10), [noted.id], "{found}");
        }
        for found in ["card DECLINED", "valueerror"] {
            assert_eq!(paged(store, &text(found), 10), [broken.id], "{found}");
        }
        let id = broken.id.to_string();
        assert_eq!(paged(store, &text(&id), 10), [broken.id]);
        assert_eq!(paged(store, &text(&id[20..]), 10), [broken.id]);
        assert_eq!(paged(store, &text("nothing of the kind"), 10), []);
        // An id that is no run's can still stand in the metadata of one.
        let order = RunId::new(now()).to_string();
        let about = NewRun {
            metadata: Some(json(&format!("\"{order}\""))),
            ..new_run()
        };
        commit(store, vec![submit(&about)]).unwrap();
        assert_eq!(paged(store, &text(&order), 10), [about.id]);
    });
}

#[test]
fn a_search_that_finds_nothing_says_how_far_it_came() {
    on_each(|store| {
        let rare = NewRun {
            metadata: Some(json("\"needle\"")),
            ..new_run()
        };
        commit(store, vec![submit(&rare)]).unwrap();
        let hay: Vec<NewRun> = (0..2_500).map(|_| new_run()).collect();
        commit(store, hay.iter().map(submit).collect()).unwrap();
        let first = listed(store, &text("needle"), None, 10);
        assert!(first.runs.is_empty() && first.scanned_to.is_some());
        let second = listed(store, &text("needle"), first.scanned_to, 10);
        let found: Vec<_> = second.runs.iter().map(|run| run.id).collect();
        assert_eq!((found, second.scanned_to), (vec![rare.id], None));
        assert_eq!(paged(store, &RunFilter::default(), 99).len(), 2_501);
    });
}

#[test]
fn a_project_lists_its_own() {
    on_each(|store| {
        let run = new_run();
        commit(store, failed(&run, "x")).unwrap();
        for filter in [
            RunFilter::default(),
            statuses(&[Status::Failed]),
            text(&run.id.to_string()),
        ] {
            let listed = store.read_now(async move |tx| {
                list(tx, &ProjectId::new("other"), &filter, None, 10).await
            });
            assert_eq!(listed, Ok(Listed::default()));
        }
    });
}
