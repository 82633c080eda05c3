//! Versions of a project's code with their actions, which of them is the active one, and variables.

use ziet_core::deployment::DeploymentStatus;
use ziet_core::run::Status;
use ziet_core::{ActionId, ActionSpec, Catalogue, DeploymentId, KeyId, ProjectId};
use ziet_store::deployments::{self, Built, DeploymentError, DeploymentRecord, InUse};
use ziet_store::{NewRun, Store, StoreError, Tx, environment};

use crate::stage::{commit, completed, deployment, json, new_run, now, on_each, project, submit};

fn spec(id: &str, timeout: u32) -> ActionSpec {
    let spec = serde_json::json!({
        "id": id, "name": id, "description": "Pays.", "module": "shop", "function": id, "file": "shop.py",
        "line": 3, "timeout": timeout, "retries": 2, "parameters": [], "accepts_unknown": false,
        "documentation": "It pays.", "isolation": "attempt",
    });
    ActionSpec {
        input_schema: Some(json(r#"{"type": "object"}"#)),
        ..serde_json::from_value(spec).unwrap()
    }
}

/// Inserts a deployment that can be executed.
async fn ready(
    tx: &mut Tx<'_>,
    one: &DeploymentRecord,
    actions: &[ActionSpec],
) -> ziet_store::Result<()> {
    deployments::insert(tx, &project(), one).await?;
    assert!(deployments::set_ready(tx, &project(), one.id, actions).await?);
    Ok(())
}

fn specs(catalogue: &Catalogue) -> Vec<ActionSpec> {
    catalogue.actions().cloned().collect()
}

fn id() -> DeploymentId {
    DeploymentId::new(now())
}

#[test]
fn the_active_one_can_be_changed_and_each_keeps_its_actions() {
    on_each(|store| {
        let (first, second) = (deployment(id(), "aaa"), deployment(id(), "bbb"));
        let (one, two) = (first.clone(), second.clone());
        let done = store.write_now(async move |tx| {
            let project = &project();
            assert_eq!(deployments::active(tx, project).await?, None);
            ready(tx, &one, &[spec("pay", 1), spec("a", 1)]).await?;
            ready(tx, &two, &[spec("pay", 2)]).await?;
            assert_eq!(deployments::projects(tx).await?, []);
            let at = now();
            assert!(deployments::activate(tx, project, one.id, at).await?);
            assert!(deployments::activate(tx, project, two.id, now()).await?);
            let active = deployments::active(tx, project).await?.unwrap();
            assert_eq!(
                (active.id, active.status),
                (two.id, DeploymentStatus::Ready)
            );
            assert_eq!(
                specs(&deployments::actions(tx, project, two.id).await?),
                [spec("pay", 2)]
            );
            let known = deployments::actions(tx, project, one.id).await?;
            assert_eq!(specs(&known), [spec("a", 1), spec("pay", 1)]);
            let ids = deployments::action_ids(tx, project, one.id).await?;
            assert_eq!(ids, [ActionId::new("a"), ActionId::new("pay")]);
            let back = now();
            assert!(deployments::activate(tx, project, one.id, back).await?);
            // Imported again, it may have others.
            assert!(deployments::set_ready(tx, project, one.id, &[spec("b", 3)]).await?);
            assert_eq!(
                deployments::projects(tx).await?,
                std::slice::from_ref(project)
            );
            assert_eq!(
                deployments::active(tx, &ProjectId::new("other")).await?,
                None
            );
            let active = deployments::active(tx, project).await?.unwrap();
            let actions = deployments::actions(tx, project, one.id).await?;
            Ok((active, specs(&actions), back))
        });
        let (active, actions, back) = done.unwrap();
        assert_eq!((active.id, active.active_since), (first.id, Some(back)));
        assert_eq!(actions, [spec("b", 3)]);
    });
}

#[test]
fn what_failed_says_why_and_is_never_active() {
    on_each(|store| {
        let one = DeploymentRecord {
            created_by: Some(KeyId::new(now())),
            ..deployment(id(), "aaa")
        };
        let kept = one.clone();
        let done = store.write_now(async move |tx| {
            let project = &project();
            deployments::insert(tx, project, &one).await?;
            assert_eq!(
                deployments::building(tx).await?,
                [(project.clone(), one.id)]
            );
            let made = Built {
                python: "/env/bin/python3".to_owned(),
                environment: Some("/env".to_owned()),
            };
            assert!(deployments::set_built(tx, project, one.id, &made).await?);
            let found = deployments::find(tx, project, one.id).await?.unwrap();
            assert_eq!(found.built, Some(made));
            assert!(!deployments::activate(tx, project, one.id, now()).await?);
            let error = DeploymentError {
                message: "shop.py:3: no".to_owned(),
                log_tail: "Traceback\0".to_owned(),
            };
            assert!(deployments::set_failed(tx, project, one.id, &error).await?);
            assert!(!deployments::set_failed(tx, project, one.id, &error).await?);
            assert!(!deployments::set_ready(tx, project, one.id, &[]).await?);
            assert!(!deployments::activate(tx, project, one.id, now()).await?);
            assert_eq!(deployments::building(tx).await?, []);
            let twice = deployments::by_digest(tx, project, &one.digest.clone().unwrap()).await?;
            assert_eq!(twice, None, "it may be deployed again");
            Ok((
                deployments::find(tx, project, one.id).await?.unwrap(),
                error,
            ))
        });
        let (found, error) = done.unwrap();
        let failed = DeploymentRecord {
            status: DeploymentStatus::Failed,
            error: Some(error),
            built: found.built.clone(),
            ..kept
        };
        assert_eq!(found, failed);
        let again =
            store.write_now(async move |tx| deployments::insert(tx, &project(), &failed).await);
        assert!(matches!(again, Err(StoreError::Duplicate(_))), "{again:?}");
    });
}

#[test]
fn they_are_listed_from_the_newest_and_found_by_how_a_version_begins() {
    on_each(|store| {
        let all: Vec<_> = ["aa1", "aa2", "b3", "aa1"]
            .map(|version| deployment(id(), version))
            .into();
        let kept = all.clone();
        let done = store.write_now(async move |tx| {
            for one in &kept {
                deployments::insert(tx, &project(), one).await?;
            }
            Ok(())
        });
        assert_eq!(done, Ok(()));
        let page = |before, limit| {
            let read =
                async move |tx: &mut Tx<'_>| deployments::page(tx, &project(), before, limit).await;
            let found: Vec<DeploymentRecord> = store.read_now(read).unwrap();
            found.into_iter().map(|one| one.id).collect::<Vec<_>>()
        };
        assert_eq!(page(None, 2), [all[3].id, all[2].id]);
        assert_eq!(page(Some(all[2].id), 9), [all[1].id, all[0].id]);
        let found = |prefix: &'static str| {
            let read =
                async move |tx: &mut Tx<'_>| deployments::by_version(tx, &project(), prefix).await;
            let found: Vec<DeploymentRecord> = store.read_now(read).unwrap();
            found.into_iter().map(|one| one.version).collect::<Vec<_>>()
        };
        assert_eq!(found("aa"), ["aa1", "aa2", "aa1"]);
        assert_eq!((found("b"), found("%")), (vec!["b3".to_owned()], vec![]));
        let digest = all[0].digest.clone().unwrap();
        let newest =
            store.read_now(async move |tx| deployments::by_digest(tx, &project(), &digest).await);
        assert_eq!(newest.unwrap().unwrap().id, all[3].id);
    });
}

#[test]
fn an_action_that_disappeared_is_found_in_the_last_that_had_it() {
    on_each(|store| {
        let [first, second, third, unused] =
            ["a", "b", "c", "d"].map(|version| deployment(id(), version));
        let done = store.write_now(async move |tx| {
            let project = &project();
            for one in [&first, &second, &unused] {
                ready(tx, one, &[spec("old", 1)]).await?;
            }
            ready(tx, &third, &[spec("new", 1)]).await?;
            for one in [&second, &first, &third] {
                deployments::activate(tx, project, one.id, now()).await?;
            }
            let last = deployments::last_with(tx, project, &ActionId::new("old")).await?;
            assert_eq!(last.unwrap().version, "a");
            assert!(deployments::set_removed(tx, project, first.id).await?);
            assert!(
                !deployments::set_removed(tx, project, third.id).await?,
                "it is active"
            );
            assert!(!deployments::activate(tx, project, first.id, now()).await?);
            let last = deployments::last_with(tx, project, &ActionId::new("old")).await?;
            let none = deployments::last_with(tx, project, &ActionId::new("none")).await?;
            Ok((last.unwrap().version, none))
        });
        assert_eq!(done, Ok(("b".to_owned(), None)));
    });
}

fn in_use(store: &Store, status: Status, limit: usize) -> Vec<DeploymentId> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let read = async move |tx: &mut Tx<'_>| {
            deployments::in_use(tx, &project(), status, after, limit).await
        };
        let InUse { deployments, next } = store.read_now(read).unwrap();
        all.extend(deployments);
        after = next;
        if after.is_none() {
            return all;
        }
    }
}

#[test]
fn those_that_unfinished_runs_name_are_in_use() {
    on_each(|store| {
        let ids = [id(), id(), id()];
        let run = |named| NewRun {
            deployment_id: named,
            ..new_run()
        };
        let live = [Some(ids[0]), None, Some(ids[1]), Some(ids[0])].map(run);
        commit(store, live.iter().map(submit).collect()).unwrap();
        commit(store, completed(&run(Some(ids[2])))).unwrap();
        for limit in [1, 2, 10] {
            assert_eq!(
                in_use(store, Status::Queued, limit),
                [ids[0], ids[1], ids[0]]
            );
        }
        assert_eq!(in_use(store, Status::Running, 10), []);
    });
}

#[test]
fn variables_are_kept_for_each_project() {
    on_each(|store| {
        let (early, late) = (now(), now());
        let done = store.write_now(async move |tx| {
            let (shop, other) = (&project(), &ProjectId::new("other"));
            environment::put(tx, shop, "TOKEN", "old", early).await?;
            environment::put(tx, shop, "TOKEN", "a=b\n\0", late).await?;
            environment::put(tx, shop, "A", "", early).await?;
            environment::put(tx, other, "TOKEN", "its own", early).await?;
            let listed = environment::list(tx, shop).await?;
            let listed: Vec<_> = listed
                .into_iter()
                .map(|one| (one.name, one.updated_at))
                .collect();
            assert_eq!(
                listed,
                [("A".to_owned(), early), ("TOKEN".to_owned(), late)]
            );
            assert!(environment::remove(tx, shop, "A").await?);
            assert!(!environment::remove(tx, shop, "A").await?);
            environment::values(tx, shop).await
        });
        assert_eq!(done, Ok(vec![("TOKEN".to_owned(), "a=b\n\0".to_owned())]));
    });
}
