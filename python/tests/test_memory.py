# pyright: reportArgumentType=false
"""Memory outside of runs and inside: the same behaviour, seen through the same functions."""

import dataclasses
import datetime
import threading

import pytest

from ziet import Action, MemoryValueError, memory


@dataclasses.dataclass
class User:
    name: str


@Action(id="fetch", description="Has an id that memory knows")
def fetch() -> None: ...


@pytest.fixture(params=["outside", "inside"], autouse=True)
def where(request):
    """Each test runs outside of a run and inside one."""
    if request.param == "inside":
        request.getfixturevalue("run")
    return request.param


def test_get_gives_the_newest_value():
    assert memory.get("user") is None
    memory.add("user", {"name": "Ada"})
    memory.add(key="user", value={"name": "Grace"})
    assert memory.get("user") == {"name": "Grace"}


def test_values_come_back_as_json():
    memory.add("user", [User("Ada"), datetime.date(2024, 5, 1), (1, 2), {3}])
    assert memory.get("user") == [{"name": "Ada"}, "2024-05-01", [1, 2], [3]]


def test_what_was_added_does_not_change_with_the_object():
    value = {"seen": 1}
    memory.add("user", value)
    value["seen"] = 2
    memory.get("user")["seen"] = 3
    assert memory.get("user") == {"seen": 1}


def test_none_can_be_stored():
    memory.add("nothing", None)
    assert memory.get("nothing") is None
    assert len(memory.search("nothing")) == 1


def test_ids_differ():
    assert memory.add("a", 1) != memory.add("a", 1)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("", "must not be empty"),
        ("x" * 513, "has 513 characters, at most 512 are allowed"),
        ("a\0b", r"must not contain NUL, got 'a\x00b'"),
        ("\ud800", r"must be valid Unicode, got '\ud800'"),
        (5, "must be a text, got 5"),
        (None, "must be a text, got None"),
    ],
)
def test_keys_that_are_not_allowed(key, text):
    for use in (lambda: memory.add(key, 1), lambda: memory.get(key)):
        with pytest.raises(MemoryValueError) as caught:
            use()
        assert str(caught.value) == f"a memory key {text}"


def test_the_longest_key():
    memory.add("ä" * 512, 1)
    assert memory.get("ä" * 512) == 1


def test_the_key_of_an_actions_errors_is_kept_for_them():
    with pytest.raises(MemoryValueError, match=r"memory key 'fetch\.error' is kept for the errors of that action"):
        memory.add("fetch.error", 1)
    memory.add("other.error", 1)
    assert memory.get("fetch.error") is None


def test_a_value_that_is_not_json_names_the_key():
    with pytest.raises(MemoryValueError, match=r'memory key "user": the value is not JSON: value\.a is an object: use'):
        memory.add("user", {"a": object()})
    with pytest.raises(MemoryValueError, match='memory key "user": the value is not JSON: value is NaN'):
        memory.add("user", float("nan"))
    with pytest.raises(ValueError, match='memory key "user": metadata must be a dict'):
        memory.add("user", 1, metadata=["a"])
    assert memory.search() == []


def test_an_entry_tells_all(where):
    before = datetime.datetime.now(datetime.timezone.utc)
    entry_id = memory.add("user", {"a": 1}, metadata={"source": "test"})
    (entry,) = memory.search()
    assert entry == (entry_id, "user", {"a": 1}, {"source": "test"}, entry.created_at, entry.run_id, entry.attempt)
    assert entry.created_at.utcoffset() == datetime.timedelta(0)
    age = entry.created_at - before
    assert datetime.timedelta(milliseconds=-1) <= age < datetime.timedelta(seconds=5)
    assert (entry.run_id, entry.attempt) == (("run-1", 2) if where == "inside" else (None, None))


class TestSearch:
    @pytest.fixture(autouse=True)
    def entries(self):
        memory.add("user_1", {"name": "Ada Lovelace", "address": {"City": "London"}}, metadata={"team": "red", "n": 1})
        memory.add("user_2", {"name": "Grace Hopper", "tags": ["navy", 1906, True]}, metadata={"team": "blue"})
        memory.add("note", "Ada wrote to Grace", metadata={"team": "red", "n": True, "l": [1, {"a": None}]})
        memory.add("plain", [3.5, None])

    @pytest.mark.parametrize(
        ("query", "keys"),
        [
            (None, ["plain", "note", "user_2", "user_1"]),
            ("", ["plain", "note", "user_2", "user_1"]),
            ("ada", ["note", "user_1"]),
            ("ADA", ["note", "user_1"]),
            ("ada grace", ["note"]),
            ("grace  ada", ["note"]),
            ("hop", ["user_2"]),
            ("user", ["user_2", "user_1"]),
            ("city", ["user_1"]),
            ("london user_1", ["user_1"]),
            ("1906", ["user_2"]),
            ("true navy", ["user_2"]),
            ("3.5", ["plain"]),
            ("null", []),
            ("nobody", []),
            ("ada nobody", []),
            ('{"name"', []),
        ],
    )
    def test_all_words_must_match(self, query, keys):
        assert [entry.key for entry in memory.search(query)] == keys

    @pytest.mark.parametrize(
        ("filter", "keys"),
        [
            ({}, ["plain", "note", "user_2", "user_1"]),
            ({"team": "red"}, ["note", "user_1"]),
            ({"team": "red", "n": 1}, ["user_1"]),
            ({"n": 1.0}, ["user_1"]),
            ({"n": True}, ["note"]),
            ({"l": [1, {"a": None}]}, ["note"]),
            ({"team": None}, []),
            ({"none": None}, []),
        ],
    )
    def test_metadata_must_be_equal(self, filter, keys):
        assert [entry.key for entry in memory.search(filter=filter)] == keys

    def test_query_and_filter_together(self):
        assert [entry.key for entry in memory.search("ada", {"n": 1})] == ["user_1"]

    def test_the_limit_keeps_the_newest(self):
        assert [entry.key for entry in memory.search(limit=2)] == ["plain", "note"]
        for number in range(20):
            memory.add(f"more_{number}", number)
        assert len(memory.search()) == 10
        assert len(memory.search(limit=10**100)) == 24

    @pytest.mark.parametrize("limit", [0, -1])
    def test_a_limit_under_one_is_refused(self, limit):
        with pytest.raises(ValueError, match=f"limit of memory.search must be at least 1, got {limit}"):
            memory.search(limit=limit)

    def test_wrong_kinds_are_refused(self):
        with pytest.raises(TypeError, match=r"limit of memory\.search must be a whole number, got '5'"):
            memory.search(limit="5")
        with pytest.raises(TypeError, match=r"query of memory\.search must be a text or None, got 5"):
            memory.search(5)
        with pytest.raises(MemoryValueError, match=r"filter of memory\.search must be a dict"):
            memory.search(filter="team")


class TestRemove:
    def test_by_id_removes_one(self):
        first = memory.add("user", 1)
        memory.add("user", 2)
        assert memory.remove(entry_id=first) == 1
        assert memory.remove(entry_id=first) == 0
        assert memory.get("user") == 2

    def test_by_key_removes_all(self):
        memory.add("user", 1)
        memory.add("user", 2)
        memory.add("other", 3)
        assert memory.remove(key="user") == 2
        assert memory.get("user") is None
        assert memory.get("other") == 3
        assert memory.remove(key="user") == 0

    @pytest.mark.parametrize("given", [{}, {"entry_id": "a", "key": "b"}, {"entry_id": 5}, {"entry_id": None}])
    def test_it_takes_one_of_the_two(self, given):
        with pytest.raises(TypeError):
            memory.remove(**given)

    def test_a_wrong_key_is_told(self):
        with pytest.raises(MemoryValueError):
            memory.remove(key="")


def test_threads_may_share_it():
    def add_many(name):
        for number in range(100):
            memory.add(f"{name}_{number}", number)

    threads = [threading.Thread(target=add_many, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    entries = memory.search(limit=1000)
    assert len({entry.entry_id for entry in entries}) == 400


def test_it_holds_as_much_as_the_memory_of_a_run():
    text = "x" * (5 * 1024 * 1024 - 100)
    for number in range(19):
        memory.add(f"k{number}", text)
    last = memory.add("last", text)
    with pytest.raises(MemoryValueError, match=r"the memory would hold 105\.0 MB, limit 100 MB") as caught:
        memory.add("more", text)
    assert caught.value.code == "memory_full"
    memory.remove(entry_id=last)
    memory.add("more", text)
