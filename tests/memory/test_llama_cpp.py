"""What llama-server will take follows from the model and how it is served; `test_llama_measured` asks the real one."""

from dataclasses import replace

import pytest

from inferfleet.memory import Serving, llama_cpp, ollama_batch
from tests.memory.shapes import GEMMA_2_9B, GIB, KIB, LLAMA_3_8B, LLAMA_13B, MISTRAL_7B_01, sized

MIB = 1 << 20
OLLAMA = Serving("ollama", 4096, 4)


def test_every_sequence_has_a_cache_of_its_own() -> None:
    need = llama_cpp.need(sized(LLAMA_13B), Serving("ollama", 2048, 4))
    assert need.kv_per_sequence == 2048 * 800 * KIB
    assert need.kv_cache == 4 * need.kv_per_sequence
    assert need.kv_per_token == 800 * KIB


def test_the_context_is_padded() -> None:
    assert [llama_cpp.cells(None, Serving("ollama", context, 4), 512) for context in (2048, 2049, 1)] == [
        2048,
        2304,
        256,
    ]


def test_a_window_keeps_itself_and_the_batch() -> None:
    assert [llama_cpp.cells(4096, Serving("ollama", context, 2), 512) for context in (4096, 8192)] == [4096, 4608]
    assert llama_cpp.cells(1000, Serving("ollama", 8192, 1), 512) == 1536


def test_windows_that_llama_cpp_does_not_use() -> None:
    serving = Serving("llama.cpp", 32768, 1)
    assert llama_cpp.need(sized(MISTRAL_7B_01), serving).kv_cache == 32768 * 128 * KIB
    windowed = llama_cpp.need(sized(GEMMA_2_9B, tied=True), serving).kv_cache
    assert windowed == (32768 + 4608) * 168 * KIB


def test_the_embedding_stays_on_the_host() -> None:
    size = sized(LLAMA_3_8B)
    need = llama_cpp.need(size, OLLAMA)
    assert need.weights == size.weights.total - size.weights.embedding
    assert need.host > size.weights.embedding
    assert llama_cpp.need(sized(LLAMA_3_8B, tied=True), OLLAMA).weights == size.weights.total


def test_llama_3_8b_fits_a_24_gib_card_in_16_bits() -> None:
    need = llama_cpp.need(sized(LLAMA_3_8B), OLLAMA)
    assert 15.9 * GIB < need.per_card < 17.2 * GIB
    assert need.kv_cache == 2 * GIB


def test_without_flash_attention_scores_are_written_down() -> None:
    """In 32 bits, 512 tokens over 4,096, for each of 32 heads; less what the feed-forward layer takes otherwise."""
    serving = replace(OLLAMA, engine="llama.cpp")
    on, off = (llama_cpp.need(sized(LLAMA_3_8B), replace(serving, flash_attention=flash)) for flash in (True, False))
    assert 256 * MIB - 84 * MIB < off.overhead - on.overhead < 256 * MIB
    assert off.kv_cache == on.kv_cache


def test_without_cards_all_is_the_hosts() -> None:
    need = llama_cpp.need(sized(LLAMA_3_8B), replace(OLLAMA, cards=0))
    assert (need.per_card, need.total, need.margin) == (0, 0, 0)
    assert need.host > sized(LLAMA_3_8B).weights.total + 2 * GIB


def test_whole_layers_over_cards() -> None:
    """33 layers with the output, over 2 cards: 17 and 16."""
    one, two = (llama_cpp.need(sized(LLAMA_3_8B), replace(OLLAMA, cards=cards)) for cards in (1, 2))
    assert two.total > one.total
    assert two.per_card > (one.weights + one.kv_cache) * 17 // 33


@pytest.mark.parametrize(
    ("context", "parallel", "memory", "batch"),
    [
        (4096, 1, None, 512),
        (4096, 4, None, 1024),
        (8192, 4, None, 1024),
        (16384, 4, None, 2048),
        (16384, 4, 48 * GIB, 2048),
        (16384, 4, 32 * GIB, 1024),  # above 60 % of the card
        (4096, 4, 20 * GIB, 512),  # above 75 %
    ],
)
def test_ollama_chooses_its_batch(context: int, parallel: int, memory: int | None, batch: int) -> None:
    assert ollama_batch.ollama_batch(sized(LLAMA_3_8B), Serving("ollama", context, parallel), memory) == batch


def test_batches_of_others() -> None:
    slow = replace(OLLAMA, flash_attention=False)
    assert ollama_batch.batch_of(sized(LLAMA_3_8B), slow, 24 * GIB) == 512
    assert ollama_batch.batch_of(sized(LLAMA_3_8B), slow, 8 * GIB) == 256
    assert ollama_batch.batch_of(sized(LLAMA_3_8B), replace(OLLAMA, engine="llama.cpp"), None) == 512
    assert ollama_batch.batch_of(sized(LLAMA_3_8B), Serving("llama.cpp", 128, 1), None) == 256


def test_ollama_has_the_last_word() -> None:
    shape = replace(LLAMA_3_8B, architecture="qwen35", max_context=8192)
    asked = Serving("ollama", 131072, 4)
    assert llama_cpp.as_run(shape, asked) == Serving("ollama", 8192, 1)
    assert llama_cpp.need(sized(shape), asked).kv_cache == 8192 * 128 * KIB
    assert llama_cpp.as_run(shape, replace(asked, engine="llama.cpp")).parallel == 4
