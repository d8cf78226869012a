"""What tests/convert_test.ts asks of FLASH-pytorch.

usage: interchange.py IN.safetensors OUT.safetensors ARGUMENTS (JSON)

Loads a state dict strictly, computes logits of ARGUMENTS["ids"], takes one step of Adam, and writes the logits before and
after it ("before", "after") and the new state dict (names with "trained." in front).
"""
import json, sys
import torch
from safetensors.torch import load_file, save_file
from flash_pytorch import FLASHTransformer

source, out, arguments = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
ids = torch.tensor(arguments.pop('ids'))
torch.manual_seed(0)
model = FLASHTransformer(**arguments)
model.load_state_dict(load_file(source), strict=True)
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)

logits = model(ids)
loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
loss.backward()
optimizer.step()
trained = {f'trained.{name}': value.clone() for name, value in model.state_dict().items()}
save_file({'before': logits.detach().contiguous(), 'after': model(ids).detach().contiguous(), **trained}, out)
