"""The database: one writer with group commit, readers beside it, migrations."""

import asyncio
import threading
from pathlib import Path

import duckdb
import pytest

from modelship_lab.records.errors import AlreadyOpen, Conflict, StorageFailed, Unavailable
from modelship_lab.server.storage.data_dir import DataDir
from modelship_lab.server.storage.database import Database, Transaction


@pytest.fixture
def database(tmp_path):
    database = Database(tmp_path / "lab.duckdb")
    yield database
    database.close()


def add_project(name):
    def work(transaction: Transaction):
        return transaction.value(
            "INSERT INTO projects (name, task, classes, description, created_at, updated_at) "
            "VALUES (?, 'text_classification', ['a', 'b'], '', now()::TIMESTAMP, now()::TIMESTAMP) RETURNING id",
            name,
        )

    return work


def names(database):
    return database.read_now(lambda cursor: cursor.column("SELECT name FROM projects ORDER BY id"))


def test_a_write_is_readable_once_it_is_answered(database):
    assert database.submit(add_project("one")).result(5) == 1
    assert names(database) == ["one"]


def test_waiting_writes_share_a_commit(database):
    # Hold the writer in one write while others queue up, then see which transaction each ran in.
    entered, go_on = threading.Event(), threading.Event()

    def hold(transaction):
        entered.set()
        go_on.wait(5)

    first = database.submit(hold)
    assert entered.wait(5)
    waiting = [database.submit(lambda t: t.value("SELECT txid_current()")) for _ in range(20)]
    go_on.set()
    first.result(5)
    assert len({write.result(5) for write in waiting}) == 1


def test_a_failing_write_does_not_take_its_group_with_it(database):
    entered, go_on = threading.Event(), threading.Event()

    def hold(transaction):
        entered.set()
        go_on.wait(5)

    def refuse(transaction):
        add_project("half done")(transaction)
        raise Conflict("no")

    def break_sql(transaction):
        transaction.execute("INSERT INTO no_such_table VALUES (1)")

    database.submit(hold)
    entered.wait(5)
    good = [database.submit(add_project(f"good {number}")) for number in range(3)]
    refused = database.submit(refuse)
    broken = database.submit(break_sql)
    good.append(database.submit(add_project("good 3")))
    go_on.set()
    for write in good:
        write.result(5)
    with pytest.raises(Conflict):
        refused.result(5)
    with pytest.raises(StorageFailed) as error:
        broken.result(5)
    assert "no_such_table" not in error.value.message
    assert names(database) == ["good 0", "good 1", "good 2", "good 3"]


def test_what_should_follow_a_commit_follows_only_a_commit(database):
    told = []

    def work(transaction):
        transaction.after_commit(lambda: told.append("committed"))

    def fail(transaction):
        transaction.after_commit(lambda: told.append("never"))
        raise Conflict("no")

    database.submit(work).result(5)
    with pytest.raises(Conflict):
        database.submit(fail).result(5)
    assert told == ["committed"]


def test_readers_do_not_wait_for_the_writer(database):
    entered, go_on = threading.Event(), threading.Event()

    def hold(transaction):
        add_project("not yet")(transaction)
        entered.set()
        go_on.wait(10)

    write = database.submit(hold)
    entered.wait(5)
    assert names(database) == []
    go_on.set()
    write.result(5)
    assert names(database) == ["not yet"]


def test_closing_finishes_what_waits_and_refuses_the_rest(tmp_path):
    database = Database(tmp_path / "lab.duckdb")
    writes = [database.submit(add_project(str(number))) for number in range(50)]
    database.close()
    database.close()
    assert [write.result(0) for write in writes] == list(range(1, 51))
    with pytest.raises(Unavailable):
        database.submit(add_project("late"))
    again = Database(tmp_path / "lab.duckdb")
    assert len(names(again)) == 50
    again.close()


def test_writing_from_the_event_loop(database):
    async def many():
        return await asyncio.gather(*(database.write(add_project(str(number))) for number in range(100)))

    assert sorted(asyncio.run(many())) == list(range(1, 101))


def test_a_caller_who_goes_away_does_not_stop_the_writer(database):
    entered, go_on = threading.Event(), threading.Event()

    def hold(transaction):
        entered.set()
        go_on.wait(5)

    async def go_away():
        held = database.submit(hold)
        await asyncio.to_thread(entered.wait, 5)
        waiting = asyncio.create_task(database.write(add_project("nobody waits for it")))
        await asyncio.sleep(0.01)
        waiting.cancel()
        go_on.set()
        await asyncio.wrap_future(held)
        # One that is cancelled while it is being committed.
        entered.clear()
        go_on.clear()
        running = asyncio.create_task(database.write(hold))
        await asyncio.to_thread(entered.wait, 5)
        running.cancel()
        go_on.set()

    asyncio.run(go_away())
    database.submit(add_project("next")).result(5)
    assert "next" in names(database)


def test_a_file_of_a_newer_version_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "lab.duckdb"
    Database(path).close()
    with duckdb.connect(str(path)) as connection:
        connection.execute("INSERT INTO migrations VALUES (9999, 'future', now()::TIMESTAMP)")
    before = path.read_bytes()
    with pytest.raises(StorageFailed, match=r"newer ModelShip Lab \(schema 9999"):
        Database(path)
    assert path.read_bytes() == before


def test_an_older_file_is_backed_up_before_it_is_migrated(tmp_path, monkeypatch):
    from modelship_lab.server.storage import migrations

    path = tmp_path / "lab.duckdb"
    database = Database(path)
    database.submit(add_project("kept")).result(5)
    database.close()
    steps = migrations.available()
    number = steps[-1][0] + 1
    monkeypatch.setattr(
        migrations,
        "available",
        lambda: [*steps, (number, "next", "ALTER TABLE projects ADD COLUMN color VARCHAR")],
    )
    database = Database(path)
    assert database.version == number
    assert database.read_now(lambda cursor: cursor.row("SELECT name, color FROM projects")) == {
        "name": "kept",
        "color": None,
    }
    database.close()
    backup = path.with_name(f"lab.duckdb.before-{number:04d}")
    with duckdb.connect(str(backup), read_only=True) as connection:
        assert connection.execute("SELECT name FROM projects").fetchall() == [("kept",)]


def test_a_migration_that_fails_changes_nothing(tmp_path, monkeypatch):
    from modelship_lab.server.storage import migrations

    path = tmp_path / "lab.duckdb"
    Database(path).close()
    steps = migrations.available()
    broken = (steps[-1][0] + 1, "broken", "CREATE TABLE half (x INTEGER); SELECT no_such_function();")
    monkeypatch.setattr(migrations, "available", lambda: [*steps, broken])
    with pytest.raises(duckdb.Error):
        Database(path)
    monkeypatch.undo()
    database = Database(path)
    assert (
        database.read_now(
            lambda cursor: cursor.value("SELECT count(*) FROM duckdb_tables() WHERE table_name='half'")
        )
        == 0
    )
    database.close()


def test_a_damaged_file_is_a_clear_error(tmp_path):
    path = tmp_path / "lab.duckdb"
    path.write_bytes(b"this is not a database" * 1000)
    with pytest.raises(StorageFailed, match="cannot be opened"):
        Database(path)


def test_a_second_owner_is_told_who_has_the_folder(tmp_path):
    first = DataDir(tmp_path / "lab")
    first.announce("http://127.0.0.1:8888/", "secret-token", "lab-id")
    with pytest.raises(AlreadyOpen) as error:
        DataDir(tmp_path / "lab")
    assert "http://127.0.0.1:8888/" in error.value.message
    assert "secret-token" not in error.value.message
    first.release()
    assert not (tmp_path / "lab" / "server.json").exists()
    DataDir(tmp_path / "lab").release()


def test_credentials_on_disk_are_for_the_owner_only(tmp_path):
    folder = DataDir(tmp_path / "lab")
    token = folder.token()
    folder.announce("http://127.0.0.1:1/", token, "lab-id")
    for name in ("token", "server.json"):
        assert (Path(folder.folder) / name).stat().st_mode & 0o077 == 0
    folder.release()
    again = DataDir(tmp_path / "lab")
    assert again.token() == token
    again.release()
