"""
Writes the trained model as exporters write a Llama, softmax over a key cache, and the plan that makes of it what was trained:

  python export.py --run FOLDER --out FOLDER
  performers linearize OUT/softmax-form.onnx -o ../onnx/model.onnx --plan-file OUT/features.plan.json

FOLDER of the run is what train.py wrote. The softmax form is not the softmax twin: it has the weights of the model with features, and
is only where the rewriter finds queries, keys and values. Matrices are stored as float16 behind a Cast; all computation is float32.
"""

import sys

sys.dont_write_bytecode = True

import argparse
import base64
import json
from pathlib import Path

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from model import BLOCK, WINDOW, Decoder, Shape, angles, rotate

HIDDEN = -1e9


class SoftmaxForm(nn.Module):
    """input_ids, attention_mask, position_ids and past keys and values → logits, present keys and values."""

    def __init__(self, model: Decoder):
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor, mask: Tensor, positions: Tensor, *past: Tensor):
        tokens, total = ids.shape[1], mask.shape[1]
        places = torch.arange(total)
        later = places[None, :] > (places[total - tokens :])[:, None]
        hidden = later[None, None] | (mask == 0)[:, None, None, :]
        bias = torch.where(hidden, HIDDEN, 0.0)
        turns = angles(self.model.shape, positions[:, None])
        x, present = self.model.embedding(ids), []
        for i, block in enumerate(self.model.blocks):
            attention = block.attention
            h, d = attention.shape.heads, attention.shape.head_width
            projected = attention.qkv(block.attention_norm(x)).reshape(ids.shape[0], -1, 3 * h, d).transpose(1, 2)
            q, k, v = projected.split(h, 1)
            q, k = rotate(attention.query_norm(q), *turns), rotate(attention.key_norm(k), *turns)
            k, v = torch.cat([past[2 * i], k], 2), torch.cat([past[2 * i + 1], v], 2)
            present += [k, v]
            scores = q @ k.transpose(2, 3) * d**-0.5 + bias
            attended = (scores.softmax(-1) @ v).transpose(1, 2)
            x = x + attention.out(attended.reshape(ids.shape[0], -1, h * d))
            x = x + block.mlp(x)
        return F.linear(self.model.norm(x), self.model.embedding.weight), *present


def write_graph(model: Decoder, file: Path) -> None:
    shape = model.shape
    past = [torch.zeros(2, shape.heads, 3, shape.head_width) for _ in range(2 * shape.layers)]
    caches = [f"{i}.{part}" for i in range(shape.layers) for part in ("key", "value")]
    cached = lambda length: {0: "batch_size", 2: length}
    inputs = {
        "input_ids": {0: "batch_size", 1: "sequence_length"},
        "attention_mask": {0: "batch_size", 1: "total_sequence_length"},
        "position_ids": {0: "batch_size", 1: "sequence_length"},
        **{f"past_key_values.{cache}": cached("past_sequence_length") for cache in caches},
    }
    outputs = {
        "logits": {0: "batch_size", 1: "sequence_length"},
        **{f"present.{cache}": cached("total_sequence_length") for cache in caches},
    }
    ids = torch.ones(2, 5, dtype=torch.int64)
    torch.onnx.export(
        SoftmaxForm(model),
        (ids, torch.ones(2, 8, dtype=torch.int64), ids, *past),
        str(file),
        input_names=list(inputs),
        output_names=list(outputs),
        dynamic_axes={**inputs, **outputs},
        opset_version=17,
        # Folding would store the embedding a second time, transposed.
        do_constant_folding=False,
        dynamo=False,
    )
    onnx.save(with_half_weights(onnx.load(file)), file)


def with_half_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    casts = []
    for tensor in model.graph.initializer:
        data = numpy_helper.to_array(tensor)
        if data.dtype != np.float32 or data.ndim < 2:
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(data.astype(np.float16), f"{name}.float16"))
        casts.append(helper.make_node("Cast", [f"{name}.float16"], [name], f"{name}.cast", to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model)
    return model


def write_plan(model: Decoder, graph: Path, file: Path) -> None:
    """A performers.plan/1 file. Ours counts 2b in one number and decay by the block, the plan b and decay by the token."""
    shape = model.shape
    softmaxes = [node.output[0] for node in onnx.load(graph, load_external_data=False).graph.node if node.op_type == "Softmax"]
    encode = lambda tensor: base64.b64encode(tensor.detach().numpy().astype("<f4").tobytes()).decode()
    heads = list(range(shape.heads))
    sites = []
    for layer, (block, output) in enumerate(zip(model.blocks, softmaxes, strict=True)):
        maps = block.attention.maps
        query, key = maps.omega()
        m = shape.features
        sites.append(
            {
                "layer": layer,
                "output": output,
                "heads": shape.heads,
                "headDim": shape.head_width,
                "valueDim": shape.head_width,
                "plans": [{"heads": heads, "plan": f"features-causal:window={WINDOW},map=learned,m={m},seed=0"}],
                "why": "trained with it",
                "constants": {
                    f"learned{m}.queryOmega": encode(query),
                    f"learned{m}.keyOmega": encode(key),
                    f"learned{m}.bias": encode(maps.bias / 2),
                    f"learned{m}.decay": encode(maps.decay() / BLOCK),
                },
            }
        )
    file.write_text(json.dumps({"schema": "performers.plan/1", "sites": sites}, indent=1) + "\n")


def write_configuration(shape: Shape, out: Path) -> None:
    """What transformers.js reads: of the architecture only the sizes of the cache."""
    end = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    config = {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": shape.width,
        "intermediate_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.heads,
        "head_dim": shape.head_width,
        "vocab_size": shape.vocabulary,
        "tie_word_embeddings": True,
        **end,
    }
    tokenizer = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<|endoftext|>",
        "eos_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>",
        # The text-generation pipeline of transformers.js adds the first token only where this says so.
        "add_bos_token": True,
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "attention_mask"],
    }
    files = {"config.json": config, "generation_config.json": end, "tokenizer_config.json": tokenizer}
    for name, content in files.items():
        (out / name).write_text(json.dumps(content, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    model = Decoder(Shape(), "features").eval()
    saved = torch.load(options.run / "features.pt", weights_only=True)
    model.load_state_dict(saved["model"])
    graph = options.out / "softmax-form.onnx"
    write_graph(model, graph)
    write_plan(model, graph, options.out / "features.plan.json")
    write_configuration(model.shape, options.out)
    tokenizer = json.loads((options.run / "tokenizer.json").read_text())
    (options.out / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False, separators=(",", ":")) + "\n")
    print(f"{graph}: step {saved['step']}")


if __name__ == "__main__":
    main()
