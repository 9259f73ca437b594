"""The journal: what is committed in one row is found by everybody, also after a crash, once."""

import json
import shutil
from datetime import datetime
from functools import partial

import pytest

from modelship_lab.records.errors import Conflict, StorageFailed
from modelship_lab.server.storage.database import Database, Transaction
from modelship_lab.server.storage.transaction import MAX_JOURNALED


@pytest.fixture
def database(tmp_path):
    database = Database(tmp_path / "lab.duckdb")
    yield database
    database.close()


def decided(transaction: Transaction, sample_id, label):
    (identity,) = transaction.next_ids("label_ids")
    state = {
        "sample_id": sample_id,
        "project_id": 1,
        "status": "labeled",
        "label": label,
        "classes": None,
        "label_id": identity,
        "updated_at": datetime(2026, 1, 2, 3, 4, 5, 678),
    }
    transaction.put("sample_states", state, key="sample_id", replaces=True)
    return identity


def states(database):
    return database.read_now(
        lambda cursor: cursor.tuples(
            "SELECT sample_id, label, label_id, updated_at FROM sample_states ORDER BY sample_id"
        )
    )


def left_behind(database):
    """The folder of a killed process: the files as they are."""
    left = database.path.parent / "left"
    left.mkdir()
    for path in left.parent.glob("lab.duckdb*"):
        shutil.copy(path, left)
    return left / "lab.duckdb"


def test_what_was_put_is_read_by_everybody_and_the_newest_of_its_key_counts(database):
    first = database.submit(lambda t: decided(t, 5, "a")).result(5)
    second = database.submit(lambda t: decided(t, 5, "b")).result(5)
    other = database.submit(lambda t: decided(t, 3, "a")).result(5)
    assert first < second < other
    moment = datetime(2026, 1, 2, 3, 4, 5, 678)
    assert states(database) == [(3, "a", other, moment), (5, "b", second, moment)]
    again = database.submit(lambda t: decided(t, 5, "c")).result(5)
    assert states(database)[1] == (5, "c", again, moment)


def test_what_was_put_outlives_a_crash_once(database, tmp_path):
    database.submit(lambda t: decided(t, 5, "a")).result(5)
    identity = database.submit(lambda t: decided(t, 5, "b")).result(5)
    path = left_behind(database)
    for _ in range(2):
        recovered = Database(path)
        assert [row[:3] for row in states(recovered)] == [(5, "b", identity)]
        recovered.close()
    recovered = Database(path)
    assert recovered.submit(lambda t: t.next_ids("label_ids")).result(5)[0] > identity
    recovered.close()


def test_lines_that_are_moved_already_are_not_moved_again(database, tmp_path):
    database.submit(lambda t: decided(t, 5, "a")).result(5)
    file = tmp_path / "lab.duckdb.journal"
    lines = file.read_bytes()
    assert lines
    assert [row[:2] for row in states(database)] == [(5, "a")]
    assert file.read_bytes() == b""
    database.submit(lambda t: t.execute("UPDATE sample_states SET label = 'b'")).result(5)
    # As after a crash of the machine, which forgets that a file was cut.
    file.write_bytes(lines)
    path = left_behind(database)
    recovered = Database(path)
    assert [row[:2] for row in states(recovered)] == [(5, "b")]
    recovered.submit(lambda t: decided(t, 6, "c")).result(5)
    again = left_behind(recovered)
    recovered.close()
    recovered = Database(again)
    assert [row[:2] for row in states(recovered)] == [(5, "b"), (6, "c")]
    recovered.close()


@pytest.mark.parametrize("torn", [b"", b"0000", b"00000000 [3,[]]\n", b"\xff\n\n"])
def test_a_line_that_a_crash_has_torn_is_not_there_and_what_comes_later_is(database, tmp_path, torn):
    for sample_id in (5, 6):
        database.submit(partial(decided, sample_id=sample_id, label="a")).result(5)
    path = left_behind(database)
    file = path.with_name("lab.duckdb.journal")
    file.write_bytes(file.read_bytes()[:-1] + torn if torn == b"" else file.read_bytes() + torn)
    whole = [5] if torn == b"" else [5, 6]
    recovered = Database(path)
    recovered.submit(lambda t: decided(t, 7, "b")).result(5)
    again = left_behind(recovered)
    recovered.close()
    for each in (path, again):
        recovered = Database(each)
        assert [row[0] for row in states(recovered)] == [*whole, 7]
        recovered.close()


def test_what_is_rolled_back_was_not_put(database):
    def refuse(transaction):
        decided(transaction, 5, "a")
        raise Conflict("no")

    with pytest.raises(Conflict):
        database.submit(refuse).result(5)
    assert states(database) == []


def test_a_statement_of_the_same_transaction_finds_what_was_put(database):
    def work(transaction):
        decided(transaction, 5, "a")
        assert transaction.find("sample_states", 5)["label"] == "a"
        found = transaction.value("SELECT label FROM sample_states")
        assert transaction.find("sample_states", 5) is None
        decided(transaction, 5, "b")
        return found

    assert database.submit(work).result(5) == "a"
    assert [row[1] for row in states(database)] == ["b"]


def test_ids_go_up_whoever_takes_them(database):
    taken = []
    for _ in range(3):
        taken += database.submit(lambda t: t.next_ids("label_ids", 2)).result(5)
        taken.append(database.submit(lambda t: t.value("SELECT nextval('label_ids')")).result(5))
    assert taken == sorted(set(taken))


def test_many_rows_of_one_transaction_go_to_their_table(database):
    rows = MAX_JOURNALED + 1

    def work(transaction):
        for sample_id in range(rows):
            decided(transaction, sample_id, "a")

    database.submit(work).result(5)
    assert len(states(database)) == rows


def test_a_row_that_its_table_refuses_is_set_aside_and_all_others_are_read(database, tmp_path):
    decide = [partial(decided, sample_id=one, label="a") for one in range(9)]
    for one in decide[:4]:
        database.submit(one).result(5)
    database.submit(
        lambda t: t.put("sample_states", {"sample_id": 100, "status": None}, key="sample_id")
    ).result(5)
    database.submit(lambda t: t.put("no_table", {"id": 1}, key="id")).result(5)
    for one in decide[4:]:
        database.submit(one).result(5)
    path = left_behind(database)
    # Whoever comes next: a read, or a write that looks into the tables.
    count = database.submit(lambda t: t.value("SELECT count(*) FROM sample_states")).result(5)
    assert (count, len(states(database))) == (9, 9)
    # And the next start.
    for _ in range(2):
        again = Database(path)
        try:
            assert [row[0] for row in states(again)] == list(range(9))
            assert again.refused_rows == database.refused_rows == 2
            kept = again.read_now(
                lambda c: c.tuples("SELECT target, content, reason FROM refused_rows ORDER BY target")
            )
            assert [(target, json.loads(content)) for target, content, _ in kept] == [
                ("no_table", {"id": 1}),
                ("sample_states", {"sample_id": 100, "status": None}),
            ]
            assert all(reason for *_, reason in kept)
        finally:
            again.close()


def test_a_write_that_is_refused_itself_takes_nothing_along(database):
    database.submit(lambda t: decided(t, 5, "a")).result(5)
    with pytest.raises(StorageFailed):
        database.submit(lambda t: t.execute("INSERT INTO sample_states (sample_id) VALUES (6)")).result(5)
    assert [row[0] for row in states(database)] == [5]
    assert database.refused_rows == 0
