import os
from concurrent.futures import ThreadPoolExecutor

from shared.ids import new_id, new_request_id


def test_ids_are_random_uuids_and_no_two_are_the_same_among_threads() -> None:
    with ThreadPoolExecutor(8) as threads:
        made = [made for some in threads.map(lambda _: [new_id() for _ in range(2000)], range(8)) for made in some]
    assert {made.version for made in made} == {4} and len(set(made)) == 16_000


def test_a_request_id_is_128_bits_in_hexadecimal() -> None:
    assert len(bytes.fromhex(new_request_id())) == 16


def test_a_forked_child_makes_others_than_its_parent() -> None:
    new_id()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, new_id().bytes)
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(reading, 16)
    os.close(reading)
    os.close(writing)
    assert theirs not in {new_id().bytes for _ in range(1000)}
