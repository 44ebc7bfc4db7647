from concurrent.futures import ThreadPoolExecutor

import pytest

from farebox.migrate import PartitionsFixedError, migrate
from tests.support.database import PARTITIONS


def run(*arguments):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(migrate, *arguments).result()


def test_migrating_again_changes_nothing(database):
    before = database.sql("select * from ledger.installation")
    run(database.dsn("owner"), PARTITIONS)
    assert database.sql("select * from ledger.installation") == before


def test_another_number_of_partitions_is_refused_and_not_written(database):
    with pytest.raises(PartitionsFixedError, match=r"partitions = 4.*installed with 3") as caught:
        run(database.dsn("owner"), PARTITIONS + 1)
    assert (caught.value.installed, caught.value.configured) == (PARTITIONS, PARTITIONS + 1)
    assert database.sql("select partitions from ledger.installation") == str(PARTITIONS)
