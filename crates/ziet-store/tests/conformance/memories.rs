//! Entries: the newest wins, searches and removals find what they should, and a memory has a limit.

use ziet_core::limits::{JSON_BYTES, MEMORY_BYTES};
use ziet_core::memory::{Entry, Search};
use ziet_core::{EntryId, Json, MemoryId, ProjectId, RunId, Time};
use ziet_store::{Added, Change, NewRun, Result, Store, StoreError, memory};

use crate::stage::{
    add, child_of, commit, count, entry, json, new_memory, new_run, now, on_each, project, submit,
};

fn newest(store: &Store, id: MemoryId, key: &'static str) -> Option<Json> {
    let found = store.read_now(async move |tx| memory::newest(tx, &project(), id, key).await);
    found.unwrap().map(|entry| entry.value)
}

fn search(store: &Store, id: MemoryId, search: Search) -> Result<Vec<Entry>> {
    store.read_now(async move |tx| memory::search(tx, &project(), id, &search).await)
}

fn found(store: &Store, id: MemoryId, query: Option<&str>, limit: u32) -> Vec<String> {
    let wanted = Search {
        query: query.map(str::to_owned),
        filter: None,
        limit,
    };
    let entries = search(store, id, wanted).unwrap();
    entries
        .iter()
        .map(|entry| entry.value.as_str().unwrap().to_owned())
        .collect()
}

fn remove(
    store: &Store,
    id: MemoryId,
    entry: Option<EntryId>,
    key: Option<&'static str>,
) -> Result<u64> {
    store.write_now(async move |tx| memory::remove(tx, &project(), id, entry, key).await)
}

fn all(store: &Store, id: MemoryId) -> Vec<Entry> {
    store
        .read_now(async move |tx| memory::entries(tx, &project(), id).await)
        .unwrap()
}

#[test]
fn the_entry_that_was_added_last_is_the_value() {
    on_each(|store| {
        let id = new_memory(store);
        assert_eq!(newest(store, id, "user"), None);
        let first = Entry {
            created_at: Time::from_millis(9_000),
            ..entry("user", "1")
        };
        let second = Entry {
            created_at: Time::from_millis(1_000),
            ..entry("user", "2")
        };
        for one in [&first, &second, &entry("users", "3")] {
            assert_eq!(add(store, id, one), Ok(Added::Yes));
        }
        assert_eq!(
            newest(store, id, "user"),
            Some(json("2")),
            "also when the clock went back"
        );
        assert_eq!(newest(store, id, "USER"), None);
    });
}

#[test]
fn entries_come_back_whole_and_in_order() {
    on_each(|store| {
        let id = new_memory(store);
        let full = Entry {
            metadata: Some(json(r#"{"kind": "a"}"#)),
            run_id: Some(RunId::new(now())),
            attempt: Some(2),
            ..entry("a", "[1.50, \"é\"]")
        };
        let added = [full, entry("b", "null")];
        for one in &added {
            assert_eq!(add(store, id, one), Ok(Added::Yes));
        }
        assert_eq!(all(store, id), added);
    });
}

#[test]
fn a_search_goes_from_the_newest_to_its_limit() {
    on_each(|store| {
        let id = new_memory(store);
        for number in 0..200 {
            let key = if number % 50 == 0 { "rare" } else { "common" };
            add(store, id, &entry(key, &number.to_string())).unwrap();
        }
        assert_eq!(found(store, id, None, 3), ["199", "198", "197"]);
        assert_eq!(found(store, id, Some("RARE"), 3), ["150", "100", "50"]);
        assert_eq!(
            found(store, id, Some("rare"), 10),
            ["150", "100", "50", "0"]
        );
        assert_eq!(found(store, id, None, u32::MAX).len(), 200);
        assert!(found(store, id, None, 0).is_empty());
        assert!(found(store, MemoryId::new(now()), None, 10).is_empty());
    });
}

#[test]
fn a_search_can_ask_for_metadata() {
    on_each(|store| {
        let id = new_memory(store);
        let marked = Entry {
            metadata: Some(json(r#"{"kind": "a", "n": 1}"#)),
            ..entry("k", "1")
        };
        add(store, id, &marked).unwrap();
        add(store, id, &entry("k", "2")).unwrap();
        let with = |filter| Search {
            query: None,
            filter: Some(json(filter)),
            limit: 10,
        };
        assert_eq!(
            search(store, id, with(r#"{"kind": "a"}"#)),
            Ok(vec![marked])
        );
        assert!(matches!(
            search(store, id, with("[1]")),
            Err(StoreError::BadFilter(_))
        ));
    });
}

#[test]
fn entries_are_removed_by_id_or_by_key() {
    on_each(|store| {
        let id = new_memory(store);
        let entries = [
            entry("a", "1"),
            entry("a", "2"),
            entry("b", "3"),
            entry("b", "4"),
        ];
        for one in &entries {
            assert_eq!(add(store, id, one), Ok(Added::Yes));
        }
        assert_eq!(remove(store, id, Some(entries[1].entry_id), None), Ok(1));
        assert_eq!(
            newest(store, id, "a"),
            Some(json("1")),
            "the one before is the newest again"
        );
        assert_eq!(remove(store, id, None, Some("b")), Ok(2));
        assert_eq!(remove(store, id, None, Some("b")), Ok(0));
        assert_eq!(remove(store, id, Some(entries[1].entry_id), None), Ok(0));
        assert!(matches!(
            remove(store, id, None, None),
            Err(StoreError::Invalid(_))
        ));
        let both = remove(store, id, Some(entries[0].entry_id), Some("a"));
        assert!(matches!(both, Err(StoreError::Invalid(_))));
        assert_eq!(all(store, id), entries[..1]);
        add(store, id, &entry("a", "5")).unwrap();
        assert_eq!(
            newest(store, id, "a"),
            Some(json("5")),
            "numbers are not used again"
        );
    });
}

#[test]
fn a_full_memory_says_so_and_takes_more_after_a_removal() {
    on_each(|store| {
        let id = new_memory(store);
        let large = |key| Entry {
            value: Json::trusted(vec![b'1'; JSON_BYTES]),
            ..entry(key, "1")
        };
        let mut last = large("large");
        for _ in 0..MEMORY_BYTES / JSON_BYTES {
            last = large("large");
            assert_eq!(add(store, id, &last), Ok(Added::Yes));
        }
        let would = (MEMORY_BYTES / JSON_BYTES + 1) * (JSON_BYTES + "large".len());
        assert_eq!(
            add(store, id, &large("large")),
            Ok(Added::Full { bytes: would })
        );
        assert_eq!(all(store, id).len(), MEMORY_BYTES / JSON_BYTES);

        let note = Change::Entry {
            memory_id: id,
            entry: large("pay.error"),
        };
        commit(store, vec![note]).unwrap();
        assert!(
            newest(store, id, "pay.error").is_some(),
            "a note of an error is always taken"
        );
        let small = add(store, id, &entry("small", "1"));
        assert!(matches!(small, Ok(Added::Full { .. })), "but it counts");

        assert_eq!(remove(store, id, None, Some("pay.error")), Ok(1));
        assert_eq!(remove(store, id, Some(last.entry_id), None), Ok(1));
        assert_eq!(add(store, id, &last), Ok(Added::Yes));
    });
}

#[test]
fn the_limit_is_exact() {
    on_each(|store| {
        let id = new_memory(store);
        let sizes = [MEMORY_BYTES - 3, 1];
        let of_size = |bytes: usize| Entry {
            value: Json::trusted(vec![b'1'; bytes - 1]),
            ..entry("k", "1")
        };
        assert_eq!(add(store, id, &of_size(sizes[0])), Ok(Added::Yes));
        assert_eq!(
            add(store, id, &of_size(4)),
            Ok(Added::Full {
                bytes: MEMORY_BYTES + 1
            })
        );
        assert_eq!(add(store, id, &of_size(3)), Ok(Added::Yes));
        assert_eq!(
            add(store, id, &of_size(2)),
            Ok(Added::Full {
                bytes: MEMORY_BYTES + 2
            })
        );
        let too_large = of_size(MEMORY_BYTES + 1);
        assert_eq!(
            add(store, id, &too_large),
            Ok(Added::Full {
                bytes: 2 * MEMORY_BYTES + 1
            })
        );
    });
}

#[test]
fn there_is_no_memory_that_nobody_made() {
    on_each(|store| {
        let id = MemoryId::new(now());
        assert_eq!(
            add(store, id, &entry("a", "1")),
            Err(StoreError::NoMemory(id))
        );
        let note = Change::Entry {
            memory_id: id,
            entry: entry("a", "1"),
        };
        assert_eq!(commit(store, vec![note]), Err(StoreError::NoMemory(id)));
        let run = new_run();
        commit(store, vec![submit(&run)]).unwrap();
        assert_eq!(add(store, run.memory_id, &entry("a", "1")), Ok(Added::Yes));
    });
}

#[test]
fn a_memory_is_there_with_its_root_run_before_it_has_a_row() {
    on_each(|store| {
        let find = |id| {
            let found = store.read_now(async move |tx| memory::find(tx, &project(), id).await);
            found
                .unwrap()
                .map(|memory| (memory.bytes, memory.created_at))
        };
        let first = new_run();
        let second = NewRun {
            memory_id: first.memory_id,
            ..new_run()
        };
        commit(store, vec![submit(&first)]).unwrap();
        assert_eq!(count(store, "memories"), 0);
        assert_eq!(find(first.memory_id), Some((0, first.created_at)));
        commit(store, vec![submit(&second), submit(&child_of(&first, 0))]).unwrap();
        add(store, first.memory_id, &entry("a", "12")).unwrap();
        assert_eq!(find(first.memory_id), Some((3, first.created_at)));
        assert_eq!(count(store, "memories"), 1);
        let ids = [second.id.own_memory(), child_of(&first, 1).id.own_memory()];
        assert_eq!(ids.map(find), [None, None], "they were given another one");
        let third = NewRun {
            memory_id: second.id.own_memory(),
            ..new_run()
        };
        assert_eq!(
            commit(store, vec![submit(&third)]),
            Err(StoreError::NoMemory(third.memory_id))
        );
    });
}

#[test]
fn a_project_does_not_see_the_memories_of_another() {
    on_each(|store| {
        let id = new_memory(store);
        add(store, id, &entry("a", "1")).unwrap();
        let other = || ProjectId::new("other");
        let seen = store.read_now(async move |tx| {
            let value = memory::newest(tx, &other(), id, "a").await?;
            let entries = memory::entries(tx, &other(), id).await?;
            Ok((
                value,
                entries,
                memory::find(tx, &other(), id).await?.is_some(),
            ))
        });
        assert_eq!(seen, Ok((None, Vec::new(), false)));
        let removed = store
            .write_now(async move |tx| memory::remove(tx, &other(), id, None, Some("a")).await);
        assert_eq!(removed, Ok(0));
        let there = store.read_now(async move |tx| memory::find(tx, &project(), id).await);
        assert_eq!(
            there.map(|memory| memory.map(|memory| memory.bytes)),
            Ok(Some(2))
        );
    });
}
