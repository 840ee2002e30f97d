"""The KV cache, counted in extents, behaves as vLLM's pool of single blocks."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.kv_cache import KVCache
from traces.prefix import prefix_paths
from traces.workload import Application, Call, Workload, text

BLOCK = 4


class Held:
    """A request with its tokens one by one, and the ids of its blocks in the pool."""

    def __init__(self, request, tokens):
        self.request = request
        self.tokens = tokens
        self.blocks = []
        self.num_computed = 0
        self.status = "waiting"

    def hash_of(self, number):
        return tuple(self.tokens[: (number + 1) * BLOCK])


class BlockPool:
    """vLLM 0.24's `BlockPool`, block by block: a free queue, and all copies of each content, oldest first."""

    def __init__(self, num_blocks):
        self.free = list(range(num_blocks))
        self.num_holders = Counter()
        self.copies = {}
        self.hashes = {}

    def find(self, content):
        return next(iter(self.copies.get(content, ())), None)

    def touch(self, block):
        if not self.num_holders[block]:
            self.free.remove(block)
        self.num_holders[block] += 1

    def allocate(self):
        block = self.free.pop(0)
        if content := self.hashes.pop(block, None):
            self.copies[content].remove(block)
        self.num_holders[block] = 1
        return block

    def register(self, block, content):
        if block not in self.hashes:
            self.hashes[block] = content
            self.copies.setdefault(content, []).append(block)

    def release(self, blocks):
        for block in reversed(blocks):
            self.num_holders[block] -= 1
            if not self.num_holders[block]:
                self.free.insert(len(self.free) if block in self.hashes else 0, block)


class Twin:
    """One KV cache and one pool that do everything together; they must agree on what is found and what is free."""

    def __init__(self, num_blocks, contents, new_request, *, caching=True):
        self.cache = KVCache(num_blocks, BLOCK, enable_prefix_caching=caching)
        self.pool = BlockPool(num_blocks)
        self.caching = caching
        calls = [Call(str(i), tuple(parts), 12) for i, parts in enumerate(contents)]
        paths = prefix_paths(Workload("w", (Application("a", 0.0, tuple(calls)),)))
        self.calls = []
        for call, path in zip(calls, paths, strict=True):
            tokens = [(part.segment, part.tokens, k) for part in call.prompt for k in range(part.tokens)]
            request = new_request(call.id, len(tokens), 12, path=path)
            self.calls.append(Held(request, tokens + [("output", call.id, k) for k in range(12)]))

    def find(self, held):
        """Blocks of the longest cached prefix, short of the last known token."""
        found = []
        while self.caching and len(found) < (held.request.num_known - 1) // BLOCK:
            block = self.pool.find(held.hash_of(len(found)))
            if block is None:
                break
            found.append(block)
        return found

    def check(self):
        assert self.cache.num_free == len(self.pool.free)
        for held in self.calls:
            if held.status == "waiting":
                found = self.find(held)
                _, num_hits, num_evictable = self.cache.lookup(held.request)
                assert num_hits == len(found)
                assert num_evictable == len(set(found) & set(self.pool.free))

    def admit(self, number, num_tokens):
        held = self.calls[number]
        if held.status != "waiting":
            return
        hits, num_hits, num_evictable = self.cache.lookup(held.request)
        num_tokens = min(num_hits * BLOCK + num_tokens, held.request.num_known)
        num_new = -(-num_tokens // BLOCK) - num_hits
        if num_new + num_evictable > self.cache.num_free:
            return
        held.blocks = self.find(held)
        for block in held.blocks:
            self.pool.touch(block)
        self.cache.take(held.request, hits, num_new)
        held.blocks += [self.pool.allocate() for _ in range(num_new)]
        held.status = "running"
        self._computed(held, num_tokens)

    def grow(self, number, num_tokens):
        held = self.calls[number]
        num_tokens = min(held.num_computed + num_tokens, len(held.tokens) - 1)
        num_new = -(-num_tokens // BLOCK) - len(held.blocks)
        if held.status == "running" and num_new <= self.cache.num_free:
            self.cache.allocate(num_new)
            held.blocks += [self.pool.allocate() for _ in range(num_new)]
            self._computed(held, num_tokens)

    def _computed(self, held, num_tokens):
        held.num_computed = num_tokens
        if num_tokens > held.request.num_prompt_tokens:
            held.request.num_known = num_tokens + 1
        self.cache.register(held.request, num_tokens // BLOCK)
        if self.caching:
            for number in range(num_tokens // BLOCK):
                self.pool.register(held.blocks[number], held.hash_of(number))

    def release(self, number, status):
        held = self.calls[number]
        if held.status == "running":
            self.cache.release(held.request, len(held.blocks), keep_private=status == "waiting")
            self.pool.release(held.blocks)
            held.blocks, held.num_computed, held.status = [], 0, status


@pytest.fixture
def twin(new_request):
    return lambda num_blocks, *contents, **options: Twin(num_blocks, contents, new_request, **options)


def hits(twin, number):
    twin.check()
    return twin.cache.lookup(twin.calls[number].request)[1]


# -- specification ----------------------------------------------------------------------------------------------------


def test_only_whole_blocks_of_a_shared_prefix_are_found(twin):
    """Ten shared tokens are two blocks of four and two tokens."""
    both = twin(20, (text("s", 10), text("x", 8)), (text("s", 10), text("y", 8)))
    both.admit(0, 18)
    assert hits(both, 1) == 2


def test_of_a_prompt_that_is_cached_whole_the_last_block_is_computed_again(twin):
    """The last token must be computed to give the first output token, and blocks are found whole: 2 of 3."""
    both = twin(20, (text("s", 12),), (text("s", 12),))
    both.admit(0, 12)
    assert hits(both, 1) == 2


def test_a_prompt_one_token_longer_finds_all_whole_blocks(twin):
    both = twin(20, (text("s", 13),), (text("s", 13),))
    both.admit(0, 13)
    assert hits(both, 1) == 3


def test_nothing_is_found_before_it_is_computed(twin):
    both = twin(20, (text("s", 16),), (text("s", 16),))
    both.admit(0, 7)
    assert hits(both, 1) == 1
    both.grow(0, 5)
    assert hits(both, 1) == 3


def test_equal_text_behind_different_text_is_not_found(twin):
    both = twin(20, (text("x", 4), text("s", 12)), (text("y", 4), text("s", 12)))
    both.admit(0, 16)
    assert hits(both, 1) == 0


def test_without_prefix_caching_nothing_is_found(twin):
    both = twin(20, (text("s", 12),), (text("s", 12),), caching=False)
    both.admit(0, 12)
    assert hits(both, 1) == 0


def test_blocks_without_content_are_reused_before_cached_ones(twin):
    """Of 4 blocks, the finished call leaves 2 with content and 1 half full; 2 new blocks take the others."""
    three = twin(4, (text("s", 10),), (text("s", 10),), (text("x", 8),))
    three.admit(0, 10)
    three.release(0, "finished")
    three.admit(2, 8)
    assert hits(three, 1) == 2


def test_the_deepest_block_of_the_content_freed_first_is_evicted_first(twin):
    """s and t fill 6 blocks; s is freed first and so gives its last block."""
    s, t = text("s", 12), text("t", 12)
    calls = twin(6, (s,), (t,), (s, text("x", 1)), (t, text("x", 1)), (text("y", 4),))
    for number in (0, 1):
        calls.admit(number, 12)
    for number in (0, 1):
        calls.release(number, "finished")
    calls.admit(4, 4)
    assert (hits(calls, 2), hits(calls, 3)) == (2, 3)


def test_content_that_was_used_again_is_evicted_last(twin):
    """s was freed before t, but then taken up again by a call that ends: the next four blocks leave it alone."""
    s, t = text("s", 8), text("t", 8)
    calls = twin(6, (s,), (t,), (s, text("x", 1)), (s, text("z", 1)), (t, text("z", 1)), (text("y", 16),))
    for number in (0, 1):
        calls.admit(number, 8)
    for number in (0, 1, 2):
        calls.release(number, "finished")
        if number == 1:
            calls.admit(2, 1)
    calls.admit(5, 16)
    assert (hits(calls, 3), hits(calls, 4)) == (2, 0)


def test_two_calls_that_compute_the_same_text_hold_two_copies_and_the_one_left_is_still_found(twin):
    """Both begin before either is cached; the first ends, and its copy is overwritten."""
    s = text("s", 8)
    calls = twin(5, (s, text("x", 1)), (s, text("y", 1)), (s, text("z", 1)), (text("w", 8),))
    calls.admit(0, 3)
    calls.admit(1, 3)
    calls.grow(0, 5)
    calls.grow(1, 5)
    assert calls.cache.num_free == 1
    calls.release(0, "finished")
    calls.admit(3, 8)
    assert hits(calls, 2) == 2


def test_a_preempted_request_finds_even_what_nobody_shares(twin):
    alone = twin(20, (text("x", 13),))
    alone.admit(0, 13)
    alone.release(0, "waiting")
    assert hits(alone, 0) == 3


# -- properties -------------------------------------------------------------------------------------------------------

CONTENTS = st.lists(
    st.lists(st.builds(text, st.sampled_from("stuv"), st.sampled_from((1, 4, 6, 11))), min_size=1, max_size=4),
    min_size=2,
    max_size=7,
)
OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(("admit", "admit", "grow", "grow", "preempt", "finish")), st.integers(0, 6), st.integers(1, 24)
    ),
    max_size=60,
)


@settings(max_examples=400, deadline=None)
@given(
    num_blocks=st.integers(3, 40),
    contents=CONTENTS,
    operations=OPERATIONS,
    caching=st.sampled_from((True, True, False)),
)
def test_hits_and_free_blocks_are_those_of_a_pool_of_single_blocks(
    new_request, num_blocks, contents, operations, caching
):
    twin = Twin(num_blocks, contents, new_request, caching=caching)
    for name, number, num_tokens in operations:
        number %= len(contents)
        if name in ("admit", "grow"):
            getattr(twin, name)(number, num_tokens)
        else:
            twin.release(number, "waiting" if name == "preempt" else "finished")
        twin.check()
    for number in range(len(contents)):
        twin.release(number, "finished")
    assert twin.cache.num_free == num_blocks
