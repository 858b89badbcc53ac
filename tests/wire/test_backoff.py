from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcore.wire.backoff import BackoffPolicy

POLICIES = st.builds(
    BackoffPolicy,
    first_sec=st.floats(0.001, 100),
    factor=st.floats(1, 10),
    max_sec=st.floats(0.001, 1_000),
    jitter=st.floats(0, 1),
    healthy_sec=st.floats(0, 1_000),
)


def test_pauses_grow_to_the_longest_and_stay():
    backoff = BackoffPolicy(first_sec=1, factor=2, max_sec=10, jitter=0).start(Random(1))
    assert [next(backoff) for _ in range(6)] == [1, 2, 4, 8, 10, 10]
    assert backoff.attempts == 6


@given(POLICIES, st.integers(), st.integers(1, 500))
def test_every_pause_lies_within_its_bounds(policy, seed, count):
    backoff = policy.start(Random(seed))
    full = min(policy.first_sec, policy.max_sec)
    for _ in range(count):
        pause = next(backoff)
        assert full * (1 - policy.jitter) * (1 - 1e-9) <= pause <= full <= policy.max_sec
        full = min(full * policy.factor, policy.max_sec)


def test_jitter_spreads_two_clients_apart():
    policy = BackoffPolicy(jitter=0.5)
    one, other = policy.start(Random(1)), policy.start(Random(2))
    assert [next(one) for _ in range(5)] != [next(other) for _ in range(5)]


def test_the_same_seed_gives_the_same_pauses():
    policy = BackoffPolicy(jitter=0.5)
    one, other = policy.start(Random(7)), policy.start(Random(7))
    assert [next(one) for _ in range(5)] == [next(other) for _ in range(5)]


def test_only_a_healthy_period_starts_over():
    backoff = BackoffPolicy(first_sec=1, factor=2, jitter=0, healthy_sec=60).start(Random(1))
    assert [next(backoff), next(backoff)] == [1, 2]
    backoff.lasted(59.9)
    assert next(backoff) == 4
    backoff.lasted(60)
    assert next(backoff) == 1


@pytest.mark.parametrize(
    "wrong", [{"first_sec": 0}, {"factor": 0.5}, {"max_sec": -1}, {"jitter": 1.5}, {"healthy_sec": -1}]
)
def test_impossible_policies_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        BackoffPolicy(**wrong)
