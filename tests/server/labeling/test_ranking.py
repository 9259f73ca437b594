"""In which order samples that nobody has decided about come, and which of them are read ahead."""

import asyncio
import math
from types import SimpleNamespace

import pytest

from modelship_lab.server.labeling.ranking import rank
from modelship_lab.server.labeling.read_ahead import RANKED, READ, ReadAhead
from modelship_lab.server.storage.database import Database

PROJECT = SimpleNamespace(id=1)


@pytest.fixture
def database(tmp_path):
    database = Database(tmp_path / "lab.duckdb")
    yield database
    database.close()


def write(database, *statements):
    def work(transaction):
        for statement in statements:
            transaction.execute(statement)

    database.submit(work).result()


def add_samples(database, count):
    write(
        database,
        "INSERT INTO samples (id, project_id, import_id, content_hash, text, created_at) "
        f"SELECT i, 1, 1, i::VARCHAR, 'text ' || i, now()::TIMESTAMP FROM range(1, {count + 1}) t(i)",
    )


def decide(database, sample_id):
    write(
        database,
        "INSERT INTO sample_states (sample_id, project_id, status, label, label_id, updated_at) "
        f"VALUES ({sample_id}, 1, 'labeled', 'ham', 1, now()::TIMESTAMP)",
    )


def suggest(database, sample_id, confidence, margin="NULL", entropy="NULL"):
    write(
        database,
        "INSERT INTO suggestions (project_id, sample_id, label, confidence, uncertainty, margin, entropy, source, "
        f"created_at) VALUES (1, {sample_id}, 'ham', {confidence}, 1 - {confidence}, {margin}, {entropy}, 'm', "
        "now()::TIMESTAMP)",
    )


def embed(database, sample_id, degrees):
    x, y = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    write(
        database,
        "INSERT INTO embeddings (sample_id, project_id, encoder, vector) "
        f"VALUES ({sample_id}, 1, 'e', [{3 * x}, {3 * y}])",
    )


def ranked(database, order, size=100):
    return database.read_now(lambda cursor: rank(cursor, PROJECT, order, size))


def test_a_model_s_doubts_come_first_by_the_figure_that_was_asked_for(database):
    add_samples(database, 4)
    suggest(database, 1, 0.5, margin=0.2, entropy=0.3)
    suggest(database, 2, 0.6, margin=0.9, entropy=0.1)
    suggest(database, 3, 0.9)
    found = {order: ranked(database, order) for order in ("uncertainty", "margin", "entropy")}
    assert [one.sample_id for one in found["uncertainty"].samples] == [1, 2, 3, 4]
    assert [one.reason for one in found["uncertainty"].samples] == [
        "confidence 50 %",
        "confidence 60 %",
        "confidence 90 %",
        "no suggestion yet",
    ]
    # What has no such figure comes last, mixed.
    assert [one.sample_id for one in found["margin"].samples][:2] == [2, 1]
    assert found["margin"].samples[0].reason == "the two likeliest classes are 10 % apart"
    assert [one.sample_id for one in found["entropy"].samples][:2] == [1, 2]
    assert all(len(one.samples) == 4 and one.complete for one in found.values())
    few = ranked(database, "margin", 2)
    assert ([one.sample_id for one in few.samples], few.complete) == ([2, 1], False)


def test_diversity_is_what_is_farthest_from_all_that_is_labeled_or_comes_before(database):
    add_samples(database, 7)
    assert ranked(database, "diversity").samples[0].reason == "random, as there are no embeddings yet"
    for sample_id, degrees in ((1, 0), (2, 5), (3, 170), (4, 175), (5, 90), (6, 10)):
        embed(database, sample_id, degrees)
    decide(database, 1)
    found = ranked(database, "diversity")
    # 175 degrees from what is labeled, then the one that is far from both.
    assert [one.sample_id for one in found.samples][:2] == [4, 5]
    assert {one.reason for one in found.samples[:5]} == {"unlike what is labeled"}
    assert (found.samples[5].sample_id, found.samples[5].reason) == (7, "no embedding yet")
    assert found.complete


def test_a_large_project_is_read_ahead_while_its_samples_are_handed_out(database):
    add_samples(database, RANKED + 200)

    async def label_all():
        ahead = ReadAhead(database)
        waited = handed = 0
        last = 0
        while True:
            reading = asyncio.ensure_future(ahead.ready(PROJECT, "sequential", 50, ()))
            await asyncio.sleep(0)
            waited += not reading.done()
            await reading
            batch = [sample.id for sample, _ in ahead.free(PROJECT, "sequential", 50, ())]
            if not batch:
                return handed, waited
            assert batch[0] == last + 1
            last = batch[-1]
            handed += len(batch)
            write(
                database,
                "INSERT INTO sample_states (sample_id, project_id, status, label_id, updated_at) "
                f"SELECT i, 1, 'skipped', 1, now()::TIMESTAMP FROM range({batch[0]}, {last + 1}) t(i)",
            )
            ahead.decided(1, batch)
            # Whoever labels takes a moment, in which the next are read.
            while ahead.is_reading(PROJECT):
                await asyncio.sleep(0.001)

    handed, waited = asyncio.run(label_all())
    assert handed == RANKED + 200
    # For the very first, and to learn at the end that there are no others.
    assert waited <= 2


def test_what_was_decided_while_it_was_read_is_not_handed_out(database):
    add_samples(database, 2 * READ)

    async def decide_meanwhile():
        ahead = ReadAhead(database)
        reading = asyncio.ensure_future(ahead.ready(PROJECT, "sequential", 5, ()))
        # Let it begin.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        ahead.decided(1, [1, 3])
        await reading
        return [sample.id for sample, _ in ahead.free(PROJECT, "sequential", 5, {5})]

    assert asyncio.run(decide_meanwhile()) == [2, 4, 6, 7, 8]
