"""Published models that the tests of the memory model calculate with, by what their configurations say."""

from dataclasses import replace

from inferfleet.memory import Attention, ModelSize, Shape, Weights

GIB = 1 << 30
KIB = 1 << 10


def llama(layers: int, heads: int, kv_heads: int, hidden: int, ffn: int, vocab: int, parameters: int) -> Shape:
    attention = (Attention(layers, kv_heads, hidden // heads, hidden // heads),)
    return Shape("llama", attention, heads, hidden, ffn, vocab, parameters, 131072)


LLAMA_13B = llama(40, 40, 40, 5120, 13824, 32000, 13_015_864_320)
LLAMA_3_8B = llama(32, 32, 8, 4096, 14336, 128256, 8_030_261_248)
LLAMA_3_70B = llama(80, 64, 8, 8192, 28672, 128256, 70_553_706_496)
QWEN_25_7B = replace(llama(28, 28, 4, 3584, 18944, 152064, 7_615_616_512), architecture="qwen2")
GEMMA_2_9B = Shape(
    "gemma2",
    (Attention(21, 8, 256, 256), Attention(21, 8, 256, 256, 4096)),
    16,
    3584,
    14336,
    256000,
    9_241_705_984,
    8192,
)
MISTRAL_7B_01 = replace(
    llama(32, 32, 8, 4096, 14336, 32000, 7_241_732_096), attention=(Attention(32, 8, 128, 128, 4096),)
)
DEEPSEEK_V2_LITE = Shape("deepseek2", (Attention(27, 1, 576, 0),), 16, 2048, 10944, 102400, 15_706_484_224, 163840)


def sized(shape: Shape, tied: bool = False) -> ModelSize:
    """The model in 16 bits."""
    embedding = 2 * shape.vocab * shape.hidden
    return ModelSize(shape, Weights("f16", 2 * shape.parameters, embedding, tied), "its configuration", 0.0)
